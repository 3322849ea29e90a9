use axum::body::Body;
use http::{Request, header};
use landbridge_sql::{Db, DbOptions, Migration};
use serde_json::Value;

use crate::support::{Answer, Person, Server, png};

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
    let server = Server::with(|config| config.unauthenticated_media = true).await;
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
        assert_eq!(answer.headers[header::CACHE_CONTROL], "private, max-age=86400, immutable");
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

/// Makes the database of a server what it was before the old endpoints were closed to new files.
async fn goes_back(server: &Server) {
    const BACK: &[Migration] = &[Migration {
        version: 1,
        name: "back",
        sqlite: "ALTER TABLE media DROP COLUMN open; DELETE FROM _homeserver_migrations WHERE version = 41",
        postgres: "ALTER TABLE media DROP COLUMN open; DELETE FROM _homeserver_migrations WHERE version = 41",
    }];
    let file = format!("sqlite:{}", server.folder().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_back", ..DbOptions::default() };
    Db::open(server.database().unwrap_or(&file), BACK, options).await.unwrap();
}

/// What the old endpoints, without a token, say of a picture; and the new ones, with one.
async fn statuses(server: &Server, who: &Person, uri: &Value) -> ([u16; 3], [u16; 3]) {
    let (mut old, mut new) = ([0; 3], [0; 3]);
    let file = path(uri);
    let asked =
        [format!("download/{file}"), format!("download/{file}/a.png"), format!("thumbnail/{file}?width=9&height=9")];
    for (number, asked) in asked.iter().enumerate() {
        old[number] = server.call("GET", &format!("/_matrix/media/v3/{asked}"), None, None).await.status.as_u16();
        let asked = format!("/_matrix/client/v1/media/{asked}");
        new[number] = server.call("GET", &asked, Some(&who.token), None).await.status.as_u16();
    }
    (old, new)
}

/// New files are not given out without a token, old ones are; on either engine.
async fn the_old_endpoints_are_closed_to_new_files(server: Server) {
    let alice = server.person("alice").await;
    let old = uploads(&server, &alice, "image/png", "a.png", png(20, 20)).await.ok()["content_uri"].clone();
    let awaited = server.call("POST", "/_matrix/media/v1/create", Some(&alice.token), None).await.ok();
    goes_back(&server).await;
    let server = server.restart().await;
    let new = uploads(&server, &alice, "image/png", "a.png", png(20, 20)).await.ok()["content_uri"].clone();
    assert_eq!(statuses(&server, &alice, &old).await, ([200; 3], [200; 3]));
    assert_eq!(statuses(&server, &alice, &new).await, ([404; 3], [200; 3]));
    // Also with a token, and also what had a name before and comes now.
    let asked = format!("/_matrix/media/v3/download/{}", path(&new));
    server.call("GET", &asked, Some(&alice.token), None).await.refused(404, "M_NOT_FOUND");
    let awaited = &awaited["content_uri"];
    let fill = Request::put(format!("/_matrix/media/v3/upload/{}", path(awaited)))
        .header(header::AUTHORIZATION, format!("Bearer {}", alice.token))
        .body(Body::from(png(20, 20)));
    server.send(fill.unwrap()).await.ok();
    assert_eq!(statuses(&server, &alice, awaited).await, ([404; 3], [200; 3]));
}

#[tokio::test]
async fn the_old_endpoints_are_closed_to_new_files_on_sqlite() {
    the_old_endpoints_are_closed_to_new_files(Server::start().await).await;
}

#[tokio::test]
async fn the_old_endpoints_are_closed_to_new_files_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    the_old_endpoints_are_closed_to_new_files(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn an_operator_may_leave_the_old_endpoints_open() {
    let server = Server::with(|config| config.unauthenticated_media = true).await;
    let alice = server.person("alice").await;
    let file = uploads(&server, &alice, "image/png", "a.png", png(20, 20)).await.ok()["content_uri"].clone();
    assert_eq!(statuses(&server, &alice, &file).await, ([200; 3], [200; 3]));
    let server = server.restart().await;
    assert_eq!(statuses(&server, &alice, &file).await, ([404; 3], [200; 3]));
}
