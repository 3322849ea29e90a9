use proptest::prelude::*;

use super::*;
use crate::rich_text::{Block, Colour, Inline, Mention, Span, Style};

/// Reads HTML, writes it again and compares.
#[track_caller]
fn check(html: &str, expected: &str, plain: &str) {
    let text = RichText::from_html(html);
    assert_eq!(text.to_html(), expected, "{html}");
    assert_eq!(text.to_plain(), plain, "{html}");
}

#[test]
fn styles() {
    check(
        "<b>a</b> <i>b</i> <u>c</u> <s>d</s> <code>e</code>",
        "<strong>a</strong> <em>b</em> <u>c</u> <del>d</del> <code>e</code>",
        "a b c d e",
    );
    check("<b>a<i>b</b>c</i>d", "<strong>a<em>b</em></strong><em>c</em>d", "abcd");
    check(
        "<font color='red'>a</font><span data-mx-bg-color=#00ff00>b</span>",
        "<span data-mx-color=\"#ff0000\">a</span><span data-mx-bg-color=\"#00ff00\">b</span>",
        "ab",
    );
    check("<span data-mx-spoiler='film'>x</span>", "(film) <span data-mx-spoiler>x</span>", "(film) x");
}

#[test]
fn p18_formatting_survives_what_is_unknown() {
    check(
        "<b>a</b> &amp; <blink>b</blink> &foo; <a href='https://x.example/'>c</a>",
        "<strong>a</strong> &amp; b &amp;foo; <a href=\"https://x.example/\">c</a>",
        "a & b &foo; c (https://x.example/)",
    );
    check("<b>1 < 2</b><i", "<strong>1 &lt; 2</strong>&lt;i", "1 < 2<i");
}

#[test]
fn blocks() {
    check("<p>a</p><p>b<br/>c</p>", "<p>a</p><p>b<br>c</p>", "a\n\nb\nc");
    check(
        "<blockquote><p>a</p><blockquote>b</blockquote></blockquote>c",
        "<blockquote><p>a</p><blockquote>b</blockquote></blockquote><p>c</p>",
        "> a\n> > b\nc",
    );
    check(
        "<ul><li>a</li><li>b<ol start=3><li>c</ol></ul>",
        "<ul><li>a</li><li><p>b</p><ol start=\"3\"><li>c</li></ol></li></ul>",
        "- a\n- b\n  3. c",
    );
    check(
        "<pre><code class=\"language-rust\">fn <b>x</b>() {\n  &lt;\n}\n</code></pre>",
        "<pre><code class=\"language-rust\">fn x() {\n  &lt;\n}</code></pre>",
        "fn x() {\n  <\n}",
    );
    check("<h1>a</h1><hr>b", "<h1>a</h1><hr><p>b</p>", "# a\n---\nb");
    check(
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
        "<p>a | b</p><p>1 | 2</p>",
        "a | b\n\n1 | 2",
    );
}

#[test]
fn white_space_collapses() {
    check("  a \n\t b  <br>  c  ", "a b<br>c", "a b\nc");
    assert_eq!(RichText::plain("a   b").to_html(), "a &nbsp; b");
}

#[test]
fn links_and_images() {
    check("<a href='javascript:alert(1)'>x</a>", "x", "x");
    check(
        "<a href='https://x.example/'>https://x.example</a>",
        "<a href=\"https://x.example/\">https://x.example</a>",
        "https://x.example",
    );
    check("<img src='mxc://a/b' alt=':cat:' data-mx-emoticon>", ":cat:", ":cat:");
    check("<script>alert(1)</script>a<style>x</style>", "a", "a");
}

#[test]
fn a_link_with_an_empty_part_leads_to_nobody() {
    for path in ["///matrixy", "//", "////", "/@bob:x//", "//@bob:x", "/!r:x//$e", "/%2F//", "/@bob:x/$e//"] {
        let href = format!("https://matrix.to/#{path}");
        let text = RichText::from_html(&format!("see <a href=\"{href}\">this</a>"));
        assert_eq!(text.to_html(), format!("see <a href=\"{href}\">this</a>"), "{href}");
    }
}

#[test]
fn pills_become_mentions() {
    let text = RichText::from_html("hi <a href=\"https://matrix.to/#/@bob:example.org\">Bob <b>B</b></a>: yo");
    let RichText { blocks } = &text;
    let [Block::Paragraph(spans)] = blocks.as_slice() else { panic!("{blocks:?}") };
    let bob = ruma::user_id!("@bob:example.org").to_owned();
    assert_eq!(spans[1], Span::mention(Mention::Matrix(bob.clone()), "Bob B"));
    let rendered = text.to_matrix();
    assert_eq!(rendered.body, "hi Bob B: yo");
    assert_eq!(
        rendered.formatted_body.as_deref(),
        Some("hi <a href=\"https://matrix.to/#/@bob:example.org\">Bob B</a>: yo")
    );
    assert!(rendered.mentions.user_ids.contains(&bob) && !rendered.mentions.room);
}

