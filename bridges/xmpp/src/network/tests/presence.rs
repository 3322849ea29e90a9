//! Who is shown to whom.

use landbridge::network::{Ephemeral, EphemeralKind, Presence};

use super::*;

#[tokio::test]
async fn what_servers_send_beside_talk_means_nothing() {
    let scene = Scene::start().await;
    // Right behind the handshake: what the component may do (XEP-0356).
    for version in ["urn:xmpp:privilege:1", "urn:xmpp:privilege:2"] {
        let perm = Element::bare("perm", version).with("access", "roster").with("type", "both");
        scene.server.sends(
            from("message", "xmpp.test", "matrix.test", "").child(Element::bare("privilege", version).child(perm)),
        );
    }
    // On a subscription Prosody asks how she is, and says at once that he is there and that he is not.
    scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", "subscribe"));
    scene.settles().await;
    let before = scene.server.came().len();
    scene.server.sends(from("presence", "bob@xmpp.test/phone", "alice%here@matrix.test", ""));
    scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", "unavailable"));
    scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", "probe"));
    scene.settles().await;
    assert_eq!(scene.events(), []);
    assert_eq!(*scene.told.ephemeral.lock(), ["bob@xmpp.test is Online"]);
    let shown = |stanza: &Element| stanza.name() == "presence" && stanza.attr("to") == Some("bob@xmpp.test");
    let shown: Vec<_> = scene.server.came().split_off(before).into_iter().filter(shown).collect();
    assert!(matches!(&shown[..], [one] if one.attr("from") == Some(ALICE) && one.kind().is_empty()), "{shown:?}");
}

#[tokio::test]
async fn who_sees_a_matrix_user_is_told_how_they_are_and_nobody_else() {
    let scene = Scene::start().await;
    let she_is = async |presence, status: Option<&str>| {
        let kind = EphemeralKind::Presence { presence, status: status.map(str::to_owned) };
        let (user_id, own_session) = (user_id!("@alice:here").to_owned(), true);
        let event: Ephemeral<XmppNetwork> = landbridge::network::ephemeral::Ephemeral { user_id, own_session, kind };
        scene.alice.ephemeral(&event).await;
        scene.settles().await;
    };
    let shown = || {
        let came = scene.server.came().into_iter();
        let to_bob = came.filter(|stanza| stanza.name() == "presence" && stanza.attr("to") == Some("bob@xmpp.test"));
        let words =
            |stanza: Element| [stanza.kind().to_owned(), stanza.own_text("status").unwrap_or_default()].join(" ");
        to_bob.map(words).collect::<Vec<_>>()
    };
    let asks = |kind| scene.server.sends(from("presence", "bob@xmpp.test", "alice%here@matrix.test", kind));
    she_is(Presence::Unavailable, Some("asleep")).await;
    assert_eq!(shown(), [""; 0], "he did not ask");
    asks("subscribe");
    scene.settles().await;
    assert_eq!(shown(), ["subscribed ", " asleep", "subscribe "]);
    she_is(Presence::Online, Some("awake")).await;
    she_is(Presence::Online, Some("awake")).await;
    she_is(Presence::Offline, None).await;
    assert_eq!(shown()[3..], [" awake", "unavailable "], "each once");
    asks("probe");
    scene.settles().await;
    assert_eq!(shown()[5..], ["unavailable "], "as she is");
    asks("unsubscribe");
    scene.settles().await;
    assert_eq!(shown()[6..], ["unsubscribed ", "unavailable "]);
    she_is(Presence::Online, Some("here again")).await;
    assert_eq!(shown().len(), 8, "he does not see her any more");
}

/// Their server takes somebody for a subscriber who is none, or is none any more.
#[tokio::test]
async fn a_probe_of_somebody_who_is_not_subscribed_is_told_so() {
    let mut scene = Scene::start().await;
    for ours in ["alice%here@matrix.test", "bridge@matrix.test"] {
        let asks = async |scene: &Scene, who: &str, kind: &str| {
            let before = scene.server.came().len();
            scene.server.sends(from("presence", who, ours, kind));
            scene.settles().await;
            let told = scene.server.came().split_off(before).into_iter().filter(|stanza| stanza.name() == "presence");
            told.map(|stanza| format!("{} {}", stanza.attr("to").unwrap(), stanza.kind())).collect::<Vec<_>>()
        };
        assert_eq!(asks(&scene, "bob@xmpp.test/phone", "probe").await, ["bob@xmpp.test unsubscribed"]);
        // Nothing is concluded from a question.
        assert_eq!(asks(&scene, "bob@xmpp.test/phone", "probe").await, ["bob@xmpp.test unsubscribed"]);
        // Rooms and servers are no people.
        assert_eq!(asks(&scene, &format!("{TEA}/bob"), "probe").await, [""; 0]);
        assert_eq!(asks(&scene, "xmpp.test", "probe").await, [""; 0]);
        asks(&scene, "bob@xmpp.test", "subscribe").await;
        assert_eq!(asks(&scene, "bob@xmpp.test/phone", "probe").await, ["bob@xmpp.test "]);
        assert_eq!(asks(&scene, "carol@xmpp.test", "probe").await, ["carol@xmpp.test unsubscribed"]);
        // Also after a restart.
        scene.lives_again().await;
        scene.listener.enter(&tea()).await.unwrap();
        assert_eq!(asks(&scene, "bob@xmpp.test/phone", "probe").await, ["bob@xmpp.test "]);
        asks(&scene, "bob@xmpp.test", "unsubscribe").await;
        assert_eq!(asks(&scene, "bob@xmpp.test/phone", "probe").await, ["bob@xmpp.test unsubscribed"]);
    }
}
