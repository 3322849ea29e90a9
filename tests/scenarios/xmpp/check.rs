//! `landbridge check` finds what is wrong on the XMPP side, and says which line to change.

use landbridge_tests::{Landbridge, On, Prosody, XmppDeployment};
use serde_json::json;

/// What `landbridge check` says, and whether all is well.
fn check(d: &XmppDeployment) -> (bool, String) {
    let config = d.config();
    let checked = Landbridge::run(d.folder(), ["check", "--config", &config.display().to_string()]);
    (checked.status.success(), String::from_utf8_lossy(&checked.stdout).into_owned())
}

#[tokio::test]
async fn over_prosody_everything_is_as_it_must_be() {
    let mut d = XmppDeployment::over_prosody(On::Embedded).await;
    d.bridge.stop().await;
    let (well, said) = check(&d);
    assert!(well, "{said}");
    for wanted in [
        "component:",
        "rooms: muc.xmpp.test lets the bridge in",
        "upload: upload.xmpp.test stores files",
        "conflict: a new link takes the place",
        "stanzas: the server takes",
    ] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    // The network's section alone is all that `landbridge up` wants.
    let config = std::fs::read_to_string(d.config()).expect("the configuration");
    let mut config: serde_json::Value = serde_yaml::from_str(&config).expect("YAML");
    let section = json!({ "xmpp": config["xmpp"].take() });
    std::fs::write(d.folder().join("alone.yaml"), section.to_string()).expect("the section");
    let checked = Landbridge::run(d.folder(), ["check", "--up", "--config", "alone.yaml"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("rooms: muc.xmpp.test lets the bridge in"), "{said}");
    assert!(said.ends_with("All is well: `landbridge up --bridge alone.yaml`\n"), "{said}");
}

#[tokio::test]
async fn over_ejabberd_everything_is_as_it_must_be() {
    let mut d = XmppDeployment::over_ejabberd(On::Embedded).await;
    d.bridge.stop().await;
    let (well, said) = check(&d);
    assert!(well, "{said}");
    for wanted in [
        "component:",
        "rooms: muc.ej.test lets the bridge in",
        "upload: upload.ej.test stores files",
        "conflict: the server takes several",
        "stanzas: the server takes",
    ] {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
}

#[tokio::test]
async fn each_fault_comes_with_the_line_that_mends_it() {
    let prosody = Prosody::start_strict().await;
    let mut d = Box::pin(XmppDeployment::beside(prosody, On::Embedded, json!({}))).await;
    d.bridge.stop().await;
    let (well, said) = check(&d);
    assert!(!well, "{said}");
    for wanted in ["component_conflict_resolve = \"kick_old\"", "component_stanza_size_limit", "http_file_share_access"]
    {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
    }
    // Services are looked for where the server lists them, and where the configuration says.
    let text = std::fs::read_to_string(d.config()).expect("the configuration");
    let mut config: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    config["xmpp"]["media"]["upload_service"] = json!("muc.xmpp.test");
    std::fs::write(d.config(), config.to_string()).expect("the configuration");
    let (_, said) = check(&d);
    assert!(said.contains("no upload service: muc.xmpp.test (`media.upload_service`) is none"), "{said}");
    std::fs::write(d.config(), text.replace("s3cret", "not the secret")).expect("the configuration");
    let (well, said) = check(&d);
    assert!(!well && said.contains("component_secret = "), "{said}");
}
