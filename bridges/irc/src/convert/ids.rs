//! The names of IRC's users and rooms as the bridge stores them, and as Matrix ids hold them.
//!
//! A user is their nick, folded under the server's casemapping: two spellings of one nick are one user (P14). A channel is its
//! name in lower case; which two names of channels are one is asked of the server's casemapping when they are met, because
//! channels are named in the configuration before any server has said how it folds.
//!
//! In a Matrix id a name is escaped byte by byte, so that no nick and no channel, whatever it holds, can become another's id.

use landbridge::network::{
    RemoteId,
    ids::{escape_alias, escape_localpart},
};
use ruma::{OwnedUserId, UserId};
use sha2::{Digest as _, Sha256};

use crate::casemapping::Casemapping;

/// How long the escaped name may be inside a Matrix id of 255 bytes, which also holds prefix and server.
pub const MAX_ESCAPED: usize = 150;

/// A user of the network: the folded nick.
///
/// A nick too long for a Matrix id is named by its hash, behind a `=`, with which no nick begins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IrcUser(String);

/// A place to talk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IrcRoom {
    /// A channel, by its name in lower case.
    Channel(String),
    /// The private messages between a Matrix user and somebody on IRC.
    Query {
        /// The Matrix user.
        owner: OwnedUserId,
        /// Whom they talk with.
        with: IrcUser,
    },
}

impl IrcUser {
    /// The user with this nick.
    pub fn new(nick: &str, casemapping: Casemapping) -> Self {
        let folded = casemapping.fold(nick).into_owned();
        if folded.starts_with('=') || escape_localpart(&folded).len() > MAX_ESCAPED {
            let hash: String = Sha256::digest(&folded).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            return Self(format!("={hash}"));
        }
        Self(folded)
    }

    /// The folded nick; `None` if it is only known by its hash.
    pub fn nick(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|nick| !nick.starts_with('='))
    }
}

impl IrcRoom {
    /// The channel of this name; `None` for what is no channel's name anywhere.
    pub fn channel(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        (is_channel(&name)).then_some(Self::Channel(name))
    }

    /// The private messages between two.
    pub fn query(owner: &UserId, with: IrcUser) -> Self {
        Self::Query { owner: owner.to_owned(), with }
    }
}

/// Whether a server could have a channel of this name (RFC 2811 §2.1).
fn is_channel(name: &str) -> bool {
    name.starts_with(['#', '&', '+', '!'])
        && (2..=200).contains(&name.len())
        && !name.bytes().any(|b| b <= b' ' || matches!(b, b',' | 0x7f | b'A'..=b'Z'))
}

/// The part of an alias after the bridge's prefix; `None` for a private conversation and for a name too long for an alias.
pub fn alias(room: &IrcRoom) -> Option<String> {
    match room {
        IrcRoom::Channel(name) => Some(escape_alias(name)).filter(|alias| alias.len() <= MAX_ESCAPED),
        IrcRoom::Query { .. } => None,
    }
}

impl RemoteId for IrcUser {
    fn encode(&self) -> String {
        self.0.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        let hash = text.strip_prefix('=');
        let valid = match hash {
            Some(hash) => hash.len() == 32 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            None => {
                !text.is_empty()
                    && escape_localpart(text).len() <= MAX_ESCAPED
                    && !text.bytes().any(|b| b.is_ascii_uppercase() || b <= b' ')
            }
        };
        valid.then(|| Self(text.to_owned()))
    }
}

impl RemoteId for IrcRoom {
    fn encode(&self) -> String {
        match self {
            Self::Channel(name) => name.clone(),
            // Neither begins a channel's name, and neither a nick nor a Matrix id holds a space.
            Self::Query { owner, with } => format!("pm {} {owner}", with.0),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let Some(query) = text.strip_prefix("pm ") else {
            return is_channel(text).then(|| Self::Channel(text.to_owned()));
        };
        let (with, owner) = query.split_once(' ')?;
        Some(Self::Query { owner: UserId::parse(owner).ok()?, with: IrcUser::decode(with)? })
    }
}

landbridge::ids_as_text!(IrcUser, IrcRoom);

#[cfg(test)]
mod tests {
    use landbridge::network::ids::unescape_localpart;
    use proptest::prelude::*;
    use ruma::{RoomAliasId, user_id};

    use super::*;

