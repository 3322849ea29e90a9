//! Uploads that come later, parts of files, smaller pictures, and what becomes of old files.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, header};
use landbridge_homeserver::{Turn, clock::ManualClock, media::MediaStorage};
use serde_json::json;

use crate::support::{Answer, Person, Server, picture, request};

async fn at_noon() -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(43_200_000));
    (Server::at(clock.clone(), |_| ()).await, clock)
}

fn with_body(method: &str, path: &str, person: &Person, kind: &str, bytes: Vec<u8>) -> Request<Body> {
    let mut request = request(method, path, Some(&person.token), None);
    request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
    *request.body_mut() = Body::from(bytes);
    request
}

async fn uploads(server: &Server, person: &Person, kind: &str, bytes: Vec<u8>) -> String {
    let request = with_body("POST", "/_matrix/media/v3/upload?filename=a", person, kind, bytes);
    id_of(&server.send(request).await.ok()["content_uri"])
}

fn id_of(uri: &serde_json::Value) -> String {
    uri.as_str().unwrap().strip_prefix("mxc://localhost/").unwrap().to_owned()
}

async fn downloads(server: &Server, person: &Person, id: &str, query: &str) -> Answer {
    let path = format!("/_matrix/client/v1/media/download/localhost/{id}{query}");
    server.call("GET", &path, Some(&person.token), None).await
}

#[tokio::test]
async fn a_file_can_be_named_before_it_comes() {
    let (server, clock) = at_noon().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let create =
        async |person: &Person| server.call("POST", "/_matrix/media/v1/create", Some(&person.token), None).await;
    let made = create(&alice).await.ok();
    assert_eq!(made["unused_expires_at"], 43_200_000 + 86_400_000);
    let id = id_of(&made["content_uri"]);
    downloads(&server, &bob, &id, "?timeout_ms=1").await.refused(504, "M_NOT_YET_UPLOADED");
    let fill = async |person: &Person, id: &str| {
        let path = format!("/_matrix/media/v3/upload/localhost/{id}?filename=tea.txt");
        server.send(with_body("PUT", &path, person, "text/plain", b"tea".to_vec())).await
    };
    fill(&bob, &id).await.refused(403, "M_FORBIDDEN");
    fill(&alice, "AAAAAAAAAAAAAAAAAAAAAAAA").await.refused(404, "M_NOT_FOUND");
    // Who waits for it gets it when it comes.
    let (came, filled) = tokio::join!(downloads(&server, &bob, &id, ""), async {
        tokio::task::yield_now().await;
        fill(&alice, &id).await
    });
    filled.ok();
    assert_eq!((came.bytes, &came.headers[header::CONTENT_TYPE]), ("tea".into(), &"text/plain".parse().unwrap()));
    fill(&alice, &id).await.refused(409, "M_CANNOT_OVERWRITE_MEDIA");
    // A name is not kept for ever.
    let late = id_of(&create(&alice).await.ok()["content_uri"]);
    clock.advance(86_400_001);
    fill(&alice, &late).await.refused(404, "M_NOT_FOUND");
    downloads(&server, &bob, &late, "").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn nobody_keeps_names_without_end() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    for _ in 0..100 {
        server.call("POST", "/_matrix/media/v1/create", Some(&alice.token), None).await.ok();
    }
    let path = "/_matrix/media/v1/create";
    server.call("POST", path, Some(&alice.token), None).await.refused(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_part_of_a_file_is_got() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    let id = uploads(&server, &alice, "video/mp4", b"0123456789".to_vec()).await;
    let part = async |range: &str| {
        let path = format!("/_matrix/client/v1/media/download/localhost/{id}");
        let mut request = request("GET", &path, Some(&alice.token), None);
        request.headers_mut().insert(header::RANGE, range.parse().unwrap());
        server.send(request).await
    };
    let middle = part("bytes=2-4").await;
    assert_eq!((middle.status.as_u16(), &middle.bytes[..]), (206, &b"234"[..]));
    assert_eq!(
        (&middle.headers["content-range"], &middle.headers["content-length"]),
        (&"bytes 2-4/10".parse().unwrap(), &"3".parse().unwrap())
    );
    assert_eq!(part("bytes=-2").await.bytes, "89");
    assert_eq!(part("bytes=0-1,4-5").await.status, 200);
    let beyond = part("bytes=10-").await;
    assert_eq!((beyond.status.as_u16(), &beyond.headers["content-range"]), (416, &"bytes */10".parse().unwrap()));
}

#[tokio::test]
async fn pictures_are_made_smaller_once() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    let id = uploads(&server, &alice, "image/png", picture(600, 300, image::ImageFormat::Png)).await;
    let thumbnail = async |id: &str, query: &str| {
        let path = format!("/_matrix/client/v1/media/thumbnail/localhost/{id}?{query}");
        server.call("GET", &path, Some(&alice.token), None).await
    };
    let before = server.files();
    for _ in 0..2 {
        let small = thumbnail(&id, "width=300&height=200&method=scale").await;
        assert_eq!((small.status.as_u16(), &small.headers[header::CONTENT_TYPE]), (200, &"image/png".parse().unwrap()));
        let small = image::load_from_memory(&small.bytes).unwrap();
        assert_eq!((small.width(), small.height()), (480, 240));
    }
    assert_eq!(server.files(), before + 1);
    let whole = thumbnail(&id, "width=640&height=480").await;
    assert_eq!(image::load_from_memory(&whole.bytes).unwrap().width(), 600, "it would have to grow");
    thumbnail(&id, "width=0&height=480").await.refused(400, "M_INVALID_PARAM");
    thumbnail(&id, "width=1&height=1&method=melt").await.refused(400, "M_INVALID_PARAM");
    let text = uploads(&server, &alice, "image/png", b"no picture".to_vec()).await;
    thumbnail(&text, "width=32&height=32&method=crop").await.refused(400, "M_UNKNOWN");
    let moving = uploads(&server, &alice, "image/gif", picture(400, 200, image::ImageFormat::Gif)).await;
    assert_eq!(
        thumbnail(&moving, "width=96&height=96&method=crop&animated=true").await.headers["content-type"],
        "image/gif"
    );
    assert_eq!(thumbnail(&moving, "width=96&height=96&method=crop").await.headers["content-type"], "image/png");
}

