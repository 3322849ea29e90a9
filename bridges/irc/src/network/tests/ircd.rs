//! A small IRC server: enough for a bot, a few puppets and a few people, and for what real servers do to them.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};

/// The server.
#[derive(Clone, Default)]
pub(super) struct Ircd {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    port: u16,
    clients: HashMap<u32, Client>,
    next: u32,
    /// Folded channel → who is in it, and whether they are an operator.
    channels: HashMap<String, Vec<(u32, bool)>>,
    topics: HashMap<String, String>,
    /// Channels that send one on to another.
    forwards: HashMap<String, String>,
    /// What it offers, in one line.
    caps: String,
    /// Channels by invitation only.
    shut: Vec<String>,
    /// Who alone may invite into a channel.
    hosts: HashMap<String, String>,
    /// Words that may not be said.
    forbidden: Vec<String>,
    /// Every line that clients sent, as `nick: line`.
    lines: Vec<String>,
}

struct Client {
    nick: String,
    user: String,
    registered: bool,
    out: mpsc::UnboundedSender<String>,
}

/// A person on it, without a connection.
pub(super) struct Person {
    ircd: Ircd,
    id: u32,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Ircd {
    /// Starts it on a free port.
    pub(super) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts it with these capabilities on offer.
    pub(super) async fn start_with(caps: &str) -> Self {
        let ircd = Self::default();
        caps.clone_into(&mut ircd.state.lock().caps);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ircd.state.lock().port = listener.local_addr().unwrap().port();
        let accepting = ircd.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(socket));
            }
        });
        ircd
    }

    /// The configuration of a bridge to it, with these settings (JSON) besides.
    pub(super) fn config(&self, settings: &str) -> String {
        let mut config: serde_json::Value = serde_json::from_str(settings).unwrap();
        config["servers"] = serde_json::json!([format!("irc://127.0.0.1:{}", self.state.lock().port)]);
        if config.get("flood").is_none() {
            config["flood"] = serde_json::json!({ "enabled": false });
        }
        config.to_string()
    }

    async fn serve(self, socket: TcpStream) {
        let (read, mut write) = socket.into_split();
        let (out, mut lines) = mpsc::unbounded_channel::<String>();
        let id = self.add(out);
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if write.write_all(format!("{line}\r\n").as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut read = BufReader::new(read).lines();
        while let Ok(Some(line)) = read.next_line().await {
            self.receive(id, &line);
        }
        self.quit(id, "gone");
    }

    fn add(&self, out: mpsc::UnboundedSender<String>) -> u32 {
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        let client = Client { nick: "*".into(), user: String::new(), registered: false, out };
        state.clients.insert(id, client);
        id
    }

    /// A person with this nick and user name.
    pub(super) fn person(&self, nick: &str, user: &str) -> Person {
        let (out, mut lines) = mpsc::unbounded_channel();
        let id = self.add(out);
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (writing, changed) = (Arc::clone(&heard), Arc::clone(&self.changed));
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                writing.lock().push(line);
                changed.notify_waiters();
            }
        });
        self.receive(id, &format!("USER {user} 0 * :x"));
        self.receive(id, &format!("NICK {nick}"));
        Person { ircd: self.clone(), id, heard }
    }

    /// Makes a channel send people on.
    pub(super) fn forward(&self, from: &str, to: &str) {
        self.state.lock().forwards.insert(from.to_owned(), to.to_owned());
    }

    /// Lets nobody into a channel, or everybody again.
    pub(super) fn shut(&self, channel: &str, shut: bool) {
        let mut state = self.state.lock();
        state.shut.retain(|name| name != channel);
        if shut {
            state.shut.push(channel.to_owned());
        }
    }

    /// Nobody else may invite into a channel.
    pub(super) fn has_host(&self, channel: &str, nick: &str) {
        self.state.lock().hosts.insert(channel.to_owned(), nick.to_owned());
    }

    /// Takes somebody out of a channel and tells nobody.
    pub(super) fn remove(&self, channel: &str, nick: &str) {
        let mut state = self.state.lock();
        let id = state.id_of(nick).unwrap();
        state.channels.get_mut(channel).unwrap().retain(|(member, _)| *member != id);
    }

    /// Refuses messages with this in them.
    pub(super) fn forbid(&self, words: &str) {
        self.state.lock().forbidden.push(words.to_owned());
    }

    /// Changes somebody's nick against their will.
    pub(super) fn force_nick(&self, from: &str, to: &str) {
        let id = self.state.lock().id_of(from).unwrap();
        self.state.lock().rename(id, to);
    }

    /// Sends a line to everybody in a channel, whoever it is from.
    pub(super) fn announce(&self, channel: &str, line: &str) {
        let state = self.state.lock();
        state.members(channel).into_iter().for_each(|member| state.tell(member, line));
    }

    /// Sends a line to one.
    pub(super) fn tell(&self, nick: &str, line: &str) {
        let state = self.state.lock();
        state.tell(state.id_of(nick).unwrap(), line);
    }

    /// Ends somebody's connection.
    pub(super) fn quit_of(&self, nick: &str, reason: &str) {
        let id = self.state.lock().id_of(nick).unwrap();
        self.quit(id, reason);
    }

    /// Waits until a client sent such a line (`nick: line`).
    pub(super) async fn until(&self, what: &str) {
        self.wait(what, || self.state.lock().lines.iter().any(|line| line == what)).await;
    }

    /// Waits until somebody with this nick is there.
    pub(super) async fn until_registered(&self, nick: &str) {
        let there = || self.state.lock().clients.values().any(|client| client.registered && client.nick == nick);
        self.wait(nick, there).await;
    }

    /// The lines that had this in them, in order.
    pub(super) fn lines_with(&self, part: &str) -> Vec<String> {
        self.state.lock().lines.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// How many lines had this in them.
    pub(super) fn count_lines(&self, part: &str) -> usize {
        self.state.lock().lines.iter().filter(|line| line.contains(part)).count()
    }

    async fn wait(&self, what: &str, found: impl Fn() -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if found() {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "waited for {what:?}; got {:#?}", self.state.lock().lines);
    }

    fn quit(&self, id: u32, reason: &str) {
        self.state.lock().quit(id, reason);
    }

    fn receive(&self, id: u32, line: &str) {
        self.state.lock().receive(id, line);
        self.changed.notify_waiters();
    }
}

