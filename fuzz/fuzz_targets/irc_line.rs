//! Any line from an IRC server. What can be read and written is read again as the same.

#![no_main]

use landbridge_irc::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let Ok(message) = Message::parse(line) else { return };
    let _ = (message.numeric(), message.last(), message.param(1));
    let Ok(written) = message.encode(usize::MAX) else { return };
    let line = written.strip_suffix("\r\n").expect("a line ends as lines do");
    assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    let again = Message::parse(line).expect("what was written can be read");
    assert_eq!(again.command, message.command);
    assert_eq!(again.params, message.params, "{line:?}");
});
