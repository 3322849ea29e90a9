//! Cuts HTML into tags and text, in time linear in its length, whatever it holds.

use super::entity;

/// A piece of HTML.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// Text, its entities not yet decoded.
    Text(&'a str),
    /// A start tag, its name in lower case.
    Open { name: String, attributes: Attributes<'a> },
    /// An end tag, its name in lower case.
    Close(String),
}

/// The attributes of a tag, as they are written.
#[derive(Debug, PartialEq)]
pub(super) struct Attributes<'a>(&'a str);

/// The tokens of `html`.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// Set once a tag does not end: nothing after it can be a tag.
    only_text: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html, only_text: false }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Reads the markup that starts here; `None` if it is no markup.
    fn markup(&mut self) -> Option<Option<Token<'a>>> {
        let rest = self.rest;
        if let Some(comment) = rest.strip_prefix("<!--") {
            let length = comment.find("-->").map_or(rest.len(), |end| 4 + end + 3);
            self.take(length);
            return Some(None);
        }
        let second = rest.as_bytes().get(1).copied()?;
        if second == b'!' || second == b'?' {
            let length = rest.find('>').map_or(rest.len(), |end| end + 1);
            self.take(length);
            return Some(None);
        }
        let closing = second == b'/';
        let name_at = if closing { 2 } else { 1 };
        if !rest.as_bytes().get(name_at)?.is_ascii_alphabetic() {
            return None;
        }
        let Some(end) = tag_end(rest) else {
            self.only_text = true;
            return None;
        };
        let inside = &self.take(end + 1)[name_at..end];
        let name_length = inside.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(name_length);
        let name = name.to_ascii_lowercase();
        Some(Some(if closing { Token::Close(name) } else { Token::Open { name, attributes: Attributes(attributes) } }))
    }
}

/// Where the `>` is that ends the tag at the start of `text`; quotes hide it only as values of attributes.
fn tag_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    let mut after_equals = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'>' => return Some(at),
            b'"' | b'\'' if after_equals => {
                at += 1 + bytes.get(at + 1..)?.iter().position(|b| *b == byte)?;
                after_equals = false;
            }
            b'=' => after_equals = true,
            byte if byte.is_ascii_whitespace() => {}
            _ => after_equals = false,
        }
        at += 1;
    }
    None
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let mut text_length =
                if self.only_text { self.rest.len() } else { self.rest.find('<').unwrap_or(self.rest.len()) };
            if text_length == 0 {
                match self.markup() {
                    Some(Some(token)) => return Some(token),
                    Some(None) => continue,
                    None => text_length = 1,
                }
            }
            return Some(Token::Text(self.take(text_length)));
        }
    }
}

impl Attributes<'_> {
    /// The decoded value of the first attribute called `name`; empty if it has none.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let mut rest = self.0;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if rest.is_empty() {
                return None;
            }
            // An `=` in first place is part of the name; all that ends it is ASCII, so this is a character boundary.
            let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'=' | b'/');
            let length = rest.bytes().skip(1).position(|b| ends(&b)).map_or(rest.len(), |at| at + 1);
            let (found, after) = rest.split_at(length);
            let (value, after) = attribute_value(after);
            if found.eq_ignore_ascii_case(name) {
                return Some(entity::decode(value).into_owned());
            }
            rest = after;
        }
    }
}

/// Splits the value off what follows an attribute's name.
fn attribute_value(after: &str) -> (&str, &str) {
    let Some(value) = after.trim_ascii_start().strip_prefix('=') else { return ("", after) };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(html: &str) -> Vec<String> {
        Tokens::new(html)
            .map(|token| match token {
                Token::Text(text) => text.to_owned(),
                Token::Open { name, .. } => format!("<{name}>"),
                Token::Close(name) => format!("</{name}>"),
            })
            .collect()
    }

    #[test]
    fn tags_and_text_are_told_apart() {
        for (html, expected) in [
            ("a<B>c</b >", &["a", "<b>", "c", "</b>"][..]),
            ("1 < 2 <3", &["1 ", "<", " 2 ", "<", "3"]),
            ("<a title='>'>x", &["<a>", "x"]),
            ("<a it's>x", &["<a>", "x"]),
            ("<br/><hr />", &["<br>", "<hr>"]),
            ("a<!-- <b> -->b<!doctype x>c", &["a", "b", "c"]),
            ("a<b", &["a", "<", "b"]),
            ("<b <i>x", &["<b>", "x"]),
        ] {
            assert_eq!(tokens(html), expected, "{html}");
        }
    }

    #[test]
    fn attributes_are_decoded() {
        let html = r#"<a hidden HREF = "https://x/?a&amp;b" title='t"' data-x=1/2 é=ü>"#;
        let Some(Token::Open { attributes, .. }) = Tokens::new(html).next() else { panic!("no tag") };
        assert_eq!(attributes.value("href").as_deref(), Some("https://x/?a&b"));
        assert_eq!(attributes.value("title").as_deref(), Some("t\""));
        assert_eq!(attributes.value("hidden").as_deref(), Some(""));
        assert_eq!(attributes.value("data-x").as_deref(), Some("1/2"));
        assert_eq!(attributes.value("é").as_deref(), Some("ü"));
        assert_eq!(attributes.value("src"), None);
    }
}
