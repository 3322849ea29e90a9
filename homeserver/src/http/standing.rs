//! What is left to those whom an operator locked or suspended ([locking], [suspension])
//!
//! A path is read segment by segment: what a client chooses, such as a transaction id or an event type, decides nothing. Only the type of
//! what is sent does: a redaction is left to the suspended, and its handler sees to it that it is one of their own events.
//!
//! [locking]: https://spec.matrix.org/v1.19/client-server-api/#account-locking
//! [suspension]: https://spec.matrix.org/v1.19/client-server-api/#account-suspension

use http::{Method, StatusCode};
use landbridge_axum_ruma::MatrixError;
use ruma::api::error::ErrorKind;

/// 401 `M_USER_LOCKED`, with `soft_logout`.
pub(super) fn locked() -> MatrixError {
    MatrixError::new(StatusCode::UNAUTHORIZED, ErrorKind::UserLocked, "The account is locked")
}

/// 403 `M_USER_SUSPENDED`.
pub(crate) fn suspended() -> MatrixError {
    MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::UserSuspended, "The account is suspended")
}

/// 403 `M_USER_DEACTIVATED`.
pub(crate) fn deactivated() -> MatrixError {
    MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::UserDeactivated, "The account is closed")
}

/// The segments of an endpoint of the client-server API, without its version and the name of an unstable feature.
fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix("/_matrix/client/")?.split('/').collect();
    match segments.as_slice() {
        ["unstable", feature, rest @ ..] if feature.contains('.') => Some(rest.to_vec()),
        [_version, rest @ ..] => Some(rest.to_vec()),
        [] => None,
    }
}

/// Whether a locked account may use an endpoint: it can log out, and nothing else.
pub(super) fn may_use_locked(path: &str) -> bool {
    matches!(segments(path).as_deref(), Some(["logout"] | ["logout", "all"]))
}

/// Whether a suspended account may use an endpoint: it reads, leaves, takes back what it said, closes itself, and keeps its devices and
/// keys.
pub(super) fn may_use_suspended(method: &Method, path: &str) -> bool {
    if method == Method::GET {
        return true;
    }
    let Some(segments) = segments(path) else { return false };
    let segments = segments.as_slice();
    match method.as_str() {
        "POST" => matches!(
            segments,
            ["logout" | "publicRooms" | "search" | "sync" | "delete_devices"]
                | ["logout", "all"]
                | ["account", "password" | "deactivate"]
                | ["account", "3pid", "add" | "bind"]
                | ["user_directory", "search"]
                | ["user", _, "filter"]
                | ["rooms", _, "leave" | "forget" | "read_markers"]
                | ["rooms", _, "receipt", _, _]
                | ["keys", "upload" | "query" | "claim"]
                | ["keys", "device_signing" | "signatures", "upload"]
                | ["room_keys", "version"]
                | ["dehydrated_device", _, "events"]
        ),
        "PUT" => matches!(
            segments,
            ["user", _, "account_data", _]
                | ["user", _, "rooms", _, "account_data", _]
                | ["rooms", _, "redact", _, _]
                | ["rooms", _, "send", "m.room.redaction", _]
                | ["sendToDevice", _, _]
                | ["devices", _]
                | ["room_keys", "keys" | "version", ..]
                | ["dehydrated_device"]
        ),
        "DELETE" => {
            matches!(segments, ["devices", _] | ["room_keys", "keys" | "version", ..] | ["dehydrated_device"])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logging_out_is_left_to_the_locked() {
        for (path, may) in [
            ("/_matrix/client/v3/logout", true),
            ("/_matrix/client/r0/logout/all", true),
            ("/_matrix/client/v3/rooms/!a:b/send/m.room.message/logout", false),
            ("/_matrix/client/v3/rooms/!a:b/state/logout/all", false),
            ("/_matrix/client/unstable/logout/logout", false),
            ("/_landbridge/admin/v1/users/@a:b/logout", false),
            ("/_landbridge/admin/logout", false),
        ] {
            assert_eq!(may_use_locked(path), may, "{path}");
        }
    }

    #[test]
    fn the_suspended_read_leave_and_keep_their_keys() {
        for (method, path, may) in [
            ("GET", "/_matrix/client/v3/sync", true),
            ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", true),
            ("POST", "/_matrix/client/unstable/keys/signatures/upload", true),
            ("PUT", "/_matrix/client/unstable/room_keys/keys/!a:b/session", true),
            ("POST", "/_matrix/client/v3/rooms/!a:b/leave", true),
            ("PUT", "/_matrix/client/v3/rooms/!a:b/redact/$e/1", true),
            ("PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.redaction/1", true),
            ("PUT", "/_matrix/client/v3/rooms/!a:b/send/leave/redact", false),
            ("PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/m.room.redaction", false),
            ("PUT", "/_matrix/client/v3/rooms/!a:b/state/m.room.redaction/1", false),
            ("POST", "/_matrix/client/v3/rooms/leave/join", false),
            ("POST", "/_matrix/client/v3/account/3pid/delete", false),
            ("POST", "/_landbridge/admin/v1/users/@a:b/logout", false),
            ("POST", "/_matrix/media/v3/upload", false),
        ] {
            assert_eq!(may_use_suspended(&method.parse().unwrap(), path), may, "{method} {path}");
        }
    }
}
