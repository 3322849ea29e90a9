//! Reading what a page of HTML says of itself: its title and its `meta` elements. The reader looks at each byte once and keeps
//! nothing but that, whatever the page is made of.

use serde_json::{Map, Value};

/// The most properties that are kept, and the longest value, in characters.
const MAX_PROPERTIES: usize = 40;
const MAX_VALUE: usize = 2000;

/// What a page says of itself.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// By the names of OpenGraph.
    pub(super) told: Map<String, Value>,
    /// Where its picture is.
    pub(super) picture: Option<String>,
}

/// The text of a page: UTF-8, or what most pages are that are not.
pub(super) fn text(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(1024)];
    let latin = String::from_utf8_lossy(head).to_ascii_lowercase().contains("charset=iso-8859-1");
    if latin && std::str::from_utf8(bytes).is_err() {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    String::from_utf8_lossy(bytes).into_owned()
}

impl Page {
    pub(super) fn read(html: &str) -> Self {
        let mut page = Self::default();
        let (mut title, mut description) = (None, None);
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase();
            let attributes;
            (attributes, rest) = tag(&rest[end..]);
            match name.as_str() {
                "meta" => page.meta(&attributes, &mut description),
                "title" => {
                    let (inside, after) = until_end(rest, "</title");
                    title = title.or_else(|| Some(tidy(inside)));
                    rest = after;
                }
                "script" | "style" | "textarea" | "template" | "noscript" => {
                    rest = until_end(rest, &format!("</{name}")).1;
                }
                _ => {}
            }
        }
        page.or("og:title", title);
        page.or("og:description", description);
        page
    }

    fn meta(&mut self, attributes: &[(String, &str)], description: &mut Option<String>) {
        let of = |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let Some(content) = of("content") else { return };
        let Some(property) = of("property").or_else(|| of("name")) else { return };
        let property = property.to_ascii_lowercase();
        match property.as_str() {
            "description" => *description = description.take().or_else(|| Some(tidy(content))),
            "og:image" | "og:image:url" | "og:image:secure_url" => {
                self.picture.get_or_insert_with(|| tidy(content));
            }
            // Of the picture, when it was seen.
            _ if property.starts_with("og:image") => {}
            _ if property.starts_with("og:") && property.len() <= 64 => self.or(&property, Some(tidy(content))),
            _ => {}
        }
    }

    fn or(&mut self, property: &str, value: Option<String>) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return };
        if self.told.len() < MAX_PROPERTIES && !self.told.contains_key(property) {
            self.told.insert(property.to_owned(), value.into());
        }
    }
}

/// The attributes of a tag, after its name, and what follows it.
fn tag(mut rest: &str) -> (Vec<(String, &str)>, &str) {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (attributes, after);
        }
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        let end = rest.find(ends).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            if name.is_empty() {
                // Something that is no attribute, or the end of the page.
                let mut chars = rest.chars();
                if chars.next().is_none() || rest.starts_with('<') {
                    return (attributes, rest);
                }
                rest = chars.as_str();
            }
            continue;
        };
        let value = value.trim_start();
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        rest = after;
        if attributes.len() < 16 {
            attributes.push((name, value));
        }
    }
}

/// What stands before an end tag, and what after it. Without one, nothing follows.
fn until_end<'a>(rest: &'a str, end: &str) -> (&'a str, &'a str) {
    let bytes = rest.as_bytes();
    let at = (0..bytes.len()).find(|at| {
        bytes[*at] == b'<'
            && bytes.get(*at..at + end.len()).is_some_and(|found| found.eq_ignore_ascii_case(end.as_bytes()))
    });
    at.map_or((rest, ""), |at| (&rest[..at], &rest[at + end.len()..]))
}

/// Text as it is meant: entities are what they stand for, white space is one space, and there is an end.
fn tidy(raw: &str) -> String {
    let mut decoded = String::new();
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity =
            rest[1..].find(';').filter(|end| *end <= 10).and_then(|end| Some((character(&rest[1..=end])?, end)));
        match entity {
            Some((character, end)) => {
                decoded.push(character);
                rest = &rest[end + 2..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
        if decoded.len() > 8 * MAX_VALUE {
            break;
        }
    }
    decoded.push_str(rest);
    let words = decoded.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(MAX_VALUE).collect()
}

fn character(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "middot" => '·',
        "copy" => '©',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_says_what_it_is() {
        let page = Page::read(
            "<!doctype html><!-- <meta property=og:title content=no> --><head>\n\
             <script>if (a<b) document.write('<meta property=\"og:title\" content=\"no\">')</script>\n\
             <title>A &amp; B \n &#8211; c&#x21;</title><META Property='og:Type' CONTENT=article />\n\
             <meta name=\"description\" content=\"It's &quot;tea&quot; &unknown; & more\">\n\
             <meta property=\"og:image:width\" content=\"9\"><meta property=og:image content=/tea.png>\n\
             <meta property=\"og:image\" content=\"/second.png\"></head><body><p title='>'>text",
        );
        assert_eq!(
            Value::from(page.told),
            json!({ "og:title": "A & B – c!", "og:type": "article", "og:description": "It's \"tea\" &unknown; & more" })
        );
        assert_eq!(page.picture.as_deref(), Some("/tea.png"));
    }

    #[test]
    fn what_the_graph_says_comes_first() {
        let page =
            Page::read("<title>one</title><meta property=og:title content=two><meta name=og:title content=three>");
        assert_eq!(Value::from(page.told), json!({ "og:title": "two" }));
    }

    #[test]
    fn pages_that_do_not_end_are_read_in_time() {
        for piece in
            ["<", "<meta ", "<meta content='", "<title>", "<!--", "<a b=", "&", "<script>", "</title", "< / = >"]
        {
            let page = piece.repeat(200_000 / piece.len());
            let read = Page::read(&page);
            assert!(read.picture.is_none());
        }
    }

    #[test]
    fn old_pages_are_read_too() {
        let page = b"<meta http-equiv=Content-Type content='text/html; charset=ISO-8859-1'><title>caf\xe9</title>";
        assert_eq!(Page::read(&text(page)).told["og:title"], "café");
    }

    proptest! {
        #[test]
        fn any_page_is_read(html in "[<>a-z='\"/& ;!é-]{0,200}") {
            let page = Page::read(&html);
            prop_assert!(page.told.len() <= MAX_PROPERTIES);
        }
    }
}
