//! What is said, as stanzas.

use std::collections::BTreeSet;

use landbridge::network::IdempotencyKey;

use crate::{
    convert::{
        outgoing::{File, Say},
        styling,
    },
    jid::Jid,
    stanza::{Element, ElementExt as _, ns},
};

/// A message as it is sent; `kind` says whether to a room.
pub(super) fn message(say: &Say, url: Option<&str>, key: &IdempotencyKey, to: &str, room: bool) -> Element {
    let kind = if room { "groupchat" } else { "chat" };
    let body = match (&say.file, url) {
        (Some(file), Some(url)) => say.body.replace(&file.url, url),
        _ => say.body.clone(),
    };
    let mut stanza = Element::stanza("message", "", to, kind).with("id", say.id.clone());
    stanza.append_child(Element::bare("body", ns::COMPONENT).with_text(body));
    // In a room the id is told back by the room; elsewhere others refer to it by this one.
    let origin = if room { key.to_string() } else { say.id.clone() };
    stanza.append_child(Element::bare("origin-id", ns::SID).with("id", origin));
    if say.unstyled {
        stanza.append_child(Element::bare("unstyled", styling::NS));
    }
    if let Some(replaces) = &say.replaces {
        stanza.append_child(Element::bare("replace", ns::CORRECT).with("id", replaces.clone()));
    }
    if let Some(answer) = &say.answers {
        let author = answer.nick.as_ref().and_then(|nick| Jid::parse(to)?.with_resource(nick));
        let author = author.map_or_else(|| to.to_owned(), |author| author.to_string());
        stanza.append_child(Element::bare("reply", ns::REPLY).with("to", author).with("id", answer.id.clone()));
        let range = Element::bare("body", ns::FALLBACK).with("start", "0").with("end", answer.quoted.to_string());
        stanza.append_child(Element::bare("fallback", ns::FALLBACK).with("for", ns::REPLY).child(range));
    }
    if let Some(file) = &say.file {
        share(file, url.unwrap_or(&file.url), &mut stanza);
    }
    if !room {
        stanza.append_child(Element::bare("request", ns::RECEIPTS));
    }
    stanza.append_child(Element::bare("markable", ns::MARKERS));
    stanza
}

/// A file, for old clients (XEP-0066) and new ones (XEP-0447).
fn share(file: &File, url: &str, stanza: &mut Element) {
    stanza.append_child(Element::bare("x", ns::OOB).child(Element::bare("url", ns::OOB).with_text(url)));
    let text =
        |name: &'static str, value: Option<String>| value.map(|value| Element::bare(name, ns::FILE).with_text(value));
    let metadata = Element::bare("file", ns::FILE)
        .child_some(text("media-type", file.mime.clone()))
        .child_some(text("name", Some(file.name.clone())))
        .child_some(text("size", file.size.map(|size| size.to_string())));
    let source = Element::bare("url-data", ns::URL_DATA).with("target", url);
    let sharing = Element::bare("file-sharing", ns::SFS).with("disposition", "inline");
    stanza.append_child(sharing.child(metadata).child(Element::bare("sources", ns::SFS).child(source)));
}

pub(super) fn reaction(id: &str, target: &str, keys: &BTreeSet<String>, to: &str, room: bool) -> Element {
    let reaction = |key: &String| Element::bare("reaction", ns::REACTIONS).with_text(key.clone());
    let reactions =
        Element::bare("reactions", ns::REACTIONS).with("id", target).with_children(keys.iter().map(reaction));
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).with("id", id);
    stanza.child(reactions).child(Element::bare("store", ns::HINTS))
}

pub(super) fn retraction(id: &str, target: &str, to: &str, room: bool) -> Element {
    const INSTEAD: &str = "(a message was taken back, but your client does not show that)";
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).with("id", id);
    stanza
        .child(Element::bare("retract", ns::RETRACT_1).with("id", target))
        .child(Element::bare("fallback", ns::FALLBACK).with("for", ns::RETRACT_1))
        .child(Element::bare("body", ns::COMPONENT).with_text(INSTEAD))
        .child(Element::bare("store", ns::HINTS))
}
