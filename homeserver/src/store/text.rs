//! Texts of events as columns: PostgreSQL's `TEXT` cannot hold U+0000, which a state key may.

use std::borrow::Cow;

/// Writes U+0000 as U+0001 `0` and U+0001 as U+0001 `1`; nothing else changes.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => out.push_str("\u{1}0"),
            '\u{1}' => out.push_str("\u{1}1"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The inverse of [`encode`].
pub(crate) fn decode(text: String) -> String {
    if !text.contains('\u{1}') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1}' => out.push(if characters.next() == Some('0') { '\0' } else { '\u{1}' }),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[\\x00-\\x02a-c0-1é]{0,20}") {
            let encoded = encode(&text);
            prop_assert!(!encoded.contains('\0'));
            prop_assert_eq!(decode(encoded.into_owned()), text);
        }
    }
}