impl Person {
    /// Sends a line.
    pub(super) fn send(&self, line: &str) {
        self.ircd.receive(self.id, line);
    }

    /// Waits until such a line came.
    pub(super) async fn hears(&self, line: &str) {
        self.ircd.wait(line, || self.heard.lock().iter().any(|heard| heard == line)).await;
    }

    /// Every line that came.
    pub(super) fn lines(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    /// How often such a line came.
    pub(super) fn count(&self, line: &str) -> usize {
        self.heard.lock().iter().filter(|heard| *heard == line).count()
    }

    /// Leaves.
    pub(super) fn quits(&self) {
        self.ircd.quit(self.id, "bye");
    }
}

impl State {
    fn id_of(&self, nick: &str) -> Option<u32> {
        self.clients.iter().find(|(_, client)| client.nick.eq_ignore_ascii_case(nick)).map(|(id, _)| *id)
    }

    fn source(&self, id: u32) -> String {
        let client = &self.clients[&id];
        format!("{}!~{}@127.0.0.1", client.nick, client.user)
    }

    fn tell(&self, id: u32, line: &str) {
        if let Some(client) = self.clients.get(&id) {
            let _ = client.out.send(line.to_owned());
        }
    }

    fn reply(&self, id: u32, numeric: &str, rest: &str) {
        let line = format!(":ircd.test {numeric} {} {rest}", self.clients[&id].nick);
        self.tell(id, &line);
    }

