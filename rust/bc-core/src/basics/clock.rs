//! The time of day, handed in so that tests can turn it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day. Durations are measured with tokio's clock, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970, UTC. May jump when an administrator sets the clock.
    fn now_ms(&self) -> i64;
}

/// Clocks of two servers that are this many seconds apart are warned of: times that one tells are then wrong on the other.
pub const APART_S: u64 = 30;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg_attr(
        not(test),
        expect(clippy::disallowed_methods, reason = "this is the one that is handed in")
    )]
    fn now_ms(&self) -> i64 {
        millis(SystemTime::now())
    }
}

/// The time of a clock in milliseconds since 1970; negative before.
pub fn millis(time: SystemTime) -> i64 {
    let signed = |millis: u128| i64::try_from(millis).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since.as_millis()),
        Err(before) => -signed(before.duration().as_millis()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A clock that stands where a test sets it.
    #[derive(Default)]
    pub(crate) struct Turned(AtomicI64);

    impl Turned {
        /// Sets it to `now_ms`.
        pub(crate) fn to(&self, now_ms: i64) {
            self.0.store(now_ms, Ordering::Relaxed);
        }
    }

    impl Clock for Turned {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }
}
