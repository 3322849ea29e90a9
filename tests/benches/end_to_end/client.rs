//! The client-server API as a load generator speaks it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use url::Url;

/// A homeserver to put load on.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Client,
    base: String,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) token: String,
    /// The virtual user that an appservice asks for.
    pub(crate) masquerade: Option<String>,
}

static TRANSACTION: AtomicU64 = AtomicU64::new(0);

/// A number for a transaction id that nobody else has.
pub(crate) fn transaction() -> u64 {
    TRANSACTION.fetch_add(1, Ordering::Relaxed)
}

impl Api {
    pub(crate) fn new(base: &str) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().expect("an HTTP client");
        Self { http, base: base.trim_end_matches('/').to_owned() }
    }

    /// Where the homeserver is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn request(&self, method: Method, account: &Account, path: &str) -> RequestBuilder {
        let mut url = Url::parse(&format!("{}{path}", self.base)).expect("a URL");
        if let Some(user) = &account.masquerade {
            url.query_pairs_mut().append_pair("user_id", user);
        }
        self.http.request(method, url).bearer_auth(&account.token)
    }

    async fn ask(&self, request: RequestBuilder) -> Value {
        let answer = request.send().await.expect("the homeserver answers");
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert!(status.is_success(), "{status}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub(crate) async fn register(&self, name: &str) -> Account {
        let body =
            json!({ "username": name, "password": format!("secret of {name}"), "auth": { "type": "m.login.dummy" } });
        let request = self.http.post(format!("{}/_matrix/client/v3/register", self.base)).json(&body);
        let made = self.ask(request).await;
        Account { token: field(&made, "access_token"), masquerade: None }
    }

    pub(crate) async fn create_room(&self, account: &Account) -> String {
        let request = self.request(Method::POST, account, "/_matrix/client/v3/createRoom");
        field(&self.ask(request.json(&json!({ "preset": "public_chat" }))).await, "room_id")
    }

    /// Joins a room by id or alias; its id comes back.
    pub(crate) async fn join(&self, account: &Account, room: &str) -> String {
        let room = room.replace('#', "%23");
        let request = self.request(Method::POST, account, &format!("/_matrix/client/v3/join/{room}"));
        field(&self.ask(request.json(&json!({}))).await, "room_id")
    }

    pub(crate) async fn send(&self, account: &Account, room: &str, body: &str) {
        let transaction = transaction();
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/bench{transaction}");
        let request = self.request(Method::PUT, account, &path);
        self.ask(request.json(&json!({ "msgtype": "m.text", "body": body }))).await;
    }

    /// Syncs; the next batch and the answer come back.
    pub(crate) async fn sync(&self, account: &Account, since: Option<&str>, timeout: u32) -> (String, Value) {
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        let filter = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A10000%7D%7D%7D";
        let filter = if since.is_empty() { String::new() } else { format!("&filter={filter}") };
        let path = format!("/_matrix/client/v3/sync?timeout={timeout}&set_presence=offline{since}{filter}");
        let answer = self.ask(self.request(Method::GET, account, &path)).await;
        (field(&answer, "next_batch"), answer)
    }

    /// The member of a room who goes by this name; waits until they are there.
    pub(crate) async fn member_called(&self, account: &Account, room: &str, name: &str) -> String {
        loop {
            let path = format!("/_matrix/client/v3/rooms/{room}/joined_members");
            let answer = self.ask(self.request(Method::GET, account, &path)).await;
            let mut members = answer["joined"].as_object().into_iter().flatten();
            if let Some((id, _)) = members.find(|(_, profile)| profile["display_name"] == name) {
                return id.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn is_up(&self) -> bool {
        let versions = self.http.get(format!("{}/_matrix/client/versions", self.base));
        versions.send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// Has everybody count as fast as they can, each by themselves and all at once, until `all` numbers are said; how many each said.
/// Each number comes after which of them says it: one person may be among them several times, as on several devices.
pub(crate) async fn all_say(api: &Api, people: &[Account], room: &str, all: usize) -> usize {
    let each = all / people.len();
    let tasks: Vec<_> = people
        .iter()
        .cloned()
        .enumerate()
        .map(|(who, person)| {
            let (api, room) = (api.clone(), room.to_owned());
            tokio::spawn(async move {
                for n in 0..each {
                    api.send(&person, &room, &format!("{who} {n}")).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a sender");
    }
    each
}

/// How many numbers are not where they belong, where everybody counts.
pub(crate) fn out_of_order(heard: &[(String, String, Instant)]) -> usize {
    let (mut next, mut wrong) = (HashMap::<&str, usize>::new(), 0);
    for (_, text, _) in heard {
        let (who, number) = text.split_once(' ').unwrap_or_default();
        let expected = next.entry(who).or_default();
        wrong += usize::from(number != expected.to_string());
        *expected += 1;
    }
    wrong
}
