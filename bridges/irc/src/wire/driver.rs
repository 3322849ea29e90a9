//! The task of a connection: moves bytes, lines, commands and the time between the socket and the session.

use std::{collections::HashMap, fmt, future::pending, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::{
        mpsc::{self, error::SendError},
        oneshot,
    },
    time::{Instant, sleep_until, timeout},
};

use super::{
    codec::{Line, Lines},
    connection::{Ends, Request, Status},
    endpoint::Io,
};
use crate::session::{CommandId, Ending, Event, Outcome, Session};

/// Bytes read at a time.
const READ: usize = 2048;

/// Bytes handed to the socket at a time: what is in there counts as written, so it is little.
const WRITE: usize = 4096;

/// Events that may wait for somebody to take them before nothing more is read. One line brings a few at most.
const MAX_WAITING_EVENTS: usize = 32;

/// How long the last lines (QUIT) may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long the server may refuse to take a byte.
const STUCK: Duration = Duration::from_secs(120);

/// The task of a connection.
pub struct Driver {
    reader: ReadHalf<Box<dyn Io>>,
    writer: Writer,
    session: Session,
    lines: Lines,
    ends: Ends,
    waiting: HashMap<CommandId, oneshot::Sender<Outcome>>,
    commands: u64,
    /// Nobody can give commands any more.
    unattended: bool,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Bytes on their way out.
struct Writer {
    io: WriteHalf<Box<dyn Io>>,
    buffer: Vec<u8>,
    /// Bytes were given to the TLS layer that it may hold back.
    unflushed: bool,
    /// Since when the server has taken nothing.
    stuck_since: Option<Instant>,
}

impl Writer {
    /// Writes a part of what is there; waits for ever when nothing is. Safe to drop at any time: bytes are taken out of
    /// the buffer only when they are written.
    async fn advance(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let written = self.io.write(&self.buffer).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.buffer.drain(..written);
            self.unflushed = true;
        } else if self.unflushed {
            self.io.flush().await?;
            self.unflushed = false;
        } else {
            return pending().await;
        }
        self.stuck_since = None;
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.buffer.is_empty() && !self.unflushed
    }

    /// When the server counts as dead because it takes nothing.
    fn stuck_at(&self) -> Option<Instant> {
        self.stuck_since.map(|since| since + STUCK)
    }
}

/// What woke the task.
enum Wake {
    Read(io::Result<usize>),
    Wrote(io::Result<()>),
    Asked(Option<Request>),
    Told,
    Time,
}

impl Driver {
    pub(super) fn new(io: Box<dyn Io>, session: Session, ends: Ends) -> Self {
        let (reader, io) = split(io);
        Self {
            reader,
            writer: Writer { io, buffer: Vec::new(), unflushed: false, stuck_since: None },
            session,
            lines: Lines::default(),
            ends,
            waiting: HashMap::new(),
            commands: 0,
            unattended: false,
        }
    }

    /// Drives the connection to its end. Every command given has its outcome then. Dropping the future closes the
    /// socket at once; commands under way end as [`Outcome::Unknown`].
    pub async fn run(mut self) -> Ending {
        self.session.connected(now().into_std());
        loop {
            self.pass_on();
            if let Some(ending) = self.session.ending().cloned() {
                self.farewell().await;
                return ending;
            }
            let wake = self.wait().await;
            self.wake(wake);
        }
    }

    /// Hands on everything that the session gives out.
    fn pass_on(&mut self) {
        let at = now();
        while self.writer.buffer.len() < WRITE
            && let Some(line) = self.session.next_line(at.into_std())
        {
            self.writer.stuck_since.get_or_insert(at);
            self.writer.buffer.extend_from_slice(line.as_bytes());
        }
        // First what the handle shows, then the outcome: whoever was told that a nick is theirs sees it.
        if self.session.take_changed() {
            let status = Status { online: self.session.online().map(Arc::new), limits: self.session.limits() };
            self.ends.status.send_replace(status);
        }
        while let Some((id, outcome)) = self.session.next_outcome() {
            // Whoever gave the command may have stopped waiting for it.
            let _ = self.waiting.remove(&id).map(|done| done.send(outcome));
        }
    }

