//! Matrix names → IRC nicks and user names.
//!
//! Display names may be anything; nicks are a few ASCII characters (RFC 2812 §2.3.1), and what is too long is refused by many
//! servers rather than cut (`432`, P12). So a nick is made here in full, from the name or, if nothing of it is left, from
//! the localpart, and in the end from a hash: it is never empty and always valid.

use ruma::UserId;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

/// The shortest nick length a server may set that we still fill sensibly.
const SHORTEST: usize = 4;

/// Makes the nick of a Matrix user.
///
/// `template` holds `{name}` and possibly something around it, such as `{name}[m]`. The result has at most `max` bytes
/// (at least 4); it is the name that is cut, not what stands around it.
pub fn nick(display_name: &str, user_id: &UserId, template: &str, max: usize) -> String {
    let max = max.max(SHORTEST);
    let (before, after) = template.split_once("{name}").unwrap_or(("", ""));
    let (before, after) = (only_valid(before), only_valid(after));
    let (before, after) =
        if before.len() + after.len() + 2 > max { (String::new(), String::new()) } else { (before, after) };
    let room = max - before.len() - after.len();
    let name = [transliterate(display_name), transliterate(user_id.localpart())]
        .into_iter()
        .find(|name| name.bytes().any(|b| b.is_ascii_alphanumeric()))
        .unwrap_or_else(|| format!("m{}", hash(user_id.as_str(), 6)));
    let name = cut(&name, room);
    let mut nick = format!("{before}{name}{after}");
    if nick.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        let name = cut(name, room - 1);
        nick = format!("_{before}{name}{after}");
    }
    if nick.to_ascii_lowercase().ends_with("serv") {
        // Nobody is to be taken for the network's services.
        nick = format!("{}_", cut(&nick, max - 1));
    }
    nick
}

/// What to try next when a nick is taken: the nick with an underscore, with numbers, and in the end with a hash of the user.
/// None is longer than `max` bytes.
pub fn alternatives(nick: &str, user_id: &UserId, max: usize) -> impl Iterator<Item = String> {
    let max = max.max(SHORTEST);
    let hash = hash(user_id.as_str(), 3);
    ["_".to_owned(), "__".to_owned()]
        .into_iter()
        .chain((2..10).map(|number| number.to_string()))
        .chain([hash])
        .map(move |suffix| format!("{}{suffix}", cut(nick, max - suffix.len())))
}

/// Makes the user name (ident) of a Matrix user: at most 9 bytes, the same each time. With `plain` it is the localpart, where
/// that is short and simple enough; else a few letters of it and a hash, which is no other user's.
pub fn username(user_id: &UserId, plain: bool) -> String {
    let localpart = user_id.localpart();
    let simple =
        (1..=9).contains(&localpart.len()) && localpart.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain && simple {
        return localpart.to_owned();
    }
    let letters: String = localpart.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    // No simple localpart holds a hyphen, so that the two kinds never meet.
    let letters = if letters.is_empty() { "m".to_owned() } else { letters.to_ascii_lowercase() };
    format!("{letters}-{}", hash(user_id.as_str(), 4))
}

/// Letters that decomposition does not turn into ASCII.
const LETTERS: &[(char, &str)] = &[
    ('ß', "ss"),
    ('æ', "ae"),
    ('Æ', "Ae"),
    ('œ', "oe"),
    ('Œ', "Oe"),
    ('ø', "o"),
    ('Ø', "O"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "Th"),
    ('ł', "l"),
    ('Ł', "L"),
    ('ħ', "h"),
    ('ı', "i"),
    ('ŋ', "ng"),
    ('ə', "e"),
    ('а', "a"),
    ('б', "b"),
    ('в', "v"),
    ('г', "g"),
    ('д', "d"),
    ('е', "e"),
    ('ж', "zh"),
    ('з', "z"),
    ('и', "i"),
    ('к', "k"),
    ('л', "l"),
    ('м', "m"),
    ('н', "n"),
    ('о', "o"),
    ('п', "p"),
    ('р', "r"),
    ('с', "s"),
    ('т', "t"),
    ('у', "u"),
    ('ф', "f"),
    ('х', "kh"),
    ('ц', "ts"),
    ('ч', "ch"),
    ('ш', "sh"),
    ('щ', "shch"),
    ('ъ', ""),
    ('ы', "y"),
    ('ь', ""),
    ('э', "e"),
    ('ю', "yu"),
    ('я', "ya"),
    ('і', "i"),
    ('є', "ye"),
    ('ґ', "g"),
    ('ј', "j"),
    ('љ', "lj"),
    ('њ', "nj"),
    ('ћ', "c"),
    ('ђ', "dj"),
    ('џ', "dz"),
    ('α', "a"),
    ('β', "v"),
    ('γ', "g"),
    ('δ', "d"),
    ('ε', "e"),
    ('ζ', "z"),
    ('η', "i"),
    ('θ', "th"),
    ('ι', "i"),
    ('κ', "k"),
    ('λ', "l"),
    ('μ', "m"),
    ('ν', "n"),
    ('ξ', "x"),
    ('ο', "o"),
    ('π', "p"),
    ('ρ', "r"),
    ('σ', "s"),
    ('ς', "s"),
    ('τ', "t"),
    ('υ', "y"),
    ('φ', "f"),
    ('χ', "ch"),
    ('ψ', "ps"),
    ('ω', "o"),
];

