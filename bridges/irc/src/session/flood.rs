//! The send queue: bounded, ordered by class, and never faster than the network allows.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Flood, NotSent};

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Joins, modes, topics, kicks: what must not wait behind talk.
    Control,
    /// Talk, and what must not overtake it (PART).
    Talk,
}

/// Lines that wait, and the time that is owed for those that went.
#[derive(Debug)]
pub(super) struct Queue<T> {
    control: VecDeque<T>,
    talk: VecDeque<T>,
    /// When nothing is owed any more.
    debt_until: Option<Instant>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { control: VecDeque::new(), talk: VecDeque::new(), debt_until: None }
    }
}

impl<T> Queue<T> {
    /// Puts a line at the end of its class. Refuses, giving the line back, when as many wait as may.
    pub(super) fn push(&mut self, class: Class, item: T, flood: &Flood) -> Result<(), (T, NotSent)> {
        if self.len() >= flood.capacity {
            // Room for an eighth of the queue: a caller that waits this long does not knock in vain.
            let lines = u32::try_from(flood.capacity / 8).unwrap_or(u32::MAX).max(1);
            let per_line = if flood.enabled { flood.per_line } else { Duration::from_millis(10) };
            return Err((item, NotSent::QueueFull { retry_after: per_line.saturating_mul(lines) }));
        }
        match class {
            Class::Control => self.control.push_back(item),
            Class::Talk => self.talk.push_back(item),
        }
        Ok(())
    }

    /// Takes the line whose turn it is, if it may go now. The caller charges it.
    pub(super) fn pop(&mut self, now: Instant, flood: &Flood) -> Option<T> {
        if self.ready_at(now, flood)? > now {
            return None;
        }
        self.control.pop_front().or_else(|| self.talk.pop_front())
    }

    /// When the next line may go; `None` if none waits.
    pub(super) fn ready_at(&self, now: Instant, flood: &Flood) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let debt = self.debt_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if !flood.enabled || debt.is_zero() {
            return Some(now);
        }
        let allowed = flood.lead.saturating_sub(flood.per_line);
        Some(now + debt.saturating_sub(allowed))
    }

    /// Writes down what a line costs that went out, through this queue or past it.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant, flood: &Flood) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.owe(flood.per_line + flood.per_byte.saturating_mul(bytes), now);
    }

    /// Writes down a PING: servers count it for less than talk, or not at all.
    pub(super) fn charge_ping(&mut self, now: Instant, flood: &Flood) {
        self.owe(flood.per_line / 2, now);
    }

    fn owe(&mut self, cost: Duration, now: Instant) {
        let from = self.debt_until.map_or(now, |until| until.max(now));
        self.debt_until = Some(from + cost);
    }

    /// Takes out every line of talk that `unwanted` names.
    pub(super) fn cancel(&mut self, mut unwanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let (out, kept) = std::mem::take(&mut self.talk).into_iter().partition(|item| unwanted(item));
        self.talk = kept;
        Vec::from_iter::<VecDeque<T>>(out)
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.control).into_iter().chain(std::mem::take(&mut self.talk))
    }

    pub(super) fn len(&self) -> usize {
        self.control.len() + self.talk.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.talk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOD: Flood = Flood {
        enabled: true,
        lead: Duration::from_secs(4),
        per_line: Duration::from_secs(1),
        per_byte: Duration::ZERO,
        capacity: 20,
    };

    fn sent(queue: &mut Queue<u32>, now: Instant) -> Vec<u32> {
        let mut sent = Vec::new();
        while let Some(item) = queue.pop(now, &FLOOD) {
            queue.charge(40, now, &FLOOD);
            sent.push(item);
        }
        sent
    }

    #[test]
    fn p9_a_burst_really_waits() {
        let start = Instant::now();
        let mut queue = Queue::default();
        for line in 0..10 {
            queue.push(Class::Talk, line, &FLOOD).unwrap();
        }
        assert_eq!(sent(&mut queue, start), [0, 1, 2, 3]);
        assert_eq!(queue.ready_at(start, &FLOOD), Some(start + Duration::from_secs(1)));
        assert_eq!(sent(&mut queue, start + Duration::from_millis(999)), Vec::<u32>::new());
        assert_eq!(sent(&mut queue, start + Duration::from_secs(1)), [4]);
        assert_eq!(sent(&mut queue, start + Duration::from_secs(3)), [5, 6]);
        assert_eq!(sent(&mut queue, start + Duration::from_secs(60)), [7, 8, 9]);
    }

    #[test]
    fn over_any_stretch_of_time_no_more_goes_than_the_limit_allows() {
        let start = Instant::now();
        let mut queue = Queue::default();
        let mut gone = 0;
        for tick in 0..600 {
            let now = start + Duration::from_millis(tick * 100);
            let _ = queue.push(Class::Talk, 0, &FLOOD);
            gone += sent(&mut queue, now).len() as u64;
            assert!(gone <= 4 + tick / 10, "{gone} lines after {tick} ticks");
        }
        assert_eq!(gone, 4 + 59);
    }

    #[test]
    fn bytes_cost_too() {
        let flood = Flood { per_byte: Duration::from_millis(10), ..FLOOD };
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.push(Class::Talk, 0, &flood).unwrap();
        queue.charge(400, now, &flood);
        assert_eq!(queue.ready_at(now, &flood), Some(now + Duration::from_secs(2)));
    }

    #[test]
    fn control_goes_before_talk_and_each_keeps_its_order() {
        let now = Instant::now();
        let mut queue = Queue::default();
        for (class, item) in [(Class::Talk, 1), (Class::Control, 2), (Class::Talk, 3), (Class::Control, 4)] {
            queue.push(class, item, &FLOOD).unwrap();
        }
        assert_eq!(sent(&mut queue, now), [2, 4, 1, 3]);
    }

    #[test]
    fn a_full_queue_says_so_and_says_when_to_come_back() {
        let mut queue = Queue::default();
        for line in 0..20 {
            queue.push(Class::Talk, line, &FLOOD).unwrap();
        }
        let full = queue.push(Class::Control, 20, &FLOOD).unwrap_err();
        assert_eq!(full, (20, NotSent::QueueFull { retry_after: Duration::from_secs(2) }));
    }

    #[test]
    fn what_is_called_back_does_not_go() {
        let mut queue = Queue::default();
        for line in 0..6 {
            queue.push(Class::Talk, line, &FLOOD).unwrap();
        }
        assert_eq!(queue.cancel(|line| line % 2 == 0), [0, 2, 4]);
        assert_eq!(queue.clear().collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn without_limits_everything_goes_at_once() {
        let now = Instant::now();
        let flood = Flood::off();
        let mut queue = Queue::default();
        for line in 0..100 {
            queue.push(Class::Talk, line, &flood).unwrap();
            queue.charge(400, now, &flood);
        }
        let gone = std::iter::from_fn(|| queue.pop(now, &flood)).count();
        assert_eq!(gone, 100);
    }
}
