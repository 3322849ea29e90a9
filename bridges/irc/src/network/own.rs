//! Which nicks in the bot's stream are our own puppets (P2).
//!
//! A list of nicks is not enough: a nick changes hands, by choice or by force, and between the puppet's connection and the bot's
//! there is no common order. So a nick is marked when it is seen to join under the nick and the user name of a puppet, and
//! from then on the mark follows the bot's own stream: it moves with NICK and goes with QUIT, whatever the puppets' own
//! connections say meanwhile.

use std::collections::HashMap;

use ruma::{OwnedUserId, UserId};

use crate::{casemapping::Casemapping, message::Source};

/// What is known of the puppets from their own connections.
#[derive(Debug, Default)]
pub(super) struct PuppetTable(HashMap<OwnedUserId, Puppet>);

#[derive(Debug, Clone)]
struct Puppet {
    nick: String,
    username: String,
    /// As the server shows it; known once the puppet has joined a channel.
    host: Option<String>,
    /// Whether its connection has ended; what it did before may still be on its way to the bot.
    ended: bool,
}

impl PuppetTable {
    /// A puppet is registered.
    pub(super) fn online(&mut self, user_id: &UserId, nick: &str, username: &str) {
        let puppet = Puppet { nick: nick.to_owned(), username: username.to_owned(), host: None, ended: false };
        self.0.insert(user_id.to_owned(), puppet);
    }

    /// A puppet has another nick.
    pub(super) fn renamed(&mut self, user_id: &UserId, nick: &str) {
        if let Some(puppet) = self.0.get_mut(user_id) {
            nick.clone_into(&mut puppet.nick);
        }
    }

    /// The nick of a puppet that is there.
    pub(super) fn nick(&self, user_id: &UserId) -> Option<String> {
        self.0.get(user_id).filter(|puppet| !puppet.ended).map(|puppet| puppet.nick.clone())
    }

    /// A puppet saw itself join.
    pub(super) fn seen(&mut self, user_id: &UserId, who: &Source) {
        if let (Some(puppet), Some(host)) = (self.0.get_mut(user_id), &who.host) {
            puppet.host = Some(host.clone());
        }
    }

    /// A puppet's connection has ended. Who never was in a channel is forgotten at once, the others when the bot has seen
    /// them leave.
    pub(super) fn offline(&mut self, user_id: &UserId) {
        match self.0.get_mut(user_id) {
            Some(puppet) if puppet.host.is_some() => puppet.ended = true,
            _ => {
                self.0.remove(user_id);
            }
        }
    }

    /// Whether a user name is another puppet's.
    pub(super) fn username_taken(&self, username: &str, by_other_than: &UserId) -> bool {
        self.0.iter().any(|(user_id, puppet)| puppet.username == username && user_id != by_other_than)
    }

    /// The puppet of this source.
    fn find(&self, who: &Source, casemapping: Casemapping) -> Option<(&OwnedUserId, &Puppet)> {
        self.0.iter().find(|(_, puppet)| {
            let host_fits = match (&puppet.host, &who.host) {
                (Some(known), Some(seen)) => known == seen,
                _ => !puppet.ended,
            };
            casemapping.eq(&puppet.nick, &who.name) && host_fits && username_fits(&puppet.username, who)
        })
    }

    /// The puppet that goes by this nick, as far as its own connection knows.
    fn find_nick(&self, nick: &str, casemapping: Casemapping) -> Option<(&OwnedUserId, &Puppet)> {
        self.0.iter().find(|(_, puppet)| !puppet.ended && casemapping.eq(&puppet.nick, nick))
    }
}

/// Whether what the server shows can be this user name: it may put a `~` before it and cut it.
fn username_fits(ours: &str, who: &Source) -> bool {
    let Some(shown) = &who.user else { return true };
    let shown = shown.strip_prefix('~').unwrap_or(shown);
    shown == ours || (shown.len() >= 7 && ours.starts_with(shown))
}

/// The marks, in the order of the bot's stream.
#[derive(Debug, Default)]
pub(super) struct OwnNicks {
    casemapping: Casemapping,
    marks: HashMap<String, Mark>,
}

#[derive(Debug, Clone)]
struct Mark {
    user_id: OwnedUserId,
    username: String,
}

impl OwnNicks {
    /// Begins anew: the bot is registered.
    pub(super) fn reset(&mut self, casemapping: Casemapping) {
        *self = Self { casemapping, marks: HashMap::new() };
    }

    /// Somebody joined: says whose puppet it is, if one of ours.
    pub(super) fn joined(&mut self, who: &Source, puppets: &PuppetTable) -> Option<OwnedUserId> {
        let nick = self.fold(&who.name);
        // Whoever had this nick before is known by it no longer.
        self.marks.remove(&nick);
        let (user_id, puppet) = puppets.find(who, self.casemapping)?;
        self.marks.insert(nick, Mark { user_id: user_id.clone(), username: puppet.username.clone() });
        Some(user_id.clone())
    }

