//! Dialogues over real sockets with a server that says what the test says.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    message::{Channel, IrcText, Nick, Target},
    numerics::EndClass,
    session::*,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The server's end of one connection.
struct Server<S> {
    io: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    async fn hears(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.io.read_line(&mut line)).await.expect("a line in time").expect("a line");
        line.trim_end().to_owned()
    }

    async fn expects(&mut self, line: &str) {
        assert_eq!(self.hears().await, line);
    }

    async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.expect("the client listens");
        self.io.write_all(b"\r\n").await.expect("the client listens");
        self.io.flush().await.expect("the client listens");
    }

    async fn registers(&mut self) {
        self.expects("CAP LS 302").await;
        self.expects("NICK bot").await;
        self.expects("USER bridge 0 * :A bridge").await;
        self.says(":s CAP * LS :").await;
        self.expects("CAP END").await;
        self.says(":s 001 bot :Hi").await;
        self.says(":s 376 bot :End").await;
    }
}

struct Client {
    handle: Handle,
    events: Events,
    task: JoinHandle<Ending>,
}

fn identity() -> Identity {
    Identity {
        nick: Nick::new("bot").unwrap(),
        username: IrcText::new("bridge").unwrap(),
        realname: IrcText::new("A bridge").unwrap(),
        password: None,
        sasl: None,
        role: Role::Observer,
    }
}

async fn open(endpoint: &Endpoint) -> Result<Client, OpenError> {
    let policy = Policy::new(Timing::default(), Flood::off());
    let Connection { handle, events, driver } = Connection::open(endpoint, policy, identity()).await?;
    Ok(Client { handle, events, task: tokio::spawn(driver.run()) })
}

async fn connected() -> (Client, Server<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::plain("127.0.0.1", listener.local_addr().unwrap().port());
    let (client, accepted) = tokio::join!(open(&endpoint), listener.accept());
    (client.unwrap(), Server { io: BufReader::new(accepted.unwrap().0) })
}

async fn online() -> (Client, Server<TcpStream>) {
    let (mut client, mut server) = connected().await;
    server.registers().await;
    assert!(matches!(client.hears().await, EventKind::Online(_)));
    (client, server)
}

impl Client {
    async fn hears(&mut self) -> EventKind {
        timeout(PATIENCE, self.events.next()).await.expect("an event in time").expect("an event").kind
    }

    async fn hears_words(&mut self) -> String {
        match self.hears().await {
            EventKind::Message(incoming) => incoming.text,
            other => panic!("{other:?}"),
        }
    }

    async fn ends(self) -> Ending {
        timeout(PATIENCE, self.task).await.expect("an end in time").unwrap()
    }
}

fn says(words: &str) -> Command {
    Command::Send(Outgoing {
        target: Target::Channel(Channel::new("#c").unwrap()),
        kind: SendKind::Privmsg,
        text: IrcText::new(words).unwrap(),
        tags: Default::default(),
        key: None,
    })
}

/// A server with Nagle's algorithm on holds the end of each line back until its beginning was acknowledged: 40 ms, if nobody hurries.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_read_is_acknowledged_at_once() {
    let (mut client, mut server) = online().await;
    let began = tokio::time::Instant::now();
    for n in 0..100 {
        server.says(format!(":bob!b@h PRIVMSG #c :{n}")).await;
        assert_eq!(client.hears_words().await, n.to_string());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "100 lines took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_message_is_sent_and_its_outcome_awaited() {
    let (client, mut server) = online().await;
    assert_eq!(client.handle.online().unwrap().nick.as_str(), "bot");
    let handle = client.handle.clone();
    let outcome = tokio::spawn(async move { handle.run(says("hi there")).await });
    server.expects("PRIVMSG #c :hi there").await;
    server.expects("PING :landbridge-1").await;
    server.says(":s PONG s :landbridge-1").await;
    assert!(matches!(outcome.await.unwrap(), Outcome::Accepted(_)));
}

#[tokio::test]
async fn a_broken_connection_leaves_no_command_without_outcome() {
    let (client, mut server) = online().await;
    let pending = client.handle.submit(says("hi")).await.unwrap();
    server.expects("PRIVMSG #c hi").await;
    drop(server);
    assert!(matches!(pending.outcome().await, Outcome::Unknown(_)));
    let handle = client.handle.clone();
    let ending = client.ends().await;
    assert_eq!((ending.class, ending.was_online), (EndClass::Transient, true));
    assert_eq!(handle.run(says("late")).await, Outcome::NotSent(NotSent::NotConnected));
}

#[tokio::test]
async fn p19_goodbye_sends_what_is_queued_first() {
    let (client, mut server) = online().await;
    let last = client.handle.submit(says("last words")).await.unwrap();
    let quit = client.handle.submit(Command::Quit(Some(IrcText::new("bye").unwrap()))).await.unwrap();
    server.expects("PRIVMSG #c :last words").await;
    server.expects("PING :landbridge-1").await;
    server.says(":s PONG s :landbridge-1").await;
    server.expects("QUIT bye").await;
    server.says("ERROR :Closing link").await;
    assert!(matches!(last.outcome().await, Outcome::Accepted(_)));
    assert!(matches!(quit.outcome().await, Outcome::Accepted(_)));
    assert_eq!(client.ends().await.class, EndClass::Requested);
}

#[tokio::test]
async fn bad_bytes_and_endless_lines_do_not_end_the_stream() {
    let (mut client, mut server) = online().await;
    server.says(b":a!u@h PRIVMSG #c :caf\xe9").await;
    assert_eq!(client.hears_words().await, "café");
    server.says(vec![b'x'; 100_000]).await;
    assert!(matches!(client.hears().await, EventKind::Unreadable { .. }));
    server.says(":a!u@h PRIVMSG #c :still here").await;
    assert_eq!(client.hears_words().await, "still here");
}

