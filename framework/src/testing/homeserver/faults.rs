//! What can go wrong between a homeserver and a bridge.

use std::time::Duration;

use http::StatusCode;

/// What happens to a request of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused with `M_LIMIT_EXCEEDED` and this wait.
    RateLimited(Duration),
    /// Answered with 502 and no JSON, as a reverse proxy does; not carried out.
    BadGateway,
    /// Carried out, but the answer never arrives.
    AnswerLost,
    /// The connection cannot be made; not carried out.
    Unreachable,
    /// `M_UNKNOWN_TOKEN`: the homeserver forgot the registration.
    UnknownToken,
    /// Refused with this status and `errcode`.
    Refused(StatusCode, &'static str),
}

/// What happens to a transaction of the homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFault {
    /// Sent twice, one after the other.
    Duplicated,
    /// Sent twice, at the same time.
    DuplicatedAtOnce,
    /// Sent; its answer is lost, so that it is sent again.
    AnswerLost,
    /// Sent; its answer is lost, and it is sent again under another id, as by a homeserver that was restored from a backup.
    AnswerLostAndRenamed,
    /// Sent; its answer is lost, and it is sent again under the same id with what came since, as by a homeserver that died before it had
    /// stored which events were in it.
    AnswerLostAndGrown,
    /// Sent after the one that follows it.
    Reordered,
    /// Left behind, as Synapse leaves one behind that is made while a catch-up ends: sent when a later one is refused, before that.
    LeftBehind,
}

/// Faults that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    requests: Vec<Pending>,
    pub(super) pushes: std::collections::VecDeque<PushFault>,
}

#[derive(Debug)]
struct Pending {
    path: String,
    fault: Fault,
    times: u32,
}

impl Faults {
    pub(super) fn add(&mut self, path: &str, fault: Fault, times: u32) {
        self.requests.push(Pending { path: path.to_owned(), fault, times });
    }

    pub(super) fn take(&mut self, path: &str) -> Option<Fault> {
        let index = self.requests.iter().position(|pending| path.contains(&pending.path))?;
        let pending = self.requests.get_mut(index)?;
        let fault = pending.fault.clone();
        pending.times = pending.times.saturating_sub(1);
        if pending.times == 0 {
            self.requests.remove(index);
        }
        Some(fault)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
