//! Who is meant: nicks in IRC text → mentions, mentions → nicks.

use std::collections::HashMap;

use landbridge::{
    network::{RemoteId as _, op},
    rich_text::{Block, Inline, Mention, RichText, Span},
};

use super::ids::IrcUser;
use crate::{casemapping::Casemapping, config::MentionOptions};

/// Everybody in a room who can be mentioned, by folded nick.
pub struct Roster<'a> {
    casemapping: Casemapping,
    by_nick: HashMap<String, Target<'a>>,
}

type Target<'a> = (Mention, &'a str);

impl<'a> Roster<'a> {
    /// The virtual users and the Matrix users of a room.
    pub fn new(context: &'a op::Context<IrcUser>, casemapping: Casemapping) -> Self {
        let members = context.members.iter().map(|(_, name, user_id)| (name.as_str(), user_id));
        // A Matrix user comes last and wins: nicks are unique on IRC, so a virtual user of the same name is a relic.
        let puppets = context.puppets.iter().map(|(user_id, nick)| (nick.as_str(), user_id));
        let by_nick = members
            .chain(puppets)
            .map(|(nick, user_id)| (casemapping.fold(nick).into_owned(), (Mention::Matrix(user_id.clone()), nick)))
            .collect();
        Self { casemapping, by_nick }
    }

    fn find(&self, word: &str) -> Option<&Target<'a>> {
        self.by_nick.get(self.casemapping.fold(word).as_ref())
    }

    /// Turns the nicks in a text into mentions.
    ///
    /// A nick counts as a whole word outside of links and code. At the very start with a colon or comma behind it, it counts
    /// whatever its length; elsewhere it must have `min_length` characters. After `max` mentions the rest stays text, so that
    /// nobody pings a whole channel by reciting its members.
    pub fn mark(&self, text: RichText, options: &MentionOptions) -> RichText {
        if self.by_nick.is_empty() || options.max == 0 {
            return text;
        }
        let mut left = options.max;
        let blocks = text
            .blocks
            .into_iter()
            .map(|block| match block {
                Block::Paragraph(spans) => Block::Paragraph(self.mark_spans(spans, options, &mut left)),
                other => other,
            })
            .collect();
        RichText { blocks }
    }

    fn mark_spans(&self, spans: Vec<Span>, options: &MentionOptions, left: &mut usize) -> Vec<Span> {
        let mut out = Vec::with_capacity(spans.len());
        for (number, span) in spans.into_iter().enumerate() {
            match &span.content {
                Inline::Text(text) if !span.style.monospace && span.link.is_none() => {
                    self.mark_text(text, &span, number == 0, options, left, &mut out);
                }
                _ => out.push(span),
            }
        }
        out
    }

    fn mark_text(
        &self,
        text: &str,
        like: &Span,
        first: bool,
        options: &MentionOptions,
        left: &mut usize,
        out: &mut Vec<Span>,
    ) {
        let mut written = 0;
        for (at, word) in words(text) {
            if *left == 0 {
                break;
            }
            let after = text[at + word.len()..].chars().next();
            let addressed = first && at == 0 && matches!(after, Some(':' | ','));
            if !addressed && word.chars().count() < options.min_length {
                continue;
            }
            let Some((target, _)) = self.find(word) else { continue };
            if at > written {
                out.push(Span { content: Inline::Text(text[written..at].to_owned()), ..like.clone() });
            }
            out.push(Span {
                content: Inline::Mention { target: target.clone(), text: word.to_owned() },
                ..like.clone()
            });
            written = at + word.len();
            *left -= 1;
        }
        if written < text.len() {
            out.push(Span { content: Inline::Text(text[written..].to_owned()), ..like.clone() });
        }
    }
}

/// The words of a text that can be nicks, and where they start. Links have none.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    text.split_inclusive(char::is_whitespace).flat_map(move |chunk| {
        let start = from;
        from += chunk.len();
        let is_link = chunk.contains("://") || chunk.starts_with(['#', '/']);
        let mut found = Vec::new();
        let mut rest = if is_link { "" } else { chunk };
        let mut at = start;
        while let Some(begin) = rest.find(is_nick_char) {
            // What stands right before a nick must not be part of an address.
            let joined = rest[..begin].ends_with(['.', '/', '=', '&', '?', '#', '+', '%', '~']);
            let end = rest[begin..].find(|c| !is_nick_char(c)).map_or(rest.len(), |end| begin + end);
            if !joined {
                found.push((at + begin, &rest[begin..end]));
            }
            at += end;
            rest = &rest[end..];
        }
        found
    })
}

