//! Lines, for networks that know nothing larger: blocks become lines of spans, and a long line is cut to a limit.

use super::{Block, Inline, RichText, Span, Style, plain::list_marker, plain::shows_address};

/// One line: spans without line breaks. Links are written out behind their text, because a line has no links.
pub type Line = Vec<Span>;

impl RichText {
    /// The text as lines. Quotes get `> `, list items `• ` or their number, headings are bold and code is monospace.
    /// Lines without anything in them are left out.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        flatten(&self.blocks, &mut lines);
        lines.retain(|line| line.iter().any(|span| !span.visible().trim().is_empty()));
        lines
    }
}

fn flatten(blocks: &[Block], lines: &mut Vec<Line>) {
    for block in blocks {
        match block {
            Block::Paragraph(spans) => split_breaks(spans, false, lines),
            Block::Heading { spans, .. } => split_breaks(spans, true, lines),
            Block::Code { text, .. } => {
                let style = Style { monospace: true, ..Style::default() };
                lines.extend(text.split('\n').map(|line| vec![Span::styled(line, style.clone())]));
            }
            Block::Quote(inner) => prefixed(inner, "> ", "> ", lines),
            Block::List { start, items } => {
                for (number, item) in items.iter().enumerate() {
                    let marker = if start.is_some() { list_marker(*start, number) } else { "• ".to_owned() };
                    let indent = " ".repeat(marker.chars().count());
                    prefixed(item, &marker, &indent, lines);
                }
            }
            Block::Rule => lines.push(vec![Span::text("———")]),
        }
    }
}

fn prefixed(blocks: &[Block], first: &str, rest: &str, lines: &mut Vec<Line>) {
    let from = lines.len();
    flatten(blocks, lines);
    for (number, line) in lines[from..].iter_mut().enumerate() {
        line.insert(0, Span::text(if number == 0 { first } else { rest }));
    }
}

fn split_breaks(spans: &[Span], bold: bool, lines: &mut Vec<Line>) {
    for part in spans.split(|span| span.content == Inline::Break) {
        let mut line = Line::new();
        let mut at = 0;
        while let Some(span) = part.get(at) {
            let run = part[at..].iter().take_while(|other| other.link == span.link).count();
            let linked = &part[at..at + run];
            line.extend(linked.iter().map(|span| Span { link: None, ..span.clone() }));
            if let Some(link) = &span.link {
                let shown: String = linked.iter().map(Span::visible).collect();
                if !shows_address(shown.trim(), link) {
                    line.push(Span::text(format!(" ({link})")));
                }
            }
            at += run;
        }
        if bold {
            line.iter_mut().for_each(|span| span.style.bold = true);
        }
        lines.push(line);
    }
}

