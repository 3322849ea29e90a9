//! Pictures of Matrix users: announced in presence (XEP-0153), and handed out in vCards (XEP-0054) and as items of a node (XEP-0084).

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use landbridge::network::PictureContent;
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::time::Instant;

use super::{avatars::hash_of, shared::Shared};
use crate::{
    jid::Jid,
    muc::{SeatId, picture},
    stanza::{Element, ElementExt as _, ns},
};

/// How many users' pictures are remembered.
const MOST: usize = 2_000;
/// How long a picture is taken for the one they have now.
const FRESH: Duration = Duration::from_mins(10);

/// What is known of Matrix users' pictures.
#[derive(Debug, Default)]
pub(super) struct Portraits(Mutex<HashMap<OwnedUserId, Known>>);

#[derive(Debug, Clone)]
struct Known {
    portrait: Option<Arc<Portrait>>,
    since: Instant,
}

/// A picture.
#[derive(Debug)]
pub(super) struct Portrait {
    hash: String,
    content: PictureContent,
}

impl Portraits {
    /// What presence says of it, as far as it is known.
    pub(super) fn update(&self, seat: &SeatId) -> Option<Element> {
        let SeatId::Puppet(user_id) = seat else { return None };
        let known = self.0.lock().get(user_id).cloned()?;
        Some(picture(known.portrait.as_ref().map_or("", |portrait| &portrait.hash)))
    }
}

impl Shared {
    /// The picture of a Matrix user, as of some minutes ago at most.
    pub(super) async fn portrait(&self, user_id: &UserId) -> Option<Arc<Portrait>> {
        let known = self.portraits.0.lock().get(user_id).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < FRESH) {
            return known.portrait.clone();
        }
        // In base64 it must fit into a stanza, beside the rest.
        let most = (self.config.component.max_stanza_bytes / 2).min(PictureContent::MOST);
        let Ok(content) = self.host.picture_of(user_id, most).await else { return known?.portrait };
        let portrait = content.map(|content| Arc::new(Portrait { hash: hash_of(&content.bytes), content }));
        let mut all = self.portraits.0.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(user_id.to_owned(), Known { portrait: portrait.clone(), since: Instant::now() });
        portrait
    }

    /// Shows the picture of a Matrix user in the rooms where they sit.
    pub(super) fn show_portrait(self: &Arc<Self>, seat: &SeatId) {
        let SeatId::Puppet(user_id) = seat.clone() else { return };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let portrait = shared.portrait(&user_id).await;
            let hash = portrait.map_or_else(String::new, |portrait| portrait.hash.clone());
            let seat = SeatId::Puppet(user_id);
            let rooms: Vec<Jid> = shared.rooms.lock().keys().cloned().collect();
            for room in rooms {
                let out = shared.with_room(&room, |state| state.room.shows(&seat, &hash));
                shared.send_all(out.unwrap_or_default()).await;
            }
        });
    }
}

impl Portrait {
    /// As a vCard holds it.
    pub(super) fn photo(&self) -> Element {
        let text = |name: &'static str, text: String| Element::bare(name, ns::VCARD).with_text(text);
        let photo = Element::bare("PHOTO", ns::VCARD).child(text("TYPE", self.content.mime.clone()));
        photo.child(text("BINVAL", BASE64.encode(&self.content.bytes)))
    }

    /// As the items of a node.
    pub(super) fn items(&self, node: &str) -> Element {
        let inside = if node == ns::AVATAR_DATA {
            Element::bare("data", ns::AVATAR_DATA).with_text(BASE64.encode(&self.content.bytes))
        } else {
            let info = Element::bare("info", ns::AVATAR_METADATA).with("id", self.hash.clone());
            let info = info.with("bytes", self.content.bytes.len().to_string()).with("type", self.content.mime.clone());
            Element::bare("metadata", ns::AVATAR_METADATA).child(info)
        };
        let item = Element::bare("item", ns::PUBSUB).with("id", self.hash.clone()).child(inside);
        Element::bare("items", ns::PUBSUB).with("node", node.to_owned()).child(item)
    }
}
