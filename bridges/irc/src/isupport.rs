//! What a server says of itself in `005` (RPL_ISUPPORT, [modern.ircdocs](https://modern.ircdocs.horse/#feature-advertisement)).
//!
//! Values are a server's claims: numbers are bounded, unknown tokens are kept out, and whatever is absurd leaves the
//! protocol's default in force.

use crate::{casemapping::Casemapping, modes::ModeTypes};

/// The `LINELEN` of RFC 1459: bytes of a line with its CR LF, tags not counted.
pub const DEFAULT_LINE_LEN: usize = 512;

/// The nick length of RFC 1459, which every server takes.
pub const DEFAULT_NICK_LEN: usize = 9;

/// What the server supports, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isupport {
    /// `CASEMAPPING`.
    pub casemapping: Casemapping,
    /// `CHANMODES` and `PREFIX`: what each mode letter takes.
    pub modes: ModeTypes,
    /// `CHANTYPES`: first characters of channels. Empty: the server has no channels.
    pub chan_types: Box<str>,
    /// `STATUSMSG`: prefixes that may stand before a channel to reach only its operators and so on.
    pub status_msg: Box<str>,
    /// `NICKLEN`, bytes. `None` until the server said it.
    pub nick_len: Option<usize>,
    /// `CHANNELLEN`, bytes.
    pub channel_len: Option<usize>,
    /// `TOPICLEN`, bytes.
    pub topic_len: Option<usize>,
    /// `KICKLEN`, bytes.
    pub kick_len: Option<usize>,
    /// `AWAYLEN`, bytes.
    pub away_len: Option<usize>,
    /// `USERLEN`, bytes of a user name.
    pub user_len: Option<usize>,
    /// `HOSTLEN`, bytes of a host name.
    pub host_len: Option<usize>,
    /// `NAMELEN`, bytes of a real name.
    pub name_len: Option<usize>,
    /// `LINELEN`, bytes of a line with CR LF, tags not counted.
    pub line_len: usize,
    /// `MODES`: changes with a parameter in one MODE line.
    pub modes_per_line: usize,
    /// `MONITOR`: most nicks on the list; `None` if there is no such command.
    pub monitor: Option<usize>,
    /// `TARGMAX` of PRIVMSG, or `MAXTARGETS`: targets of one message.
    pub message_targets: usize,
    /// `UTF8ONLY`: the server refuses everything else.
    pub utf8_only: bool,
    /// `BOT`: the user mode that marks a bot.
    pub bot_mode: Option<char>,
    /// `NETWORK`: the network's name, for people.
    pub network: Option<Box<str>>,
    /// `WHOX`.
    pub whox: bool,
    /// `CHATHISTORY`: most messages that one question brings; 0: no limit.
    pub chathistory: Option<usize>,
    /// `CLIENTTAGDENY`: client-only tags the server drops; `*` is all, `-name` an exception.
    pub client_tag_deny: Box<str>,
}

impl Default for Isupport {
    fn default() -> Self {
        Self {
            casemapping: Casemapping::default(),
            modes: ModeTypes::default(),
            chan_types: "#&".into(),
            status_msg: "".into(),
            nick_len: None,
            channel_len: None,
            topic_len: None,
            kick_len: None,
            away_len: None,
            user_len: None,
            host_len: None,
            name_len: None,
            line_len: DEFAULT_LINE_LEN,
            modes_per_line: 3,
            monitor: None,
            message_targets: 1,
            utf8_only: false,
            bot_mode: None,
            network: None,
            whox: false,
            chathistory: None,
            client_tag_deny: "".into(),
        }
    }
}

impl Isupport {
    /// Takes in one token, `NAME`, `NAME=value` or `-NAME` (back to what it was before the server spoke).
    pub fn apply(&mut self, token: &str) {
        if let Some(name) = token.strip_prefix('-') {
            self.set(name, None, &Self::default());
            return;
        }
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        let value = unescape(value);
        self.set(name, Some(&value), &Self::default());
    }

    /// Whether a name is a channel's, by its first character.
    pub fn is_channel(&self, name: &str) -> bool {
        name.chars().next().is_some_and(|first| self.chan_types.contains(first))
    }

