//! Dialogues over a simulated homeserver and a scripted network.

mod crash;
mod ephemeral;
mod failures;
mod invitations;
mod people;
mod stage;
mod talk;
mod telling;
mod upgrades;
mod withheld;
