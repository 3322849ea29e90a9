//! A notification as push gateways get it
//! ([spec](https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify)).

use ruma::events::TimelineEventType;
use serde_json::{Map, Value, json};

use super::{Verdict, pushers::Target};
use crate::{http::error::ApiError, rooms::Event, rooms::Rooms};

/// Of an event.
pub(super) async fn of_event(
    rooms: &Rooms,
    target: &Target,
    event: &Event,
    verdict: &Verdict,
    unread: u64,
) -> Result<String, ApiError> {
    let urgent = event.kind == TimelineEventType::RoomEncrypted || verdict.highlight() || verdict.sound();
    let mut notification = json!({
        "event_id": event.event_id,
        "room_id": event.room_id,
        "prio": if urgent { "high" } else { "low" },
        "counts": { "unread": unread },
    });
    let mut device = target.device();
    if !target.event_id_only {
        device.insert("tweaks".to_owned(), verdict.tweaks().into());
        notification["type"] = event.kind.to_string().into();
        notification["sender"] = json!(event.sender);
        notification["content"] = json!(event.content);
        if let Some(name) = rooms.name_in(&event.room_id, &event.sender).await? {
            notification["sender_display_name"] = name.into();
        }
        let room = rooms.public_room(&event.room_id, 0).await?;
        if let Some(name) = room.name {
            notification["room_name"] = name.into();
        }
        if let Some(alias) = room.canonical_alias {
            notification["room_alias"] = json!(alias);
        }
        if event.state_key.as_deref() == Some(target.user_id.as_str()) {
            notification["user_is_target"] = true.into();
        }
    }
    notification["devices"] = json!([device]);
    Ok(json!({ "notification": notification }).to_string())
}

/// Of nothing but how much is unread.
pub(super) fn of_counts(target: &Target, unread: u64) -> String {
    let notification = json!({ "counts": { "unread": unread }, "prio": "low", "devices": [target.device()] });
    json!({ "notification": notification }).to_string()
}

impl Target {
    fn device(&self) -> Map<String, Value> {
        let mut device = Map::new();
        device.insert("app_id".to_owned(), self.app_id.as_str().into());
        device.insert("pushkey".to_owned(), self.pushkey.as_str().into());
        device.insert("pushkey_ts".to_owned(), (self.created_at / 1000).into());
        device.insert("data".to_owned(), self.data.clone().into());
        device
    }
}
