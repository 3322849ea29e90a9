//! State resolution where a room forks: <https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution>.
//!
//! The algorithm is given no more than it needs: the keys at which the states differ, the keys that decide about the events at
//! stake, and of the auth chains only what is not in all of them. Comparing two trees finds the first, and none of it grows with
//! what the states have in common.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    room_version_rules::StateResolutionVersion,
    state_res::{StateMap, resolve, utils::event_id_set::EventIdSet},
};

use super::{
    Event, EventNid, KeyIndex, RoomError, Root, authorize,
    core::{Batch, Core},
};

/// Events of one room, by id, with everything that authorises them.
type Known = HashMap<OwnedEventId, Arc<Event>>;

impl Core {
    /// The state that follows from several.
    pub(super) async fn resolve(&mut self, mut roots: Vec<Root>, batch: &mut Batch) -> Result<Root, RoomError> {
        roots.sort_unstable_by_key(|root| *root.as_bytes());
        roots.dedup();
        let Some((&base, others)) = roots.split_first() else { return Ok(Root::EMPTY) };
        if others.is_empty() {
            return Ok(base);
        }
        let mut differing = BTreeSet::new();
        for other in others {
            differing.extend(self.difference(base, *other).await?.into_iter().map(|change| change.index));
        }
        let mut states = Vec::with_capacity(roots.len());
        for root in &roots {
            states.push(self.part_of(*root, &differing).await?);
        }
        let resolved = self.resolve_parts(base, &differing, states).await?;
        let mut root = base;
        for index in differing {
            let value = match self.keys.pair(index) {
                Some((kind, state_key)) => resolved.get(&(StateEventType::from(kind), state_key.to_owned())).copied(),
                None => None,
            };
            if self.entry(root, index).await? != value {
                root = self.with_entry(root, index, value, batch).await?;
            }
        }
        Ok(root)
    }

    /// The events of a state at some keys.
    async fn part_of(&self, root: Root, keys: &BTreeSet<KeyIndex>) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut found = Vec::with_capacity(keys.len());
        for index in keys {
            if let Some(nid) = self.entry(root, *index).await? {
                found.push(self.event_by_nid(nid).await?);
            }
        }
        Ok(found)
    }

    async fn resolve_parts(
        &mut self,
        base: Root,
        differing: &BTreeSet<KeyIndex>,
        states: Vec<Vec<Arc<Event>>>,
    ) -> Result<StateMap<EventNid>, RoomError> {
        let StateResolutionVersion::V2(rules) = self.room.rules.state_res else {
            return Err(RoomError::Internal("state resolution of version 1".into()));
        };
        let mut known = Known::new();
        self.learn(&mut known, states.iter().flatten().cloned().collect()).await?;
        let chains: Vec<HashSet<OwnedEventId>> = states.iter().map(|state| chain_of(state, &known)).collect();
        let shared = self.in_shared_chain(base, differing, &chains, &mut known).await?;
        // What decides about the events at stake and is the same in all states.
        let at_stake: Vec<Arc<Event>> = chains
            .iter()
            .flatten()
            .filter(|id| !shared.contains(*id))
            .filter_map(|id| known.get(id).cloned())
            .chain(states.iter().flatten().cloned())
            .collect();
        let deciding = self.deciding(base, differing, &at_stake).await?;
        self.learn(&mut known, deciding.iter().chain(&self.create).cloned().collect()).await?;
        let maps: Vec<StateMap<OwnedEventId>> = states
            .iter()
            .map(|state| {
                state
                    .iter()
                    .chain(&deciding)
                    .filter_map(|event| Some((key_of(event)?, event.event_id.clone())))
                    .collect()
            })
            .collect();
        let chains = chains
            .into_iter()
            .map(|chain| chain.into_iter().filter(|id| !shared.contains(id)).collect::<EventIdSet<_>>())
            .collect();
        let resolved = authorize::quietly(|| {
            resolve(
                &self.room.rules.authorization,
                &rules,
                &maps,
                chains,
                |id: &EventId| known.get(id).cloned(),
                |conflicted| Some(conflicted_subgraph(conflicted, &known)),
            )
        })
        .map_err(|error| RoomError::Internal(format!("state resolution: {error}")))?;
        Ok(resolved.into_iter().filter_map(|(key, id)| Some((key, known.get(&id)?.nid))).collect())
    }

    /// Adds events and all that authorise them, step by step.
    async fn learn(&self, known: &mut Known, mut events: Vec<Arc<Event>>) -> Result<(), RoomError> {
        while !events.is_empty() {
            let mut next: BTreeSet<OwnedEventId> = BTreeSet::new();
            for event in events.drain(..) {
                next.extend(event.auth_events.iter().filter(|id| !known.contains_key(*id)).cloned());
                known.insert(event.event_id.clone(), event);
            }
            let mut stored = Vec::new();
            for id in next.into_iter().filter(|id| !known.contains_key(id)) {
                match self.fresh_event(&id) {
                    Some(event) => events.push(event),
                    None => stored.push(id),
                }
            }
            events.extend(self.context.store.events_by_id(&stored).await?);
        }
        Ok(())
    }

    /// Of the events that are in some chains and not in all: those that are in the chain of what all states share, and so in all
    /// chains after all.
    async fn in_shared_chain(
        &self,
        base: Root,
        differing: &BTreeSet<KeyIndex>,
        chains: &[HashSet<OwnedEventId>],
        known: &mut Known,
    ) -> Result<HashSet<OwnedEventId>, RoomError> {
        let mut sought: HashSet<OwnedEventId> =
            chains.iter().flatten().filter(|id| !chains.iter().all(|chain| chain.contains(*id))).cloned().collect();
        let mut shared = HashSet::new();
        if sought.is_empty() {
            return Ok(shared);
        }
        let mut seen: HashSet<OwnedEventId> = HashSet::new();
        for (index, nid) in self.entries(base).await? {
            if differing.contains(&index) {
                continue;
            }
            let event = self.event_by_nid(nid).await?;
            let mut way: Vec<OwnedEventId> = event.auth_events.clone();
            self.learn(known, vec![event]).await?;
            while let Some(id) = way.pop() {
                if !seen.insert(id.clone()) {
                    continue;
                }
                if sought.remove(&id) {
                    shared.insert(id.clone());
                }
                way.extend(known.get(&id).into_iter().flat_map(|event| event.auth_events.iter().cloned()));
            }
            if sought.is_empty() {
                break;
            }
        }
        Ok(shared)
    }

    /// The state events, the same in all states, that decide about some events.
    async fn deciding(
        &self,
        base: Root,
        differing: &BTreeSet<KeyIndex>,
        events: &[Arc<Event>],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let rules = &self.room.rules.authorization;
        let mut indices = BTreeSet::new();
        indices.extend(self.keys.find("m.room.create", ""));
        indices.extend(self.keys.find("m.room.power_levels", ""));
        for event in events {
            let keys =
                authorize::auth_keys(&event.kind, &event.sender, event.state_key.as_deref(), &event.content, rules);
            for (kind, state_key) in keys.unwrap_or_default() {
                indices.extend(self.keys.find(&kind.to_string(), &state_key));
            }
        }
        indices.retain(|index| !differing.contains(index));
        self.part_of(base, &indices).await
    }
}

