//! The way to push gateways ([spec](https://spec.matrix.org/v1.19/push-gateway-api/)).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;
use url::Host;

/// How long a push gateway may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Carries notifications to push gateways.
#[async_trait]
pub trait PushGateway: Send + Sync + std::fmt::Debug {
    /// Sends one notification; gives the push keys that the gateway rejects for good.
    ///
    /// # Errors
    /// [`GatewayError`] where it should be tried again later.
    async fn notify(&self, url: &str, body: String) -> Result<Vec<String>, GatewayError>;
}

/// Why a notification did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No answer, or none that means anything.
    #[error("the push gateway could not be reached: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("the push gateway answered {0}")]
    Refused(u16),
}

/// Reaches push gateways over HTTP.
#[derive(Clone, Debug)]
pub struct HttpGateway {
    client: reqwest::Client,
    private: bool,
}

impl HttpGateway {
    /// With `private`, also gateways at addresses that are not of the public Internet: users choose the address, and could
    /// otherwise have this server call others of its own network.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(private: bool) -> Result<Self, GatewayError> {
        let builder = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let builder = if private { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
        let client = builder.build().map_err(|error| GatewayError::Unreachable(error.to_string()))?;
        Ok(Self { client, private })
    }

    /// Addresses that are written as numbers are not looked up.
    fn admits(&self, url: &str) -> bool {
        let Ok(url) = url::Url::parse(url) else { return false };
        match url.host() {
            Some(Host::Ipv4(address)) => self.private || is_public(address.into()),
            Some(Host::Ipv6(address)) => self.private || is_public(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }
}

#[async_trait]
impl PushGateway for HttpGateway {
    async fn notify(&self, url: &str, body: String) -> Result<Vec<String>, GatewayError> {
        #[derive(Default, Deserialize)]
        struct Answer {
            #[serde(default)]
            rejected: Vec<String>,
        }
        let unreachable = |error: reqwest::Error| GatewayError::Unreachable(error.without_url().to_string());
        if !self.admits(url) {
            return Err(GatewayError::Unreachable("the address is not public".to_owned()));
        }
        let request = self.client.post(url).header(header::CONTENT_TYPE, "application/json").body(body);
        let answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(GatewayError::Refused(answer.status().as_u16()));
        }
        let mut bytes = BytesMut::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(unreachable)?);
            if bytes.len() > MAX_ANSWER {
                return Err(GatewayError::Unreachable("the answer is too long".to_owned()));
            }
        }
        Ok(serde_json::from_slice::<Answer>(&bytes).unwrap_or_default().rejected)
    }
}

/// Looks names up and leaves out addresses that are not public.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
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
}
