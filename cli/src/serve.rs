//! Serves a router on a socket until told to stop.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long requests that are being answered may take to end.
const REQUESTS: Duration = Duration::from_secs(2);

/// How long a bridge may take to deliver what is under way, and to say goodbye.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves from now on.
    pub(crate) fn start(listener: TcpListener, router: Router) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        let serve = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(stopped);
        Self { stop, task: tokio::spawn(async move { serve.await }) }
    }

    /// Takes no more connections, and lets requests end; those that wait for news are cut off.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(REQUESTS, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
