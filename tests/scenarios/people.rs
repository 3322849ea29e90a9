//! Who is there: joins, parts, quits, kicks and nicks, on both sides.

use std::time::Duration;

use landbridge_tests::{Deployment, Inspircd, Irc, IrcUser, MatrixUser, On, Room, RoomEvent, With, eventually};

use serde_json::json;

use crate::everywhere::{LOBBY, everywhere, said};

everywhere! {
    who_is_on_irc_is_a_member,
    people_on_irc_come_and_go,
    a_nick_change_does_not_show_two_people,
    who_leaves_on_matrix_leaves_on_irc,
    a_kick_on_irc_reaches_matrix,
    who_was_put_out_comes_back_once_p3,
    who_is_invited_in_matrix_is_invited_on_irc,
    ranks_on_irc_are_power_in_matrix_p7,
    a_room_of_their_own_carries_topics_kicks_and_ranks_both_ways,
    a_taken_nick_is_left_to_its_owner_p2,
    a_name_longer_than_nicks_may_be_p12,
    renaming_oneself_often_is_no_nick_flood_p16,
    private_messages_cross_both_ways,
    a_second_private_room_works_too_p17,
    who_left_a_private_room_is_invited_by_the_next_word,
}

async fn who_is_on_irc_is_a_member(d: Deployment) {
    let _bob = d.irc_in(LOBBY, "bob").await;
    let _carol = d.irc_in(LOBBY, "Carol_[1]").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    d.until_member(&lobby, "bob").await;
    // Upper case and brackets may not stand in a user id; the name that is shown keeps them.
    eventually("Carol is a member under her own name", || async {
        lobby.members().await.into_values().flatten().find(|name| name.starts_with("Carol_[1]"))
    })
    .await;
    for id in lobby.members().await.into_keys() {
        let localpart = id.trim_start_matches('@').split(':').next().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c);
        assert!(localpart.chars().all(allowed), "{id} is a valid user id");
    }
}

async fn people_on_irc_come_and_go(d: Deployment) {
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    for (nick, how) in [("parter", "part"), ("quitter", "quit")] {
        let person = d.irc_in(LOBBY, nick).await;
        lobby.sees_membership(&d.ghost(nick), "join").await;
        person.says(LOBBY, "hello");
        lobby.sees(&d.ghost(nick), "hello").await;
        match how {
            "part" => person.parts(LOBBY, "bye"),
            _ => person.quits("bye"),
        }
        lobby.sees_membership(&d.ghost(nick), "leave").await;
    }
}

async fn a_nick_change_does_not_show_two_people(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    d.until_member(&lobby, "bob").await;
    bob.is_now("robert").await;
    bob.says(LOBBY, "under a new name");
    let event = lobby.sees_event("the line", |event| event.body() == "under a new name").await;
    let shown = eventually("only robert is shown", || async {
        let mut names: Vec<_> = lobby.members().await.into_values().flatten().collect();
        names.retain(|name| name.starts_with("bob") || name.starts_with("robert"));
        (names.len() == 1 && names.iter().all(|name| name.starts_with("robert"))).then_some(names)
    })
    .await;
    assert_eq!(shown.len(), 1);
    assert!(lobby.members().await.contains_key(event.sender()), "who said it is a member");
}

async fn who_leaves_on_matrix_leaves_on_irc(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hello").await;
    bob.sees(LOBBY, "alice", "hello").await;
    assert!(bob.names(LOBBY).await.contains(&"alice".to_owned()));
    lobby.leaves().await;
    bob.sees_line("alice leaves", |line| line.nick == "alice" && ["PART", "QUIT"].contains(&line.command.as_str()))
        .await;
}

async fn a_kick_on_irc_reaches_matrix(d: Deployment) {
    // Who is first in a channel is its operator: here the bridge's bot is, so the channel is another.
    let bob = d.irc_in("#ops", "bob").await;
    let carol = d.irc_in("#ops", "carol").await;
    let alice = d.matrix("alice").await;
    let ops = d.join(&alice, "#ops").await;
    d.until_member(&ops, "carol").await;
    ops.says("hello").await;
    bob.sees("#ops", "alice", "hello").await;

    bob.kicks("#ops", "carol", "enough");
    carol.sees_line("the kick", |line| line.command == "KICK").await;
    ops.sees_membership(&d.ghost("carol"), "leave").await;
    bob.kicks("#ops", "alice", "you too");
    ops.sees_membership(&alice.id, "leave").await;
}