#[tokio::test]
async fn no_thumbnail_is_smaller_than_was_asked_for() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    let id = uploads(&server, &alice, "image/png", picture(900, 700, image::ImageFormat::Png)).await;
    let size = async |query: String| {
        let path = format!("/_matrix/client/v1/media/thumbnail/localhost/{id}?{query}");
        let answer = server.call("GET", &path, Some(&alice.token), None).await;
        let picture = image::load_from_memory(&answer.bytes).unwrap();
        (picture.width(), picture.height())
    };
    assert_eq!(size("width=850&height=650&method=scale".to_owned()).await, (900, 700));
    assert_eq!(size("width=320&height=240&method=scale".to_owned()).await, (320, 249));
    assert_eq!(size("width=640&height=480".to_owned()).await, (640, 498));
    assert_eq!(size("width=500&height=500&method=crop".to_owned()).await, (640, 640));
    assert_eq!(size("width=200&height=100&method=crop".to_owned()).await, (320, 160));
    // Whoever asks for many shapes fills no disk.
    for width in 1..60 {
        size(format!("width={width}&height=90&method=crop")).await;
    }
    assert!(server.files() <= 33, "{}", server.files());
}

#[tokio::test]
async fn what_nobody_asks_for_goes_and_what_is_hidden_is_not_shown() {
    let (server, clock) = at_noon().await;
    let alice = server.person("alice").await;
    let old = uploads(&server, &alice, "image/png", picture(400, 200, image::ImageFormat::Png)).await;
    let used = uploads(&server, &alice, "text/plain", b"used".to_vec()).await;
    let path = format!("/_matrix/client/v1/media/thumbnail/localhost/{old}?width=32&height=32&method=crop");
    server.call("GET", &path, Some(&alice.token), None).await;
    assert_eq!(server.files(), 3);
    clock.advance(10 * 60 * 60 * 1000);
    downloads(&server, &alice, &used, "").await;
    let media = server.hs.media();
    let purged = media.purge(Some(43_200_000 + 5 * 60 * 60 * 1000)).await.unwrap();
    assert_eq!((purged.files, server.files()), (1, 1), "the file and its thumbnail");
    downloads(&server, &alice, &old, "").await.refused(404, "M_NOT_FOUND");
    assert!(media.quarantine(&used, true).await.unwrap());
    downloads(&server, &alice, &used, "").await.refused(404, "M_NOT_FOUND");
    media.quarantine(&used, false).await.unwrap();
    assert_eq!(downloads(&server, &alice, &used, "").await.bytes, "used");
    assert!(media.delete(&used).await.unwrap());
    assert!(!media.delete(&used).await.unwrap());
    assert_eq!((server.files(), media.total().await.unwrap()), (0, (0, 0)));
}

