//! Says when the bridge has connected, and when not.

use std::io::{self, Write};

use landbridge::{
    Network,
    network::SessionId,
    sessions::{SessionState, Sessions},
};
use tokio::sync::broadcast::error::RecvError;

/// Prints what becomes of the bridge's own connection, and how it is now; those of its users are for the log.
pub(crate) async fn tell<N: Network>(sessions: Sessions<N>, server: String) {
    let mut changes = sessions.subscribe();
    let now = sessions.states().into_iter().find(|(id, _)| *id == SessionId::Relay);
    let mut last = SessionState::Connecting;
    if let Some((_, state)) = now {
        last = tell_change(last, state, &server);
    }
    loop {
        match changes.recv().await {
            Ok((SessionId::Relay, state)) => last = tell_change(last, state, &server),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Says nothing twice.
fn tell_change(last: SessionState, state: SessionState, server: &str) -> SessionState {
    if last != state {
        print(&state, server);
    }
    state
}

/// Whether anybody reads it or not.
fn print(state: &SessionState, server: &str) {
    if let Some(line) = line(state, server) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

fn line(state: &SessionState, server: &str) -> Option<String> {
    Some(match state {
        SessionState::Connected { name: Some(name) } => format!("Connected to {server} as {name}."),
        SessionState::Connected { name: None } => format!("Connected to {server}."),
        SessionState::Degraded(problem) => format!("Connected to {server}, but {problem}."),
        SessionState::Waiting { reason, wait } => {
            format!("No connection to {server}: {reason}. Trying again in {} s.", wait.as_secs_f32().ceil())
        }
        SessionState::Refused(error) => {
            format!("{server} refuses the bridge: {error}. It is not tried again by itself.")
        }
        SessionState::Connecting | SessionState::Stopped => return None,
    })
}
