//! The names of XMPP's users, rooms and messages as the bridge stores them, and as Matrix ids hold them.
//!
//! A person is their bare address where we may see it; else what the room calls them (XEP-0421), which stays theirs whatever nick
//! they take; else their nick in that room. The last two are hashes: they name nobody outside of their room, and whoever takes a
//! nick from somebody who has an occupant id does not become them.

use landbridge::network::{RemoteId, ids::escape_localpart};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::jid::Jid;

/// How long the escaped name may be inside a Matrix id of 255 bytes, which also holds prefix and server.
pub const MAX_ESCAPED: usize = 150;

/// Somebody on XMPP: a bare address, or a hash behind a `?`, which begins no address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XmppUser(String);

impl XmppUser {
    /// Whoever has this address. One too long for a Matrix id is named by its hash.
    pub fn of_jid(jid: &Jid) -> Self {
        let bare = jid.bare_str();
        // A space parts the two people of a conversation, and no server lets one into an address.
        let unfit = escape_localpart(bare).len() > MAX_ESCAPED || bare.contains(' ');
        if unfit { Self::hashed(&["jid", bare]) } else { Self(bare.to_owned()) }
    }

    /// Whomever a room calls by this occupant id.
    pub fn of_occupant(room: &str, id: &str) -> Self {
        Self::hashed(&["occupant", room, id])
    }

    /// Whoever has a nick in a room that says no more of them. `generation` counts those who had it before: whoever takes a nick after
    /// another is not them.
    pub fn of_nick(room: &str, nick: &str, generation: u32) -> Self {
        match generation {
            0 => Self::hashed(&["nick", room, nick]),
            _ => Self::hashed(&["nick", room, nick, &generation.to_string()]),
        }
    }

    fn hashed(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        Self(format!("?{}", base32(&hash.finalize()[..16])))
    }

    /// Their address, where that is how they are known.
    pub fn jid(&self) -> Option<Jid> {
        // A hash is none: no domain holds a `?`.
        Jid::parse(&self.0)
    }
}

fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut out, mut bits, mut held) = (String::new(), 0_u32, 0_u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(DIGITS[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        out.push(char::from(DIGITS[(held << (5 - bits) & 31) as usize]));
    }
    out
}

impl RemoteId for XmppUser {
    fn encode(&self) -> String {
        self.0.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        // An address may begin like a hash, but only before its `@`.
        let valid = match text.strip_prefix('?').filter(|hash| !hash.contains('@')) {
            Some(hash) => hash.len() == 26 && hash.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')),
            None => {
                escape_localpart(text).len() <= MAX_ESCAPED
                    && Jid::parse(text).is_some_and(|jid| jid.is_bare() && jid.as_str() == text)
            }
        };
        valid.then(|| Self(text.to_owned()))
    }
}

/// A place to talk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XmppRoom {
    /// A room, by its bare address.
    Muc(Jid),
    /// The private messages between a Matrix user and somebody.
    Direct {
        /// The Matrix user.
        owner: OwnedUserId,
        /// Whom they talk with.
        with: XmppUser,
    },
}

impl XmppRoom {
    /// The room of this address; `None` for what can be no room.
    pub fn muc(text: &str) -> Option<Self> {
        let jid = Jid::parse(text.trim())?;
        (jid.is_bare() && jid.node().is_some() && !jid.as_str().contains(' ')).then_some(Self::Muc(jid))
    }

    /// The private messages between two.
    pub fn direct(owner: &UserId, with: XmppUser) -> Self {
        Self::Direct { owner: owner.to_owned(), with }
    }
}

impl RemoteId for XmppRoom {
    fn encode(&self) -> String {
        match self {
            Self::Muc(jid) => jid.to_string(),
            // A space is in no address.
            Self::Direct { owner, with } => format!("pm {} {owner}", with.0),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let Some(direct) = text.strip_prefix("pm ") else {
            return Self::muc(text).filter(|room| room.encode() == text);
        };
        let (with, owner) = direct.split_once(' ')?;
        Some(Self::Direct { owner: UserId::parse(owner).ok()?, with: XmppUser::decode(with)? })
    }
}

/// A message: in a room by the id that the room's archive gave it, else by the id that its sender gave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct XmppMessage {
    name: String,
    /// Another id that its sender gave it: of a message of a room the one by which corrections name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    also: Option<String>,
}

