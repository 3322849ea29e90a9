//! Matrix HTML: the subset of [`org.matrix.custom.html`] that clients send and show.
//!
//! Reading is tolerant: an unknown tag loses the tag and keeps its text, an unknown entity stays as it is written, and a
//! message is never thrown back to its plain body because of one of them. Reading is bounded, too: see [`MAX_HTML`] and
//! [`MAX_DEPTH`].
//!
//! [`org.matrix.custom.html`]: https://spec.matrix.org/v1.19/client-server-api/#mroommessage-msgtypes

mod builder;
mod colour;
mod entity;
mod parse;
mod render;
mod token;

use ruma::events::Mentions;

use super::RichText;

/// The longest HTML that is read, in bytes; what follows is ignored. An event cannot hold more than half of it.
pub const MAX_HTML: usize = 128 * 1024;
/// How deep quotes and lists may nest; deeper ones become part of the one that contains them.
pub const MAX_DEPTH: usize = 16;
/// The longest `body` and the longest `formatted_body` that [`RichText::to_matrix`] writes, in bytes, so that an event
/// stays below 65,536 bytes whatever the text was.
pub const MAX_BODY: usize = 20 * 1024;
/// What stands at the end of a text of which only the beginning crosses.
pub const CUT_OFF: &str = "… (cut off: the message was too long)";

/// What a text becomes in an `m.room.message` event.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The plain text.
    pub body: String,
    /// The HTML, if it says more than the plain text.
    pub formatted_body: Option<String>,
    /// Who is addressed: to be sent as `m.mentions` always, also when it is empty, because only then does nobody's client
    /// look for names in the body ([spec](https://spec.matrix.org/v1.19/client-server-api/#user-and-room-mentions)).
    pub mentions: Mentions,
}

impl RichText {
    /// Reads the `formatted_body` of a Matrix event.
    ///
    /// A quoted event inside `<mx-reply>` is left out. Links to users become mentions.
    pub fn from_html(html: &str) -> Self {
        parse::parse(html)
    }

    /// Writes HTML within the subset that Matrix clients show.
    ///
    /// A mention of a remote user is written as its text: map it to a Matrix user first ([`RichText::map_mentions`]).
    pub fn to_html(&self) -> String {
        render::render(self)
    }

    /// Writes the parts of an `m.room.message` event, each at most [`MAX_BODY`] bytes long. A text that is longer ends in [`CUT_OFF`].
    pub fn to_matrix(&self) -> Rendered {
        let mut body = self.to_plain();
        cut(&mut body, MAX_BODY);
        let formatted_body =
            if self.is_plain() { None } else { Some(self.to_html()).filter(|html| html.len() <= MAX_BODY) };
        Rendered { body, formatted_body, mentions: render::mentions(self) }
    }
}

/// Cuts a text at a character boundary and says so there.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max - CUT_OFF.len()));
        text.push_str(CUT_OFF);
    }
}

/// Whether a URL may stand behind a link: an absolute URL with a scheme that Matrix clients open, without characters that
/// could end it early.
pub(crate) fn is_safe_link(url: &str) -> bool {
    const SCHEMES: [&str; 6] = ["https:", "http:", "ftp:", "mailto:", "magnet:", "matrix:"];
    url.len() <= 2048
        && !url.contains(|c: char| c.is_control() || c.is_whitespace())
        && SCHEMES.iter().any(|scheme| {
            url.len() > scheme.len() && url.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme))
        })
}

#[cfg(test)]
mod tests;
