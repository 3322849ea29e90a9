//! Which nick a Matrix user asks for, and which one next when it is taken or refused.

use ruma::UserId;
use unicode_normalization::UnicodeNormalization as _;

use crate::jid::is_strict_resource;

/// The most characters of a nick.
const LONGEST: usize = 48;
/// How many nicks are tried.
pub const ATTEMPTS: usize = 12;

/// The nick to try for the n-th time (from 0): the name, `name [m]`, `name (server)`, `name·2` and so on. Every server takes each.
pub fn candidate(display_name: &str, user_id: &UserId, attempt: usize) -> String {
    let name = base(display_name, user_id);
    let short = |room: usize| name.chars().take(LONGEST - room).collect::<String>();
    match attempt {
        0 => name,
        1 => format!("{} [m]", short(4).trim_end()),
        2 => {
            let server: String = clean(user_id.server_name().as_str()).chars().take(24).collect();
            format!("{} ({server})", short(27).trim_end())
        }
        n => format!("{}·{}", short(5).trim_end(), n - 1),
    }
}

fn base(display_name: &str, user_id: &UserId) -> String {
    [display_name, user_id.localpart()]
        .into_iter()
        .map(clean)
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "somebody".to_owned())
}

/// What a strict server takes of a name: no emoji, no controls, nothing that reads right to left beside what does not.
pub fn clean(name: &str) -> String {
    let mut out = String::new();
    let mut held = String::new();
    for c in name.nfkc().flat_map(|c| if c.is_whitespace() { ' '.into() } else { Some(c) }).take(400) {
        if c == ' ' {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            continue;
        }
        held.clear();
        held.push(c);
        if is_strict_resource(&held) {
            out.push(c);
        }
    }
    let mut out: String = out.trim().chars().take(LONGEST).collect::<String>().trim_end().to_owned();
    if !out.is_empty() && !is_strict_resource(&out) {
        // Of both directions of writing: what is left is what all have.
        out.retain(|c| c.is_ascii_graphic() || c == ' ');
        out = out.trim().to_owned();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::user_id;

    use super::*;

    #[test]
    fn names_become_nicks_that_servers_take() {
        let check = |name: &str, nick: &str| assert_eq!(candidate(name, user_id!("@ann:hs.test"), 0), nick);
        check("Ann", "Ann");
        check("🫠 melting", "melting");
        check("🫠🫠", "ann");
        check("  Ann \t  Boleyn ", "Ann Boleyn");
        check("Ånn\u{202e}", "Ånn");
        check("", "ann");
        assert_eq!(candidate("🫠", user_id!("@_:hs.test"), 0), "_");
    }

    #[test]
    fn the_ladder_ends_in_numbers() {
        let tried: Vec<_> = (0..5).map(|n| candidate("Ann", user_id!("@ann:hs.test"), n)).collect();
        assert_eq!(tried, ["Ann", "Ann [m]", "Ann (hs.test)", "Ann·2", "Ann·3"]);
    }

    proptest! {
        #[test]
        fn every_server_takes_every_candidate(name in ".{0,80}", attempt in 0..ATTEMPTS) {
            let nick = candidate(&name, user_id!("@ann:hs.test"), attempt);
            prop_assert!(is_strict_resource(&nick), "{nick:?}");
            prop_assert!(nick.chars().count() <= LONGEST + 2, "{nick:?}");
            prop_assert_eq!(nick.trim(), &nick);
        }
    }
}
