//! The homeserver as clients on matrix-js-sdk meet it: what they do is told in `drivers/js`.

use landbridge_tests::{Homeserver, NodeScript, On};

async fn story(script: &str) {
    let homeserver = Homeserver::start(On::Embedded).await;
    let url = homeserver.url().to_string();
    NodeScript::of(script).tells(&[url.trim_end_matches('/')], "the story went well").await;
}

#[tokio::test]
async fn two_people_on_matrix_js_sdk() {
    story("story.mjs").await;
}

/// With its own cryptography: cross-signing, the backup of keys, a second device.
#[tokio::test]
async fn two_people_with_secrets_on_matrix_js_sdk() {
    story("secrets.mjs").await;
}

/// One of them on simplified sliding sync, in plain rooms and in encrypted ones.
#[tokio::test]
async fn somebody_on_sliding_sync_of_matrix_js_sdk() {
    story("sliding.mjs").await;
}
