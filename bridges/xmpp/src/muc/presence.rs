//! What a room says of an occupant.

use crate::{
    jid::Jid,
    stanza::{Element, ElementExt as _, ns},
};

/// What somebody is to the room, present or not ([XEP-0045 §5.2](https://xmpp.org/extensions/xep-0045.html#affil)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Affiliation {
    /// Kept out.
    Outcast,
    /// Nothing in particular.
    #[default]
    None,
    /// A member.
    Member,
    /// An administrator.
    Admin,
    /// An owner.
    Owner,
}

/// What an occupant may do ([XEP-0045 §5.1](https://xmpp.org/extensions/xep-0045.html#roles)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Not there.
    None,
    /// May listen.
    Visitor,
    /// May speak.
    #[default]
    Participant,
    /// May put others out.
    Moderator,
}

impl Affiliation {
    fn read(text: Option<&str>) -> Self {
        match text {
            Some("outcast") => Self::Outcast,
            Some("member") => Self::Member,
            Some("admin") => Self::Admin,
            Some("owner") => Self::Owner,
            _ => Self::None,
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outcast => "outcast",
            Self::None => "none",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl Role {
    fn read(text: Option<&str>) -> Self {
        match text {
            Some("none") => Self::None,
            Some("visitor") => Self::Visitor,
            Some("moderator") => Self::Moderator,
            _ => Self::Participant,
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Visitor => "visitor",
            Self::Participant => "participant",
            Self::Moderator => "moderator",
        }
    }
}

/// `<item/>`: parts may be missing, whatever the document says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Affiliation.
    pub affiliation: Affiliation,
    /// Role.
    pub role: Role,
    /// The real address, where we may see it. May be bare.
    pub jid: Option<Jid>,
    /// The new nick, in a change of nick.
    pub nick: Option<String>,
    /// Who did it: a nick, or an address.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A presence from a room. Nothing in it is required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// `<item/>`.
    pub item: Item,
    /// Status codes, known or not.
    pub codes: Vec<u16>,
    /// The occupant id (XEP-0421).
    pub occupant_id: Option<String>,
    /// Our own mark.
    pub token: Option<String>,
    /// The room is no more: where people go instead, and why.
    pub destroyed: Option<(Option<Jid>, Option<String>)>,
    /// The hash of a picture (XEP-0153); empty where there is none.
    pub avatar: Option<String>,
    /// The name they want to be called by (XEP-0172).
    pub name: Option<String>,
}

/// The longest reason that is kept, in characters.
const LONGEST: usize = 500;

fn short(text: String) -> Option<String> {
    let text: String = text.chars().take(LONGEST).collect();
    (!text.trim().is_empty()).then_some(text)
}

impl Presence {
    /// Reads what is there of it.
    pub fn read(stanza: &Element) -> Self {
        let user = stanza.get_child("x", ns::MUC_USER);
        let item = user.and_then(|user| user.get_child("item", ns::MUC_USER));
        let codes = user.into_iter().flat_map(|user| user.find_all("status", ns::MUC_USER));
        let destroyed = user.and_then(|user| user.get_child("destroy", ns::MUC_USER));
        let avatar =
            stanza.get_child("x", ns::VCARD_UPDATE).and_then(|update| update.get_child("photo", ns::VCARD_UPDATE));
        Self {
            item: item.map(Item::read).unwrap_or_default(),
            codes: codes.filter_map(|status| status.attr("code")?.parse().ok()).take(16).collect(),
            occupant_id: occupant_id(stanza),
            token: stanza.get_child("own", ns::OWN).and_then(|own| own.attr("mark")).map(str::to_owned),
            destroyed: destroyed
                .map(|destroy| (destroy.attr("jid").and_then(Jid::parse), destroy.own_text("reason").and_then(short))),
            avatar: avatar.map(|photo| photo.text().trim().to_ascii_lowercase()),
            name: stanza.get_child("nick", ns::NICK).and_then(|nick| short(nick.text())),
        }
    }

    /// Whether a status code is there.
    pub fn has(&self, code: u16) -> bool {
        self.codes.contains(&code)
    }
}

impl Item {
    fn read(item: &Element) -> Self {
        let actor = item.own("actor");
        Self {
            affiliation: Affiliation::read(item.attr("affiliation")),
            role: Role::read(item.attr("role")),
            jid: item.attr("jid").and_then(Jid::parse),
            nick: item.attr("nick").map(str::to_owned),
            actor: actor.and_then(|actor| actor.attr("nick").or_else(|| actor.attr("jid"))).map(str::to_owned),
            reason: item.own_text("reason").and_then(short),
        }
    }
}

/// The occupant id of a stanza (XEP-0421).
pub fn occupant_id(stanza: &Element) -> Option<String> {
    let id = stanza.get_child("occupant-id", ns::OCCUPANT_ID)?.attr("id")?;
    (!id.is_empty() && id.len() <= 512).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_required_and_the_unknown_is_ignored() {
        let bare = Presence::read(&Element::bare("presence", ns::COMPONENT));
        assert_eq!(bare, Presence::default());
        // What other readers refuse: an unknown code, a bare address, no role.
        let item = Element::bare("item", ns::MUC_USER).with("jid", "alice@xmpp.test");
        let odd = Element::bare("x", ns::MUC_USER)
            .child(Element::bare("status", ns::MUC_USER).with("code", "9999"))
            .child(Element::bare("status", ns::MUC_USER).with("code", "many"))
            .child(item)
            .child(Element::bare("destroy", ns::MUC_USER).with("jid", "new@muc.test"));
        let read = Presence::read(&Element::bare("presence", ns::COMPONENT).child(odd));
        assert_eq!(read.codes, [9999]);
        assert_eq!(read.item.jid.as_ref().map(Jid::as_str), Some("alice@xmpp.test"));
        assert_eq!(read.item.role, Role::Participant);
        assert_eq!(read.destroyed, Some((Jid::parse("new@muc.test"), None)));
    }
}
