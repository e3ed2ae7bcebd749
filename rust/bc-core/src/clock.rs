//! The time of day, handed in so that tests can turn it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day. Durations are measured with tokio's clock, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970, UTC. May jump when an administrator sets the clock.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        millis(SystemTime::now())
    }
}

/// Milliseconds since 1970; negative before.
pub fn millis(time: SystemTime) -> i64 {
    let signed = |millis: u128| i64::try_from(millis).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since.as_millis()),
        Err(before) => -signed(before.duration().as_millis()),
    }
}
