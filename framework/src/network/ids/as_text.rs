//! Ids that are stored, written and shown as the text that [`RemoteId::encode`] makes of them.

use std::fmt;

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

use super::RemoteId;

/// Writes an id as its text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: RemoteId, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.encode())
}

/// Reads an id from its text.
///
/// # Errors
/// A text that no id has.
pub fn deserialize<'de, T: RemoteId, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::decode(&text).ok_or_else(|| D::Error::custom("not an id of this network"))
}

/// Shows an id as its text.
///
/// # Errors
/// Those of the formatter.
pub fn show<T: RemoteId>(id: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&id.encode())
}

/// Gives types that implement [`RemoteId`](crate::network::RemoteId) their `Debug`, `Serialize` and `Deserialize`: as the text of the
/// id. The crate that uses it depends on `serde`.
#[macro_export]
macro_rules! ids_as_text {
    ($($id:ty),* $(,)?) => {$(
        impl ::std::fmt::Debug for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::network::ids::as_text::show(self, f)
            }
        }

        impl ::serde::Serialize for $id {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::network::ids::as_text::serialize(self, serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $id {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                $crate::network::ids::as_text::deserialize(deserializer)
            }
        }
    )*};
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Even numbers only, so that there is something to refuse.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    struct Even(u32);

    impl RemoteId for Even {
        fn encode(&self) -> String {
            self.0.to_string()
        }
        fn decode(text: &str) -> Option<Self> {
            let id = text.parse().ok().filter(|number| number % 2 == 0).map(Self)?;
            (id.encode() == text).then_some(id)
        }
    }
    ids_as_text!(Even);

    proptest! {
        #[test]
        fn an_id_survives_its_text(half in 0..u32::MAX / 2) {
            let id = Even(half * 2);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{id:?}\""));
            prop_assert_eq!(serde_json::from_str::<Even>(&json).unwrap(), id);
        }

        #[test]
        fn what_is_read_is_written_so(text in "[0-9+ -]{0,5}") {
            if let Ok(id) = serde_json::from_value::<Even>(text.clone().into()) {
                prop_assert_eq!(id.encode(), text);
            }
        }
    }
}
