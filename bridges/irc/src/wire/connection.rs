//! A connection: the socket, the session and the clock in one task; handle and events for the bridge.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{Endpoint, OpenError, endpoint::Io};
use crate::{
    message::Target,
    session::{Command, Ending, Event, Identity, Limits, NotSent, Online, Outcome, Policy},
};

/// An open connection, taken apart for those who use it.
#[derive(Debug)]
pub struct Connection {
    /// Takes commands. Cheap to clone.
    pub handle: Handle,
    /// Tells events, in order.
    pub events: Events,
    /// Does the work: spawn its [`Driver::run`].
    pub driver: Driver,
}

/// Takes commands for a connection.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
}

/// The events of a connection. While nobody takes them, nothing more is read from the server.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Box<Event>>);

/// The outcome of a command, to be awaited.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

/// The task of a connection.
pub struct Driver {
    _io: Box<dyn Io>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

#[derive(Debug)]
pub(super) enum Request {
    Run(Box<Command>, oneshot::Sender<Outcome>),
    Cancel(Target),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    online: Option<Arc<Online>>,
    limits: Limits,
}

impl Connection {
    /// Opens a connection. Registration begins when the driver runs; [`EventKind::Online`] tells that it is done.
    ///
    /// # Errors
    /// Says which step failed; [`OpenError::class`] says what to do next.
    ///
    /// [`EventKind::Online`]: crate::session::EventKind::Online
    pub async fn open(endpoint: &Endpoint, _policy: Arc<Policy>, _identity: Identity) -> Result<Self, OpenError> {
        let io = endpoint.open().await?;
        let (requests, _) = mpsc::channel(1);
        let (_, status) = watch::channel(Status::default());
        let (_, events) = mpsc::channel(1);
        Ok(Self { handle: Handle { requests, status }, events: Events(events), driver: Driver { _io: io } })
    }
}

impl Handle {
    /// Does something and waits for the outcome. Commands are done in the order of the calls.
    pub async fn run(&self, command: Command) -> Outcome {
        match self.submit(command).await {
            Ok(pending) => pending.outcome().await,
            Err(not_sent) => Outcome::NotSent(not_sent),
        }
    }

    /// Hands a command over; its place in the order is then fixed, and the outcome can be awaited elsewhere.
    ///
    /// # Errors
    /// [`NotSent::NotConnected`] if the connection has ended.
    pub async fn submit(&self, command: Command) -> Result<Pending, NotSent> {
        let (done, outcome) = oneshot::channel();
        let request = Request::Run(Box::new(command), done);
        self.requests.send(request).await.map_err(|_| NotSent::NotConnected)?;
        Ok(Pending(outcome))
    }

    /// Calls back every message to a target that still waits in the send queue: each ends as
    /// [`NotSent::Cancelled`].
    pub async fn cancel(&self, target: Target) {
        let _ = self.requests.send(Request::Cancel(target)).await;
    }

    /// How we are connected; `None` before registration is done.
    pub fn online(&self) -> Option<Arc<Online>> {
        self.status.borrow().online.clone()
    }

    /// Waits until registration is done; `None` if the connection ends before.
    pub async fn until_online(&self) -> Option<Arc<Online>> {
        let mut status = self.status.clone();
        status.wait_for(|status| status.online.is_some()).await.ok()?.online.clone()
    }

    /// How much text fits into a line now.
    pub fn limits(&self) -> Limits {
        self.status.borrow().limits
    }
}

impl Events {
    /// The next event; `None` after the last one.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await.map(|event| *event)
    }
}

impl Pending {
    /// Waits for the outcome.
    pub async fn outcome(self) -> Outcome {
        self.0.await.unwrap_or(Outcome::Unknown("the connection's task ended"))
    }
}

impl Driver {
    /// Drives the connection to its end. Dropping the future closes the socket at once.
    pub async fn run(self) -> Ending {
        Ending { class: crate::numerics::EndClass::Transient, why: "in construction".to_owned(), was_online: false }
    }
}
