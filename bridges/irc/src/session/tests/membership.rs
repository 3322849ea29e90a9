use super::*;
use crate::{
    modes::{ModeChange, ModeType},
    numerics::JoinProblem,
};

fn joined(caps: &str) -> Dialogue {
    let mut irc = Dialogue::online(caps, "PREFIX=(qaohv)~&@%+ CHANMODES=b,k,l,imnst CASEMAPPING=rfc1459");
    irc.all_say(&[
        ":bot!~bridge@host.test JOIN #c",
        ":s 353 bot = #c :@alice +bob bot",
        ":s 366 bot #c :End of /NAMES list.",
    ]);
    irc.heard();
    irc
}

#[test]
fn p3_names_twice_give_nobody_twice() {
    let mut irc = joined("");
    irc.all_say(&[":s 353 bot = #C :@alice +bob bot", ":s 353 bot = #c :carol!u@h", ":s 366 bot #c :End"]);
    assert_eq!(irc.members("#c"), ["o:alice", "v:bob", ":bot", ":carol"]);
    let EventKind::Names { members, .. } = irc.heard().remove(0) else { panic!("names") };
    assert_eq!(members.len(), 4);
}

#[test]
fn multi_prefix_and_userhost_in_names_are_read() {
    let mut irc = joined("multi-prefix userhost-in-names");
    irc.all_say(&[":s 353 bot @ #c :~@+alice!al@h bot!b@h", ":s 366 bot #c :End"]);
    assert_eq!(irc.members("#c"), ["qov:alice", ":bot"]);
    let members = irc.session.members(&channel("#c")).unwrap();
    assert_eq!((&members[0].who, &members[1].who), (&source("alice!al@h"), &source("bot!b@h")));
}

#[test]
fn coming_and_going_is_tracked_in_any_case() {
    let mut irc = joined("extended-join");
    irc.all_say(&[
        ":Carol!c@h JOIN #C carols_account :Carol Smith",
        ":ALICE!a@h PART #c :bye",
        ":bob!b@h NICK Bobby",
        ":carol!c@h QUIT :Quit: gone",
    ]);
    assert_eq!(irc.members("#c"), ["v:Bobby", ":bot"]);
    let events = irc.events();
    assert_eq!(events[0].meta.account.as_deref(), Some("carols_account"));
    assert!(matches!(&events[0].kind, EventKind::Joined { channel, own: false, realname: Some(name), .. }
        if channel.as_str() == "#c" && name == "Carol Smith"));
    assert!(matches!(&events[1].kind, EventKind::Parted { own: false, reason: Some(why), .. } if why == "bye"));
    assert!(matches!(&events[2].kind, EventKind::NickChanged { to, own: false, channels, .. }
        if to.as_str() == "Bobby" && channels.len() == 1));
    assert!(matches!(&events[3].kind, EventKind::Quit { channels, netsplit: false, .. } if channels.len() == 1));
}

#[test]
fn p3_we_are_out_after_a_kick_a_part_and_a_forced_part() {
    for line in [":alice!a@h KICK #C bot :out", ":bot!u@h PART #c", ":bot!u@h PART #c :forced by services"] {
        let mut irc = joined("");
        irc.says(line);
        assert_eq!(irc.session.members(&channel("#c")), None, "{line}");
        assert!(
            matches!(&irc.heard()[..], [EventKind::Kicked { own: true, .. } | EventKind::Parted { own: true, .. }]),
            "{line}"
        );
    }
    let mut irc = joined("");
    irc.says(":alice!a@h KICK #c bob :out");
    assert_eq!(irc.members("#c"), ["o:alice", ":bot"]);
}

#[test]
fn modes_change_ranks_and_only_those_of_the_nick_they_name() {
    let mut irc = joined("");
    irc.says(":alice!a@h MODE #c +b-o+vo *!*@evil alice BOB bot");
    assert_eq!(irc.members("#c"), [":alice", "v:bob", "o:bot"]);
    let EventKind::ChannelModes { changes, by, .. } = irc.heard().remove(0) else { panic!("modes") };
    assert_eq!(by.unwrap().name, "alice");
    let ban = ModeChange { set: true, mode: 'b', kind: ModeType::List, param: Some("*!*@evil".into()) };
    assert_eq!((changes.len(), &changes[0]), (4, &ban));
    irc.says(":s 324 bot #c +ntk secret");
    assert!(matches!(&irc.heard()[..], [EventKind::ChannelModes { by: None, changes, .. }] if changes.len() == 3));
    irc.says(":bot!u@h MODE bot :+ix");
    assert_eq!(irc.heard(), [EventKind::UserModes("+ix".to_owned())]);
}