/// Cuts a line into pieces whose `cost` is at most `limit`, between words where that wastes less than half of a piece, else
/// between characters, never inside what a reader takes for one. Styles go on in the next piece.
///
/// `cost` is what a piece takes on the wire, in bytes: at least as much as its text, and more with every span added. A limit
/// too small for one character is passed over: a piece holds one at least.
pub fn wrap(line: &[Span], limit: usize, cost: &dyn Fn(&[Span]) -> usize) -> Vec<Line> {
    let mut pieces = Vec::new();
    let mut rest: Line = line.iter().filter(|span| !span.visible().is_empty()).cloned().collect();
    let mut rest: &mut Line = &mut rest;
    let mut next;
    while !rest.is_empty() {
        if fits(rest, limit, cost) {
            pieces.push(std::mem::take(rest));
            break;
        }
        let window = window(rest, limit);
        // A pile of accents can be longer than any line: then it is cut between them.
        let cut = best_cut(&window, &cuts(&window), limit, cost)
            .or_else(|| best_cut(&window, &char_cuts(&window), limit, cost))
            .unwrap_or_else(|| char_cuts(&window)[0]);
        let cut = word_cut(&window, cut).unwrap_or(cut);
        let (piece, tail) = split_at(rest, cut);
        pieces.push(trim(piece, false));
        next = trim(tail, true);
        rest = &mut next;
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Whether a line fits as it is; a line with much more text than the limit is not even measured.
fn fits(line: &[Span], limit: usize, cost: &dyn Fn(&[Span]) -> usize) -> bool {
    let mut text = 0;
    line.iter().all(|span| {
        text += span.visible().len();
        text <= limit
    }) && cost(line) <= limit
}

trait Visible {
    fn len_visible(&self) -> usize;
}

impl Visible for [Span] {
    fn len_visible(&self) -> usize {
        self.iter().map(|span| span.visible().len()).sum()
    }
}

/// The spans at the start that can possibly fit, and one character more.
fn window(line: &[Span], limit: usize) -> Line {
    let max = limit.max(1) + 64;
    let mut text = 0;
    let count = line
        .iter()
        .take_while(|span| {
            let fits = text < max;
            text += span.visible().len();
            fits
        })
        .count();
    let end = line[..count].len_visible().min(max);
    let whole: String = line[..count].iter().map(Span::visible).collect();
    split_at(&line[..count], whole.floor_char_boundary(end)).0
}

/// Where the text may be cut, in bytes from its start.
fn cuts(line: &[Span]) -> Vec<usize> {
    let text: String = line.iter().map(Span::visible).collect();
    let mut cuts = Vec::new();
    let mut before = '\0';
    let mut flags = 0_usize;
    for (at, c) in text.char_indices() {
        let is_flag = matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
        let second_flag = is_flag && flags % 2 == 1;
        if at > 0 && !continues(c) && before != '\u{200d}' && !second_flag {
            cuts.push(at);
        }
        flags = if is_flag { flags + 1 } else { 0 };
        before = c;
    }
    cuts.push(text.len());
    cuts
}

/// Between all characters, and the end.
fn char_cuts(line: &[Span]) -> Vec<usize> {
    let text: String = line.iter().map(Span::visible).collect();
    text.char_indices().skip(1).map(|(at, _)| at).chain([text.len()]).collect()
}

/// The last of `cuts` before which everything fits.
fn best_cut(line: &[Span], cuts: &[usize], limit: usize, cost: &dyn Fn(&[Span]) -> usize) -> Option<usize> {
    let fitting = cuts.partition_point(|cut| cost(&split_at(line, *cut).0) <= limit);
    fitting.checked_sub(1).and_then(|last| cuts.get(last).copied())
}

/// Whether a character is part of the one before it.
fn continues(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
        || matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

/// The last end of a word before `cut`, unless that is in the first half.
fn word_cut(line: &[Span], cut: usize) -> Option<usize> {
    let text: String = line.iter().map(Span::visible).collect();
    if text[cut..].starts_with(' ') {
        return Some(cut);
    }
    text[..cut].rfind(' ').map(|at| at + 1).filter(|at| *at > cut / 2)
}

fn split_at(line: &[Span], at: usize) -> (Line, Line) {
    let (mut head, mut tail) = (Line::new(), Line::new());
    let mut from = 0;
    for span in line {
        let text = span.visible();
        let cut = at.saturating_sub(from).min(text.len());
        from += text.len();
        if cut > 0 {
            head.push(with_text(span, &text[..cut]));
        }
        if cut < text.len() {
            tail.push(with_text(span, &text[cut..]));
        }
    }
    (head, tail)
}

fn with_text(span: &Span, part: &str) -> Span {
    let content = match &span.content {
        Inline::Text(_) => Inline::Text(part.to_owned()),
        Inline::Mention { target, .. } => Inline::Mention { target: target.clone(), text: part.to_owned() },
        Inline::Break => Inline::Break,
    };
    Span { content, ..span.clone() }
}

/// Takes the spaces off the start or the end, where a cut made them useless.
fn trim(line: Line, start: bool) -> Line {
    let text: String = line.iter().map(Span::visible).collect();
    if start {
        split_at(&line, text.len() - text.trim_start_matches(' ').len()).1
    } else {
        split_at(&line, text.trim_end_matches(' ').len()).0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &[Span]) -> String {
        line.iter().map(Span::visible).collect()
    }

    fn bytes(line: &[Span]) -> usize {
        line.len_visible() + 2 * line.iter().filter(|span| !span.style.is_plain()).count()
    }

    #[test]
    fn blocks_become_lines() {
        let html = "<p>a <a href='https://x.y/'>b</a></p><blockquote>c<br>d</blockquote><ul><li>e</li></ul><pre>f\n\n  g</pre><h1>h</h1>";
        let lines: Vec<_> = RichText::from_html(html).lines().iter().map(|line| shown(line)).collect();
        assert_eq!(lines, ["a b (https://x.y/)", "> c", "> d", "• e", "f", "  g", "h"]);
    }

    #[test]
    fn long_lines_are_cut_between_words() {
        let line = [Span::text("the quick brown fox")];
        let pieces: Vec<_> = wrap(&line, 10, &bytes).iter().map(|line| shown(line)).collect();
        assert_eq!(pieces, ["the quick", "brown fox"]);
        let pieces: Vec<_> = wrap(&[Span::text("abcdefgh")], 3, &bytes).iter().map(|line| shown(line)).collect();
        assert_eq!(pieces, ["abc", "def", "gh"]);
    }

    #[test]
    fn what_reads_as_one_character_stays_whole() {
        for one in ["é", "👍🏽", "👨\u{200d}👩\u{200d}👧", "🇩🇪"] {
            let line = [Span::text(format!("ab{one}{one}"))];
            for limit in one.len()..one.len() + 4 {
                for piece in wrap(&line, limit, &bytes) {
                    let rest = shown(&piece).replace(one, "").replace(['a', 'b'], "");
                    assert_eq!(rest, "", "{one} at {limit}");
                }
            }
        }
    }

    #[test]
    fn even_one_endless_character_obeys_the_limit() {
        let line = [Span::text(format!("a{}", "\u{301}".repeat(300)))];
        assert!(wrap(&line, 50, &bytes).iter().all(|piece| bytes(piece) <= 50));
    }

    #[test]
    fn cutting_is_fast_enough_for_the_longest_event() {
        let line = [Span::text("word ".repeat(13_000))];
        assert!(wrap(&line, 400, &bytes).len() > 160);
    }

    proptest! {
        #[test]
        fn pieces_obey_the_limit_and_lose_only_spaces(
            texts in prop::collection::vec(("\\PC{0,30}", any::<bool>()), 0..6),
            limit in 8_usize..60,
        ) {
            let line: Vec<_> = texts.into_iter().map(|(text, bold)| Span::styled(text, Style { bold, ..Style::default() })).collect();
            let pieces = wrap(&line, limit, &bytes);
            for piece in &pieces {
                prop_assert!(bytes(piece) <= limit, "{} > {limit}", bytes(piece));
            }
            let strip = |text: String| text.replace(' ', "");
            prop_assert_eq!(strip(pieces.iter().map(|piece| shown(piece)).collect()), strip(shown(&line)));
            let styled = |line: &[Span]| strip(line.iter().filter(|span| span.style.bold).map(Span::visible).collect());
            prop_assert_eq!(pieces.iter().map(|piece| styled(piece)).collect::<String>(), styled(&line));
        }
    }
}
