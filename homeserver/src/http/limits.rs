//! How often the same may be tried: token buckets by what is done and by whom ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#rate-limiting

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::StatusCode;
use landbridge_axum_ruma::MatrixError;
use parking_lot::Mutex;
use ruma::{
    UserId,
    api::error::{ErrorKind, LimitExceededErrorData, RetryAfter},
};
use tokio::time::Instant;

use super::{
    auth::Caller,
    error::{ApiError, ApiResult},
    peer::Peer,
};

/// How many buckets are kept. At the bound those that are full again go first, then those that were used least lately.
const MAX_BUCKETS: usize = 20_000;

/// How much of something is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How many a minute after that.
    pub per_minute: f64,
}

impl Rate {
    /// `burst` at once, then `per_minute` a minute.
    #[must_use]
    pub const fn new(burst: u32, per_minute: f64) -> Self {
        Self { burst, per_minute }
    }
}

/// What is limited, and how far. Application services are exempt from all of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimits {
    /// Accounts made from one network.
    pub register: Rate,
    /// Logins, refreshed tokens and looks at registration tokens from one network.
    pub login: Rate,
    /// Wrong passwords for one account, wherever they come from.
    pub wrong_passwords: Rate,
    /// Login tokens made for one user.
    pub login_tokens: Rate,
    /// Reports of one user.
    pub reports: Rate,
    /// Uploads begun by one user.
    pub uploads: Rate,
    /// What one user sends, changes and joins; `None`: as much as they like.
    pub events: Option<Rate>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            register: Rate::new(10, 4.0),
            login: Rate::new(30, 20.0),
            wrong_passwords: Rate::new(10, 6.0),
            login_tokens: Rate::new(2, 1.0),
            reports: Rate::new(20, 4.0),
            uploads: Rate::new(200, 120.0),
            events: None,
        }
    }
}

/// Something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Register,
    Login,
    WrongPassword,
    LoginToken,
    Report,
    Upload,
    Event,
}

/// The buckets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits {
    rates: RateLimits,
    buckets: Arc<Mutex<HashMap<(Action, String), Bucket>>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refilled(self, rate: Rate, now: Instant) -> Self {
        let more = now.duration_since(self.at).as_secs_f64() * rate.per_minute / 60.0;
        Self { left: (self.left + more).min(f64::from(rate.burst)), at: now }
    }
}

impl Limits {
    pub(crate) fn new(rates: RateLimits) -> Self {
        Self { rates, buckets: Arc::default() }
    }

    /// Lets something pass, and counts it.
    ///
    /// # Errors
    /// 429 `M_LIMIT_EXCEEDED` with the time after which it may be tried again.
    pub(crate) fn take(&self, action: Action, peer: Peer) -> ApiResult<()> {
        match peer.0 {
            Some(address) => self.count(action, address.to_string()),
            None => Ok(()),
        }
    }

    /// Lets a user send, change or join something, and counts it.
    ///
    /// # Errors
    /// 429 `M_LIMIT_EXCEEDED`, as [`Self::take`].
    pub(crate) fn take_event(&self, caller: &Caller) -> ApiResult<()> {
        if self.rates.events.is_none() || caller.is_unlimited() {
            return Ok(());
        }
        self.take_for(Action::Event, &caller.user_id)
    }

    /// Lets something of a user pass, and counts it.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub(crate) fn take_for(&self, action: Action, user_id: &UserId) -> ApiResult<()> {
        self.count(action, user_id.to_string())
    }

    /// Refuses without counting: what is counted is only known afterwards.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub(crate) fn check(&self, action: Action, user_id: &UserId) -> ApiResult<()> {
        let rate = self.rate(action);
        let now = Instant::now();
        match self.buckets.lock().get(&(action, user_id.to_string())) {
            Some(bucket) => fits(bucket.refilled(rate, now), rate),
            None => Ok(()),
        }
    }

    fn count(&self, action: Action, who: String) -> ApiResult<()> {
        let rate = self.rate(action);
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let key = (action, who);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: f64::from(rate.burst), at: now });
        *bucket = bucket.refilled(rate, now);
        fits(*bucket, rate)?;
        bucket.left -= 1.0;
        Ok(())
    }

    fn make_room(&self, buckets: &mut HashMap<(Action, String), Bucket>, now: Instant) {
        buckets.retain(|(action, _), bucket| {
            let rate = self.rate(*action);
            bucket.refilled(rate, now).left < f64::from(rate.burst)
        });
        if buckets.len() >= MAX_BUCKETS {
            let mut ages: Vec<Instant> = buckets.values().map(|bucket| bucket.at).collect();
            let (_, &mut middle, _) = ages.select_nth_unstable(MAX_BUCKETS / 2);
            buckets.retain(|_, bucket| bucket.at > middle);
        }
    }

    const fn rate(&self, action: Action) -> Rate {
        match action {
            Action::Register => self.rates.register,
            Action::Login => self.rates.login,
            Action::WrongPassword => self.rates.wrong_passwords,
            Action::LoginToken => self.rates.login_tokens,
            Action::Report => self.rates.reports,
            Action::Upload => self.rates.uploads,
            Action::Event => match self.rates.events {
                Some(rate) => rate,
                None => Rate::new(u32::MAX, 0.0),
            },
        }
    }
}

fn fits(bucket: Bucket, rate: Rate) -> ApiResult<()> {
    if bucket.left >= 1.0 {
        return Ok(());
    }
    let seconds = (1.0 - bucket.left) * 60.0 / rate.per_minute.max(0.01);
    // Whole seconds, rounded up: the header has no smaller unit.
    Err(limit_exceeded(Duration::from_secs(seconds.clamp(0.0, 86_400.0).ceil() as u64)))
}

/// 429 `M_LIMIT_EXCEEDED`.
fn limit_exceeded(after: Duration) -> ApiError {
    let mut data = LimitExceededErrorData::new();
    data.retry_after = Some(RetryAfter::Delay(after));
    MatrixError::new(StatusCode::TOO_MANY_REQUESTS, ErrorKind::LimitExceeded(data), "Too many requests").into()
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("rates", &self.rates).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Peer {
        Peer(Some([192, 0, 2, last].into()))
    }

    fn limits() -> Limits {
        Limits::new(RateLimits { login: Rate::new(3, 60.0), ..RateLimits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_a_second() {
        let limits = limits();
        let tries = |count| (0..count).filter(|_| limits.take(Action::Login, from(1)).is_ok()).count();
        assert_eq!(tries(5), 3);
        tokio::time::advance(Duration::from_millis(1000)).await;
        assert_eq!(tries(5), 1);
        assert!(limits.take(Action::Login, from(2)).is_ok(), "others are not held up");
        assert!(limits.take(Action::Login, Peer(None)).is_ok(), "the operator is not limited");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_those_at_work_stay_limited() {
        let limits = limits();
        for number in 0..2 * MAX_BUCKETS {
            let _ = limits.count(Action::Login, number.to_string());
            tokio::time::advance(Duration::from_micros(1)).await;
        }
        assert!(limits.buckets.lock().len() <= MAX_BUCKETS);
        let newest = (2 * MAX_BUCKETS - 1).to_string();
        assert!((0..3).filter(|_| limits.count(Action::Login, newest.clone()).is_ok()).count() < 3);
    }
}
