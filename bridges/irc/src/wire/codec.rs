//! Bytes to lines.

use std::borrow::Cow;

use memchr::memchr;

use crate::message::MAX_SERVER_TAGS;

/// Longest line taken, CR LF not counted: the tags a server may send and the longest `LINELEN` believed.
pub(super) const MAX_LINE: usize = MAX_SERVER_TAGS + 16_384;

/// Room kept between lines; more is given back as soon as it is empty.
const KEPT: usize = 1024;

/// Cuts a stream of bytes into lines. Holds at most one line that is not whole, of at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// The line under way was too long: its rest is thrown away up to the next LF.
    discarding: bool,
}

/// What came out of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line without its CR LF.
    Text(Cow<'a, str>),
    /// A line was longer than any may be, and is gone.
    TooLong,
}

impl Lines {
    /// Takes bytes and gives each line that ends in them to `each`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            if self.partial.len() + head.len() > MAX_LINE {
                self.partial = Vec::new();
                each(Line::TooLong);
                continue;
            }
            if self.partial.is_empty() {
                each(Line::Text(text(head)));
                continue;
            }
            self.partial.extend_from_slice(head);
            each(Line::Text(text(&self.partial)));
            self.partial.clear();
            self.partial.shrink_to(KEPT);
        }
        if self.discarding {
            return;
        }
        if self.partial.len() + bytes.len() > MAX_LINE {
            self.partial = Vec::new();
            self.discarding = true;
            each(Line::TooLong);
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

/// UTF-8 if the line is that, Latin-1 if not: no byte is refused, and no line decides about another.
fn text(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(line.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut buffer = Lines::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.feed(chunk, |line| {
                lines.push(match line {
                    Line::Text(text) => text.into_owned(),
                    Line::TooLong => "<too long>".to_owned(),
                });
            });
        }
        lines
    }

    #[test]
    fn lines_end_with_lf_and_may_have_a_cr() {
        assert_eq!(lines(&[b"a\r\nb\n\r\nc", b"d\r", b"\n"]), ["a", "b", "", "cd"]);
    }

    #[test]
    fn a_latin_1_line_is_read_and_the_next_is_utf_8_again() {
        assert_eq!(lines(&[b"PRIVMSG #c :caf\xe9\r\nPRIVMSG #c :caf\xc3\xa9\r\n"]), ["PRIVMSG #c :café"; 2]);
    }

    #[test]
    fn a_line_of_100_kb_is_reported_once_and_costs_no_memory() {
        let huge = vec![b'x'; 10_000];
        let mut buffer = Lines::default();
        let mut seen = Vec::new();
        for _ in 0..10 {
            buffer.feed(&huge, |line| seen.push(line == Line::TooLong));
            assert!(buffer.partial.capacity() <= 2 * MAX_LINE);
        }
        buffer.feed(b"tail\r\nPING :x\r\n", |line| seen.push(line == Line::TooLong));
        assert_eq!(seen, [true, false]);
    }

    #[test]
    fn a_huge_line_in_one_piece_does_not_take_the_next_with_it() {
        let mut bytes = vec![b'x'; 100_000];
        bytes.extend_from_slice(b"\nPING :x\n");
        assert_eq!(lines(&[&bytes]), ["<too long>", "PING :x"]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200), at in 0usize..200) {
            let at = at.min(bytes.len());
            prop_assert_eq!(lines(&[&bytes]), lines(&[&bytes[..at], &bytes[at..]]));
        }
    }
}
