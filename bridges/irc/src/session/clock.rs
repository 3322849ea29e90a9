//! What time does to a session.

use std::time::Instant;

use super::{Phase, Session};
use crate::{message::Message, numerics::EndClass};

impl Session {
    /// When to call [`Session::tick`] at the latest; `None` when nothing waits for the time.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.ending.is_some() {
            return None;
        }
        let timing = &self.policy.timing;
        let phase = match &self.phase {
            Phase::Idle => None,
            Phase::Registering(registration) => Some(registration.deadline()),
            Phase::Online(exchange) => exchange.as_ref().map(|exchange| exchange.deadline),
        };
        let keepalive = self.keepalive_at();
        let quit = self.quit.as_ref().map(|quit| quit.until);
        let mut deadlines = [phase, keepalive, quit, None, None, None, None];
        if matches!(self.phase, Phase::Online(_)) && self.quit.as_ref().is_none_or(|quit| !quit.sent) {
            deadlines[3] = self.queue.ready_at(now, &self.policy.flood);
            deadlines[4] = self.flights.fence_at(self.fencing());
            deadlines[5] = self.flights.expires_at(self.clock.deaf_until, timing.confirm);
            deadlines[6] = self.clock.regain;
        }
        deadlines.into_iter().flatten().min()
    }

    /// The time has come.
    pub fn tick(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        let expired = self.flights.expired(now, self.clock.deaf_until, self.policy.timing.confirm);
        self.outcomes.extend(expired);
        self.tick_phase(now);
        self.tick_keepalive(now);
        self.tick_regain(now);
        if self.quit.as_ref().is_some_and(|quit| quit.sent && quit.until <= now) {
            self.end(EndClass::Requested, "we said goodbye, and the server did not");
        }
    }

    /// Nothing is read for now because nobody takes our events: the server's silence is then our own doing.
    pub fn not_listening(&mut self, now: Instant) {
        self.clock.heard = self.clock.heard.map(|_| now);
        self.clock.pinged = None;
        self.clock.deaf_until = Some(now);
    }

    /// The socket is closed.
    pub fn closed(&mut self, why: &str) {
        if let Some((class, words)) = self.verdict.take() {
            return self.end(class, words);
        }
        let class = if self.quit.is_some() { EndClass::Requested } else { EndClass::Transient };
        self.end(class, why);
    }

    fn tick_phase(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Registering(_) => self.tick_registration(now),
            Phase::Online(exchange) => {
                if exchange.take_if(|exchange| exchange.deadline <= now).is_some() {
                    self.send_now(&super::sasl::abort());
                    self.login_failed("the server did not answer");
                }
            }
        }
    }

    fn keepalive_at(&self) -> Option<Instant> {
        if !matches!(self.phase, Phase::Online(_)) {
            return None;
        }
        let heard = self.clock.heard?;
        Some(match self.clock.pinged {
            Some(pinged) => pinged + self.policy.timing.ping_timeout,
            None => heard + self.policy.timing.ping_after,
        })
    }

    fn tick_keepalive(&mut self, now: Instant) {
        if self.keepalive_at().is_none_or(|at| at > now) {
            return;
        }
        if self.clock.pinged.is_some() {
            self.end(EndClass::Transient, "the server no longer answers");
        } else {
            self.clock.pinged = Some(now);
            let ping = self.ping(now);
            self.urgent.push_back(ping);
        }
    }

    fn tick_regain(&mut self, now: Instant) {
        if self.clock.regain.is_none_or(|at| at > now) || !matches!(self.phase, Phase::Online(_)) {
            return;
        }
        self.clock.regain = None;
        if self.take_wanted() {
            self.schedule_regain(now);
        }
    }

    /// Asks for the wanted nick, if we want another than we have.
    pub(super) fn take_wanted(&mut self) -> bool {
        let wants = self.wants_nick_back() && matches!(self.phase, Phase::Online(_));
        if wants {
            self.me.regaining = true;
            self.send_own(Message::new("NICK", [self.identity.nick.as_str()]));
        }
        wants
    }

    /// Has the server tell when the wanted nick is free ([monitor](https://ircv3.net/specs/extensions/monitor)).
    pub(super) fn watch_wanted(&mut self) {
        let wants = self.wants_nick_back() && !self.policy.timing.regain.is_zero() && self.isupport.monitor.is_some();
        if !wants {
            return self.watch_no_more();
        }
        if !std::mem::replace(&mut self.me.watching, true) {
            self.send_own(Message::new("MONITOR", ["+", self.identity.nick.as_str()]));
        }
    }

    /// The nick that was wanted is not watched any more.
    pub(super) fn watch_no_more(&mut self) {
        if std::mem::take(&mut self.me.watching) {
            self.send_own(Message::new("MONITOR", ["C"]));
        }
    }

    /// Sets the time of the next attempt to get the wanted nick, if there is reason for one.
    pub(super) fn schedule_regain(&mut self, now: Instant) {
        let every = self.policy.timing.regain;
        self.clock.regain = (!every.is_zero() && self.wants_nick_back()).then(|| now + every);
    }

    /// We have another nick than the wanted one, nobody took it from us by force, and the wanted one can be had.
    fn wants_nick_back(&self) -> bool {
        let wanted = self.identity.nick.as_str();
        !self.me.renamed_by_force
            && wanted != self.me.nick.as_str()
            && self.isupport.nick_len.is_none_or(|len| wanted.len() <= len)
    }
}
