//! Any HTML from a Matrix user, to IRC: never a second line, never a line that is too long.

#![no_main]

use landbridge::rich_text::{RichText, wrap};
use landbridge_irc::convert::formatting::{cost, decode, encode};
use libfuzzer_sys::fuzz_target;

/// What a server usually leaves for the text of a line.
const LIMIT: usize = 400;

fuzz_target!(|html: &str| {
    let text = RichText::from_html(html);
    let again = RichText::from_html(&text.to_html());
    assert_eq!(again.to_plain(), RichText::from_html(&again.to_html()).to_plain());
    for line in text.lines() {
        for piece in wrap(&line, LIMIT, &cost) {
            let written = encode(&piece);
            assert!(written.len() <= LIMIT, "{} bytes: {written:?}", written.len());
            assert!(!written.contains(['\r', '\n', '\0']), "{written:?}");
            let _ = decode(&written).to_html();
        }
    }
});
