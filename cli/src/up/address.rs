//! `--irc HOST:PORT`

/// A host and, if it was given, a port.
///
/// IPv6 addresses need brackets before a port, and may do without otherwise.
pub(super) fn parse(text: &str) -> Result<(String, Option<u16>), String> {
    let wrong = || format!("--irc: `{text}` is neither a host nor host:port");
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)).transpose()?;
    if host.is_empty() || host.contains(['/', ' ', '@']) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let check = |text: &str, host: &str, port| assert_eq!(parse(text), Ok((host.to_owned(), port)), "{text}");
        check("irc.example.org", "irc.example.org", None);
        check("irc.example.org:6697", "irc.example.org", Some(6697));
        check("127.0.0.1:6667", "127.0.0.1", Some(6667));
        check("::1", "::1", None);
        check("[::1]", "::1", None);
        check("[2001:db8::1]:6667", "2001:db8::1", Some(6667));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ":6667", "host:", "host:port", "host:70000", "host:0", "[::1]6667", "irc://host", "a b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
