//! A small XMPP server: one component, one room with an archive, nothing checked.

use std::sync::Arc;

use landbridge::Millis;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    config::XmppConfig,
    convert::incoming::{stamp, write_stamp},
    jid::Jid,
    stanza::{Element, ElementExt as _, Piece, Reader, ns, write_any},
};

/// The room.
pub(super) const TEA: &str = "tea@muc.test";

/// The server. Ends when it is dropped.
pub(super) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    now: Millis,
    archive: Vec<(Millis, Element)>,
    /// Who is in the room: address and nick.
    seats: Vec<(Jid, String)>,
    /// The next message is kept, but the link goes down before anybody hears of it.
    breaks_at_next: bool,
    /// So often the archive does not answer.
    archive_is_busy: u32,
    /// Ends the link.
    link: CancellationToken,
    /// What goes to the component without being asked for.
    unasked: mpsc::UnboundedSender<Element>,
    /// The nick that whoever enters gets, whatever they ask for.
    nick: Option<&'static str>,
    /// The error with which the room answers who asks whether they are in it.
    ping: Option<&'static str>,
    /// The error with which nobody is let in, and its type.
    entry: Option<(&'static str, &'static str)>,
    /// By whom what is said is refused, as the room is moderated.
    voiceless: Vec<&'static str>,
    /// Who gets a voice together with the next refusal.
    voiced_late: Option<&'static str>,
    /// Whose invitations the room does not pass on, and the error that says so.
    uninviting: Vec<(&'static str, &'static str)>,
    /// Whether the room is listed.
    is_public: bool,
    /// For whom the room is, where not for everybody.
    closed: Option<&'static str>,
    /// What came.
    came: Vec<Element>,
    /// Whether it answers nothing any more.
    silent: bool,
}

