//! Polls ([MSC3381](https://github.com/matrix-org/matrix-spec-proposals/pull/3381)) in words, for networks that have none. Who votes is
//! not told.

use serde_json::Value as Json;

use crate::network::Body;

/// The most answers that are told; a poll has no more.
const MOST_ANSWERS: usize = 20;

/// A type of event, and the name of the poll in its content: as it is written now, and as it was before it was settled.
const STARTS: [(&str, &str); 2] =
    [("m.poll.start", "m.poll"), ("org.matrix.msc3381.poll.start", "org.matrix.msc3381.poll.start")];
const ENDS: [&str; 2] = ["m.poll.end", "org.matrix.msc3381.poll.end"];

/// Whether an event ends a poll.
pub(crate) fn is_end(kind: &str) -> bool {
    ENDS.contains(&kind)
}

/// What the beginning or the end of a poll says. `None` for what is neither, or says nothing.
pub(crate) fn read(kind: &str, content: &Json) -> Option<Body> {
    if is_end(kind) {
        return Some(Body::plain(text(content).unwrap_or("The poll has ended.")));
    }
    let (_, name) = STARTS.iter().find(|(start, _)| *start == kind)?;
    let poll = &content[*name];
    let answers = poll["answers"].as_array().into_iter().flatten().filter_map(text).take(MOST_ANSWERS);
    let answers = (1..).zip(answers).map(|(number, answer)| format!("{number}. {answer}"));
    match text(&poll["question"]) {
        Some(question) => {
            let lines: Vec<String> = std::iter::once(question.to_owned()).chain(answers).collect();
            Some(Body::plain(lines.join("\n")))
        }
        // Whatever it is, its own words are there for who cannot read it.
        None => text(content).map(Body::plain),
    }
}

/// The plain text of something extensible ([MSC1767](https://github.com/matrix-org/matrix-spec-proposals/pull/1767)).
fn text(block: &Json) -> Option<&str> {
    let found = plain(&block["m.text"])
        .or_else(|| block["org.matrix.msc1767.text"].as_str())
        .or_else(|| plain(&block["org.matrix.msc1767.message"]))
        .or_else(|| block["body"].as_str());
    found.map(str::trim).filter(|text| !text.is_empty())
}

/// Of several forms of one text, the plain one.
fn plain(forms: &Json) -> Option<&str> {
    let is_plain = |form: &&Json| form["mimetype"].as_str().is_none_or(|mime| mime == "text/plain");
    forms.as_array()?.iter().find(is_plain)?["body"].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(kind: &str, content: &Json) -> Option<String> {
        read(kind, content).map(|body| body.text.to_plain())
    }

    #[test]
    fn a_poll_is_its_question_and_its_answers_with_numbers() {
        let text = |text: &str| json!([{ "body": text }]);
        let stable = json!({
            "m.text": [{ "mimetype": "text/html", "body": "<b>Tea?</b>" }, { "body": "Tea?\n1. Black\n2. Green" }],
            "m.poll": {
                "kind": "m.disclosed", "question": { "m.text": text("Tea?") },
                "answers": [{ "m.id": "b", "m.text": text("Black") }, { "m.id": "g", "m.text": text("Green") }],
            },
        });
        assert_eq!(said("m.poll.start", &stable).unwrap(), "Tea?\n1. Black\n2. Green");
        let text = |text: &str| json!({ "id": text, "org.matrix.msc1767.text": text });
        let unstable = json!({
            "org.matrix.msc1767.text": "Tea? Black, or green",
            "org.matrix.msc3381.poll.start": {
                "kind": "org.matrix.msc3381.poll.disclosed", "question": text("Tea?"),
                "answers": [text("Black"), text("Green"), { "id": "none" }, text(" ")],
            },
        });
        assert_eq!(said("org.matrix.msc3381.poll.start", &unstable).unwrap(), "Tea?\n1. Black\n2. Green");
        let many: Vec<Json> = (0..50).map(|n| text(&n.to_string())).collect();
        let poll = json!({ "org.matrix.msc3381.poll.start": { "question": text("Which?"), "answers": many } });
        assert_eq!(said("org.matrix.msc3381.poll.start", &poll).unwrap().lines().count(), 21);
    }

    #[test]
    fn what_cannot_be_read_of_a_poll_is_said_in_its_own_words_if_it_has_any() {
        let odd = json!({ "m.text": [{ "body": "Tea?" }], "m.poll": { "question": 5, "answers": {} } });
        assert_eq!(said("m.poll.start", &odd).as_deref(), Some("Tea?"));
        assert_eq!(said("m.poll.start", &json!({ "m.poll": [] })), None);
        assert_eq!(said("m.poll.start", &json!(null)), None);
    }

    #[test]
    fn the_end_of_a_poll_says_what_came_of_it_and_votes_say_nothing() {
        let stable = json!({ "m.poll.results": {}, "m.text": [{ "body": "Green it is" }] });
        assert_eq!(said("m.poll.end", &stable).as_deref(), Some("Green it is"));
        let unstable = json!({ "org.matrix.msc1767.text": "Green it is", "org.matrix.msc3381.poll.end": {} });
        assert_eq!(said("org.matrix.msc3381.poll.end", &unstable).as_deref(), Some("Green it is"));
        assert_eq!(said("org.matrix.msc3381.poll.end", &json!({})).as_deref(), Some("The poll has ended."));
        for vote in ["m.poll.response", "org.matrix.msc3381.poll.response"] {
            assert_eq!(said(vote, &unstable), None);
        }
    }
}
