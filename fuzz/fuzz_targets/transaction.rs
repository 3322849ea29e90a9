//! Any body of a transaction. What is taken is JSON, and nothing in it is made up.

#![no_main]

use landbridge::http::{MAX_EVENTS, Pushed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(pushed) = Pushed::parse(body) else { return };
    assert!(pushed.events.len() + pushed.dropped <= MAX_EVENTS);
    for event in &pushed.events {
        assert!(event.json().get().starts_with('{'));
        let _ = event.get_field::<String>("event_id");
        let _ = event.deserialize();
    }
});
