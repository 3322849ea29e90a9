//! mIRC formatting ⇄ spans ([formatting](https://modern.ircdocs.horse/formatting)).
//!
//! Hidden text is written in black on black, as IRC users do it, and any text whose two colours are one is read as hidden.

use landbridge::rich_text::{Colour, Inline, RichText, Span, Style};

use super::palette;

const BOLD: char = '\x02';
const COLOUR: char = '\x03';
const HEX_COLOUR: char = '\x04';
const RESET: char = '\x0f';
const MONOSPACE: char = '\x11';
const REVERSE: char = '\x16';
const ITALIC: char = '\x1d';
const STRIKE: char = '\x1e';
const UNDERLINE: char = '\x1f';

/// Reads one line of IRC. Other control characters are dropped.
pub fn decode(line: &str) -> RichText {
    let mut spans = Vec::new();
    let mut state = State::default();
    let mut text = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if !c.is_control() || c == '\t' {
            text.push(c);
            continue;
        }
        let before = state.style();
        state.apply(c, &mut rest);
        if state.style() != before {
            push(&mut spans, &mut text, before);
        }
    }
    push(&mut spans, &mut text, state.style());
    RichText::from_spans(spans)
}

fn push(spans: &mut Vec<Span>, text: &mut String, style: Style) {
    if !text.is_empty() {
        spans.push(Span::styled(std::mem::take(text), style));
    }
}

/// What the codes so far have switched on.
#[derive(Default)]
struct State {
    style: Style,
    hidden: bool,
}

impl State {
    /// Takes in a control character, and what belongs to it from `rest`.
    fn apply(&mut self, c: char, rest: &mut &str) {
        let style = &mut self.style;
        match c {
            BOLD => style.bold = !style.bold,
            ITALIC => style.italic = !style.italic,
            UNDERLINE => style.underline = !style.underline,
            STRIKE => style.strike = !style.strike,
            MONOSPACE => style.monospace = !style.monospace,
            REVERSE => style.reverse = !style.reverse,
            RESET => *self = Self::default(),
            COLOUR => self.colours(take_number(rest), rest, take_number),
            HEX_COLOUR => self.colours(take_hex(rest), rest, take_hex),
            _ => {}
        }
    }

    fn colours<T: PartialEq + Copy + Into<Wanted>>(
        &mut self,
        foreground: Option<T>,
        rest: &mut &str,
        take: fn(&mut &str) -> Option<T>,
    ) {
        let Some(foreground) = foreground else {
            (self.style.foreground, self.style.background, self.hidden) = (None, None, false);
            return;
        };
        self.style.foreground = foreground.into().0;
        self.hidden = false;
        let mut after = *rest;
        if after.starts_with(',') {
            after = &after[1..];
            if let Some(background) = take(&mut after) {
                *rest = after;
                self.style.background = background.into().0;
            }
        }
        self.hidden = self.style.foreground.is_some() && self.style.foreground == self.style.background;
    }

    fn style(&self) -> Style {
        if !self.hidden {
            return self.style.clone();
        }
        Style { spoiler: true, foreground: None, background: None, ..self.style.clone() }
    }
}

/// A colour, or none for the reader's own.
struct Wanted(Option<Colour>);

impl From<u8> for Wanted {
    fn from(number: u8) -> Self {
        Self(palette::colour(number))
    }
}

impl From<Colour> for Wanted {
    fn from(colour: Colour) -> Self {
        Self(Some(colour))
    }
}

/// One or two digits.
fn take_number(rest: &mut &str) -> Option<u8> {
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let number = rest[..digits].parse().ok()?;
    *rest = &rest[digits..];
    Some(number)
}

/// Six hexadecimal digits.
fn take_hex(rest: &mut &str) -> Option<Colour> {
    let digits = rest.get(..6).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    *rest = &rest[6..];
    Some(Colour(red, green, blue))
}

