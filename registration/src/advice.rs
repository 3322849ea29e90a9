//! What is allowed and yet hardly meant.

use crate::{Fault, NamespaceKind, Registration, overlap::matches_anything};

impl Registration {
    /// What is allowed and yet hardly meant, such as a namespace that matches no identifier whatever.
    #[must_use]
    pub fn advice(&self) -> Vec<Fault> {
        let mut advice = Vec::new();
        self.advise_on_tokens(&mut advice);
        self.advise_on_sender(&mut advice);
        self.advise_on_namespaces(&mut advice);
        self.advise_on_names(&mut advice);
        advice
    }

    fn advise_on_tokens(&self, advice: &mut Vec<Fault>) {
        if self.as_token == self.hs_token {
            advice.push(note("hs_token", "is the same as as_token", "Use two secrets: whoever learns one has both."));
        }
        for (name, token) in [("as_token", &self.as_token), ("hs_token", &self.hs_token)] {
            if token.reveal().len() < 16 {
                advice.push(note(name, "is short enough to be guessed", "Use 32 random characters or more."));
            }
        }
    }

    fn advise_on_sender(&self, advice: &mut Vec<Fault>) {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._~/-".contains(&byte);
        if !self.sender_localpart.bytes().all(safe) {
            let fix = "Use letters, digits and ._/- alone.";
            advice.push(note("sender_localpart", "holds characters that Synapse refuses here", fix));
        }
    }

    fn advise_on_namespaces(&self, advice: &mut Vec<Fault>) {
        for kind in NamespaceKind::ALL {
            for (index, namespace) in self.namespaces.of(kind).iter().enumerate() {
                if !matches_anything(kind, &namespace.regex) {
                    let path = format!("namespaces.{kind}[{index}].regex");
                    let problem = format!("`{}` matches no identifier of this kind", namespace.regex);
                    advice.push(note(&path, &problem, sigil_advice(kind)));
                }
            }
        }
    }

    fn advise_on_names(&self, advice: &mut Vec<Fault>) {
        for name in self.extra.keys() {
            if let Some(known) = crate::check::field_names().find(|known| resembles(known, name)) {
                let fix = format!("If you mean `{known}`, write it so.");
                advice.push(note(name, "is no field of a registration and is ignored", &fix));
            }
        }
    }
}

fn sigil_advice(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Users => "Match the whole user id from its start, as in `@irc_.*:example\\.org`.",
        NamespaceKind::Aliases => "Match the whole alias from its start, as in `#irc_.*:example\\.org`.",
        NamespaceKind::Rooms => "Match the whole room id from its start, as in `!abc`.",
    }
}

/// Alike but for case, `-`, `_` and a final `s`.
fn resembles(known: &str, name: &str) -> bool {
    let plain = |text: &str| {
        let letters: String = text.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        letters.to_lowercase().trim_end_matches('s').to_owned()
    };
    plain(known) == plain(name)
}

fn note(path: &str, problem: &str, fix: &str) -> Fault {
    Fault { at: None, path: path.to_owned(), problem: problem.to_owned(), fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::{Builder, Namespace};

    #[test]
    fn a_sound_registration_needs_no_advice() {
        let registration =
            Builder::new("irc", "ircbot").user_namespace(Namespace::new(true, "@irc_.*")).build().unwrap();
        assert_eq!(registration.advice(), []);
    }

    #[test]
    fn what_is_hardly_meant_is_named() {
        let mut registration = Builder::new("irc", "irc+bot")
            .tokens("short".into(), "short".into())
            .user_namespace(Namespace::new(true, "irc_.*"))
            .alias_namespace(Namespace::new(true, "^#irc_.*$"))
            .room_namespace(Namespace::new(false, "x^"))
            .build()
            .unwrap();
        registration.extra.insert("rate-limited".to_owned(), false.into());
        registration.extra.insert("group_id".to_owned(), "x".into());
        let paths: Vec<String> = registration.advice().into_iter().map(|fault| fault.path).collect();
        assert_eq!(
            paths,
            [
                "hs_token",
                "as_token",
                "hs_token",
                "sender_localpart",
                "namespaces.users[0].regex",
                "namespaces.rooms[0].regex",
                "rate-limited"
            ]
        );
    }
}
