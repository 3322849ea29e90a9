//! Keeps one session running: starts it again after a wait that fits why it ended.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{SessionState, Sessions, Slot};
use crate::network::{ConnectionError, Network, Session as _, SessionId};

impl<N: Network> Sessions<N> {
    #[tracing::instrument(name = "session", skip_all, fields(session.id = %id))]
    pub(super) async fn supervise(self, id: SessionId, slot: Arc<Slot<N>>) {
        let mut failures = 0_u32;
        loop {
            self.change(&id, &slot, SessionState::Connecting);
            let Some(run) = self.run_once(&slot).await else { break };
            failures = if run.was_stable { 1 } else { failures.saturating_add(1) };
            let Some(wait) = self.wait(&run.error, failures) else {
                tracing::error!(error = %run.error, "the session is refused; it is not tried again by itself");
                self.refuse(&id, &run.error.to_string());
                self.change(&id, &slot, SessionState::Refused(run.error));
                break;
            };
            tracing::warn!(error = %run.error, failures, wait.ms = wait.as_millis(), "the session ended; it is started again");
            self.change(&id, &slot, SessionState::Waiting { reason: run.error.to_string(), wait });
            if slot.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        self.change(&id, &slot, SessionState::Stopped);
        self.forget(&id, &slot);
    }

    /// How long to wait after this error; `None` means for good.
    fn wait(&self, error: &ConnectionError, failures: u32) -> Option<Duration> {
        let (options, chance) = (&self.0.options, &self.0.chance);
        match error {
            ConnectionError::Transient(_) => Some(chance.delay(&options.backoff, failures)),
            ConnectionError::Throttled { after: Some(after), .. } => Some(*after + chance.delay(&options.backoff, 1)),
            ConnectionError::Throttled { after: None, .. } | ConnectionError::Replaced => {
                Some(chance.delay(&options.patience, failures))
            }
            ConnectionError::BadCredentials(_) | ConnectionError::Banned(_) | ConnectionError::Config(_) => None,
        }
    }

    /// Runs a session until its connection ends; `None` when we ended it. Holds one of the few permits to connect until it is
    /// connected.
    async fn run_once(&self, slot: &Slot<N>) -> Option<Ended> {
        let permit =
            async { if N::SHARED_LINK { None } else { Arc::clone(&self.0.connecting).acquire_owned().await.ok() } };
        let mut permit = slot.stop.run_until_cancelled(permit).await?;
        let mut state = slot.state.subscribe();
        let mut connected_at = None;
        // A child token: a session that cancels its own must not end others.
        let run = AssertUnwindSafe(slot.session.run(slot.stop.child_token())).catch_unwind();
        tokio::pin!(run);
        let too_late = async {
            slot.stop.cancelled().await;
            tokio::time::sleep(self.0.options.goodbye).await;
        };
        tokio::pin!(too_late);
        loop {
            tokio::select! {
                ended = &mut run => {
                    let was_stable = connected_at.is_some_and(|at| self.0.clock.now().since(at) >= self.0.options.stable_after);
                    return (!slot.stop.is_cancelled()).then(|| Ended { error: why(ended), was_stable });
                }
                _ = state.wait_for(SessionState::is_connected), if permit.is_some() => {
                    connected_at = Some(self.0.clock.now());
                    permit = None;
                }
                () = &mut too_late => {
                    tracing::warn!("the session did not end in time");
                    return None;
                }
            }
        }
    }

    pub(super) fn change(&self, id: &SessionId, slot: &Slot<N>, state: SessionState) {
        let changed = slot.state.send_if_modified(|current| {
            // What is final stays: a late word of a session that was refused means nothing.
            let change = *current != state && !current.is_final();
            if change {
                current.clone_from(&state);
            }
            change
        });
        if changed {
            if state.is_connected() {
                tracing::info!(session.id = %id, state = state.name(), "the session is connected");
            }
            // Nobody listens: nobody needs to know.
            let _ = self.0.changes.send((id.clone(), state));
        }
    }
}

/// A connection that ended.
struct Ended {
    error: ConnectionError,
    was_stable: bool,
}

fn why(ended: Result<Result<(), ConnectionError>, Box<dyn Any + Send>>) -> ConnectionError {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => ConnectionError::Transient("the connection ended".to_owned()),
        Err(panic) => ConnectionError::Transient(format!("a fault in the bridge: {}", panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
}
