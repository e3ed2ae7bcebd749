//! How long to wait before the next try.

use std::time::Duration;

/// First wait after an error: about as long as a primary that starts needs to open its port.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait: an administrator who mends the cause should not have to wait for us.
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles with every error up to ten seconds; each wait is between half and all of it, so that many standbys
/// of one primary do not come back in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    errors: u32,
}

impl Backoff {
    /// How long to back off after one more error.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let full = LONGEST.min(FIRST * 2_u32.saturating_pow(self.errors.min(10)));
        self.errors = self.errors.saturating_add(1);
        let mut random = [0; 2];
        // Without random bytes the waits are only less spread out.
        let jitter = match getrandom::fill(&mut random) {
            Ok(()) => u32::from(u16::from_le_bytes(random)),
            Err(_) => 0,
        };
        full / 2 + full / 2 * jitter / u32::from(u16::MAX)
    }

    /// Backs off no longer, after a success.
    pub(crate) fn reset(&mut self) {
        self.errors = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_bound_and_starts_anew() {
        let mut backoff = Backoff::default();
        for round in 0..20 {
            let wait = backoff.next_wait();
            let full = LONGEST.min(FIRST * 2_u32.pow(round.min(10)));
            assert!(wait >= full / 2 && wait <= full, "round {round}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