    fn members(&self, channel: &str) -> Vec<u32> {
        self.channels.get(channel).map(|members| members.iter().map(|(id, _)| *id).collect()).unwrap_or_default()
    }

    fn neighbours(&self, id: u32) -> Vec<u32> {
        let mut all: Vec<u32> = self
            .channels
            .values()
            .filter(|members| members.iter().any(|(member, _)| *member == id))
            .flatten()
            .map(|(id, _)| *id)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn rename(&mut self, id: u32, to: &str) {
        let line = format!(":{} NICK {to}", self.source(id));
        let mut told = self.neighbours(id);
        if !told.contains(&id) {
            told.push(id);
        }
        told.into_iter().for_each(|member| self.tell(member, &line));
        if let Some(client) = self.clients.get_mut(&id) {
            to.clone_into(&mut client.nick);
        }
    }

    fn quit(&mut self, id: u32, reason: &str) {
        if !self.clients.contains_key(&id) {
            return;
        }
        let line = format!(":{} QUIT :{reason}", self.source(id));
        for member in self.neighbours(id) {
            if member != id {
                self.tell(member, &line);
            }
        }
        self.tell(id, &format!("ERROR :Closing link: {reason}"));
        self.channels.values_mut().for_each(|members| members.retain(|(member, _)| *member != id));
        self.clients.remove(&id);
    }

    fn receive(&mut self, id: u32, line: &str) {
        let Some(client) = self.clients.get(&id) else { return };
        let nick = client.nick.clone();
        self.lines.push(format!("{nick}: {line}"));
        let (tags, line) = match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
            Some((tags, line)) => (format!("@{tags} "), line),
            None => (String::new(), line),
        };
        let (head, trailing) = line.split_once(" :").map_or((line, None), |(head, text)| (head, Some(text)));
        let mut words: Vec<&str> = head.split(' ').collect();
        words.extend(trailing);
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let source = self.source(id);
        match word(0) {
            "NICK" if self.id_of(word(1)).is_some_and(|other| other != id) => {
                self.reply(id, "433", &format!("{} :in use", word(1)));
            }
            "NICK" if !client.registered => {
                word(1).clone_into(&mut self.clients.get_mut(&id).unwrap().nick);
                self.register(id);
            }
            "NICK" => self.rename(id, word(1)),
            "USER" => {
                word(1).clone_into(&mut self.clients.get_mut(&id).unwrap().user);
                self.register(id);
            }
            "PING" => self.tell(id, &format!(":ircd.test PONG ircd.test :{}", word(1))),
            "JOIN" => self.join(id, word(1)),
            "PART" => {
                let line = format!(":{source} PART {} :{}", word(1), word(2));
                self.members(word(1)).into_iter().for_each(|member| self.tell(member, &line));
                if let Some(members) = self.channels.get_mut(word(1)) {
                    members.retain(|(member, _)| *member != id);
                }
            }
            "PRIVMSG" | "NOTICE" => self.say(id, word(0), word(1), word(2)),
            "TOPIC" => {
                let line = format!(":{source} TOPIC {} :{}", word(1), word(2));
                self.topics.insert(word(1).to_owned(), word(2).to_owned());
                self.members(word(1)).into_iter().for_each(|member| self.tell(member, &line));
            }
            "KICK" => {
                let line = format!(":{source} KICK {} {} :{}", word(1), word(2), word(3));
                self.members(word(1)).into_iter().for_each(|member| self.tell(member, &line));
                if let (Some(victim), Some(members)) = (self.id_of(word(2)), self.channels.get_mut(word(1))) {
                    members.retain(|(member, _)| *member != victim);
                }
            }
            "INVITE" => self.invite(id, word(1), word(2)),
            "NAMES" => self.names(id, word(1)),
            "QUIT" => self.quit(id, word(1)),
            "TAGMSG" => {
                let line = format!("{tags}:{source} TAGMSG {}", word(1));
                let others = self.members(word(1)).into_iter().filter(|member| *member != id);
                others.for_each(|member| self.tell(member, &line));
            }
            "MODE" if words.len() > 2 => {
                let line = format!(":{source} {line}");
                self.members(word(1)).into_iter().for_each(|member| self.tell(member, &line));
            }
            "CAP" if word(1) == "LS" => self.tell(id, &format!(":ircd.test CAP * LS :{}", self.caps)),
            "CAP" if word(1) == "REQ" => self.tell(id, &format!(":ircd.test CAP * ACK :{}", word(2))),
            _ => {}
        }
    }

