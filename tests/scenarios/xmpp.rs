//! XMPP: over Prosody and ejabberd, on the embedded homeserver and on Synapse.

mod check;
mod everywhere;
mod files;
mod flood;
mod govern;
mod in_one;
mod kills;
mod people;
mod relay;
mod restarts;
mod talk;
