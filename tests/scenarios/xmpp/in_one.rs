//! Homeserver and bridges in one process.

use landbridge_tests::{IrcUser, Ngircd, Prosody, XmppDeployment, eventually};
use serde_json::json;

#[tokio::test]
async fn one_process_serves_both_networks() {
    let (prosody, ngircd) = (Prosody::start().await, Ngircd::start().await);
    let irc = ngircd.address().to_string();
    let more = ["--irc", &irc, "--irc-unlimited", "--channel", "#lobby"];
    let mut d = Box::pin(XmppDeployment::in_one_with(prosody, json!({}), &more)).await;
    let bridge = &mut d.bridge;
    let log = eventually("everything is said", || {
        let log = bridge.log();
        async move { log.contains("Ctrl-C").then_some(log) }
    })
    .await;
    for wanted in ["XMPP", "#xmpp_room=40muc.xmpp.test:localhost", "#irc_#lobby:localhost"] {
        assert!(log.contains(wanted), "{wanted} is said:\n{log}");
    }

    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    let ingrid = IrcUser::connect(ngircd.address(), "ingrid").await;
    ingrid.joins("#lobby").await;
    let lobby = alice.joins("#irc_#lobby:localhost").await;
    room.says("to XMPP").await;
    bob.sees(&tea, "alice", "to XMPP").await;
    bob.says(&tea, "from XMPP").await;
    room.sees(&ghost, "from XMPP").await;
    lobby.says("to IRC").await;
    ingrid.sees("#lobby", "alice", "to IRC").await;
    ingrid.says("#lobby", "from IRC");
    lobby.sees("@irc_ingrid:localhost", "from IRC").await;
    assert!(d.bridge.stop().await.success());
}