#[tokio::test]
async fn calls_find_a_relay_if_there_is_one() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    assert_eq!(alice.get("voip/turnServer").await.ok(), json!({}));
    let turn = Turn {
        uris: vec!["turn:turn.example.org".to_owned()],
        secret: "north".to_owned(),
        lifetime: Duration::from_secs(100),
    };
    let server = Server::at(Arc::new(ManualClock::at(1_000_000)), |config| config.turn = Some(turn)).await;
    let alice = server.person("alice").await;
    let relay = alice.get("voip/turnServer").await.ok();
    assert_eq!((&relay["username"], &relay["ttl"]), (&json!("1100:@alice:localhost"), &json!(100)));
    assert_eq!(relay["uris"], json!(["turn:turn.example.org"]));
}

#[tokio::test]
async fn files_need_no_disk() {
    let clock = Arc::new(ManualClock::at(43_200_000));
    let server = Server::at(clock, |config| config.media_storage = MediaStorage::Memory).await;
    let alice = server.person("alice").await;
    let id = uploads(&server, &alice, "image/png", picture(400, 200, image::ImageFormat::Png)).await;
    let path = format!("/_matrix/client/v1/media/thumbnail/localhost/{id}?width=32&height=32&method=crop");
    for _ in 0..2 {
        let small = server.call("GET", &path, Some(&alice.token), None).await;
        assert_eq!(image::load_from_memory(&small.bytes).unwrap().width(), 32);
    }
    let mut part =
        request("GET", &format!("/_matrix/client/v1/media/download/localhost/{id}"), Some(&alice.token), None);
    part.headers_mut().insert(header::RANGE, "bytes=1-3".parse().unwrap());
    assert_eq!(server.send(part).await.bytes, "PNG");
    assert!(server.hs.media().delete(&id).await.unwrap());
    downloads(&server, &alice, &id, "").await.refused(404, "M_NOT_FOUND");
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn bytes_that_nobody_finds_are_cleared_away() {
    let (server, _) = at_noon().await;
    let alice = server.person("alice").await;
    let id = uploads(&server, &alice, "image/png", picture(400, 200, image::ImageFormat::Png)).await;
    let path = format!("/_matrix/client/v1/media/thumbnail/localhost/{id}?width=32&height=32&method=crop");
    server.call("GET", &path, Some(&alice.token), None).await;
    let folder = server.folder().join("media").join("ab");
    std::fs::create_dir_all(&folder).unwrap();
    for left in ["abandoned", "abandoned.32x32-crop", "abcdef.XXXX.part"] {
        std::fs::write(folder.join(left), b"left").unwrap();
    }
    std::fs::write(server.folder().join("media/README"), b"not ours").unwrap();
    std::fs::write(folder.join("not-ours.txt"), b"not ours").unwrap();
    let media = server.hs.media();
    assert_eq!(media.sweep(0).await.unwrap(), 0, "what is young may be about to be found");
    assert_eq!(media.sweep(i64::MAX).await.unwrap(), 3);
    assert_eq!(media.sweep(i64::MAX).await.unwrap(), 0);
    assert_eq!(server.files(), 4, "the file, its thumbnail, and what is not ours");
    assert_eq!(downloads(&server, &alice, &id, "").await.status, 200);
    let small = server.call("GET", &path, Some(&alice.token), None).await;
    assert_eq!(image::load_from_memory(&small.bytes).unwrap().width(), 32);
}
