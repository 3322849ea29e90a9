//! A message as lines.

use landbridge::{
    network::{
        Reject, Upload,
        event::{Body, Media},
        op::{Context, UPLOAD_URL},
    },
    rich_text::{Line, RichText, Span, wrap},
};

use crate::{
    config::{LineOptions, Overflow},
    convert::{formatting, ids::IrcUser, mentions, outgoing::How, to_irc::Address},
};

/// How much text a line surely takes: 512 bytes without the longest source and target of stock servers.
pub(super) const USUAL_BYTES: usize = 300;
/// The least we cut to, however long the names are that the server puts before a text.
const LEAST_BYTES: usize = 32;
/// Around the text of an action: `\x01ACTION ` and `\x01`.
const ACTION_BYTES: usize = 9;
/// The longest name shown before what somebody without a connection says.
const MAX_SPEAKER: usize = 30;

/// What is to be said, and how.
pub(super) struct Speech<'a> {
    pub(super) body: &'a Body,
    pub(super) how: How,
    /// Whom it answers.
    pub(super) address: Option<&'a Address>,
    /// What marks the first line.
    pub(super) mark: Option<&'a str>,
    /// Who says it, where the bot says it for them.
    pub(super) speaker: Option<&'a str>,
    /// Bytes of text a plain message takes.
    pub(super) max_bytes: usize,
}

/// The lines, and a file to store before the last of them is sent.
pub(super) struct Said {
    pub(super) lines: Vec<String>,
    pub(super) upload: Option<Upload>,
}

impl Speech<'_> {
    pub(super) fn lines(&self, context: &Context<IrcUser>, options: &LineOptions) -> Result<Said, Reject> {
        let text = mentions::spell(&self.body.text, context);
        let mut lines = text.lines();
        self.mark_first(&mut lines);
        lines.extend(self.body.media.iter().map(|media| vec![Span::text(describe(media, &text))]));
        let prefix = self.prefix();
        let around = if self.how == How::Action { ACTION_BYTES } else { 0 } + prefix.len();
        let room = self.max_bytes.saturating_sub(around).max(LEAST_BYTES);
        let mut pieces: Vec<String> = lines
            .iter()
            .flat_map(|line| wrap(line, room, &formatting::cost))
            .map(|piece| prefix.clone() + &formatting::encode(&piece))
            .collect();
        pieces.retain(|piece| piece.len() > prefix.len());
        if pieces.len() <= options.max {
            return Ok(Said { lines: pieces, upload: None });
        }
        if options.overflow == Overflow::Reject {
            return Err(Reject::TooLong { max: options.max.saturating_mul(room) });
        }
        Ok(overflow(pieces, &prefix, options.max, &text))
    }

    /// Puts the nick that is answered, or the sign of a correction, before the first line.
    fn mark_first(&self, lines: &mut Vec<Line>) {
        if let Some(mark) = self.mark {
            match lines.first_mut() {
                Some(first) => first.insert(0, Span::text(mark)),
                None => return,
            }
        }
        let Some(address) = self.address else { return };
        if lines.is_empty() {
            lines.push(Line::new());
        }
        let shown: String = lines[0].iter().map(Span::visible).collect();
        let Address { name, quote } = address;
        let said_already = shown.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if said_already || self.how == How::Action {
            return;
        }
        let quote = quote.as_ref().map(|quote| format!("\"{quote}\" ← ")).unwrap_or_default();
        lines[0].insert(0, Span::text(format!("{name}: {quote}")));
    }

    /// Who says it: `<name> `, or `* name ` for what they do.
    fn prefix(&self) -> String {
        let Some(speaker) = self.speaker else { return String::new() };
        let name = one_line(speaker, MAX_SPEAKER);
        if self.body.emote { format!("* {name} ") } else { format!("<{name}> ") }
    }
}

/// The first lines, and one that leads to all of them.
fn overflow(mut pieces: Vec<String>, prefix: &str, max: usize, text: &RichText) -> Said {
    let shown = max.saturating_sub(1);
    let left = pieces.len() - shown;
    pieces.truncate(shown);
    let what = if shown == 0 { format!("{left} lines") } else { format!("… {left} more lines") };
    pieces.push(format!("{prefix}{what}: {UPLOAD_URL}"));
    let upload = Upload {
        name: "message.txt".to_owned(),
        mime: "text/plain; charset=utf-8".to_owned(),
        bytes: text.to_plain().into_bytes(),
    };
    Said { lines: pieces, upload: Some(upload) }
}

/// A file as text: its name, its size and where to get it.
fn describe(media: &Media, text: &RichText) -> String {
    let size = media.size.map(|bytes| format!(" ({})", human(bytes))).unwrap_or_default();
    let Some(url) = &media.url else { return format!("[file] {}{size}", media.name) };
    if media.name.is_empty() || text.to_plain().contains(&media.name) {
        return url.clone();
    }
    format!("{}{size}: {url}", one_line(&media.name, 100))
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

/// A text without formatting, on one line, of at most `max` bytes.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let mut line = formatting::encode(&[Span::text(text)]).trim().to_owned();
    if line.len() > max {
        line.truncate(line.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        line.push('…');
    }
    line
}
