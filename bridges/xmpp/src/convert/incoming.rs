//! What a message means, whatever else is in it.

use landbridge::{
    Millis,
    network::{Body, GeoUri, Media, event::MediaKind},
    rich_text::{RichText, html::CUT_OFF},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{styling, xhtml};
use crate::{
    jid::Jid,
    stanza::{Element, ElementExt as _, ns},
};

/// The longest text that is carried over, in bytes.
const LONGEST: usize = 60_000;
/// The most files of one message.
const MOST_FILES: usize = 10;
/// The most reactions of one person to one message.
const MOST_REACTIONS: usize = 20;
/// The longest reaction that is told, either way, in characters: a family of emoji, or the name of a picture.
pub const LONGEST_KEY: usize = 64;

/// What a message means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Somebody says something, or corrects what they said.
    Said {
        /// What.
        body: Body,
        /// The id (as its sender gave it) of the message that it corrects.
        corrects: Option<String>,
        /// The id of the message that it answers.
        answers: Option<String>,
    },
    /// Somebody reacts to a message with exactly these.
    Reacted {
        /// To which.
        target: String,
        /// With what.
        keys: Vec<String>,
    },
    /// Somebody takes back what they said.
    Retracted {
        /// Which message.
        target: String,
        /// Whether it is named by the id that its sender gave it.
        by_sender_id: bool,
    },
    /// A moderator took out what another said. Only the room can say so.
    Moderated {
        /// Which message.
        target: String,
        /// The nick of the moderator.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Nothing to carry over: a chat state, a receipt, a marker.
    Nothing,
}

/// Somebody is asked into a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Which room.
    pub room: Jid,
    /// By whom, where that is said: an address, or an occupant of the room.
    pub by: Option<Jid>,
    /// Why.
    pub reason: Option<String>,
    /// Whether whoever invites sent it themselves.
    pub direct: bool,
}

/// Somebody who was invited will not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Into which room.
    pub room: Jid,
    /// Who.
    pub by: Jid,
    /// Why.
    pub reason: Option<String>,
}

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

fn short(reason: String) -> Option<String> {
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    (!reason.trim().is_empty()).then_some(reason)
}

/// What a room passes on to one of ours of something in its own name
/// ([XEP-0045 §7.8.2](https://xmpp.org/extensions/xep-0045.html#invite-mediated)). A room speaks from its bare address; whoever has a
/// resource is somebody, and no room that passes on what others want.
fn passed_on<'a>(stanza: &'a Element, name: &str) -> Option<(Jid, &'a Element)> {
    if matches!(stanza.kind(), "error" | "groupchat") {
        return None;
    }
    let what = stanza.get_child("x", ns::MUC_USER)?.get_child(name, ns::MUC_USER)?;
    Some((stanza.from().filter(|from| from.resource().is_none())?, what))
}

/// Reads that somebody declines, as the room passes it on ([XEP-0045 §7.8.2](https://xmpp.org/extensions/xep-0045.html#invite-mediated)).
pub fn declined(stanza: &Element) -> Option<Declined> {
    let (room, decline) = passed_on(stanza, "decline")?;
    let by = decline.attr("from").and_then(Jid::parse)?;
    Some(Declined { room, by, reason: decline.own_text("reason").and_then(short) })
}

/// Reads an invitation, as the room passes it on ([XEP-0045 §7.8.2](https://xmpp.org/extensions/xep-0045.html#invite-mediated)) or as somebody
/// sends it themselves ([XEP-0249](https://xmpp.org/extensions/xep-0249.html)). Servers put both into one message: it is one.
pub fn invitation(stanza: &Element) -> Option<Invitation> {
    if matches!(stanza.kind(), "error" | "groupchat") {
        return None;
    }
    if let Some((room, invite)) = passed_on(stanza, "invite") {
        let (by, reason) = (invite.attr("from").and_then(Jid::parse), invite.own_text("reason").and_then(short));
        return Some(Invitation { room, by, reason, direct: false });
    }
    let direct = stanza.get_child("x", ns::CONFERENCE)?;
    let room = Jid::parse(direct.attr("jid")?)?.bare();
    let reason = direct.attr("reason").map(str::to_owned).and_then(short);
    Some(Invitation { room, by: stanza.from(), reason, direct: true })
}