    const MAPPINGS: [Casemapping; 3] = [Casemapping::Ascii, Casemapping::Rfc1459, Casemapping::Rfc1459Strict];

    #[test]
    fn p14_two_spellings_are_one_user_as_the_server_folds() {
        let same = |a, b, mapping| IrcUser::new(a, mapping) == IrcUser::new(b, mapping);
        assert!(same("Foo[]", "foo{}", Casemapping::Rfc1459));
        assert!(!same("Foo[]", "foo{}", Casemapping::Ascii));
        assert!(same("FOO", "foo", Casemapping::Ascii));
    }

    #[test]
    fn names_cannot_pretend_to_be_the_ids_of_others() {
        for nick in ["@admin:example.org", "admin:example.org", "a/../b", "=40admin", "a=3ab", "é", "a\u{202e}b"] {
            let user = IrcUser::new(nick, Casemapping::Rfc1459);
            let localpart = escape_localpart(&user.encode());
            let mxid = format!("@irc_{localpart}:here");
            let parsed = UserId::parse(&mxid).unwrap();
            assert_eq!(
                (parsed.localpart(), parsed.server_name().as_str()),
                (format!("irc_{localpart}").as_str(), "here")
            );
            assert!(parsed.validate_strict().is_ok(), "{mxid}");
        }
        for channel in ["#irc:example.org", "#a:b", "#=3a", "#ü"] {
            let alias = format!("#irc_{}:here", alias(&IrcRoom::channel(channel).unwrap()).unwrap());
            let parsed = RoomAliasId::parse(&alias).unwrap();
            assert_eq!(parsed.server_name(), "here", "{alias}");
        }
        assert_eq!(IrcRoom::channel("#a b"), None);
        assert_eq!(IrcRoom::channel("#a,b"), None);
        assert_eq!(IrcRoom::channel("alice"), None);
        assert_eq!(IrcRoom::channel("#"), None);
        assert_eq!(IrcRoom::channel("#a\r\nQUIT"), None);
    }

    #[test]
    fn rooms_are_stored_as_text() {
        let query = IrcRoom::query(user_id!("@alice:here"), IrcUser::new("Bob", Casemapping::Ascii));
        assert_eq!(query.encode(), "pm bob @alice:here");
        assert_eq!(IrcRoom::decode("pm bob @alice:here"), Some(query));
        assert_eq!(IrcRoom::channel("#Rust").unwrap().encode(), "#rust");
        for wrong in ["", "rust", "#Rust", "pm bob", "pm  @alice:here", "pm bob alice"] {
            assert_eq!(IrcRoom::decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn users_survive_storage_and_matrix_ids(nick in "[^\\x00- !@]{1,80}", mapping in prop::sample::select(MAPPINGS.to_vec())) {
            let user = IrcUser::new(&nick, mapping);
            prop_assert_eq!(IrcUser::decode(&user.encode()), Some(user.clone()));
            let localpart = escape_localpart(&user.encode());
            prop_assert!(localpart.len() <= MAX_ESCAPED);
            prop_assert!(localpart.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b'=')));
            let back = unescape_localpart(&localpart).and_then(|text| IrcUser::decode(&text));
            prop_assert_eq!(back, Some(user));
        }

        #[test]
        fn different_users_have_different_ids(a in "[a-zA-Z\\[\\]{}|~^=_]{1,5}", b in "[a-zA-Z\\[\\]{}|~^=_]{1,5}", mapping in prop::sample::select(MAPPINGS.to_vec())) {
            let ids = [&a, &b].map(|nick| escape_localpart(&IrcUser::new(nick, mapping).encode()));
            prop_assert_eq!(ids[0] == ids[1], mapping.fold(&a) == mapping.fold(&b));
        }

        #[test]
        fn channels_survive_aliases(name in "[#&+!][^ \\r\\n\\x00,]{1,60}") {
            if let Some(room) = IrcRoom::channel(&name) {
                prop_assert_eq!(IrcRoom::decode(&room.encode()), Some(room.clone()));
                if let Some(alias) = alias(&room) {
                    prop_assert!(!alias.contains(':') && alias.len() <= MAX_ESCAPED);
                    prop_assert_eq!(unescape_localpart(&alias).and_then(|text| IrcRoom::decode(&text)), Some(room));
                }
            }
        }
    }
}
