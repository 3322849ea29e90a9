//! The socket of the link: opened, read, written, kept alive.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use landbridge::socket::acknowledge;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::Instant,
};

use super::handshake::{StreamFault, digest, opening};
use crate::stanza::{Bounds, Element, ElementExt as _, Guard, Head, Piece, ReadError, Reader, Refused, ns};

/// How many stanzas may wait to be written; at the bound, who has something to say waits, and answers to questions are left out.
const QUEUE: usize = 8192;
/// How much is written at once.
const WRITE: usize = 64 * 1024;

/// Where and as what we connect.
#[derive(Clone)]
pub struct Endpoint {
    /// The server's host.
    pub host: String,
    /// The port for components.
    pub port: u16,
    /// Our domain.
    pub domain: String,
    /// The secret.
    pub secret: String,
    /// The most bytes of a stanza that we send.
    pub max_stanza: usize,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// To connect and to be accepted.
    pub connect: Duration,
    /// Something is written at least so often.
    pub keep_alive: Duration,
    /// Who is silent for so long is asked whether they are there.
    pub silence: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            keep_alive: Duration::from_secs(60),
            silence: Duration::from_secs(120),
        }
    }
}

/// Why there is no link, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// The server ended the stream and said why.
    #[error("the server ended the stream: {0}")]
    Fault(StreamFault),
    /// The secret is wrong, or the server knows no such component.
    #[error("the server does not accept the component: {0}")]
    NotAccepted(StreamFault),
    /// What came is no XML.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing came for too long.
    #[error("the server does not answer")]
    Silent,
}

/// What was counted on links.
#[derive(Debug, Default)]
pub struct Counters {
    /// Stanzas read.
    pub read: AtomicU64,
    /// Stanzas written.
    pub written: AtomicU64,
    /// Stanzas beyond the bounds.
    pub skipped: AtomicU64,
    /// Stanzas of ours that the guard held back.
    pub refused: AtomicU64,
    /// Answers left out because the queue was full.
    pub dropped: AtomicU64,
}

/// The way out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outlet {
    queue: mpsc::Sender<Vec<u8>>,
    guard: Arc<Guard>,
    counters: Arc<Counters>,
}

impl Outlet {
    /// Sends a stanza, when there is room in the queue.
    ///
    /// # Errors
    /// [`Refused`] for what may not be sent. Whether the link is still there is not known here.
    pub async fn send(&self, stanza: &Element) -> Result<(), Refused> {
        let bytes = self.bytes(stanza)?;
        // Closed: the link is gone, and whoever waits for an answer is told so.
        let _ = self.queue.send(bytes).await;
        Ok(())
    }

    /// Sends a stanza that nobody misses, unless the queue is full.
    pub fn send_lossy(&self, stanza: &Element) {
        let Ok(bytes) = self.bytes(stanza) else { return };
        if self.queue.try_send(bytes).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a stanza may be sent.
    ///
    /// # Errors
    /// [`Refused`] for what may not.
    pub fn check(&self, stanza: &Element) -> Result<(), Refused> {
        self.bytes(stanza).map(drop)
    }

    fn bytes(&self, stanza: &Element) -> Result<Vec<u8>, Refused> {
        self.guard.write(stanza).inspect_err(|error| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "a stanza was held back");
        })
    }
}

/// An accepted link.
#[derive(Debug)]
pub struct Connection {
    read: OwnedReadHalf,
    reader: Reader,
    buffer: Vec<u8>,
    /// What was read and not yet looked at.
    unread: std::ops::Range<usize>,
    outlet: Outlet,
    writer: tokio::task::JoinHandle<()>,
    timing: Timing,
    heard: Instant,
    asked: bool,
    /// Whom we ask whether they are there.
    host: String,
    domain: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl Connection {
    /// Connects and is accepted.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn open(endpoint: &Endpoint, timing: Timing, counters: Arc<Counters>) -> Result<Self, LinkError> {
        let opening = Self::begin(endpoint, timing, counters);
        tokio::time::timeout(timing.connect, opening).await.unwrap_or(Err(LinkError::Silent))
    }

    async fn begin(endpoint: &Endpoint, timing: Timing, counters: Arc<Counters>) -> Result<Self, LinkError> {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(LinkError::Connect)?;
        stream.set_nodelay(true).map_err(LinkError::Connect)?;
        let (read, mut write) = stream.into_split();
        write.write_all(opening(&endpoint.domain).as_bytes()).await.map_err(LinkError::Io)?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let guard = Arc::new(Guard::new(&endpoint.domain, endpoint.max_stanza));
        let outlet = Outlet { queue, guard, counters: Arc::clone(&counters) };
        let host = endpoint.domain.split_once('.').map_or(endpoint.domain.as_str(), |(_, parent)| parent).to_owned();
        let mut connection = Self {
            read,
            reader: Reader::new(Bounds::default()),
            buffer: vec![0; 64 * 1024],
            unread: 0..0,
            outlet,
            // Replaced below, once the way is free.
            writer: tokio::spawn(std::future::ready(())),
            timing,
            heard: Instant::now(),
            asked: false,
            host,
            domain: endpoint.domain.clone(),
        };
        connection.shake_hands(&mut write, &endpoint.secret).await?;
        connection.writer = tokio::spawn(write_all(write, waiting, timing.keep_alive, counters));
        Ok(connection)
    }

