//! A person on IRC, over the `irc` crate's client: independent of the bridge's own IRC code.

use std::{fmt, net::SocketAddr, sync::Arc};

use futures_util::StreamExt;
use irc::{
    client::{Client, Sender, data::Config},
    proto::{Command, Message, message::Tag},
};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::transcript::Transcript;

/// One line that the server sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The nick (or server name) it comes from; empty when it has no source.
    pub nick: String,
    /// The command or numeric, in upper case.
    pub command: String,
    /// The parameters, the last one too.
    pub params: Vec<String>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{} {} {:?}", self.nick, self.command, self.params)
    }
}

impl Line {
    fn parse(message: &Message) -> Self {
        let text = message.to_string();
        let mut rest = text.trim_end_matches(['\r', '\n']);
        if rest.starts_with('@') {
            rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
        }
        let mut source = "";
        if let Some(sourced) = rest.strip_prefix(':') {
            (source, rest) = sourced.split_once(' ').unwrap_or((sourced, ""));
        }
        let (middle, last) = rest.split_once(" :").map_or((rest, None), |(middle, last)| (middle, Some(last)));
        let mut words = middle.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
        let command = words.next().unwrap_or_default().to_ascii_uppercase();
        let params = words.chain(last.map(str::to_owned)).collect();
        Self { nick: source.split(['!', '@']).next().unwrap_or_default().to_owned(), command, params }
    }

    fn is(&self, command: &str, nick: &str, params: &[&str]) -> bool {
        self.command == command
            && same(&self.nick, nick)
            && self.params.len() >= params.len()
            && self.params.iter().zip(params).all(|(is, wanted)| is == wanted)
    }

    fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }
}

/// Services account to log in to with SASL PLAIN while connecting.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// The account's name.
    pub account: String,
    /// Its password.
    pub password: String,
}

/// Somebody with an IRC client.
#[derive(Debug)]
pub struct IrcUser {
    nick: Mutex<String>,
    sender: Sender,
    seen: Transcript<Line>,
    reader: AbortHandle,
}

impl IrcUser {
    /// Connects and waits for the welcome.
    pub async fn connect(address: SocketAddr, nick: &str) -> Self {
        Self::enter(address, nick, None).await
    }

    /// Connects, logs in to a services account, and waits for the welcome.
    pub async fn connect_with_account(address: SocketAddr, nick: &str, sasl: Sasl) -> Self {
        Self::enter(address, nick, Some(sasl)).await
    }

