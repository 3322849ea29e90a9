//! One form for formatted text, between Matrix HTML and every network's own markup.
//!
//! A [`RichText`] is a short tree of [`Block`]s whose leaves are flat lists of styled [`Span`]s. It is small, bounded and
//! serialisable, so that it can be stored with a message and converted again. Nothing in it is trusted more than its
//! source was: links are kept only with safe schemes, text holds no control characters, and a mention pings somebody only
//! where a [`Mention`] says so, never because of what the text looks like.

pub mod html;
mod lines;
mod plain;

pub use self::lines::{Line, wrap};

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// A formatted message body.
///
/// Built by [`RichText::plain`], [`RichText::from_spans`] or from Matrix HTML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RichText {
    /// The blocks, top to bottom.
    pub blocks: Vec<Block>,
}

/// A part of a message that starts on a line of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Running text.
    Paragraph(Vec<Span>),
    /// A heading of level 1 to 6.
    Heading {
        /// 1 is the largest.
        level: u8,
        /// The text of the heading.
        spans: Vec<Span>,
    },
    /// Preformatted code; lines are separated by `\n`.
    Code {
        /// The language, where the author named one.
        language: Option<String>,
        /// The code, without a trailing line break.
        text: String,
    },
    /// Something quoted.
    Quote(Vec<Block>),
    /// A list.
    List {
        /// The number of the first item of an ordered list; `None` for bullets.
        start: Option<u32>,
        /// The items, each a few blocks.
        items: Vec<Vec<Block>>,
    },
    /// A horizontal rule.
    Rule,
}

/// A run of text in one style.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What the span holds.
    pub content: Inline,
    /// How it looks.
    #[serde(default, skip_serializing_if = "Style::is_plain")]
    pub style: Style,
    /// Where it leads, if it is (part of) a link. An absolute URL with a safe scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The content of a [`Span`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// Text without line breaks or control characters (a tab may occur).
    Text(String),
    /// Somebody is addressed.
    Mention {
        /// Who.
        target: Mention,
        /// The text shown, usually their name.
        text: String,
    },
    /// A line break inside the block.
    Break,
}

/// Who a mention addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mention {
    /// A Matrix user.
    Matrix(OwnedUserId),
    /// A user of the remote network, by their encoded id.
    Remote(String),
    /// Everybody in the room.
    Room,
}

/// How a [`Span`] looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Style {
    /// **Bold**.
    #[serde(skip_serializing_if = "is_false")]
    pub bold: bool,
    /// *Italic*.
    #[serde(skip_serializing_if = "is_false")]
    pub italic: bool,
    /// Underlined.
    #[serde(skip_serializing_if = "is_false")]
    pub underline: bool,
    /// Struck through.
    #[serde(skip_serializing_if = "is_false")]
    pub strike: bool,
    /// In a fixed-width font.
    #[serde(skip_serializing_if = "is_false")]
    pub monospace: bool,
    /// With foreground and background exchanged.
    #[serde(skip_serializing_if = "is_false")]
    pub reverse: bool,
    /// Hidden until the reader asks for it.
    #[serde(skip_serializing_if = "is_false")]
    pub spoiler: bool,
    /// The colour of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreground: Option<Colour>,
    /// The colour behind the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Colour>,
}

/// A colour, red, green and blue. A network with a palette maps its entries to their usual values and back to the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Colour(pub u8, pub u8, pub u8);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Style {
    /// Whether nothing is set.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Span {
    /// Unstyled text. Control characters are dropped and line breaks become spaces.
    pub fn text(text: impl Into<String>) -> Self {
        Self::styled(text, Style::default())
    }

    /// Text in a style. Control characters are dropped and line breaks become spaces.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { content: Inline::Text(clean_line(text.into())), style, link: None }
    }

    /// A mention in plain style.
    pub fn mention(target: Mention, text: impl Into<String>) -> Self {
        Self { content: Inline::Mention { target, text: clean_line(text.into()) }, style: Style::default(), link: None }
    }

    /// A line break.
    pub fn line_break() -> Self {
        Self { content: Inline::Break, style: Style::default(), link: None }
    }

    /// The text a reader sees: empty for a line break.
    pub fn visible(&self) -> &str {
        match &self.content {
            Inline::Text(text) | Inline::Mention { text, .. } => text,
            Inline::Break => "",
        }
    }
}

