//! The life of the link, and the bridge's own seat in rooms.

use std::{sync::Arc, time::Duration};

use landbridge::{
    Clock as _, Millis, SystemClock,
    network::{ConnectionError, ConnectionState, Reject, RoomInfo, SendError, host::Closed},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    outside::in_words,
    session::XmppSession,
    shared::{Held, Shared},
};
use crate::{
    convert::incoming,
    jid::Jid,
    link::{Connection, IqError, LinkError, Timing},
    muc::{JoinError, SeatId, SeatState},
    stanza::{Condition, Element, ElementExt as _, ns},
};

/// How long a room may take to let somebody in: remote servers are slow.
const JOINING: Duration = Duration::from_secs(60);
/// How long a service may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// The topic of the notes of rooms out of which the listener was kicked.
const KICKED: &str = "kicked";
/// How far before what was heard last an archive is read again: clocks differ.
const OVERLAP: i64 = 120_000;

/// From when on an archive is read that is to hold everything from a moment on.
pub(super) fn archived_from(moment: Millis) -> String {
    incoming::write_stamp(Millis(moment.0 - OVERLAP))
}

impl XmppSession {
    /// Connects, and hears until the link ends.
    pub(super) async fn run_link(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        *self.shared.stopping.lock() = stop.clone();
        let opening = Connection::open(&self.shared.endpoint, Timing::default(), Arc::clone(&self.shared.counters));
        let connection = match stop.run_until_cancelled(opening).await {
            None => return Ok(()),
            Some(opened) => opened.map_err(|error| self.why(&error))?,
        };
        let _gone_with_us = Unlink(&self.shared);
        self.shared.outlet.send_replace(Some(connection.outlet()));
        self.shared.recall_presence().await;
        let name = Some(self.shared.own.domain.clone());
        self.shared.host.state(&self.id, ConnectionState::Connected { name });
        let watching = tokio::spawn(Arc::clone(&self.shared).watch_rooms());
        let _watch_with_us = AbortOnDrop(watching.abort_handle());
        let probing = tokio::spawn(Arc::clone(&self.shared).probe_all());
        let _probe_with_us = AbortOnDrop(probing.abort_handle());
        self.hear_all(connection, &stop).await
    }

