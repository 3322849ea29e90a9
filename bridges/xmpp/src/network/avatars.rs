//! Pictures of people on XMPP: announced in presence (XEP-0153) or by their account (XEP-0084), fetched from where they are kept, and
//! shown in Matrix.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use landbridge::network::{Picture, PictureContent, Pictured, SessionId};
use parking_lot::Mutex;
use sha1::{Digest as _, Sha1};
use tokio::sync::Semaphore;

use super::shared::Shared;
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    muc::{Occupant, SeatId},
    stanza::{Element, ElementExt as _, ns},
};

/// How many people's pictures are remembered.
const MOST: usize = 20_000;
/// How many are fetched at once.
const AT_ONCE: usize = 4;

/// Whose picture is known to be which.
#[derive(Debug)]
pub(super) struct Avatars {
    shown: Mutex<HashMap<XmppUser, String>>,
    fetching: Arc<Semaphore>,
}

impl Default for Avatars {
    fn default() -> Self {
        Self { shown: Mutex::default(), fetching: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Whose picture it is, and who asks whom for it.
#[derive(Debug, Clone)]
pub(super) struct Portrayed {
    pub(super) user: XmppUser,
    pub(super) asker: SeatId,
    pub(super) at: Jid,
}

/// Where a picture is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// In a vCard (XEP-0153).
    Card,
    /// In a node of their account (XEP-0084).
    Node,
}

impl Shared {
    /// Somebody in a room shows a picture, another, or none (an empty hash); nothing is known where no hash is.
    pub(super) fn note_avatar(self: &Arc<Self>, who: &Occupant, room: &Jid) {
        let Some(hash) = who.avatar.clone() else { return };
        // Through the room: who asks for the room's own address gets the room's picture.
        let Some(at) = room.with_resource(&who.nick) else { return };
        let of = Portrayed { user: who.user.clone(), asker: SeatId::Listener, at };
        self.note_picture(of, hash, Kept::Card);
    }

    /// Somebody shows a picture with this hash, or none (an empty one).
    pub(super) fn note_picture(self: &Arc<Self>, of: Portrayed, hash: String, kept: Kept) {
        if !hash.is_empty() && !is_sha1(&hash) {
            return;
        }
        {
            let mut shown = self.avatars.shown.lock();
            if shown.get(&of.user) == Some(&hash) || (hash.is_empty() && !shown.contains_key(&of.user)) {
                return;
            }
            if shown.len() >= MOST {
                shown.clear();
            }
            shown.insert(of.user.clone(), hash.clone());
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_permit) = Arc::clone(&shared.avatars.fetching).acquire_owned().await else { return };
            if shared.show_avatar(&of, hash, kept).await.is_none() {
                shared.avatars.shown.lock().remove(&of.user);
            }
        });
    }

    async fn show_avatar(&self, of: &Portrayed, hash: String, kept: Kept) -> Option<()> {
        let session = SessionId::Relay;
        let picture = (!hash.is_empty()).then(|| Picture { hash: hash.clone(), content: None });
        match self.host.picture(&session, of.user.clone(), picture).await.ok()? {
            Pictured::ContentWanted => {}
            Pictured::Shown | Pictured::Refused => return Some(()),
            Pictured::NotNow => return None,
        }
        let content = self.fetch_avatar(of, &hash, kept).await?;
        let picture = Some(Picture { hash, content: Some(content) });
        self.host.picture(&session, of.user.clone(), picture).await.ok().map(drop)
    }

    /// The picture, if it is the one that was announced.
    async fn fetch_avatar(&self, of: &Portrayed, hash: &str, kept: Kept) -> Option<PictureContent> {
        let asker = self.seat_jid(&of.asker)?;
        let question = match kept {
            Kept::Card => Element::bare("vCard", ns::VCARD),
            Kept::Node => {
                let item = Element::bare("item", ns::PUBSUB).with("id", hash);
                let items = Element::bare("items", ns::PUBSUB).with("node", ns::AVATAR_DATA).child(item);
                Element::bare("pubsub", ns::PUBSUB).child(items)
            }
        };
        let iq = Element::stanza("iq", asker.as_str(), of.at.as_str(), "get").child(question);
        let answer = self.ask(iq, super::link::ANSWER).await.ok()?;
        let encoded = match kept {
            Kept::Card => answer.get_child("vCard", ns::VCARD)?.get_child("PHOTO", ns::VCARD)?.own_text("BINVAL")?,
            Kept::Node => {
                let items = answer.get_child("pubsub", ns::PUBSUB)?.get_child("items", ns::PUBSUB)?;
                items.get_child("item", ns::PUBSUB)?.get_child("data", ns::AVATAR_DATA)?.text()
            }
        };
        let encoded: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = BASE64.decode(encoded).ok().filter(|bytes| bytes.len() <= PictureContent::MOST)?;
        (hash_of(&bytes) == hash).then_some(PictureContent { mime: kind_of(&bytes)?.to_owned(), bytes })
    }
}

/// The hash of the picture that somebody announces in a node of their account (XEP-0084); empty where they have none any more.
pub(super) fn announced(event: &Element) -> Option<String> {
    let items = event.get_child("items", ns::PUBSUB_EVENT)?;
    if items.attr("node") != Some(ns::AVATAR_METADATA) {
        return None;
    }
    let metadata = items.get_child("item", ns::PUBSUB_EVENT)?.get_child("metadata", ns::AVATAR_METADATA)?;
    let info = metadata.get_child("info", ns::AVATAR_METADATA);
    Some(info.and_then(|info| info.attr("id")).unwrap_or_default().to_ascii_lowercase())
}

/// By which pictures are named.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_sha1(hash: &str) -> bool {
    hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// By its content: what is no picture that clients show is left out.
fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
