//! Parts of a file (RFC 9110 §14)

/// Bytes of a file, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes these are.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a `Range` header asks for, of a file of `size` bytes: `None` for the whole (also where the header is not understood, or
/// asks for several parts), `Some(None)` where there is no such part.
#[must_use]
pub fn range_of(header: Option<&str>, size: u64) -> Option<Option<ByteRange>> {
    let spec = header?.strip_prefix("bytes=")?.trim();
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| ByteRange { first: size - length, last: size - 1 }));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < size).then(|| ByteRange { first, last: last.min(size - 1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_as_asked_or_not_at_all() {
        let part = |first, last| Some(Some(ByteRange { first, last }));
        let cases = [
            (None, None),
            (Some("bytes=0-0"), part(0, 0)),
            (Some("bytes=2-"), part(2, 9)),
            (Some("bytes=-3"), part(7, 9)),
            (Some("bytes=-300"), part(0, 9)),
            (Some("bytes=5-300"), part(5, 9)),
            (Some("bytes=10-"), Some(None)),
            (Some("bytes=-0"), Some(None)),
            (Some("bytes=5-4"), None),
            (Some("bytes=0-1,3-4"), None),
            (Some("bytes=+1-2"), None),
            (Some("bytes=99999999999999999999-"), None),
            (Some("lines=0-1"), None),
        ];
        for (header, expected) in cases {
            assert_eq!(range_of(header, 10), expected, "{header:?}");
        }
        assert_eq!(range_of(Some("bytes=0-"), 0), Some(None));
    }
}
