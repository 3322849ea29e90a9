//! What could not be delivered, kept with its input, its error and its attempts.

use serde::{Deserialize, Serialize};

use crate::{clock::Millis, network::Direction};

/// Something that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// The lane it stood in.
    pub lane: String,
    /// Which way it was going.
    pub direction: Direction,
    /// At which step it failed.
    pub stage: Stage,
    /// What it was: the stored input as JSON.
    pub input: String,
    /// Why it failed.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked.
    pub at: Millis,
}

/// At which step something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It could not be converted: a retry converts it again.
    Convert,
    /// It could not be delivered: a retry repeats the stored operation under the stored key.
    Deliver,
}
