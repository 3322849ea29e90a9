//! What is kept nowhere: who types, who is away.

use landbridge::network::{Ephemeral, EphemeralKind, Presence, host::Closed};
use tokio::time::{Duration, Instant};

use super::{
    IrcNetwork,
    session::{IrcSession, target},
};
use crate::{
    convert::ids::IrcRoom,
    message::{IrcText, Source, Tags, Target},
    session::{Cap, Command, Outgoing, SendKind},
};

/// Somebody who types says so again after this long ([typing](https://ircv3.net/specs/client-tags/typing)); where lines are limited
/// to a speed, that they stopped is left to the message that follows.
const TYPING_AGAIN: Duration = Duration::from_secs(3);
/// The longest words of somebody who is away, in bytes.
const MAX_AWAY: usize = 200;

/// What the network was told last of its user.
#[derive(Debug, Default)]
pub(super) struct Shown {
    typing: Option<(String, Instant)>,
}

impl IrcSession {
    /// Tells the network what its user does, as far as it can be told and is worth a line.
    pub(super) async fn show(&self, event: &Ephemeral<IrcNetwork>) {
        // The bot shows nobody's typing but its own user's, and it has none.
        if !event.own_session || self.puppet_of().is_none() {
            return;
        }
        let command = match &event.kind {
            EphemeralKind::Typing { room, typing } => self.typing(room, *typing),
            EphemeralKind::Presence { presence, status } => return self.away(*presence, status.as_deref()),
            EphemeralKind::Read { .. } => None,
        };
        if let (Some(command), Ok(handle)) = (command, self.link.handle()) {
            // Nobody waits for its outcome.
            let _ = handle.submit(command).await;
        }
    }

    fn typing(&self, room: &IrcRoom, typing: bool) -> Option<Command> {
        let target = target(room)?;
        let limited = self.shared.policy.flood.enabled;
        // Nobody enters a channel by typing.
        let there = match &target {
            Target::Channel(channel) => self.link.is_in(&self.shared.fold(channel.as_str())),
            Target::Nick(nick) => self.link.has_talked(&self.shared.fold(nick.as_str())),
        };
        let mut shown = self.link.shown.lock();
        let (now, again) = (Instant::now(), if limited { TYPING_AGAIN * 2 } else { TYPING_AGAIN });
        let said = shown.typing.as_ref().filter(|(place, at)| place == target.as_str() && *at + again > now).is_some();
        if !there || (typing && said) || (!typing && (limited || shown.typing.is_none())) {
            return None;
        }
        shown.typing = typing.then(|| (target.as_str().to_owned(), now));
        let mut tags = Tags::default();
        tags.insert("+typing", if typing { "active" } else { "done" });
        Some(Command::Send(Outgoing { target, kind: SendKind::Tags, text: IrcText::default(), tags, key: None }))
    }

    fn away(&self, presence: Presence, status: Option<&str>) {
        if !self.shared.config.puppets.away {
            return;
        }
        let words = match presence {
            Presence::Online => None,
            Presence::Unavailable | Presence::Offline => {
                let words = status.filter(|words| !words.trim().is_empty()).unwrap_or("away");
                Some(words[..words.floor_char_boundary(MAX_AWAY)].to_owned())
            }
        };
        self.link.absence.want(words);
    }

    /// Somebody went away, or came back (`away-notify`).
    pub(super) fn hear_away(&self, who: &Source, words: Option<&str>) -> Result<(), Closed> {
        if self.shared.own.lock().owner(who).is_none() {
            let presence = if words.is_some() { Presence::Unavailable } else { Presence::Online };
            let status = words.map(super::bot::plain);
            self.shared.host.presence(&self.id, self.shared.user(&who.name), presence, status);
        }
        Ok(())
    }

    /// Whether tags alone reach others.
    pub(super) fn shows_typing(&self) -> bool {
        let online = self.link.handle().ok().and_then(|handle| handle.online()).or_else(|| self.shared.online());
        online.is_some_and(|online| online.caps.has(Cap::MessageTags) && online.isupport.client_tag_allowed("typing"))
    }
}