impl RichText {
    /// Unformatted text; each line break becomes an [`Inline::Break`]. Control characters but the tab are dropped.
    pub fn plain(text: &str) -> Self {
        let mut spans = Vec::new();
        for (number, line) in normalize_newlines(text).split('\n').enumerate() {
            if number > 0 {
                spans.push(Span::line_break());
            }
            if !line.is_empty() {
                spans.push(Span::text(line));
            }
        }
        Self::from_spans(spans)
    }

    /// One paragraph of spans; no block at all when there are none.
    pub fn from_spans(spans: Vec<Span>) -> Self {
        let blocks = if spans.is_empty() { Vec::new() } else { vec![Block::Paragraph(spans)] };
        Self { blocks }
    }

    /// Whether nothing would be shown.
    pub fn is_blank(&self) -> bool {
        self.to_plain().trim().is_empty()
    }

    /// Whether the text says everything: no style, link, mention or block other than one paragraph.
    pub fn is_plain(&self) -> bool {
        match self.blocks.as_slice() {
            [] => true,
            [Block::Paragraph(spans)] => spans.iter().all(|span| {
                span.style.is_plain() && span.link.is_none() && !matches!(span.content, Inline::Mention { .. })
            }),
            _ => false,
        }
    }

    /// Visits every span, in order.
    pub fn for_each_span(&self, visit: &mut dyn FnMut(&Span)) {
        walk(&self.blocks, visit);
    }

    /// Changes every span, in order.
    pub fn for_each_span_mut(&mut self, change: &mut dyn FnMut(&mut Span)) {
        walk_mut(&mut self.blocks, change);
    }

    /// Replaces every mention target, for example a virtual user's Matrix id by the remote user's; `None` leaves just the text.
    #[must_use]
    pub fn map_mentions(mut self, map: &mut dyn FnMut(Mention) -> Option<Mention>) -> Self {
        self.for_each_span_mut(&mut |span| {
            let Inline::Mention { target, text } = &mut span.content else { return };
            if let Some(mapped) = map(target.clone()) {
                *target = mapped;
            } else {
                span.content = Inline::Text(std::mem::take(text));
            }
        });
        self
    }
}

fn walk(blocks: &[Block], visit: &mut dyn FnMut(&Span)) {
    for block in blocks {
        match block {
            Block::Paragraph(spans) | Block::Heading { spans, .. } => spans.iter().for_each(&mut *visit),
            Block::Quote(inner) => walk(inner, visit),
            Block::List { items, .. } => items.iter().for_each(|item| walk(item, visit)),
            Block::Code { .. } | Block::Rule => {}
        }
    }
}

fn walk_mut(blocks: &mut [Block], visit: &mut dyn FnMut(&mut Span)) {
    for block in blocks {
        match block {
            Block::Paragraph(spans) | Block::Heading { spans, .. } => spans.iter_mut().for_each(&mut *visit),
            Block::Quote(inner) => walk_mut(inner, visit),
            Block::List { items, .. } => items.iter_mut().for_each(|item| walk_mut(item, visit)),
            Block::Code { .. } | Block::Rule => {}
        }
    }
}

/// `\r\n` and `\r` become `\n`.
fn normalize_newlines(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// One line without control characters. Line breaks become spaces.
fn clean_line(text: String) -> String {
    if !text.contains(is_unwanted) {
        return text;
    }
    text.chars().filter_map(|c| if is_line_break(c) { Some(' ') } else { (!is_unwanted(c)).then_some(c) }).collect()
}

/// Characters some reader takes for the end of a line.
fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Control characters that are no text, line breaks included; XML 1.0 forbids most of them.
fn is_unwanted(c: char) -> bool {
    is_line_break(c) || (c.is_control() && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}')
}
