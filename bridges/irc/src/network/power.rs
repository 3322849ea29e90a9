//! Ranks in a channel and power in a room.

use landbridge::network::{Delivered, Reject, RemoteOp, SendError, SessionId};

use super::{
    IrcNetwork,
    deliver::taken,
    session::{IrcSession, channel},
};
use crate::{
    convert::{
        ids::IrcRoom,
        outgoing::{Who, rank_for},
    },
    message::{IrcText, Target},
    modes::Ranks,
    numerics::RefusedBecause,
    session::{Command, Outcome, RejectedBecause, Rejection},
};

/// The ranks that we give and take. Those above are their owners' and the services' business.
const OURS: [char; 3] = ['o', 'h', 'v'];

/// What the ranks amount to on Matrix's scale. Below 100, which is the bridge's own.
pub(super) fn level(ranks: Ranks) -> i64 {
    [('q', 95), ('a', 75), ('o', 50), ('h', 25), ('v', 1)]
        .into_iter()
        .find(|(letter, _)| ranks.has(*letter))
        .map_or(0, |(_, level)| level)
}

/// What has to change for somebody with these ranks to have the rank of a level: letters, and whether they are given. `known` are
/// the ranks that the server has.
fn changes(ranks: Ranks, known: &[(char, char)], level: i64) -> Vec<(char, bool)> {
    let exists = |letter: char| known.iter().any(|(known, _)| *known == letter);
    if ranks.has('q') || ranks.has('a') {
        return Vec::new();
    }
    let wanted = match rank_for(level) {
        Some('h') if !exists('h') => Some('v'),
        rank => rank,
    }
    .filter(|rank| exists(*rank));
    let place = |letter: Option<char>| letter.and_then(|letter| OURS.iter().position(|ours| *ours == letter));
    // What is above goes; what is below stays, and comes to light when this goes.
    let above = OURS.iter().take(place(wanted).unwrap_or(OURS.len()));
    let mut changes: Vec<_> = above.filter(|letter| ranks.has(**letter)).map(|letter| (*letter, false)).collect();
    changes.extend(wanted.filter(|rank| !ranks.has(*rank)).map(|rank| (rank, true)));
    changes
}

impl IrcSession {
    /// Gives somebody in a channel the rank of a level: by the bot, or by ourselves where that may do more.
    pub(super) async fn empower(
        &self,
        op: &RemoteOp<IrcNetwork>,
        who: Who,
        level: i64,
    ) -> Result<Delivered<String>, SendError> {
        let IrcRoom::Channel(name) = &op.room else { return Ok(Delivered::unnamed()) };
        let target = Target::Channel(channel(name)?);
        let Some(link) = self.shared.link(&SessionId::Relay) else { return Err(SendError::Disconnected) };
        let bot = link.handle()?;
        let nick = match who {
            Who::Nick(nick) => Some(nick),
            Who::Puppet(user_id) => self.shared.puppets.lock().nick(&user_id),
        };
        let casemapping = self.shared.casemapping();
        let members = bot.members(channel(name)?).await.unwrap_or_default();
        let member = nick.and_then(|nick| members.into_iter().find(|member| casemapping.eq(&member.who.name, &nick)));
        let (Some(member), Some(online)) = (member, bot.online()) else { return Ok(Delivered::unnamed()) };
        let changes = changes(member.ranks, online.isupport.modes.ranks(), level);
        if changes.is_empty() {
            return Ok(Delivered::unnamed());
        }
        let mut words =
            vec![changes.iter().map(|(letter, on)| format!("{}{letter}", if *on { '+' } else { '-' })).collect()];
        words.extend(changes.iter().map(|_| member.who.name.clone()));
        let changes = words.iter().map(|word: &String| IrcText::one_line(word)).collect();
        let command = Command::Mode { target, changes };
        let mut outcome = bot.run(command.clone()).await;
        if is_unprivileged(&outcome) && self.puppet_of().is_some() && self.link.is_in(&self.shared.fold(name)) {
            outcome = self.link.handle()?.run(command).await;
        }
        match outcome {
            // Doing it twice is doing it once.
            Outcome::Unknown(_) | Outcome::Suspected(_) => Err(SendError::Disconnected),
            outcome if is_unprivileged(&outcome) => Err(SendError::Rejected(Reject::Forbidden(format!(
                "the bridge is no operator of {name} and cannot give or take ranks"
            )))),
            outcome => taken(outcome).map(|_| Delivered::unnamed()),
        }
    }
}

fn is_unprivileged(outcome: &Outcome) -> bool {
    let Outcome::Rejected(Rejection { why: RejectedBecause::Command(because), .. }) = outcome else { return false };
    matches!(because, RefusedBecause::NotPrivileged | RefusedBecause::NotInChannel)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranks(letters: &str) -> Ranks {
        let mut ranks = Ranks::default();
        letters.chars().for_each(|letter| ranks.set(letter, true));
        ranks
    }

    const FEW: [(char, char); 2] = [('o', '@'), ('v', '+')];
    const MANY: [(char, char); 5] = [('q', '~'), ('a', '&'), ('o', '@'), ('h', '%'), ('v', '+')];

    #[test]
    fn a_level_is_a_rank() {
        for (had, known, level, wanted) in [
            ("", &FEW[..], 50, vec![('o', true)]),
            ("", &FEW[..], 100, vec![('o', true)]),
            ("", &FEW[..], 25, vec![('v', true)]),
            ("", &MANY[..], 25, vec![('h', true)]),
            ("ov", &FEW[..], 1, vec![('o', false)]),
            ("o", &FEW[..], 1, vec![('o', false), ('v', true)]),
            ("ov", &FEW[..], 0, vec![('o', false), ('v', false)]),
            ("v", &FEW[..], 50, vec![('o', true)]),
            ("o", &FEW[..], 99, vec![]),
            ("qo", &MANY[..], 0, vec![]),
            ("", &[][..], 50, vec![]),
        ] {
            assert_eq!(changes(ranks(had), known, level), wanted, "{had:?} to {level}");
        }
    }

    proptest! {
        /// P7: what one side says the other does not contradict, so nothing goes back and forth.
        #[test]
        fn p7_a_level_that_was_followed_is_followed_for_good(had in "[ohv]{0,3}", given in -10_i64..120, many: bool) {
            let known = if many { &MANY[..] } else { &FEW[..] };
            let mut now = ranks(&had.chars().filter(|c| known.iter().any(|(known, _)| known == c)).collect::<String>());
            for (letter, on) in changes(now, known, given) {
                now.set(letter, on);
            }
            prop_assert_eq!(changes(now, known, given), vec![]);
            // And told back to Matrix, it is the same rank.
            prop_assert_eq!(changes(now, known, level(now)), vec![]);
        }
    }
}
