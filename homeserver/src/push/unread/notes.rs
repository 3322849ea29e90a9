//! Unread notifications of one user in one room, in a byte or two each: there may be a thousand of them for everybody in a large
//! room, and most are never looked at.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ruma::{EventId, OwnedEventId};
use serde::{Deserialize, Serialize};

/// One unread notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note<'a> {
    /// The place of its event in the log.
    pub(super) position: i64,
    /// Whether it stands out.
    pub(super) highlight: bool,
    /// The root of the thread it is in.
    pub(super) thread: Option<&'a EventId>,
}

const HIGHLIGHT: u64 = 1;
const IN_THREAD: u64 = 2;

/// Notifications in the order they were added, which is that of the log but for a few.
///
/// Each is one number: how far its place is from the one before (zigzag, for those that come late), and in its two lowest bits
/// whether it stands out and whether it is in a thread; then the thread's number, if it is. Numbers are in base 128, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    bytes: Vec<u8>,
    len: usize,
    last: i64,
    threads: Vec<OwnedEventId>,
}

impl Notes {
    pub(super) fn push(&mut self, note: &Note<'_>) {
        let step = note.position.wrapping_sub(self.last);
        // Positions are far below 2^60: nothing is shifted out.
        let zigzag = ((step << 1) ^ (step >> 63)).cast_unsigned();
        let flags = if note.highlight { HIGHLIGHT } else { 0 } | if note.thread.is_some() { IN_THREAD } else { 0 };
        write(&mut self.bytes, zigzag << 2 | flags);
        if let Some(root) = note.thread {
            let known = self.threads.iter().rposition(|thread| thread == root);
            let number = known.unwrap_or_else(|| {
                self.threads.push(root.to_owned());
                self.threads.len() - 1
            });
            write(&mut self.bytes, number as u64);
        }
        self.last = note.position;
        self.len += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Note<'_>> {
        let (mut rest, mut last) = (&*self.bytes, 0_i64);
        std::iter::from_fn(move || {
            let number = read(&mut rest)?;
            let zigzag = number >> 2;
            last = last.wrapping_add((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            let thread = if number & IN_THREAD == 0 {
                None
            } else {
                let thread = usize::try_from(read(&mut rest)?).ok()?;
                Some(&**self.threads.get(thread)?)
            };
            Some(Note { position: last, highlight: number & HIGHLIGHT != 0, thread })
        })
    }

    /// Keeps those that `keep` says; it is asked once for each, oldest first.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Note<'_>) -> bool) {
        let mut kept = Self::default();
        self.iter().filter(|note| keep(note)).for_each(|note| kept.push(&note));
        if kept.len < self.len {
            kept.bytes.shrink_to_fit();
            *self = kept;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the oldest where there are more than `most`; those that stand out last.
    pub(super) fn forget_oldest(&mut self, most: usize) {
        let mut surplus = self.len.saturating_sub(most);
        for highlights_too in [false, true] {
            if surplus == 0 {
                return;
            }
            self.retain(|note| {
                let goes = surplus > 0 && (highlights_too || !note.highlight);
                surplus -= usize::from(goes);
                !goes
            });
        }
    }

    /// As it is stored.
    pub(super) fn to_stored(&self) -> String {
        let stored = Stored { notes: BASE64.encode(&self.bytes), threads: self.threads.clone() };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// What was stored, now or by older versions; nothing, if it cannot be read.
    pub(super) fn from_stored(stored: &str) -> Self {
        let mut notes = Self::default();
        if stored.starts_with('[') {
            let listed: Vec<Listed> = serde_json::from_str(stored).unwrap_or_default();
            for Listed { position, highlight, thread } in listed {
                notes.push(&Note { position, highlight, thread: thread.as_deref() });
            }
            return notes;
        }
        let Ok(Stored { notes: bytes, threads }) = serde_json::from_str(stored) else { return notes };
        let Ok(bytes) = BASE64.decode(bytes) else { return notes };
        // Written again: so a number that is cut off, or a thread that is not there, ends what is believed.
        let read = Self { bytes, threads, ..Self::default() };
        read.iter().for_each(|note| notes.push(&note));
        notes
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "n")]
    notes: String,
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    threads: Vec<OwnedEventId>,
}

/// One of the list that was the stored form once.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "p")]
    position: i64,
    #[serde(rename = "h", default)]
    highlight: bool,
    #[serde(rename = "t", default)]
    thread: Option<OwnedEventId>,
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front; `None` where there is none.
fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::owned_event_id;

    use super::*;

    type Owned = (i64, bool, Option<OwnedEventId>);

    fn notes_of(all: &[Owned]) -> Notes {
        let mut notes = Notes::default();
        for (position, highlight, thread) in all {
            notes.push(&Note { position: *position, highlight: *highlight, thread: thread.as_deref() });
        }
        notes
    }

    fn owned(notes: &Notes) -> Vec<Owned> {
        notes.iter().map(|note| (note.position, note.highlight, note.thread.map(ToOwned::to_owned))).collect()
    }

    fn some() -> impl Strategy<Value = Vec<Owned>> {
        let thread = proptest::option::of((0..3_u8).prop_map(|n| OwnedEventId::try_from(format!("$root{n}")).unwrap()));
        proptest::collection::vec((0..1_i64 << 50, any::<bool>(), thread), 0..60)
    }

    proptest! {
        #[test]
        fn what_was_pushed_is_there_and_survives_being_stored(all in some()) {
            let notes = notes_of(&all);
            prop_assert_eq!(owned(&notes), all.clone());
            prop_assert_eq!(owned(&Notes::from_stored(&notes.to_stored())), all);
        }

        #[test]
        fn those_that_are_kept_stay_in_order(all in some(), most in 0..60_usize) {
            let mut notes = notes_of(&all);
            notes.retain(|note| note.position % 2 == 0);
            let mut expected = all;
            expected.retain(|(position, ..)| position % 2 == 0);
            prop_assert_eq!(owned(&notes), expected.clone());

            notes.forget_oldest(most);
            while expected.len() > most {
                let oldest = expected.iter().position(|(_, highlight, _)| !highlight).unwrap_or(0);
                expected.remove(oldest);
            }
            prop_assert_eq!(owned(&notes), expected);
        }

        #[test]
        fn whatever_is_stored_is_read_without_a_fault(notes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let stored = Stored { notes: BASE64.encode(notes), threads: vec![owned_event_id!("$root")] };
            let read = Notes::from_stored(&serde_json::to_string(&stored).unwrap());
            prop_assert_eq!(owned(&read).len(), read.len);
        }
    }

    #[test]
    fn a_thousand_of_a_busy_room_take_little() {
        let all: Vec<Owned> = (0..1000).map(|n| (123_456 + n * 3, n % 100 == 0, None)).collect();
        assert!(notes_of(&all).bytes.len() <= 1010);
    }

    #[test]
    fn lists_of_older_versions_are_read() {
        let stored = r#"[{"p":5},{"p":7,"h":true},{"p":9,"t":"$root"}]"#;
        let expected = [(5, false, None), (7, true, None), (9, false, Some(owned_event_id!("$root")))];
        assert_eq!(owned(&Notes::from_stored(stored)), expected);
        assert_eq!(Notes::from_stored("nonsense"), Notes::default());
    }
}