/// Reads what a message means.
pub fn meaning(stanza: &Element) -> Meaning {
    if let Some(moderated) = moderated(stanza) {
        return moderated;
    }
    if let Some(retracted) = retracted(stanza) {
        return retracted;
    }
    if let Some(reactions) = stanza.get_child("reactions", ns::REACTIONS)
        && let Some(target) = id_of(reactions)
    {
        let mut keys: Vec<String> = Vec::new();
        for reaction in reactions.find_all("reaction", ns::REACTIONS).take(MOST_REACTIONS) {
            let key: String = reaction.text().trim().chars().filter(|c| !c.is_control()).take(LONGEST_KEY).collect();
            if !key.is_empty() && !keys.contains(&key) {
                keys.push(key);
            }
        }
        return Meaning::Reacted { target, keys };
    }
    let Some(mut body) = body(stanza) else { return Meaning::Nothing };
    let corrects = stanza.get_child("replace", ns::CORRECT).and_then(id_of);
    if corrects.is_some() {
        only_words(&mut body);
    }
    let answers = stanza.get_child("reply", ns::REPLY).and_then(id_of);
    Meaning::Said { body, corrects, answers }
}

/// A correction changes what was said: files that were shared with it are shared already, and one instead of it is a link.
fn only_words(body: &mut Body) {
    if !body.text.is_blank() {
        body.media.clear();
    }
    body.media.iter_mut().for_each(|file| file.fetch = false);
    body.location = None;
}

fn id_of(element: &Element) -> Option<String> {
    let id = element.attr("id")?;
    (!id.is_empty() && id.len() <= 1023).then(|| id.to_owned())
}

/// Old and new form of XEP-0425. In the new one the room sends `<retract><moderated/></retract>`.
fn moderated(stanza: &Element) -> Option<Meaning> {
    let nick = |moderated: &Element| {
        let by = Jid::parse(moderated.attr("by")?)?;
        by.resource().map(str::to_owned)
    };
    let found = |target: String, moderated: &Element, reason: Option<String>| Meaning::Moderated {
        target,
        by: nick(moderated),
        reason: reason.map(|reason| reason.chars().take(500).collect()),
    };
    if let Some(retract) = stanza.get_child("retract", ns::RETRACT_1)
        && let Some(moderated) = retract.get_child("moderated", ns::MODERATE_1)
    {
        let reason = retract.own_text("reason").or_else(|| moderated.own_text("reason"));
        return Some(found(id_of(retract)?, moderated, reason));
    }
    let applied = stanza.get_child("apply-to", ns::FASTEN)?;
    let moderated = applied.get_child("moderated", ns::MODERATE_0)?;
    moderated.get_child("retract", ns::RETRACT_0)?;
    Some(found(id_of(applied)?, moderated, moderated.own_text("reason")))
}

fn retracted(stanza: &Element) -> Option<Meaning> {
    if let Some(retract) = stanza.get_child("retract", ns::RETRACT_1) {
        return Some(Meaning::Retracted { target: id_of(retract)?, by_sender_id: false });
    }
    let applied = stanza.get_child("apply-to", ns::FASTEN)?;
    applied.get_child("retract", ns::RETRACT_0)?;
    Some(Meaning::Retracted { target: id_of(applied)?, by_sender_id: true })
}

fn body(stanza: &Element) -> Option<Body> {
    let plain = own_body(stanza);
    let files = files(stanza);
    let html = stanza.get_child("html", ns::XHTML_IM).and_then(xhtml::decode);
    if plain.is_none() && files.is_empty() && html.is_none() {
        return None;
    }
    let text = plain.unwrap_or_default();
    // A link that is the whole text, and is the file: the text says nothing more.
    let text = if files.iter().any(|file| file.url.as_deref() == Some(text.trim())) { String::new() } else { text };
    let (emote, text) = match text.strip_prefix("/me ") {
        Some(does) => (true, does.to_owned()),
        None => (false, text),
    };
    // As clients show a place: a text that is nothing but its address.
    let location = GeoUri::parse(text.trim()).filter(|_| !emote && files.is_empty());
    let rich = match html {
        _ if location.is_some() => RichText::plain(text.trim()),
        Some(html) if !emote && !has_fallback(stanza) => html,
        _ if stanza.get_child("unstyled", styling::NS).is_some() => RichText::plain(&text),
        _ => styling::decode(&text),
    };
    if rich.is_blank() && files.is_empty() {
        return None;
    }
    Some(Body { text: rich, emote, notice: false, media: files, location })
}

fn has_fallback(stanza: &Element) -> bool {
    stanza.find_all("fallback", ns::FALLBACK).any(|fallback| fallback.attr("for") == Some(ns::REPLY))
}

