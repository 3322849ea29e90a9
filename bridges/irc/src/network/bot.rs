//! What the bot hears: everything that happens in the bridged channels.

mod messages;

use landbridge::network::{Dedupe, Ingested, Membership, RemoteEvent, Whom, host::Closed};

use super::{IrcNetwork, deliver::explain, history::History, observer::Observer, power::level, session::IrcSession};
use crate::{
    config::MembershipSync,
    convert::{
        formatting,
        ids::{IrcRoom, IrcUser},
    },
    message::{Channel, IrcText, Nick, Source},
    modes::{ModeChange, ModeType},
    session::{Command, Event, EventKind, Member, Recipient},
};

/// The longest reason or topic that is carried over, in bytes.
const MAX_TEXT: usize = 2000;

impl IrcSession {
    /// Takes in one event of the bot's connection.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping: the event was not kept.
    pub(super) async fn hear_as_bot(&self, event: Event) -> Result<(), Closed> {
        match &event.kind {
            EventKind::Message(incoming) => self.hear_message(&event, incoming).await,
            EventKind::Joined { channel, who, own, .. } => self.hear_join(channel, who, *own).await,
            EventKind::Parted { channel, who, own, reason } => {
                self.hear_part(channel, who, *own, reason.as_deref()).await
            }
            EventKind::Quit { who, channels, reason, .. } => self.hear_quit(who, channels, reason).await,
            EventKind::Kicked { channel, who, own, by, reason } => {
                self.hear_kick(channel, who, *own, by, reason.as_deref()).await
            }
            EventKind::NickChanged { who, to, own, channels } => self.hear_nick(who, to, *own, channels).await,
            EventKind::Topic { channel, topic, by } => self.hear_topic(channel, topic, by.as_ref()).await,
            EventKind::ChannelModes { channel, changes, by: Some(by) } => self.hear_modes(channel, changes, by).await,
            EventKind::Away { who, message } => self.hear_away(who, message.as_deref()),
            EventKind::Names { channel, members } => self.hear_names(channel, members).await,
            EventKind::JoinFailed { channel, problem, text } => {
                self.shared.observer_is(channel, Observer::ShutOut);
                self.notice(channel, format!("cannot enter {channel}: {} ({text})", explain(*problem))).await
            }
            EventKind::Forwarded { from, to, text } => {
                self.shared.observer_is(from, Observer::ShutOut);
                self.refuse_forward(to).await;
                self.notice(from, format!("{from} sends us on to {to}, which is not bridged here ({text})")).await
            }
            EventKind::Redacted { to: Recipient::Channel { channel, status: None }, by, msgid, reason } => {
                self.hear_redaction(channel, by, msgid, reason.as_deref()).await
            }
            EventKind::History { channel, ends } => {
                self.hear_history_end(channel, *ends);
                Ok(())
            }
            EventKind::Invited { channel, own: true, .. } => {
                self.come_in(channel).await;
                Ok(())
            }
            EventKind::Online(_)
            | EventKind::Changed(_)
            | EventKind::Redacted { .. }
            | EventKind::IsAway { .. }
            | EventKind::TlsOnly(_)
            | EventKind::ChannelModes { .. }
            | EventKind::TopicSetBy { .. }
            | EventKind::UserModes(_)
            | EventKind::Invited { .. }
            | EventKind::Account { .. }
            | EventKind::HostChanged { .. }
            | EventKind::Realname { .. }
            | EventKind::ChannelRenamed { .. }
            | EventKind::Refused { .. } => Ok(()),
            EventKind::LoginFailed { text } | EventKind::ServerSays(text) => {
                tracing::debug!(irc.server_says = %text);
                Ok(())
            }
            EventKind::Unreadable { why } => {
                tracing::debug!(irc.unreadable = %why);
                Ok(())
            }
        }
    }

    /// Enters a bridged channel into which we were invited, and which may have shut us out before.
    async fn come_in(&self, channel: &Channel) {
        let wanted = self
            .shared
            .with_channel(channel.as_str(), |state| state.room.is_some() && state.observer != Observer::Here);
        if let (true, Ok(handle)) = (wanted, self.link.handle()) {
            let key = self.shared.channel_key(channel);
            // Its success and its failure are told as events.
            let _ = handle.submit(Command::Join { channel: channel.clone(), key }).await;
        }
    }

    async fn hear_join(&self, channel: &Channel, who: &Source, own: bool) -> Result<(), Closed> {
        let folded = self.shared.fold(channel.as_str());
        if own {
            self.link.entered(folded);
            self.shared.with_channel(channel.as_str(), |state| state.history = History::default());
            self.shared.observer_is(channel, Observer::Here);
            return Ok(());
        }
        if self.shared.own.lock().joined(who, &self.shared.puppets.lock()).is_some() {
            return Ok(());
        }
        if self.shared.config.membership != MembershipSync::Full {
            return Ok(());
        }
        self.member(channel, who, Membership::Join, None, None).await
    }