impl XmppMessage {
    /// The message to which a room gave this id (XEP-0359).
    pub fn archived(id: &str) -> Self {
        Self { name: format!("s:{id}"), also: None }
    }

    /// The message of a private conversation to which its sender gave this id.
    pub fn direct(id: &str) -> Self {
        Self { name: format!("d:{id}"), also: None }
    }

    /// The message of a room to which this sender gave this id.
    pub fn by(sender: &XmppUser, id: &str) -> Self {
        Self { name: by(sender, id), also: None }
    }

    /// Also known by the id that its sender gave it.
    #[must_use]
    pub fn also_by(mut self, sender: &XmppUser, id: &str) -> Self {
        self.also = Some(by(sender, id));
        self
    }

    /// Also known by another id that the sender of a private message gave it.
    #[must_use]
    pub fn also_direct(mut self, id: &str) -> Self {
        self.also = Some(format!("d:{id}"));
        self
    }

    /// The id by which others refer to it.
    pub fn id(&self) -> &str {
        match self.name.split_at_checked(2) {
            Some(("u:", rest)) => rest.split_once('\u{1f}').map_or(rest, |(_, id)| id),
            Some((_, id)) => id,
            None => &self.name,
        }
    }

    /// The id by which it is marked as read ([XEP-0333 §4](https://xmpp.org/extensions/xep-0333.html)): the one that the room gave it, and
    /// between two that of its stanza, even where it has an origin id, too.
    pub fn marked(&self) -> &str {
        let also = self.also.as_deref().filter(|_| self.name.starts_with("d:"));
        also.and_then(|also| also.strip_prefix("d:")).unwrap_or_else(|| self.id())
    }
}

fn by(sender: &XmppUser, id: &str) -> String {
    // Nothing that came in XML holds the character between.
    format!("u:{}\u{1f}{id}", sender.0)
}

impl RemoteId for XmppMessage {
    fn encode(&self) -> String {
        self.name.clone()
    }

    fn decode(text: &str) -> Option<Self> {
        let known = ["s:", "d:", "u:"].iter().any(|kind| text.strip_prefix(kind).is_some_and(|id| !id.is_empty()));
        known.then(|| Self { name: text.to_owned(), also: None })
    }

    fn also(&self) -> Option<String> {
        self.also.clone()
    }

    fn with_also(self, also: Option<String>) -> Self {
        Self { also, ..self }
    }
}

impl PartialEq for XmppMessage {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for XmppMessage {}
impl PartialOrd for XmppMessage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for XmppMessage {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}
impl std::hash::Hash for XmppMessage {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

landbridge::ids_as_text!(XmppUser, XmppRoom);

#[cfg(test)]
mod tests {
    use landbridge::network::ids::unescape_localpart;
    use proptest::prelude::*;
    use ruma::user_id;

    use super::*;

    #[test]
    fn addresses_that_look_like_something_else_are_not_that() {
        let jid = Jid::parse("??m.c@host.test").unwrap();
        let user = XmppUser::of_jid(&jid);
        assert_eq!(XmppUser::decode(&user.encode()), Some(user.clone()));
        assert_eq!(user.jid(), Some(jid));
        let nobody = XmppUser::of_nick("tea@muc.test", "bob", 0);
        assert_eq!((XmppUser::decode(&nobody.encode()), nobody.jid()), (Some(nobody.clone()), None));
        // A room that would read as a conversation is none, and somebody whose address would part wrongly is hashed.
        assert_eq!(XmppRoom::muc("pm tea@muc.test"), None);
        let odd = XmppUser::of_jid(&Jid::parse("a b@host.test").unwrap());
        assert_eq!((XmppUser::decode(&odd.encode()), odd.jid()), (Some(odd.clone()), None));
    }

