//! Matrix users who ask people into rooms, and what those answer.

use landbridge::network::Membership;

use super::*;
use crate::convert::ids::XmppUser as Person;

const CAROL: &str = "carol@xmpp.test";

fn user(jid: &str) -> Person {
    Person::of_jid(&Jid::parse(jid).unwrap())
}

impl Scene {
    /// What is to be done when alice invites somebody.
    fn invitation(&self, on: Person, own_session: bool) -> RemoteOp<XmppNetwork> {
        let mut event = self.event("");
        event.sender.own_session = own_session;
        event.kind = MatrixKind::Act { on, membership: Membership::Invite, reason: Some("there is tea".to_owned()) };
        self.network.to_remote(&event, &self.context()).unwrap().remove(0)
    }

    async fn alice_invites(&self, on: Person) -> Result<(), SendError> {
        self.alice.deliver(&self.invitation(on, true), &KEY, 1).await.map(drop)
    }

    /// Who asked the room to invite whom, and why.
    fn invitations(&self) -> Vec<(String, String, String)> {
        let came = self.server.came().into_iter().filter(|stanza| stanza.attr("to") == Some(TEA));
        let invite = |stanza: Element| {
            let invite = stanza.get_child("x", ns::MUC_USER)?.get_child("invite", ns::MUC_USER)?;
            let (from, to) = (stanza.attr("from")?.to_owned(), invite.attr("to")?.to_owned());
            Some((from, to, invite.own_text("reason").unwrap_or_default()))
        };
        came.filter_map(invite).collect()
    }
}

fn invited(by: &str, whom: &str, why: &str) -> (String, String, String) {
    (by.to_owned(), whom.to_owned(), why.to_owned())
}

#[tokio::test]
async fn the_room_invites_in_the_name_of_who_does_where_they_are_in_it() {
    let scene = Scene::start().await;
    scene.alice_invites(user(CAROL)).await.unwrap();
    scene.listener.deliver(&scene.invitation(user(CAROL), false), &KEY, 1).await.unwrap();
    scene.alice_says("hello").await.unwrap();
    scene.alice_invites(user(CAROL)).await.unwrap();
    let through_the_bridge = invited(LISTENER, CAROL, "alice invites you: there is tea");
    let herself = invited(ALICE, CAROL, "there is tea");
    assert_eq!(scene.invitations(), [through_the_bridge.clone(), through_the_bridge, herself]);
    assert_eq!(scene.events(), []);
}

#[tokio::test]
async fn who_is_in_the_room_needs_no_invitation_and_whose_address_nobody_knows_gets_none() {
    let scene = Scene::start().await;
    let bob = Person::of_occupant(TEA, "b");
    scene.server.sends(occupant("bob", "", "b"));
    scene.settles().await;
    let before = scene.events().len();
    scene.alice_invites(bob.clone()).await.unwrap();
    let told = scene.events().split_off(before);
    let is_there = matches!(
        &told[..],
        [RemoteEvent::<XmppNetwork>::Member { who, membership: Membership::Join, .. }] if *who == bob
    );
    assert!(is_there, "{told:?}");
    scene.server.sends(occupant("bob", "unavailable", "b"));
    scene.settles().await;
    let refused = scene.alice_invites(bob).await;
    let Err(SendError::Rejected(reject)) = refused else { panic!("{refused:?}") };
    assert!(reject.to_string().contains("nobody knows their address"), "{reject}");
    assert_eq!(scene.invitations(), []);
    // An address that no Matrix id holds is known from what its owner wrote.
    let long = format!("{}@xmpp.test", "b".repeat(300));
    scene.server.sends(from("message", &format!("{long}/phone"), ALICE, "chat").child(body("hello")));
    scene.hears("hello").await;
    scene.alice_invites(user(&long)).await.unwrap();
    assert_eq!(scene.invitations(), [invited(LISTENER, &long, "alice invites you: there is tea")]);
}

#[tokio::test]
async fn what_the_room_refuses_the_bridge_may_do_or_who_invites_hears_of_it() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    scene.server.refuses_invitations(ALICE, "forbidden");
    scene.alice_invites(user(CAROL)).await.unwrap();
    let by: Vec<_> = scene.invitations().into_iter().map(|(by, ..)| by).collect();
    assert_eq!(by, [ALICE, LISTENER]);
    scene.server.refuses_invitations(LISTENER, "not-acceptable");
    let refused = scene.alice_invites(user(CAROL)).await;
    let Err(SendError::Rejected(reject)) = refused else { panic!("{refused:?}") };
    assert_eq!(reject.to_string(), "the room does not pass the invitation on: not-acceptable");
    // Nothing tells whether somebody was invited.
    let op = scene.invitation(user(CAROL), true);
    assert_eq!(scene.alice.reconcile(&op, &KEY, NOON).await, Landed::CannotTell);
}

#[tokio::test]
async fn who_declines_is_told_of_where_the_room_says_so() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    let reason = || Element::bare("reason", ns::MUC_USER).with_text("too busy");
    let declines = |room: &str, who: &str, to: &str| {
        let decline = Element::bare("decline", ns::MUC_USER).with("from", who).child(reason());
        from("message", room, to, "").child(Element::bare("x", ns::MUC_USER).child(decline))
    };
    // Who says so themselves, or by way of another room, or of ours, says nothing.
    scene.server.sends(declines(&format!("{TEA}/bob"), CAROL, ALICE));
    scene.server.sends(declines("cake@muc.test", CAROL, ALICE));
    scene.server.sends(declines(TEA, "bert%here@matrix.test", ALICE));
    for to in [ALICE, "alice%here@matrix.test", LISTENER] {
        scene.server.sends(declines(TEA, &format!("{CAROL}/phone"), to));
    }
    scene.settles().await;
    let reason = || Some("too busy".to_owned());
    let declined = || RemoteEvent::<XmppNetwork>::Declined { room: tea(), who: user(CAROL), reason: reason() };
    assert_eq!(scene.events(), [declined(), declined(), declined()]);
}

#[tokio::test]
async fn where_an_open_room_passes_nothing_on_who_invites_says_so_themselves() {
    let scene = Scene::start().await;
    scene.alice_says("hello").await.unwrap();
    scene.server.refuses_invitations(ALICE, "forbidden");
    scene.server.refuses_invitations(LISTENER, "not-allowed");
    scene.alice_invites(user(CAROL)).await.unwrap();
    let direct = || {
        let came = scene.server.came().into_iter().filter(|stanza| stanza.attr("to") == Some(CAROL));
        let invite = |stanza: Element| {
            let invite = stanza.get_child("x", ns::CONFERENCE)?;
            let part = |name| invite.attr(name).map(str::to_owned);
            Some((stanza.attr("from")?.to_owned(), part("jid")?, part("reason")?))
        };
        came.filter_map(invite).collect::<Vec<_>>()
    };
    scene.settles().await;
    assert_eq!(direct(), [invited(ALICE, TEA, "there is tea")]);
    // Behind a closed door nobody is invited by others than the room.
    scene.server.is_for("muc_membersonly");
    let refused = scene.alice_invites(user(CAROL)).await;
    let Err(SendError::Rejected(reject)) = refused else { panic!("{refused:?}") };
    assert_eq!(reject.to_string(), "the room does not pass the invitation on: not-allowed");
    scene.settles().await;
    assert_eq!(direct().len(), 1);
}