#[test]
fn p5_a_netsplit_is_told_by_text_and_by_batch() {
    let mut irc = joined("batch");
    irc.says(":alice!a@h QUIT :irc.one.test irc.two.test");
    irc.says(":s BATCH +x netsplit irc.one.test irc.two.test");
    irc.says("@batch=x :bob!b@h QUIT :*.net *.split hidden");
    irc.says(":s BATCH -x");
    let splits: Vec<bool> = irc
        .heard()
        .into_iter()
        .filter_map(|kind| match kind {
            EventKind::Quit { netsplit, .. } => Some(netsplit),
            _ => None,
        })
        .collect();
    assert_eq!(splits, [true, true]);
    assert_eq!(irc.members("#c"), [":bot"], "nobody stays behind as a ghost");
    irc.says(":s BATCH +y netjoin irc.one.test irc.two.test");
    irc.says("@batch=y :alice!a@h JOIN #c");
    assert_eq!(irc.members("#c"), [":alice", ":bot"]);
    assert!(irc.events().remove(0).meta.in_netjoin);
}

#[test]
fn topics_are_told_when_they_change_and_after_joining() {
    let mut irc = joined("");
    irc.all_say(&[
        ":s 332 bot #c :Hello there",
        ":s 333 bot #c alice!a@h 1700000000",
        ":alice!a@h TOPIC #c :",
        ":s 331 bot #c :No topic is set",
    ]);
    let topic = |topic: &str, by| EventKind::Topic { channel: channel("#c"), topic: topic.to_owned(), by };
    assert_eq!(
        irc.heard(),
        [
            topic("Hello there", None),
            EventKind::TopicSetBy { channel: channel("#c"), by: "alice!a@h".to_owned(), at: Some(1_700_000_000) },
            topic("", Some(source("alice!a@h"))),
            topic("", None),
        ]
    );
}

#[test]
fn p13_a_join_that_is_sent_on_is_told_and_the_other_channel_is_ours() {
    let mut irc = Dialogue::online("", "");
    irc.asks(Command::Join { channel: channel("#c"), key: None });
    irc.expect("JOIN #c");
    irc.expect("PING :landbridge-1");
    irc.all_say(&[
        ":s 470 bot #c #overflow :You may not join this channel, so you are automatically being transferred",
        ":bot!~bridge@host.test JOIN #overflow",
        ":s PONG s :landbridge-1",
    ]);
    let heard = irc.heard();
    assert!(
        matches!(&heard[0], EventKind::Forwarded { from, to, .. } if from.as_str() == "#c" && to.as_str() == "#overflow")
    );
    assert!(matches!(&heard[1], EventKind::Joined { channel, own: true, .. } if channel.as_str() == "#overflow"));
    assert!(matches!(irc.outcome(), Outcome::Rejected(Rejection { why: RejectedBecause::Forwarded, .. })));
    assert!(irc.session.members(&channel("#c")).is_none() && irc.session.members(&channel("#overflow")).is_some());
}

#[test]
fn a_join_that_fails_says_why() {
    let table = [
        (471, JoinProblem::Full),
        (473, JoinProblem::InviteOnly),
        (474, JoinProblem::Banned),
        (475, JoinProblem::BadKey),
        (477, JoinProblem::NeedsAccount),
        (403, JoinProblem::NoSuchChannel),
        (476, JoinProblem::NoSuchChannel),
        (405, JoinProblem::TooManyChannels),
        (489, JoinProblem::NeedsTls),
        (437, JoinProblem::Unavailable),
        (480, JoinProblem::Throttled),
        (520, JoinProblem::OpersOnly),
    ];
    for (number, problem) in table {
        let mut irc = Dialogue::online("", "CHANTYPES=#");
        irc.asks(Command::Join { channel: channel("#c"), key: Some(text("key")) });
        irc.expect("JOIN #c key");
        irc.expect("PING :landbridge-1");
        irc.says(&format!(":s {number} bot #C :no"));
        irc.says(":s PONG s landbridge-1");
        assert_eq!(irc.heard(), [EventKind::JoinFailed { channel: channel("#C"), problem, text: "no".to_owned() }]);
        let why = RejectedBecause::Join(problem);
        assert_eq!(irc.outcome(), Outcome::Rejected(Rejection { numeric: number, why, text: "no".to_owned() }));
    }
}