fn key_of(event: &Event) -> Option<(StateEventType, String)> {
    Some((StateEventType::from(event.kind.to_string()), event.state_key.clone()?))
}

/// Everything that authorises some events, they themselves left out.
fn chain_of(events: &[Arc<Event>], known: &Known) -> HashSet<OwnedEventId> {
    let mut chain = HashSet::new();
    let mut way: Vec<&OwnedEventId> = events.iter().flat_map(|event| &event.auth_events).collect();
    while let Some(id) = way.pop() {
        if chain.insert(id.clone())
            && let Some(event) = known.get(id)
        {
            way.extend(&event.auth_events);
        }
    }
    chain
}

/// The events on the ways from one conflicted event to another, through what authorises them; the conflicted ones included
/// (<https://spec.matrix.org/v1.19/rooms/v12/#state-resolution>).
fn conflicted_subgraph(conflicted: &StateMap<Vec<OwnedEventId>>, known: &Known) -> EventIdSet<OwnedEventId> {
    let conflicted: HashSet<&OwnedEventId> = conflicted.values().flatten().collect();
    // Whether a conflicted event authorises this one, or it is one; `None` while that is being found out.
    let mut leads: HashMap<&OwnedEventId, Option<bool>> = HashMap::new();
    for start in &conflicted {
        let mut way = vec![*start];
        while let Some(id) = way.last().copied() {
            let auth = known.get(id).map(|event| event.auth_events.as_slice()).unwrap_or_default();
            if !leads.contains_key(id) {
                leads.insert(id, None);
                way.extend(auth.iter().filter(|auth| !leads.contains_key(auth)));
                if way.last() != Some(&id) {
                    continue;
                }
            }
            let found = conflicted.contains(id) || auth.iter().any(|auth| leads.get(auth) == Some(&Some(true)));
            leads.entry(id).and_modify(|lead| *lead = Some(lead.unwrap_or(false) || found));
            way.pop();
        }
    }
    leads.into_iter().filter(|(_, lead)| *lead == Some(true)).map(|(id, _)| id.clone()).collect()
}
