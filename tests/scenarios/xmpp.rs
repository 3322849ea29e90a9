//! XMPP: over Prosody and ejabberd, on the embedded homeserver and on Synapse.

mod everywhere;
mod people;
mod talk;
