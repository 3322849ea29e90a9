//! Message styling ([XEP-0393](https://xmpp.org/extensions/xep-0393.html)): `*strong*`, `_emphasis_`, `~strike~`, `` `code` ``,
//! ```` ``` ```` and `>`.

use landbridge::rich_text::{Block, Inline, RichText, Span, Style};

/// Its namespace: `<unstyled/>` says that a text has no styling, whatever it looks like.
pub const NS: &str = "urn:xmpp:styling:0";

/// The most quotations in each other.
const DEEPEST: usize = 6;

/// Reads a text with styling.
pub fn decode(text: &str) -> RichText {
    let text = text.replace("\r\n", "\n");
    RichText { blocks: blocks(&text.split('\n').collect::<Vec<_>>(), 0) }
}

fn blocks(lines: &[&str], depth: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut paragraph: Vec<Span> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if let Some(language) = line.strip_prefix("```") {
            let end = lines[at + 1..].iter().position(|line| line.trim_end() == "```");
            let inside = &lines[at + 1..end.map_or(lines.len(), |end| at + 1 + end)];
            flush(&mut paragraph, &mut blocks);
            let language = language.trim();
            let is_word =
                !language.is_empty() && language.chars().all(|c| c.is_ascii_alphanumeric() || "+-#_.".contains(c));
            blocks.push(Block::Code { language: is_word.then(|| language.to_owned()), text: inside.join("\n") });
            at += inside.len() + 1 + usize::from(end.is_some());
        } else if line.starts_with('>') && depth < DEEPEST {
            let quoted = lines[at..].iter().take_while(|line| line.starts_with('>'));
            let quoted: Vec<&str> = quoted.map(|line| line[1..].strip_prefix(' ').unwrap_or(&line[1..])).collect();
            flush(&mut paragraph, &mut blocks);
            blocks.push(Block::Quote(self::blocks(&quoted, depth + 1)));
            at += quoted.len();
        } else {
            if !paragraph.is_empty() || (at > 0 && blocks.is_empty()) {
                paragraph.push(Span::line_break());
            }
            spans(line, &Style::default(), &mut paragraph);
            at += 1;
        }
    }
    flush(&mut paragraph, &mut blocks);
    blocks
}

fn flush(paragraph: &mut Vec<Span>, blocks: &mut Vec<Block>) {
    while paragraph.last().is_some_and(|span| span.content == Inline::Break) {
        paragraph.pop();
    }
    if !paragraph.is_empty() {
        blocks.push(Block::Paragraph(std::mem::take(paragraph)));
    }
}

/// Reads one line in a style.
fn spans(line: &str, style: &Style, out: &mut Vec<Span>) {
    let mut rest = line;
    let mut plain = String::new();
    let mut before: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        let opens = before.is_none_or(|before| before.is_whitespace() || is_directive(before));
        if let Some((inside, behind)) = directive(c, opens, rest) {
            push(&mut plain, style, out);
            let styled = with(style, c);
            if c == '`' {
                out.push(Span::styled(inside, styled));
            } else {
                spans(inside, &styled, out);
            }
            rest = behind;
            before = Some(c);
            continue;
        }
        plain.push(c);
        before = Some(c);
        rest = &rest[c.len_utf8()..];
    }
    push(&mut plain, style, out);
}

fn push(plain: &mut String, style: &Style, out: &mut Vec<Span>) {
    if !plain.is_empty() {
        out.push(Span::styled(std::mem::take(plain), style.clone()));
    }
}

fn is_directive(c: char) -> bool {
    matches!(c, '*' | '_' | '~' | '`')
}

/// What is between this directive and its end, and what is behind it. Neither may touch a space inside.
fn directive(c: char, opens: bool, rest: &str) -> Option<(&str, &str)> {
    if !opens || !is_directive(c) {
        return None;
    }
    let inside = &rest[1..];
    if inside.starts_with(char::is_whitespace) {
        return None;
    }
    let mut from = 0;
    while let Some(found) = inside[from..].find(c) {
        let end = from + found;
        let before = inside[..end].chars().next_back();
        if end > 0 && before.is_some_and(|before| !before.is_whitespace()) {
            return Some((&inside[..end], &inside[end + 1..]));
        }
        from = end + 1;
    }
    None
}

fn with(style: &Style, directive: char) -> Style {
    let mut style = style.clone();
    match directive {
        '*' => style.bold = true,
        '_' => style.italic = true,
        '~' => style.strike = true,
        _ => style.monospace = true,
    }
    style
}

/// Writes a text with styling. Says whether what looks like styling in it is none.
pub fn encode(text: &RichText) -> (String, bool) {
    let mut out = String::new();
    encode_blocks(&text.blocks, "", &mut out);
    let out = out.trim_end_matches('\n').to_owned();
    let unstyled = text.is_plain() && !decode(&out).is_plain();
    (out, unstyled)
}

fn encode_blocks(blocks: &[Block], indent: &str, out: &mut String) {
    for block in blocks {
        match block {
            Block::Paragraph(spans) => lines(&encode_spans(spans), indent, out),
            Block::Heading { spans, .. } => {
                let mut bold = spans.clone();
                bold.iter_mut().for_each(|span| span.style.bold = true);
                lines(&encode_spans(&bold), indent, out);
            }
            Block::Code { language, text } => {
                lines(&format!("```{}\n{text}\n```", language.as_deref().unwrap_or_default()), indent, out);
            }
            Block::Quote(inner) => {
                let mut quoted = String::new();
                encode_blocks(inner, "", &mut quoted);
                for line in quoted.trim_end_matches('\n').split('\n') {
                    lines(&format!("> {line}"), indent, out);
                }
            }
            Block::List { start, items } => {
                for (number, item) in items.iter().enumerate() {
                    let mark = match start {
                        Some(start) => format!("{}. ", u64::from(*start) + number as u64),
                        None => "• ".to_owned(),
                    };
                    let mut inner = String::new();
                    encode_blocks(item, "", &mut inner);
                    let inner =
                        inner.trim_end_matches('\n').replace('\n', &format!("\n{}", " ".repeat(mark.chars().count())));
                    lines(&format!("{mark}{inner}"), indent, out);
                }
            }
            Block::Rule => lines("———", indent, out),
        }
    }
}