/// The text without what only stands in for an answer (XEP-0428). Several bodies are several languages of one.
fn own_body(stanza: &Element) -> Option<String> {
    let mut text = without_fallback(stanza, stanza.own_text("body")?);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str(CUT_OFF);
    }
    Some(text)
}

fn without_fallback(stanza: &Element, text: String) -> String {
    let stands_in = |fallback: &&Element| fallback.attr("for") == Some(ns::REPLY);
    let Some(fallback) = stanza.find_all("fallback", ns::FALLBACK).find(stands_in) else { return text };
    let number = |body: &Element, name: &str| body.attr(name).and_then(|number| number.parse::<usize>().ok());
    let Some(range) = fallback.get_child("body", ns::FALLBACK) else { return text };
    let start = number(range, "start").unwrap_or(0);
    let Some(end) = number(range, "end") else { return text };
    // Counted in characters.
    let outside = text.chars().enumerate().filter(|(at, _)| *at < start || *at >= end).map(|(_, c)| c);
    outside.collect()
}

/// Files that are linked to (XEP-0066, XEP-0447), each once.
fn files(stanza: &Element) -> Vec<Media> {
    let mut files: Vec<Media> = Vec::new();
    for sharing in stanza.find_all("file-sharing", ns::SFS).take(MOST_FILES) {
        let metadata = sharing.get_child("file", ns::FILE);
        let text = |name: &str| metadata.and_then(|file| file.own_text(name));
        let sources = sharing.get_child("sources", ns::SFS);
        let url = sources
            .and_then(|sources| sources.get_child("url-data", ns::URL_DATA))
            .and_then(|data| data.attr("target"));
        if let Some(url) = url.filter(|url| is_http(url)) {
            let size = text("size").and_then(|size| size.parse().ok());
            files.push(media(url, text("name"), text("media-type"), size));
        }
    }
    for url in stanza.find_all("x", ns::OOB).filter_map(|x| x.own_text("url")).take(MOST_FILES) {
        let url = url.trim();
        if is_http(url) && !files.iter().any(|file| file.url.as_deref() == Some(url)) {
            files.push(media(url, None, None, None));
        }
    }
    files.truncate(MOST_FILES);
    files
}

fn is_http(url: &str) -> bool {
    url.len() <= 4096
        && url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn media(url: &str, name: Option<String>, mime: Option<String>, size: Option<u64>) -> Media {
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| name_in(url));
    let name: String = name.chars().filter(|c| !c.is_control() && *c != '/').take(120).collect();
    let kind =
        match (mime.as_deref().unwrap_or_default(), name.rsplit('.').next().map(str::to_ascii_lowercase).as_deref()) {
            (mime, _) if mime.starts_with("image/") => MediaKind::Image,
            (mime, _) if mime.starts_with("video/") => MediaKind::Video,
            (mime, _) if mime.starts_with("audio/") => MediaKind::Audio,
            ("", Some("png" | "jpg" | "jpeg" | "gif" | "webp")) => MediaKind::Image,
            ("", Some("mp4" | "webm" | "mov")) => MediaKind::Video,
            ("", Some("ogg" | "opus" | "mp3" | "m4a" | "wav")) => MediaKind::Audio,
            _ => MediaKind::File,
        };
    let mime = mime.filter(|mime| mime.len() <= 100 && mime.bytes().all(|b| b.is_ascii_graphic()));
    Media { mxc: None, url: Some(url.to_owned()), name, mime, size, kind, fetch: true }
}

fn name_in(url: &str) -> String {
    let last = url::Url::parse(url).ok().and_then(|url| url.path_segments()?.next_back().map(str::to_owned));
    last.filter(|last| !last.is_empty()).unwrap_or_else(|| "file".to_owned())
}

/// When it was said, where whoever `by` is says so (XEP-0203): the others' stamps are worth nothing.
pub fn said_at(stanza: &Element, by: &Jid) -> Option<Millis> {
    let stamped = |delay: &&Element| {
        let from = delay.attr("from").and_then(Jid::parse);
        from.is_some_and(|from| from.bare() == *by || from.as_str() == by.domain())
    };
    stamp(stanza.find_all("delay", ns::DELAY).find(stamped)?.attr("stamp")?)
}

/// A time as XMPP writes it (XEP-0082).
pub fn stamp(text: &str) -> Option<Millis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Millis)
}

/// A time as XMPP writes it (XEP-0082), in whole seconds.
pub fn write_stamp(at: Millis) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

