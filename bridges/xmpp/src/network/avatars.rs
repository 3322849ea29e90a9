//! Pictures: what an occupant's presence says of theirs (XEP-0153) is fetched from their vCard (XEP-0054) and shown in Matrix.

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
    stanza::{Element, ns},
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

impl Shared {
    /// Somebody in a room shows a picture, another, or none (an empty hash); nothing is known where no hash is.
    pub(super) fn note_avatar(self: &Arc<Self>, who: &Occupant, room: &Jid) {
        let Some(hash) = who.avatar.clone().filter(|hash| hash.is_empty() || is_sha1(hash)) else { return };
        {
            let mut shown = self.avatars.shown.lock();
            if shown.get(&who.user) == Some(&hash) || (hash.is_empty() && !shown.contains_key(&who.user)) {
                return;
            }
            if shown.len() >= MOST {
                shown.clear();
            }
            shown.insert(who.user.clone(), hash.clone());
        }
        // Through the room: who asks for the room's own address gets the room's picture.
        let Some(from) = room.with_resource(&who.nick) else { return };
        let (shared, user) = (Arc::clone(self), who.user.clone());
        tokio::spawn(async move {
            let Ok(_permit) = Arc::clone(&shared.avatars.fetching).acquire_owned().await else { return };
            if shared.show_avatar(&user, &from, hash).await.is_none() {
                shared.avatars.shown.lock().remove(&user);
            }
        });
    }

    async fn show_avatar(&self, user: &XmppUser, from: &Jid, hash: String) -> Option<()> {
        let session = SessionId::Relay;
        let picture = (!hash.is_empty()).then(|| Picture { hash: hash.clone(), content: None });
        match self.host.picture(&session, user.clone(), picture).await.ok()? {
            Pictured::ContentWanted => {}
            Pictured::Shown | Pictured::Refused => return Some(()),
            Pictured::NotNow => return None,
        }
        let content = self.fetch_avatar(from, &hash).await?;
        let picture = Some(Picture { hash, content: Some(content) });
        self.host.picture(&session, user.clone(), picture).await.ok().map(drop)
    }

    /// The picture of a vCard, if it is the one that was announced.
    async fn fetch_avatar(&self, from: &Jid, hash: &str) -> Option<PictureContent> {
        let bot = self.seat_jid(&SeatId::Listener)?;
        let iq = Element::stanza("iq", bot.as_str(), from.as_str(), "get").child(Element::new("vCard", ns::VCARD));
        let answer = self.ask(iq, super::link::ANSWER).await.ok()?;
        let photo = answer.find("vCard", ns::VCARD)?.find("PHOTO", ns::VCARD)?;
        let encoded: String = photo.own_text("BINVAL")?.chars().filter(|c| !c.is_whitespace()).collect();
        let bytes = BASE64.decode(encoded).ok().filter(|bytes| bytes.len() <= PictureContent::MOST)?;
        let actual: String = Sha1::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if actual != hash {
            return None;
        }
        Some(PictureContent { mime: kind_of(&bytes)?.to_owned(), bytes })
    }
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