fn lines(text: &str, indent: &str, out: &mut String) {
    for line in text.split('\n') {
        out.push_str(indent);
        out.push_str(line);
        out.push('\n');
    }
}

/// Marks of styles in the order in which they are put around each other.
fn marks(style: &Style) -> String {
    let marks = [(style.bold, '*'), (style.italic, '_'), (style.strike, '~'), (style.monospace, '`')];
    marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect()
}

fn encode_spans(spans: &[Span]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < spans.len() {
        let style = &spans[at].style;
        let same = spans[at..].iter().take_while(|span| span.style == *style && span.content != Inline::Break).count();
        if same == 0 {
            out.push('\n');
            at += 1;
            continue;
        }
        let text: String = spans[at..at + same].iter().map(visible).collect();
        at += same;
        let marks = marks(style);
        // A mark does not touch a space inside.
        let inner = text.trim();
        if marks.is_empty() || inner.is_empty() {
            out.push_str(&text);
            continue;
        }
        let start = text.len() - text.trim_start().len();
        out.push_str(&text[..start]);
        out.push_str(&marks);
        out.push_str(inner);
        out.extend(marks.chars().rev());
        out.push_str(&text[start + inner.len()..]);
    }
    out
}

/// The text of a span; of a link also where it leads, where the text does not say so.
fn visible(span: &Span) -> String {
    let text = span.visible();
    match &span.link {
        Some(link) if link.as_str() != text && link.strip_prefix("mailto:") != Some(text) => format!("{text} ({link})"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(text: &str) -> String {
        decode(text).to_html()
    }

    #[test]
    fn styling_is_read() {
        let check = |text: &str, expected: &str| assert_eq!(html(text), expected, "{text}");
        check("a *bold* and _slanted_ word", "a <strong>bold</strong> and <em>slanted</em> word");
        check("~gone~ `code *not bold*`", "<del>gone</del> <code>code *not bold*</code>");
        check("*not bold * here* 2*3*4 snake_case_name", "<strong>not bold * here</strong> 2*3*4 snake_case_name");
        check("**", "**");
        check("* a*", "* a*");
    }

    #[test]
    fn blocks_are_read() {
        let text = decode("before\n```rust\nlet *x* = 1;\n\n> no\n```\n> quoted\n> > deeper\nafter");
        let [Block::Paragraph(_), Block::Code { language, text }, Block::Quote(inner), Block::Paragraph(_)] =
            text.blocks.as_slice()
        else {
            panic!("{text:?}")
        };
        assert_eq!((language.as_deref(), text.as_str()), (Some("rust"), "let *x* = 1;\n\n> no"));
        assert!(matches!(inner.as_slice(), [Block::Paragraph(_), Block::Quote(_)]), "{inner:?}");
    }

    #[test]
    fn rich_text_is_written() {
        let check = |html: &str, expected: &str| assert_eq!(encode(&RichText::from_html(html)).0, expected, "{html}");
        check("<strong>bold</strong> and <em>slanted</em>", "*bold* and _slanted_");
        check("<pre><code class=\"language-rust\">a\nb</code></pre>", "```rust\na\nb\n```");
        check("<blockquote>one<br>two</blockquote>three", "> one\n> two\nthree");
        check("<ol start=\"3\"><li>a</li><li>b</li></ol>", "3. a\n4. b");
        check("<a href=\"https://x.test/\">here</a>", "here (https://x.test/)");
        check("a<strong> spaced </strong>b", "a *spaced* b");
    }

    #[test]
    fn plain_text_that_looks_styled_says_so() {
        assert_eq!(encode(&RichText::plain("2 *is* 3")), ("2 *is* 3".to_owned(), true));
        assert_eq!(encode(&RichText::plain("plain")), ("plain".to_owned(), false));
    }

    proptest! {
        #[test]
        fn no_text_is_lost_in_reading(text in "[a-z*_~` >\n]{0,80}") {
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).collect::<String>();
            let rich = decode(&text);
            // The word behind a fence is the language, which is kept beside the text.
            if !text.contains("```") {
                prop_assert_eq!(letters(&rich.to_plain()), letters(&text));
            }
        }

        #[test]
        fn what_is_written_reads_the_same(words in prop::collection::vec(("[a-z]{1,6}", 0_usize..5), 1..6)) {
            let spans = words.iter().enumerate().flat_map(|(number, (word, style))| {
                let style = match style { 0 => Style::default(), 1 => with(&Style::default(), '*'), 2 => with(&Style::default(), '_'), 3 => with(&Style::default(), '~'), _ => with(&Style::default(), '`') };
                let space = (number > 0).then(|| Span::text(" "));
                space.into_iter().chain([Span::styled(word.clone(), style)])
            });
            let rich = RichText::from_spans(spans.collect());
            prop_assert_eq!(decode(&encode(&rich).0).to_html(), rich.to_html());
        }
    }
}
