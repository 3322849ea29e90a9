//! A bare component, and bare occupants of a room, that note when each message came: nothing of their own between the socket and the
//! clock.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use landbridge_xmpp::{
    link::{Connection, Counters, Endpoint, Outlet, Timing},
    stanza::{Element, ElementExt as _, ns},
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};

/// What was said: nick, text, when.
type Heard = Vec<(String, String, Instant)>;

/// One component with an occupant in a room.
pub(crate) struct Component {
    outlet: Outlet,
    domain: String,
    room: String,
    own: String,
    heard: Arc<Mutex<Heard>>,
    more: Arc<Notify>,
    entered: Arc<Notify>,
    reader: AbortHandle,
}

impl Drop for Component {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Component {
    /// Connects as `domain`, and enters a room as `nick`. With `echo`, it says again what it hears from others.
    pub(crate) async fn join(server: SocketAddr, domain: &str, room: &str, nick: &str, echo: bool) -> Self {
        let endpoint = Endpoint {
            host: server.ip().to_string(),
            port: server.port(),
            domain: domain.to_owned(),
            secret: "s3cret".to_owned(),
            max_stanza: 256 * 1024,
        };
        let mut connection =
            Connection::open(&endpoint, Timing::default(), Arc::new(Counters::default())).await.expect("a link");
        let (outlet, own) = (connection.outlet(), address(nick, domain));
        let (heard, more): (Arc<Mutex<Heard>>, Arc<Notify>) = Default::default();
        let entered = Arc::new(Notify::new());
        let reader = tokio::spawn({
            let (heard, more, entered, own) = (heard.clone(), more.clone(), entered.clone(), own.clone());
            let (outlet, nick, room) = (outlet.clone(), nick.to_owned(), room.to_owned());
            async move {
                // The copies that others of this component get are not read further than that.
                let is_mine = |head: &Element| head.name() == "presence" || head.attr("to") == Some(own.as_str());
                while let Ok(stanza) = connection.next(&is_mine, &|_| {}).await {
                    let at = Instant::now();
                    let from = stanza.from().and_then(|from| from.resource().map(str::to_owned)).unwrap_or_default();
                    let is_own = stanza
                        .to()
                        .is_some_and(|to| stanza.from().is_some() && to.as_str() == address(&from, to.domain()));
                    if stanza.name() == "presence" && is_own {
                        entered.notify_one();
                    }
                    let Some(body) = stanza.own_text("body").filter(|_| stanza.kind() == "groupchat") else { continue };
                    if echo && from != nick {
                        outlet.send(&said(&own, &room, &body)).await.expect("a stanza");
                    }
                    heard.lock().push((from, body, at));
                    more.notify_waiters();
                }
            }
        });
        let (domain, room, reader) = (domain.to_owned(), room.to_owned(), reader.abort_handle());
        let component = Self { outlet, domain, room, own, heard, more, entered, reader };
        component.sits(nick).await;
        // Whoever makes a room unlocks it.
        let form = Element::bare("query", ns::MUC_OWNER).child(Element::form("submit"));
        let unlock = Element::stanza("iq", &component.own, &component.room, "set").with("id", "unlock");
        component.sends(&unlock.child(form)).await;
        component
    }

    /// Enters the room as `nick` (too), and waits until that is so.
    pub(crate) async fn sits(&self, nick: &str) {
        let history = Element::bare("history", ns::MUC).with("maxstanzas", "0");
        let (own, to) = (address(nick, &self.domain), format!("{}/{nick}", self.room));
        let presence = Element::stanza("presence", &own, &to, "");
        self.sends(&presence.child(Element::bare("x", ns::MUC).child(history))).await;
        self.entered.notified().await;
    }

    async fn sends(&self, stanza: &Element) {
        self.outlet.send(stanza).await.expect("a stanza");
    }

    /// Says something in the room.
    pub(crate) async fn says(&self, body: &str) {
        self.sends(&said(&self.own, &self.room, body)).await;
    }

    /// How much was said so far.
    pub(crate) fn count(&self) -> usize {
        self.heard.lock().len()
    }

    /// What was said after the first `skip` messages.
    pub(crate) fn heard(&self, skip: usize) -> Heard {
        self.heard.lock().iter().skip(skip).cloned().collect()
    }

    /// Waits until `count` messages were said in all; says no when that takes too long.
    pub(crate) async fn hears(&self, count: usize) -> bool {
        let enough = async {
            loop {
                let more = self.more.notified();
                if self.count() >= count {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), enough).await.is_ok()
    }
}

/// Where somebody called so is found.
fn address(nick: &str, domain: &str) -> String {
    format!("{nick}@{domain}/bench")
}

fn said(from: &str, room: &str, body: &str) -> Element {
    let message = Element::stanza("message", from, room, "groupchat").with("id", body.to_owned());
    message.child(Element::bare("body", ns::COMPONENT).with_text(body))
}
