//! XMPP: over Prosody and ejabberd, on the embedded homeserver and on Synapse.

mod check;
mod everywhere;
mod flood;
mod kills;
mod people;
mod restarts;
mod talk;
