//! Whether GoCD had the time to accept a configuration: what it then has not, it has rejected.
//!
//! GoCD looks for edits every five seconds while it runs, and says of one that it refuses nothing that a node could read
//! without a login. It goes on with what it had, so what shows is that nothing comes.

use crate::generation::Acceptance;

/// Two looks of GoCD at its file: the one that was just over when the edit came, and the one after it.
const LOOKS_MS: i64 = 10_000;
/// Reading and accepting takes no longer, in milliseconds: what took more was waiting for something else.
const LONGEST_MS: i64 = 60_000;

/// How GoCD has looked so far.
#[derive(Debug)]
pub(super) struct Looking {
    /// Since when it does; none while it does not run.
    pub(super) since_ms: Option<i64>,
    /// How long the configuration that it accepted last was pending.
    took_ms: i64,
    was_pending: bool,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            since_ms: Some(0),
            took_ms: 0,
            was_pending: false,
        }
    }
}

impl Looking {
    /// Whether GoCD, at `now_ms`, had the time to accept a configuration that is there since `generated_ms` and is pending
    /// still.
    pub(super) fn is_rejected(&mut self, acceptance: Acceptance, generated_ms: i64, now_ms: i64) -> bool {
        let is_pending = acceptance == Acceptance::Pending;
        if acceptance == Acceptance::Accepted && self.was_pending {
            self.took_ms = now_ms.saturating_sub(generated_ms).clamp(0, LONGEST_MS);
        }
        self.was_pending = is_pending;
        let Some(since_ms) = self.since_ms else { return false };
        is_pending && now_ms.saturating_sub(generated_ms.max(since_ms)) >= LOOKS_MS + self.took_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gocd_has_two_looks_and_what_the_last_one_took() {
        let mut looking = Looking::default();
        assert!(!looking.is_rejected(Acceptance::Pending, 1_000, 10_999));
        assert!(looking.is_rejected(Acceptance::Pending, 1_000, 11_000));
        assert!(
            !looking.is_rejected(Acceptance::Unknown, 1_000, 99_000),
            "nobody can tell"
        );
        assert!(!looking.is_rejected(Acceptance::Pending, 20_000, 21_000));
        assert!(!looking.is_rejected(Acceptance::Accepted, 20_000, 27_000));
        assert!(
            !looking.is_rejected(Acceptance::Pending, 30_000, 46_999),
            "it took 7 s before"
        );
        assert!(looking.is_rejected(Acceptance::Pending, 30_000, 47_000));
    }

    #[test]
    fn a_gocd_that_does_not_run_rejects_nothing() {
        let mut looking = Looking {
            since_ms: None,
            ..Looking::default()
        };
        assert!(!looking.is_rejected(Acceptance::Pending, 0, 1_000_000));
        looking.since_ms = Some(1_000_000);
        assert!(!looking.is_rejected(Acceptance::Pending, 0, 1_005_000));
        assert!(looking.is_rejected(Acceptance::Pending, 0, 1_010_000));
    }
}
