//! What people say crosses once, in order, and looks as it should on the other side.

use landbridge_tests::{Deployment, Inspircd, Irc, On, With, eventually};
use serde_json::json;

use crate::everywhere::{LOBBY, everywhere, said};

everywhere! {
    people_talk_both_ways_without_echo_or_doubles,
    formatting_crosses_both_ways,
    actions_and_notices_stay_what_they_are,
    the_order_of_a_burst_is_kept_p4,
    a_long_line_is_split_and_nothing_is_cut_p10,
    a_text_without_spaces_is_cut_between_characters_p10,
    a_very_long_text_becomes_a_link,
    formatting_survives_what_is_unknown_p18,
    mentions_cross_both_ways,
    what_a_channel_refuses_is_told_for_each_line,
    several_lines_are_several_messages,
    a_reply_names_whom_it_answers,
    an_edit_is_told,
    reactions_and_redactions_do_no_harm,
    a_file_crosses_as_a_link,
}

async fn people_talk_both_ways_without_echo_or_doubles(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");

    lobby.says("hello from Matrix").await;
    bob.sees(LOBBY, "alice", "hello from Matrix").await;
    bob.says(LOBBY, "hello from IRC");
    lobby.sees(&ghost, "hello from IRC").await;
    // Said twice is twice.
    lobby.says("again").await;
    lobby.says("again").await;
    bob.says(LOBBY, "once more");
    bob.says(LOBBY, "once more");
    bob.sees(LOBBY, "alice", "again").await;
    bob.sees(LOBBY, "alice", "again").await;
    lobby.sees(&ghost, "once more").await;
    lobby.sees(&ghost, "once more").await;
    // Whatever came back would have come before these.
    lobby.says("that was all").await;
    bob.sees(LOBBY, "alice", "that was all").await;
    bob.says(LOBBY, "here too");
    lobby.sees(&ghost, "here too").await;

    let from_matrix = ["hello from Matrix", "again", "again", "that was all"].map(|text| ("alice", text));
    assert_eq!(bob.heard(LOBBY), said(from_matrix));
    let hers: Vec<_> = lobby.heard().into_iter().filter(|(sender, _)| *sender == alice.id).collect();
    assert_eq!(hers.len(), 4, "nothing of hers came back: {hers:?}");
    let his: Vec<_> = lobby.heard().into_iter().filter(|(sender, _)| *sender != alice.id).collect();
    let from_irc = ["hello from IRC", "once more", "once more", "here too"].map(|text| (ghost.as_str(), text));
    assert_eq!(his, said(from_irc));
}

async fn formatting_crosses_both_ways(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    lobby.says_html("bold and code", "<b>bold</b> and <code>code</code>").await;
    let line = bob.sees_some(LOBBY, "alice", "bold and code", |text| text.contains("bold")).await;
    assert!(line.starts_with('\u{2}'), "bold begins with its code: {line:?}");
    assert!(line.contains("and \u{11}code"), "code is monospaced: {line:?}");

    bob.says(LOBBY, "\u{2}bold\u{2} and \u{1d}italic\u{1d} and \u{3}04red\u{3} <b>");
    let event = lobby.sees(&d.ghost("bob"), "bold and italic and red <b>").await;
    let html = event.content()["formatted_body"].as_str().unwrap_or_default();
    assert!(html.contains("<strong>bold</strong>") || html.contains("<b>bold</b>"), "{html}");
    assert!(html.contains("<em>italic</em>") || html.contains("<i>italic</i>"), "{html}");
    assert!(html.contains("data-mx-color=\"#"), "{html}");
    assert!(html.contains("&lt;b&gt;"), "what looks like a tag is text: {html}");
}

async fn actions_and_notices_stay_what_they_are(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");

    lobby.does("waves").await;
    bob.sees_action(LOBBY, "alice", "waves").await;
    bob.does(LOBBY, "waves back");
    let event = lobby.sees(&ghost, "waves back").await;
    assert_eq!(event.content()["msgtype"], "m.emote");
    lobby.notices("a notice").await;
    bob.sees_notice(LOBBY, "alice", "a notice").await;
    bob.notices(LOBBY, "another");
    let event = lobby.sees(&ghost, "another").await;
    assert_eq!(event.content()["msgtype"], "m.notice");
}