    async fn hear_all(&self, mut connection: Connection, stop: &CancellationToken) -> Result<(), ConnectionError> {
        let wanted = |head: &Element| self.shared.wants(head);
        let skipped = |head: &crate::stanza::Head| {
            let head = head.element();
            let from: String = head.attr("from").unwrap_or_default().chars().take(200).collect();
            tracing::warn!(xmpp.from = from.as_str(), "a stanza beyond the bounds was left out");
            self.shared.refuse_unread(head);
        };
        loop {
            let next = tokio::select! {
                // Nothing is said: our seats stay ours over a restart.
                () = stop.cancelled() => {
                    self.shared.doors.emptied().await;
                    return Ok(());
                }
                next = connection.next(&wanted, &skipped) => next,
            };
            match next {
                Ok(stanza) => {
                    if self.shared.hear(stanza).await.is_err() {
                        // The framework keeps nothing more.
                        stop.cancelled().await;
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.why(&error)),
            }
        }
    }

    /// What the framework must do about the end of the link.
    fn why(&self, error: &LinkError) -> ConnectionError {
        match error {
            LinkError::NotAccepted(fault) => {
                // The server may be told the secret later; but nothing changes by itself.
                ConnectionError::Throttled {
                    reason: format!(
                        "the server does not accept the component {}: {fault}; is the secret right?",
                        self.shared.own.domain
                    ),
                    after: Some(Duration::from_secs(30)),
                }
            }
            LinkError::Fault(fault) if fault.is_conflict() => {
                // Either a second bridge runs, or the server has not yet noticed that our last link is gone.
                ConnectionError::Throttled {
                    reason: format!("another link has our place: {fault}"),
                    after: Some(Duration::from_secs(10)),
                }
            }
            LinkError::Fault(_)
            | LinkError::Connect(_)
            | LinkError::Io(_)
            | LinkError::Closed
            | LinkError::Read(_)
            | LinkError::Silent => ConnectionError::Transient(error.to_string()),
        }
    }

    /// What a room says of itself; an error for what is no room, or does not exist.
    pub(super) async fn ask_room(&self, jid: &Jid) -> Result<RoomInfo, SendError> {
        self.shared.ask_room(jid).await
    }

    /// Has the listener in a room.
    pub(super) async fn listen_in(&self, jid: &Jid) -> Result<(), SendError> {
        if self.shared.with_room(jid, |state| state.room.is_in(&SeatId::Listener)) == Some(true) {
            self.shared.tell_roster(jid).await;
            return Ok(());
        }
        self.shared.ask_room(jid).await?;
        self.shared.be_in(jid, &SeatId::Listener).await
    }
}

impl Shared {
    /// What a room says of itself; an error for what is no room, or does not exist. Joining a room that does not exist makes it, so
    /// it is always asked first.
    pub(super) async fn ask_room(&self, jid: &Jid) -> Result<RoomInfo, SendError> {
        let bot = self.seat_jid(&SeatId::Listener).ok_or(SendError::Unsupported)?;
        let iq = Element::stanza("iq", bot.as_str(), jid.as_str(), "get").child(Element::bare("query", ns::DISCO_INFO));
        let info = match self.ask(iq, ANSWER).await {
            Ok(answer) => answer,
            Err(IqError::Disconnected) => return Err(SendError::Disconnected),
            Err(IqError::Timeout) => return Err(SendError::RetryAfter(Duration::from_secs(30))),
            Err(IqError::Refused(error)) => return self.no_info(jid, &error),
        };
        let query = info.get_child("query", ns::DISCO_INFO);
        let features = || query.into_iter().flat_map(|query| query.find_all("feature", ns::DISCO_INFO));
        let has = |feature: &str| features().any(|known| known.attr("var") == Some(feature));
        if !has(ns::MUC) {
            return Err(SendError::Rejected(Reject::NotInRoom(format!("{jid} is no room"))));
        }
        let identity = query.and_then(|query| query.get_child("identity", ns::DISCO_INFO));
        let name = identity.and_then(|identity| identity.attr("name")).filter(|name| !name.trim().is_empty());
        let name = Some(name.map_or_else(|| jid.node().unwrap_or(jid.as_str()).to_owned(), str::to_owned));
        self.know_room(jid, |state| {
            state.archive = has(ns::MAM);
            state.public = has("muc_public");
            state.name.clone_from(&name);
        });
        Ok(RoomInfo {
            name,
            topic: form_field(query, "muc#roominfo_subject"),
            public: Some(has("muc_public") && has("muc_open")),
        })
    }

    fn no_info(&self, jid: &Jid, error: &crate::stanza::StanzaError) -> Result<RoomInfo, SendError> {
        if !error.is_temporary() {
            self.with_room(jid, |state| state.public = false);
        }
        match error.condition {
            Condition::ItemNotFound if self.config.rooms.create => {
                Ok(RoomInfo { name: jid.node().map(str::to_owned), topic: None, public: Some(false) })
            }
            Condition::ItemNotFound => Err(SendError::Rejected(Reject::NotInRoom(format!("there is no room {jid}")))),
            _ if error.is_temporary() => Err(SendError::RetryAfter(Duration::from_secs(30))),
            // It does not say, but may let us in all the same.
            Condition::Forbidden
            | Condition::NotAuthorized
            | Condition::RegistrationRequired
            | Condition::FeatureNotImplemented => {
                Ok(RoomInfo { name: jid.node().map(str::to_owned), topic: None, public: Some(false) })
            }
            _ => Err(SendError::Rejected(Reject::NotInRoom(format!("{jid} cannot be reached: {error}")))),
        }
    }

