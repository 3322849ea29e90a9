//! Any formatted line from IRC, to Matrix: the HTML that comes of it says the same to those who read the plain text.

#![no_main]

use landbridge::rich_text::RichText;
use landbridge_irc::convert::formatting::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let text = decode(line);
    let html = text.to_html();
    let _ = RichText::from_html(&html).to_plain();
    for line in text.lines() {
        assert!(!encode(&line).contains(['\r', '\n', '\0']));
    }
});