#[test]
fn p14_the_casemapping_is_the_servers() {
    for (mapping, one) in [("rfc1459", true), ("ascii", false), ("nonsense", true)] {
        let mut irc = Dialogue::online("", &format!("CASEMAPPING={mapping}"));
        irc.all_say(&[":bot!u@h JOIN #c[]", ":alice!u@h JOIN #c{}"]);
        assert_eq!(irc.members("#c[]").len() == 2, one, "{mapping}");
    }
}

#[test]
fn what_others_do_to_themselves_is_told() {
    let mut irc = joined("account-notify chghost setname away-notify invite-notify");
    irc.all_say(&[
        ":alice!a@h ACCOUNT al",
        ":alice!a@h CHGHOST new host.new",
        ":alice!new@host.new SETNAME :Alice B.",
        ":alice!new@host.new AWAY :lunch",
        ":alice!new@host.new AWAY",
        ":alice!new@host.new ACCOUNT *",
        ":alice!new@host.new INVITE bot #d",
        ":s RENAME #c #e :moved",
    ]);
    let heard = irc.heard();
    assert_eq!(heard.len(), 8);
    assert!(matches!(&heard[0], EventKind::Account { account: Some(account), .. } if account == "al"));
    assert!(matches!(&heard[5], EventKind::Account { account: None, .. }));
    assert!(matches!(&heard[6], EventKind::Invited { own: true, channel, .. } if channel.as_str() == "#d"));
    assert_eq!(irc.members("#e"), ["o:alice", "v:bob", ":bot"]);
}

#[test]
fn our_own_host_is_learnt_wherever_it_is_told() {
    let mut irc = Dialogue::online("chghost", "");
    let target = Target::Channel(channel("#c"));
    let before = irc.session.limits().text(SendKind::Privmsg, &target);
    irc.says(":bot!~bridge@a.much.longer.host.example JOIN #c");
    let joined = irc.session.limits().text(SendKind::Privmsg, &target);
    assert_eq!(before - joined, "a.much.longer.host.example".len() - "host.test".len());
    irc.says(":s 396 bot x.y :is now your displayed host");
    assert_eq!(irc.session.limits().text(SendKind::Privmsg, &target) - joined, "a.much.longer.host.example".len() - 3);
    irc.says(":bot!~bridge@x.y CHGHOST b z");
    assert_eq!(
        irc.session.limits().text(SendKind::Privmsg, &target) - joined,
        "a.much.longer.host.example".len() - 1 + 6
    );
}

#[test]
fn a_puppet_hears_of_itself_alone() {
    let mut irc = Dialogue::online_as(Identity { role: Role::Puppet, ..identity("bot") }, "echo-message", "");
    irc.all_say(&[
        ":bot!u@h JOIN #c",
        ":s 332 bot #c :topic",
        ":s 353 bot = #c :@alice bob bot",
        ":s 366 bot #c :End",
        ":alice!a@h PRIVMSG #c :hello all",
        ":alice!a@h PRIVMSG bot :hello you",
        ":bob!a@h PART #c",
        ":bob!a@h QUIT :x",
        ":op!o@h PRIVMSG $$* :hear, hear",
        ":alice!a@h MODE #c +m",
        ":alice!a@h KICK #c bot :out",
    ]);
    let heard = irc.heard();
    assert!(
        matches!(
            &heard[..],
            [
                EventKind::Joined { own: true, .. },
                EventKind::Message(Incoming { to: Recipient::Me, .. }),
                EventKind::Kicked { own: true, .. },
            ]
        ),
        "{heard:?}"
    );
}
