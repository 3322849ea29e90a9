//! Values that may be written short: a string or a switch instead of a mapping. Unlike serde's untagged enums this keeps the
//! fault of a mapping, with its key and place.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What a short form stands for.
pub(super) trait Short: Sized {
    /// What may be written, for the error message.
    const EXPECTED: &'static str;

    /// Reads a string.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_text(text: &str) -> Result<Self, String> {
        let _ = text;
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// Reads a switch.
    fn from_switch(on: bool) -> Option<Self> {
        let _ = on;
        None
    }
}

/// Reads a value that may be written short; `T` is what its mapping holds.
pub(super) fn short<'de, D, S, T>(deserializer: D) -> Result<S, D::Error>
where
    D: Deserializer<'de>,
    S: Short + From<T>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Either(PhantomData::<(S, T)>))
}

struct Either<S, T>(PhantomData<(S, T)>);

impl<'de, S: Short + From<T>, T: Deserialize<'de>> Visitor<'de> for Either<S, T> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<S, E> {
        S::from_text(text).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<S, E> {
        S::from_switch(on).ok_or_else(|| E::custom(format_args!("expected {}", S::EXPECTED)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(S::from)
    }
}
