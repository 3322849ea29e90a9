//! [`RichText`] → HTML.

use std::borrow::Cow;

use ruma::{UserId, events::Mentions};

use super::{colour, is_safe_link};
use crate::rich_text::{Block, Colour, Inline, Mention, RichText, Span, Style};

/// Writes the whole text.
pub(super) fn render(text: &RichText) -> String {
    let mut out = String::new();
    blocks(&text.blocks, &mut out);
    out
}

/// Everybody the text mentions.
pub(super) fn mentions(text: &RichText) -> Mentions {
    let mut mentions = Mentions::new();
    text.for_each_span(&mut |span| match &span.content {
        Inline::Mention { target: Mention::Matrix(user), .. } => {
            mentions.user_ids.insert(user.clone());
        }
        Inline::Mention { target: Mention::Room, .. } => mentions.room = true,
        Inline::Mention { target: Mention::Remote(_), .. } | Inline::Text(_) | Inline::Break => {}
    });
    mentions
}

fn blocks(blocks: &[Block], out: &mut String) {
    let alone = blocks.len() == 1;
    for block in blocks {
        match block {
            Block::Paragraph(content) if alone => spans(content, out),
            Block::Paragraph(content) => wrapped("p", content, out),
            Block::Heading { level, spans } => {
                let names = ["h1", "h2", "h3", "h4", "h5", "h6"];
                wrapped(names[usize::from((*level).clamp(1, 6) - 1)], spans, out);
            }
            Block::Code { language, text } => code(language.as_deref(), text, out),
            Block::Quote(inner) => {
                out.push_str("<blockquote>");
                self::blocks(inner, out);
                out.push_str("</blockquote>");
            }
            Block::List { start, items } => list(*start, items, out),
            Block::Rule => out.push_str("<hr>"),
        }
    }
}

fn wrapped(name: &str, content: &[Span], out: &mut String) {
    out.extend(["<", name, ">"]);
    spans(content, out);
    out.extend(["</", name, ">"]);
}

fn code(language: Option<&str>, text: &str, out: &mut String) {
    out.push_str("<pre><code");
    if let Some(language) = language {
        out.extend([" class=\"language-", &escape(language), "\""]);
    }
    out.push('>');
    // A line break right after `<pre>` is not shown.
    if text.starts_with('\n') {
        out.push('\n');
    }
    out.push_str(&escape(text));
    out.push_str("</code></pre>");
}

fn list(start: Option<u32>, items: &[Vec<Block>], out: &mut String) {
    match start {
        None => out.push_str("<ul>"),
        Some(1) => out.push_str("<ol>"),
        Some(start) => out.push_str(&format!("<ol start=\"{start}\">")),
    }
    for item in items {
        out.push_str("<li>");
        blocks(item, out);
        out.push_str("</li>");
    }
    out.push_str(if start.is_some() { "</ol>" } else { "</ul>" });
}

/// A tag that is open around a span.
#[derive(Clone, PartialEq)]
struct Tag<'a> {
    name: &'static str,
    attributes: Cow<'a, str>,
}

fn spans(content: &[Span], out: &mut String) {
    let mut open: Vec<Tag<'_>> = Vec::new();
    let mut after_space = true;
    for span in content {
        if span.content == Inline::Break {
            out.push_str("<br>");
            after_space = true;
            continue;
        }
        let wanted = tags(span);
        let common = open.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        close(&mut open, common, out);
        for tag in &wanted[common..] {
            out.extend(["<", tag.name, &tag.attributes, ">"]);
        }
        open = wanted;
        match &span.content {
            Inline::Mention { target: Mention::Matrix(user), text } => pill(user, text, out),
            Inline::Text(text) | Inline::Mention { text, .. } => inline_text(text, &mut after_space, out),
            Inline::Break => {}
        }
        after_space &= matches!(span.content, Inline::Text(_));
    }
    close(&mut open, 0, out);
}

fn close(open: &mut Vec<Tag<'_>>, keep: usize, out: &mut String) {
    for tag in open.drain(keep..).rev() {
        out.extend(["</", tag.name, ">"]);
    }
}

/// The tags a span needs around it, outermost first.
fn tags(span: &Span) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut push = |name, attributes| tags.push(Tag { name, attributes });
    let is_mention = matches!(&span.content, Inline::Mention { target: Mention::Matrix(_), .. });
    if let Some(link) = span.link.as_deref().filter(|link| !is_mention && is_safe_link(link)) {
        push("a", format!(" href=\"{}\"", escape(link)).into());
    }
    if span.style.spoiler {
        push("span", " data-mx-spoiler".into());
    }
    let (foreground, background) = colours(&span.style);
    if foreground.is_some() || background.is_some() {
        let mut attributes = String::new();
        for (name, value) in [("data-mx-color", foreground), ("data-mx-bg-color", background)] {
            if let Some(value) = value {
                attributes.push_str(&format!(" {name}=\"{}\"", colour::render(value)));
            }
        }
        push("span", attributes.into());
    }
    let style = &span.style;
    for (name, wanted) in [
        ("strong", style.bold),
        ("em", style.italic),
        ("u", style.underline),
        ("del", style.strike),
        ("code", style.monospace),
    ] {
        if wanted {
            push(name, "".into());
        }
    }
    tags
}

/// HTML knows no reverse video: the colours change places, black on white where there are none.
fn colours(style: &Style) -> (Option<Colour>, Option<Colour>) {
    if !style.reverse {
        return (style.foreground, style.background);
    }
    (style.background.or(Some(Colour(0xff, 0xff, 0xff))), style.foreground.or(Some(Colour(0, 0, 0))))
}

/// A link to a user, which clients show as a pill.
fn pill(user: &UserId, text: &str, out: &mut String) {
    let shown = if text.trim().is_empty() { user.as_str() } else { text };
    out.push_str("<a href=\"");
    out.push_str(&escape(&user.matrix_to_uri().to_string()));
    out.push_str("\">");
    out.push_str(&escape(shown));
    out.push_str("</a>");
}

/// Text in which spaces that HTML would drop are made to stay.
fn inline_text(text: &str, after_space: &mut bool, out: &mut String) {
    for c in text.chars() {
        let c = if c == ' ' && *after_space { '\u{a0}' } else { c };
        escape_char(c, out);
        *after_space = c == ' ';
    }
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'', '\u{a0}']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| escape_char(c, &mut out));
    out.into()
}

fn escape_char(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\u{a0}' => out.push_str("&nbsp;"),
        c => out.push(c),
    }
}
