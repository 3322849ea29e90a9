//! Any address. One that is read is read again as itself; a node of ours is one Matrix user's, and back.

#![no_main]

use landbridge::network::RemoteId;
use landbridge_xmpp::{
    convert::ids::{XmppRoom, XmppUser},
    jid::{Jid, escape},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(user_id) = escape::user_of(text) {
        assert_eq!(escape::node_of(&user_id).as_deref(), Some(text));
    }
    let Some(jid) = Jid::parse(text) else { return };
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Some(&jid));
    let user = XmppUser::of_jid(&jid);
    assert_eq!(XmppUser::decode(&user.encode()), Some(user));
    if let Some(room) = XmppRoom::muc(text) {
        assert_eq!(XmppRoom::decode(&room.encode()), Some(room));
    }
});
