//! Any ISUPPORT, and any MODE line and NAMES reply under it.

#![no_main]

use landbridge_irc::isupport::Isupport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: [&str; 3]| {
    let [tokens, modes, names] = lines;
    let mut isupport = Isupport::default();
    tokens.split(' ').for_each(|token| isupport.apply(token));
    let params: Vec<&str> = modes.split(' ').collect();
    let changes = isupport.modes.parse(&params);
    assert!(changes.len() <= params.first().map_or(0, |letters| letters.chars().count()));
    for name in names.split(' ') {
        let (_, nick) = isupport.modes.split_ranks(name);
        assert!(name.ends_with(nick));
        let _ = isupport.split_status(name);
    }
});
