//! A connection, taken apart for those who use it: handle, events, driver.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{Driver, Endpoint, OpenError};
use crate::{
    message::{Channel, Target},
    session::{Command, Event, Identity, Limits, Member, NotSent, Online, Outcome, Policy, Role, Session},
};

/// An open connection.
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

/// The events of a connection. While nobody takes them, nothing more is read from the server, and so no command is
/// confirmed: the task that takes events must not wait for outcomes.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Box<Event>>);

/// The outcome of a command, to be awaited.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

#[derive(Debug)]
pub(super) enum Request {
    Run(Vec<(Command, oneshot::Sender<Outcome>)>),
    Cancel(Target),
    Members(Channel, oneshot::Sender<Option<Vec<Member>>>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) online: Option<Arc<Online>>,
    pub(super) limits: Limits,
}

/// The driver's ends of the channels.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) events: mpsc::Sender<Box<Event>>,
    pub(super) status: watch::Sender<Status>,
}

impl Connection {
    /// Opens a connection. Registration begins when the driver runs; [`EventKind::Online`] tells that it is done.
    ///
    /// # Errors
    /// Says which step failed; [`OpenError::class`] says what to do next.
    ///
    /// [`EventKind::Online`]: crate::session::EventKind::Online
    pub async fn open(endpoint: &Endpoint, policy: Arc<Policy>, identity: Identity) -> Result<Self, OpenError> {
        // A puppet has little to say and less to hear, and there may be thousands.
        let (asks, tells) = match identity.role {
            Role::Observer => (64, 256),
            Role::Puppet => (8, 16),
        };
        let io = endpoint.open().await?;
        let (requests, request_ends) = mpsc::channel(asks);
        let (status_end, status) = watch::channel(Status::default());
        let (event_end, events) = mpsc::channel(tells);
        let ends = Ends { requests: request_ends, events: event_end, status: status_end };
        let driver = Driver::new(io, Session::new(policy, identity).over_tls(endpoint.tls.is_some()), ends);
        Ok(Self { handle: Handle { requests, status }, events: Events(events), driver })
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
        self.requests.send(Request::Run(vec![(command, done)])).await.map_err(|_| NotSent::NotConnected)?;
        Ok(Pending(outcome))
    }

    /// Hands several commands over that belong together: their order is kept, and after one that finds the send queue full
    /// none is taken.
    ///
    /// # Errors
    /// [`NotSent::NotConnected`] if the connection has ended.
    pub async fn submit_all(&self, commands: Vec<Command>) -> Result<Vec<Pending>, NotSent> {
        let (asked, pending) = commands
            .into_iter()
            .map(|command| {
                let (done, outcome) = oneshot::channel();
                ((command, done), Pending(outcome))
            })
            .unzip();
        self.requests.send(Request::Run(asked)).await.map_err(|_| NotSent::NotConnected)?;
        Ok(pending)
    }

    /// Calls back every message to a target that still waits in the send queue: each ends as
    /// [`NotSent::Cancelled`].
    pub async fn cancel(&self, target: Target) {
        // A connection that has ended sends nothing more anyway.
        let _ = self.requests.send(Request::Cancel(target)).await;
    }

    /// Who is in a channel; `None` if we are not, or the connection has ended. Empty if members are not tracked.
    pub async fn members(&self, channel: Channel) -> Option<Vec<Member>> {
        let (done, members) = oneshot::channel();
        self.requests.send(Request::Members(channel, done)).await.ok()?;
        members.await.ok().flatten()
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

    /// Whether the connection has ended: no command is taken any more.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
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