/// Writes the spans of one line. Whatever could end the line or be taken for a code is left out; a no-break space becomes a
/// plain one.
pub fn encode(line: &[Span]) -> String {
    let mut out = String::new();
    let mut now = Codes::default();
    for span in line {
        let text: String = span.visible().chars().filter_map(clean).collect();
        if span.content == Inline::Break || text.is_empty() {
            continue;
        }
        let wanted = Codes::of(&span.style);
        wanted.write_after(now, &text, &mut out);
        now = wanted;
        out.push_str(&text);
    }
    out
}

/// What [`encode`] would take, in bytes.
pub fn cost(line: &[Span]) -> usize {
    encode(line).len()
}

fn clean(c: char) -> Option<char> {
    match c {
        '\u{a0}' => Some(' '),
        '\u{2028}' | '\u{2029}' => Some(' '),
        '\t' => Some(c),
        c => (!c.is_control()).then_some(c),
    }
}

/// A style as IRC has it.
#[derive(Clone, Copy, Default, PartialEq)]
struct Codes {
    /// Bold, italic, underline, strike, monospace, reverse.
    toggles: [bool; 6],
    foreground: Option<u8>,
    background: Option<u8>,
}

impl Codes {
    const TOGGLES: [char; 6] = [BOLD, ITALIC, UNDERLINE, STRIKE, MONOSPACE, REVERSE];

    fn of(style: &Style) -> Self {
        let toggles = [style.bold, style.italic, style.underline, style.strike, style.monospace, style.reverse];
        let (foreground, background) = if style.spoiler {
            (Some(palette::BLACK), Some(palette::BLACK))
        } else {
            (style.foreground.map(palette::nearest), style.background.map(palette::nearest))
        };
        // Two colours that are near to one would hide the text.
        let background = background.filter(|_| style.spoiler || background != foreground);
        Self { toggles, foreground, background }
    }