#[test]
fn mentions_can_be_mapped_to_and_from_the_network() {
    let text = RichText::from_spans(vec![Span::mention(Mention::Remote("bob".to_owned()), "bob"), Span::text(" hi")]);
    let unmapped = text.clone().map_mentions(&mut |_| None);
    assert_eq!(unmapped.to_matrix().formatted_body, None);
    let mapped = text.map_mentions(&mut |_| Some(Mention::Matrix(ruma::user_id!("@irc_bob:x").to_owned())));
    assert_eq!(mapped.to_matrix().mentions.user_ids.len(), 1);
}

#[test]
fn a_reply_fallback_is_left_out() {
    check(
        "<mx-reply><blockquote><a href=\"https://matrix.to/#/!r:x/$e\">In reply to</a> x</blockquote></mx-reply>yes",
        "yes",
        "yes",
    );
}

#[test]
fn room_pings_come_from_mentions_only() {
    let rendered = RichText::plain("@room look").to_matrix();
    assert!(!rendered.mentions.room);
    let text = RichText::from_spans(vec![Span::mention(Mention::Room, "@room"), Span::text(" look")]);
    assert!(text.to_matrix().mentions.room);
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = "<blockquote><ul><li>".repeat(20_000) + "x";
    let text = RichText::from_html(&deep);
    assert_eq!(text.to_plain().matches('x').count(), 0, "beyond MAX_HTML nothing is read");
    let deep = "<blockquote><ul><li>".repeat(3_000) + "x";
    let text = RichText::from_html(&deep);
    assert!(text.to_plain().ends_with('x'));
    serde_json::from_str::<RichText>(&serde_json::to_string(&text).unwrap()).unwrap();
    for evil in ["<a ", "<a b=\"", "<!--", "<!", "</", "&", "<a href='", "<b>", "</b>"] {
        RichText::from_html(&evil.repeat(60_000 / evil.len())).to_matrix();
    }
    let long = RichText::plain(&"ä".repeat(60_000)).to_matrix();
    assert!(long.body.len() <= MAX_BODY && long.body.ends_with("ä… (cut off: the message was too long)"));
    assert_eq!(RichText::plain(&"ä".repeat(MAX_BODY / 2)).to_matrix().body.len(), MAX_BODY, "all of it");
}

fn any_html() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z &<>\"'\n\t@]{0,8}",
        1 => any::<String>(),
        4 => prop::sample::select(vec![
            "<b>", "</b>", "<i>", "</i>", "<p>", "</p>", "<br>", "<ul>", "</ul>", "<ol start=4>", "</ol>", "<li>", "</li>", "<blockquote>",
            "</blockquote>", "<pre>", "</pre>", "<code>", "</code>", "<span data-mx-spoiler=x>", "<span data-mx-color=#123456>", "</span>",
            "<a href='https://matrix.to/#/@a:b'>", "<a href='https://x.y/'>", "</a>", "<h2>", "</h2>", "<hr>", "<mx-reply>", "</mx-reply>", "&nbsp;",
            "&amp;", "<img alt='x'>", "<td>", "<tr>", "<div>", "</div>", " ", "@room",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_text() -> impl Strategy<Value = RichText> {
    let style = (any::<[bool; 7]>(), any::<Option<(u8, u8, u8)>>()).prop_map(|(on, colour)| Style {
        bold: on[0],
        italic: on[1],
        underline: on[2],
        strike: on[3],
        monospace: on[4],
        reverse: on[5],
        spoiler: on[6],
        foreground: colour.map(|(r, g, b)| Colour(r, g, b)),
        background: None,
    });
    let span = (prop_oneof![Just("\n".to_owned()), any::<String>()], style)
        .prop_map(|(text, style)| if text == "\n" { Span::line_break() } else { Span::styled(text, style) });
    prop::collection::vec(span, 0..8).prop_map(RichText::from_spans)
}

fn assert_clean(text: &RichText) {
    text.for_each_span(&mut |span| {
        assert!(!span.visible().contains(crate::rich_text::is_unwanted));
        assert!(span.link.as_deref().is_none_or(is_safe_link));
        assert!(!matches!(span.content, Inline::Mention { target: Mention::Room | Mention::Remote(_), .. }));
    });
}

proptest! {
    #[test]
    fn reading_what_was_written_changes_nothing(html in any_html()) {
        let once = RichText::from_html(&html);
        assert_clean(&once);
        let twice = RichText::from_html(&once.to_html());
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(once.to_html(), twice.to_html());
    }

    #[test]
    fn any_text_is_stable_after_one_pass(text in any_text()) {
        let html = RichText::from_html(&text.to_html()).to_html();
        prop_assert_eq!(RichText::from_html(&html).to_html(), html);
    }

    #[test]
    fn nothing_is_mentioned_that_was_no_mention(text in any_text()) {
        let rendered = text.to_matrix();
        prop_assert!(rendered.mentions.user_ids.is_empty() && !rendered.mentions.room);
        let read = RichText::from_html(&rendered.formatted_body.unwrap_or_default());
        prop_assert!(read.to_matrix().mentions.user_ids.is_empty());
    }
}
