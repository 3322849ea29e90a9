//! Where a sync ended.

use std::{fmt, str::FromStr};

use crate::stream::Position;

/// A place in the log, and where the messages to the device ended if they could not all be carried: `s12` or `s12_7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncToken {
    /// Everything up to here has been seen.
    pub position: Position,
    /// Messages to the device up to here have been seen.
    pub to_device: Position,
}

/// A token of another server, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct BadToken;

impl From<Position> for SyncToken {
    fn from(position: Position) -> Self {
        Self { position, to_device: position }
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        if self.to_device == self.position { Ok(()) } else { write!(f, "_{}", self.to_device.0) }
    }
}

impl FromStr for SyncToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (position, to_device) = text.split_once('_').map_or((text, None), |(first, second)| (first, Some(second)));
        let position: Position = position.parse().map_err(|_| BadToken)?;
        if position.is_history() {
            return Err(BadToken);
        }
        let to_device = match to_device {
            None => position,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Position(digits.parse().map_err(|_| BadToken)?)
            }
            Some(_) => return Err(BadToken),
        };
        Ok(Self { position, to_device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_a_round_trip_and_nothing_else_is_one() {
        for text in ["s0", "s12", "s12_7"] {
            assert_eq!(text.parse::<SyncToken>().unwrap().to_string(), text);
        }
        for text in ["", "s", "12", "s12_", "s12_-7", "s12_7_7", "t12", "h12", "s99999999999999999999"] {
            assert_eq!(text.parse::<SyncToken>(), Err(BadToken), "{text:?}");
        }
    }
}
