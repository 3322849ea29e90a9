//! How much text fits into a line, once the server has put our source before it.

use crate::{
    isupport::{DEFAULT_LINE_LEN, Isupport},
    message::Target,
    session::SendKind,
};

/// What bounds a message of ours: the line others receive, `:nick!user@host PRIVMSG target :text`, must not be longer
/// than the server's `LINELEN`, or the server cuts it silently, and some servers end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    line_len: usize,
    source_len: usize,
}

/// Longest user name with `~` and longest host that stock servers use; taken until the server tells ours.
const USER_LEN: usize = 11;
const HOST_LEN: usize = 63;

impl Default for Limits {
    fn default() -> Self {
        Self { line_len: DEFAULT_LINE_LEN, source_len: 30 + 1 + USER_LEN + 1 + HOST_LEN }
    }
}

impl Limits {
    pub(super) fn new(isupport: &Isupport, nick: &str, user: Option<&str>, host: Option<&str>) -> Self {
        // The nick may be changed by force between our line and its way out: keep room for a longest one.
        let nick = nick.len().max(isupport.nick_len.unwrap_or(0).min(64));
        let user = user.map_or(isupport.user_len.map_or(USER_LEN, |len| len + 1), str::len);
        let host = host.map_or(isupport.host_len.unwrap_or(HOST_LEN), str::len);
        Self { line_len: isupport.line_len, source_len: nick + 1 + user + 1 + host }
    }

    /// Bytes of text that one message may have; at least 1.
    pub fn text(&self, kind: SendKind, target: &Target) -> usize {
        let command = match kind {
            SendKind::Privmsg => "PRIVMSG".len(),
            SendKind::Notice => "NOTICE".len(),
            SendKind::Action => "PRIVMSG".len() + "\u{1}ACTION \u{1}".len(),
            SendKind::Tags => return 0,
        };
        // `:source COMMAND target :text\r\n`
        let around = 1 + self.source_len + 1 + command + 1 + target.as_str().len() + 2 + 2;
        self.line_len.saturating_sub(around).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Channel;

    #[test]
    fn p10_the_line_that_others_receive_fits() {
        let isupport = Isupport { nick_len: Some(9), ..Isupport::default() };
        let limits = Limits::new(&isupport, "alice", Some("~al"), Some("host.example"));
        let target = Target::Channel(Channel::new("#rust").unwrap());
        let text = "x".repeat(limits.text(SendKind::Action, &target));
        // Even after a change to the longest nick.
        let line = format!(":longest99!~al@host.example PRIVMSG #rust :\u{1}ACTION {text}\u{1}\r\n");
        assert_eq!(line.len(), 512);
    }
}
