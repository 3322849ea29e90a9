//! Files: stored where each side keeps its own.

use landbridge_tests::{On, Prosody, XmppDeployment, http};
use serde_json::json;

use super::everywhere::everywhere;

everywhere! {
    a_file_from_matrix_is_stored_at_the_xmpp_server,
    a_file_from_xmpp_is_stored_in_matrix,
    a_caption_that_changes_changes_on_the_other_side,
}

async fn a_caption_that_changes_changes_on_the_other_side(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    let mxc = alice.uploads("leaves", "text/plain", "tea.txt").await;
    let file = |caption: &str| json!({ "msgtype": "m.file", "body": caption, "filename": "tea.txt", "url": mxc });
    let edit = |of: &str, caption: &str| {
        let mut content = file(&format!("* {caption}"));
        content["m.new_content"] = file(caption);
        content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": of });
        content
    };
    let corrects = |stanza: &landbridge_tests::Stanza, of: &str| {
        assert!(
            stanza.xml().contains("message-correct") && stanza.xml().contains(&format!("id=\"{of}\"")),
            "{}",
            stanza.xml()
        );
    };
    let said = room.sends(file("green tea")).await;
    let caption = bob.sees(&tea, "alice", "green tea").await;
    bob.sees_some(&tea, "alice", "a link", |stanza| stanza.body().starts_with("http")).await;
    room.sends(edit(&said, "black tea")).await;
    corrects(&bob.sees(&tea, "alice", "black tea").await, caption.id());
    // One that had none.
    let said = room.sends(file("tea.txt")).await;
    let link = bob.sees_some(&tea, "alice", "a link", |stanza| stanza.body().starts_with("http")).await;
    room.sends(edit(&said, "white tea")).await;
    let both =
        bob.sees_some(&tea, "alice", "words and a link", |stanza| stanza.body().starts_with("white tea\nhttp")).await;
    corrects(&both, link.id());
    assert!(both.xml().contains("jabber:x:oob"), "{}", both.xml());

    let stored = bob.stores("cake.txt", "text/plain", "crumbs").await;
    let share = format!("<x xmlns='jabber:x:oob'><url>{stored}</url></x>");
    let id = bob.says_with(&tea, Some("my cake"), &share).await;
    let words = room.sees(&ghost, "my cake").await;
    room.sees_some(&ghost, "a file", |event| event.content()["msgtype"] == "m.file").await;
    let replace = format!("{share}<replace xmlns='urn:xmpp:message-correct:0' id='{id}'/>");
    bob.says_with(&tea, Some("our cake"), &replace).await;
    let edit = room.sees_event("the correction", |event| event.content()["m.new_content"]["body"] == "our cake").await;
    assert_eq!(edit.content()["m.relates_to"]["event_id"], words.id());
    assert_eq!(edit.content()["m.new_content"]["msgtype"], "m.text");
}

async fn a_file_from_matrix_is_stored_at_the_xmpp_server(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    let mxc = alice.uploads("some text", "text/plain", "notes.txt").await;
    let info = json!({ "mimetype": "text/plain", "size": 9 });
    room.sends(json!({ "msgtype": "m.file", "body": "notes.txt", "url": mxc, "info": info })).await;
    let stanza = bob.sees_some(&tea, "alice", "a link", |stanza| stanza.body().starts_with("http")).await;
    assert!(stanza.xml().contains("jabber:x:oob") && stanza.xml().contains("urn:xmpp:sfs:0"), "{}", stanza.xml());
    let service = format!(":{}/", d.xmpp.http().port());
    assert!(stanza.body().contains(&service), "stored at the server's upload service: {}", stanza.body());
    let fetched = http().get(stanza.body()).send().await.expect("an answer");
    assert_eq!(fetched.text().await.expect("a text"), "some text");
}

async fn a_file_from_xmpp_is_stored_in_matrix(d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    // As old clients say it (XEP-0066), and new ones (XEP-0447), with words beside it.
    let notes = bob.stores("notes.txt", "text/plain", "some notes").await;
    bob.says_with(&tea, Some(&notes), &format!("<x xmlns='jabber:x:oob'><url>{notes}</url></x>")).await;
    let event = room.sees_some(&ghost, "a file", |event| event.content()["msgtype"] == "m.file").await;
    assert_eq!(event.body(), "notes.txt", "{event:?}");
    let mxc = event.content()["url"].as_str().unwrap_or_default();
    assert!(mxc.starts_with("mxc://localhost/"), "{event:?}");
    assert_eq!(alice.downloads(mxc).await, "some notes");

    let picture = bob.stores("tea.png", "image/png", "not quite a picture").await;
    let sharing = format!(
        "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>\
         <media-type>image/png</media-type><name>tea.png</name></file><sources>\
         <url-data xmlns='http://jabber.org/protocol/url-data' target='{picture}'/></sources></file-sharing>"
    );
    bob.says_with(&tea, Some(&picture), &sharing).await;
    let event = room.sees_some(&ghost, "a picture", |event| event.content()["msgtype"] == "m.image").await;
    assert_eq!(event.content()["info"]["mimetype"], "image/png");
    assert_eq!(alice.downloads(event.content()["url"].as_str().unwrap_or_default()).await, "not quite a picture");

    // What cannot be had stays a link, and what comes after it comes after it.
    let nothing = format!("http://localhost:{}/nothing.png", d.xmpp.http().port());
    bob.says_with(&tea, Some(&nothing), &format!("<x xmlns='jabber:x:oob'><url>{nothing}</url></x>")).await;
    bob.says(&tea, "no picture").await;
    room.sees(&ghost, &nothing).await;
    room.sees(&ghost, "no picture").await;
    let order: Vec<_> = room.heard().into_iter().map(|(_, text)| text).collect();
    assert_eq!(order, ["notes.txt", "tea.png", &nothing, "no picture"]);

    // The same between two.
    let private = bob.stores("secret.txt", "text/plain", "for her alone").await;
    let oob = format!("<x xmlns='jabber:x:oob'><url>{private}</url></x>");
    bob.messages(&d.puppet("alice"), "chat", Some(&private), &oob).await;
    let chat = alice.accepts_invitation(&d.ghost("bob")).await;
    let event = chat.sees_some(&d.ghost("bob"), "a file", |event| event.content()["msgtype"] == "m.file").await;
    assert_eq!(alice.downloads(event.content()["url"].as_str().unwrap_or_default()).await, "for her alone");
}

#[tokio::test]
async fn nobody_has_the_bridge_call_private_addresses() {
    let guarded = json!({ "bridge": { "media": { "fetch_private": false } } });
    let d = Box::pin(XmppDeployment::beside(Prosody::start().await, On::Embedded, guarded)).await;
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    // By name and by number: the file is there, but stays where it is.
    let stored = bob.stores("notes.txt", "text/plain", "some notes").await;
    for url in [stored.clone(), stored.replace("localhost", "127.0.0.1"), stored.replace("localhost", "[::1]")] {
        bob.says_with(&tea, Some(&url), &format!("<x xmlns='jabber:x:oob'><url>{url}</url></x>")).await;
        let event = room.sees(&ghost, &url).await;
        assert_eq!(event.content()["msgtype"], "m.text");
    }
}
