//! Finds identifiers that two registrations claim for themselves alone.
//!
//! Both expressions and the grammar of identifiers are walked together, as automata, until an identifier is found that
//! both match: a *witness*. If there is none, there is no overlap; nothing is guessed. Only the 255-byte limit of
//! identifiers is left out. The walk is bounded; past the bound the answer is [`Overlapping::Undecided`].

use std::collections::HashSet;

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson,
};
use ruma::ServerName;

use crate::{NamespaceKind, Registration};

/// How many combinations of states are looked at before giving up.
const MAX_STATES: usize = 50_000;

/// How much memory one automaton may take.
const MAX_CACHE_BYTES: usize = 8 << 20;

/// Two exclusive claims on the same identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// On what.
    pub kind: NamespaceKind,
    /// Who claims it.
    pub one: Side,
    /// Who claims it as well.
    pub other: Side,
    /// How we know.
    pub overlapping: Overlapping,
}

/// One of two claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The `id` of the registration.
    pub registration: String,
    /// The field, such as `namespaces.users[0].regex` or `sender_localpart`.
    pub path: String,
    /// The field's text.
    pub claim: String,
}

/// Whether two claims overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlapping {
    /// They do: both match this identifier.
    Witness(String),
    /// The expressions are too large to find out.
    Undecided,
}

/// All overlaps of exclusive namespaces, and of senders, between any two registrations.
///
/// Without a server name, users may be of any server. Expressions that do not compile are left out.
#[must_use]
pub fn overlaps(registrations: &[Registration], server_name: Option<&ServerName>) -> Vec<Overlap> {
    NamespaceKind::ALL.into_iter().flat_map(|kind| overlaps_of(kind, registrations, server_name)).collect()
}

fn overlaps_of(kind: NamespaceKind, registrations: &[Registration], server_name: Option<&ServerName>) -> Vec<Overlap> {
    let Some(grammar) = automaton(&grammar(kind, server_name)) else { return Vec::new() };
    let claims: Vec<Vec<Claim>> = registrations.iter().map(|registration| Claim::all(kind, registration)).collect();
    let mut found = Vec::new();
    for (index, ours) in claims.iter().enumerate() {
        for theirs in &claims[index + 1..] {
            for (one, other) in ours.iter().flat_map(|one| theirs.iter().map(move |other| (one, other))) {
                if let Some(overlapping) = common(&[&one.dfa, &other.dfa], &grammar) {
                    found.push(Overlap { kind, one: one.side.clone(), other: other.side.clone(), overlapping });
                }
            }
        }
    }
    found
}

/// Whether an expression matches any identifier at all. One that is too large to tell is given the benefit of the doubt.
pub(crate) fn matches_anything(kind: NamespaceKind, regex: &str) -> bool {
    let (Some(dfa), Some(grammar)) = (automaton(regex), automaton(&grammar(kind, None))) else { return true };
    common(&[&dfa], &grammar).is_some()
}

struct Claim {
    side: Side,
    dfa: DFA,
}

impl Claim {
    fn all(kind: NamespaceKind, registration: &Registration) -> Vec<Self> {
        let namespaces = registration.namespaces.of(kind).iter().enumerate().filter(|(_, n)| n.exclusive);
        let mut claims: Vec<Self> = namespaces
            .filter_map(|(index, namespace)| {
                let path = format!("namespaces.{kind}[{index}].regex");
                Self::new(registration, path, &namespace.regex, &namespace.regex)
            })
            .collect();
        if kind == NamespaceKind::Users {
            let sender = &registration.sender_localpart;
            let regex = format!("@{}:", regex_syntax::escape(sender));
            claims.extend(Self::new(registration, "sender_localpart".to_owned(), sender, &regex));
        }
        claims
    }

    fn new(registration: &Registration, path: String, claim: &str, regex: &str) -> Option<Self> {
        let side = Side { registration: registration.id.clone(), path, claim: claim.to_owned() };
        Some(Self { side, dfa: automaton(regex)? })
    }
}

/// What an identifier looks like, whole. Users as generously as old servers made them.
fn grammar(kind: NamespaceKind, server_name: Option<&ServerName>) -> String {
    let any_server = r"[A-Za-z0-9.\[\]:-]+";
    match (kind, server_name) {
        (NamespaceKind::Users, Some(server)) => {
            format!(r"@[\x21-\x39\x3B-\x7E]+:{}\z", regex_syntax::escape(server.as_str()))
        }
        (NamespaceKind::Users, None) => format!(r"@[\x21-\x39\x3B-\x7E]+:{any_server}\z"),
        (NamespaceKind::Aliases, _) => format!(r"#[^:\x00]+:{any_server}\z"),
        (NamespaceKind::Rooms, _) => format!(r"![^:\x00]+(:{any_server})?\z"),
    }
}

fn automaton(regex: &str) -> Option<DFA> {
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .unicode_word_boundary(true)
        .cache_capacity(MAX_CACHE_BYTES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0));
    let limit = thompson::Config::new().nfa_size_limit(Some(MAX_CACHE_BYTES));
    DFA::builder().configure(config).thompson(limit).build(regex).ok()
}

/// How far one expression has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Track {
    Running(LazyStateID),
    /// It has matched the start of the identifier; what follows does not matter.
    Matched,
}

