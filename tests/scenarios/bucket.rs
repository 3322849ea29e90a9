//! Files of the homeserver in a bucket, which a service on Node keeps that speaks S3 and checks signatures.

use std::{path::Path, process::Stdio};

use landbridge_tests::{Homeserver, MatrixUser, NodeScript, Workdir, http};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// How many files lie in a folder, however deep.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn files_lie_in_a_bucket() {
    let (folder, script) = (Workdir::new("bucket"), NodeScript::of("bucket.mjs"));
    let mut service = script.command().arg(folder.path()).stdout(Stdio::piped()).spawn().expect("node");
    let mut lines = BufReader::new(service.stdout.take().expect("piped")).lines();
    let told = lines.next_line().await.expect("a line").expect("a line");
    let port = serde_json::from_str::<Value>(&told).expect("JSON")["port"].as_u64().expect("a port");
    let behaviour = format!(
        "media:\n  s3: {{ bucket: media, endpoint: 'http://127.0.0.1:{port}', access_key_id: S3RVER, \
         secret_access_key: S3RVER, prefix: of/landbridge }}\n"
    );
    let mut homeserver = Homeserver::start_behaving(&behaviour).await;
    let alice = MatrixUser::register(&homeserver.url(), "alice").await;
    let upload = async |bytes: Vec<u8>| {
        let sent = http().post(homeserver.path("/_matrix/media/v3/upload")).bearer_auth(&alice.token);
        let answer = sent.header("content-type", "video/mp4").body(bytes).send().await.expect("an answer");
        let answer: Value = answer.error_for_status().expect("it is taken").json().await.expect("JSON");
        answer["content_uri"].as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("an address").to_owned()
    };
    // In one part, and in several.
    let short = upload(b"short".to_vec()).await;
    let bytes: Vec<u8> = (0..12_u32 * 1024 * 1024).map(|number| (number >> 12).to_le_bytes()[0]).collect();
    let long = upload(bytes.clone()).await;
    assert_eq!(files(&homeserver.data().join("media")), 0, "nothing lies on the disk");
    assert!(files(&folder.path().join("media")) >= 2, "the bucket has them");

    homeserver.killed_and_started_again().await;
    let download = async |id: &str, range: Option<&str>| {
        let asked = http().get(homeserver.path(&format!("/_matrix/client/v1/media/download/{id}")));
        let asked = asked.bearer_auth(&alice.token).header("range", range.unwrap_or("all"));
        let answer = asked.send().await.expect("an answer").error_for_status().expect("it is there");
        answer.bytes().await.expect("bytes")
    };
    assert_eq!(download(&short, None).await, "short");
    assert!(download(&long, None).await == bytes, "the whole file comes back");
    let middle = 6 * 1024 * 1024;
    let part = download(&long, Some(&format!("bytes={}-{}", middle, middle + 9_999))).await;
    assert!(part == bytes[middle..middle + 10_000], "a part comes back");

    // While the bucket is away, that is what is said, and everything else goes on.
    service.kill().await.expect("it runs");
    let asked = http().get(homeserver.path(&format!("/_matrix/client/v1/media/download/{short}")));
    let answer = asked.bearer_auth(&alice.token).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    alice.creates_room(serde_json::json!({})).await;
}
