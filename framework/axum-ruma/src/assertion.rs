//! What an application service adds to a client-server request ([identity assertion], [timestamp massaging])
//!
//! [identity assertion]: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion
//! [timestamp massaging]: https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging

use http::Uri;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedUserId, UInt};

use crate::{MatrixError, auth::query_pairs};

/// `?user_id=`, `?device_id=` and `?ts=` of a request. Only meaningful together with an `as_token`: a server ignores it
/// in requests of ordinary users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityAssertion {
    /// The virtual user to act as.
    pub user_id: Option<OwnedUserId>,
    /// The device of that user. Also read from the name it had before it was stable, `org.matrix.msc3202.device_id`.
    pub device_id: Option<OwnedDeviceId>,
    /// The `origin_server_ts` to give to the event.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl IdentityAssertion {
    /// Reads the query of a request. Of a parameter given twice the first counts.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` if the user id is no user id, or the timestamp no timestamp.
    pub fn from_uri(uri: &Uri) -> Result<Self, MatrixError> {
        let mut found = Self::default();
        for (name, value) in query_pairs(uri) {
            match name.as_ref() {
                "user_id" if found.user_id.is_none() => found.user_id = Some(user_id(&value)?),
                "device_id" | "org.matrix.msc3202.device_id" if found.device_id.is_none() && !value.is_empty() => {
                    found.device_id = Some(value.as_ref().into());
                }
                "ts" if found.ts.is_none() => found.ts = Some(timestamp(&value)?),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn user_id(value: &str) -> Result<OwnedUserId, MatrixError> {
    value.try_into().map_err(|_| MatrixError::invalid_param("The user_id parameter is not a user id"))
}

fn timestamp(value: &str) -> Result<MilliSecondsSinceUnixEpoch, MatrixError> {
    let millis: UInt =
        value.parse().map_err(|_| MatrixError::invalid_param("The ts parameter is not a time in milliseconds"))?;
    Ok(MilliSecondsSinceUnixEpoch(millis))
}
