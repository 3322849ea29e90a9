//! Rooms: portals by alias, plumbed rooms, topics.

use std::collections::HashSet;

use landbridge_tests::{Atheme, Certificates, Deployment, Inspircd, Irc, IrcUser, On, With};
use serde_json::json;

use crate::everywhere::{LOBBY, everywhere, on};

everywhere! {
    an_alias_opens_a_portal,
    the_case_of_a_channel_does_not_matter_p14,
    a_topic_of_irc_reaches_matrix,
    lines_that_try_to_break_out_stay_lines_p15,
    nobody_is_told_of_server_wide_messages_p20,
    a_ban_on_irc_is_told_and_stops_nobody_else_p1,
    a_killed_puppet_returns_p19,
}
on!(plumbed_synapse_ngircd, Synapse, Ngircd, Sqlite, a_plumbed_room_carries_talk_and_topics,);
on!(plumbed_synapse_inspircd, Synapse, Inspircd, Postgres, a_plumbed_room_carries_talk_and_topics,);
on!(tls_ngircd, Synapse, Ngircd, Sqlite, the_way_to_the_server_is_tls_with_a_given_authority,);
on!(tls_inspircd, Synapse, Inspircd, Sqlite, the_way_to_the_server_is_tls_with_a_given_authority,);
on!(forward_inspircd, Embedded, Inspircd, Sqlite, a_forward_to_another_channel_carries_nothing_there_p13,);

async fn an_alias_opens_a_portal(d: Deployment) {
    let bob = d.irc_in("#other", "bob").await;
    let alice = d.matrix("alice").await;
    let carol = d.matrix("carol").await;
    let hers = d.join(&alice, "#other").await;
    let carols = d.join(&carol, "#other").await;
    assert_eq!(hers.id, carols.id, "one room for one channel");
    hers.says("hello").await;
    carols.sees(&alice.id, "hello").await;
    bob.sees("#other", "alice", "hello").await;
    bob.says("#other", "hello both");
    hers.sees(&d.ghost("bob"), "hello both").await;
    carols.sees(&d.ghost("bob"), "hello both").await;
    let refused = alice.tries_to_join(&d.alias("not a channel")).await;
    assert!(refused.is_err(), "no room for what cannot be a channel");
}

async fn the_case_of_a_channel_does_not_matter_p14(d: Deployment) {
    let bob = d.irc_in("#MixedCase", "bob").await;
    let alice = d.matrix("alice").await;
    let room = d.join(&alice, "#mixedcase").await;
    room.says("hello").await;
    bob.sees("#MixedCase", "alice", "hello").await;
    bob.says("#mIXEDcASE", "hello you");
    room.sees(&d.ghost("bob"), "hello you").await;
}

async fn a_topic_of_irc_reaches_matrix(d: Deployment) {
    let bob = d.irc_in("#talk", "bob").await;
    bob.sets_topic("#talk", "before anybody came");
    bob.sees_topic("#talk", "before anybody came").await;
    let alice = d.matrix("alice").await;
    let room = d.join(&alice, "#talk").await;
    room.sees_topic("before anybody came").await;
    bob.sets_topic("#talk", "what we talk of");
    room.sees_topic("what we talk of").await;
}

async fn lines_that_try_to_break_out_stay_lines_p15(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hi\r\nQUIT :hacked\rPRIVMSG #lobby :x\u{0}y\u{85}z").await;
    lobby.says("the end").await;
    bob.sees(LOBBY, "alice", "the end").await;
    assert!(bob.lines().iter().all(|line| line.command != "QUIT"), "nobody quit");
    let heard: Vec<_> = bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect();
    assert!(heard.iter().any(|text| text.contains("QUIT :hacked")), "it was said, not done: {heard:?}");
    assert!(!heard.contains(&"x".to_owned()), "{heard:?}");
}

async fn nobody_is_told_of_server_wide_messages_p20(d: Deployment) {
    let oper = d.irc_in(LOBBY, "oper").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hello").await;
    oper.sees(LOBBY, "alice", "hello").await;
    oper.sends("OPER", &["admin", "admin"]);
    oper.sees_line("381, an operator", |line| line.command == "381").await;
    let mask = if matches!(d.irc, Irc::Ngircd(_)) { "$*.ng.test" } else { "$*" };
    for _ in 0..20 {
        oper.says(mask, "to everybody");
    }
    oper.says(LOBBY, "the end");
    lobby.sees(&d.ghost("oper"), "the end").await;
    lobby.says("answered").await;
    oper.sees(LOBBY, "alice", "answered").await;
    // ngIRCd puts each reader's own nick in place of the mask, so nobody can tell that from a private word: one conversation at most.
    let invited = alice.events().into_iter().filter(|event| event.part == "invite").map(|event| event.room);
    let invitations = invited.collect::<HashSet<_>>().len();
    assert!(invitations <= 1, "{invitations} invitations for a message to everybody");
}

