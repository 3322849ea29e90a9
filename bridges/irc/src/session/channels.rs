//! The channels we are in, and who is in them.

use std::collections::HashMap;

use super::Member;
use crate::{
    casemapping::Casemapping,
    message::{Channel, Source},
    modes::Ranks,
};

/// Most channels tracked; what a server puts us in beyond is not.
const MAX_CHANNELS: usize = 4_096;

/// Most members tracked in one channel; who comes beyond is not.
const MAX_MEMBERS: usize = 100_000;

/// Every channel we are in, keyed by its folded name. Without tracking, channels only and nobody in them.
#[derive(Debug)]
pub(super) struct Channels {
    casemapping: Casemapping,
    track: bool,
    rooms: HashMap<Box<str>, Room>,
    users: HashMap<Box<str>, User>,
}

#[derive(Debug)]
struct Room {
    name: Channel,
    members: HashMap<Box<str>, Ranks>,
    /// The NAMES reply under way.
    names: Option<HashMap<Box<str>, Ranks>>,
}

#[derive(Debug)]
struct User {
    source: Source,
    account: Option<Box<str>>,
    /// Lists (of members and of NAMES replies under way) that they are in.
    rooms: usize,
}

impl Channels {
    pub(super) fn new(track: bool) -> Self {
        Self { casemapping: Casemapping::default(), track, rooms: HashMap::new(), users: HashMap::new() }
    }

    /// Another casemapping: every name is folded anew. Servers say it before anybody is in a channel; two names that
    /// become one are one member, and the next NAMES reply puts right what that leaves behind.
    pub(super) fn refold(&mut self, casemapping: Casemapping) {
        if casemapping == self.casemapping {
            return;
        }
        self.casemapping = casemapping;
        let users = std::mem::take(&mut self.users);
        let keys: HashMap<Box<str>, Box<str>> =
            users.iter().map(|(old, user)| (old.clone(), self.fold(&user.source.name))).collect();
        self.users = users.into_values().map(|user| (self.fold(&user.source.name), user)).collect();
        let refold = |members: HashMap<Box<str>, Ranks>| -> HashMap<Box<str>, Ranks> {
            members.into_iter().filter_map(|(nick, ranks)| Some((keys.get(&nick)?.clone(), ranks))).collect()
        };
        for (_, room) in std::mem::take(&mut self.rooms) {
            let key = self.fold(room.name.as_str());
            let room = Room { members: refold(room.members), names: room.names.map(refold), ..room };
            self.rooms.insert(key, room);
        }
    }

    pub(super) fn is_in(&self, channel: &str) -> bool {
        self.rooms.contains_key(&*self.casemapping.fold(channel))
    }