    async fn hear_part(&self, channel: &Channel, who: &Source, own: bool, reason: Option<&str>) -> Result<(), Closed> {
        if own {
            self.link.left(&self.shared.fold(channel.as_str()));
            self.shared.with_channel(channel.as_str(), |state| state.observer.gone());
            return Ok(());
        }
        if self.shared.own.lock().owner(who).is_some() {
            return Ok(());
        }
        self.member(channel, who, Membership::Leave, None, reason).await
    }

    async fn hear_quit(&self, who: &Source, channels: &[Channel], reason: &str) -> Result<(), Closed> {
        if self.shared.own.lock().quit(who, &mut self.shared.puppets.lock()).is_some() {
            return Ok(());
        }
        for channel in channels {
            self.member(channel, who, Membership::Leave, None, Some(reason)).await?;
        }
        Ok(())
    }

    async fn hear_kick(
        &self,
        channel: &Channel,
        who: &Nick,
        own: bool,
        by: &Source,
        reason: Option<&str>,
    ) -> Result<(), Closed> {
        if own {
            return self.kicked_ourselves(channel, by, reason).await;
        }
        let (victim, by_us) = {
            let marks = self.shared.own.lock();
            (marks.owner_of_nick(who.as_str()), marks.owner(by).is_some() || self.is_me(&by.name))
        };
        let kicker = (!by_us).then(|| self.shared.user(&by.name));
        let Some(user_id) = victim else {
            let who = Source { name: who.as_str().to_owned(), user: None, host: None };
            return self.member(channel, &who, Membership::Kick, kicker, reason).await;
        };
        // What our own side did to one of ours is known there.
        if by_us {
            return Ok(());
        }
        let Some(room) = self.shared.room(channel.as_str()) else { return Ok(()) };
        let event =
            RemoteEvent::<IrcNetwork>::Expelled { room, user_id, by: kicker, reason: reason.map(plain), banned: false };
        self.tell(event, Dedupe::Never).await
    }

    async fn kicked_ourselves(&self, channel: &Channel, by: &Source, reason: Option<&str>) -> Result<(), Closed> {
        self.link.left(&self.shared.fold(channel.as_str()));
        self.shared.with_channel(channel.as_str(), |state| state.observer.gone());
        self.rejoin_later(channel.clone());
        let reason = reason.map(plain).unwrap_or_default();
        self.notice(
            channel,
            format!("the bridge was put out of {channel} by {} ({reason}) and will come back", by.name),
        )
        .await
    }

    async fn hear_nick(&self, who: &Source, to: &Nick, own: bool, channels: &[Channel]) -> Result<(), Closed> {
        if own {
            self.tell_connected(to.as_str());
            return Ok(());
        }
        if self.shared.own.lock().renamed(who, to.as_str()).is_some() {
            return Ok(());
        }
        let (old, new) = (self.shared.user(&who.name), self.shared.user(to.as_str()));
        for channel in channels {
            let known = self.shared.with_channel(channel.as_str(), |state| {
                let spoke = state.spoken.remove(&old);
                if spoke {
                    state.spoken.insert(new.clone());
                }
                spoke || self.shared.config.membership == MembershipSync::Full
            });
            let Some(room) = self.shared.room(channel.as_str()).filter(|_| known) else { continue };
            let name = Some(to.as_str().to_owned());
            let event = RemoteEvent::<IrcNetwork>::Renamed { room, from: old.clone(), to: new.clone(), name };
            self.tell(event, Dedupe::Never).await?;
        }
        Ok(())
    }

    async fn hear_topic(&self, channel: &Channel, topic: &str, by: Option<&Source>) -> Result<(), Closed> {
        let topic = plain(topic);
        let known = self.shared.with_channel(channel.as_str(), |state| {
            state.topic.replace(topic.clone()).is_some_and(|before| before == topic)
        });
        let by_us = by.is_some_and(|by| self.shared.own.lock().owner(by).is_some() || self.is_me(&by.name));
        // The server repeats the topic whenever we enter; what we set ourselves came from Matrix.
        if by_us || (known && by.is_none()) {
            return Ok(());
        }
        let Some(room) = self.shared.room(channel.as_str()) else { return Ok(()) };
        let by = by.filter(|by| !by.is_server()).map(|by| self.shared.user(&by.name));
        let event = RemoteEvent::<IrcNetwork>::Topic { room, by, topic };
        self.tell(event, Dedupe::Never).await
    }

    async fn hear_modes(&self, channel: &Channel, changes: &[ModeChange], by: &Source) -> Result<(), Closed> {
        let by_us = self.is_me(&by.name) || self.shared.own.lock().owner(by).is_some();
        let mut nicks: Vec<&str> = changes
            .iter()
            .filter(|change| change.kind == ModeType::Rank)
            .filter_map(|change| change.param.as_deref())
            .collect();
        nicks.dedup();
        if nicks.is_empty() {
            return Ok(());
        }
        let Ok(handle) = self.link.handle() else { return Ok(()) };
        // The ranks as a whole count: who loses +o and keeps +v has the power of a voice (P7).
        let members = handle.members(channel.clone()).await.unwrap_or_default();
        for nick in nicks {
            let casemapping = self.shared.casemapping();
            if let Some(member) = members.iter().find(|member| casemapping.eq(&member.who.name, nick)) {
                if by_us {
                    // It came from Matrix: told back, it would undo what was set there in the meantime.
                    let (who, level) = (self.shared.user(&member.who.name), level(member.ranks));
                    self.shared.with_channel(channel.as_str(), |state| state.has_power(who, level));
                } else {
                    self.power(channel, member).await?;
                }
            }
        }
        Ok(())
    }

