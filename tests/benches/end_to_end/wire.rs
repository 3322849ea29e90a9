//! One connection with one request in flight, written and read by hand: the load generator shares the machine with the server, and
//! an HTTP client takes as much of it as the server does.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::client::Account;

/// A connection that stays open.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    inbox: Vec<u8>,
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    pub(crate) async fn open(base: &str) -> Self {
        let host = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await.expect("the homeserver listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, host, inbox: Vec::with_capacity(1024) }
    }

    /// Asks, and gives the body of the answer.
    pub(crate) async fn ask(&mut self, method: &str, account: &Account, path: &str, body: &str) -> Vec<u8> {
        self.write(method, account, path, body).await;
        self.read().await
    }

    /// Sends a message as `account` under a transaction id.
    pub(crate) async fn send(&mut self, account: &Account, room: &str, transaction: u64, body: &str) {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/bench{transaction}");
        self.ask("PUT", account, &path, &format!(r#"{{"msgtype":"m.text","body":"{body}"}}"#)).await;
    }

    /// Joins a room by its id.
    pub(crate) async fn join(&mut self, account: &Account, room: &str) {
        self.ask("POST", account, &format!("/_matrix/client/v3/join/{room}"), "{}").await;
    }

    /// Registers a virtual user of the appservice with this token.
    pub(crate) async fn register_virtual(&mut self, token: &str, localpart: &str) -> Account {
        let body = format!(r#"{{"type":"m.login.application_service","username":"{localpart}","inhibit_login":true}}"#);
        let appservice = Account { token: token.to_owned(), masquerade: None };
        let made = self.ask("POST", &appservice, "/_matrix/client/v3/register", &body).await;
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        Account { token: token.to_owned(), masquerade: made["user_id"].as_str().map(str::to_owned) }
    }

    /// Writes a request without waiting for its answer.
    pub(crate) async fn write(&mut self, method: &str, account: &Account, path: &str, body: &str) {
        let asserted = match &account.masquerade {
            Some(user) => {
                let user: String = url::form_urlencoded::byte_serialize(user.as_bytes()).collect();
                format!("{}user_id={user}", if path.contains('?') { '&' } else { '?' })
            }
            None => String::new(),
        };
        let (host, token, length) = (&self.host, &account.token, body.len());
        let request = format!(
            "{method} {path}{asserted} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.expect("the homeserver reads");
    }

    /// Reads an answer of a known length, or one in chunks.
    pub(crate) async fn read(&mut self) -> Vec<u8> {
        let head = loop {
            if let Some(end) = self.inbox.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.inbox.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut self.inbox, rest)).expect("a head in ASCII");
            }
            self.more().await;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
        });
        let body = match length {
            Some(length) => self.take(length).await,
            None => self.chunks().await,
        };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}{}", String::from_utf8_lossy(&body));
        body
    }

    /// The next bytes, as many as these.
    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.inbox.len() < length {
            self.more().await;
        }
        let rest = self.inbox.split_off(length);
        std::mem::replace(&mut self.inbox, rest)
    }

    /// A body in chunks: each has its length in hexadecimal digits before it, and the last is empty.
    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.inbox.windows(2).position(|bytes| bytes == b"\r\n") {
                    Some(end) => break end,
                    None => self.more().await,
                }
            };
            let line = self.take(end + 2).await;
            let digits = std::str::from_utf8(line.get(..end).unwrap_or_default()).expect("a length in ASCII");
            let length = usize::from_str_radix(digits.trim(), 16).expect("an answer says how long it is");
            let mut chunk = self.take(length + 2).await;
            chunk.truncate(length);
            body.append(&mut chunk);
            if length == 0 {
                return body;
            }
        }
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.inbox).await.expect("the homeserver answers");
        assert!(read > 0, "the homeserver hung up");
    }
}