impl Server {
    pub(super) async fn start(now: Millis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            now,
            archive: Vec::new(),
            seats: Vec::new(),
            breaks_at_next: false,
            archive_is_busy: 0,
            link: CancellationToken::new(),
            unasked: mpsc::unbounded_channel().0,
            nick: None,
            ping: None,
            entry: None,
            voiceless: Vec::new(),
            voiced_late: None,
            uninviting: Vec::new(),
            is_public: false,
            closed: None,
            came: Vec::new(),
            silent: false,
        }));
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &serving).await;
            }
        });
        Self { port, state, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn config(&self) -> XmppConfig {
        let component = serde_json::json!({
            "domain": "matrix.test", "secret": "s3cret", "host": "127.0.0.1", "port": self.port,
        });
        serde_json::from_value(serde_json::json!({ "component": component })).unwrap()
    }

    /// It is this late now.
    pub(super) fn is_at(&self, now: Millis) {
        self.state.lock().now = now;
    }

    /// Somebody says something that nobody of us hears; the archive keeps it.
    pub(super) fn says_unheard(&self, nick: &str, text: &str) {
        let mut state = self.state.lock();
        // In an archive, what is said is as clients say it, not as components do.
        const CLIENT: &str = "jabber:client";
        let body = Element::bare("body", CLIENT).with_text(text);
        let message = Element::bare("message", CLIENT).with("from", format!("{TEA}/{nick}")).with("type", "groupchat");
        let message = message.with("id", text);
        let now = state.now;
        state.archive.push((now, message.child(body)));
    }

    /// Sends something by itself.
    pub(super) fn sends(&self, stanza: Element) {
        self.state.lock().unasked.send(stanza).unwrap();
    }

    /// Whoever enters gets this nick.
    pub(super) fn gives_nick(&self, nick: &'static str) {
        self.state.lock().nick = Some(nick);
    }

    /// Nobody is let in, for this reason.
    pub(super) fn refuses_entry(&self, error: Option<(&'static str, &'static str)>) {
        self.state.lock().entry = error;
    }

    /// This one has a voice, or none; in the room they are told so.
    pub(super) fn gives_voice(&self, to: &'static str, voice: bool) {
        let mut state = self.state.lock();
        state.voiceless.retain(|who| *who != to);
        if !voice {
            state.voiceless.push(to);
        }
        let seat = state.seats.iter().find(|(jid, _)| jid.as_str() == to).cloned();
        if let Some((jid, nick)) = seat {
            let presence = state.presence(&jid, &nick);
            state.unasked.send(presence).unwrap();
        }
    }

    /// This one is given a voice as soon as the next thing they say is refused.
    pub(super) fn gives_voice_after_next_refusal(&self, to: &'static str) {
        self.state.lock().voiced_late = Some(to);
    }

    /// The room forgets that this one is in it, and tells nobody.
    pub(super) fn forgets(&self, who: &str) {
        self.state.lock().seats.retain(|(known, _)| known.as_str() != who);
    }

    /// The room does not pass on what this one invites, for this reason.
    pub(super) fn refuses_invitations(&self, of: &'static str, why: &'static str) {
        self.state.lock().uninviting.push((of, why));
    }

    /// Who asks whether they are in the room is answered with this error.
    pub(super) fn answers_pings_with(&self, error: Option<&'static str>) {
        self.state.lock().ping = error;
    }

    /// Whether the room is listed for everybody.
    pub(super) fn lists_the_room(&self, is_public: bool) {
        self.state.lock().is_public = is_public;
    }

    /// The room says of itself that not everybody may enter it.
    pub(super) fn is_for(&self, feature: &'static str) {
        self.state.lock().closed = Some(feature);
    }

    /// From now on it answers nothing.
    pub(super) fn falls_silent(&self) {
        self.state.lock().silent = true;
    }

    /// Everything that came so far.
    pub(super) fn came(&self) -> Vec<Element> {
        self.state.lock().came.clone()
    }

    /// Has the bridge answer something, and so everything that was sent before it.
    pub(super) async fn until_answered(&self, told: &impl std::fmt::Debug) {
        let id = format!("sync{}", self.came().len());
        let ping = Element::stanza("iq", "bob@xmpp.test/phone", "bridge@matrix.test", "get").with("id", id.clone());
        self.sends(ping.child(Element::bare("ping", ns::PING)));
        self.until("an answer", told, |stanza| stanza.attr("id") == Some(&id)).await;
    }

    /// Waits until something came.
    pub(super) async fn until(
        &self,
        what: &str,
        told: &impl std::fmt::Debug,
        fits: impl Fn(&Element) -> bool,
    ) -> Element {
        let found = async {
            loop {
                if let Some(found) = self.came().into_iter().find(&fits) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(std::time::Duration::from_secs(20), found).await;
        found.unwrap_or_else(|_| panic!("waited for {what}; came {:#?}; told {told:#?}", self.came()))
    }

    pub(super) fn breaks_at_next_message(&self) {
        self.state.lock().breaks_at_next = true;
    }

    pub(super) fn archive_is_busy(&self, times: u32) {
        self.state.lock().archive_is_busy = times;
    }

    /// Ends the link.
    pub(super) fn breaks(&self) {
        self.state.lock().link.cancel();
    }

    /// How often a text is in the archive.
    pub(super) fn count(&self, text: &str) -> usize {
        let state = self.state.lock();
        state.archive.iter().filter(|(_, message)| message.own_text("body").as_deref() == Some(text)).count()
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let link = CancellationToken::new();
    let (unasked, mut waiting) = mpsc::unbounded_channel();
    {
        let mut state = state.lock();
        (state.link, state.unasked) = (link.clone(), unasked);
    }
    let (mut reader, mut buffer) = (Reader::default(), vec![0; 16 * 1024]);
    loop {
        let length = tokio::select! {
            () = link.cancelled() => return,
            Some(stanza) = waiting.recv() => {
                let mut bytes = String::new();
                write_any(&stanza, &mut bytes);
                stream.write_all(bytes.as_bytes()).await.unwrap();
                continue;
            }
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => length,
                _ => return,
            },
        };
        let mut unread = &buffer[..length];
        while let Some(piece) = reader.read(&mut unread, &|_| true).unwrap() {
            let answer = match piece {
                Piece::Open(_) => {
                    let (ours, streams) = (ns::COMPONENT, ns::STREAM);
                    format!("<stream:stream xmlns='{ours}' xmlns:stream='{streams}' id='1'>").into_bytes()
                }
                Piece::Stanza(stanza) if stanza.name() == "handshake" => b"<handshake/>".to_vec(),
                Piece::Stanza(stanza) => {
                    let mut bytes = String::new();
                    state.lock().take(&stanza).iter().for_each(|answer| write_any(answer, &mut bytes));
                    bytes.into_bytes()
                }
                Piece::Skipped(_) => Vec::new(),
                Piece::Close => return,
            };
            if link.is_cancelled() || stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn take(&mut self, stanza: &Element) -> Vec<Element> {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return Vec::new() };
        self.came.push(stanza.clone());
        if self.silent {
            return Vec::new();
        }
        if to.domain() != "muc.test" {
            // Only what the component asks itself comes back.
            let asks_itself = to.domain() == "matrix.test" && stanza.kind() == "get";
            return if asks_itself { self.asked(stanza) } else { Vec::new() };
        }
        match (stanza.name(), stanza.kind()) {
            ("presence", "") => self.enters(&from, to.resource().unwrap_or_default()),
            ("message", "groupchat") => self.said(stanza, &from),
            ("message", "") => self.invited(stanza),
            ("iq", "get" | "set") => self.asked(stanza),
            _ => Vec::new(),
        }
    }

    fn enters(&mut self, who: &Jid, nick: &str) -> Vec<Element> {
        let nick = self.nick.unwrap_or(nick);
        if let Some((kind, why)) = self.entry {
            let error =
                Element::bare("error", ns::COMPONENT).with("type", kind).child(Element::bare(why, ns::STANZA_ERROR));
            let refusal = Element::stanza("presence", &format!("{TEA}/{nick}"), who.as_str(), "error");
            return vec![refusal.child(error)];
        }
        self.seats.retain(|(known, _)| known != who);
        self.seats.push((who.clone(), nick.to_owned()));
        vec![self.presence(who, nick)]
    }

    fn presence(&self, who: &Jid, nick: &str) -> Element {
        let role = if self.voiceless.contains(&who.as_str()) { "visitor" } else { "participant" };
        let item = Element::bare("item", ns::MUC_USER).with("affiliation", "none").with("role", role);
        let own = Element::bare("status", ns::MUC_USER).with("code", "110");
        let presence = Element::stanza("presence", &format!("{TEA}/{nick}"), who.as_str(), "");
        presence.child(Element::bare("x", ns::MUC_USER).child(item).child(own))
    }

    fn said(&mut self, stanza: &Element, who: &Jid) -> Vec<Element> {
        let refused = |kind: &str, why: &str| {
            let error = Element::bare("error", ns::COMPONENT).with("type", kind);
            let message = Element::stanza("message", TEA, who.as_str(), "error").with_some("id", stanza.attr("id"));
            message.child(error.child(Element::bare(why, ns::STANZA_ERROR)))
        };
        let Some((_, nick)) = self.seats.iter().find(|(known, _)| known == who) else {
            return vec![refused("modify", "not-acceptable")];
        };
        if self.voiceless.contains(&who.as_str()) {
            let mut answers = vec![refused("auth", "forbidden")];
            if let Some(voiced) = self.voiced_late.take() {
                self.voiceless.retain(|who| *who != voiced);
                let seat = self.seats.iter().find(|(jid, _)| jid.as_str() == voiced);
                answers.extend(seat.map(|(jid, nick)| self.presence(jid, nick)));
            }
            return answers;
        }
        let mut message = stanza.clone();
        message.set("from", format!("{TEA}/{nick}"));
        if message.own("subject").is_some() {
            // As Prosody does, which makes a message of its own of it.
            message.set("id", "topic");
        }
        self.archive.push((self.now, message.clone()));
        if std::mem::take(&mut self.breaks_at_next) {
            self.link.cancel();
            return Vec::new();
        }
        let id = Element::bare("stanza-id", ns::SID).with("by", TEA).with("id", self.archive.len().to_string());
        let message = message.child(id);
        let copy = |(seat, _): &(Jid, String)| {
            let mut copy = message.clone();
            copy.set("to", seat.as_str());
            copy
        };
        self.seats.iter().map(copy).collect()
    }

    fn invited(&self, message: &Element) -> Vec<Element> {
        let from = message.attr("from").unwrap();
        let Some((_, why)) = self.uninviting.iter().find(|(who, _)| *who == from) else { return Vec::new() };
        let error = Element::bare("error", ns::COMPONENT).with("type", "auth");
        let error = error.child(Element::bare(*why, ns::STANZA_ERROR));
        let answer = Element::stanza("message", message.attr("to").unwrap(), from, "error");
        vec![answer.with_some("id", message.attr("id")).child(error)]
    }

    fn asked(&mut self, iq: &Element) -> Vec<Element> {
        let answer = |kind| {
            let answer = Element::stanza("iq", iq.attr("to").unwrap(), iq.attr("from").unwrap(), kind);
            answer.with("id", iq.attr("id").unwrap())
        };
        if iq.get_child("query", ns::DISCO_INFO).is_some() {
            let feature = |var| Element::bare("feature", ns::DISCO_INFO).with("var", var);
            let public = self.is_public.then(|| feature("muc_public"));
            let info = Element::bare("query", ns::DISCO_INFO).child(feature(ns::MUC)).child(feature(ns::MAM));
            let info = info.child_some(public).child_some(self.closed.map(feature));
            return vec![answer("result").child(info)];
        }
        if let (Some(error), Some(_)) = (self.ping, iq.get_child("ping", ns::PING)) {
            let why = Element::bare(error, ns::STANZA_ERROR);
            return vec![
                answer("error").child(Element::bare("error", ns::COMPONENT).with("type", "cancel").child(why)),
            ];
        }
        let Some(query) = iq.get_child("query", ns::MAM) else { return vec![answer("result")] };
        if let Some(left) = self.archive_is_busy.checked_sub(1) {
            self.archive_is_busy = left;
            let why = Element::bare("resource-constraint", ns::STANZA_ERROR);
            return vec![answer("error").child(Element::bare("error", ns::COMPONENT).with("type", "wait").child(why))];
        }
        let form = query.get_child("x", ns::DATA).unwrap();
        let start = form.find_all("field", ns::DATA).find(|field| field.attr("var") == Some("start")).unwrap();
        let start = stamp(&start.own_text("value").unwrap()).unwrap();
        let kept = self.archive.iter().enumerate().filter(|(_, (at, _))| *at >= start);
        let mut answers: Vec<Element> = kept
            .map(|(number, (at, message))| {
                let delay = Element::bare("delay", ns::DELAY).with("stamp", write_stamp(*at));
                let forwarded = Element::bare("forwarded", ns::FORWARD).child(delay).child(message.clone());
                let result = Element::bare("result", ns::MAM)
                    .with("queryid", query.attr("queryid").unwrap())
                    .with("id", (number + 1).to_string());
                let copy = Element::stanza("message", TEA, iq.attr("from").unwrap(), "");
                copy.child(result.child(forwarded))
            })
            .collect();
        answers.push(answer("result").child(Element::bare("fin", ns::MAM).with("complete", "true")));
        answers
    }
}
