//! What nobody should send, sent to the real process: it answers as the specification says, and goes on.

use landbridge_tests::{Deployment, Homeserver, HostileIrcd, Irc, MatrixUser, On, With, eventually, http};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::everywhere::{LOBBY, on};

on!(embedded, Embedded, Ngircd, Sqlite, lines_of_any_bytes_cross,);
on!(synapse, Synapse, Inspircd, Sqlite, the_bridge_answers_bad_transactions_and_goes_on, lines_of_any_bytes_cross,);

/// One request and what must be answered.
struct Bad {
    what: &'static str,
    method: Method,
    path: String,
    token: Option<String>,
    body: Vec<u8>,
    wanted: &'static [(u16, &'static str)],
}

impl Bad {
    fn new(what: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self { what, method, path: path.into(), token: None, body: Vec::new(), wanted: &[] }
    }

    fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn wants(mut self, wanted: &'static [(u16, &'static str)]) -> Self {
        self.wanted = wanted;
        self
    }

    async fn check(self, base: &str) {
        let mut request = http().request(self.method, format!("{base}{}", self.path)).body(self.body);
        request = request.header("content-type", "application/json");
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            // Who is refused in the middle of a long body may still be writing when the connection is closed.
            Err(_) if self.wanted == TOO_LARGE => return,
            Err(error) => panic!("{}: no answer: {error}", self.what),
        };
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap_or_default();
        let errcode = serde_json::from_str::<Value>(&body).unwrap_or_default()["errcode"].clone();
        let errcode = errcode.as_str().unwrap_or_default();
        assert!(self.wanted.contains(&(status, errcode)), "{}: {status} {body}, wanted {:?}", self.what, self.wanted);
    }
}

const NOT_JSON: &[(u16, &str)] = &[(400, "M_NOT_JSON"), (400, "M_BAD_JSON")];
const TOO_LARGE: &[(u16, &str)] = &[(413, "M_TOO_LARGE")];
const NO_TOKEN: &[(u16, &str)] = &[(401, "M_MISSING_TOKEN")];
const BAD_TOKEN: &[(u16, &str)] = &[(401, "M_UNKNOWN_TOKEN")];
const UNRECOGNIZED: &[(u16, &str)] = &[(404, "M_UNRECOGNIZED")];
const BAD_METHOD: &[(u16, &str)] = &[(405, "M_UNRECOGNIZED")];
const FORBIDDEN: &[(u16, &str)] = &[(403, "M_FORBIDDEN")];

#[tokio::test]
async fn the_homeserver_answers_bad_requests_and_goes_on() {
    let hs = Homeserver::start(On::Embedded).await;
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({})).await.id;
    let base = hs.path("");
    let register = "/_matrix/client/v3/register";
    let send = |n: u32| format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/bad{n}");
    let whoami = "/_matrix/client/v3/account/whoami";
    let deep = "[".repeat(200_000);
    let long = format!(r#"{{"msgtype":"m.text","body":"{}"}}"#, "x".repeat(70_000));
    let huge = vec![b' '; 60 * 1024 * 1024];
    let long_name = json!({ "username": "u".repeat(300), "password": "x", "auth": { "type": "m.login.dummy" } });
    let bad = [
        Bad::new("truncated", Method::POST, register).body(r#"{"username": "#).wants(NOT_JSON),
        Bad::new("not UTF-8", Method::POST, register).body(*b"{\"username\": \"\xff\xfe\"}").wants(NOT_JSON),
        Bad::new("deep", Method::POST, register).body(deep.clone()).wants(NOT_JSON),
        Bad::new("deep event", Method::PUT, send(1)).token(&alice.token).body(deep).wants(NOT_JSON),
        Bad::new("a number as an event", Method::PUT, send(2)).token(&alice.token).body("7").wants(NOT_JSON),
        Bad::new("a long event", Method::PUT, send(3)).token(&alice.token).body(long).wants(TOO_LARGE),
        Bad::new("a huge body", Method::PUT, send(4)).token(&alice.token).body(huge).wants(TOO_LARGE),
        Bad::new("a long name", Method::POST, register)
            .body(long_name.to_string())
            .wants(&[(400, "M_INVALID_USERNAME")]),
        Bad::new("no token", Method::GET, whoami).wants(NO_TOKEN),
        Bad::new("a wrong token", Method::GET, whoami).token("wrong").wants(BAD_TOKEN),
        Bad::new("a token of control characters", Method::GET, format!("{whoami}?access_token=%00%0d%0a"))
            .wants(&[(400, "M_INVALID_PARAM"), (401, "M_UNKNOWN_TOKEN")]),
        Bad::new("an unknown endpoint", Method::GET, "/_matrix/client/v3/nothing").wants(UNRECOGNIZED),
        Bad::new("an unknown root", Method::GET, "/_matrix/nothing").wants(UNRECOGNIZED),
        Bad::new("a wrong method", Method::DELETE, whoami).wants(BAD_METHOD),
    ];
    for request in bad {
        request.check(&base).await;
    }
    // A key twice: refused, or one of the two; never half of each.
    let twice = r#"{"msgtype":"m.text","body":"one","body":"two"}"#;
    let answer = http().put(format!("{base}{}", send(5))).bearer_auth(&alice.token).body(twice).send().await;
    let status = answer.expect("an answer").status();
    assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "a key twice: {status}");

    let room = alice.in_room(&room);
    let odd = "bell \u{7} delete \u{7f} next line \u{85} separator \u{2028} nothing \u{0} 🦀";
    room.says(odd).await;
    room.sees(&alice.id, odd).await;
}

