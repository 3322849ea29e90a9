//! Matrix user ids as nodes of addresses, and back: `@Ann:hs.example` is `^ann%hs.example`.
//!
//! A node is folded and prepared by every server it passes (nodeprep), so what it would change is written otherwise: a capital as
//! `^` and the small letter, `^` as `^^`, what is not ASCII as `^{hex}`. What a node may not hold at all is written as
//! [XEP-0106](https://xmpp.org/extensions/xep-0106.html) writes it, `\` always as `\5c`, and the `%` that parts localpart and
//! server as `\25`. So two ids never meet in one node, and each node is read back as the id it came from.

use std::fmt::Write as _;

use ruma::{OwnedUserId, UserId};

/// The node of a Matrix user. `None` for an id without a localpart, and for one too long for a node, which has more control characters
/// than any client makes.
pub fn node_of(user_id: &UserId) -> Option<String> {
    if user_id.localpart().is_empty() {
        return None;
    }
    let mut node = String::with_capacity(user_id.as_str().len() + 8);
    escape(user_id.localpart(), &mut node);
    node.push('%');
    escape(user_id.server_name().as_str(), &mut node);
    (node.len() <= super::MAX_PART).then_some(node)
}

/// The Matrix user of a node; `None` for whatever [`node_of`] does not write.
pub fn user_of(node: &str) -> Option<OwnedUserId> {
    let (localpart, server) = node.split_once('%')?;
    let id = format!("@{}:{}", unescape(localpart)?, unescape(server)?);
    let user_id = UserId::parse(id).ok()?;
    (node_of(&user_id)? == node).then_some(user_id)
}

fn escape(text: &str, node: &mut String) {
    for c in text.chars() {
        // Writing into a String cannot fail.
        let _ = match c {
            '^' => write!(node, "^^"),
            'A'..='Z' => write!(node, "^{}", c.to_ascii_lowercase()),
            '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' | '\\' | '%' => write!(node, "\\{:02x}", u32::from(c)),
            '!'..='~' => write!(node, "{c}"),
            _ => write!(node, "^{{{:x}}}", u32::from(c)),
        };
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let code = u8::from_str_radix(rest.get(..2)?, 16).ok()?;
                out.push(char::from(code));
                rest = &rest[2..];
            }
            '^' => match rest.chars().next()? {
                '{' => {
                    let (code, behind) = rest[1..].split_once('}')?;
                    out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                    rest = behind;
                }
                c => {
                    out.push(c.to_ascii_uppercase());
                    rest = &rest[c.len_utf8()..];
                }
            },
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::user_id;

    use super::*;
    use crate::jid::Jid;

    #[test]
    fn ids_become_nodes() {
        let check = |id: &UserId, node: &str| {
            assert_eq!(node_of(id).as_deref(), Some(node));
            assert_eq!(user_of(node).as_deref(), Some(id));
        };
        check(user_id!("@ann:hs.example"), "ann%hs.example");
        check(user_id!("@Ann:hs.example:8448"), "^ann%hs.example\\3a8448");
        check(user_id!("@a/b=c+d:hs.example"), "a\\2fb=c+d%hs.example");
        check(user_id!("@100%:hs.example"), "100\\25%hs.example");
        check(user_id!("@caf\u{e9}:hs.example"), "caf^{e9}%hs.example");
        check(user_id!("@x^y\\20:hs.example"), "x^^y\\5c20%hs.example");
    }

    #[test]
    fn capitals_and_look_alikes_stay_apart() {
        let nodes = ["@AbC:s", "@aBc:s", "@abc:s", "@^abc:s", "@straße:s", "@strasse:s"].map(|id| {
            let user_id = UserId::parse(id).unwrap();
            node_of(&user_id).unwrap()
        });
        let distinct: std::collections::BTreeSet<_> = nodes.iter().collect();
        assert_eq!(distinct.len(), nodes.len(), "{nodes:?}");
    }

    #[test]
    fn what_we_never_write_is_nobody() {
        for node in [
            "ann",
            "ann%",
            "%hs",
            "an\\61n%hs",
            "^^^%hs",
            "a^%hs",
            "a\\2%hs",
            "a%b%c@",
            "ann%hs/x",
            "^{61}%hs",
            "\\zz%hs",
            "^{}%hs",
        ] {
            assert_eq!(user_of(node), None, "{node}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_every_server(localpart in "[^:\\x00]{1,60}", server in "[a-zA-Z0-9.-]{1,30}(:[0-9]{1,5})?") {
            let Ok(user_id) = UserId::parse(format!("@{localpart}:{server}")) else { return Ok(()) };
            let node = node_of(&user_id).unwrap();
            prop_assert_eq!(user_of(&node), Some(user_id));
            // What a server makes of it is the same node.
            let jid = Jid::parse(&format!("{node}@matrix.test")).unwrap();
            prop_assert_eq!(jid.node(), Some(node.as_str()));
            prop_assert!(stringprep::nodeprep(&node).is_ok_and(|prepared| prepared == node));
        }

        #[test]
        fn whatever_is_read_is_written_so(node in "[a-zA-Z0-9%^\\\\{}=!#@/é]{1,20}") {
            if let Some(user_id) = user_of(&node) {
                prop_assert_eq!(node_of(&user_id), Some(node));
            }
        }
    }
}