async fn a_ban_on_irc_is_told_and_stops_nobody_else_p1(d: Deployment) {
    let bob = d.irc_in("#ops", "bob").await;
    let alice = d.matrix("alice").await;
    let carol = d.matrix("carol").await;
    bob.sets_mode("#ops", &["+b", "alice*!*@*"]).await;
    let hers = d.join(&alice, "#ops").await;
    let carols = d.join(&carol, "#ops").await;
    hers.says("can you hear me?").await;
    carols.says("I am heard").await;
    bob.sees("#ops", "carol", "I am heard").await;
    bob.says("#ops", "both hear me");
    carols.sees(&d.ghost("bob"), "both hear me").await;
    carols.says("the end").await;
    bob.sees("#ops", "carol", "the end").await;
    assert!(bob.heard("#ops").iter().all(|(nick, _)| nick != "alice"), "she is banned");
    // She is told: by a notice in the room or by the status of her message.
    let told = |event: &landbridge_tests::RoomEvent| {
        let status = event.kind() == "com.beeper.message_send_status" && event.content()["status"] != "SUCCESS";
        let notice = event.content()["msgtype"] == "m.notice" && event.sender() != alice.id;
        event.part == "timeline" && (status || notice)
    };
    alice.sees_event("that it did not cross", told).await;
}

async fn a_killed_puppet_returns_p19(d: Deployment) {
    let oper = d.irc_in(LOBBY, "oper").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hello").await;
    oper.sees(LOBBY, "alice", "hello").await;
    oper.sends("OPER", &["admin", "admin"]);
    oper.sees_line("381, an operator", |line| line.command == "381").await;
    oper.sends("KILL", &["alice", "a mistake"]);
    oper.sees_quit("alice").await;
    for n in 0..5 {
        lobby.says(&format!("after it {n}")).await;
    }
    for n in 0..5 {
        let text = format!("after it {n}");
        oper.sees_line(&text, |line| line.params.get(1).is_some_and(|said| *said == text)).await;
    }
    let heard: Vec<_> = oper.heard(LOBBY).into_iter().map(|(_, text)| text).skip(1).collect();
    assert_eq!(heard, (0..5).map(|n| format!("after it {n}")).collect::<Vec<_>>());
}

async fn a_plumbed_room_carries_talk_and_topics(mut d: Deployment) {
    const CHANNEL: &str = "#plumbed";
    let bob = d.irc_in(CHANNEL, "bob").await;
    // Everybody may set the topic (ngIRCd's channels are so from the start).
    bob.sends("MODE", &[CHANNEL, "-t"]);
    let alice = d.matrix("alice").await;
    let room = alice.creates_room(json!({ "name": "Her room" })).await;
    room.invites(&d.bot()).await;
    let id = room.id.clone();
    d.reconfigure(|config| config["irc"]["channels"] = json!([{ "channel": CHANNEL, "room": id }])).await;
    room.sees_membership(&d.bot(), "join").await;

    room.says("hello").await;
    bob.sees(CHANNEL, "alice", "hello").await;
    bob.says(CHANNEL, "hello yourself");
    room.sees(&d.ghost("bob"), "hello yourself").await;
    room.sets_topic("set on Matrix").await;
    bob.sees_topic(CHANNEL, "set on Matrix").await;
    bob.says(CHANNEL, "nice topic");
    room.sees(&d.ghost("bob"), "nice topic").await;
    let topics = bob.lines().iter().filter(|line| line.command == "TOPIC").count();
    assert_eq!(topics, 1, "a topic does not go back and forth");
}

async fn a_forward_to_another_channel_carries_nothing_there_p13(d: Deployment) {
    let bob = d.irc_in("#full", "bob").await;
    bob.joins("#overflow").await;
    bob.sets_mode("#full", &["+l", "1"]).await;
    bob.sets_mode("#full", &["+L", "#overflow"]).await;
    let alice = d.matrix("alice").await;
    // Either the portal is refused, or it says that nothing crosses; in no case do her words go elsewhere.
    if let Ok(room) = alice.tries_to_join(&d.alias("#full")).await {
        room.says("for #full only").await;
    }
    let lobby = d.join(&alice, LOBBY).await;
    bob.joins(LOBBY).await;
    lobby.says("the end").await;
    bob.sees_line("the end", |line| line.params.get(1).is_some_and(|text| text == "the end")).await;
    assert_eq!(bob.heard("#overflow"), [], "nothing of hers is there");
}

