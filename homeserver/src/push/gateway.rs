//! The way to push gateways ([spec](https://spec.matrix.org/v1.19/push-gateway-api/)).

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header;
use serde::Deserialize;

use crate::outward::{Outward, Reach};

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
    outward: Outward,
}

impl HttpGateway {
    /// With `private`, also gateways at addresses that are not of the public Internet: users choose the address, and could
    /// otherwise have this server call others of its own network.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(private: bool) -> Result<Self, GatewayError> {
        let reach = if private { Reach::Anything } else { Reach::public() };
        let outward = Outward::new(reach, TIMEOUT).map_err(|error| GatewayError::Unreachable(error.to_string()))?;
        Ok(Self { outward })
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
        let not_public = || GatewayError::Unreachable("the address is not public".to_owned());
        let url = url::Url::parse(url).ok().filter(|url| self.outward.admits(url)).ok_or_else(not_public)?;
        let request = self.outward.client().post(url).header(header::CONTENT_TYPE, "application/json").body(body);
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