    /// Has one of our seats in a room.
    pub(super) async fn be_in(&self, jid: &Jid, seat: &SeatId) -> Result<(), SendError> {
        if *seat == SeatId::Listener {
            self.know_kicks(jid).await;
            self.need_not_stay_away(jid)?;
        }
        let Some(address) = self.seat_jid(seat) else { return Err(SendError::Rejected(Reject::UnknownTarget)) };
        let name = self.name_of(seat);
        let since = match seat {
            SeatId::Listener => {
                self.know_nicks(jid).await;
                self.since(jid).await
            }
            SeatId::Puppet(_) => None,
        };
        let joining = self.know_room(jid, |state| {
            if state.room.is_in(seat) {
                return None;
            }
            let waiting = self.await_seat(jid, seat);
            // What was missed comes from the archive, where there is one.
            let history = since.as_deref().filter(|_| !state.archive);
            if let Some(since) = since.clone().filter(|_| *seat == SeatId::Listener && state.archive) {
                state.held = Some(Held { since, stanzas: Vec::new(), overflown: false });
            }
            Some((waiting, state.room.join(seat, &address, &name, history)))
        });
        let Some((waiting, out)) = joining else { return Ok(()) };
        if self.outlet().is_none() {
            // Nothing was sent: who asks over the next link must not take it for being on its way.
            self.with_room(jid, |state| state.room.lost(seat));
            return Err(SendError::Disconnected);
        }
        self.send_all(out).await;
        match tokio::time::timeout(JOINING, waiting).await {
            Ok(Ok(Ok(()))) => {
                if *seat == SeatId::Listener {
                    self.with_room(jid, |state| state.outside.came_in());
                }
                Ok(())
            }
            Ok(Ok(Err(error))) => Err(not_joined(&error)),
            Ok(Err(_)) => Err(SendError::Disconnected),
            Err(_) => {
                self.with_room(jid, |state| state.room.lost(seat));
                Err(SendError::RetryAfter(Duration::from_secs(30)))
            }
        }
    }

    /// Refuses for as long as the listener stays away from a room because it was kicked.
    fn need_not_stay_away(&self, jid: &Jid) -> Result<(), SendError> {
        match self.with_room(jid, |state| state.outside.stays_away(Instant::now())).flatten() {
            None => Ok(()),
            Some(wait) => {
                let why = format!(
                    "the bridge was kicked out of the room, and comes back in {} at the earliest",
                    in_words(wait)
                );
                Err(SendError::Rejected(Reject::NotInRoom(why)))
            }
        }
    }

    /// Whether the listener was kicked out of a room in an earlier life of the bridge, as it was noted.
    pub(super) async fn know_kicks(&self, jid: &Jid) {
        if self.know_room(jid, |state| std::mem::replace(&mut state.kicks_known, true)) {
            return;
        }
        let noted = self.host.note(KICKED, jid.as_str()).await;
        self.with_room(jid, |state| match noted {
            Ok(Some(noted)) => state.outside.recall(&noted, Instant::now(), SystemClock.now()),
            Ok(None) => {}
            Err(Closed) => state.kicks_known = false,
        });
    }

    /// Notes whether the listener was kicked out of a room, for later lives of the bridge.
    pub(super) async fn note_kicks(&self, jid: &Jid) {
        let noted = self.with_room(jid, |state| state.outside.noted(Instant::now(), SystemClock.now()));
        if let Some(noted) = noted.filter(|noted| !noted.is_empty()) {
            // What is not kept is told in the log; then a restart brings it back at once.
            let _ = self.host.set_note(KICKED, jid.as_str(), &noted).await;
        }
    }

    /// Whoever may say so wants the listener back in a room: whatever was, it may try.
    pub(super) async fn is_wanted_back(&self, jid: &Jid) {
        self.know_kicks(jid).await;
        self.with_room(jid, |state| state.outside.is_called_back(Instant::now()));
        self.note_kicks(jid).await;
    }

    /// How often the nicks of a room were given up, as it was noted.
    async fn know_nicks(&self, jid: &Jid) {
        if self.know_room(jid, |state| std::mem::replace(&mut state.nicks_known, true)) {
            return;
        }
        match self.host.notes(&nicks_of(jid)).await {
            Ok(notes) => {
                let known = notes.into_iter().filter_map(|(nick, generation)| Some((nick, generation.parse().ok()?)));
                self.with_room(jid, |state| state.room.had(known));
            }
            Err(Closed) => {
                self.with_room(jid, |state| state.nicks_known = false);
            }
        }
    }

    /// Notes how often a nick was given up, before anybody is told who has it next.
    pub(super) async fn note_nick(&self, jid: &Jid, nick: &str, generation: u32) {
        // What is not kept is told in the log; then, after a restart, whoever has the nick is taken for who had it.
        let _ = self.host.set_note(&nicks_of(jid), nick, &generation.to_string()).await;
    }

