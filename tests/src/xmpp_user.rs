//! A person on XMPP, over slixmpp: independent of the project's own XMPP code.

use std::{fmt, net::SocketAddr};

use serde_json::{Value, json};

use crate::{driver::Driver, transcript::Transcript};

/// One stanza that came.
#[derive(Clone, PartialEq)]
pub struct Stanza(Value);

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.text("body").chars().take(100).collect();
        write!(f, "{} {} {} {:?} {body}", self.text("name"), self.kind(), self.from(), self.0["codes"])
    }
}

impl Stanza {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// Whether it is a message, a presence or an IQ.
    pub fn is(&self, name: &str) -> bool {
        self.text("name") == name
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        self.text("type")
    }

    /// Who sent it.
    pub fn from(&self) -> &str {
        self.text("from")
    }

    /// The nick of the occupant who sent it.
    pub fn nick(&self) -> &str {
        self.from().split_once('/').map_or("", |(_, nick)| nick)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// Its text.
    pub fn body(&self) -> &str {
        self.text("body")
    }

    /// The topic it sets, if it does.
    pub fn subject(&self) -> Option<&str> {
        self.0["subject"].as_str()
    }

    /// Whether it holds a status code of rooms.
    pub fn has_code(&self, code: u64) -> bool {
        self.0["codes"].as_array().is_some_and(|codes| codes.iter().any(|known| known.as_u64() == Some(code)))
    }

    /// The whole of it.
    pub fn xml(&self) -> &str {
        self.text("xml")
    }

    /// The id that the room gave it.
    pub fn stanza_id(&self) -> String {
        let tag = self.xml().split("stanza-id").nth(1).unwrap_or_default();
        let tag = tag.split('>').next().unwrap_or_default();
        tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    fn is_said(&self, room: &str) -> bool {
        self.is("message")
            && self.kind() == "groupchat"
            && self.from().split('/').next() == Some(room)
            && !self.body().is_empty()
    }
}

/// Somebody with an XMPP client.
#[derive(Debug)]
pub struct XmppUser {
    /// The bare address.
    pub jid: String,
    driver: Driver,
    seen: Transcript<Stanza>,
}

impl XmppUser {
    /// Makes an account on a server and logs in.
    pub async fn connect(server: SocketAddr, domain: &str, name: &str) -> Self {
        let jid = format!("{name}@{domain}");
        let seen = Transcript::new(name);
        let driver = Driver::start("drivers/slix_user.py", &[&jid, &format!("secret of {name}")], {
            let seen = seen.clone();
            move |mut line| {
                if line["stanza"].is_object() {
                    seen.push(Stanza(line["stanza"].take()));
                }
            }
        });
        driver.ask("enter", json!({ "host": server.ip(), "port": server.port() })).await;
        Self { jid, driver, seen }
    }

    /// Enters a room, which is made if it is not there.
    pub async fn joins(&self, room: &str, nick: &str) {
        self.driver.ask("join", json!({ "room": room, "nick": nick })).await;
    }

    /// Tries to enter a room; the error comes back.
    pub async fn tries_to_join(&self, room: &str, nick: &str) -> Result<(), String> {
        self.driver.try_ask("join", json!({ "room": room, "nick": nick })).await.map(drop)
    }

    /// Leaves a room.
    pub async fn leaves(&self, room: &str, nick: &str) {
        self.sends(&format!("<presence to='{room}/{nick}' type='unavailable'/>")).await;
    }

    /// Says something in a room; the message's id comes back.
    pub async fn says(&self, room: &str, body: &str) -> String {
        self.says_with(room, Some(body), "").await
    }

    /// Says something in a room, with more in the message.
    pub async fn says_with(&self, room: &str, body: Option<&str>, extra: &str) -> String {
        self.messages(room, "groupchat", body, extra).await
    }

    /// Says something to somebody.
    pub async fn tells(&self, jid: &str, body: &str) -> String {
        self.messages(jid, "chat", Some(body), "").await
    }

    /// Sends a message of any type.
    pub async fn messages(&self, to: &str, kind: &str, body: Option<&str>, extra: &str) -> String {
        let sent = self.driver.ask("message", json!({ "to": to, "type": kind, "body": body, "extra": extra })).await;
        sent["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends anything.
    pub async fn sends(&self, xml: &str) {
        self.driver.ask("raw", json!({ "xml": xml })).await;
    }

    /// Asks something; what comes back, as XML.
    pub async fn asks(&self, to: &str, payload: &str) -> Result<String, String> {
        self.queries(to, payload, "get").await
    }

    /// Asks for a change.
    pub async fn sets(&self, to: &str, payload: &str) -> Result<String, String> {
        self.queries(to, payload, "set").await
    }

    /// Stores a file at the server's upload service; its address comes back.
    pub async fn stores(&self, name: &str, mime: &str, content: &str) -> String {
        let domain = self.jid.split_once('@').map_or("", |(_, domain)| domain);
        let size = content.len();
        let request =
            format!("<request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='{size}' content-type='{mime}'/>");
        let slot = self.asks(&format!("upload.{domain}"), &request).await.expect("a slot");
        let url = |tag: &str| {
            let rest = slot.split(tag).nth(1).and_then(|rest| rest.split("url=\"").nth(1)).expect("an address");
            rest.split('"').next().unwrap_or_default().replace("&amp;", "&")
        };
        let mut put = crate::http().put(url("put ")).header("content-type", mime).body(content.to_owned());
        if let Some(token) = slot.split("name=\"Authorization\">").nth(1) {
            put = put.header("authorization", token.split('<').next().unwrap_or_default());
        }
        let stored = put.send().await.expect("an answer");
        assert!(stored.status().is_success(), "{}: {}", self.jid, stored.status());
        url("get ")
    }

    /// Makes somebody something to a room, by address: `owner`, `admin`, `member`, `none`, `outcast`.
    pub async fn affiliates(&self, room: &str, jid: &str, affiliation: &str) {
        self.governs(room, &format!("affiliation='{affiliation}' jid='{jid}'")).await;
    }

    /// Gives an occupant of a room a role: `moderator`, `participant`, `visitor`, or `none`, which puts them out.
    pub async fn gives_role(&self, room: &str, nick: &str, role: &str) {
        self.governs(room, &format!("role='{role}' nick='{nick}'")).await;
    }

    async fn governs(&self, room: &str, item: &str) {
        let query = "http://jabber.org/protocol/muc#admin";
        let change = format!("<query xmlns='{query}'><item {item}><reason>enough</reason></item></query>");
        self.sets(room, &change).await.unwrap_or_else(|error| panic!("{}: {item}: {error}", self.jid));
    }

    /// Everybody who is this to a room, as XML.
    pub async fn lists(&self, room: &str, affiliation: &str) -> String {
        let query = "http://jabber.org/protocol/muc#admin";
        let asked = format!("<query xmlns='{query}'><item affiliation='{affiliation}'/></query>");
        self.asks(room, &asked).await.unwrap_or_else(|error| panic!("{}: {affiliation}: {error}", self.jid))
    }

    /// Changes one field of a room's configuration.
    pub async fn configures(&self, room: &str, field: &str, value: &str) {
        let kind = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>";
        let field = format!("<field var='muc#roomconfig_{field}'><value>{value}</value></field>");
        let form = format!("<x xmlns='jabber:x:data' type='submit'>{kind}{field}</x>");
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>");
        self.sets(room, &query).await.unwrap_or_else(|error| panic!("{}: {value}: {error}", self.jid));
    }

    async fn queries(&self, to: &str, payload: &str, kind: &str) -> Result<String, String> {
        let answer = self.driver.try_ask("iq", json!({ "to": to, "payload": payload, "type": kind })).await?;
        Ok(answer["xml"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits for a stanza that nobody waited for before; `what` says it in words.
    pub async fn sees_stanza(&self, what: &str, fits: impl Fn(&Stanza) -> bool) -> Stanza {
        self.seen.expect(what, fits).await
    }

    /// Waits until somebody says something in a room.
    pub async fn sees(&self, room: &str, nick: &str, body: &str) -> Stanza {
        let what = format!("<{nick}> {body}");
        self.sees_stanza(&what, |stanza| stanza.is_said(room) && stanza.nick() == nick && stanza.body() == body).await
    }

    /// Waits until somebody says something that fits.
    pub async fn sees_some(&self, room: &str, nick: &str, what: &str, fits: impl Fn(&Stanza) -> bool) -> Stanza {
        let what = format!("<{nick}> {what}");
        self.sees_stanza(&what, |stanza| stanza.is_said(room) && stanza.nick() == nick && fits(stanza)).await
    }

    /// Waits until somebody is in a room.
    pub async fn sees_join(&self, room: &str, nick: &str) -> Stanza {
        let from = format!("{room}/{nick}");
        let what = format!("{nick} comes");
        self.sees_stanza(&what, |stanza| stanza.is("presence") && stanza.kind().is_empty() && stanza.from() == from)
            .await
    }

    /// Waits until an occupant of a room has this in their presence, such as `role="moderator"`.
    pub async fn sees_become(&self, room: &str, nick: &str, what: &str) -> Stanza {
        let from = format!("{room}/{nick}");
        self.sees_stanza(&format!("{nick} becomes {what}"), |stanza| {
            stanza.is("presence") && stanza.kind().is_empty() && stanza.from() == from && stanza.xml().contains(what)
        })
        .await
    }

    /// Waits until somebody is in a room no more.
    pub async fn sees_leave(&self, room: &str, nick: &str) -> Stanza {
        let from = format!("{room}/{nick}");
        let what = format!("{nick} goes");
        self.sees_stanza(&what, |stanza| {
            stanza.is("presence") && stanza.kind() == "unavailable" && stanza.from() == from
        })
        .await
    }

    /// Everything that was said so far in a room: nick and text.
    pub fn heard(&self, room: &str) -> Vec<(String, String)> {
        self.seen.all(|stanza| stanza.is_said(room).then(|| (stanza.nick().to_owned(), stanza.body().to_owned())))
    }

    /// All stanzas so far.
    pub fn stanzas(&self) -> Vec<Stanza> {
        self.seen.all(|stanza| Some(stanza.clone()))
    }
}
