//! Serves a router on a socket until told to stop.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, serve::Listener};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

/// How long requests that are being answered may take to end.
const REQUESTS: Duration = Duration::from_secs(2);

/// How long a bridge may take to deliver what is under way, and to say goodbye.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves from now on.
    pub(crate) fn start(listener: TcpListener, router: Router) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, router, stop.clone()));
        Self { stop, task }
    }

    /// Takes no more connections, and lets requests end; those that wait for news are cut off.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(REQUESTS, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Takes connections until told to stop; ends with the last of them.
async fn accept(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        // The trait's, not the listener's own: it waits a while where there are no more sockets, and tries again.
        let (stream, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = stop.cancelled() => break,
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream, peer, router.clone(), stop.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Answers the requests of one connection.
///
/// HTTP/1.1 and nothing else: what finds out first which version a client speaks, as `axum::serve` does, keeps twice the buffer for
/// each connection, and most connections do nothing but wait.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // A client that goes away in the middle is no fault of ours, and no news.
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}
