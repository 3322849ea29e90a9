//! Strict transport security ([sts](https://ircv3.net/specs/extensions/sts)): a server that can be reached over TLS wants to be
//! reached no other way.

use std::time::Duration;

/// What the server's `sts` capability says. It is never requested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sts {
    /// Where it is reached over TLS; counts on a connection without.
    pub(super) port: Option<u16>,
    /// For how long it is to be reached over TLS only; counts on a connection with TLS.
    pub(super) duration: Option<Duration>,
}

impl Sts {
    /// Reads `port=6697,duration=2592000,preload`; what is none of these is passed over.
    pub(super) fn parse(value: &str) -> Self {
        let mut sts = Self::default();
        for token in value.split(',') {
            match token.split_once('=') {
                Some(("port", port)) => sts.port = port.parse().ok().filter(|port| *port != 0),
                Some(("duration", seconds)) => sts.duration = seconds.parse().ok().map(Duration::from_secs),
                _ => {}
            }
        }
        sts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let sts = |port, seconds: Option<u64>| Sts { port, duration: seconds.map(Duration::from_secs) };
        for (value, wanted) in [
            ("port=6697,duration=60", sts(Some(6697), Some(60))),
            ("duration=0", sts(None, Some(0))),
            ("preload,port=1", sts(Some(1), None)),
            ("port=0", sts(None, None)),
            ("port=70000,duration=-1", sts(None, None)),
            ("", sts(None, None)),
        ] {
            assert_eq!(Sts::parse(value), wanted, "{value}");
        }
    }
}
