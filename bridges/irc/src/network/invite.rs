//! Asking people into channels.

use landbridge::network::{Dedupe, Delivered, Membership, Reject, RemoteEvent, SendError};

use super::{
    IrcNetwork,
    deliver::{refused_because, taken},
    session::{IrcSession, channel},
};
use crate::{
    convert::ids::IrcRoom,
    message::{Nick, Target},
    numerics::RefusedBecause,
    session::Command,
};

impl IrcSession {
    /// Invites somebody into a channel: as ourselves, or by the bot where that may do more. Nobody can tell afterwards whether it was
    /// done, and whoever is invited would hear of it twice: what may have been done is not simply done again.
    pub(super) async fn invite(&self, room: &IrcRoom, nick: &str) -> Result<Delivered<String>, SendError> {
        let IrcRoom::Channel(name) = room else { return Ok(Delivered::unnamed()) };
        let channel = channel(name)?;
        let nick = Nick::new(nick).map_err(|error| SendError::Rejected(Reject::Forbidden(error.to_string())))?;
        self.be_in(&Target::Channel(channel.clone())).await?;
        let outcome = self.by_whoever_may(Command::Invite { channel, nick: nick.clone() }).await?;
        if refused_because(&outcome) == Some(RefusedBecause::AlreadyInChannel) {
            self.is_there(room, nick.as_str()).await;
            return Ok(Delivered::unnamed());
        }
        taken(outcome).map(|_| Delivered::unnamed())
    }

    /// Whom somebody wants in a room is in its channel, which Matrix does not show: they were put out there alone.
    async fn is_there(&self, room: &IrcRoom, nick: &str) {
        let event = RemoteEvent::<IrcNetwork>::Member {
            room: room.clone(),
            who: self.shared.user(nick),
            name: Some(nick.to_owned()),
            membership: Membership::Join,
            by: None,
            reason: None,
        };
        // A bridge that stops hears of them when it is back.
        let _ = self.shared.host.ingest(&self.id, event, Dedupe::Never).await;
    }
}