    async fn shake_hands(&mut self, write: &mut OwnedWriteHalf, secret: &str) -> Result<(), LinkError> {
        let refused = |error| match error {
            LinkError::Fault(fault) if !fault.is_conflict() && fault.condition != "system-shutdown" => {
                LinkError::NotAccepted(fault)
            }
            error => error,
        };
        loop {
            match self.piece(&|_| true).await.map_err(refused)? {
                Piece::Open(head) => {
                    let id = head.element().attr("id").unwrap_or_default();
                    let handshake = format!("<handshake>{}</handshake>", digest(id, secret));
                    write.write_all(handshake.as_bytes()).await.map_err(LinkError::Io)?;
                }
                Piece::Stanza(stanza) if stanza.is("handshake", ns::COMPONENT) => return Ok(()),
                Piece::Stanza(stanza) => {
                    if let Some(fault) = StreamFault::of(&stanza) {
                        return Err(refused(LinkError::Fault(fault)));
                    }
                }
                Piece::Skipped(_) => {}
                Piece::Close => return Err(LinkError::Closed),
            }
        }
    }

    /// The way out.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// The next stanza, where it is one that is `wanted` by its head. What is beyond the bounds is passed to `skipped`.
    ///
    /// # Errors
    /// [`LinkError`] when the link is no more.
    pub async fn next(
        &mut self,
        wanted: &(dyn Fn(&Element) -> bool + Sync),
        skipped: &(dyn Fn(&Head) + Sync),
    ) -> Result<Element, LinkError> {
        loop {
            match self.piece(wanted).await? {
                Piece::Stanza(stanza) => {
                    self.outlet.counters.read.fetch_add(1, Ordering::Relaxed);
                    match StreamFault::of(&stanza) {
                        Some(fault) => return Err(LinkError::Fault(fault)),
                        None => return Ok(stanza),
                    }
                }
                Piece::Skipped(head) => {
                    self.outlet.counters.skipped.fetch_add(1, Ordering::Relaxed);
                    skipped(&head);
                }
                Piece::Open(_) => {}
                Piece::Close => return Err(LinkError::Closed),
            }
        }
    }

    async fn piece(&mut self, wanted: &(dyn Fn(&Element) -> bool + Sync)) -> Result<Piece, LinkError> {
        loop {
            let mut unread = &self.buffer[self.unread.clone()];
            let piece = self.reader.read(&mut unread, wanted);
            self.unread.start = self.unread.end - unread.len();
            if let Some(piece) = piece? {
                return Ok(piece);
            }
            let deadline = self.heard + self.timing.silence * if self.asked { 2 } else { 1 };
            let read = tokio::time::timeout_at(deadline, self.read.read(&mut self.buffer)).await;
            let length = match read {
                Ok(Ok(0)) => return Err(LinkError::Closed),
                Ok(Ok(length)) => length,
                Ok(Err(error)) => return Err(LinkError::Io(error)),
                Err(_) if self.asked => return Err(LinkError::Silent),
                Err(_) => {
                    self.asked = true;
                    let ping = Element::stanza("iq", &self.domain, &self.host, "get").with("id", "alive");
                    self.outlet.send_lossy(&ping.child(Element::bare("ping", ns::PING)));
                    continue;
                }
            };
            // A server that leaves Nagle's algorithm on sends nothing more before that.
            acknowledge(self.read.as_ref());
            self.heard = Instant::now();
            self.asked = false;
            self.unread = 0..length;
        }
    }
}

/// Writes what waits, many stanzas at once where many wait; a space where nothing does.
async fn write_all(
    mut write: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    keep_alive: Duration,
    counters: Arc<Counters>,
) {
    let mut bytes = Vec::with_capacity(WRITE);
    loop {
        bytes.clear();
        match tokio::time::timeout(keep_alive, waiting.recv()).await {
            Ok(None) => return,
            Ok(Some(stanza)) => {
                bytes.extend_from_slice(&stanza);
                let mut count = 1;
                while bytes.len() < WRITE
                    && let Ok(stanza) = waiting.try_recv()
                {
                    bytes.extend_from_slice(&stanza);
                    count += 1;
                }
                counters.written.fetch_add(count, Ordering::Relaxed);
            }
            Err(_) => bytes.push(b' '),
        }
        if write.write_all(&bytes).await.is_err() {
            // The reader finds out, too.
            return;
        }
    }
}

#[cfg(test)]
mod tests;
