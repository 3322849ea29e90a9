//! What guests may do ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#guest-access

use http::{Method, StatusCode};
use landbridge_axum_ruma::MatrixError;
use ruma::api::error::ErrorKind;

/// 403 `M_GUEST_ACCESS_FORBIDDEN`.
pub(crate) fn no_guests(message: &'static str) -> MatrixError {
    MatrixError::new(StatusCode::FORBIDDEN, ErrorKind::GuestAccessForbidden, message)
}

/// Whether a guest may use an endpoint: those that the specification lists, and what a session needs to begin and end.
pub(super) fn may_use(method: &Method, path: &str) -> bool {
    let mut segments = path.trim_end_matches('/').split('/').skip(2);
    if segments.next() == Some("media") {
        return method == Method::GET;
    }
    // The version says nothing of what is meant.
    let segments: Vec<&str> = segments.skip(1).collect();
    let segments = segments.as_slice();
    match method.as_str() {
        "GET" => matches!(
            segments,
            ["sync" | "events" | "devices" | "capabilities" | "publicRooms" | "login"]
                | ["rooms", _, "state" | "context" | "event" | "messages" | "members" | "initialSync", ..]
                | ["devices", _]
                | ["account", "whoami"]
                | ["directory", "room", _]
                | ["media" | "profile", ..]
        ),
        "POST" => matches!(
            segments,
            ["logout" | "publicRooms"]
                | ["rooms", _, "join" | "leave"]
                | ["join", _]
                | ["logout", "all"]
                | ["keys", "upload" | "query" | "claim"]
        ),
        "PUT" => matches!(
            segments,
            ["rooms", _, "send", _, _]
                | ["rooms", _, "state", ..]
                | ["sendToDevice", _, _]
                | ["profile", _, "displayname"]
                | ["devices", _]
        ),
        "DELETE" => matches!(segments, ["profile", _, "displayname"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_look_and_talk_and_no_more() {
        for (method, path, may) in [
            ("GET", "v3/sync", true),
            ("GET", "r0/rooms/!a:b/messages", true),
            ("GET", "v3/rooms/!a:b/state/m.room.name/", true),
            ("GET", "v3/rooms/!a:b/joined_members", false),
            ("GET", "v3/rooms/!a:b/aliases", false),
            ("PUT", "v3/rooms/!a:b/send/m.room.message/1", true),
            ("PUT", "v3/rooms/!a:b/typing/@a:b", false),
            ("PUT", "v3/profile/@a:b/displayname", true),
            ("PUT", "v3/profile/@a:b/avatar_url", false),
            ("POST", "v3/createRoom", false),
            ("POST", "v3/rooms/!a:b/invite", false),
            ("POST", "v3/keys/device_signing/upload", false),
            ("POST", "v3/user_directory/search", false),
            ("DELETE", "v3/devices/A", false),
            ("DELETE", "v3/profile/@a:b/displayname", true),
            ("DELETE", "v3/profile/@a:b/avatar_url", false),
        ] {
            let path = format!("/_matrix/client/{path}");
            assert_eq!(may_use(&method.parse().unwrap(), &path), may, "{method} {path}");
        }
        assert!(may_use(&Method::GET, "/_matrix/media/v3/download/a/b"));
        assert!(may_use(&Method::GET, "/_matrix/client/v1/media/download/a/b"));
        assert!(!may_use(&Method::POST, "/_matrix/media/v3/upload"));
        assert!(!may_use(&Method::GET, "/_landbridge/admin/v1/users"));
    }
}
