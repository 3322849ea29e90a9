//! One line of IRC: `[@tags] [:source] command [params]` (RFC 1459 §2.3, [message tags]).
//!
//! [message tags]: https://ircv3.net/specs/extensions/message-tags

mod names;
mod source;
mod tags;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub use names::{BadName, Channel, Nick, Target};
pub use source::Source;
pub use tags::{ServerTime, Tags};
pub use text::{ForbiddenByte, IrcText};

/// Most parameters a line may have (RFC 1459 §2.3); what a peer sends beyond stays in the last one.
pub const MAX_PARAMS: usize = 15;

/// Most bytes of tags a client may send, the leading `@` and the trailing space included.
pub const MAX_CLIENT_TAGS: usize = 4096;

/// Most bytes of tags a server may send, the leading `@` and the trailing space included.
pub const MAX_SERVER_TAGS: usize = 8191;

/// One parsed line, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the sender says about the line beside the line itself.
    pub tags: Tags,
    /// Who sent it; absent on lines that a client sends.
    pub source: Option<Source>,
    /// The verb in upper case, or three digits.
    pub command: String,
    /// The parameters, the trailing one last and without its colon.
    pub params: Vec<String>,
}

/// Why a line could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing but white space: servers may send it, and it means nothing.
    #[error("the line is empty")]
    Empty,
    /// Tags or a source, and then nothing.
    #[error("the line has no command")]
    NoCommand,
    /// Something other than letters or three digits where the command stands.
    #[error("the command is not a word")]
    BadCommand,
    /// More tags than the specification lets a server send.
    #[error("the tags are longer than {MAX_SERVER_TAGS} bytes")]
    TagsTooLong,
}

/// Why a message could not be written as a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A CR, LF or NUL would end the line early and begin another.
    #[error("the message holds a line break or a NUL")]
    ForbiddenByte,
    /// The command is empty, or is not a word.
    #[error("the command is not a word")]
    BadCommand,
    /// A parameter before the last is empty, holds a space or begins with a colon.
    #[error("a parameter before the last would be read as several, or as the last")]
    BadMiddle,
    /// The line without its tags is longer than the server takes.
    #[error("the line has {len} bytes; the server takes {max}")]
    TooLong {
        /// Bytes of the line with its CR LF and without its tags.
        len: usize,
        /// Bytes the server takes (`LINELEN`).
        max: usize,
    },
    /// The tags are longer than a client may send.
    #[error("the tags are longer than {MAX_CLIENT_TAGS} bytes")]
    TagsTooLong,
}

impl Message {
    /// Makes a line for the server.
    pub fn new<P: Into<String>>(command: &str, params: impl IntoIterator<Item = P>) -> Self {
        Self {
            tags: Tags::default(),
            source: None,
            command: command.to_owned(),
            params: params.into_iter().map(Into::into).collect(),
        }
    }

    /// Reads one line, given without its CR LF.
    ///
    /// Several spaces count as one, wherever they stand; a line that begins with a space is read from its
    /// first word.
    ///
    /// # Errors
    /// Says what is missing. Nothing in a line makes this panic.
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        let mut rest = line.trim_start_matches(' ');
        if rest.trim_matches([' ', '\r', '\n']).is_empty() {
            return Err(ParseError::Empty);
        }
        let mut tags = Tags::default();
        if let Some(after) = rest.strip_prefix('@') {
            let (raw, remainder) = after.split_once(' ').ok_or(ParseError::NoCommand)?;
            if raw.len() + 2 > MAX_SERVER_TAGS {
                return Err(ParseError::TagsTooLong);
            }
            tags = Tags::parse(raw);
            rest = remainder.trim_start_matches(' ');
        }
        let mut source = None;
        if let Some(after) = rest.strip_prefix(':') {
            let (raw, remainder) = after.split_once(' ').ok_or(ParseError::NoCommand)?;
            source = Source::parse(raw);
            rest = remainder.trim_start_matches(' ');
        }
        let (command, params) = match rest.split_once(' ') {
            Some((command, params)) => (command, params),
            None => (rest, ""),
        };
        if command.is_empty() {
            return Err(ParseError::NoCommand);
        }
        if !is_command(command) {
            return Err(ParseError::BadCommand);
        }
        Ok(Self { tags, source, command: command.to_ascii_uppercase(), params: parse_params(params) })
    }

    /// The parameter at `index`, counted from 0.
    pub fn param(&self, index: usize) -> Option<&str> {
        self.params.get(index).map(String::as_str)
    }

    /// The last parameter, where servers put the words meant for people.
    pub fn last(&self) -> Option<&str> {
        self.params.last().map(String::as_str)
    }

    /// The number, if the command is three digits.
    pub fn numeric(&self) -> Option<u16> {
        (self.command.len() == 3).then(|| self.command.parse().ok()).flatten()
    }

    /// Writes the line with its CR LF, or refuses: what cannot be said in one line is never cut here.
    ///
    /// `line_len` is the server's `LINELEN`: bytes of the line with CR LF, tags not counted.
    ///
    /// # Errors
    /// Says which rule of the protocol the message breaks.
    pub fn encode(&self, line_len: usize) -> Result<String, EncodeError> {
        let line = self.to_string();
        if line.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(EncodeError::ForbiddenByte);
        }
        if !is_command(&self.command) {
            return Err(EncodeError::BadCommand);
        }
        let middles = self.params.split_last().map_or(&[][..], |(_, middles)| middles);
        if middles.iter().any(|param| !is_middle(param)) {
            return Err(EncodeError::BadMiddle);
        }
        let tags = self.tags.encoded_len();
        if tags > MAX_CLIENT_TAGS {
            return Err(EncodeError::TagsTooLong);
        }
        let len = line.len() - tags + 2;
        if len > line_len {
            return Err(EncodeError::TooLong { len, max: line_len });
        }
        Ok(line + "\r\n")
    }
}

/// Writes the line without its CR LF and without any check; [`Message::encode`] is what the wire uses.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tags.is_empty() {
            write!(f, "@{} ", self.tags)?;
        }
        if let Some(source) = &self.source {
            write!(f, ":{source} ")?;
        }
        f.write_str(&self.command)?;
        let Some((last, middles)) = self.params.split_last() else { return Ok(()) };
        for param in middles {
            write!(f, " {param}")?;
        }
        if is_middle(last) { write!(f, " {last}") } else { write!(f, " :{last}") }
    }
}

fn parse_params(mut rest: &str) -> Vec<String> {
    let mut params = Vec::new();
    loop {
        rest = rest.trim_start_matches(' ');
        if rest.is_empty() {
            return params;
        }
        if let Some(trailing) = rest.strip_prefix(':') {
            params.push(trailing.to_owned());
            return params;
        }
        if params.len() + 1 == MAX_PARAMS {
            params.push(rest.to_owned());
            return params;
        }
        let (param, remainder) = rest.split_once(' ').unwrap_or((rest, ""));
        params.push(param.to_owned());
        rest = remainder;
    }
}

fn is_command(word: &str) -> bool {
    !word.is_empty()
        && (word.bytes().all(|byte| byte.is_ascii_alphabetic())
            || (word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit())))
}

/// Whether a parameter can stand without a colon.
fn is_middle(param: &str) -> bool {
    !param.is_empty() && !param.starts_with(':') && !param.contains(' ')
}