async fn who_was_put_out_comes_back_once_p3(d: Deployment) {
    let bob = d.irc_in("#ops", "bob").await;
    let carol = d.irc_in("#ops", "carol").await;
    let alice = d.matrix("alice").await;
    let ops = d.join(&alice, "#ops").await;
    ops.says("hello").await;
    bob.sees("#ops", "alice", "hello").await;
    bob.kicks("#ops", "alice", "out");
    ops.sees_membership(&alice.id, "leave").await;
    let ops = d.join(&alice, "#ops").await;
    ops.says("back").await;
    bob.sees("#ops", "alice", "back").await;

    // Whoever comes, goes and changes names in a row is there once in the end.
    for n in 0..3 {
        carol.parts("#ops", "");
        carol.joins("#ops").await;
        carol.is_now(&format!("carol{n}")).await;
    }
    bob.names("#ops").await;
    carol.says("#ops", "that was all");
    ops.sees_event("her line", |event| event.body() == "that was all").await;
    let on_irc = bob.names("#ops").await;
    assert_eq!(on_irc, ["alice", "bob", "carol2", "landbridge"]);
    eventually("the same people are on both sides", || async {
        let mut ghosts: Vec<_> = ops.members().await.into_keys().filter(|id| id.starts_with("@irc_")).collect();
        ghosts.sort();
        (ghosts == [d.ghost("bob"), d.ghost("carol2")]).then_some(())
    })
    .await;
}

async fn who_is_invited_in_matrix_is_invited_on_irc(d: Deployment) {
    const CHANNEL: &str = "#own";
    let bob = d.irc_in("#elsewhere", "bob").await;
    let alice = d.matrix("alice").await;
    let room = own_room(&d, &alice, CHANNEL).await;
    let ghost = d.ghost("bob");
    room.invites(&ghost).await;
    let invites = |line: &landbridge_tests::Line| line.command == "INVITE" && line.params == ["bob", CHANNEL];
    let invitation = bob.sees_line("an invitation", invites).await;
    // InspIRCd lets only operators invite: the bot is one.
    assert!(["alice", "landbridge"].contains(&invitation.nick.as_str()), "{invitation:?}");
    bob.joins(CHANNEL).await;
    room.sees_membership(&ghost, "join").await;
    bob.says(CHANNEL, "you called?");
    room.sees(&ghost, "you called?").await;
    room.says("I did").await;
    bob.sees(CHANNEL, "alice", "I did").await;
    assert_eq!(bob.lines().into_iter().filter(invites).count(), 1);

    room.invites(&d.ghost("nobody")).await;
    room.sees_event("that nobody is there", |event| event.body().starts_with("Not delivered to IRC")).await;
}

async fn ranks_on_irc_are_power_in_matrix_p7(d: Deployment) {
    let bob = d.irc_in("#ops", "bob").await;
    let _carol = d.irc_in("#ops", "carol").await;
    let alice = d.matrix("alice").await;
    let ops = d.join(&alice, "#ops").await;
    d.until_member(&ops, "carol").await;
    let carol = d.ghost("carol");
    ops.has_power(&d.ghost("bob"), 50).await;
    for (change, level) in [("+v", 1), ("+o", 50), ("-o", 1), ("-v", 0)] {
        bob.sets_mode("#ops", &[change, "carol"]).await;
        ops.has_power(&carol, level).await;
    }
    ops.has_power(&d.ghost("bob"), 50).await;
}

/// A room of somebody's own, which is joined to a channel.
async fn own_room<'a>(d: &Deployment, user: &'a MatrixUser, channel: &str) -> Room<'a> {
    let room = user.creates_room(json!({ "name": "Her room", "preset": "public_chat" })).await;
    let bot = d.bot();
    room.invites(&bot).await;
    room.sees_membership(&bot, "join").await;
    room.gives_power(&bot, 90).await;
    room.says(&format!("!irc plumb {channel}")).await;
    room.sees_some(&bot, "that it is joined", |event| event.body().contains("now joined")).await;
    room
}

