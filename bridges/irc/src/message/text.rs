//! Text that can be put on a line.

use std::fmt;

/// Text without CR, LF or NUL: it cannot end the line it stands in, and so cannot begin another.
///
/// There is no other way from a foreign string to the wire: every constructor refuses, replaces, removes or splits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IrcText(String);

/// A text held a CR, an LF or a NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text holds a line break or a NUL at byte {at}")]
pub struct ForbiddenByte {
    /// Where the first one stands.
    pub at: usize,
}

const FORBIDDEN: [char; 3] = ['\r', '\n', '\0'];

/// What people mean by a new line, whatever their system writes: LF, CR LF, CR, NEL, LINE and PARAGRAPH SEPARATOR.
const BREAKS: [char; 5] = ['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}'];

impl IrcText {
    /// Takes a text as it is.
    ///
    /// # Errors
    /// Refuses a text with CR, LF or NUL in it.
    pub fn new(text: impl Into<String>) -> Result<Self, ForbiddenByte> {
        let text = text.into();
        match text.find(FORBIDDEN) {
            Some(at) => Err(ForbiddenByte { at }),
            None => Ok(Self(text)),
        }
    }

    /// Takes a text as one line: each run of line breaks becomes one space, NUL goes away.
    pub fn one_line(text: &str) -> Self {
        let mut line = String::with_capacity(text.len());
        let mut broken = false;
        for c in text.chars().filter(|c| *c != '\0') {
            let is_break = BREAKS.contains(&c);
            if !is_break {
                line.push(c);
            } else if !broken {
                line.push(' ');
            }
            broken = is_break;
        }
        Self(line)
    }

    /// Takes a text without its CR, LF and NUL; nothing stands in their place.
    pub fn stripping(text: &str) -> Self {
        Self(text.replace(FORBIDDEN, ""))
    }

    /// The lines of a text, empty ones left out, NUL removed.
    pub fn lines(text: &str) -> impl Iterator<Item = Self> + '_ {
        text.split(BREAKS).map(Self::stripping).filter(|line| !line.is_empty())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives the text away.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for IrcText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for IrcText {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<IrcText> for String {
    fn from(text: IrcText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p15_no_constructor_lets_a_line_break_or_nul_through() {
        let hostile = "hi\r\nQUIT :x\0\n\u{85}y\u{2028}z";
        assert_eq!(IrcText::new(hostile), Err(ForbiddenByte { at: 2 }));
        assert_eq!(IrcText::one_line(hostile).as_str(), "hi QUIT :x y z");
        assert_eq!(IrcText::stripping("a\r\n\0b").as_str(), "ab");
        let lines: Vec<_> = IrcText::lines(hostile).map(String::from).collect();
        assert_eq!(lines, ["hi", "QUIT :x", "y", "z"]);
    }
}