    /// Writes what leads from `before` to this, in front of `text`.
    fn write_after(self, mut before: Self, text: &str, out: &mut String) {
        let colours = (self.foreground, self.background);
        let loses = (before.foreground.is_some() && self.foreground.is_none())
            || (before.background.is_some() && self.background.is_none());
        if loses || (self == Self::default() && before != self) {
            out.push(RESET);
            before = Self::default();
        }
        for (code, (is, was)) in Self::TOGGLES.into_iter().zip(self.toggles.into_iter().zip(before.toggles)) {
            if is != was {
                out.push(code);
            }
        }
        if colours == (before.foreground, before.background) {
            return;
        }
        out.push(COLOUR);
        out.push_str(&format!("{:02}", self.foreground.unwrap_or(palette::DEFAULT)));
        if let Some(background) = self.background {
            out.push_str(&format!(",{background:02}"));
        } else if text.starts_with(',') {
            // Or the comma would lead to a background.
            out.extend([BOLD, BOLD]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, html: &str) {
        assert_eq!(decode(line).to_html(), html, "{line:?}");
    }

    #[test]
    fn every_code_is_read() {
        check(
            "\x02b\x02 \x1di\x1d \x1fu\x1f \x1es\x1e \x11m\x11",
            "<strong>b</strong> <em>i</em> <u>u</u> <del>s</del> <code>m</code>",
        );
        check("\x02\x1da\x0fb", "<strong><em>a</em></strong>b");
        check("\x034red\x03 x", "<span data-mx-color=\"#ff0000\">red</span> x");
        check(
            "\x0304,02a\x0399b",
            "<span data-mx-color=\"#ff0000\" data-mx-bg-color=\"#00007f\">a</span><span data-mx-bg-color=\"#00007f\">b</span>",
        );
        check("\x0352a", "<span data-mx-color=\"#ff0000\">a</span>");
        check("\x04ff8000,000001a\x04b", "<span data-mx-color=\"#ff8000\" data-mx-bg-color=\"#000001\">a</span>b");
        check("\x16a", "<span data-mx-color=\"#ffffff\" data-mx-bg-color=\"#000000\">a</span>");
        check("\x031,1secret\x03 x", "<span data-mx-spoiler>secret</span> x");
    }

    #[test]
    fn what_is_no_code_stays_text() {
        check("\x03,5a", ",5a");
        check("\x034,a", "<span data-mx-color=\"#ff0000\">,a</span>");
        check("\x04xyz", "xyz");
        check("a\x01\x05\x1bb\u{9b}c", "abc");
        check("\x03123", "<span data-mx-color=\"#0000fc\">3</span>");
        check("\x02\x03\x04\x0f", "");
        check("\x04ff80éé", "ff80éé");
    }

    #[test]
    fn styles_are_written() {
        for (html, line) in [
            ("<b>b</b> <i>i</i>", "\x02b\x0f \x1di"),
            ("<b>a<i>b</i>c</b>", "\x02a\x1db\x1dc"),
            ("<font color=red>a</font>b", "\x0304a\x0fb"),
            ("<font color=red>,1</font>", "\x0304\x02\x02,1"),
            ("<font color=red>1</font>", "\x03041"),
            ("<span data-mx-bg-color=#ffffff>a</span>", "\x0399,00a"),
            ("<span data-mx-spoiler>x</span>5", "\x0301,01x\x0f5"),
            ("<span data-mx-color=#ff0001 data-mx-bg-color=#ff0000>x</span>", "\x0304x"),
            ("a&nbsp;b\x01", "a b"),
        ] {
            assert_eq!(encode(&RichText::from_html(html).lines()[0]), line, "{html}");
        }
    }

    #[test]
    fn p15_no_text_ends_its_line_or_becomes_a_ctcp() {
        let evil = Span {
            content: Inline::Text("\x01VERSION\x01\r\nQUIT\0\u{85}\u{2028}x".to_owned()),
            style: Style::default(),
            link: None,
        };
        assert_eq!(encode(&[evil]), "VERSIONQUIT x");
    }

    fn any_style() -> impl Strategy<Value = Style> {
        (any::<[bool; 7]>(), prop::option::of(0_u8..99), prop::option::of(0_u8..99)).prop_map(
            |(on, foreground, background)| {
                let distinct = foreground.and_then(palette::colour) != background.and_then(palette::colour);
                Style {
                    bold: on[0],
                    italic: on[1],
                    underline: on[2],
                    strike: on[3],
                    monospace: on[4],
                    reverse: on[5],
                    spoiler: on[6],
                    foreground: foreground.filter(|_| !on[6]).and_then(palette::colour),
                    background: background.filter(|_| !on[6] && distinct).and_then(palette::colour),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn writing_and_reading_gives_the_same(spans in prop::collection::vec(("[a-z0-9, ]{1,5}", any_style()), 0..8)) {
            let mut expected: Vec<Span> = Vec::new();
            for (text, style) in spans {
                match expected.last_mut() {
                    Some(Span { content: Inline::Text(last), style: same, .. }) if *same == style => last.push_str(&text),
                    _ => expected.push(Span::styled(text, style)),
                }
            }
            prop_assert_eq!(decode(&encode(&expected)), RichText::from_spans(expected));
        }

        #[test]
        fn any_line_is_stable_after_one_pass(line in "[\\x01-\\x1f0-9a-f,é ]{0,40}") {
            let line = decode(&line).lines().first().map(|line| encode(line)).unwrap_or_default();
            let again = decode(&line).lines().first().map(|line| encode(line)).unwrap_or_default();
            prop_assert_eq!(line, again);
        }

        #[test]
        fn no_line_is_ever_broken(text in any::<String>(), style in any_style()) {
            let line = encode(&[Span { content: Inline::Text(text), style, link: None }]);
            prop_assert!(!line.contains(['\r', '\n', '\0', '\x01']));
        }
    }
}