async fn a_room_of_their_own_carries_topics_kicks_and_ranks_both_ways(d: Deployment) {
    const CHANNEL: &str = "#own";
    let alice = d.matrix("alice").await;
    let room = own_room(&d, &alice, CHANNEL).await;
    let bob_in_matrix = d.ghost("bob");

    // The bot came first: it is the operator.
    let bob = d.irc_in(CHANNEL, "bob").await;
    let carol = d.irc_in(CHANNEL, "carol").await;
    d.until_member(&room, "bob").await;
    d.until_member(&room, "carol").await;
    room.sets_topic("from Matrix").await;
    bob.sees_topic(CHANNEL, "from Matrix").await;
    room.gives_power(&bob_in_matrix, 50).await;
    let is_mode = |modes: &'static str| {
        move |line: &landbridge_tests::Line| line.command == "MODE" && line.params.get(1).is_some_and(|is| is == modes)
    };
    bob.sees_line("+o bob", is_mode("+o")).await;
    bob.sets_topic(CHANNEL, "from IRC");
    room.sees_topic("from IRC").await;
    room.kicks(&d.ghost("carol"), "enough").await;
    carol.sees_line("the kick", |line| line.command == "KICK" && line.params.contains(&"carol".to_owned())).await;

    let dora = d.matrix("dora").await;
    let hers = dora.joins(&room.id).await;
    hers.says("hello").await;
    bob.sees(CHANNEL, "dora", "hello").await;
    // Her puppet has the rank of her power, too.
    room.gives_power(&dora.id, 1).await;
    bob.sees_line("+v dora", is_mode("+v")).await;
    bob.kicks(CHANNEL, "dora", "out");
    hers.sees_membership(&dora.id, "leave").await;
    room.gives_power(&bob_in_matrix, 1).await;
    bob.sees_line("-o+v bob", is_mode("-o+v")).await;
    // What came from Matrix was not told back to it.
    room.has_power(&bob_in_matrix, 1).await;
    let topics = bob.lines().iter().filter(|line| line.command == "TOPIC").count();
    assert_eq!(topics, 2, "a topic does not go back and forth");
}

async fn a_taken_nick_is_left_to_its_owner_p2(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let namesake = d.irc_in(LOBBY, "alice").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    lobby.says("I am on Matrix").await;
    let line = bob.sees_line("the line", |line| line.command == "PRIVMSG").await;
    assert_ne!(line.nick, "alice", "the nick is taken");
    assert!(line.nick.starts_with("alice"), "but she is known by it: {}", line.nick);
    // The namesake's lines are no echo of hers.
    namesake.says(LOBBY, "I am on IRC");
    lobby.sees(&d.ghost("alice"), "I am on IRC").await;
    namesake.sees(LOBBY, &line.nick, "I am on Matrix").await;
    // The namesake goes, somebody takes her own nick after that: still no echo.
    namesake.is_now("alice2").await;
    namesake.says(LOBBY, "renamed");
    lobby.sees_event("the line", |event| event.body() == "renamed").await;
    lobby.says("still me").await;
    let line = bob.sees_line("the line", |line| line.params.get(1).is_some_and(|text| text == "still me")).await;
    assert_eq!(bob.heard(LOBBY).iter().filter(|(_, text)| text == "still me").count(), 1);
    assert_ne!(line.nick, "alice2");
}

async fn a_name_longer_than_nicks_may_be_p12(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let long = "a-user-with-a-name-of-more-than-thirty-characters";
    let user = d.matrix(long).await;
    let lobby = d.join(&user, LOBBY).await;
    lobby.says("hello").await;
    let line = bob.sees_line("hello", |line| line.params.get(1).is_some_and(|text| text == "hello")).await;
    assert!(long.starts_with(line.nick.get(..10).unwrap_or("?")), "a short form of the name: {}", line.nick);
}

async fn renaming_oneself_often_is_no_nick_flood_p16(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hello").await;
    bob.sees(LOBBY, "alice", "hello").await;
    for n in 0..20 {
        alice.is_called(&format!("Alice the {n}th")).await;
    }
    lobby.says("that was fun").await;
    bob.sees_line("the line", |line| line.params.get(1).is_some_and(|text| text == "that was fun")).await;
    let changes = bob.lines().iter().filter(|line| line.command == "NICK").count();
    assert!(changes <= 2, "{changes} nick changes");
}

async fn private_messages_cross_both_ways(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    d.until_member(&lobby, "bob").await;
    let ghost = d.ghost("bob");

    // She begins.
    let chat = alice.chats_with(&ghost).await;
    chat.sees_membership(&ghost, "join").await;
    chat.says("psst").await;
    bob.sees("bob", "alice", "psst").await;
    bob.says("alice", "yes?");
    chat.sees(&ghost, "yes?").await;
    // He begins with somebody else.
    let carol = d.matrix("carol").await;
    let hers = d.join(&carol, LOBBY).await;
    hers.says("I am carol").await;
    bob.sees(LOBBY, "carol", "I am carol").await;
    bob.says("carol", "hello carol");
    let private = carol.accepts_invitation(&ghost).await;
    private.sees(&ghost, "hello carol").await;
    assert_eq!(private.is_called().await, "bob");
    private.says("hello bob").await;
    bob.sees("bob", "carol", "hello bob").await;
    // Nothing of it is in the channel.
    assert_eq!(bob.heard(LOBBY), said([("carol", "I am carol")]));
    let secrets = ["psst", "yes?", "hello carol", "hello bob"];
    assert!(lobby.heard().iter().all(|(_, text)| !secrets.contains(&text.as_str())));
}

