//! When two spellings are one name (`CASEMAPPING`).

use std::borrow::Cow;

/// How a server folds the names of users and channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Casemapping {
    /// A–Z are a–z.
    Ascii,
    /// As `Ascii`, and `[]\~` are `{}|^` (RFC 1459 §2.2). What a server that says nothing does, and what is assumed
    /// of a mapping nobody knows.
    #[default]
    Rfc1459,
    /// As `Rfc1459`, but `~` and `^` stay two.
    Rfc1459Strict,
}

impl Casemapping {
    /// Reads the value of `CASEMAPPING`.
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "ascii" => Self::Ascii,
            "rfc1459-strict" | "strict-rfc1459" => Self::Rfc1459Strict,
            _ => Self::Rfc1459,
        }
    }

    /// The one spelling of a name that all its spellings share.
    pub fn fold(self, name: &str) -> Cow<'_, str> {
        if name.bytes().all(|byte| self.fold_byte(byte) == byte) {
            return Cow::Borrowed(name);
        }
        Cow::Owned(name.chars().map(|c| u8::try_from(c).map_or(c, |byte| self.fold_latin(c, byte))).collect())
    }

    /// Whether two spellings are one name.
    pub fn eq(self, one: &str, other: &str) -> bool {
        one.len() == other.len()
            && one.bytes().zip(other.bytes()).all(|(one, other)| self.fold_byte(one) == self.fold_byte(other))
    }

    fn fold_latin(self, c: char, byte: u8) -> char {
        if c.is_ascii() { char::from(self.fold_byte(byte)) } else { c }
    }

    fn fold_byte(self, byte: u8) -> u8 {
        match (self, byte) {
            (_, b'A'..=b'Z') => byte.to_ascii_lowercase(),
            (Self::Rfc1459 | Self::Rfc1459Strict, b'[') => b'{',
            (Self::Rfc1459 | Self::Rfc1459Strict, b']') => b'}',
            (Self::Rfc1459 | Self::Rfc1459Strict, b'\\') => b'|',
            (Self::Rfc1459, b'~') => b'^',
            _ => byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p14_each_mapping_folds_what_its_name_says() {
        let table = [
            (Casemapping::Ascii, "Nick[]\\~^É", "nick[]\\~^É"),
            (Casemapping::Rfc1459, "Nick[]\\~^É", "nick{}|^^É"),
            (Casemapping::Rfc1459Strict, "Nick[]\\~^É", "nick{}|~^É"),
        ];
        for (mapping, name, folded) in table {
            assert_eq!(mapping.fold(name), folded, "{mapping:?}");
        }
        assert_eq!(Casemapping::parse("ascii"), Casemapping::Ascii);
        assert_eq!(Casemapping::parse("strict-rfc1459"), Casemapping::Rfc1459Strict);
        assert_eq!(Casemapping::parse("rfc7613"), Casemapping::Rfc1459);
    }

    proptest! {
        #[test]
        fn folding_is_idempotent_keeps_the_length_and_decides_equality(one in "\\PC{0,12}", other in "[A-Za-z\\[\\]{}|~^\\\\]{0,6}") {
            for mapping in [Casemapping::Ascii, Casemapping::Rfc1459, Casemapping::Rfc1459Strict] {
                for (a, b) in [(&one, &other), (&other, &one), (&one, &one)] {
                    let folded = mapping.fold(a);
                    prop_assert_eq!(mapping.fold(&folded), &*folded);
                    prop_assert_eq!(folded.len(), a.len());
                    prop_assert!(mapping.eq(a, &folded));
                    prop_assert_eq!(mapping.eq(a, b), mapping.fold(a) == mapping.fold(b));
                }
            }
        }
    }
}
