//! Any text as a registration: it is refused, or it is read, written and read again as the same.

#![no_main]

use landbridge_registration::{NamespaceMatcher, Registration};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(registration) = Registration::from_yaml(text) else { return };
    let _ = registration.advice();
    let server = "example.org".try_into().expect("a server name");
    let matcher = NamespaceMatcher::new(&registration, server).expect("what was read can be used");
    let _ = matcher.user("@irc_alice:example.org".try_into().expect("a user id"));
    let written = registration.to_yaml().expect("what was read can be written");
    match Registration::from_yaml(&written) {
        Ok(again) => assert_eq!(again, registration, "{written}"),
        Err(faults) => panic!("{faults}\n{written}"),
    }
});