async fn the_way_to_the_server_is_tls_with_a_given_authority(mut d: Deployment) {
    let server = d.irc.real().expect("a real server");
    let (address, authority) = (server.tls_address(), server.authority());
    d.reconfigure(|config| {
        let tls = json!({ "ca": authority });
        config["irc"]["servers"] = json!([{ "host": "127.0.0.1", "port": address.port(), "tls": tls }]);
    })
    .await;
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("under cover").await;
    bob.sees(LOBBY, "alice", "under cover").await;
    bob.says(LOBBY, "so I see");
    lobby.sees(&d.ghost("bob"), "so I see").await;
    for nick in ["alice", "landbridge"] {
        bob.sends("WHOIS", &[nick]);
        let secure = |line: &landbridge_tests::Line| {
            ["671", "275"].contains(&line.command.as_str()) && line.params.iter().any(|is| is == nick)
        };
        bob.sees_line("a secure connection (671, or ngIRCd's 275)", secure).await;
    }
}

/// The bot's certificate logs it in: SASL EXTERNAL.
#[tokio::test]
async fn the_bot_logs_in_with_its_certificate_on_synapse() {
    let server = Inspircd::start().await;
    let _services = Atheme::start(&server).await;
    let certificate = Certificates::new();
    let owner = IrcUser::connect(server.address(), "bridgebot").await;
    owner.says("NickServ", "REGISTER correct-horse bot@example.org");
    owner.sees_line("900, logged in", |line| line.command == "900").await;
    owner.says("NickServ", &format!("CERT ADD {}", certificate.fingerprint()));
    owner.sees_line("that it is added", |line| line.nick == "NickServ" && line.params[1].contains("ingerprint")).await;

    let (address, authority) = (server.tls_address(), server.authority());
    let mut d = Deployment::beside(Irc::Inspircd(server), On::Synapse, With::Sqlite, &[LOBBY]).await;
    let file = d.folder().join("bot.pem");
    std::fs::write(&file, format!("{}{}", certificate.certificate, certificate.key)).expect("a file");
    d.reconfigure(|config| {
        let tls = json!({ "ca": authority, "certificate": file });
        config["irc"]["servers"] = json!([{ "host": "127.0.0.1", "port": address.port(), "tls": tls }]);
        config["irc"]["bot"] = json!({ "nick": "bridge", "sasl": { "mechanism": "external" } });
    })
    .await;
    let bob = d.irc_in(LOBBY, "bob").await;
    d.until_on_irc("bridge").await;
    bob.sends("WHOIS", &["bridge"]);
    bob.sees_line("330, its account", |line| line.command == "330" && line.params.contains(&"bridgebot".to_owned()))
        .await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    bob.says(LOBBY, "by certificate");
    lobby.sees(&d.ghost("bob"), "by certificate").await;
    // The certificate is the bot's alone.
    lobby.says("I have none").await;
    bob.sees(LOBBY, "alice", "I have none").await;
    bob.sends("WHOIS", &["alice"]);
    bob.sees_line("318, the end", |line| line.command == "318" && line.params.contains(&"alice".to_owned())).await;
    let accounts =
        bob.lines().into_iter().filter(|line| line.command == "330" && line.params.contains(&"alice".to_owned()));
    assert_eq!(accounts.count(), 0);
}

/// TLS with a given authority, and a login of the bot to a services account.
#[tokio::test]
async fn the_bot_logs_in_over_tls_on_synapse() {
    let server = Inspircd::start().await;
    let _services = Atheme::start(&server).await;
    let owner = IrcUser::connect(server.address(), "bridgebot").await;
    owner.says("NickServ", "REGISTER correct-horse bot@example.org");
    owner.sees_line("900, logged in", |line| line.command == "900").await;
    let (address, authority) = (server.tls_address(), server.authority());
    let mut d = Deployment::beside(Irc::Inspircd(server), On::Synapse, With::Sqlite, &[LOBBY]).await;
    d.reconfigure(|config| {
        let tls = json!({ "ca": authority });
        config["irc"]["servers"] = json!([{ "host": "127.0.0.1", "port": address.port(), "tls": tls }]);
        let sasl = json!({ "mechanism": "plain", "account": "bridgebot", "password": "correct-horse" });
        config["irc"]["bot"] = json!({ "nick": "bridge", "sasl": sasl });
    })
    .await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let bob = d.irc_in(LOBBY, "bob").await;
    bob.says(LOBBY, "over TLS");
    lobby.sees(&d.ghost("bob"), "over TLS").await;
    bob.sends("WHOIS", &["bridge"]);
    bob.sees_line("330, its account", |line| line.command == "330" && line.params.contains(&"bridgebot".to_owned()))
        .await;
    bob.sends("WHOIS", &["bridge"]);
    bob.sees_line("671, a secure connection", |line| line.command == "671").await;
}
