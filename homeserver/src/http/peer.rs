//! Where a request comes from, for limits.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, request::Parts};

/// The network a request comes from: an IPv4 address, or the first 64 bits of an IPv6 one, which one subscriber has whole.
///
/// A peer on this machine is a reverse proxy if it says whom it speaks for (the last `X-Forwarded-For`), and else a program
/// of the operator, which has no address. Nobody else's `X-Forwarded-For` is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let address = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let address = match address {
            Some(address) if address.is_loopback() => forwarded(&head.headers),
            address => address,
        };
        Ok(Self(address.map(network)))
    }
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = last.rsplit(',').next()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn peer(address: Option<&str>, forwarded: Option<&str>) -> Option<String> {
        let mut request = Request::builder();
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        if let Some(address) = address {
            head.extensions.insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 1)));
        }
        let Ok(Peer(address)) = Peer::from_request_parts(&mut head, &()).await;
        address.map(|address| address.to_string())
    }

    #[tokio::test]
    async fn only_a_proxy_on_this_machine_speaks_for_others() {
        assert_eq!(peer(Some("192.0.2.1"), None).await.unwrap(), "192.0.2.1");
        assert_eq!(peer(Some("192.0.2.1"), Some("198.51.100.7")).await.unwrap(), "192.0.2.1");
        assert_eq!(peer(Some("127.0.0.1"), Some("10.0.0.1, 198.51.100.7")).await.unwrap(), "198.51.100.7");
        assert_eq!(peer(Some("127.0.0.1"), None).await, None);
        assert_eq!(peer(Some("127.0.0.1"), Some("nonsense")).await, None);
        assert_eq!(peer(None, Some("198.51.100.7")).await, None);
    }

    #[tokio::test]
    async fn one_subscriber_is_one_network() {
        assert_eq!(peer(Some("2001:db8:1:2:3:4:5:6"), None).await.unwrap(), "2001:db8:1:2::");
        assert_eq!(peer(Some("::ffff:192.0.2.1"), None).await.unwrap(), "192.0.2.1");
    }
}
