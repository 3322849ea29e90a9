//! Character references.

use std::borrow::Cow;

/// The named references that Matrix clients write and people type. An unknown one stays as it is written.
const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("Auml", "Ä"),
    ("Ouml", "Ö"),
    ("Uuml", "Ü"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
    ("szlig", "ß"),
    ("aacute", "á"),
    ("agrave", "à"),
    ("acirc", "â"),
    ("aring", "å"),
    ("aelig", "æ"),
    ("ccedil", "ç"),
    ("eacute", "é"),
    ("egrave", "è"),
    ("ecirc", "ê"),
    ("iacute", "í"),
    ("ntilde", "ñ"),
    ("oacute", "ó"),
    ("oslash", "ø"),
    ("uacute", "ú"),
    ("cent", "¢"),
    ("copy", "©"),
    ("deg", "°"),
    ("divide", "÷"),
    ("euro", "€"),
    ("frac12", "½"),
    ("iexcl", "¡"),
    ("iquest", "¿"),
    ("laquo", "«"),
    ("micro", "µ"),
    ("middot", "·"),
    ("para", "¶"),
    ("plusmn", "±"),
    ("pound", "£"),
    ("raquo", "»"),
    ("reg", "®"),
    ("sect", "§"),
    ("shy", "\u{ad}"),
    ("sup2", "²"),
    ("times", "×"),
    ("yen", "¥"),
    ("bull", "•"),
    ("hellip", "…"),
    ("ldquo", "“"),
    ("lsquo", "‘"),
    ("mdash", "—"),
    ("ndash", "–"),
    ("rdquo", "”"),
    ("rsquo", "’"),
    ("sbquo", "‚"),
    ("bdquo", "„"),
    ("trade", "™"),
    ("larr", "←"),
    ("uarr", "↑"),
    ("rarr", "→"),
    ("darr", "↓"),
    ("harr", "↔"),
    ("ne", "≠"),
    ("le", "≤"),
    ("ge", "≥"),
    ("asymp", "≈"),
    ("infin", "∞"),
    ("hearts", "♥"),
    ("ensp", "\u{2002}"),
    ("emsp", "\u{2003}"),
    ("thinsp", "\u{2009}"),
    ("zwnj", "\u{200c}"),
    ("zwj", "\u{200d}"),
];
/// The longest reference between `&` and `;`.
const LONGEST: usize = 10;

/// Replaces the references in `text`.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = reference(&rest[1..], &mut out);
        if length == 0 {
            out.push('&');
        }
        rest = &rest[1 + length..];
    }
    out.push_str(rest);
    out.into()
}

/// Decodes the reference at the start of `text`, after its `&`. Returns its length, 0 if it is none.
fn reference(text: &str, out: &mut String) -> usize {
    let Some(end) = text.bytes().take(LONGEST + 1).position(|b| b == b';') else { return 0 };
    let name = &text[..end];
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        let Ok(code) = code else { return 0 };
        out.push(char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER));
    } else if let Some((_, character)) = NAMED.iter().find(|(known, _)| *known == name) {
        out.push_str(character);
    } else {
        return 0;
    }
    end + 1
}

#[cfg(test)]
mod tests {
    #[test]
    fn references_are_decoded_and_the_rest_stays() {
        for (text, expected) in [
            ("a &amp; b", "a & b"),
            ("&lt;&#60;&#x3C;&#X3c;", "<<<<"),
            ("&amp;lt;", "&lt;"),
            ("R&D; &unknown; & &; &#; &#x; &#-1;", "R&D; &unknown; & &; &#; &#x; &#-1;"),
            ("&#0;&#xd800;&#1114112;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&amp", "&amp"),
            ("&äöüäöüäöü;", "&äöüäöüäöü;"),
        ] {
            assert_eq!(super::decode(text), expected, "{text}");
        }
    }
}
