//! Asks an application service whether it is there ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#post_matrixappv1ping

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::{registry::Appservice, transport::TransportError};

/// How long a service may take to answer.
pub const PING_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer that is no yes is shown to who asked, in bytes.
const SHOWN_BODY: usize = 1024;

/// Why a ping failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// The registration has no `url`.
    #[error("the registration has no url")]
    UrlNotSet,
    /// It answered, not with a status in the two hundreds.
    #[error("the application service answered with the status {status}")]
    BadStatus {
        /// The status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// It did not answer in time.
    #[error("the application service did not answer in time")]
    Timeout,
    /// It could not be reached.
    #[error("{0}")]
    Connection(String),
}

/// `POST /_matrix/app/v1/ping`: gives how long the answer took, and wakes what waits for the service.
///
/// # Errors
/// As [`PingError`] says.
pub async fn ping(appservice: &Appservice, transaction_id: Option<&str>) -> Result<Duration, PingError> {
    let body = transaction_id.map_or_else(|| serde_json::json!({}), |id| serde_json::json!({ "transaction_id": id }));
    let begun = Instant::now();
    let answer = appservice
        .call(Method::POST, "/_matrix/app/v1/ping", Bytes::from(body.to_string()), PING_TIMEOUT)
        .await
        .ok_or(PingError::UrlNotSet)?;
    let took = begun.elapsed();
    match answer {
        Ok(answer) if answer.status().is_success() => {
            appservice.wake();
            Ok(took)
        }
        Ok(answer) => {
            let shown = answer.body().get(..SHOWN_BODY).unwrap_or(answer.body());
            let body = String::from_utf8_lossy(shown).into_owned();
            Err(PingError::BadStatus { status: answer.status().as_u16(), body })
        }
        Err(TransportError::Timeout) => Err(PingError::Timeout),
        Err(error @ (TransportError::Connection(_) | TransportError::TooLong)) => {
            Err(PingError::Connection(error.to_string()))
        }
    }
}