    async fn enter(address: SocketAddr, nick: &str, sasl: Option<Sasl>) -> Self {
        let config = Config {
            nickname: Some(nick.to_owned()),
            username: Some("person".to_owned()),
            server: Some(address.ip().to_string()),
            port: Some(address.port()),
            ping_time: Some(3600),
            ..Config::default()
        };
        let mut client = Client::from_config(config).await.expect("the IRC server accepts");
        let seen = Transcript::new(nick);
        let mut stream = client.stream().expect("the stream is taken once");
        let reader = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Some(Ok(message)) = stream.next().await {
                    seen.push(Line::parse(&message));
                }
                seen.push(Line { nick: String::new(), command: "DISCONNECTED".to_owned(), params: vec![] });
            }
        });
        let user = Self { nick: nick.to_owned().into(), sender: client.sender(), seen, reader: reader.abort_handle() };
        if let Some(sasl) = sasl {
            user.log_in(&sasl).await;
        }
        client.identify().expect("a connected client");
        user.sees_line("the welcome", |line| line.command == "001").await;
        user
    }

    async fn log_in(&self, sasl: &Sasl) {
        self.sends("CAP", &["REQ", "sasl"]);
        self.sees_line("CAP ACK", |line| line.command == "CAP" && line.param(1) == "ACK").await;
        self.sends("AUTHENTICATE", &["PLAIN"]);
        self.sees_line("AUTHENTICATE +", |line| line.command == "AUTHENTICATE").await;
        let secret = format!("\0{}\0{}", sasl.account, sasl.password);
        self.sends("AUTHENTICATE", &[&base64(secret.as_bytes())]);
        // 903 is sent for a login that worked, 904 for one that did not.
        let answer = self.sees_line("903 or 904", |line| ["903", "904"].contains(&line.command.as_str())).await;
        assert_eq!(answer.command, "903", "SASL PLAIN works");
    }

    /// The nick now.
    pub fn nick(&self) -> String {
        self.nick.lock().clone()
    }

    // --- what one does

    /// Sends a raw command.
    pub fn sends(&self, command: &str, params: &[&str]) {
        let params = params.iter().map(|&param| param.to_owned()).collect();
        self.sender.send(Command::Raw(command.to_owned(), params)).expect("connected");
    }

    /// Joins a channel and waits until the server says so.
    pub async fn joins(&self, channel: &str) {
        self.sends("JOIN", &[channel]);
        let nick = self.nick();
        self.sees_line(&format!("{nick} joins {channel}"), |line| line.is("JOIN", &nick, &[channel])).await;
        self.sees_line("the end of NAMES", |line| line.command == "366" && same(line.param(1), channel)).await;
    }

    /// Leaves a channel.
    pub fn parts(&self, channel: &str, why: &str) {
        self.sends("PART", &[channel, why]);
    }

    /// Says a line in a channel or to somebody.
    pub fn says(&self, target: &str, text: &str) {
        self.sender.send_privmsg(target, text).expect("connected");
    }

    /// Says what one does (`/me`).
    pub fn does(&self, target: &str, text: &str) {
        self.says(target, &format!("\u{1}ACTION {text}\u{1}"));
    }

    /// Has the server show the tags of others.
    pub async fn can_see_tags(&self) {
        self.sends("CAP", &["REQ", "message-tags"]);
        self.sees_line("CAP ACK", |line| line.command == "CAP" && line.param(1) == "ACK").await;
    }

    /// Shows that one types.
    pub fn types(&self, target: &str) {
        let tags = Some(vec![Tag("+typing".to_owned(), Some("active".to_owned()))]);
        let command = Command::Raw("TAGMSG".to_owned(), vec![target.to_owned()]);
        self.sender.send(Message { tags, prefix: None, command }).expect("connected");
    }

    /// Sends a notice.
    pub fn notices(&self, target: &str, text: &str) {
        self.sender.send_notice(target, text).expect("connected");
    }

    /// Takes another nick and waits until the server says so.
    pub async fn is_now(&self, nick: &str) {
        let old = self.nick();
        self.sends("NICK", &[nick]);
        self.sees_line(&format!("{old} is now {nick}"), |line| line.is("NICK", &old, &[nick])).await;
        nick.clone_into(&mut self.nick.lock());
    }

    /// Sets a channel's topic.
    pub fn sets_topic(&self, channel: &str, topic: &str) {
        self.sends("TOPIC", &[channel, topic]);
    }

    /// Kicks somebody.
    pub fn kicks(&self, channel: &str, nick: &str, why: &str) {
        self.sends("KICK", &[channel, nick, why]);
    }

    /// Changes modes and waits until the server says so.
    pub async fn sets_mode(&self, channel: &str, modes: &[&str]) {
        let params: Vec<_> = [channel].into_iter().chain(modes.iter().copied()).collect();
        self.sends("MODE", &params);
        let nick = self.nick();
        self.sees_line(&format!("MODE {params:?}"), |line| line.is("MODE", &nick, &[channel])).await;
    }

    /// Quits.
    pub fn quits(&self, why: &str) {
        self.sender.send_quit(why).expect("connected");
    }

    // --- what one sees

    /// Waits for a line that nobody waited for before; `what` says it in words.
    pub async fn sees_line(&self, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
        self.seen.expect(what, fits).await
    }

    /// Waits until `nick` says `text` in `target` (a channel, or one's own nick).
    pub async fn sees(&self, target: &str, nick: &str, text: &str) -> Line {
        let what = format!("<{nick}> {text} in {target}");
        self.sees_line(&what, |line| {
            line.is("PRIVMSG", nick, &[]) && same(line.param(0), target) && line.param(1) == text
        })
        .await
    }

    /// Waits until `nick` says something in `target` that fits; the text comes back.
    pub async fn sees_some(&self, target: &str, nick: &str, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let what = format!("<{nick}> {what} in {target}");
        let line = self
            .sees_line(&what, |line| {
                line.is("PRIVMSG", nick, &[]) && same(line.param(0), target) && fits(line.param(1))
            })
            .await;
        line.param(1).to_owned()
    }

    /// Waits until `nick` does `text` (`/me`).
    pub async fn sees_action(&self, target: &str, nick: &str, text: &str) -> Line {
        self.sees(target, nick, &format!("\u{1}ACTION {text}\u{1}")).await
    }

    /// Waits for a notice.
    pub async fn sees_notice(&self, target: &str, nick: &str, text: &str) -> Line {
        let what = format!("-{nick}- {text} in {target}");
        self.sees_line(&what, |line| {
            line.is("NOTICE", nick, &[]) && same(line.param(0), target) && line.param(1) == text
        })
        .await
    }

    /// Waits until somebody joins.
    pub async fn sees_join(&self, channel: &str, nick: &str) -> Line {
        self.sees_line(&format!("{nick} joins {channel}"), |line| line.is("JOIN", nick, &[channel])).await
    }

    /// Waits until somebody leaves the channel.
    pub async fn sees_part(&self, channel: &str, nick: &str) -> Line {
        self.sees_line(&format!("{nick} leaves {channel}"), |line| line.is("PART", nick, &[channel])).await
    }

    /// Waits until somebody quits.
    pub async fn sees_quit(&self, nick: &str) -> Line {
        self.sees_line(&format!("{nick} quits"), |line| line.is("QUIT", nick, &[])).await
    }

    /// Waits until somebody sets the topic.
    pub async fn sees_topic(&self, channel: &str, topic: &str) -> Line {
        let what = format!("the topic of {channel} becomes {topic}");
        self.sees_line(&what, |line| line.command == "TOPIC" && line.param(0) == channel && line.param(1) == topic)
            .await
    }

    /// Who is in a channel now, without the marks of their rank.
    pub async fn names(&self, channel: &str) -> Vec<String> {
        // Lines of an older NAMES are taken, so that only the answer counts.
        let _ = self.seen.all(|_| None::<()>);
        let before = self.seen.all(|line| (line.command == "366").then_some(())).len();
        self.sends("NAMES", &[channel]);
        self.sees_line("the end of NAMES", |line| line.command == "366" && same(line.param(1), channel)).await;
        let lines = self.seen.all(|line| Some(line.clone()));
        let ends: Vec<_> =
            lines.iter().enumerate().filter(|(_, line)| line.command == "366").map(|(at, _)| at).collect();
        let start = before.checked_sub(1).and_then(|last| ends.get(last)).map_or(0, |at| at + 1);
        let answer = lines.get(start..).unwrap_or_default().iter();
        let answer = answer.filter(|line| line.command == "353" && same(line.param(2), channel));
        let ranks = ['@', '+', '%', '&', '~', '!'];
        let mut names: Vec<_> = answer
            .flat_map(|line| line.param(3).split_whitespace())
            .map(|name| name.trim_start_matches(ranks).split('!').next().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Whether somebody with this nick is connected.
    pub async fn is_on(&self, nick: &str) -> bool {
        self.sends("ISON", &[nick]);
        let answer = self.sees_line("the answer to ISON", |line| line.command == "303").await;
        answer.params.last().is_some_and(|there| there.split(' ').any(|found| same(found, nick)))
    }

    /// Everything heard so far in `target` (a channel, or one's own nick), as nick and text, in order.
    pub fn heard(&self, target: &str) -> Vec<(String, String)> {
        self.seen.all(|line| {
            (line.command == "PRIVMSG" && same(line.param(0), target))
                .then(|| (line.nick.clone(), line.param(1).to_owned()))
        })
    }

    /// Every line seen so far.
    pub fn lines(&self) -> Vec<Line> {
        self.seen.all(|line| Some(line.clone()))
    }
}

impl Drop for IrcUser {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Compares nicks and channels as the test servers do.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Base64 (RFC 4648 §4); short enough to save a dependency here.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextet = |group: u32, shift: u32| char::from(ALPHABET[(group >> shift) as usize & 63]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0, |group, (at, byte)| group | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            text.push(if at <= chunk.len() { sextet(group, 18 - 6 * u32::try_from(at).expect("0..4")) } else { '=' });
        }
    }
    text
}

/// Keeps the compiler honest: a user can be shared between tasks.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<IrcUser>>();
};
