//! Where a server is, and the way there.

use std::{io, net::IpAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{TlsClient, TlsError, prompt::Prompt};
use crate::numerics::EndClass;

/// Where a server is, and the way there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte; `None`: none.
    pub tls: Option<TlsClient>,
    /// The local address to connect from, for an address per person.
    pub local: Option<IpAddr>,
    /// Patience for the name, the connection and the TLS handshake together.
    pub timeout: Duration,
}

impl Endpoint {
    /// A server reached without TLS, from any local address, within 30 seconds.
    pub fn plain(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, tls: None, local: None, timeout: Duration::from_secs(30) }
    }

    /// The same server over TLS.
    #[must_use]
    pub fn with_tls(self, tls: TlsClient) -> Self {
        Self { tls: Some(tls), ..self }
    }

    pub(super) async fn open(&self) -> Result<Box<dyn Io>, OpenError> {
        timeout(self.timeout, self.open_unbounded()).await.map_err(|_| OpenError::TimedOut)?
    }

    async fn open_unbounded(&self) -> Result<Box<dyn Io>, OpenError> {
        let tcp = self.open_tcp().await?;
        tcp.set_nodelay(true).map_err(OpenError::Connect)?;
        let tcp = Prompt(tcp);
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = tls.server_name(&self.host)?;
        let stream = TlsConnector::from(tls.config()).connect(name, tcp).await.map_err(OpenError::Handshake)?;
        Ok(Box::new(stream))
    }

    /// Tries every address of the host, in the order of the resolver, that the local address can reach.
    async fn open_tcp(&self) -> Result<TcpStream, OpenError> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address of this kind");
        for remote in lookup_host((&*self.host, self.port)).await.map_err(OpenError::Resolve)? {
            if self.local.is_some_and(|local| local.is_ipv4() != remote.is_ipv4()) {
                continue;
            }
            let socket = if remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let socket = socket.map_err(OpenError::Connect)?;
            if let Some(local) = self.local {
                socket.bind((local, 0).into()).map_err(OpenError::Bind)?;
            }
            match socket.connect(remote).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(OpenError::Connect(last))
    }
}

/// A byte stream of either kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name of the host was not found.
    #[error("the host's name was not found")]
    Resolve(#[source] io::Error),
    /// The local address is not ours.
    #[error("the local address cannot be used")]
    Bind(#[source] io::Error),
    /// The server did not answer, or refused.
    #[error("the server cannot be reached")]
    Connect(#[source] io::Error),
    /// TLS failed: no TLS there, or a certificate that nobody we trust vouches for.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The TLS settings are wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// All of it took too long.
    #[error("connecting took too long")]
    TimedOut,
}

impl OpenError {
    /// What to do next.
    pub fn class(&self) -> EndClass {
        match self {
            Self::Resolve(_) | Self::Connect(_) | Self::TimedOut => EndClass::Transient,
            // A certificate is renewed more often than a setting is changed: look again, with back-off.
            Self::Handshake(_) => EndClass::Transient,
            Self::Bind(_) | Self::Tls(_) => EndClass::Config,
        }
    }
}
