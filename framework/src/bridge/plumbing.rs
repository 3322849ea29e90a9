//! The pairs of rooms that the configuration asks for.

use std::{fmt, sync::Arc};

use ruma::RoomId;

use super::{rooms::Rooms, setup::Plumb};
use crate::network::{Network, RemoteId, Session as _, SessionId};

/// Joins the rooms that the configuration names, however late homeserver and network are.
pub(super) async fn plumb<N: Network>(rooms: Arc<Rooms<N>>, plumbed: Vec<Plumb>) {
    let options = &rooms.parts.options;
    let mut left = plumbed;
    let mut wait = options.first_wait;
    while !left.is_empty() {
        let mut again = Vec::new();
        for one in left {
            if let Err(error) = plumb_one(&rooms, &one).await {
                tracing::warn!(room = %one.room, remote.room = one.remote, error, "rooms are not joined yet");
                again.push(one);
            }
        }
        left = again;
        if !left.is_empty() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(options.longest_wait);
        }
    }
}

async fn plumb_one<N: Network>(rooms: &Rooms<N>, plumb: &Plumb) -> Result<(), String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let room_id = match <&RoomId>::try_from(&*plumb.room) {
        Ok(room_id) => room_id.to_owned(),
        Err(alias) => {
            let found = rooms.parts.homeserver.resolve_alias(alias).await.map_err(|error| text(&error))?;
            found.ok_or("there is no such alias")?
        }
    };
    rooms.parts.homeserver.join(&rooms.parts.names.bot, &room_id).await.map_err(|error| text(&error))?;
    let relay = rooms.parts.speakers.session(&SessionId::Relay).await.ok_or("there is no connection")?;
    let found = relay.resolve(&plumb.remote).await.ok().and_then(|found| found.room);
    let room = found.or_else(|| N::Room::decode(&plumb.remote)).ok_or("there is no such remote room")?;
    rooms.plumb(&room_id, &room).await.map_err(|error| text(&error))
}
