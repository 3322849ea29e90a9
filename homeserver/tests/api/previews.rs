//! What pages that people link to say of themselves, and which are never fetched.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    response::{Html, Redirect},
    routing::get,
};
use http::header;
use landbridge_homeserver::outward::Reach;
use serde_json::json;

use crate::support::{Answer, Person, Server};

/// Pages at an address of this machine.
struct Web {
    base: String,
    asked: Arc<AtomicUsize>,
}

impl Web {
    /// At `address`, with links to `elsewhere`.
    async fn at(address: &str, elsewhere: &str) -> Self {
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let picture = || async { ([(header::CONTENT_TYPE, "image/png")], crate::support::png(40, 20)) };
        let away = format!("{elsewhere}/page");
        let page = "<title>Tea &amp; more</title><meta property='og:site_name' content='Leaves'>\
                    <meta name=description content='All of it'><meta property='og:image' content='picture.png'>";
        let router = Router::new()
            .route("/page", get(move || async move { Html(page) }))
            .route("/picture.png", get(picture))
            .route("/moved", get(|| async { Redirect::permanent("/page") }))
            .route("/round", get(|| async { Redirect::permanent("/round") }))
            .route("/away", get(move || async move { Redirect::temporary(&away) }))
            .route("/steals", get(|| async { Redirect::temporary("file:///etc/passwd") }))
            .route("/long", get(|| async { Html(format!("<title>long</title>{}", "<p>".repeat(2_000_000))) }))
            .route("/plain", get(|| async { "only text" }))
            .route("/no-picture", get(|| async { Html("<meta property=og:image content=/plain><title>x</title>") }));
        let count = asked.clone();
        let router = router.layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(request)
        }));
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { base, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn allowing(networks: &[&str]) -> Reach {
    Reach::PublicAnd(networks.iter().map(|network| network.parse().unwrap()).collect())
}

async fn server(reach: Reach) -> (Server, Person) {
    crate::support::tls();
    let server = Server::with(|config| config.url_previews = Some(reach)).await;
    let alice = server.person("alice").await;
    (server, alice)
}

async fn preview(alice: &Person, url: &str) -> Answer {
    let url: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    alice.get_v1(&format!("media/preview_url?url={url}")).await
}

#[tokio::test]
async fn a_page_says_what_it_is_and_its_picture_is_kept() {
    let web = Web::at("127.0.0.1", "").await;
    let (server, alice) = server(allowing(&["127.0.0.0/8"])).await;
    let told = preview(&alice, &format!("{}/moved", web.base)).await.ok();
    assert_eq!(
        (&told["og:title"], &told["og:site_name"], &told["og:description"]),
        (&json!("Tea & more"), &json!("Leaves"), &json!("All of it"))
    );
    assert_eq!((&told["og:image:width"], &told["og:image:height"]), (&json!(40), &json!(20)));
    assert_eq!((&told["og:image:type"], server.files()), (&json!("image/png"), 1));
    let id = told["og:image"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    let picture = alice.get_v1(&format!("media/download/{id}")).await;
    assert_eq!(told["matrix:image:size"], picture.bytes.len());
    // What was seen is remembered for a while.
    let before = web.asked();
    assert_eq!(preview(&alice, &format!("{}/moved", web.base)).await.ok(), told);
    assert_eq!(web.asked(), before);
    assert_eq!(preview(&alice, &format!("{}/picture.png", web.base)).await.ok()["og:title"], "picture.png");
    assert_eq!(preview(&alice, &format!("{}/plain", web.base)).await.ok(), json!({}));
    assert_eq!(preview(&alice, &format!("{}/long", web.base)).await.ok(), json!({ "og:title": "long" }));
    assert_eq!(preview(&alice, &format!("{}/no-picture", web.base)).await.ok(), json!({ "og:title": "x" }));
    for gone in ["/round", "/nowhere", "/steals"] {
        preview(&alice, &format!("{}{gone}", web.base)).await.refused(502, "M_UNKNOWN");
    }
    for wrong in ["file:///etc/passwd", "tea", "javascript:alert(1)", &format!("http://x/{}", "x".repeat(5000))] {
        preview(&alice, wrong).await.refused(400, "M_INVALID_PARAM");
    }
    let path = "/_matrix/client/v1/media/preview_url?url=http://x";
    server.call("GET", path, None, None).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn nothing_of_the_own_network_is_fetched() {
    let inside = Web::at("127.0.0.2", "").await;
    let outside = Web::at("127.0.0.1", &inside.base).await;
    let port = inside.base.rsplit(':').next().unwrap();
    let (_server, alice) = server(Reach::public()).await;
    for host in
        ["127.0.0.2", "localhost", "2130706434", "0x7f000002", "[::ffff:127.0.0.2]", "127.2", "0.0.0.0", "[::1]"]
    {
        preview(&alice, &format!("http://{host}:{port}/page")).await.refused(502, "M_UNKNOWN");
    }
    assert_eq!(inside.asked(), 0);
    // What may be fetched leads to what may not.
    let (_server, alice) = self::server(allowing(&["127.0.0.1/32"])).await;
    preview(&alice, &format!("{}/page", outside.base)).await.ok();
    preview(&alice, &format!("{}/away", outside.base)).await.refused(502, "M_UNKNOWN");
    assert_eq!(inside.asked(), 0);
    // A name is looked at when it is looked up, whatever it was before.
    let (_server, alice) = self::server(allowing(&["127.0.0.2/32"])).await;
    let port = outside.base.rsplit(':').next().unwrap();
    let before = outside.asked();
    preview(&alice, &format!("http://localhost:{port}/page")).await.refused(502, "M_UNKNOWN");
    assert_eq!(outside.asked(), before);
}

#[tokio::test]
async fn pages_are_not_fetched_unless_the_operator_says_so() {
    let web = Web::at("127.0.0.1", "").await;
    let server = Server::start().await;
    let alice = server.person("alice").await;
    preview(&alice, &format!("{}/page", web.base)).await.refused(404, "M_NOT_FOUND");
    assert_eq!(web.asked(), 0);
}
