//! Places.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place, as a `geo:` URI says it ([RFC 5870](https://www.rfc-editor.org/rfc/rfc5870)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GeoUri(String);

impl GeoUri {
    /// The longest that is read, in bytes.
    pub const LONGEST: usize = 255;

    /// Reads one; `None` for what is none, or names a place that is not on Earth.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("geo") || text.len() > Self::LONGEST {
            return None;
        }
        let mut parts = rest.split(';');
        let coordinates: Vec<f64> = parts.next()?.split(',').map(number).collect::<Option<_>>()?;
        let ([latitude, longitude] | [latitude, longitude, _]) = coordinates[..] else { return None };
        let parameters: Vec<(&str, &str)> = parts.map(parameter).collect::<Option<_>>()?;
        // Other reference systems count otherwise.
        let crs = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("crs"));
        let is_usual = crs.is_none_or(|(_, value)| value.eq_ignore_ascii_case("wgs84"));
        let is_there = !is_usual || (latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
        is_there.then(|| Self(text.to_owned()))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GeoUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn number(text: &str) -> Option<f64> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_number = is_digits(whole.strip_prefix('-').unwrap_or(whole)) && rest.is_none_or(is_digits);
    if is_number { text.parse().ok() } else { None }
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]:&+$%".contains(&byte);
    let is_value = value.is_none_or(|value| !value.is_empty() && value.bytes().all(may_be));
    (is_name && is_value).then_some((name, value.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_what_only_looks_like_them() {
        for place in [
            "geo:48.2082,16.3738",
            "GEO:-90,180",
            "geo:48.2,16.3,171.5;u=35",
            "geo:48.2,16.3;crs=WGS84;u=0.5",
            "geo:323482,4306480;crs=EPSG:32618;u=20",
            "geo:0,0;a;b-c=%20_x",
        ] {
            assert_eq!(GeoUri::parse(place).as_ref().map(GeoUri::as_str), Some(place));
        }
        for none in [
            "",
            "geo:",
            "geo:48.2",
            "geo:48.2,",
            "geo:1,2,3,4",
            "geo:91,0",
            "geo:0,-180.5",
            "geo:1e1,2",
            "geo:NaN,inf",
            "geo:.5,1",
            "geo:1.,1",
            "geo: 1,2",
            "geo:1,2 ",
            "geo:1,2;",
            "geo:1,2;u=",
            "geo:1,2;u=a b",
            "geo:1,2?q=Vienna",
            "see geo:1,2",
            "https://geo.test/1,2",
            &format!("geo:1,2;a={}", "x".repeat(GeoUri::LONGEST)),
        ] {
            assert_eq!(GeoUri::parse(none), None, "{none}");
        }
    }
}