async fn who_left_a_private_room_is_invited_by_the_next_word(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("I am alice").await;
    bob.sees(LOBBY, "alice", "I am alice").await;
    let ghost = d.ghost("bob");
    bob.says("alice", "psst");
    let private = alice.accepts_invitation(&ghost).await;
    private.sees(&ghost, "psst").await;
    private.leaves().await;
    private.sees_membership(&alice.id, "leave").await;
    let invited = |event: &&RoomEvent| event.part == "invite" && event.room == private.id && event.sender() == ghost;
    let before = alice.events().iter().filter(invited).count();
    // The bridge hears of it some time, and what bob says then is not for nobody.
    eventually("the invitation", || async {
        bob.says("alice", "are you there?");
        for _ in 0..20 {
            if alice.events().iter().filter(invited).count() > before {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    })
    .await;
    let again = alice.joins(&private.id).await;
    again.sees(&ghost, "are you there?").await;
    again.says("now I am").await;
    bob.sees("bob", "alice", "now I am").await;
}

async fn a_second_private_room_works_too_p17(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    d.until_member(&lobby, "bob").await;
    let ghost = d.ghost("bob");
    let first = alice.chats_with(&ghost).await;
    first.sees_membership(&ghost, "join").await;
    first.says("in the first").await;
    bob.sees("bob", "alice", "in the first").await;

    let second = alice.chats_with(&ghost).await;
    second.sees_membership(&ghost, "join").await;
    second.says("in the second").await;
    bob.sees("bob", "alice", "in the second").await;
    bob.says("alice", "I hear you");
    alice.sees_event("the answer", |event| event.body() == "I hear you" && event.sender() == ghost).await;
}

#[tokio::test]
async fn a_netsplit_leaves_no_zombies_p5() {
    let first = Inspircd::start().await;
    let second = first.start_second().await;
    let d = Deployment::beside(Irc::Inspircd(first), On::Embedded, With::Sqlite, &[LOBBY]).await;
    let far: Vec<_> = in_the_lobby(&second, ["carol", "dave", "erin"]).await;
    let near = d.irc_in(LOBBY, "bob").await;
    eventually("the servers are linked", || async { near.is_on("carol").await.then_some(()) }).await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    for nick in ["carol", "dave", "erin"] {
        d.until_member(&lobby, nick).await;
    }

    // A server in the middle of its first burst does not hear of a split.
    near.says(LOBBY, "there?");
    far[0].sees(LOBBY, "bob", "there?").await;
    // Who cuts the link knows at once that it is gone; and the second server is the one that makes it again, by itself.
    far[0].sends("OPER", &["admin", "admin"]);
    far[0].sees_line("381, an operator", |line| line.command == "381").await;
    far[0].sends("SQUIT", &["irc.insp.test", "a split"]);
    near.sees_quit("carol").await;
    near.sees_join(LOBBY, "carol").await;
    // What is said in the middle of the burst may not cross between the servers: carol asks until somebody hears her.
    let asked = ("carol".to_owned(), "was I away?".to_owned());
    eventually("carol is heard again", || async {
        far[0].says(LOBBY, "was I away?");
        near.heard(LOBBY).contains(&asked).then_some(())
    })
    .await;
    lobby.sees(&d.ghost("carol"), "was I away?").await;
    // Now the far server is gone for good.
    drop(far);
    drop(second);
    // Now and then an InspIRCd does not notice that the other's process is gone, so soon after they linked again, until
    // it pings; an operator's word does not wait for that.
    near.sends("OPER", &["admin", "admin"]);
    near.sees_line("381, an operator", |line| line.command == "381").await;
    near.sends("SQUIT", &["irc2.insp.test", "gone for good"]);
    near.sees_quit("carol").await;
    near.says(LOBBY, "they are gone");
    lobby.sees(&d.ghost("bob"), "they are gone").await;
    eventually("none of them is a member", || async {
        let members = lobby.members().await;
        ["carol", "dave", "erin"].iter().all(|nick| !members.contains_key(&d.ghost(nick))).then_some(())
    })
    .await;
}

async fn in_the_lobby<const N: usize>(server: &Inspircd, nicks: [&str; N]) -> Vec<IrcUser> {
    let mut people = Vec::new();
    for nick in nicks {
        let person = IrcUser::connect(server.address(), nick).await;
        person.joins(LOBBY).await;
        people.push(person);
    }
    people
}