    fn register(&mut self, id: u32) {
        let client = self.clients.get_mut(&id).unwrap();
        if client.registered || client.nick == "*" || client.user.is_empty() {
            return;
        }
        client.registered = true;
        self.reply(id, "001", ":welcome");
        self.reply(
            id,
            "005",
            "CASEMAPPING=ascii CHANTYPES=# PREFIX=(ov)@+ CHANMODES=b,k,l,imnpst NICKLEN=20 :are supported",
        );
        self.reply(id, "422", ":no MOTD");
    }

    fn join(&mut self, id: u32, channel: &str) {
        if let Some(to) = self.forwards.get(channel).cloned() {
            self.reply(id, "470", &format!("{channel} {to} :forwarded"));
            return self.join(id, &to);
        }
        if self.shut.iter().any(|shut| shut == channel) {
            return self.reply(id, "473", &format!("{channel} :by invitation only"));
        }
        let members = self.channels.entry(channel.to_owned()).or_default();
        if members.iter().any(|(member, _)| *member == id) {
            return;
        }
        members.push((id, false));
        let line = format!(":{} JOIN {channel}", self.source(id));
        self.members(channel).into_iter().for_each(|member| self.tell(member, &line));
        if let Some(topic) = self.topics.get(channel).cloned() {
            self.reply(id, "332", &format!("{channel} :{topic}"));
        }
        self.names(id, channel);
    }

    fn invite(&self, id: u32, nick: &str, channel: &str) {
        let Some(guest) = self.id_of(nick) else { return self.reply(id, "401", &format!("{nick} :No such nick")) };
        let members = self.members(channel);
        if members.contains(&guest) {
            return self.reply(id, "443", &format!("{nick} {channel} :is already on channel"));
        }
        if self.hosts.get(channel).is_some_and(|host| *host != self.clients[&id].nick) {
            return self.reply(id, "482", &format!("{channel} :You're not channel operator"));
        }
        self.reply(id, "341", &format!("{nick} {channel}"));
        let line = format!(":{} INVITE {nick} {channel}", self.source(id));
        self.tell(guest, &line);
        // As `invite-notify` has it.
        members.into_iter().filter(|member| *member != id).for_each(|member| self.tell(member, &line));
    }

    fn names(&self, id: u32, channel: &str) {
        let nicks: Vec<String> =
            self.members(channel).into_iter().map(|member| self.clients[&member].nick.clone()).collect();
        self.reply(id, "353", &format!("= {channel} :{}", nicks.join(" ")));
        self.reply(id, "366", &format!("{channel} :end"));
    }

    fn say(&self, id: u32, verb: &str, target: &str, text: &str) {
        let line = format!(":{} {verb} {target} :{text}", self.source(id));
        if target.starts_with('#') {
            let members = self.members(target);
            if !members.contains(&id) || self.forbidden.iter().any(|words| text.contains(words.as_str())) {
                return self.reply(id, "404", &format!("{target} :cannot send"));
            }
            members.into_iter().filter(|member| *member != id).for_each(|member| self.tell(member, &line));
        } else if let Some(member) = self.id_of(target) {
            self.tell(member, &line);
        } else {
            self.reply(id, "401", &format!("{target} :no such nick"));
        }
    }
}
