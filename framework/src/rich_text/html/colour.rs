//! Colours as HTML writes them.

use crate::rich_text::Colour;

/// The sixteen names of HTML 4 and the few others that people use.
const NAMED: &[(&str, Colour)] = &[
    ("black", Colour(0, 0, 0)),
    ("silver", Colour(0xc0, 0xc0, 0xc0)),
    ("gray", Colour(0x80, 0x80, 0x80)),
    ("grey", Colour(0x80, 0x80, 0x80)),
    ("white", Colour(0xff, 0xff, 0xff)),
    ("maroon", Colour(0x80, 0, 0)),
    ("red", Colour(0xff, 0, 0)),
    ("purple", Colour(0x80, 0, 0x80)),
    ("fuchsia", Colour(0xff, 0, 0xff)),
    ("magenta", Colour(0xff, 0, 0xff)),
    ("green", Colour(0, 0x80, 0)),
    ("lime", Colour(0, 0xff, 0)),
    ("olive", Colour(0x80, 0x80, 0)),
    ("yellow", Colour(0xff, 0xff, 0)),
    ("navy", Colour(0, 0, 0x80)),
    ("blue", Colour(0, 0, 0xff)),
    ("teal", Colour(0, 0x80, 0x80)),
    ("aqua", Colour(0, 0xff, 0xff)),
    ("cyan", Colour(0, 0xff, 0xff)),
    ("orange", Colour(0xff, 0xa5, 0)),
    ("pink", Colour(0xff, 0xc0, 0xcb)),
    ("brown", Colour(0xa5, 0x2a, 0x2a)),
];

/// Reads `#rrggbb`, `#rgb` or a name.
pub(super) fn parse(text: &str) -> Option<Colour> {
    let text = text.trim();
    let Some(hex) = text.strip_prefix('#') else {
        return NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, colour)| *colour);
    };
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(hex, 16).ok()?;
    let [_, red, green, blue] = match hex.len() {
        6 => number.to_be_bytes(),
        3 => {
            let digit = |shift: u32| u8::try_from((number >> shift) & 0xf).unwrap_or(0) * 0x11;
            [0, digit(8), digit(4), digit(0)]
        }
        _ => return None,
    };
    Some(Colour(red, green, blue))
}

/// Writes `#rrggbb`.
pub(super) fn render(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read() {
        for (text, expected) in [
            ("#ff8000", Some(Colour(255, 128, 0))),
            ("#F80", Some(Colour(255, 136, 0))),
            ("Red", Some(Colour(255, 0, 0))),
            ("#ff80", None),
            ("#+f8000", None),
            ("", None),
            ("rgb(1,2,3)", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(render(Colour(1, 2, 255)), "#0102ff");
    }
}
