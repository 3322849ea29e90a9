//! The paths from before they had versions ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#legacy-routes

use bytes::Bytes;
use http::Response;
use landbridge_registration::Token;

use super::query::segment;

/// What a path was called before, with the token in its query; `None` for what is newer.
pub(super) fn path(path: &str, hs_token: &Token) -> Option<String> {
    let rest = path.strip_prefix("/_matrix/app/v1/")?;
    let old = match rest.split('/').next()? {
        "transactions" | "users" | "rooms" => format!("/{rest}"),
        "thirdparty" => format!("/_matrix/app/unstable/{rest}"),
        _ => return None,
    };
    let joint = if old.contains('?') { '&' } else { '?' };
    Some(format!("{old}{joint}access_token={}", segment(hs_token.reveal())))
}

/// Whether an answer says that the path is unknown, rather than that the thing is: 404 or 405 without a Matrix error, or
/// with `M_UNRECOGNIZED`.
pub(super) fn is_unknown(answer: &Response<Bytes>) -> bool {
    if !matches!(answer.status().as_u16(), 404 | 405) {
        return false;
    }
    match serde_json::from_slice::<serde_json::Value>(answer.body()) {
        Ok(body) => matches!(body["errcode"].as_str(), Some("M_UNRECOGNIZED")),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_versions_have_older_names() {
        let token = Token::from("a b");
        let old = |path: &str| super::path(path, &token);
        assert_eq!(old("/_matrix/app/v1/transactions/x.1").unwrap(), "/transactions/x.1?access_token=a%20b");
        assert_eq!(old("/_matrix/app/v1/users/%40a").unwrap(), "/users/%40a?access_token=a%20b");
        assert_eq!(
            old("/_matrix/app/v1/thirdparty/user/irc?nick=x").unwrap(),
            "/_matrix/app/unstable/thirdparty/user/irc?nick=x&access_token=a%20b"
        );
        assert_eq!(old("/_matrix/app/v1/ping"), None);
    }

    #[test]
    fn a_user_that_is_not_there_is_no_unknown_path() {
        let answer = |status: u16, body: &'static str| {
            let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            is_unknown(&answer)
        };
        assert!(answer(404, "Cannot PUT /_matrix/app/v1/transactions/1"));
        assert!(answer(405, r#"{"errcode":"M_UNRECOGNIZED"}"#));
        assert!(!answer(404, r#"{"errcode":"M_NOT_FOUND"}"#));
        assert!(!answer(404, "{}"));
        assert!(!answer(500, "oops"));
    }
}
