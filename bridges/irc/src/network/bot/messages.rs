//! What the bot hears people say.

use std::sync::Arc;

use landbridge::{
    Millis,
    network::{Body, Dedupe, IdempotencyKey, Ingested, Receipt, RemoteEvent, host::Closed},
    rich_text::RichText,
};
use ruma::UserId;

use super::plain;
use crate::{
    convert::{
        formatting,
        ids::{IrcRoom, IrcUser},
    },
    message::{Channel, Message, Nick, Source},
    network::{IrcNetwork, session::IrcSession},
    session::{Command, Event, Incoming, MessageKind, Recipient},
};

impl IrcSession {
    /// Takes in what was said in a channel or to the bot.
    pub(super) async fn hear_message(&self, event: &Event, incoming: &Incoming) -> Result<(), Closed> {
        let Recipient::Channel { channel, status: None } = &incoming.to else {
            if incoming.to == Recipient::Me && !incoming.own {
                self.answer_ctcp(incoming).await;
            }
            return Ok(());
        };
        let Some(room) = self.shared.room(channel.as_str()) else { return Ok(()) };
        if event.meta.in_history {
            self.shared.with_channel(channel.as_str(), |state| state.history.reads());
            let heard = self.hear_history(room, event, incoming).await;
            self.shared.with_channel(channel.as_str(), |state| state.history.has_read());
            return heard;
        }
        let puppet_of = self.shared.own.lock().owner(&incoming.from);
        if incoming.own || puppet_of.is_some() || incoming.from.is_server() {
            self.hear_own(event, channel, incoming, puppet_of.as_deref());
            return Ok(());
        }
        self.shared.with_channel(channel.as_str(), |state| state.speaks(self.shared.user(&incoming.from.name)));
        self.ingest_message(room, event, incoming).await
    }

    /// One of our own messages: proof that it arrived, and otherwise nothing new.
    fn hear_own(&self, event: &Event, channel: &Channel, incoming: &Incoming, puppet_of: Option<&UserId>) {
        if let Some(key) = event.meta.key.as_deref().and_then(IdempotencyKey::parse) {
            self.shared.heard.hear(&key.to_string(), event.meta.msgid.as_deref());
        } else if let Some(user_id) = puppet_of {
            let channel = self.shared.fold(channel.as_str());
            self.shared.heard.hear_words(user_id, &channel, &incoming.kind, &incoming.text);
        }
    }

    /// What was said before we came. Nicks say nothing there, because whoever had them may be gone; our own messages are known by
    /// their key, and what has no id cannot be told from what was heard before.
    async fn hear_history(&self, room: IrcRoom, event: &Event, incoming: &Incoming) -> Result<(), Closed> {
        let Some(id) = event.meta.msgid.as_deref().map(str::to_owned) else { return Ok(()) };
        if incoming.from.is_server() {
            return Ok(());
        }
        let Some(key) = event.meta.key.as_deref().and_then(IdempotencyKey::parse) else {
            return if incoming.own { Ok(()) } else { self.hear_again(room, event, incoming, id).await };
        };
        self.shared.heard.hear(&key.to_string(), Some(&id));
        let event = self.message(room, event, incoming);
        self.tell(event, Dedupe::OwnEcho { key, id: Some(id) }).await
    }

    /// The server begins to repeat what was said in a channel, or has repeated all of it.
    pub(super) fn hear_history_end(&self, channel: &Channel, ends: bool) {
        if self.shared.room(channel.as_str()).is_none() {
            return;
        }
        self.shared.with_channel(channel.as_str(), |state| {
            if ends {
                state.history.ends();
            } else {
                state.history.begins();
            }
        });
        self.shared.heard.look_again();
    }

    /// A line of the history that somebody else said: the framework knows whether it was heard before.
    async fn hear_again(&self, room: IrcRoom, event: &Event, incoming: &Incoming, id: String) -> Result<(), Closed> {
        if !matches!(incoming.kind, MessageKind::Privmsg | MessageKind::Notice | MessageKind::Action) {
            return self.ingest_message(room, event, incoming).await;
        }
        let message = self.message(room.clone(), event, incoming);
        let receipt = self.shared.host.offer(&self.id, message, Dedupe::Id(id)).await?;
        // Histories are long: what became of a line is noted while the next ones are read.
        let shared = Arc::clone(&self.shared);
        let noted = tokio::spawn(async move {
            let ingested = receipt.await;
            if let (Ok(Ingested::Duplicate), IrcRoom::Channel(name)) = (&ingested, &room) {
                shared.with_channel(name, |state| state.history.reaches_back());
                shared.heard.look_again();
            }
            ingested
        });
        *self.told.lock() = Some(Receipt::new(async move { noted.await.unwrap_or(Err(Closed)) }));
        Ok(())
    }

