use proptest::prelude::*;

use super::*;

fn parsed(line: &str) -> (Option<String>, String, Vec<String>) {
    let message = Message::parse(line).unwrap();
    (message.source.map(|source| source.to_string()), message.command, message.params)
}

#[test]
fn lines_are_read_as_servers_mean_them() {
    let table: [(&str, Option<&str>, &str, &[&str]); 14] = [
        ("PING", None, "PING", &[]),
        ("ping :a b", None, "PING", &["a b"]),
        (":s 001 bot :Welcome home", Some("s"), "001", &["bot", "Welcome home"]),
        (":a!u@h PRIVMSG #c :", Some("a!u@h"), "PRIVMSG", &["#c", ""]),
        (":a!u@h PRIVMSG #c ::)", Some("a!u@h"), "PRIVMSG", &["#c", ":)"]),
        (":a!u@h PRIVMSG #c hi", Some("a!u@h"), "PRIVMSG", &["#c", "hi"]),
        // Spaces, wherever they stand.
        ("  :s   353  bot   =  #c   :a  b ", Some("s"), "353", &["bot", "=", "#c", "a  b "]),
        ("@a=1   :s   PING   x", Some("s"), "PING", &["x"]),
        ("@a=1  PING x  ", None, "PING", &["x"]),
        ("MODE #c +o  alice  ", None, "MODE", &["#c", "+o", "alice"]),
        ("X a:b :c", None, "X", &["a:b", "c"]),
        // Fifteen parameters at most; the last takes the rest.
        (
            "X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
            None,
            "X",
            &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15 16"],
        ),
        ("X\ta b", None, "", &[]),
        (":! PING x", None, "PING", &["x"]),
    ];
    for (line, source, command, params) in table {
        if command.is_empty() {
            assert_eq!(Message::parse(line), Err(ParseError::BadCommand), "{line}");
            continue;
        }
        let params: Vec<String> = params.iter().map(|param| (*param).to_owned()).collect();
        assert_eq!(parsed(line), (source.map(str::to_owned), command.to_owned(), params), "{line}");
    }
}

#[test]
fn what_is_no_line_says_why() {
    let table = [
        ("", ParseError::Empty),
        ("   ", ParseError::Empty),
        ("\r", ParseError::Empty),
        (":s", ParseError::NoCommand),
        (":s ", ParseError::NoCommand),
        ("@a=1", ParseError::NoCommand),
        ("@a=1 ", ParseError::NoCommand),
        ("@a=1 :s ", ParseError::NoCommand),
        (":", ParseError::NoCommand),
        ("@", ParseError::NoCommand),
        ("12 x", ParseError::BadCommand),
        ("1234 x", ParseError::BadCommand),
        ("PRIV-MSG x", ParseError::BadCommand),
        ("é x", ParseError::BadCommand),
    ];
    for (line, error) in table {
        assert_eq!(Message::parse(line), Err(error), "{line:?}");
    }
    let longest = format!("@{} PING", "x".repeat(MAX_SERVER_TAGS - 2));
    assert!(Message::parse(&longest).is_ok());
    assert_eq!(Message::parse(&format!("@x{}", &longest[1..])), Err(ParseError::TagsTooLong));
}

#[test]
fn what_cannot_be_one_line_is_refused() {
    let table: [(&str, &[&str], EncodeError); 7] = [
        ("PRIVMSG", &["#c", "a\nb"], EncodeError::ForbiddenByte),
        ("PRIVMSG", &["#c", "a\rb"], EncodeError::ForbiddenByte),
        ("PRIVMSG", &["#c\0", "b"], EncodeError::ForbiddenByte),
        ("PRIVMSG", &["", "b"], EncodeError::BadMiddle),
        ("PRIVMSG", &["#a b", "b"], EncodeError::BadMiddle),
        ("PRIVMSG", &[":#c", "b"], EncodeError::BadMiddle),
        ("PRIV MSG", &["#c", "b"], EncodeError::BadCommand),
    ];
    for (command, params, error) in table {
        assert_eq!(Message::new(command, params.iter().copied()).encode(512), Err(error), "{params:?}");
    }
    let message = Message::new("X", ["x".repeat(508)]);
    assert_eq!(message.encode(512).map(|line| line.len()), Ok(512));
    assert_eq!(message.encode(511), Err(EncodeError::TooLong { len: 512, max: 511 }));
    let mut tagged = message.clone();
    tagged.tags.insert("+a", &"v".repeat(4090));
    assert!(tagged.encode(512).is_ok(), "tags do not count for the line");
    tagged.tags.insert("+a", &"v".repeat(4092));
    assert_eq!(tagged.encode(512), Err(EncodeError::TagsTooLong));
}

fn any_message() -> impl Strategy<Value = Message> {
    let middle = "[^ :\r\n\0][^ \r\n\0]{0,8}";
    let tags = proptest::collection::vec(("\\+?[a-z/.-]{1,8}", "\\PC{0,8}[;\\\\ \r\n]{0,3}"), 0..4);
    let source = proptest::option::of((
        "[a-z][a-z.]{0,5}",
        proptest::option::of("[~a-z]{1,5}"),
        proptest::option::of("[a-z.]{1,5}"),
    ));
    let params = (proptest::collection::vec(middle, 0..6), proptest::option::of("[^\r\n\0]{0,20}"));
    (tags, source, "[A-Z]{1,8}|[0-9]{3}", params).prop_map(|(tags, source, command, (middles, last))| {
        let mut message = Message::new(&command, middles);
        message.params.extend(last);
        message.source = source.map(|(name, user, host)| Source { name, user, host });
        for (key, value) in tags {
            message.tags.insert(&key, &value);
        }
        message
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(message in any_message()) {
        let line = message.encode(100_000).unwrap();
        prop_assert!(line.ends_with("\r\n"));
        prop_assert_eq!(line.matches(['\r', '\n', '\0']).count(), 2);
        prop_assert_eq!(Message::parse(line.trim_end_matches(['\r', '\n'])), Ok(message));
    }

    #[test]
    fn no_line_panics_and_what_is_read_is_written_back(line in "(@[^ ]{0,10} {1,2})?(:[^ ]{0,6} )?\\PC{0,40}") {
        if let Ok(message) = Message::parse(&line) {
            prop_assert!(message.params.len() <= MAX_PARAMS);
            if let Ok(written) = message.encode(100_000) {
                prop_assert_eq!(Message::parse(written.trim_end_matches(['\r', '\n'])), Ok(message));
            }
        }
    }
}
