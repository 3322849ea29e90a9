//! A person on Matrix, over matrix-nio: independent of the project's own Matrix code.

use std::{collections::HashMap, fmt};

use serde_json::{Value, json};
use url::Url;

use crate::{
    driver::Driver,
    transcript::{Transcript, eventually},
};

/// One event that a sync brought.
#[derive(Clone, PartialEq)]
pub struct RoomEvent {
    /// The room it is in.
    pub room: String,
    /// `timeline`, `state`, `invite`, `ephemeral` or `left`.
    pub part: String,
    /// The event as the homeserver sent it.
    pub json: Value,
}

impl fmt::Debug for RoomEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room: String = self.room.chars().take(7).collect();
        let state = self.json["state_key"].as_str().map(|key| format!("/{key}")).unwrap_or_default();
        let content: String = self.content().to_string().chars().take(200).collect();
        write!(f, "{room} {} {}{state} <{}> {content}", self.part, self.kind(), self.sender())
    }
}

impl RoomEvent {
    /// Its type.
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    /// Its id; empty when it has none (invitations, ephemeral events).
    pub fn id(&self) -> &str {
        self.json["event_id"].as_str().unwrap_or_default()
    }

    /// Who sent it.
    pub fn sender(&self) -> &str {
        self.json["sender"].as_str().unwrap_or_default()
    }

    /// Its content.
    pub fn content(&self) -> &Value {
        &self.json["content"]
    }

    /// The body of a message.
    pub fn body(&self) -> &str {
        self.json["content"]["body"].as_str().unwrap_or_default()
    }

    fn is_message(&self) -> bool {
        self.kind() == "m.room.message" && self.part == "timeline"
    }

    fn is_from(&self, who: &str) -> bool {
        self.sender() == who
    }
}

/// Somebody with a Matrix client.
#[derive(Debug)]
pub struct MatrixUser {
    /// The full user id.
    pub id: String,
    /// The access token, for requests that the client library does not make.
    pub token: String,
    driver: Driver,
    seen: Transcript<RoomEvent>,
}

impl MatrixUser {
    /// Registers an account (dummy flow), starts to sync, and waits for the first sync.
    pub async fn register(homeserver: &Url, localpart: &str) -> Self {
        Self::enter("register", homeserver, localpart, false).await
    }

    /// Registers an account on a client that encrypts, and reads what is encrypted for it.
    pub async fn register_with_encryption(homeserver: &Url, localpart: &str) -> Self {
        Self::enter("register", homeserver, localpart, true).await
    }

    /// Logs in on a further client that encrypts.
    pub async fn log_in_with_encryption(homeserver: &Url, localpart: &str) -> Self {
        Self::enter("login", homeserver, localpart, true).await
    }

    /// Logs in to an account that [`MatrixUser::register`] made.
    pub async fn log_in(homeserver: &Url, localpart: &str) -> Self {
        Self::enter("login", homeserver, localpart, false).await
    }

    async fn enter(how: &str, homeserver: &Url, localpart: &str, encrypts: bool) -> Self {
        let seen = Transcript::new(localpart);
        let homeserver = homeserver.as_str().trim_end_matches('/');
        let mut arguments = vec![homeserver, localpart];
        arguments.extend(encrypts.then_some("encrypted"));
        let driver = Driver::start("drivers/nio_user.py", &arguments, {
            let seen = seen.clone();
            move |mut line| {
                if line["event"].is_object() {
                    let (room, part) = (text(&line, "room"), text(&line, "part"));
                    seen.push(RoomEvent { room, part, json: line["event"].take() });
                }
            }
        });
        let account =
            driver.ask(how, json!({ "username": localpart, "password": format!("secret of {localpart}") })).await;
        Self { id: text(&account, "user_id"), token: text(&account, "access_token"), driver, seen }
    }