    /// Somebody was in a channel already when the bot came, and may have been there before the bot's connection began.
    pub(super) fn present(&mut self, who: &Source, puppets: &PuppetTable) -> Option<OwnedUserId> {
        if let Some(user_id) = self.owner(who) {
            return Some(user_id);
        }
        let nick = self.fold(&who.name);
        let found = if who.user.is_some() {
            puppets.find(who, self.casemapping)
        } else {
            puppets.find_nick(&who.name, self.casemapping)
        };
        let (user_id, puppet) = found?;
        self.marks.insert(nick, Mark { user_id: user_id.clone(), username: puppet.username.clone() });
        Some(user_id.clone())
    }

    /// Whose puppet this is, if one of ours.
    pub(super) fn owner(&self, who: &Source) -> Option<OwnedUserId> {
        let mark = self.marks.get(&self.fold(&who.name))?;
        username_fits(&mark.username, who).then(|| mark.user_id.clone())
    }

    /// Whose puppet goes by this nick.
    pub(super) fn owner_of_nick(&self, nick: &str) -> Option<OwnedUserId> {
        self.marks.get(&self.fold(nick)).map(|mark| mark.user_id.clone())
    }

    /// A nick was changed. Says whose puppet it is, if one of ours.
    pub(super) fn renamed(&mut self, who: &Source, to: &str) -> Option<OwnedUserId> {
        let owner = self.owner(who);
        let mark = self.marks.remove(&self.fold(&who.name));
        self.marks.remove(&self.fold(to));
        if let (Some(mark), Some(_)) = (mark, &owner) {
            self.marks.insert(self.fold(to), mark);
        }
        owner
    }

    /// Somebody left the network. Says whose puppet it was, if one of ours.
    pub(super) fn quit(&mut self, who: &Source, puppets: &mut PuppetTable) -> Option<OwnedUserId> {
        let owner = self.owner(who)?;
        self.marks.remove(&self.fold(&who.name));
        if puppets.0.get(&owner).is_some_and(|puppet| puppet.ended) {
            puppets.0.remove(&owner);
        }
        Some(owner)
    }

    fn fold(&self, nick: &str) -> String {
        self.casemapping.fold(nick).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn who(text: &str) -> Source {
        Source::parse(text).unwrap()
    }

    fn alice_online() -> (OwnNicks, PuppetTable) {
        let mut puppets = PuppetTable::default();
        puppets.online(user_id!("@alice:here"), "Alice", "alice");
        (OwnNicks::default(), puppets)
    }

    #[test]
    fn p2_a_puppet_is_known_by_nick_and_user_name_when_it_joins() {
        let (mut own, puppets) = alice_online();
        assert!(own.joined(&who("alice!~alice@h"), &puppets).is_some());
        assert!(own.owner(&who("ALICE!~alice@h")).is_some());
        assert!(own.owner(&who("alice!~mallory@h")).is_none(), "the same nick, another user");
        assert!(own.joined(&who("alice!~mallory@h"), &puppets).is_none());
        assert!(own.owner(&who("alice!~alice@h")).is_none(), "the join of another took the mark away");
    }

    #[test]
    fn p2_the_mark_follows_the_bots_stream_and_not_the_puppets() {
        let (mut own, mut puppets) = alice_online();
        own.joined(&who("alice!~alice@h"), &puppets);
        // Services rename the puppet; its own connection has not heard of it yet.
        assert!(own.renamed(&who("alice!~alice@h"), "Guest123").is_some());
        assert!(own.owner(&who("guest123!~alice@h")).is_some());
        // A real person takes the nick that the puppet still believes to have.
        assert!(own.joined(&who("alice!~real@elsewhere"), &puppets).is_none());
        assert!(own.owner(&who("alice!~real@elsewhere")).is_none());
        puppets.renamed(user_id!("@alice:here"), "Guest123");
        assert!(own.quit(&who("Guest123!~alice@h"), &mut puppets).is_some());
        assert!(own.owner(&who("guest123!~alice@h")).is_none());
    }

    #[test]
    fn p2_a_real_person_may_have_the_nick_of_a_puppet_that_is_gone() {
        let (mut own, mut puppets) = alice_online();
        own.joined(&who("alice!~alice@bridge"), &puppets);
        puppets.seen(user_id!("@alice:here"), &who("alice!~alice@bridge"));
        puppets.offline(user_id!("@alice:here"));
        assert!(own.owner(&who("alice!~alice@bridge")).is_some(), "its last words may still be on their way");
        own.quit(&who("alice!~alice@bridge"), &mut puppets);
        assert!(own.joined(&who("alice!~alice@home"), &puppets).is_none());
        puppets.online(user_id!("@alice:here"), "alice_", "alice");
        assert!(own.joined(&who("alice!~alice@home"), &puppets).is_none());
    }

    #[test]
    fn puppets_that_were_there_before_the_bot_are_found() {
        let (mut own, puppets) = alice_online();
        assert!(own.present(&who("alice"), &puppets).is_some());
        assert!(own.present(&who("bob"), &puppets).is_none());
        assert!(own.present(&who("alice!~mallory@h"), &puppets).is_none());
    }
}