/// Whether somebody types: `None` where nothing is said of it (XEP-0085).
pub fn typing(stanza: &Element) -> Option<bool> {
    let state = stanza.children().find(|child| child.has_ns(ns::CHAT_STATES))?;
    Some(state.name() == "composing")
}

/// The id of a message that was received or read (XEP-0184, XEP-0333): only what was displayed counts as read.
pub fn displayed(stanza: &Element) -> Option<String> {
    stanza.get_child("displayed", ns::MARKERS).and_then(id_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(children: impl IntoIterator<Item = Element>) -> Element {
        Element::stanza("message", "a@b/c", "d@e", "groupchat").with_children(children)
    }

    fn body_of(text: &str) -> Element {
        Element::bare("body", ns::COMPONENT).with_text(text)
    }

    #[test]
    fn an_answer_is_read_without_what_it_repeats() {
        let range = Element::bare("body", ns::FALLBACK).with("start", "0").with("end", "11");
        let stanza = message([
            body_of("> Ännchen?\nyes"),
            Element::bare("reply", ns::REPLY).with("id", "s1").with("to", "a@b/x"),
            Element::bare("fallback", ns::FALLBACK).with("for", ns::REPLY).child(range),
        ]);
        let Meaning::Said { body, answers, corrects } = meaning(&stanza) else { panic!() };
        assert_eq!((body.text.to_plain().as_str(), answers.as_deref(), corrects), ("yes", Some("s1"), None));
    }

    #[test]
    fn a_link_that_is_the_file_is_no_text() {
        let url = "https://up.test/x/photo.jpg";
        let stanza =
            message([body_of(url), Element::bare("x", ns::OOB).child(Element::bare("url", ns::OOB).with_text(url))]);
        let Meaning::Said { body, .. } = meaning(&stanza) else { panic!() };
        assert!(body.text.is_blank());
        assert_eq!((body.media[0].name.as_str(), body.media[0].kind), ("photo.jpg", MediaKind::Image));
    }

    #[test]
    fn a_correction_of_the_words_beside_a_file_leaves_the_file() {
        let url = "https://up.test/x/photo.jpg";
        let file = || Element::bare("x", ns::OOB).child(Element::bare("url", ns::OOB).with_text(url));
        let replace = || Element::bare("replace", ns::CORRECT).with("id", "1");
        let corrected = |text| {
            let Meaning::Said { body, corrects, .. } = meaning(&message([body_of(text), file(), replace()])) else {
                panic!()
            };
            assert_eq!(corrects.as_deref(), Some("1"));
            (body.text.to_plain(), body.media.len(), body.media.iter().any(|file| file.fetch))
        };
        assert_eq!(corrected("my cat"), ("my cat".to_owned(), 0, false));
        assert_eq!(corrected(url), (String::new(), 1, false));
    }

    #[test]
    fn an_invitation_in_both_forms_is_one() {
        let reason = Element::bare("reason", ns::MUC_USER).with_text("cake");
        let invite = Element::bare("invite", ns::MUC_USER).with("from", "bob@xmpp.test/phone").child(reason);
        let mediated = || Element::bare("x", ns::MUC_USER).child(invite.clone());
        let direct = || Element::bare("x", ns::CONFERENCE).with("jid", "cake@muc.test").with("reason", "cake");
        let expected = |by: &str, direct: bool| {
            let (room, by) = (Jid::parse("cake@muc.test").unwrap(), Jid::parse(by));
            Some(Invitation { room, by, reason: Some("cake".into()), direct })
        };
        let from = |who: &str, inside: Vec<Element>| {
            invitation(&Element::stanza("message", who, "d@e", "").child(body_of("come")).with_children(inside))
        };
        // As Prosody sends it, with words for old clients.
        assert_eq!(from("cake@muc.test", vec![mediated(), direct()]), expected("bob@xmpp.test/phone", false));
        assert_eq!(from("cake@muc.test", vec![mediated()]), expected("bob@xmpp.test/phone", false));
        assert_eq!(from("bob@xmpp.test/phone", vec![direct()]), expected("bob@xmpp.test/phone", true));
        // Nobody says for another that they invite.
        assert_eq!(from("mallory@xmpp.test/x", vec![mediated()]), None);
        assert_eq!(from("mallory@xmpp.test/x", vec![mediated(), direct()]), expected("mallory@xmpp.test/x", true));
        assert_eq!(from("bob@xmpp.test/phone", vec![]), None);
    }

    #[test]
    fn of_several_bodies_the_first_is_read() {
        let mut other = body_of("zwei");
        other.attrs_mut().insert(rxml::Namespace::XML, "lang".try_into().unwrap(), "de".to_owned());
        let Meaning::Said { body, .. } = meaning(&message([body_of("one"), other, body_of("three")])) else { panic!() };
        assert_eq!(body.text.to_plain(), "one");
    }

    #[test]
    fn a_text_that_is_nothing_but_a_place_is_a_place() {
        const HERE: &str = "geo:48.2082,16.3738;u=35";
        let said = |children: Vec<Element>| match meaning(&message(children)) {
            Meaning::Said { body, .. } => (body.text.to_plain(), body.location.map(|location| location.to_string())),
            other => panic!("{other:?}"),
        };
        let here = || (HERE.to_owned(), Some(HERE.to_owned()));
        assert_eq!(said(vec![body_of(HERE)]), here());
        assert_eq!(said(vec![body_of(&format!("\n{HERE} "))]), here());
        for text in ["I am at geo:48.2,16.3", "geo:100,200", "geo: here"] {
            assert_eq!(said(vec![body_of(text)]), (text.to_owned(), None));
        }
        assert_eq!(said(vec![body_of("/me geo:1,2")]), ("geo:1,2".to_owned(), None), "nobody does a place");
        // A correction changes the words.
        let replace = Element::bare("replace", ns::CORRECT).with("id", "1");
        assert_eq!(said(vec![body_of(HERE), replace]), (HERE.to_owned(), None));
    }

    #[test]
    fn what_is_cut_off_says_so() {
        let said = |text: &str| {
            let Meaning::Said { body, .. } = meaning(&message([body_of(text)])) else { panic!() };
            body.text
        };
        let (fits, long) = ("é".repeat(LONGEST / 2), "é".repeat(LONGEST));
        assert_eq!(said(&fits).to_plain(), fits);
        assert_eq!(said(&long).to_plain(), format!("{fits}… (cut off: the message was too long)"));
        // Matrix takes still less: it is said once.
        assert_eq!(said(&long).to_matrix().body.matches("cut off").count(), 1);
    }

    #[test]
    fn what_is_taken_back_is_read_in_both_forms() {
        let new = message([Element::bare("retract", ns::RETRACT_1).with("id", "s1"), body_of("retracted")]);
        assert_eq!(meaning(&new), Meaning::Retracted { target: "s1".into(), by_sender_id: false });
        let old = Element::bare("apply-to", ns::FASTEN).with("id", "o1").child(Element::bare("retract", ns::RETRACT_0));
        assert_eq!(meaning(&message([old])), Meaning::Retracted { target: "o1".into(), by_sender_id: true });
        let moderated = Element::bare("moderated", ns::MODERATE_1).with("by", "room@muc/Mod");
        let reason = Element::bare("reason", ns::RETRACT_1).with_text("spam");
        let stanza = message([Element::bare("retract", ns::RETRACT_1).with("id", "s1").child(moderated).child(reason)]);
        let expected = Meaning::Moderated { target: "s1".into(), by: Some("Mod".into()), reason: Some("spam".into()) };
        assert_eq!(meaning(&stanza), expected);
    }

    #[test]
    fn reactions_are_a_set() {
        let reaction = |key: &str| Element::bare("reaction", ns::REACTIONS).with_text(key);
        let reactions = Element::bare("reactions", ns::REACTIONS).with("id", "s1");
        let stanza = message([reactions.child(reaction("👋")).child(reaction("👋")).child(reaction(" "))]);
        assert_eq!(meaning(&stanza), Meaning::Reacted { target: "s1".into(), keys: vec!["👋".into()] });
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        let state = Element::bare("active", ns::CHAT_STATES);
        assert_eq!(meaning(&message([state.clone()])), Meaning::Nothing);
        assert_eq!(typing(&message([state])), Some(false));
        assert_eq!(meaning(&message([body_of("   ")])), Meaning::Nothing);
        assert_eq!(
            meaning(&message([
                Element::bare("x", ns::OOB).child(Element::bare("url", ns::OOB).with_text("file:///etc/passwd"))
            ])),
            Meaning::Nothing
        );
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(stamp("1970-01-01T00:00:01.5Z"), Some(Millis(1500)));
        assert_eq!(stamp("never"), None);
        assert_eq!(write_stamp(Millis(1500)), "1970-01-01T00:00:01Z");
        assert_eq!(stamp(&write_stamp(Millis(1_700_000_000_000))), Some(Millis(1_700_000_000_000)));
    }
}