/// Turns a name into characters a nick may hold. Spaces become underscores; what has no likeness goes.
fn transliterate(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().take(200) {
        if let Some(letters) = letters(c) {
            out.push_str(&letters);
            continue;
        }
        for c in std::iter::once(c).nfkd() {
            match c {
                c if is_valid(c) => out.push(c),
                c if c.is_whitespace() || c == '.' || c == '/' => out.push('_'),
                c => out.push_str(&letters(c).unwrap_or_default()),
            }
        }
    }
    let mut out: String = out.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    // An ident or a mask could not hold it.
    out.truncate(64);
    out
}

fn letters(c: char) -> Option<String> {
    let find = |c: char| LETTERS.iter().find(|(letter, _)| *letter == c).map(|(_, ascii)| *ascii);
    if let Some(ascii) = find(c) {
        return Some(ascii.to_owned());
    }
    let mut lower = c.to_lowercase();
    let (lower, None) = (lower.next()?, lower.next()) else { return None };
    let ascii = find(lower)?;
    let mut chars = ascii.chars();
    Some(chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect())
}

fn only_valid(text: &str) -> String {
    text.chars().filter(|c| is_valid(*c)).collect()
}

fn is_valid(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | '\\' | '`' | '_' | '^' | '{' | '|' | '}' | '-')
}

/// The first `max` bytes of ASCII text.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.len().min(max)]
}

/// The first digits of a hash, at most 32.
fn hash(text: &str, digits: usize) -> String {
    Sha256::digest(text).iter().take(digits.div_ceil(2)).map(|byte| format!("{byte:02x}")).collect::<String>()[..digits]
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::user_id;

    use super::*;

    fn valid(nick: &str) -> bool {
        nick.chars().all(is_valid) && !nick.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !nick.is_empty()
    }

    #[test]
    fn names_become_nicks() {
        let alice = user_id!("@alice:example.org");
        for (name, expected) in [
            ("Alice", "Alice"),
            ("Alice Smith", "Alice_Smith"),
            ("Jürgen Groß", "Jurgen_Gross"),
            ("Łukasz", "Lukasz"),
            ("Юлия Щербак", "Yuliya_Shcherbak"),
            ("Ωmega", "Omega"),
            ("ﬁsh ①", "fish_1"),
            ("42", "_42"),
            ("-x", "_-x"),
            ("名前", "alice"),
            ("  ", "alice"),
            ("@bob:evil.example", "bobevil_example"),
            ("a!b@c*d?e", "abcde"),
            ("#chan", "chan"),
            ("NickServ", "NickServ_"),
            ("x\r\nQUIT", "x_QUIT"),
        ] {
            assert_eq!(nick(name, alice, "{name}", 30), expected, "{name}");
        }
    }

    #[test]
    fn p12_a_nick_never_exceeds_the_servers_length() {
        let user = user_id!("@a_very_long_localpart_indeed:example.org");
        assert_eq!(nick("名前", user, "{name}", 9), "a_very_lo");
        assert_eq!(nick("Alexander", user, "{name}[m]", 9), "Alexan[m]");
        assert_eq!(nick("Alexander", user, "too-long-{name}-by-far", 9), "Alexander");
        assert_eq!(nick("7", user, "{name}", 1), "_7");
        let hashed = nick("名", user_id!("@_:example.org"), "{name}", 30);
        assert!(valid(&hashed) && hashed.starts_with('m'), "{hashed}");
    }

    #[test]
    fn user_names_are_stable_and_distinct() {
        assert_eq!(username(user_id!("@alice:here"), true), "alice");
        let hashed = username(user_id!("@alice:there"), false);
        assert!(hashed.starts_with("alic-") && hashed.len() == 9, "{hashed}");
        assert_ne!(hashed, username(user_id!("@alice:here"), false));
        assert_ne!(username(user_id!("@alice.b:here"), true), username(user_id!("@alice.c:here"), true));
    }

    proptest! {
        #[test]
        fn nicks_are_always_valid(name in any::<String>(), localpart in "[a-z0-9._=/-]{1,20}", max in 0_usize..40, suffix in any::<String>()) {
            let user = UserId::parse(format!("@{localpart}:x")).unwrap();
            for template in ["{name}".to_owned(), format!("{{name}}{suffix}"), format!("{suffix}{{name}}"), suffix] {
                let nick = nick(&name, &user, &template, max);
                prop_assert!(valid(&nick), "{nick}");
                prop_assert!(nick.len() <= max.max(SHORTEST), "{nick}");
                let mut seen = std::collections::HashSet::from([nick.clone()]);
                for next in alternatives(&nick, &user, max) {
                    prop_assert!(valid(&next) && next.len() <= max.max(SHORTEST), "{next}");
                    seen.insert(next);
                }
                prop_assert!(seen.len() >= 10);
            }
            prop_assert!(username(&user, false).len() <= 9);
        }
    }
}
