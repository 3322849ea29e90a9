//! How services come, are reached, and go.

use std::time::Duration;

use http::StatusCode;
use landbridge_homeserver::appservice::{Appservice, AppserviceTransport, TransportError};

use crate::support::{AS_TOKEN, HS_TOKEN, Server, Service, bridged, irc_registration, pings, portal, reqwest_client};

#[tokio::test]
async fn two_services_with_one_name_or_token_are_refused() {
    let (server, service) = bridged().await;
    let transport = || std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(service.router()));
    let again = server.hs.add_appservice_over(irc_registration(), transport()).await;
    assert!(again.unwrap_err().to_string().contains("id"));
    let mut other = irc_registration();
    other.id = "other".to_owned();
    let again = server.hs.add_appservice_over(other, transport()).await;
    assert!(again.unwrap_err().to_string().contains("as_token"));
}

#[tokio::test]
async fn a_service_is_reached_over_http_too() {
    let server = Server::start().await;
    let service = Service::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut registration = irc_registration();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    registration.url = Some(landbridge_registration::ServiceUrl::parse(url).unwrap());
    tokio::spawn(axum::serve(listener, service.router()).into_future());
    let added: std::sync::Arc<Appservice> = server.hs.add_appservice(registration, &reqwest_client()).await.unwrap();
    assert_eq!(added.sender().as_str(), "@ircbot:localhost");
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "over a socket").await;
    service.hears("over a socket").await;
    pings(&server).await;
}

/// Knows only the paths from before they had versions.
#[derive(Debug, Clone)]
struct Old(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl AppserviceTransport for Old {
    async fn call(
        &self,
        request: http::Request<bytes::Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        let path = request.uri().to_string();
        let known = path.starts_with("/transactions/") && path.ends_with(&format!("?access_token={HS_TOKEN}"));
        self.0.lock().push(path.clone());
        let mut answer = http::Response::new(bytes::Bytes::from_static(if known { b"{}" } else { b"Cannot PUT" }));
        *answer.status_mut() = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
        Ok(answer)
    }
}

#[tokio::test]
async fn a_service_of_old_is_found_on_its_old_paths() {
    let server = Server::start().await;
    let old = Old(std::sync::Arc::default());
    let added = server.hs.add_appservice_over(irc_registration(), std::sync::Arc::new(old.clone())).await.unwrap();
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "one").await;
    let head = server.hs.stream().position().0;
    while added.status().acknowledged.load(std::sync::atomic::Ordering::Relaxed) < head {
        tokio::task::yield_now().await;
    }
    let asked = old.0.lock().clone();
    let versioned = asked.iter().filter(|path| path.starts_with("/_matrix/app/v1/transactions/")).count();
    assert_eq!(versioned, 1, "it is asked on the new path once: {asked:?}");
    assert!(asked.iter().any(|path| path.starts_with("/transactions/")));
}

#[tokio::test]
async fn registrations_in_a_folder_are_served_as_they_come_change_and_go() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    server.hs.watch_appservices(folder.path(), client).await.unwrap();
    let whoami = async || {
        let path = "/_matrix/client/v3/account/whoami";
        server.call("GET", path, Some(AS_TOKEN), None).await
    };
    whoami().await.refused(401, "M_UNKNOWN_TOKEN");
    let mut changes = server.hs.appservices().changes();
    let mut until = async |sender: Option<&str>, how_many: usize| {
        let wait = async {
            while server.hs.appservices().all().len() != how_many || whoami().await.body["user_id"].as_str() != sender {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    };
    let file = folder.path().join("irc.yaml");
    let mut registration = irc_registration();
    registration.url = None;
    std::fs::write(&file, registration.to_yaml().unwrap()).unwrap();
    until(Some("@ircbot:localhost"), 1).await;
    registration.sender_localpart = "otherbot".to_owned();
    std::fs::write(&file, registration.to_yaml().unwrap()).unwrap();
    until(Some("@otherbot:localhost"), 1).await;
    // A broken file changes nothing, and a good one beside it is served.
    std::fs::write(&file, "id: [").unwrap();
    let mut second = irc_registration();
    second.id = "second".to_owned();
    second.url = None;
    second.as_token = "second-token".into();
    std::fs::write(folder.path().join("second.yml"), second.to_yaml().unwrap()).unwrap();
    until(Some("@otherbot:localhost"), 2).await;
    assert!(server.hs.appservices().by_id("second").is_some());
    std::fs::remove_file(&file).unwrap();
    until(None, 1).await;
}