async fn the_order_of_a_burst_is_kept_p4(d: Deployment) {
    const LINES: usize = 150;
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");
    lobby.says("first").await;
    bob.sees(LOBBY, "alice", "first").await;

    // Every third line is an action: those must not overtake.
    let wanted: Vec<_> = (0..LINES).map(|n| format!("line {n}")).collect();
    for (n, line) in wanted.iter().enumerate() {
        if n % 3 == 0 { bob.does(LOBBY, line) } else { bob.says(LOBBY, line) }
    }
    for (n, line) in wanted.iter().enumerate() {
        if n % 3 == 0 {
            lobby.does(line).await
        } else {
            lobby.says(line).await
        };
    }
    bob.says(LOBBY, "the end");
    lobby.says("the end").await;
    lobby.sees(&ghost, "the end").await;
    bob.sees(LOBBY, "alice", "the end").await;

    let on_matrix = lobby.heard().into_iter().filter(|(sender, _)| *sender == ghost).map(|(_, text)| text);
    let on_irc = bob.heard(LOBBY).into_iter().map(|(_, text)| plain_action(&text)).skip(1);
    let wanted: Vec<_> = wanted.into_iter().chain(["the end".to_owned()]).collect();
    assert_eq!(on_matrix.collect::<Vec<_>>(), wanted);
    assert_eq!(on_irc.collect::<Vec<_>>(), wanted);
}

fn plain_action(text: &str) -> String {
    text.trim_start_matches("\u{1}ACTION ").trim_end_matches('\u{1}').to_owned()
}

async fn a_long_line_is_split_and_nothing_is_cut_p10(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    // Over 512 bytes, with characters of several bytes wherever a split may fall.
    let words: Vec<_> = (0..140).map(|n| format!("wört{n}")).collect();
    let text = words.join(" ");
    assert!(text.len() > 1000 && text.len() < 1300, "{}", text.len());
    lobby.says(&text).await;
    lobby.says("the end").await;
    bob.sees(LOBBY, "alice", "the end").await;

    let mut heard: Vec<_> = bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect();
    heard.pop();
    assert!(heard.len() > 1, "it takes more than one line");
    assert!(heard.iter().all(|line| line.len() < 500), "each fits");
    assert_eq!(heard.join(" ").split_whitespace().collect::<Vec<_>>(), words);
}

async fn a_text_without_spaces_is_cut_between_characters_p10(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    // One, two, three and four bytes, so that every limit falls into the middle of some character.
    let text: String = (0..320).map(|n| ['a', 'é', '€', '😀'][n % 4]).collect();
    lobby.says(&text).await;
    lobby.says("the end").await;
    bob.sees(LOBBY, "alice", "the end").await;
    let mut heard: Vec<_> = bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect();
    heard.pop();
    assert!(heard.len() > 1, "it takes more than one line");
    assert_eq!(heard.concat(), text, "nothing is cut, nothing is broken");
    // As much as fits: 512 bytes less what the server puts around it.
    let longest = heard.iter().map(String::len).max().unwrap_or_default();
    assert!((350..=480).contains(&longest), "{longest} bytes in the longest line");
}

async fn formatting_survives_what_is_unknown_p18(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    let html = "<p>Tom &amp; <b>Jerry</b> <blink>blink</blink> <a href=\"https://example.org/x\">there</a></p>\
                <ul><li>one</li><li><del>two</del></li></ul>";
    lobby.says_html("a plain text that nobody needs", html).await;
    lobby.says("the end").await;
    bob.sees(LOBBY, "alice", "the end").await;
    let all = bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n");
    for wanted in ["Tom & \u{2}Jerry", "blink", "https://example.org/x", "one", "\u{1e}two"] {
        assert!(all.contains(wanted), "{wanted:?} in {all:?}");
    }
    for unwanted in ["&amp;", "<", "nobody needs"] {
        assert!(!all.contains(unwanted), "{unwanted:?} in {all:?}");
    }
}

