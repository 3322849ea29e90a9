//! Any stream from an XMPP server, cut anywhere. What is read is within the bounds, and what is written is read again as the same.

#![no_main]

use landbridge_xmpp::{
    convert::incoming,
    muc::Presence,
    stanza::{Bounds, Element, ElementExt as _, Guard, Piece, Reader, StanzaError},
};
use libfuzzer_sys::fuzz_target;

const OPEN: &[u8] = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let bounds = Bounds { bytes: 4096, depth: 8, elements: 64, attributes: 8 };
    let mut reader = Reader::new(bounds);
    let mut stanzas = Vec::new();
    for mut chunk in [OPEN].into_iter().chain(bytes.chunks(usize::from(cut) + 1)) {
        loop {
            match reader.read(&mut chunk, &|_| true) {
                Ok(Some(Piece::Stanza(stanza))) => stanzas.push(stanza),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    for stanza in stanzas {
        let _ = (incoming::meaning(&stanza), incoming::typing(&stanza), Presence::read(&stanza), StanzaError::of(&stanza));
        let mut ours = Element::stanza("message", "a@matrix.test", "b@xmpp.test", "chat");
        ours.append_child(stanza);
        let Ok(written) = Guard::new("matrix.test", 1 << 20).write(&ours) else { continue };
        let mut again = Reader::default();
        let mut opening = OPEN;
        again.read(&mut opening, &|_| true).expect("a stream begins");
        let mut written = written.as_slice();
        let read = again.read(&mut written, &|_| true).expect("what was written is XML");
        assert!(matches!(read, Some(Piece::Stanza(_))), "{read:?}");
    }
});