    #[test]
    fn people_are_their_address_then_their_occupant_id_then_their_nick() {
        let alice = XmppUser::of_jid(&Jid::parse("Alice@XMPP.test/phone").unwrap());
        assert_eq!(alice.encode(), "alice@xmpp.test");
        assert_eq!(escape_localpart(&alice.encode()), "alice=40xmpp.test");
        let occupant = XmppUser::of_occupant("tea@muc.test", "x1");
        assert_ne!(occupant, XmppUser::of_occupant("other@muc.test", "x1"), "an occupant id is a room's own");
        assert_ne!(occupant, XmppUser::of_nick("tea@muc.test", "x1", 0), "nobody takes the place of another by a nick");
        assert_eq!(occupant.jid(), None);
        // Who takes a nick after another is somebody else.
        assert_ne!(XmppUser::of_nick("tea@muc.test", "bob", 0), XmppUser::of_nick("tea@muc.test", "bob", 1));
        // Nicks are case-sensitive in rooms: these are two people.
        assert_ne!(XmppUser::of_nick("tea@muc.test", "alice2", 0), XmppUser::of_nick("tea@muc.test", "ALICE2", 0));
    }

    #[test]
    fn rooms_are_stored_as_text() {
        let direct = XmppRoom::direct(user_id!("@ann:hs"), XmppUser::of_jid(&Jid::parse("bob@xmpp.test").unwrap()));
        assert_eq!(direct.encode(), "pm bob@xmpp.test @ann:hs");
        assert_eq!(XmppRoom::decode("pm bob@xmpp.test @ann:hs"), Some(direct));
        assert_eq!(XmppRoom::muc("Tea@muc.test").unwrap().encode(), "tea@muc.test");
        for wrong in ["", "muc.test", "tea@muc.test/nick", "Tea@muc.test", "pm bob", "pm  @ann:hs"] {
            assert_eq!(XmppRoom::decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_message_is_one_under_both_of_its_names() {
        let bob = XmppUser::of_jid(&Jid::parse("bob@xmpp.test").unwrap());
        let message = XmppMessage::archived("2024-1").also_by(&bob, "a1");
        assert_eq!(message, XmppMessage::archived("2024-1"));
        assert_eq!(message.also(), Some(XmppMessage::by(&bob, "a1").encode()));
        assert_eq!(XmppMessage::by(&bob, "a1").id(), "a1");
        assert_ne!(XmppMessage::archived("1"), XmppMessage::direct("1"));
        let private = XmppMessage::direct("o1").also_direct("m1");
        assert_eq!((private.id(), private.also()), ("o1", Some(XmppMessage::direct("m1").encode())));
        let stored = XmppMessage::decode(&private.encode()).unwrap();
        assert_eq!((stored.clone().marked(), stored.with_also(private.also()).marked()), ("o1", "m1"));
        assert_eq!(message.marked(), "2024-1");
    }

    proptest! {
        #[test]
        fn users_survive_storage_and_matrix_ids(text in ".{1,60}@[a-z.]{1,30}") {
            let Some(jid) = Jid::parse(&text) else { return Ok(()) };
            let user = XmppUser::of_jid(&jid);
            prop_assert_eq!(XmppUser::decode(&user.encode()), Some(user.clone()));
            let localpart = escape_localpart(&user.encode());
            prop_assert!(localpart.len() <= MAX_ESCAPED);
            prop_assert_eq!(unescape_localpart(&localpart).and_then(|text| XmppUser::decode(&text)), Some(user));
        }

        #[test]
        fn different_people_have_different_names(a in "[a-zA-Zß?%^.]{1,6}", b in "[a-zA-Zß?%^.]{1,6}") {
            let (one, other) = (Jid::parse(&format!("{a}@x.test")), Jid::parse(&format!("{b}@x.test")));
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert_eq!(XmppUser::of_jid(&one) == XmppUser::of_jid(&other), one == other);
            }
        }

        #[test]
        fn rooms_survive_storage(text in ".{0,40}@[a-z.]{1,20}") {
            if let Some(room) = XmppRoom::muc(&text) {
                prop_assert_eq!(XmppRoom::decode(&room.encode()), Some(room));
            }
        }
    }
}
