//! Pings and what they say is wrong.

use std::time::Duration;

use http::StatusCode;
use landbridge_homeserver::appservice::{AppserviceTransport, TransportError};
use serde_json::json;

use crate::support::{AS_TOKEN, Server, irc_registration, reqwest_client};

#[derive(Debug)]
struct Broken(fn() -> TransportError);

#[async_trait::async_trait]
impl AppserviceTransport for Broken {
    async fn call(
        &self,
        _: http::Request<bytes::Bytes>,
        _: Duration,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        Err(self.0())
    }
}

#[tokio::test]
async fn a_ping_says_what_is_wrong() {
    let ping = "/_matrix/client/v1/appservice/irc/ping";
    let wish = || Some(json!({}));
    for (error, status, errcode) in [
        ((|| TransportError::Timeout) as fn() -> TransportError, 504, "M_CONNECTION_TIMEOUT"),
        (|| TransportError::Connection("refused".to_owned()), 502, "M_CONNECTION_FAILED"),
    ] {
        let server = Server::start().await;
        let transport = std::sync::Arc::new(Broken(error));
        server.hs.add_appservice_over(irc_registration(), transport).await.unwrap();
        server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(status, errcode);
    }
    let server = Server::start().await;
    let mut silent = irc_registration();
    silent.url = None;
    let client = reqwest_client();
    server.hs.add_appservice(silent, &client).await.unwrap();
    server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(400, "M_URL_NOT_SET");
    let alice = server.person("alice").await;
    server.call("POST", ping, Some(&alice.token), wish()).await.refused(403, "M_FORBIDDEN");
    let other = "/_matrix/client/v1/appservice/other/ping";
    server.call("POST", other, Some(AS_TOKEN), wish()).await.refused(403, "M_FORBIDDEN");
    let server = Server::start().await;
    let teapot = axum::Router::new().fallback(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") });
    let transport = std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(teapot));
    server.hs.add_appservice_over(irc_registration(), transport).await.unwrap();
    let body = server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(502, "M_BAD_STATUS");
    assert_eq!((&body["status"], &body["body"]), (&json!(418), &json!("short and stout")));
}