    async fn power(&self, channel: &Channel, member: &Member) -> Result<(), Closed> {
        let ours = self.is_me(&member.who.name) || self.shared.own.lock().owner_of_nick(&member.who.name).is_some();
        let Some(room) = self.shared.room(channel.as_str()).filter(|_| !ours) else { return Ok(()) };
        let (who, level) = (self.shared.user(&member.who.name), level(member.ranks));
        // What was told before is not told again, so that what was changed in Matrix since stays (P7).
        let before = self.shared.with_channel(channel.as_str(), |state| state.powers.get(&who).copied());
        if before.unwrap_or(0) == level {
            return Ok(());
        }
        let event = RemoteEvent::<IrcNetwork>::Power { room, who: Whom::Remote(who.clone()), level, before: None };
        if self.shared.host.ingest(&self.id, event, Dedupe::Never).await? != Ingested::NotMapped {
            self.shared.with_channel(channel.as_str(), |state| state.has_power(who, level));
        }
        Ok(())
    }

    async fn hear_names(&self, channel: &Channel, members: &[Member]) -> Result<(), Closed> {
        let others: Vec<&Member> = {
            let mut own = self.shared.own.lock();
            let puppets = self.shared.puppets.lock();
            members
                .iter()
                .filter(|member| !self.is_me(&member.who.name) && own.present(&member.who, &puppets).is_none())
                .collect()
        };
        if self.shared.config.membership != MembershipSync::Full {
            return Ok(());
        }
        let Some(room) = self.shared.room(channel.as_str()) else { return Ok(()) };
        let list =
            others.iter().map(|member| (self.shared.user(&member.who.name), Some(member.who.name.clone()))).collect();
        let event = RemoteEvent::<IrcNetwork>::Members { room, members: list };
        self.tell(event, Dedupe::Never).await?;
        for member in others {
            self.power(channel, member).await?;
        }
        Ok(())
    }

    async fn member(
        &self,
        channel: &Channel,
        who: &Source,
        membership: Membership,
        by: Option<IrcUser>,
        reason: Option<&str>,
    ) -> Result<(), Closed> {
        let user = self.shared.user(&who.name);
        let spoke = membership != Membership::Join
            && self.shared.with_channel(channel.as_str(), |state| state.spoken.remove(&user));
        let wanted = match self.shared.config.membership {
            MembershipSync::Full => true,
            MembershipSync::Lazy => spoke,
            MembershipSync::Off => false,
        };
        let Some(room) = self.shared.room(channel.as_str()).filter(|_| wanted) else { return Ok(()) };
        let (name, reason) = (Some(who.name.clone()), reason.filter(|reason| !reason.is_empty()).map(plain));
        let event = RemoteEvent::<IrcNetwork>::Member { room, who: user, name, membership, by, reason };
        self.tell(event, Dedupe::Never).await
    }

    async fn notice(&self, channel: &Channel, text: String) -> Result<(), Closed> {
        let Some(room) = self.shared.room(channel.as_str()) else { return Ok(()) };
        let event = RemoteEvent::<IrcNetwork>::Notice { room, text };
        self.tell(event, Dedupe::Never).await
    }

    /// Tells the framework what a channel holds, which was entered before it was mapped.
    pub(super) async fn tell_again(
        &self,
        room: &IrcRoom,
        channel: Channel,
    ) -> Result<(), landbridge::network::SendError> {
        let topic = self.shared.with_channel(channel.as_str(), |state| state.topic.clone());
        if let Some(topic) = topic.filter(|topic| !topic.is_empty()) {
            let event = RemoteEvent::<IrcNetwork>::Topic { room: room.clone(), by: None, topic };
            let _ = self.tell(event, Dedupe::Never).await;
        }
        // The answer comes as an event.
        let _ = self.link.handle()?.submit(Command::Names(channel)).await;
        Ok(())
    }

    /// Leaves a channel that we were sent on to (P13), unless it is bridged itself.
    pub(super) async fn refuse_forward(&self, to: &Channel) {
        let bridged = self.shared.with_channel(to.as_str(), |state| state.room.is_some());
        if !bridged && let Ok(handle) = self.link.handle() {
            let reason = Some(IrcText::one_line("this channel is not bridged"));
            let _ = handle.submit(Command::Part { channel: to.clone(), reason }).await;
        }
    }

    fn is_me(&self, nick: &str) -> bool {
        let own = self.link.handle().ok().and_then(|handle| handle.online());
        own.is_some_and(|online| online.isupport.casemapping.eq(online.nick.as_str(), nick))
    }
}

/// A topic or a reason without formatting and control characters.
pub(super) fn plain(text: &str) -> String {
    let mut text = formatting::decode(text).to_plain();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
