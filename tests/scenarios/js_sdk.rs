//! The homeserver as clients on matrix-js-sdk meet it: `drivers/js/story.mjs` tells what they do.

use std::{fs, path::PathBuf, process::Stdio};

use landbridge_tests::{Homeserver, On};
use tokio::process::Command;

/// Where `tests/run` put the library.
fn environment() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("LANDBRIDGE_TEST_ENV").map_or_else(|| root.join("../target/test-env"), PathBuf::from).join("js")
}

#[tokio::test]
async fn two_people_on_matrix_js_sdk() {
    let homeserver = Homeserver::start(On::Embedded).await;
    let folder = environment();
    assert!(folder.join("node_modules/matrix-js-sdk").exists(), "tests/run installs matrix-js-sdk into {folder:?}");
    // Node looks for libraries beside the script.
    let script = folder.join(format!("story-{}.mjs", std::process::id()));
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/js/story.mjs"), &script).expect("a copy of the script");
    let told = Command::new("node")
        .arg(&script)
        .arg(homeserver.url().as_str().trim_end_matches('/'))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node");
    fs::remove_file(&script).expect("the copy goes");
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success() && out.contains("the story went well"), "{out}\n{err}");
}
