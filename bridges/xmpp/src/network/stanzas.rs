//! What is said, as stanzas.

use std::collections::BTreeSet;

use landbridge::network::IdempotencyKey;

use crate::{
    convert::{
        outgoing::{File, Say},
        styling,
    },
    jid::Jid,
    stanza::{Element, ns},
};

/// A message as it is sent; `kind` says whether to a room.
pub(super) fn message(say: &Say, url: Option<&str>, key: &IdempotencyKey, to: &str, room: bool) -> Element {
    let kind = if room { "groupchat" } else { "chat" };
    let body = match (&say.file, url) {
        (Some(file), Some(url)) => say.body.replace(&file.url, url),
        _ => say.body.clone(),
    };
    let mut stanza = Element::stanza("message", "", to, kind).attr("id", say.id.clone());
    stanza.push(Element::new("body", ns::COMPONENT).with_text(body));
    // In a room the id is told back by the room; elsewhere others refer to it by this one.
    let origin = if room { key.to_string() } else { say.id.clone() };
    stanza.push(Element::new("origin-id", ns::SID).attr("id", origin));
    if say.unstyled {
        stanza.push(Element::new("unstyled", styling::NS));
    }
    if let Some(replaces) = &say.replaces {
        stanza.push(Element::new("replace", ns::CORRECT).attr("id", replaces.clone()));
    }
    if let Some(answer) = &say.answers {
        let author = answer.nick.as_ref().and_then(|nick| Jid::parse(to)?.with_resource(nick));
        let author = author.map_or_else(|| to.to_owned(), |author| author.to_string());
        stanza.push(Element::new("reply", ns::REPLY).attr("to", author).attr("id", answer.id.clone()));
        let range = Element::new("body", ns::FALLBACK).attr("start", "0").attr("end", answer.quoted.to_string());
        stanza.push(Element::new("fallback", ns::FALLBACK).attr("for", ns::REPLY).child(range));
    }
    if let Some(file) = &say.file {
        share(file, url.unwrap_or(&file.url), &mut stanza);
    }
    if !room {
        stanza.push(Element::new("request", ns::RECEIPTS));
    }
    stanza.push(Element::new("markable", ns::MARKERS));
    stanza
}

/// A file, for old clients (XEP-0066) and new ones (XEP-0447).
fn share(file: &File, url: &str, stanza: &mut Element) {
    stanza.push(Element::new("x", ns::OOB).child(Element::new("url", ns::OOB).with_text(url)));
    let text =
        |name: &'static str, value: Option<String>| value.map(|value| Element::new(name, ns::FILE).with_text(value));
    let metadata = Element::new("file", ns::FILE)
        .child_some(text("media-type", file.mime.clone()))
        .child_some(text("name", Some(file.name.clone())))
        .child_some(text("size", file.size.map(|size| size.to_string())));
    let source = Element::new("url-data", ns::URL_DATA).attr("target", url);
    let sharing = Element::new("file-sharing", ns::SFS).attr("disposition", "inline");
    stanza.push(sharing.child(metadata).child(Element::new("sources", ns::SFS).child(source)));
}

pub(super) fn reaction(id: &str, target: &str, keys: &BTreeSet<String>, to: &str, room: bool) -> Element {
    let reaction = |key: &String| Element::new("reaction", ns::REACTIONS).with_text(key.clone());
    let reactions =
        Element::new("reactions", ns::REACTIONS).attr("id", target).with_children(keys.iter().map(reaction));
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).attr("id", id);
    stanza.child(reactions).child(Element::new("store", ns::HINTS))
}

pub(super) fn retraction(id: &str, target: &str, to: &str, room: bool) -> Element {
    const INSTEAD: &str = "(a message was taken back, but your client does not show that)";
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).attr("id", id);
    stanza
        .child(Element::new("retract", ns::RETRACT_1).attr("id", target))
        .child(Element::new("fallback", ns::FALLBACK).attr("for", ns::RETRACT_1))
        .child(Element::new("body", ns::COMPONENT).with_text(INSTEAD))
        .child(Element::new("store", ns::HINTS))
}
