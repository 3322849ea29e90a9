//! Calling addresses that others chose. They could otherwise have us call others of our own network, so only addresses of the public
//! Internet are called, whatever names and redirects say: a name is looked up once, and what was looked at is what is connected to.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

/// Which addresses may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public Internet, and those of these networks.
    PublicAnd(Arc<[Network]>),
    /// All.
    Anything,
}

impl Reach {
    /// Addresses of the public Internet alone.
    #[must_use]
    pub fn public() -> Self {
        Self::PublicAnd([].into())
    }

    fn admits_url(&self, url: &Url) -> bool {
        matches!(url.scheme(), "http" | "https")
            && match url.host() {
                Some(Host::Ipv4(address)) => self.admits(address.into()),
                Some(Host::Ipv6(address)) => self.admits(address.into()),
                Some(Host::Domain(_)) => true,
                None => false,
            }
    }

    fn admits(&self, address: IpAddr) -> bool {
        match self {
            Self::Anything => true,
            Self::PublicAnd(also) => is_public(address) || also.iter().any(|network| network.holds(address)),
        }
    }
}

/// A network, written `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Not a network.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is no network: write an address, a slash, and how many bits count")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= most).then_some(Self { address, prefix })
        };
        parse().ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, bits: u32| {
            let rest = bits - u32::from(self.prefix).min(bits);
            ours.checked_shr(rest) == theirs.checked_shr(rest)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

/// A client that calls what it may.
#[derive(Clone, Debug)]
pub struct Outward {
    client: reqwest::Client,
    reach: Reach,
}

impl Outward {
    /// A client that gives up after `timeout` and follows no redirects: each is to be looked at first.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(reach: Reach, timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::build(reach, timeout, Policy::none())
    }

    /// A client that gives up after `timeout`, and follows at most `most` redirects, each to an address that may be called.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn following(reach: Reach, timeout: Duration, most: usize) -> Result<Self, reqwest::Error> {
        let limit = reach.clone();
        let follow = Policy::custom(move |attempt| {
            if attempt.previous().len() > most {
                attempt.error("it leads on and on")
            } else if limit.admits_url(attempt.url()) {
                attempt.follow()
            } else {
                attempt.error("the address is not public")
            }
        });
        Self::build(reach, timeout, follow)
    }

    fn build(reach: Reach, timeout: Duration, redirects: Policy) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(redirects)
            .dns_resolver(Arc::new(Guarded(reach.clone())))
            .no_proxy()
            .build()?;
        Ok(Self { client, reach })
    }

    /// Whether an address may be called. Names are looked at when they are looked up; addresses that are written as numbers are
    /// not looked up.
    pub fn admits(&self, url: &Url) -> bool {
        self.reach.admits_url(url)
    }

    /// The client, for addresses that are admitted.
    pub const fn client(&self) -> &reqwest::Client {
        &self.client
    }
}

/// Looks names up and leaves out addresses that may not be called.
#[derive(Debug)]
struct Guarded(Reach);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found.filter(|address| reach.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocol = a == 192 && b == 0 && c == 0;
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || shared
                || protocol
                || benchmark)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(v4.into()),
            None => {
                let first = v6.segments()[0];
                // Global unicast is 2000::/3; 6to4 and Teredo carry addresses of version 4 in them.
                (0x2000..0x4000).contains(&first) && first != 0x2002 && !(first == 0x2001 && v6.segments()[1] < 0x200)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("192.168.1.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, address, holds) in [
            ("10.0.0.0/8", "10.200.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("127.0.0.1/32", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "192.168.1.1", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.holds(address.parse().unwrap()), holds, "{network:?} {address}");
        }
        for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "/8", "fd00::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