    /// From when on a room's messages may have been missed.
    pub(super) async fn since(&self, jid: &Jid) -> Option<String> {
        let room = crate::convert::ids::XmppRoom::Muc(jid.clone());
        let heard = self.host.heard_until(&room).await.ok().flatten()?;
        let has_archive = self.with_room(jid, |state| state.archive).unwrap_or_default();
        // A room's short history repeats everything since then, and not everything in it has an id: it is asked for no more than needed.
        Some(if has_archive { archived_from(heard) } else { incoming::write_stamp(heard) })
    }

    /// Brings the listener back into rooms, and asks now and then whether it is still there.
    async fn watch_rooms(self: Arc<Self>) {
        const EVERY: Duration = Duration::from_secs(20);
        let check_every = self.config.rooms.check_every.0;
        let every = check_every.clamp(Duration::from_secs(1), EVERY);
        let checks = u32::try_from(check_every.as_secs() / every.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut turn = 0_u32;
        loop {
            tokio::time::sleep(every + every.mul_f32(rand::random::<f32>() / 20.0)).await;
            turn = turn.wrapping_add(1);
            let rooms: Vec<(Jid, SeatState)> = {
                let rooms = self.rooms.lock();
                let wanted = rooms.iter().filter(|(_, state)| state.wanted);
                wanted.map(|(jid, state)| (jid.clone(), state.room.state_of(&SeatId::Listener))).collect()
            };
            for (jid, seat) in rooms {
                match seat {
                    SeatState::Out => self.come_back(&jid, turn).await,
                    SeatState::In if turn.is_multiple_of(checks) => {
                        self.check_seat(&jid, &SeatId::Listener).await;
                        if self.with_room(&jid, |state| state.room.is_in(&SeatId::Listener)) == Some(false) {
                            self.come_back(&jid, turn).await;
                        }
                    }
                    SeatState::In | SeatState::Joining { .. } => {}
                }
            }
        }
    }

    /// Tries to have the listener in a room again; seldomer, the more often that failed.
    pub(super) async fn come_back(&self, jid: &Jid, turn: u32) {
        let known = self.with_room(jid, |state| (state.failures, state.outside.may_try(Instant::now())));
        let (failures, may_try) = known.unwrap_or((0, true));
        if !may_try || !turn.is_multiple_of(1 << failures.min(5)) {
            return;
        }
        let result = match self.ask_room(jid).await {
            Ok(_) => self.be_in(jid, &SeatId::Listener).await,
            Err(error) => Err(error),
        };
        self.with_room(jid, |state| state.failures = if result.is_ok() { 0 } else { failures + 1 });
        if let Err(error) = result {
            self.with_room(jid, |state| state.outside.still_kept_out(Instant::now()));
            tracing::info!(remote.room = %jid, %error, "the room cannot be entered again yet");
        }
    }

    /// Asks whether a seat is still ours (XEP-0410).
    pub(super) async fn check_seat(&self, jid: &Jid, seat: &SeatId) {
        let asked = self.with_room(jid, |state| {
            let seat = state.room.seat(seat)?;
            let own = jid.with_resource(&seat.nick)?;
            Some(Element::stanza("iq", seat.jid.as_str(), own.as_str(), "get").child(Element::bare("ping", ns::PING)))
        });
        let Some(Some(ping)) = asked else { return };
        let Err(IqError::Refused(error)) = self.ask(ping, ANSWER).await else { return };
        // Any other error says that we are in, and that whoever was asked does not answer pings.
        if error.condition == Condition::NotAcceptable {
            tracing::info!(remote.room = %jid, "a seat was lost without a word");
            self.with_room(jid, |state| state.room.lost(seat));
        }
    }
}

/// The topic of the notes about a room's nicks.
fn nicks_of(jid: &Jid) -> String {
    format!("nicks {jid}")
}

/// A field of the form in an answer.
fn form_field(query: Option<&Element>, name: &str) -> Option<String> {
    let form = query?.get_child("x", ns::DATA)?;
    let field = form.find_all("field", ns::DATA).find(|field| field.attr("var") == Some(name))?;
    field.own_text("value").filter(|text| !text.trim().is_empty())
}

/// What the framework must do about a seat that could not be taken.
fn not_joined(error: &JoinError) -> SendError {
    if error.is_temporary() {
        return SendError::RetryAfter(Duration::from_secs(15));
    }
    SendError::Rejected(Reject::NotInRoom(error.to_string()))
}

struct Unlink<'a>(&'a Shared);

impl Drop for Unlink<'_> {
    fn drop(&mut self) {
        self.0.unlinked();
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
