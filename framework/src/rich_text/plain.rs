//! The plain-text reading of a [`RichText`].

use super::{Block, Inline, RichText, Span};

impl RichText {
    /// The text alone, as the `body` of a Matrix event or a network without formatting shows it: quotes get `> `, list
    /// items `- ` or their number, code stays as it is, and a link whose text is not its address gets it in brackets.
    pub fn to_plain(&self) -> String {
        let mut out = String::new();
        write_blocks(&self.blocks, &mut out);
        out
    }
}

fn write_blocks(blocks: &[Block], out: &mut String) {
    for (number, block) in blocks.iter().enumerate() {
        if number > 0 {
            out.push_str(if is_tight(&blocks[number - 1], block) { "\n" } else { "\n\n" });
        }
        write_block(block, out);
    }
}

/// Whether no empty line stands between two blocks.
fn is_tight(above: &Block, below: &Block) -> bool {
    !matches!((above, below), (Block::Paragraph(_), Block::Paragraph(_)))
}

fn write_block(block: &Block, out: &mut String) {
    match block {
        Block::Paragraph(spans) => write_spans(spans, out),
        Block::Heading { level, spans } => {
            out.extend(std::iter::repeat_n('#', usize::from((*level).clamp(1, 6))));
            out.push(' ');
            write_spans(spans, out);
        }
        Block::Code { text, .. } => out.push_str(text),
        Block::Quote(inner) => write_indented(inner, "> ", "> ", out),
        Block::List { start, items } => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push('\n');
                }
                let marker = list_marker(*start, number);
                let indent = " ".repeat(marker.len());
                write_indented(item, &marker, &indent, out);
            }
        }
        Block::Rule => out.push_str("---"),
    }
}

/// What stands before item `number` (counted from 0) of a list.
pub(super) fn list_marker(start: Option<u32>, number: usize) -> String {
    match start {
        Some(start) => format!("{}. ", u64::from(start) + number as u64),
        None => "- ".to_owned(),
    }
}

fn write_indented(blocks: &[Block], first: &str, rest: &str, out: &mut String) {
    let mut inner = String::new();
    write_blocks(blocks, &mut inner);
    for (number, line) in inner.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out.push_str(if number == 0 { first } else { rest });
        out.push_str(line);
    }
}

fn write_spans(spans: &[Span], out: &mut String) {
    let mut open: Option<(&str, usize)> = None;
    for span in spans {
        if open.is_some_and(|(link, _)| span.link.as_deref() != Some(link)) {
            close_link(open.take(), out);
        }
        if let (None, Some(link)) = (open, span.link.as_deref()) {
            open = Some((link, out.len()));
        }
        match &span.content {
            Inline::Text(text) | Inline::Mention { text, .. } => out.push_str(text),
            Inline::Break => out.push('\n'),
        }
    }
    close_link(open, out);
}

fn close_link(open: Option<(&str, usize)>, out: &mut String) {
    let Some((link, from)) = open else { return };
    if shows_address(out[from..].trim(), link) {
        return;
    }
    if out.len() > from {
        out.push(' ');
    }
    out.push('(');
    out.push_str(link);
    out.push(')');
}

/// Whether the text of a link already tells where it leads.
pub(super) fn shows_address(text: &str, link: &str) -> bool {
    let bare = |s: &str| {
        let s = s
            .strip_prefix("https://")
            .or_else(|| s.strip_prefix("http://"))
            .or_else(|| s.strip_prefix("mailto:"))
            .unwrap_or(s);
        s.trim_end_matches('/').to_owned()
    };
    !text.is_empty() && bare(text) == bare(link)
}

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn plain_text_survives() {
        for text in ["", "hi", "a\nb", "\n", "a\n\nb\n", "  x  "] {
            assert_eq!(RichText::plain(text).to_plain(), text);
        }
        assert_eq!(RichText::plain("a\r\nb\rc\0d").to_plain(), "a\nb\ncd");
    }

    #[test]
    fn blocks_read_like_markdown() {
        let text = RichText {
            blocks: vec![
                Block::Quote(vec![Block::Paragraph(vec![Span::text("a"), Span::line_break(), Span::text("b")])]),
                Block::Paragraph(vec![Span { link: Some("https://x.example/".into()), ..Span::text("see") }]),
                Block::List { start: Some(9), items: vec![vec![Block::Paragraph(vec![Span::text("x")])]; 2] },
            ],
        };
        assert_eq!(text.to_plain(), "> a\n> b\nsee (https://x.example/)\n9. x\n10. x");
    }
}
