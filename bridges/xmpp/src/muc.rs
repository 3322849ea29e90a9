//! Rooms ([XEP-0045](https://xmpp.org/extensions/xep-0045.html)) as a state machine: stanzas in, what follows from them out. No I/O.
//!
//! In each room sits one *listener*, the bridge's own occupant, whose copy of everything counts. Matrix users who speak take seats
//! of their own beside it; of what their seats hear, only what concerns themselves is looked at.

mod happening;
pub mod nick;
mod occupant;
pub mod presence;
mod room;
mod seat;
pub mod token;

pub use self::{
    happening::{Happening, Out},
    occupant::Occupant,
    presence::{Affiliation, Item, Presence, Role},
    room::{Room, seats::picture},
    seat::{Gone, JoinError, Seat, SeatId, SeatState, Why},
};
