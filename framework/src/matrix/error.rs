//! What a homeserver's refusal means for us, sorted by what must be done about it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// Why a request to the homeserver did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// `M_LIMIT_EXCEEDED`, and the waits allowed within one call are used up: try again after this.
    #[error("the homeserver asks to wait {}s", after.as_secs())]
    LimitExceeded {
        /// How long it asks for.
        after: Duration,
    },
    /// `M_UNKNOWN_TOKEN` or `M_MISSING_TOKEN`: the homeserver does not know our `as_token`. Nothing works until the operator
    /// gives the homeserver this registration and restarts it.
    #[error(
        "the homeserver does not know our as_token: give it the same registration file that this bridge uses, and restart it"
    )]
    UnknownToken,
    /// `M_FORBIDDEN` and its relatives. Final, until somebody changes a permission.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// The user id, room or alias is taken (`M_USER_IN_USE`, `M_ROOM_IN_USE`, an alias that exists).
    #[error("in use: {0}")]
    InUse(String),
    /// Timed out, not connected, or 5xx. It may or may not have happened; try again later.
    #[error("the homeserver cannot be reached: {0}")]
    Unavailable(String),
    /// Refused for good.
    #[error("the homeserver refused: {errcode}: {message}")]
    Rejected {
        /// The `errcode`, or `HTTP <status>` where there is none.
        errcode: String,
        /// What it said.
        message: String,
    },
    /// Larger than the homeserver, or we, take.
    #[error("too large: {0}")]
    TooLarge(String),
}

impl ClientError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::LimitExceeded { .. } | Self::Unavailable(_))
    }

    /// Whether it is about this one request, so that repeating it is pointless.
    pub fn is_final(&self) -> bool {
        !self.is_temporary() && *self != Self::UnknownToken
    }

    /// What a response that is no success means.
    pub(crate) fn from_response(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let body: Refusal = serde_json::from_slice(body).unwrap_or_default();
        let errcode = body.errcode.unwrap_or_else(|| format!("HTTP {}", status.as_u16()));
        let message = body.error.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned());
        match (errcode.as_str(), status) {
            ("M_LIMIT_EXCEEDED", _) | (_, StatusCode::TOO_MANY_REQUESTS) => {
                Self::LimitExceeded { after: retry_after(headers, body.retry_after_ms) }
            }
            ("M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN", _) => Self::UnknownToken,
            ("M_USER_IN_USE" | "M_ROOM_IN_USE", _) | (_, StatusCode::CONFLICT) => Self::InUse(message),
            ("M_TOO_LARGE", _) | (_, StatusCode::PAYLOAD_TOO_LARGE) => Self::TooLarge(message),
            ("M_NOT_YET_UPLOADED", _) => Self::Unavailable(message),
            ("M_NOT_FOUND", _) => Self::NotFound(message),
            ("M_UNRECOGNIZED", _) => Self::Rejected { errcode, message },
            (_, StatusCode::NOT_FOUND) => Self::NotFound(message),
            ("M_FORBIDDEN" | "M_EXCLUSIVE" | "M_GUEST_ACCESS_FORBIDDEN", _) | (_, StatusCode::FORBIDDEN) => {
                Self::Forbidden(message)
            }
            (_, status) if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Self::Unavailable(format!("{errcode}: {message}"))
            }
            _ => Self::Rejected { errcode, message },
        }
    }
}

/// A [standard error response](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(deserialize_with = "lenient")]
    errcode: Option<String>,
    #[serde(deserialize_with = "lenient")]
    error: Option<String>,
    #[serde(deserialize_with = "lenient")]
    retry_after_ms: Option<f64>,
}

/// A field of the wrong type is a field that is not there: the others still count.
fn lenient<'de, D: serde::Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// The longest wait that we believe a homeserver.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The `Retry-After` header counts, else `retry_after_ms`, else a second.
fn retry_after(headers: &HeaderMap, millis: Option<f64>) -> Duration {
    let seconds = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse::<u64>().ok())
        .map(Duration::from_secs);
    let millis = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok());
    seconds.or(millis).unwrap_or(Duration::from_secs(1)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, retry_after: Option<&str>, body: &str) -> ClientError {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        ClientError::from_response(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            &Bytes::copy_from_slice(body.as_bytes()),
        )
    }

    #[test]
    fn sorts_refusals_by_consequence() {
        let wait = |millis| ClientError::LimitExceeded { after: Duration::from_millis(millis) };
        assert_eq!(error(429, None, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}"#), wait(1500));
        assert_eq!(error(429, Some("3"), r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}"#), wait(3000));
        assert_eq!(error(429, Some("soon"), "<html>"), wait(1000));
        assert_eq!(error(429, None, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":"x"}"#), wait(1000));
        assert_eq!(error(429, None, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1e300}"#), wait(1000));
        assert_eq!(error(429, Some("99999999"), "{}"), wait(3_600_000));
        assert_eq!(error(401, None, r#"{"errcode":"M_UNKNOWN_TOKEN"}"#), ClientError::UnknownToken);
        assert_eq!(error(403, None, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#), ClientError::Forbidden("no".into()));
        assert_eq!(error(404, None, r#"{"errcode":"M_NOT_FOUND","error":"no"}"#), ClientError::NotFound("no".into()));
        assert_eq!(error(400, None, r#"{"errcode":"M_USER_IN_USE","error":"x"}"#), ClientError::InUse("x".into()));
        assert_eq!(error(400, None, r#"{"errcode":"M_ROOM_IN_USE","error":"x"}"#), ClientError::InUse("x".into()));
        assert_eq!(error(409, None, r#"{"errcode":"M_UNKNOWN","error":"x"}"#), ClientError::InUse("x".into()));
        assert_eq!(error(413, None, "nginx"), ClientError::TooLarge("Payload Too Large".into()));
        assert!(matches!(error(502, None, "<html>bad gateway"), ClientError::Unavailable(_)));
        assert!(matches!(error(504, None, r#"{"errcode":"M_NOT_YET_UPLOADED"}"#), ClientError::Unavailable(_)));
        assert!(matches!(error(404, None, r#"{"errcode":"M_UNRECOGNIZED"}"#), ClientError::Rejected { .. }));
        assert!(matches!(error(400, None, r#"{"errcode":"M_BAD_JSON"}"#), ClientError::Rejected { .. }));
    }
}