async fn mentions_cross_both_ways(d: Deployment) {
    let bob = d.irc_in(LOBBY, "Bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");
    d.until_member(&lobby, "bob").await;

    let pill = format!("<a href=\"https://matrix.to/#/{ghost}\">somebody</a>: are you there?");
    let mentions = json!({ "user_ids": [ghost] });
    lobby
        .sends(json!({
            "msgtype": "m.text", "body": "somebody: are you there?", "format": "org.matrix.custom.html",
            "formatted_body": pill, "m.mentions": mentions,
        }))
        .await;
    bob.sees(LOBBY, "alice", "Bob: are you there?").await;
    bob.says(LOBBY, "alice: I am, and malice is not");
    let event = lobby.sees(&ghost, "alice: I am, and malice is not").await;
    assert_eq!(event.content()["m.mentions"]["user_ids"], json!([alice.id]), "her, once: {event:?}");
    bob.says(LOBBY, "@room everybody");
    let event = lobby.sees(&ghost, "@room everybody").await;
    assert_ne!(event.content()["m.mentions"]["room"], json!(true), "nobody pings a whole room from there");
}

async fn what_a_channel_refuses_is_told_for_each_line(d: Deployment) {
    let bob = d.irc_in("#ops", "bob").await;
    let alice = d.matrix("alice").await;
    let ops = d.join(&alice, "#ops").await;
    ops.says("hello").await;
    bob.sees("#ops", "alice", "hello").await;
    bob.sets_mode("#ops", &["+m"]).await;
    for n in 0..6 {
        ops.says(&format!("refused {n}")).await;
    }
    let refusals = || {
        let events = alice.events().into_iter();
        let told = |event: &landbridge_tests::RoomEvent| {
            event.part == "timeline" && event.content()["msgtype"] == "m.notice" && event.sender() != alice.id
        };
        events.filter(|event| told(event) && event.body().contains("Not delivered")).count()
    };
    eventually("each of the six is told", || async { (refusals() == 6).then_some(()) }).await;
    bob.sets_mode("#ops", &["-m"]).await;
    ops.says("heard again").await;
    bob.sees("#ops", "alice", "heard again").await;
    assert_eq!(bob.heard("#ops"), said([("alice", "hello"), ("alice", "heard again")]));
    assert_eq!(refusals(), 6, "what was heard is not told as refused");
}

/// Typing needs a server that lets tags through, and absence one that tells of it.
mod signs {
    crate::everywhere::on!(
        embedded_inspircd,
        Embedded,
        Inspircd,
        Sqlite,
        typing_is_shown_both_ways,
        who_is_away_is_so_on_both_sides,
    );
    crate::everywhere::on!(synapse_inspircd, Synapse, Inspircd, Sqlite, typing_is_shown_both_ways,);

    use landbridge_tests::Deployment;

    use crate::everywhere::LOBBY;

    async fn typing_is_shown_both_ways(d: Deployment) {
        let bob = d.irc_in(LOBBY, "bob").await;
        bob.can_see_tags().await;
        let alice = d.matrix("alice").await;
        let lobby = d.join(&alice, LOBBY).await;
        lobby.says("hello").await;
        bob.sees(LOBBY, "alice", "hello").await;
        lobby.types().await;
        bob.sees_line("alice types", |line| line.command == "TAGMSG" && line.nick == "alice").await;
        bob.says(LOBBY, "go on");
        lobby.sees(&d.ghost("bob"), "go on").await;
        bob.types(LOBBY);
        let ghost = d.ghost("bob");
        lobby
            .sees_event("bob types", |event| {
                let users = event.content()["user_ids"].as_array();
                event.kind() == "m.typing" && users.is_some_and(|users| users.iter().any(|user| *user == *ghost))
            })
            .await;
    }

    async fn who_is_away_is_so_on_both_sides(d: Deployment) {
        let bob = d.irc_in(LOBBY, "bob").await;
        let alice = d.matrix("alice").await;
        let lobby = d.join(&alice, LOBBY).await;
        lobby.says("hello").await;
        bob.sees(LOBBY, "alice", "hello").await;
        bob.says(LOBBY, "hello, alice");
        lobby.sees(&d.ghost("bob"), "hello, alice").await;

        bob.sends("AWAY", &["out for tea"]);
        alice.sees_absence(&d.ghost("bob"), "out for tea").await;
        bob.sends("AWAY", &[]);
        alice.sees_return(&d.ghost("bob")).await;

        bob.sends("CAP", &["REQ", "away-notify"]);
        bob.sees_line("CAP ACK", |line| line.command == "CAP" && line.params.contains(&"ACK".to_owned())).await;
        alice.is_now("unavailable", Some("at lunch")).await;
        let away = |line: &landbridge_tests::Line| line.command == "AWAY" && line.nick == "alice";
        bob.sees_line("alice is away", |line| {
            away(line) && line.params.last().is_some_and(|words| words == "at lunch")
        })
        .await;
    }
}

