use axum::body::Body;
use http::{Request, header};
use serde_json::Value;

use crate::support::{Answer, Person, Server};

async fn uploads(server: &Server, who: &Person, kind: &str, name: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/_matrix/media/v3/upload?filename={name}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", who.token))
        .header(header::CONTENT_TYPE, kind)
        .body(body.into());
    server.send(request.unwrap()).await
}

fn path(uri: &Value) -> String {
    uri.as_str().unwrap().strip_prefix("mxc://").unwrap().to_owned()
}

#[tokio::test]
async fn a_file_comes_back_as_it_went_and_does_nothing() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let page = "<script>alert(1)</script>";
    let uri = uploads(&server, &alice, "text/html", "evil.html", page).await.ok()["content_uri"].clone();
    let get = |path: String| {
        let (server, token) = (&server, &alice.token);
        async move { server.call("GET", &path, Some(token), None).await }
    };
    for base in ["/_matrix/client/v1/media", "/_matrix/media/v3"] {
        let answer = get(format!("{base}/download/{}", path(&uri))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.bytes, page);
        assert_eq!(answer.headers[header::CONTENT_DISPOSITION], "attachment; filename=evil.html");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox"));
        let picture = get(format!("{base}/thumbnail/{}?width=1&height=1", path(&uri))).await;
        picture.refused(400, "M_UNKNOWN");
    }
    let named = get(format!("/_matrix/client/v1/media/download/{}/other.html", path(&uri))).await;
    assert_eq!(named.headers[header::CONTENT_DISPOSITION], "attachment; filename=other.html");
    server
        .call("GET", &format!("/_matrix/client/v1/media/download/{}", path(&uri)), None, None)
        .await
        .refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn what_is_too_long_leaves_nothing_behind() {
    let server = Server::with(|config| config.max_upload_bytes = 10).await;
    let alice = server.person("alice").await;
    uploads(&server, &alice, "text/plain", "a", "0123456789").await.ok();
    uploads(&server, &alice, "text/plain", "a", "0123456789a").await.refused(413, "M_TOO_LARGE");
    // A body that does not say how long it is.
    let chunks = futures_util::stream::iter((0..4).map(|_| Ok::<_, std::io::Error>("01234")));
    uploads(&server, &alice, "text/plain", "a", Body::from_stream(chunks)).await.refused(413, "M_TOO_LARGE");
    // A body that breaks off.
    let broken = futures_util::stream::iter([Ok("012"), Err(std::io::Error::other("gone"))]);
    uploads(&server, &alice, "text/plain", "a", Body::from_stream(broken)).await.refused(400, "M_UNKNOWN");
    assert_eq!(server.files(), 1);
    let config = server.call("GET", "/_matrix/client/v1/media/config", Some(&alice.token), None).await.ok();
    assert_eq!(config["m.upload.size"], 10);
}

#[tokio::test]
async fn ids_lead_nowhere_else() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for id in ["..%2F..%2Fhomeserver.db", "abc", "%01%01%01", "homeserver.db"] {
        for base in ["/_matrix/client/v1/media/download", "/_matrix/media/v3/download"] {
            let path = format!("{base}/localhost/{id}");
            server.call("GET", &path, Some(&alice.token), None).await.refused(404, "M_NOT_FOUND");
        }
    }
    let elsewhere = "/_matrix/client/v1/media/download/evil.example/abcdef";
    server.call("GET", elsewhere, Some(&alice.token), None).await.refused(404, "M_NOT_FOUND");
    server.call("POST", "/_matrix/media/v3/upload", None, None).await.refused(401, "M_MISSING_TOKEN");
}