    /// The `STATUSMSG` prefix of a target and the channel behind it.
    pub fn split_status<'a>(&self, target: &'a str) -> (Option<char>, &'a str) {
        match target.chars().next() {
            Some(first) if self.status_msg.contains(first) && self.is_channel(&target[first.len_utf8()..]) => {
                (Some(first), &target[first.len_utf8()..])
            }
            _ => (None, target),
        }
    }

    /// Whether the server lets a client-only tag through; `name` without its `+`.
    pub fn client_tag_allowed(&self, name: &str) -> bool {
        let mut denied = false;
        for entry in self.client_tag_deny.split(',') {
            match entry.strip_prefix('-') {
                Some(exception) if exception == name => return true,
                Some(_) => {}
                None => denied |= entry == "*" || entry == name,
            }
        }
        !denied
    }

    /// `value` is `None` to take a token back: then `default` says what it was.
    fn set(&mut self, name: &str, value: Option<&str>, default: &Self) {
        match name.to_ascii_uppercase().as_str() {
            "CASEMAPPING" => self.casemapping = value.map_or(default.casemapping, Casemapping::parse),
            "PREFIX" => self.modes.apply_prefix(value),
            "CHANMODES" => self.modes.apply_chanmodes(value),
            "CHANTYPES" => self.chan_types = value.map_or_else(|| default.chan_types.clone(), signs),
            "STATUSMSG" => self.status_msg = value.map_or_else(|| default.status_msg.clone(), signs),
            "NICKLEN" | "MAXNICKLEN" => self.nick_len = value.and_then(|value| bounded(value, 1, 300)),
            "CHANNELLEN" => self.channel_len = value.and_then(|value| bounded(value, 2, 400)),
            "TOPICLEN" => self.topic_len = value.and_then(|value| bounded(value, 1, 16_000)),
            "KICKLEN" => self.kick_len = value.and_then(|value| bounded(value, 1, 16_000)),
            "AWAYLEN" => self.away_len = value.and_then(|value| bounded(value, 1, 16_000)),
            "USERLEN" => self.user_len = value.and_then(|value| bounded(value, 1, 300)),
            "HOSTLEN" => self.host_len = value.and_then(|value| bounded(value, 1, 300)),
            "NAMELEN" => self.name_len = value.and_then(|value| bounded(value, 1, 400)),
            "LINELEN" => {
                self.line_len =
                    value.and_then(|value| bounded(value, DEFAULT_LINE_LEN, 16_384)).unwrap_or(default.line_len);
            }
            // Without a value there is no limit; the line has one.
            "MODES" => {
                self.modes_per_line = value.map_or(default.modes_per_line, |value| bounded(value, 1, 20).unwrap_or(20));
            }
            "MONITOR" => self.monitor = value.map(|value| bounded(value, 1, 10_000).unwrap_or(10_000)),
            "MAXTARGETS" => self.message_targets = value.and_then(|value| bounded(value, 1, 20)).unwrap_or(1),
            "TARGMAX" => self.message_targets = value.and_then(message_targets).unwrap_or(1),
            "UTF8ONLY" => self.utf8_only = value.is_some(),
            "BOT" => self.bot_mode = value.and_then(|value| value.chars().next()).filter(char::is_ascii_alphabetic),
            "NETWORK" => self.network = value.filter(|value| !value.is_empty()).map(|value| shorten(value, 100).into()),
            "WHOX" => self.whox = value.is_some(),
            "CHATHISTORY" => self.chathistory = value.and_then(|value| bounded(value, 0, 10_000)),
            "CLIENTTAGDENY" => self.client_tag_deny = value.map_or("".into(), |value| shorten(value, 500).into()),
            _ => {}
        }
    }
}

/// Punctuation alone, each sign once: a letter here would make nicks look like channels.
fn signs(value: &str) -> Box<str> {
    let mut signs = String::new();
    for c in value.chars().filter(char::is_ascii_punctuation) {
        if !signs.contains(c) {
            signs.push(c);
        }
    }
    signs.into()
}

fn bounded(value: &str, least: usize, most: usize) -> Option<usize> {
    value.parse::<usize>().ok().filter(|number| *number >= least).map(|number| number.min(most))
}

/// `PRIVMSG:4,NOTICE:4,JOIN:` → 4; no number there means no limit.
fn message_targets(value: &str) -> Option<usize> {
    let limit = value.split(',').find_map(|entry| entry.strip_prefix("PRIVMSG:"))?;
    Some(bounded(limit, 1, 20).unwrap_or(20))
}

fn shorten(value: &str, most: usize) -> &str {
    &value[..value.floor_char_boundary(most)]
}