    /// The name of a channel we are in as the server first wrote it: one channel, one spelling.
    pub(super) fn name(&self, channel: &str) -> Option<&Channel> {
        self.rooms.get(&*self.casemapping.fold(channel)).map(|room| &room.name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Channel> {
        self.rooms.values().map(|room| &room.name)
    }

    /// We are in a channel now.
    pub(super) fn enter(&mut self, channel: &Channel) {
        if self.rooms.len() < MAX_CHANNELS {
            let room = Room { name: channel.clone(), members: HashMap::new(), names: None };
            let key = self.fold(channel.as_str());
            self.leave(channel.as_str());
            self.rooms.insert(key, room);
        }
    }

    /// We are out of a channel, however that came.
    pub(super) fn leave(&mut self, channel: &str) {
        if let Some(room) = self.rooms.remove(&*self.casemapping.fold(channel)) {
            for nick in room.members.into_keys().chain(room.names.into_iter().flat_map(HashMap::into_keys)) {
                self.release(&nick);
            }
        }
    }

    pub(super) fn rename_channel(&mut self, from: &str, to: &Channel) {
        if let Some(mut room) = self.rooms.remove(&*self.casemapping.fold(from)) {
            room.name = to.clone();
            self.rooms.insert(self.fold(to.as_str()), room);
        }
    }

    /// Somebody (we, too) is in a channel.
    pub(super) fn add(&mut self, channel: &str, who: &Source, account: Option<&str>) {
        let nick = self.fold(&who.name);
        let Some(room) = self.tracked(channel) else { return };
        if room.members.len() >= MAX_MEMBERS {
            return;
        }
        let listed = room.names.as_mut().is_some_and(|names| names.insert(nick.clone(), Ranks::default()).is_none());
        let added = room.members.insert(nick.clone(), Ranks::default()).is_none();
        self.hold(&nick, who, usize::from(listed) + usize::from(added));
        self.learn(who, account);
    }

    /// Somebody is out of a channel.
    pub(super) fn remove(&mut self, channel: &str, nick: &str) {
        let nick = self.fold(nick);
        let Some(room) = self.tracked(channel) else { return };
        let listed = room.names.as_mut().and_then(|names| names.remove(&nick));
        let member = room.members.remove(&nick);
        listed.iter().chain(&member).for_each(|_| self.release(&nick));
    }

    /// Somebody is out of every channel; which they were.
    pub(super) fn remove_everywhere(&mut self, nick: &str) -> Vec<Channel> {
        let nick = self.fold(nick);
        let mut left = Vec::new();
        if self.users.remove(&nick).is_none() {
            return left;
        }
        for room in self.rooms.values_mut() {
            if let Some(names) = &mut room.names {
                names.remove(&nick);
            }
            if room.members.remove(&nick).is_some() {
                left.push(room.name.clone());
            }
        }
        left.sort_unstable();
        left
    }

    /// Somebody has another nick; the channels they are in.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Vec<Channel> {
        let (from, new) = (self.fold(from), self.fold(to));
        let mut shared = Vec::new();
        let Some(mut user) = self.users.remove(&from) else { return shared };
        to.clone_into(&mut user.source.name);
        if from != new {
            // A nick that is taken over belongs to the one who has it now.
            self.remove_everywhere(&new);
        }
        self.users.insert(new.clone(), user);
        for room in self.rooms.values_mut() {
            for members in [Some(&mut room.members), room.names.as_mut()].into_iter().flatten() {
                if let Some(ranks) = members.remove(&from) {
                    members.insert(new.clone(), ranks);
                }
            }
            if room.members.contains_key(&new) {
                shared.push(room.name.clone());
            }
        }
        shared.sort_unstable();
        shared
    }

    /// A member's rank changed.
    pub(super) fn rank(&mut self, channel: &str, nick: &str, letter: char, on: bool) {
        let nick = self.fold(nick);
        let Some(room) = self.tracked(channel) else { return };
        for members in [Some(&mut room.members), room.names.as_mut()].into_iter().flatten() {
            if let Some(ranks) = members.get_mut(&nick) {
                ranks.set(letter, on);
            }
        }
    }

    /// One entry of a NAMES reply. The reply replaces what was known when it ends.
    pub(super) fn list(&mut self, channel: &str, who: &Source, ranks: Ranks) {
        let nick = self.fold(&who.name);
        let Some(room) = self.tracked(channel) else { return };
        let names = room.names.get_or_insert_default();
        if names.len() >= MAX_MEMBERS {
            return;
        }
        let listed = names.insert(nick.clone(), ranks).is_none();
        self.hold(&nick, who, usize::from(listed));
        self.learn(who, None);
    }

    /// The end of a NAMES reply: everybody who is in there, each once. `None` for a channel we are not in.
    pub(super) fn list_ends(&mut self, channel: &str) -> Option<Vec<Member>> {
        let room = self.rooms.get_mut(&*self.casemapping.fold(channel))?;
        if let Some(names) = room.names.take() {
            for nick in std::mem::replace(&mut room.members, names).into_keys() {
                self.release(&nick);
            }
        }
        Some(self.members(channel))
    }

    /// Everybody in a channel, by nick.
    pub(super) fn members(&self, channel: &str) -> Vec<Member> {
        let Some(room) = self.rooms.get(&*self.casemapping.fold(channel)) else { return Vec::new() };
        let member = |nick: &str, ranks: Ranks| {
            let user = self.users.get(nick)?;
            Some(Member { who: user.source.clone(), ranks, account: user.account.clone() })
        };
        let mut members: Vec<_> = room.members.iter().filter_map(|(nick, ranks)| member(nick, *ranks)).collect();
        members.sort_unstable_by(|one, other| one.who.name.cmp(&other.who.name));
        members
    }

    /// What a line says of somebody we share a channel with.
    pub(super) fn learn(&mut self, who: &Source, account: Option<&str>) {
        let Some(user) = self.users.get_mut(&*self.casemapping.fold(&who.name)) else { return };
        if who.host.is_some() && user.source != *who {
            user.source.clone_from(who);
        }
        if let Some(account) = account {
            user.account = Some(account).filter(|account| !matches!(*account, "" | "*")).map(Box::from);
        }
    }

    /// The account somebody is logged in to, where known.
    pub(super) fn account(&self, nick: &str) -> Option<&str> {
        self.users.get(&*self.casemapping.fold(nick))?.account.as_deref()
    }

    fn fold(&self, name: &str) -> Box<str> {
        self.casemapping.fold(name).into()
    }

    fn tracked(&mut self, channel: &str) -> Option<&mut Room> {
        if !self.track {
            return None;
        }
        self.rooms.get_mut(&*self.casemapping.fold(channel))
    }

    /// Somebody is in so many lists more.
    fn hold(&mut self, nick: &str, who: &Source, lists: usize) {
        if lists > 0 {
            let user = || User { source: who.clone(), account: None, rooms: 0 };
            self.users.entry(nick.into()).or_insert_with(user).rooms += lists;
        }
    }

    fn release(&mut self, nick: &str) {
        if let Some(user) = self.users.get_mut(nick) {
            user.rooms = user.rooms.saturating_sub(1);
            if user.rooms == 0 {
                self.users.remove(nick);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(raw: &str) -> Source {
        Source::parse(raw).unwrap()
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    fn inside(names: &[&str]) -> Channels {
        let mut channels = Channels::new(true);
        channels.enter(&channel("#c"));
        for name in names {
            channels.list("#c", &source(name), Ranks::default());
        }
        channels.list_ends("#c");
        channels
    }

    fn nicks(channels: &Channels, name: &str) -> Vec<String> {
        channels.members(name).into_iter().map(|member| member.who.name).collect()
    }

    #[test]
    fn a_second_names_reply_gives_no_duplicates_and_removes_who_is_gone() {
        let mut channels = inside(&["a", "b", "bot"]);
        for name in ["B", "bot", "c", "c"] {
            channels.list("#C", &source(name), Ranks::default());
        }
        channels.list_ends("#C");
        assert_eq!(nicks(&channels, "#c"), ["b", "bot", "c"]);
        assert_eq!(channels.users.len(), 3);
        assert!(channels.users.values().all(|user| user.rooms == 1));
    }

    #[test]
    fn who_comes_and_goes_during_a_names_reply_is_right_at_its_end() {
        let mut channels = inside(&["a"]);
        channels.list("#c", &source("a"), Ranks::default());
        channels.list("#c", &source("b"), Ranks::default());
        channels.add("#c", &source("c!u@h"), None);
        channels.remove("#c", "a");
        channels.rename("b", "d");
        channels.list_ends("#c");
        assert_eq!(nicks(&channels, "#c"), ["c", "d"]);
    }

    #[test]
    fn two_names_replies_at_once_keep_apart() {
        let mut channels = inside(&[]);
        channels.enter(&channel("#d"));
        channels.list("#c", &source("a"), Ranks::default());
        channels.list("#d", &source("b"), Ranks::default());
        channels.list_ends("#c");
        channels.list_ends("#d");
        assert_eq!((nicks(&channels, "#c"), nicks(&channels, "#d")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn nobody_stays_when_we_leave() {
        let mut channels = inside(&["a", "b"]);
        channels.enter(&channel("#d"));
        channels.add("#d", &source("a"), None);
        channels.leave("#C");
        assert_eq!(channels.users.keys().map(|nick| &**nick).collect::<Vec<_>>(), ["a"]);
        assert!(!channels.is_in("#c"));
        assert_eq!(channels.remove_everywhere("A"), [channel("#d")]);
        assert!(channels.users.is_empty());
    }

    #[test]
    fn a_nick_is_one_person_in_any_case() {
        let mut channels = inside(&["Alice[]"]);
        assert_eq!(channels.rename("alice{}", "ALICE[]"), [channel("#c")]);
        assert_eq!(nicks(&channels, "#c"), ["ALICE[]"]);
        channels.rank("#c", "alice{]", 'o', true);
        assert!(channels.members("#c")[0].ranks.has('o'));
        channels.refold(Casemapping::Ascii);
        channels.rank("#c", "alice{}", 'o', false);
        assert!(channels.members("#c")[0].ranks.has('o'), "under ascii that is somebody else");
    }

    #[test]
    fn without_tracking_nobody_is_kept() {
        let mut channels = Channels::new(false);
        channels.enter(&channel("#c"));
        channels.list("#c", &source("a"), Ranks::default());
        channels.add("#c", &source("b"), None);
        assert_eq!(channels.list_ends("#c"), Some(vec![]));
        assert!(channels.users.is_empty() && channels.is_in("#c"));
    }
}