/// A server with the limits that it comes with ends the connection of who says too much.
#[tokio::test]
async fn a_burst_stays_within_the_limits_of_the_server_p9() {
    const LINES: usize = 24;
    let server = Inspircd::start_limited().await;
    let d = Deployment::beside(Irc::Inspircd(server), On::Embedded, With::Sqlite, &[LOBBY]).await;
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let wanted: Vec<_> = (0..LINES).map(|n| format!("line {n}")).collect();
    for line in &wanted {
        lobby.says(line).await;
    }
    for line in &wanted {
        bob.sees(LOBBY, "alice", line).await;
    }
    assert_eq!(bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), wanted);
    let quits: Vec<_> = bob.lines().into_iter().filter(|line| line.command == "QUIT").collect();
    assert_eq!(quits, [], "nobody was put out");
}

async fn a_very_long_text_becomes_a_link(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    let text = (0..400).map(|n| format!("line {n} of a paste")).collect::<Vec<_>>().join("\n");
    lobby.says(&text).await;
    lobby.says("the end").await;
    bob.sees(LOBBY, "alice", "the end").await;

    let heard = bob.heard(LOBBY);
    assert!(heard.len() < 12, "the channel is spared: {} lines", heard.len());
    let link = heard.iter().find_map(|(_, text)| link_in(text)).expect("a link");
    let content = landbridge_tests::http().get(link).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(content, text);
}

/// The first web address in a line.
fn link_in(text: &str) -> Option<String> {
    let found =
        text.split_whitespace().find_map(|word| word.find("http").map(|at| word.get(at..).unwrap_or_default()))?;
    Some(found.trim_end_matches([')', ']', ',', '\u{f}']).to_owned())
}

async fn several_lines_are_several_messages(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    lobby.says("one\ntwo\n\nthree").await;
    for line in ["one", "two", "three"] {
        bob.sees(LOBBY, "alice", line).await;
    }
}

async fn a_reply_names_whom_it_answers(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    bob.says(LOBBY, "who is there?");
    let question = lobby.sees(&d.ghost("bob"), "who is there?").await;
    lobby.replies(question.id(), "I am").await;
    let line = bob.sees_some(LOBBY, "alice", "I am", |text| text.contains("I am")).await;
    assert!(line.contains("bob"), "it says whom it answers: {line:?}");
    assert_eq!(bob.heard(LOBBY).len(), 1, "in one line");
}

async fn an_edit_is_told(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    let message = lobby.says("I like cats").await;
    bob.sees(LOBBY, "alice", "I like cats").await;
    lobby.edits(&message, "I like dogs").await;
    bob.sees_some(LOBBY, "alice", "the edit", |text| text.contains("dogs")).await;
    assert_eq!(bob.heard(LOBBY).len(), 2, "the edit is told once");
}

async fn reactions_and_redactions_do_no_harm(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    bob.says(LOBBY, "a joke");
    let joke = lobby.sees(&d.ghost("bob"), "a joke").await;
    let reaction = lobby.reacts(joke.id(), "😀").await;
    lobby.redacts(&reaction, "").await;
    let slip = lobby.says("a slip").await;
    bob.sees(LOBBY, "alice", "a slip").await;
    lobby.redacts(&slip, "gone").await;
    lobby.says("still here").await;
    bob.sees(LOBBY, "alice", "still here").await;
    bob.says(LOBBY, "me too");
    lobby.sees(&d.ghost("bob"), "me too").await;
    let repeated = bob.heard(LOBBY).iter().filter(|(_, text)| text == "a slip").count();
    assert_eq!(repeated, 1, "what was taken back is not said again");
}

async fn a_file_crosses_as_a_link(d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;

    let file = alice.uploads("what the file says", "text/plain", "notes.txt").await;
    let info = json!({ "mimetype": "text/plain", "size": 18 });
    lobby.sends(json!({ "msgtype": "m.file", "body": "notes.txt", "url": file, "info": info })).await;
    let line = bob.sees_some(LOBBY, "alice", "a link", |text| text.contains("http")).await;
    assert!(line.contains("notes.txt"), "the name is said: {line:?}");
    let link = link_in(&line).expect("a link");
    let answer = landbridge_tests::http().get(link).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("text"), "what the file says");
}
