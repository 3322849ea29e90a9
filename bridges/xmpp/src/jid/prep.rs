//! Preparation of the parts of an address, where it is possible: what a server would make of them.

use std::borrow::Cow;

/// Of a node: folded to lower case and NFKC.
pub(super) fn node(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'%')) {
        return Cow::Borrowed(text);
    }
    stable(text, |text| stringprep::nodeprep(text).ok().map(Cow::into_owned))
}

/// Of a domain.
pub(super) fn domain(text: &str) -> Cow<'_, str> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')) {
        return Cow::Borrowed(text);
    }
    stable(text, |text| {
        let prepared = stringprep::nameprep(text).ok()?.into_owned();
        Some(prepared.strip_suffix('.').map_or(prepared.clone(), str::to_owned))
    })
}

/// Of a resource.
pub(super) fn resource(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    stable(text, |text| stringprep::resourceprep(text).ok().map(Cow::into_owned))
}

/// Whether every server takes it as a resource, and so as a nick.
pub fn is_strict_resource(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= super::MAX_PART
        && stringprep::resourceprep(text).is_ok_and(|prepared| prepared == text)
}

/// Prepared until nothing changes any more, so that an address that was read is read again as itself; as it came where that
/// cannot be.
fn stable(text: &str, prepare: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let mut now = text.to_owned();
    for _ in 0..4 {
        match prepare(&now) {
            Some(next) if next == now => return Cow::Owned(now),
            Some(next) if !next.is_empty() => now = next,
            _ => return Cow::Borrowed(text),
        }
    }
    Cow::Borrowed(text)
}
