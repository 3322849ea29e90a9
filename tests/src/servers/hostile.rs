//! An IRC server that lets clients in and then sends what no server should.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    task::AbortHandle,
};

/// The server. Every client that joins a channel is sent the junk and after it one plain line from `bob`, again and again.
#[derive(Debug)]
pub struct HostileIrcd {
    address: SocketAddr,
    connections: Arc<Mutex<usize>>,
    task: AbortHandle,
}

impl HostileIrcd {
    /// What `bob` says after the junk.
    pub const AFTERWARDS: &str = "still here";

    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::<Mutex<usize>>::default();
        let counter = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *counter.lock() += 1;
                tokio::spawn(serve(socket));
            }
        });
        Self { address, connections, task: task.abort_handle() }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        *self.connections.lock()
    }
}

impl Drop for HostileIrcd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: TcpStream) {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut nick, mut channel) = ("*".to_owned(), None::<String>);
    let mut again = tokio::time::interval(Duration::from_millis(300));
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            _ = again.tick() => {
                match &channel {
                    Some(channel) if !junk(&mut write, &nick, channel).await => return,
                    _ => continue,
                }
            }
        };
        let Ok(Some(line)) = line else { return };
        let mut words = line.split(' ');
        let (command, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answered = match command {
            "CAP" if word == "LS" => send(&mut write, ":h CAP * LS :\r\n").await,
            "NICK" => {
                word.trim_start_matches(':').clone_into(&mut nick);
                true
            }
            "USER" => send(&mut write, &welcome(&nick)).await,
            "PING" => send(&mut write, &format!(":h PONG h {word}\r\n")).await,
            "JOIN" => {
                channel = Some(word.to_owned());
                send(&mut write, &joined(&nick, word)).await
            }
            _ => true,
        };
        if !answered {
            return;
        }
    }
}

async fn send(write: &mut OwnedWriteHalf, text: impl AsRef<[u8]>) -> bool {
    write.write_all(text.as_ref()).await.is_ok()
}

/// ISUPPORT whose values are out of all bounds, too.
fn welcome(nick: &str) -> String {
    format!(
        ":h 001 {nick} :hi\r\n:h 005 {nick} NICKLEN=99999999999999999999 CHANMODES=,,, PREFIX=((( CASEMAPPING=nothing LINELEN=0 \
         CHANTYPES=# TOPICLEN=-1 MODES= TARGMAX=:::: :are supported\r\n:h 005 {nick} :are supported\r\n:h 005\r\n\
         :h 422 {nick} :no MOTD\r\n"
    )
}

fn joined(nick: &str, channel: &str) -> String {
    format!(":{nick}!u@h JOIN {channel}\r\n:h 353 {nick} = {channel} :{nick} bob\r\n:h 366 {nick} {channel} :End\r\n")
}

async fn junk(write: &mut OwnedWriteHalf, nick: &str, channel: &str) -> bool {
    let long = "x".repeat(100_000);
    let names = "@@@@+++ ! @ ,,, \u{7f} ".repeat(200);
    let lines: Vec<Vec<u8>> = vec![
        long.clone().into_bytes(),
        format!(":bob!b@h PRIVMSG {channel} :{long}").into_bytes(),
        format!(":h MODE {channel} +{}", "o".repeat(5_000)).into_bytes(),
        format!(":h MODE {channel} +-+-kkkllb-vqZ").into_bytes(),
        format!(":h MODE {channel}").into_bytes(),
        b":h MODE".to_vec(),
        format!(":h 353 {nick} = {channel} :{names}").into_bytes(),
        format!(":h 353 {nick}").into_bytes(),
        format!(":h 366 {nick} {channel} :End").into_bytes(),
        format!(":h 999 {nick} :what is this").into_bytes(),
        format!(":h 437 {nick} #nothing :cannot").into_bytes(),
        format!(":h 400 {nick} X :unknown error").into_bytes(),
        b"".to_vec(),
        b":".to_vec(),
        b": ".to_vec(),
        b"@".to_vec(),
        b"@a=b".to_vec(),
        b"@time=never;msgid=  :x PRIVMSG".to_vec(),
        b":bob!b@h".to_vec(),
        b":bob!b@h PRIVMSG".to_vec(),
        b":bob!b@h JOIN".to_vec(),
        b":bob!b@h NICK :".to_vec(),
        b":!@ QUIT :x".to_vec(),
        b"BATCH +".to_vec(),
        b"BATCH -nothing".to_vec(),
        b"CAP * NEW".to_vec(),
        b"AUTHENTICATE".to_vec(),
        b"\xff\xfe\xfd\xfc \x00\x01\x02".to_vec(),
        format!(":@irc_bob:localhost!b@h PRIVMSG {channel} :@admin:localhost").into_bytes(),
        format!(":bob!b@h KICK {channel}").into_bytes(),
        format!(":bob!b@h TOPIC {channel}").into_bytes(),
    ];
    for line in lines {
        if !(send(write, &line).await && send(write, "\r\n").await) {
            return false;
        }
    }
    send(write, format!(":bob!b@h PRIVMSG {channel} :{}\r\n", HostileIrcd::AFTERWARDS)).await
}