    async fn wait(&mut self) -> Wake {
        let deaf = self.session.waiting_events() >= MAX_WAITING_EVENTS;
        let at = now();
        if deaf {
            self.session.not_listening(at.into_std());
        }
        let deadline = self.session.deadline(at.into_std()).map(Instant::from_std);
        // The writer has no room: lines that may go now must wait for it, not for the time.
        let deadline = deadline.filter(|deadline| *deadline > at || self.writer.buffer.len() < WRITE);
        let deadline = deadline.into_iter().chain(self.writer.stuck_at()).min();
        let mut bytes = [0; READ];
        let wake = tokio::select! {
            place = self.ends.events.reserve(), if self.session.waiting_events() > 0 => {
                tell(place, &mut self.session);
                Wake::Told
            }
            wrote = self.writer.advance() => Wake::Wrote(wrote),
            read = self.reader.read(&mut bytes), if !deaf => Wake::Read(read),
            asked = self.ends.requests.recv(), if !self.unattended => Wake::Asked(asked),
            () = sleep(deadline) => Wake::Time,
        };
        if let Wake::Read(Ok(read)) = wake {
            self.feed(&bytes[..read]);
        }
        wake
    }

    fn feed(&mut self, bytes: &[u8]) {
        let at = now().into_std();
        let session = &mut self.session;
        self.lines.feed(bytes, |line| match line {
            Line::Text(text) => session.receive(&text, at),
            Line::TooLong => session.unreadable("the line is longer than any may be"),
        });
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Told | Wake::Wrote(Ok(())) | Wake::Read(Ok(1..)) => {}
            Wake::Read(Ok(0)) => self.session.closed("the server closed the connection"),
            Wake::Read(Err(error)) | Wake::Wrote(Err(error)) => {
                self.session.closed(&format!("the connection broke: {error}"));
            }
            Wake::Asked(Some(request)) => self.ask(request),
            // Without handles nobody speaks any more, but somebody may still listen.
            Wake::Asked(None) => self.unattended = true,
            Wake::Time => {
                if self.writer.stuck_at().is_some_and(|at| at <= now()) {
                    self.session.closed("the server takes nothing more");
                }
                self.session.tick(now().into_std());
            }
        }
    }

    fn ask(&mut self, request: Request) {
        match request {
            Request::Run(commands) => {
                let mut numbered = Vec::with_capacity(commands.len());
                for (command, done) in commands {
                    self.commands += 1;
                    let id = CommandId(self.commands);
                    self.waiting.insert(id, done);
                    numbered.push((id, command));
                }
                self.session.commands(numbered, now().into_std());
            }
            Request::Cancel(target) => self.session.cancel(&target),
            Request::Members(channel, done) => {
                let _ = done.send(self.session.members(&channel));
            }
        }
    }

    /// The last lines, the last events, the last outcomes.
    async fn farewell(mut self) {
        self.ends.requests.close();
        self.pass_on();
        let last_lines = async {
            while !self.writer.is_idle() {
                self.writer.advance().await?;
            }
            self.writer.io.shutdown().await
        };
        // The connection may be gone already.
        let _ = timeout(FAREWELL, last_lines).await;
        // Also what has its place in the queue and is just about to come: left there, it would never have an outcome.
        while let Some(request) = self.ends.requests.recv().await {
            self.ask(request);
        }
        self.pass_on();
        while let Some(event) = self.session.next_event() {
            if self.ends.events.send(Box::new(event)).await.is_err() {
                return;
            }
        }
    }
}

/// Gives an event to whoever listens. If nobody does, events are nothing to anybody.
fn tell(place: Result<mpsc::Permit<'_, Box<Event>>, SendError<()>>, session: &mut Session) {
    match place {
        Ok(place) => {
            if let Some(event) = session.next_event() {
                place.send(Box::new(event));
            }
        }
        Err(_) => while session.next_event().is_some() {},
    }
}

async fn sleep(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn now() -> Instant {
    Instant::now()
}
