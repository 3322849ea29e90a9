//! What networks over TCP ask of their sockets.

use tokio::net::TcpStream;

/// Says at once that what came was read. Who has nothing to write says so only after 40 ms, and a server that leaves Nagle's algorithm
/// on sends nothing more before that. The system forgets the wish when there is something to write, so it is said after each read.
///
/// A refusal costs only time, and so does a system that cannot be told: there, nothing happens.
pub fn acknowledge(socket: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_quickack(true);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}
