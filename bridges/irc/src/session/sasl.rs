//! Logging in to services ([SASL 3.2](https://ircv3.net/specs/extensions/sasl-3.2)).

use std::time::Instant;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Sasl, SaslMethod};
use crate::message::Message;

/// Most bytes of one AUTHENTICATE parameter.
const CHUNK: usize = 400;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// When we stop waiting for the server's next word.
    pub(super) deadline: Instant,
    answered: bool,
}

impl Exchange {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, answered: false }
    }

    /// Answers the server's `AUTHENTICATE +`, once: no mechanism of ours has a second round, and a server that asks
    /// again is given nothing.
    pub(super) fn answer(&mut self, sasl: &Sasl) -> Vec<Message> {
        if std::mem::replace(&mut self.answered, true) {
            return vec![abort()];
        }
        chunks(&STANDARD.encode(payload(sasl))).map(|chunk| Message::new("AUTHENTICATE", [chunk])).collect()
    }
}

/// Opens an exchange.
pub(super) fn start(sasl: &Sasl) -> Message {
    Message::new("AUTHENTICATE", [mechanism(sasl)])
}

/// Gives an exchange up.
pub(super) fn abort() -> Message {
    Message::new("AUTHENTICATE", ["*"])
}

/// Whether the server's list of mechanisms (the value of its `sasl` capability) has ours. No list: it does not say.
pub(super) fn is_offered(sasl: &Sasl, list: Option<&str>) -> bool {
    list.filter(|list| !list.is_empty())
        .is_none_or(|list| list.split(',').any(|offered| offered.eq_ignore_ascii_case(mechanism(sasl))))
}

fn mechanism(sasl: &Sasl) -> &'static str {
    match sasl.method {
        SaslMethod::Plain(_) => "PLAIN",
        SaslMethod::External => "EXTERNAL",
    }
}

fn payload(sasl: &Sasl) -> String {
    let account = sasl.account.as_ref().map_or("", |account| account.as_str());
    match &sasl.method {
        SaslMethod::Plain(password) => format!("{account}\0{account}\0{}", password.expose()),
        // The certificate says whose it is. Atheme 7.2 refuses an account that is named besides, even the right one.
        SaslMethod::External => String::new(),
    }
}

/// Pieces of 400 bytes; a `+` after a last piece that is full, or when there is nothing to say.
fn chunks(encoded: &str) -> impl Iterator<Item = &str> {
    let full = encoded.len() / CHUNK;
    let pieces = (0..full).map(|piece| &encoded[piece * CHUNK..(piece + 1) * CHUNK]);
    let rest = &encoded[full * CHUNK..];
    pieces.chain([if rest.is_empty() { "+" } else { rest }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::IrcText, session::Secret};

    fn plain(password: &str) -> Sasl {
        Sasl {
            account: Some(IrcText::new("al").unwrap()),
            method: SaslMethod::Plain(Secret::new(password).unwrap()),
            required: true,
        }
    }

    fn answer(sasl: &Sasl) -> Vec<String> {
        Exchange::new(Instant::now()).answer(sasl).into_iter().map(|line| line.to_string()).collect()
    }

    #[test]
    fn plain_and_external_say_what_the_rfcs_want() {
        assert_eq!(answer(&plain("pw")), ["AUTHENTICATE YWwAYWwAcHc="]);
        let external = |account| Sasl { account, method: SaslMethod::External, required: true };
        assert_eq!(answer(&external(None)), ["AUTHENTICATE +"]);
        assert_eq!(answer(&external(Some(IrcText::new("al").unwrap()))), ["AUTHENTICATE +"]);
    }

    #[test]
    fn long_answers_go_in_pieces_of_400() {
        // 6 bytes of names around the password; 300 bytes become exactly 400.
        for (len, pieces) in [(291, vec![396]), (294, vec![400, 1]), (295, vec![400, 4]), (594, vec![400, 400, 1])] {
            let lens: Vec<_> = answer(&plain(&"x".repeat(len))).iter().map(|line| line.len() - 13).collect();
            assert_eq!(lens, pieces, "{len}");
        }
    }

    #[test]
    fn a_server_that_asks_twice_gets_no_second_answer() {
        let mut exchange = Exchange::new(Instant::now());
        exchange.answer(&plain("pw"));
        assert_eq!(exchange.answer(&plain("pw")), [abort()]);
    }

    #[test]
    fn the_servers_list_decides() {
        assert!(is_offered(&plain("pw"), None));
        assert!(is_offered(&plain("pw"), Some("")));
        assert!(is_offered(&plain("pw"), Some("EXTERNAL,plain")));
        assert!(!is_offered(&plain("pw"), Some("EXTERNAL")));
    }
}