async fn the_bridge_answers_bad_transactions_and_goes_on(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let base = d.health().as_str().trim_end_matches("/health").to_owned();
    let registration = std::fs::read_to_string(d.folder().join("registration.yaml")).expect("the registration");
    let field = |name: &str| {
        let line = registration.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let token = field("hs_token");
    assert!(!token.is_empty(), "{registration}");
    let put = |n: u32| format!("/_matrix/app/v1/transactions/bad{n}");
    let deep = format!(r#"{{"events": {}"#, "[".repeat(200_000));
    let bad = [
        Bad::new("no token", Method::PUT, put(1)).body(r#"{"events": []}"#).wants(&[
            (401, "M_MISSING_TOKEN"),
            (401, "M_FORBIDDEN"),
            (403, "M_FORBIDDEN"),
        ]),
        Bad::new("a wrong token", Method::PUT, put(2)).token("wrong").body(r#"{"events": []}"#).wants(FORBIDDEN),
        Bad::new("the other token", Method::PUT, put(3))
            .token(&field("as_token"))
            .body(r#"{"events": []}"#)
            .wants(FORBIDDEN),
        Bad::new("truncated", Method::PUT, put(4)).token(&token).body(r#"{"events": ["#).wants(NOT_JSON),
        Bad::new("not UTF-8", Method::PUT, put(5)).token(&token).body(*b"{\"events\": [\"\xff\"]}").wants(NOT_JSON),
        Bad::new("deep", Method::PUT, put(6)).token(&token).body(deep).wants(NOT_JSON),
        Bad::new("an unknown endpoint", Method::GET, "/_matrix/app/v1/nothing").token(&token).wants(UNRECOGNIZED),
        Bad::new("a wrong method", Method::DELETE, put(7)).token(&token).wants(BAD_METHOD),
        Bad::new("no room of ours", Method::GET, "/_matrix/app/v1/rooms/%23irc_nothing%3Alocalhost")
            .token(&token)
            .wants(&[(404, "M_NOT_FOUND")]),
    ];
    for request in bad {
        request.check(&base).await;
    }

    // Ten thousand events of rooms that nobody mapped, and some that are no events at all.
    let event = |n: usize| {
        json!({ "type": "m.room.message", "event_id": format!("${n}"), "room_id": "!nowhere:localhost",
        "sender": "@somebody:localhost", "origin_server_ts": 1, "content": { "msgtype": "m.text", "body": "x" } })
    };
    let mut events: Vec<_> = (0..10_000).map(event).collect();
    events.extend([
        json!({}),
        json!({ "type": 7 }),
        json!({ "type": "m.room.message", "room_id": lobby.id, "content": [] }),
    ]);
    let body = json!({ "events": events }).to_string();
    let answer =
        http().put(format!("{base}{}", put(8))).bearer_auth(&token).body(body).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "a transaction that is refused would be sent for ever");

    lobby.says("still here").await;
    bob.sees(LOBBY, "alice", "still here").await;
    // A user of another server who looks like a virtual user is a person.
    let path = "/_matrix/app/v1/users/%40irc_bob%3Alocalhost.evil.example";
    let answer = http().get(format!("{base}{path}")).bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "not ours");
}

async fn lines_of_any_bytes_cross(d: Deployment) {
    use tokio::io::AsyncWriteExt;
    let alice: MatrixUser = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let mut raw = tokio::net::TcpStream::connect(d.irc.address()).await.expect("the IRC server accepts");
    let lines: [&[u8]; 6] = [
        b"NICK latin\r\nUSER latin 0 * :latin\r\n",
        b"JOIN #lobby\r\n",
        b"PRIVMSG #lobby :caf\xe9 \xfcber\r\n",
        b"PRIVMSG #lobby :\x02\x03\x1f\x16\x0f\r\n",
        b"PRIVMSG #lobby :\x01\r\nPRIVMSG #lobby :\x01ACTION\x01\r\nPRIVMSG #lobby :\x01\x01\r\n",
        b"PRIVMSG #lobby :the end\r\n",
    ];
    raw.write_all(lines[0]).await.expect("written");
    d.until_on_irc("latin").await;
    for line in &lines[1..] {
        raw.write_all(line).await.expect("written");
    }
    lobby.sees(&d.ghost("latin"), "café über").await;
    lobby.sees(&d.ghost("latin"), "the end").await;
}

#[tokio::test]
async fn an_irc_server_that_sends_junk_is_endured_p8() {
    let server = HostileIrcd::start().await;
    let mut d = Deployment::beside(Irc::Hostile(server), On::Embedded, With::Sqlite, &[LOBBY]).await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    // The bot joined before her: what came then is in the room's past.
    lobby.says("hello").await;
    eventually("bob's line is in the room", || async {
        let past = lobby.past().await;
        past.into_iter().find(|event| event["content"]["body"] == HostileIrcd::AFTERWARDS)
    })
    .await;
    assert!(d.bridge.process().ended().is_none(), "it lives");
    let Irc::Hostile(server) = &d.irc else { return };
    assert!(server.connections() <= 2, "the bot's connection held, hers too: {}", server.connections());
}

#[tokio::test]
async fn bodies_of_every_size_leave_the_process_alive() {
    let hs = Homeserver::start(On::Embedded).await;
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let base = hs.path("");
    for size in [0, 1, 1000, 1_000_000, 20_000_000] {
        let body = "{".repeat(size);
        let answer = http().post(format!("{base}/_matrix/client/v3/createRoom")).bearer_auth(&alice.token).body(body);
        match answer.send().await {
            Ok(answer) if size == 0 => assert!(answer.status().is_success(), "no body is an empty one"),
            Ok(answer) => assert!(answer.status().is_client_error(), "{size}: {}", answer.status()),
            // Refused in the middle of it.
            Err(_) => assert!(size > 1_000_000, "{size}: no answer"),
        }
    }
    alice.creates_room(json!({})).await;
}