/// The expressions and the grammar, all at one point of an identifier.
type Place = (Track, Track, LazyStateID);

/// The automaton gave up: out of memory, or a byte it cannot decide on.
struct GaveUp;

struct Walk<'a> {
    dfas: [&'a DFA; 2],
    grammar: &'a DFA,
    caches: [Cache; 3],
}

/// The shortest identifier of the grammar that one or two expressions match.
fn common(dfas: &[&DFA], grammar: &DFA) -> Option<Overlapping> {
    let (&first, &second) = (dfas.first()?, dfas.last()?);
    let caches = [first.create_cache(), second.create_cache(), grammar.create_cache()];
    let mut walk = Walk { dfas: [first, second], grammar, caches };
    let bytes = representatives(&[first, second, grammar]);
    match walk.start(dfas.len() == 1) {
        Ok(start) => walk.search(start, &bytes),
        Err(GaveUp) => Some(Overlapping::Undecided),
    }
}

impl Walk<'_> {
    fn start(&mut self, single: bool) -> Result<Place, GaveUp> {
        let [one, other, grammar] = &mut self.caches;
        let input = Input::new("").anchored(Anchored::Yes);
        let first = self.dfas[0].start_state_forward(one, &input).map_err(|_| GaveUp)?;
        let second = self.dfas[1].start_state_forward(other, &input).map_err(|_| GaveUp)?;
        let end = self.grammar.start_state_forward(grammar, &input).map_err(|_| GaveUp)?;
        let second = if single { Track::Matched } else { Track::Running(second) };
        Ok((Track::Running(first), second, end))
    }

    /// Breadth first, so that the witness is as short as can be.
    fn search(&mut self, start: Place, bytes: &[u8]) -> Option<Overlapping> {
        let mut places = vec![(start, 0_usize, 0_u8)];
        let mut seen = HashSet::from([start]);
        let mut undecided = false;
        let mut next = 0;
        while let Some(&(place, ..)) = places.get(next) {
            match self.is_end(place) {
                Ok(true) => return Some(Overlapping::Witness(spell(&places, next))),
                Ok(false) => {}
                Err(GaveUp) => undecided = true,
            }
            for &byte in bytes {
                match self.step(place, byte) {
                    Ok(Some(place)) if seen.insert(place) => places.push((place, next, byte)),
                    Ok(_) => {}
                    Err(GaveUp) => undecided = true,
                }
            }
            if places.len() > MAX_STATES {
                return Some(Overlapping::Undecided);
            }
            next += 1;
        }
        undecided.then_some(Overlapping::Undecided)
    }

    fn step(&mut self, (first, second, grammar): Place, byte: u8) -> Result<Option<Place>, GaveUp> {
        let Some(grammar) = advance(self.grammar, &mut self.caches[2], grammar, byte)? else { return Ok(None) };
        let Some(first) = self.advance_track(0, first, byte)? else { return Ok(None) };
        let Some(second) = self.advance_track(1, second, byte)? else { return Ok(None) };
        Ok(Some((first, second, grammar)))
    }

    fn advance_track(&mut self, index: usize, track: Track, byte: u8) -> Result<Option<Track>, GaveUp> {
        let Track::Running(state) = track else { return Ok(Some(Track::Matched)) };
        let next = advance(self.dfas[index], &mut self.caches[index], state, byte)?;
        Ok(next.map(|state| if state.is_match() { Track::Matched } else { Track::Running(state) }))
    }

    /// Whether the identifier may end here.
    fn is_end(&mut self, (first, second, grammar): Place) -> Result<bool, GaveUp> {
        let [one, other, end] = &mut self.caches;
        Ok(matches_at_end(self.grammar, end, Track::Running(grammar))?
            && matches_at_end(self.dfas[0], one, first)?
            && matches_at_end(self.dfas[1], other, second)?)
    }
}

fn advance(dfa: &DFA, cache: &mut Cache, state: LazyStateID, byte: u8) -> Result<Option<LazyStateID>, GaveUp> {
    let next = dfa.next_state(cache, state, byte).map_err(|_| GaveUp)?;
    if next.is_quit() {
        return Err(GaveUp);
    }
    Ok((!next.is_dead()).then_some(next))
}

fn matches_at_end(dfa: &DFA, cache: &mut Cache, track: Track) -> Result<bool, GaveUp> {
    let Track::Running(state) = track else { return Ok(true) };
    Ok(dfa.next_eoi_state(cache, state).map_err(|_| GaveUp)?.is_match())
}

fn spell(places: &[(Place, usize, u8)], mut index: usize) -> String {
    let mut bytes = Vec::new();
    while let Some(&(_, before, byte)) = places.get(index).filter(|_| index > 0) {
        bytes.push(byte);
        index = before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One byte of each class that no automaton tells apart, the most readable one.
fn representatives(dfas: &[&DFA]) -> Vec<u8> {
    let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b' '..=b'~').chain(0..=255);
    let mut classes = HashSet::new();
    let mut found = Vec::new();
    for byte in readable {
        let class: Vec<u8> = dfas.iter().map(|dfa| dfa.byte_classes().get(byte)).collect();
        if classes.insert(class) {
            found.push(byte);
        }
    }
    found
}