    /// Hands a message, a reaction or a sign of typing to the framework.
    pub(in crate::network) async fn ingest_message(
        &self,
        room: IrcRoom,
        event: &Event,
        incoming: &Incoming,
    ) -> Result<(), Closed> {
        let sender = self.shared.user(&incoming.from.name);
        match &incoming.kind {
            MessageKind::Privmsg | MessageKind::Notice | MessageKind::Action => {}
            MessageKind::Tags => return self.hear_tags(room, sender, event).await,
            // Other requests are for clients, and answering for everybody would multiply them.
            MessageKind::Ctcp(_) | MessageKind::CtcpReply(_) => return Ok(()),
        }
        let dedupe = event.meta.msgid.as_deref().map_or(Dedupe::Never, |id| Dedupe::Id(id.to_owned()));
        let message = self.message(room, event, incoming);
        // Formatting codes alone, or `/me` and nothing: nobody sees it on IRC either.
        if matches!(&message, RemoteEvent::<IrcNetwork>::Message { body, .. } if body.text.is_blank()) {
            return Ok(());
        }
        self.tell(message, dedupe).await
    }

    fn message(&self, room: IrcRoom, event: &Event, incoming: &Incoming) -> RemoteEvent<IrcNetwork> {
        RemoteEvent::<IrcNetwork>::Message {
            room,
            sender: self.shared.user(&incoming.from.name),
            name: Some(incoming.from.name.clone()),
            id: event.meta.msgid.as_deref().map(str::to_owned),
            at: event.meta.time.map(|time| Millis(time.0)),
            body: Body {
                text: formatting::decode(&incoming.text),
                emote: incoming.kind == MessageKind::Action,
                notice: incoming.kind == MessageKind::Notice,
                ..Body::default()
            },
            reply_to: answered(event),
        }
    }

    /// Takes in that somebody took a message back.
    pub(super) async fn hear_redaction(
        &self,
        channel: &Channel,
        by: &Source,
        msgid: &str,
        reason: Option<&str>,
    ) -> Result<(), Closed> {
        let ours = self.is_me(&by.name) || self.shared.own.lock().owner(by).is_some();
        let Some(room) = self.shared.room(channel.as_str()).filter(|_| !ours) else { return Ok(()) };
        self.redacted(room, by, msgid, reason).await
    }

    /// Tells the framework that a message was taken back.
    pub(in crate::network) async fn redacted(
        &self,
        room: IrcRoom,
        by: &Source,
        msgid: &str,
        reason: Option<&str>,
    ) -> Result<(), Closed> {
        let by = (!by.is_server()).then(|| self.shared.user(&by.name));
        let reason = reason.filter(|reason| !reason.is_empty()).map(plain);
        self.tell(RemoteEvent::<IrcNetwork>::Redact { room, by, target: msgid.to_owned(), reason }, Dedupe::Never).await
    }

    async fn hear_tags(&self, room: IrcRoom, by: IrcUser, event: &Event) -> Result<(), Closed> {
        let tags = &event.meta.tags;
        if let Some(typing) = tags.get("+typing").filter(|_| !event.meta.in_history) {
            self.shared.host.typing(&self.id, room, by, typing == "active");
            return Ok(());
        }
        let react = tags.get("+draft/react").or_else(|| tags.get("+react"));
        let unreact = tags.get("+draft/unreact").or_else(|| tags.get("+unreact"));
        let (Some(key), Some(target)) = (react.or(unreact).filter(|key| !key.is_empty()), answered(event)) else {
            return Ok(());
        };
        let key = RichText::plain(key).to_plain().chars().take(64).collect();
        let dedupe = event.meta.msgid.as_deref().map_or(Dedupe::Never, |id| Dedupe::Id(id.to_owned()));
        let event = RemoteEvent::<IrcNetwork>::React { room, by, target, key, on: react.is_some() };
        self.tell(event, dedupe).await
    }

    /// Answers what people ask the bot's client, and nobody else's.
    async fn answer_ctcp(&self, incoming: &Incoming) {
        let answer = match &incoming.kind {
            MessageKind::Ctcp(verb) if verb == "VERSION" => "VERSION Landbridge, a Matrix bridge".to_owned(),
            MessageKind::Ctcp(verb) if verb == "PING" => {
                format!("PING {}", incoming.text.chars().filter(|c| !c.is_control()).take(64).collect::<String>())
            }
            _ => return,
        };
        let Ok(nick) = Nick::new(&incoming.from.name) else { return };
        let Ok(handle) = self.link.handle() else { return };
        // It waits its turn in the send queue, which bounds how many there can be; nobody waits for its outcome.
        let line = Message::new("NOTICE", [nick.as_str().to_owned(), format!("\u{1}{answer}\u{1}")]);
        let _ = handle.submit(Command::Raw(line)).await;
    }
}

/// The message that this one answers, by tag.
fn answered(event: &Event) -> Option<String> {
    let tags = &event.meta.tags;
    tags.get("+reply")
        .or_else(|| tags.get("+draft/reply"))
        .filter(|id| !id.is_empty() && id.len() <= 255)
        .map(str::to_owned)
}
