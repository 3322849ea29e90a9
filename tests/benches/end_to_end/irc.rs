//! A bare IRC client that notes when each line came: nothing of its own between the socket and the clock.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

/// How many lines are written before the server must have taken them. InspIRCd takes 10,240 bytes from a client at a time, and where
/// more is there it looks again only when something else happens, which may be a second later.
const STEP: usize = 256;

/// A person on IRC.
#[derive(Debug, Clone)]
pub(crate) struct Irc {
    out: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    heard: Arc<Mutex<Vec<(String, String, Instant)>>>,
    more: Arc<Notify>,
    pong: Arc<Notify>,
}

impl Irc {
    /// Connects and joins a channel.
    pub(crate) async fn join(server: SocketAddr, nick: &str, channel: &str) -> Self {
        let socket = TcpStream::connect(server).await.expect("the IRC server accepts");
        socket.set_nodelay(true).expect("a socket option");
        let (read, write) = socket.into_split();
        let (heard, more, pong) = (Arc::default(), Arc::default(), Arc::default());
        let irc = Self { out: Arc::new(write.into()), heard, more, pong };
        let joined = Arc::new(Notify::new());
        tokio::spawn(irc.clone().listen(BufReader::new(read), joined.clone(), format!("JOIN {channel}\r\n")));
        irc.write(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n")).await;
        joined.notified().await;
        irc
    }

    pub(crate) async fn write(&self, lines: &str) {
        self.out.lock().await.write_all(lines.as_bytes()).await.expect("connected");
    }

    /// Says many things, as fast as the server takes them.
    pub(crate) async fn says_all(&self, channel: &str, texts: impl Iterator<Item = String>) {
        let lines: Vec<String> = texts.map(|text| format!("PRIVMSG {channel} :{text}\r\n")).collect();
        for step in lines.chunks(STEP) {
            self.write(&format!("{}PING :taken\r\n", step.concat())).await;
            self.pong.notified().await;
        }
    }

    /// What was said so far: nick, text, when.
    pub(crate) fn heard(&self) -> Vec<(String, String, Instant)> {
        self.heard.lock().clone()
    }

    /// Waits until `count` lines were said in all.
    pub(crate) async fn hears(&self, count: usize) {
        loop {
            let more = self.more.notified();
            if self.heard.lock().len() >= count {
                return;
            }
            more.await;
        }
    }

    async fn listen(self, mut read: BufReader<OwnedReadHalf>, joined: Arc<Notify>, join: String) {
        let mut line = Vec::new();
        while read.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let at = Instant::now();
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            let mut words = text.splitn(4, ' ');
            let (source, command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if source == "PING" {
                self.write(&format!("PONG {command}\r\n")).await;
            } else if command == "001" {
                // Before, nothing can be joined.
                self.write(&join).await;
            } else if command == "PONG" {
                self.pong.notify_one();
            } else if command == "366" {
                joined.notify_one();
            } else if command == "PRIVMSG" {
                let nick = source.trim_start_matches(':').split('!').next().unwrap_or_default().to_owned();
                let said = words.nth(1).unwrap_or_default().trim_start_matches(':').to_owned();
                self.heard.lock().push((nick, said, at));
                self.more.notify_waiters();
            }
            line.clear();
        }
    }
}