    /// Joins a room by alias or id.
    pub async fn joins(&self, room: &str) -> Room<'_> {
        let joined = self.driver.ask("join", json!({ "room": room })).await;
        self.in_room(&text(&joined, "room_id"))
    }

    /// Tries to join; the error of the homeserver comes back.
    pub async fn tries_to_join(&self, room: &str) -> Result<Room<'_>, String> {
        let joined = self.driver.try_ask("join", json!({ "room": room })).await?;
        Ok(self.in_room(&text(&joined, "room_id")))
    }

    /// A room this user is in.
    pub fn in_room(&self, id: &str) -> Room<'_> {
        Room { user: self, id: id.to_owned() }
    }

    /// Makes a room; `arguments` are those of matrix-nio's `room_create`.
    pub async fn creates_room(&self, arguments: Value) -> Room<'_> {
        let made = self.driver.ask("create", arguments).await;
        self.in_room(&text(&made, "room_id"))
    }

    /// Opens a direct chat with somebody.
    pub async fn chats_with(&self, user: &str) -> Room<'_> {
        self.creates_room(json!({ "is_direct": true, "invite": [user] })).await
    }

    /// Waits for an invitation and accepts it.
    pub async fn accepts_invitation(&self, from: &str) -> Room<'_> {
        let what = format!("an invitation from {from}");
        let invited = self
            .sees_event(&what, |event| {
                event.part == "invite"
                    && event.kind() == "m.room.member"
                    && event.is_from(from)
                    && event.json["state_key"] == self.id.as_str()
            })
            .await;
        self.joins(&invited.room).await
    }

    /// Waits for an event that nobody waited for before; `what` says it in words.
    pub async fn sees_event(&self, what: &str, fits: impl Fn(&RoomEvent) -> bool) -> RoomEvent {
        self.seen.expect(what, fits).await
    }

    /// Every event seen so far.
    pub fn events(&self) -> Vec<RoomEvent> {
        self.seen.all(|event| Some(event.clone()))
    }

    /// Sets the display name.
    pub async fn is_called(&self, name: &str) {
        self.driver.ask("displayname", json!({ "name": name })).await;
    }

    /// Reads somebody's display name.
    pub async fn display_name_of(&self, user: &str) -> Option<String> {
        let profile = self.driver.try_ask("profile", json!({ "user": user })).await.ok()?;
        profile["displayname"].as_str().map(str::to_owned)
    }

    /// Says whether one is there: `online`, `unavailable`, `offline`.
    pub async fn is_now(&self, presence: &str, status: Option<&str>) {
        self.driver.ask("presence", json!({ "presence": presence, "status": status })).await;
    }

    /// Waits until somebody is shown as not there, with these words.
    pub async fn sees_absence(&self, user: &str, words: &str) {
        self.sees_presence(user, |presence, status| presence != "online" && status == Some(words)).await;
    }

    /// Waits until somebody is shown as there.
    pub async fn sees_return(&self, user: &str) {
        self.sees_presence(user, |presence, status| presence == "online" && status.is_none()).await;
    }

    async fn sees_presence(&self, user: &str, as_wanted: impl Fn(&str, Option<&str>) -> bool) {
        eventually(&format!("the presence of {user}"), || async {
            let shown = self.driver.try_ask("presence_of", json!({ "user": user })).await.ok()?;
            as_wanted(shown["presence"].as_str()?, shown["status"].as_str()).then_some(())
        })
        .await;
    }

    /// Uploads a file; its `mxc://` URI comes back.
    pub async fn uploads(&self, content: &str, mimetype: &str, filename: &str) -> String {
        let arguments = json!({ "text": content, "mimetype": mimetype, "filename": filename });
        text(&self.driver.ask("upload", arguments).await, "mxc")
    }

    /// Downloads a file as text.
    pub async fn downloads(&self, mxc: &str) -> String {
        text(&self.driver.ask("download", json!({ "mxc": mxc })).await, "text")
    }

    /// Shows this picture (a PNG in base64) of herself.
    pub async fn shows_picture(&self, base64: &str) {
        self.driver.ask("picture", json!({ "base64": base64 })).await;
    }

    /// Where the picture of somebody is, if they have one.
    pub async fn looks_at(&self, user: &str) -> Option<String> {
        let profile = self.driver.try_ask("profile", json!({ "user": user })).await.ok()?;
        profile["avatar_url"].as_str().filter(|mxc| mxc.starts_with("mxc://")).map(str::to_owned)
    }

    /// Asks which room an alias names.
    pub async fn resolves(&self, alias: &str) -> Result<String, String> {
        Ok(text(&self.driver.try_ask("resolve", json!({ "alias": alias })).await?, "room_id"))
    }
}

