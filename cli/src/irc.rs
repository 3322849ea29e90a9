//! The IRC network, as the command line and the configuration describe it.

use landbridge::config::PlumbedRoom;
use landbridge_irc::IrcConfig;

/// The channels that the configuration joins to rooms.
pub(crate) fn plumbed(config: &IrcConfig) -> Vec<PlumbedRoom> {
    let plumb = |(channel, room): (&str, &str)| {
        // What is no room was refused when the configuration was read.
        Some(PlumbedRoom { room: room.try_into().ok()?, remote: channel.to_owned() })
    };
    let named = config.channels.iter().filter_map(|plumbed| Some((plumbed.channel.as_str(), plumbed.room.as_deref()?)));
    named.filter_map(plumb).collect()
}

/// The first server, as host:port.
pub(crate) fn server(config: &IrcConfig) -> String {
    config.servers.first().map_or_else(String::new, |server| {
        let brackets = if server.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}{}{}:{}", brackets.0, server.host, brackets.1, server.port())
    })
}