/// `\x20` → a space; what is no escape stays.
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x") {
        plain.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii) {
            Some(byte) if byte >= b' ' => {
                plain.push(char::from(byte));
                rest = &after[2..];
            }
            _ => {
                plain.push_str("\\x");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(tokens: &str) -> Isupport {
        let mut isupport = Isupport::default();
        tokens.split(' ').for_each(|token| isupport.apply(token));
        isupport
    }

    #[test]
    fn the_tokens_of_real_servers_are_read() {
        let inspircd = told(
            "AWAYLEN=200 BOT=B CASEMAPPING=rfc1459 CHANLIMIT=#:20 CHANMODES=IXbeg,k,FHJLfjl,ACKMNOPRSTUcimnprstuz \
             CHANNELLEN=64 CHANTYPES=# ELIST=CMNTU EXTBAN=,ACNOQRSTUacmnprtuz HOSTLEN=64 KICKLEN=300 LINELEN=512 \
             MAXLIST=I:100 MAXTARGETS=20 MODES=20 MONITOR=30 NAMELEN=130 NAMESX NETWORK=InspTest NICKLEN=30 \
             PREFIX=(qaohv)~&@%+ STATUSMSG=~&@%+ TOPICLEN=390 UHNAMES USERLEN=10 USERMODES=,,s,BIRcdghikorw WHOX",
        );
        assert_eq!(inspircd.nick_len, Some(30));
        assert_eq!(inspircd.network.as_deref(), Some("InspTest"));
        assert_eq!((inspircd.bot_mode, inspircd.whox, inspircd.monitor), (Some('B'), true, Some(30)));
        assert_eq!((inspircd.modes_per_line, inspircd.message_targets), (20, 20));
        assert_eq!(inspircd.split_status("@#ops"), (Some('@'), "#ops"));
        assert_eq!(inspircd.split_status("@alice"), (None, "@alice"));
        assert!(inspircd.is_channel("#a") && !inspircd.is_channel("&a") && !inspircd.is_channel(""));
        let ngircd = told(
            "RFC2812 IRCD=ngIRCd CHARSET=UTF-8 CASEMAPPING=ascii PREFIX=(qaohv)~&@%+ CHANTYPES=#&+ NICKLEN=31 PENALTY FNC",
        );
        assert_eq!(ngircd.casemapping, Casemapping::Ascii);
        assert!(ngircd.is_channel("+a"));
    }

    #[test]
    fn a_minus_takes_a_token_back() {
        let isupport =
            told("NICKLEN=30 -NICKLEN CHANTYPES=+ -CHANTYPES WHOX -WHOX CASEMAPPING=ascii -CASEMAPPING -LINELEN");
        assert_eq!(isupport, Isupport::default());
    }

    #[test]
    fn absurd_values_are_bounded_or_passed_over() {
        let isupport = told(
            "NICKLEN=99999999999999999999 LINELEN=99999999 CHANNELLEN=-1 MODES= TOPICLEN=x MONITOR CHANTYPES=abc# BOT=",
        );
        assert_eq!((isupport.nick_len, isupport.line_len, isupport.channel_len), (None, 16_384, None));
        assert_eq!((isupport.modes_per_line, isupport.monitor, isupport.bot_mode), (20, Some(10_000), None));
        assert_eq!(&*isupport.chan_types, "#");
        assert_eq!(told("LINELEN=1").line_len, DEFAULT_LINE_LEN);
    }

    #[test]
    fn escapes_are_resolved_but_control_characters_stay_out() {
        assert_eq!(told("NETWORK=My\\x20Net\\x3D1").network.as_deref(), Some("My Net=1"));
        assert_eq!(told("NETWORK=a\\x0Ab\\xZZ\\x").network.as_deref(), Some("a\\x0Ab\\xZZ\\x"));
    }

    #[test]
    fn client_tags_are_denied_by_name_and_by_star() {
        assert!(told("WHOX").client_tag_allowed("typing"));
        assert!(!told("CLIENTTAGDENY=*").client_tag_allowed("typing"));
        assert!(told("CLIENTTAGDENY=*,-typing").client_tag_allowed("typing"));
        assert!(!told("CLIENTTAGDENY=typing").client_tag_allowed("typing"));
    }

    proptest! {
        #[test]
        fn no_token_panics(tokens in proptest::collection::vec("-?(PREFIX|CHANMODES|CHANTYPES|NETWORK|STATUSMSG|TARGMAX|NICKLEN)?=?\\PC{0,20}", 0..8)) {
            let mut isupport = Isupport::default();
            for token in &tokens {
                isupport.apply(token);
            }
            prop_assert!((DEFAULT_LINE_LEN..=16_384).contains(&isupport.line_len));
            let _ = isupport.split_status(&tokens.concat());
        }
    }
}