/// A room as one of its members sees it.
#[derive(Debug, Clone)]
pub struct Room<'a> {
    user: &'a MatrixUser,
    /// The room id.
    pub id: String,
}

impl Room<'_> {
    /// Says plain text; the event id comes back.
    pub async fn says(&self, text: &str) -> String {
        self.sends(json!({ "msgtype": "m.text", "body": text })).await
    }

    /// Says formatted text.
    pub async fn says_html(&self, plain: &str, html: &str) -> String {
        let format = "org.matrix.custom.html";
        self.sends(json!({ "msgtype": "m.text", "body": plain, "format": format, "formatted_body": html })).await
    }

    /// Says what one does (`m.emote`).
    pub async fn does(&self, text: &str) -> String {
        self.sends(json!({ "msgtype": "m.emote", "body": text })).await
    }

    /// Sends a notice.
    pub async fn notices(&self, text: &str) -> String {
        self.sends(json!({ "msgtype": "m.notice", "body": text })).await
    }

    /// Edits an own message.
    pub async fn edits(&self, event: &str, text: &str) -> String {
        self.sends(json!({
            "msgtype": "m.text", "body": format!("* {text}"),
            "m.new_content": { "msgtype": "m.text", "body": text },
            "m.relates_to": { "rel_type": "m.replace", "event_id": event },
        }))
        .await
    }

    /// Replies to a message.
    pub async fn replies(&self, event: &str, text: &str) -> String {
        let relation = json!({ "m.in_reply_to": { "event_id": event } });
        self.sends(json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation })).await
    }

    /// Reacts to a message.
    pub async fn reacts(&self, event: &str, key: &str) -> String {
        let relation = json!({ "rel_type": "m.annotation", "event_id": event, "key": key });
        self.sends_type("m.reaction", json!({ "m.relates_to": relation })).await
    }

    /// Sends a message of any content.
    pub async fn sends(&self, content: Value) -> String {
        self.sends_type("m.room.message", content).await
    }

    /// Sends an event of any type.
    pub async fn sends_type(&self, kind: &str, content: Value) -> String {
        let sent = self.ask("send", json!({ "type": kind, "content": content })).await;
        text(&sent, "event_id")
    }

    /// Redacts an event.
    pub async fn redacts(&self, event: &str, reason: &str) -> String {
        text(&self.ask("redact", json!({ "event": event, "reason": reason })).await, "event_id")
    }

    /// Sets the topic.
    pub async fn sets_topic(&self, topic: &str) {
        self.sets_state("m.room.topic", "", json!({ "topic": topic })).await;
    }

    /// Sets a state event.
    pub async fn sets_state(&self, kind: &str, key: &str, content: Value) {
        self.ask("state", json!({ "type": kind, "state_key": key, "content": content })).await;
    }

    /// Reads a state event; the homeserver's error comes back.
    pub async fn reads_state(&self, kind: &str, key: &str) -> Result<Value, String> {
        let read = self.try_ask("read_state", json!({ "type": kind, "state_key": key })).await?;
        Ok(read["content"].clone())
    }

    /// What her client calls the room, as far as it has synchronized.
    pub async fn is_called(&self) -> String {
        text(&self.ask("called", json!({})).await, "name")
    }

    /// Invites somebody.
    pub async fn invites(&self, user: &str) {
        self.ask("invite", json!({ "user": user })).await;
    }

    /// Kicks somebody.
    pub async fn kicks(&self, user: &str, reason: &str) {
        self.ask("kick", json!({ "user": user, "reason": reason })).await;
    }

    /// Bans somebody.
    pub async fn bans(&self, user: &str, reason: &str) {
        self.ask("ban", json!({ "user": user, "reason": reason })).await;
    }

    /// Lifts somebody's ban.
    pub async fn unbans(&self, user: &str) {
        self.ask("unban", json!({ "user": user })).await;
    }

    /// Gives somebody this power.
    pub async fn gives_power(&self, user: &str, level: i64) {
        let mut levels = self.reads_state("m.room.power_levels", "").await.expect("levels");
        levels["users"][user] = level.into();
        self.sets_state("m.room.power_levels", "", levels).await;
    }

    /// Waits until somebody has this power.
    pub async fn has_power(&self, user: &str, level: i64) {
        eventually(&format!("{user} has the power {level}"), || async {
            let levels = self.reads_state("m.room.power_levels", "").await.ok()?;
            (levels["users"][user].as_i64().unwrap_or(0) == level).then_some(())
        })
        .await;
    }

    /// Leaves.
    pub async fn leaves(&self) {
        self.ask("leave", json!({})).await;
    }

    /// Begins to type.
    pub async fn types(&self) {
        self.ask("typing", json!({})).await;
    }

    /// Says that a message was read.
    pub async fn has_read(&self, event: &str) {
        self.ask("receipt", json!({ "event": event })).await;
    }

    /// Who is in the room, user id to display name.
    pub async fn members(&self) -> HashMap<String, Option<String>> {
        let members = self.ask("members", json!({})).await;
        let members = members["members"].as_object().cloned().unwrap_or_default();
        members.into_iter().map(|(id, name)| (id, name.as_str().map(str::to_owned))).collect()
    }

    /// Waits until `sender` (a full user id) says `body`.
    pub async fn sees(&self, sender: &str, body: &str) -> RoomEvent {
        let what = format!("<{sender}> {body}");
        self.sees_event(&what, |event| event.is_message() && event.is_from(sender) && event.body() == body).await
    }

    /// Waits until `sender` says something that fits.
    pub async fn sees_some(&self, sender: &str, what: &str, fits: impl Fn(&RoomEvent) -> bool) -> RoomEvent {
        let what = format!("<{sender}> {what}");
        self.sees_event(&what, |event| event.is_message() && event.is_from(sender) && fits(event)).await
    }

    /// Waits for an event of this room that nobody waited for before.
    pub async fn sees_event(&self, what: &str, fits: impl Fn(&RoomEvent) -> bool) -> RoomEvent {
        self.user.sees_event(what, |event| event.room == self.id && fits(event)).await
    }

    /// Waits until `user`'s membership changes to `membership`.
    pub async fn sees_membership(&self, user: &str, membership: &str) -> RoomEvent {
        let what = format!("{user}: {membership}");
        self.sees_event(&what, |event| {
            event.kind() == "m.room.member"
                && event.json["state_key"] == user
                && event.content()["membership"] == membership
        })
        .await
    }

    /// Waits until the topic becomes this.
    pub async fn sees_topic(&self, topic: &str) -> RoomEvent {
        let what = format!("the topic becomes {topic}");
        self.sees_event(&what, |event| event.kind() == "m.room.topic" && event.content()["topic"] == topic).await
    }

    /// Waits until an event is redacted.
    pub async fn sees_redaction(&self, of: &str) -> RoomEvent {
        let what = format!("{of} is redacted");
        self.sees_event(&what, |event| {
            event.kind() == "m.room.redaction" && (event.json["redacts"] == of || event.content()["redacts"] == of)
        })
        .await
    }

    /// Everything said so far in the room, as sender and body, in the order of the timeline.
    pub fn heard(&self) -> Vec<(String, String)> {
        let heard = self.user.events().into_iter().filter(|event| event.room == self.id && event.is_message());
        heard.map(|event| (event.sender().to_owned(), event.body().to_owned())).collect()
    }

    /// The last hundred events of the room as `/messages` gives them, oldest first.
    pub async fn past(&self) -> Vec<Value> {
        self.ask("messages", json!({ "limit": 100 })).await["events"].as_array().cloned().unwrap_or_default()
    }

    /// The whole room, oldest first, as a client reads it that pages back to its beginning.
    pub async fn whole_past(&self, page: usize) -> Vec<Value> {
        let all = self.ask("all_messages", json!({ "limit": page })).await;
        all["events"].as_array().cloned().unwrap_or_default()
    }

    async fn ask(&self, what: &str, arguments: Value) -> Value {
        self.try_ask(what, arguments).await.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.user.id))
    }

    async fn try_ask(&self, what: &str, mut arguments: Value) -> Result<Value, String> {
        arguments["room"] = self.id.as_str().into();
        self.user.driver.try_ask(what, arguments).await
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