#[tokio::test]
async fn who_does_not_listen_slows_the_server_down_and_loses_nothing() {
    const LINES: usize = 20_000;
    let (mut client, mut server) = online().await;
    let flood = tokio::spawn(async move {
        for number in 0..LINES {
            server.says(format!(":a!u@h PRIVMSG #c :{number}")).await;
        }
        server
    });
    for number in 0..LINES {
        assert_eq!(client.hears_words().await, number.to_string());
    }
    drop(flood.await.unwrap());
    assert_eq!(client.ends().await.class, EndClass::Transient);
}

#[tokio::test]
async fn a_burst_both_ways_keeps_its_order() {
    const LINES: usize = 2_000;
    let (client, mut server) = online().await;
    let handle = client.handle.clone();
    let speak = tokio::spawn(async move {
        let mut pending = Vec::new();
        for number in 0..LINES {
            pending.push(handle.submit(says(&number.to_string())).await.unwrap());
        }
        for (number, pending) in pending.into_iter().enumerate() {
            assert!(matches!(pending.outcome().await, Outcome::Accepted(_)), "{number}");
        }
    });
    let mut next = 0;
    while next < LINES {
        let line = server.hears().await;
        if let Some(token) = line.strip_prefix("PING :") {
            server.says(format!(":s PONG s :{token}")).await;
        } else {
            assert_eq!(line, format!("PRIVMSG #c {next}"));
            next += 1;
        }
    }
    let token = server.hears().await;
    server.says(token.replace("PING", ":s PONG s")).await;
    speak.await.unwrap();
}

#[tokio::test]
async fn without_handles_the_connection_goes_on() {
    let (Client { handle, mut events, task }, mut server) = online().await;
    drop(handle);
    server.says("PING :x").await;
    server.expects("PONG x").await;
    server.says(":a!u@h PRIVMSG #c :hi").await;
    assert!(timeout(PATIENCE, events.next()).await.unwrap().is_some());
    drop(events);
    server.says(":a!u@h PRIVMSG #c :hi").await;
    server.says("PING :y").await;
    server.expects("PONG y").await;
    task.abort();
}

#[tokio::test]
async fn a_connection_can_come_from_an_address_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint { local: Some("127.0.0.77".parse().unwrap()), ..Endpoint::plain("127.0.0.1", port) };
    let (client, accepted) = tokio::join!(open(&endpoint), listener.accept());
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.77");
    client.unwrap().task.abort();
    let foreign = Endpoint { local: Some("192.0.2.1".parse().unwrap()), ..endpoint };
    assert_eq!(open(&foreign).await.err().unwrap().class(), EndClass::Config);
}

#[tokio::test]
async fn a_port_where_nobody_listens_may_be_listened_to_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::plain("127.0.0.1", listener.local_addr().unwrap().port());
    drop(listener);
    assert_eq!(open(&endpoint).await.err().unwrap().class(), EndClass::Transient);
}

/// A certificate and its key, in PEM.
fn certificate(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn tls_trusts_whom_it_is_told_to_and_shows_our_certificate() {
    use rustls::pki_types::pem::PemObject;
    let (ours, our_key) = certificate("bot");
    let (theirs, their_key) = certificate("irc.test");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ours.as_bytes()).unwrap()).unwrap();
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(theirs.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(their_key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();

    let trust = |roots: Roots, accept_any_certificate, name: &str| TlsSettings {
        roots,
        accept_any_certificate,
        server_name: Some(name.to_owned()),
    };
    let pem = || Roots::Pem(theirs.clone().into_bytes());
    let table = [
        (trust(pem(), false, "irc.test"), true),
        (trust(pem(), false, "another.test"), false),
        (trust(Roots::Pem(ours.clone().into_bytes()), false, "irc.test"), false),
        (trust(Roots::System, true, "whatever"), true),
    ];
    for (settings, trusted) in table {
        let tls = TlsClient::new(&settings).unwrap();
        let tls = tls.with_identity(&TlsIdentity::from_pem(ours.as_bytes(), our_key.as_bytes()).unwrap()).unwrap();
        let endpoint = Endpoint::plain("127.0.0.1", port).with_tls(tls);
        let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (client, accepted) = tokio::join!(open(&endpoint), accept);
        assert_eq!(client.is_ok(), trusted, "{settings:?}");
        let Ok(mut client) = client else { continue };
        let stream = accepted.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().map(<[_]>::len), Some(1), "our certificate");
        let mut server = Server { io: BufReader::new(stream) };
        server.registers().await;
        assert!(matches!(client.hears().await, EventKind::Online(_)));
    }
}

#[test]
fn tls_settings_that_cannot_work_say_so() {
    let none = TlsSettings { roots: Roots::Pem(b"no certificate here".to_vec()), ..TlsSettings::default() };
    assert!(matches!(TlsClient::new(&none), Err(TlsError::NoRoots)));
    let (pem, key) = certificate("bot");
    assert!(matches!(TlsIdentity::from_pem(b"", key.as_bytes()), Err(TlsError::NoCertificate)));
    assert!(matches!(TlsIdentity::from_pem(pem.as_bytes(), b""), Err(TlsError::NoKey)));
    let any = TlsClient::new(&TlsSettings { accept_any_certificate: true, ..TlsSettings::default() }).unwrap();
    let stranger = TlsIdentity::from_pem(pem.as_bytes(), certificate("other").1.as_bytes()).unwrap();
    assert!(any.with_identity(&stranger).is_err());
}