fn is_nick_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '[' | ']' | '\\' | '`' | '_' | '^' | '{' | '|' | '}' | '-')
}

/// Turns the mentions in a text into what IRC clients highlight: the nick of whoever is meant.
pub fn spell(text: &RichText, context: &op::Context<IrcUser>) -> RichText {
    let mut text = text.clone();
    text.for_each_span_mut(&mut |span| {
        let Inline::Mention { target, text } = &mut span.content else { return };
        let nick = match target {
            Mention::Matrix(user_id) => {
                let puppet = context.puppets.iter().find(|(id, _)| id == user_id).map(|(_, nick)| nick);
                puppet
                    .or_else(|| context.members.iter().find(|(_, _, id)| id == user_id).map(|(_, name, _)| name))
                    .cloned()
            }
            Mention::Remote(id) => context
                .members
                .iter()
                .find(|(user, ..)| user.encode() == *id)
                .map(|(_, name, _)| name.clone())
                .or_else(|| IrcUser::decode(id)?.nick().map(str::to_owned)),
            Mention::Room => None,
        };
        let shown = nick.unwrap_or_else(|| std::mem::take(text));
        span.content = Inline::Text(shown);
        span.link = None;
    });
    text
}

#[cfg(test)]
mod tests {
    use landbridge::network::Caps;
    use ruma::user_id;

    use super::*;

    fn context() -> op::Context<IrcUser> {
        let user = |nick| IrcUser::new(nick, Casemapping::Rfc1459);
        op::Context {
            caps: Caps::default(),
            members: vec![
                (user("Bob[1]"), "Bob[1]".into(), user_id!("@irc_bob=7b1=7d:here").to_owned()),
                (user("al"), "al".into(), user_id!("@irc_al:here").to_owned()),
            ],
            puppets: vec![(user_id!("@alice:here").to_owned(), "alice".into())],
            server_name: "here".into(),
        }
    }

    #[track_caller]
    fn check(line: &str, mentioned: &[&str]) {
        let context = context();
        let marked =
            Roster::new(&context, Casemapping::Rfc1459).mark(RichText::plain(line), &MentionOptions::default());
        let mut found = Vec::new();
        marked.for_each_span(&mut |span| {
            if let Inline::Mention { text, .. } = &span.content {
                found.push(text.clone());
            }
        });
        assert_eq!(found, mentioned, "{line}");
        assert_eq!(marked.to_plain(), line);
    }

    #[test]
    fn nicks_are_found_as_whole_words() {
        check("alice: hi", &["alice"]);
        check("hi ALICE!", &["ALICE"]);
        check("hi @alice, bob{1} and (alice's)", &["alice", "bob{1}", "alice"]);
        check("malice alices alice_ alice-x", &[]);
        check("https://x.example/alice #alice /alice example.org/alice a=alice", &[]);
        check("al: short", &["al"]);
        check("but al here is no ping", &[]);
        check("@room look", &[]);
    }

    #[test]
    fn reciting_everybody_pings_few() {
        let line = "alice ".repeat(50);
        let context = context();
        let marked = Roster::new(&context, Casemapping::Ascii).mark(RichText::plain(&line), &MentionOptions::default());
        let mut count = 0;
        marked.for_each_span(&mut |span| count += usize::from(matches!(span.content, Inline::Mention { .. })));
        assert_eq!(count, MentionOptions::default().max);
        assert_eq!(marked.to_plain(), line);
    }

    #[test]
    fn pills_become_nicks() {
        let html = "<a href='https://matrix.to/#/@alice:here'>Alice Smith</a> <a href='https://matrix.to/#/@irc_al:here'>Al</a> \
                    <a href='https://matrix.to/#/@carol:here'>Carol</a>";
        assert_eq!(spell(&RichText::from_html(html), &context()).to_plain(), "alice al Carol");
        let remote = RichText::from_spans(vec![Span::mention(Mention::Remote("bob{1}".into()), "Robert")]);
        assert_eq!(spell(&remote, &context()).to_plain(), "Bob[1]");
    }
}
