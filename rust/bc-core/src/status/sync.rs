//! How syncing goes on a standby.

use serde::{Deserialize, Serialize};

use crate::{
    basics::Digest,
    generation::{Name, Withheld},
};

/// Errors that are kept, as in the original product.
pub const KEPT_ERRORS: usize = 5;

/// So far a clock may be set back, as NTP does, and what was just now is still taken for that.
const CLOCK_STEP_MS: i64 = 60_000;

/// How syncing goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Whether all that the primary has is live here, as far as anybody can know: `Status::update_sync` says so
    /// of the fields below.
    pub in_sync: bool,
    /// Whether the applied generation is the primary's newest one, as far as the newest exchange tells.
    #[serde(default)]
    pub has_newest: bool,
    /// Live files that are not those of the applied generation, since they were edited, damaged or removed here.
    #[serde(default)]
    pub altered: Vec<Name>,
    /// Why it is not known whether the live files are those of the applied generation.
    #[serde(default)]
    pub unseen: Option<String>,
    /// Since when the standby has been in sync without a break; none while it is not.
    #[serde(default)]
    pub in_sync_since_ms: Option<i64>,
    /// Since when it has not been, as far as this process knows; none while it is. A primary that does not answer
    /// may have changed just after its last answer, so that is the moment then.
    #[serde(default)]
    pub behind_since_ms: Option<i64>,
    /// Why the primary's newest generation is not made live.
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// Jars that the primary no longer has and that are kept here, since many plugins would go at once.
    #[serde(default)]
    pub kept: Vec<Name>,
    /// Set while an administrator's restore holds an older generation in place.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// When the generation that is live became that, by this node's clock, as the store has written it down: neither a
    /// restart nor another look at the same generation changes it. None where none did.
    pub applied_ms: Option<i64>,
    /// The newest errors, newest last, [`KEPT_ERRORS`] at most; they go with the next success.
    pub errors: Vec<SyncError>,
    /// A fetch that is under way.
    pub fetching: Option<Fetching>,
}

impl SyncStatus {
    /// Whether nothing but what the primary withholds ends in sync.
    pub(super) fn is_all_but_withheld(&self, withheld: &Withheld) -> bool {
        !withheld.is_empty()
            && self.has_newest
            && self.altered.is_empty()
            && self.unseen.is_none()
            && self.paused.is_none()
    }

    /// Milliseconds for which the generation that is live has been so. None where there is none, and where the clock
    /// was set back behind that moment by more than `CLOCK_STEP_MS`: then nobody knows.
    pub fn applied_age_ms(&self, now_ms: i64) -> Option<i64> {
        let age = now_ms.saturating_sub(self.applied_ms?);
        (age >= -CLOCK_STEP_MS).then_some(age.max(0))
    }
}

/// Why the primary is not followed although it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, and what to do.
    pub message: String,
    /// Since when the primary's newest generation is refused; another refused generation does not begin anew.
    pub since_ms: i64,
}

/// A standby that does not follow its primary, since an administrator has restored an older generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The generation that is live.
    pub generation: Digest,
    /// Since when.
    pub since_ms: i64,
}

/// An error while syncing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncError {
    /// When.
    pub at_ms: i64,
    /// What failed and what to do.
    pub message: String,
}

/// Progress of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// Files still to come, this one included.
    pub files_left: usize,
    /// Bytes of this generation to fetch in all.
    pub bytes_total: u64,
    /// Bytes of it that are here.
    pub bytes_done: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_knows_the_age_of_what_became_live_at_a_time_to_come() {
        let sync = |applied_ms| SyncStatus {
            applied_ms,
            ..SyncStatus::default()
        };
        assert_eq!(sync(None).applied_age_ms(100_000), None, "nothing was ever applied");
        assert_eq!(sync(Some(40_000)).applied_age_ms(100_000), Some(60_000));
        assert_eq!(
            sync(Some(160_000)).applied_age_ms(100_000),
            Some(0),
            "a small correction"
        );
        assert_eq!(
            sync(Some(160_001)).applied_age_ms(100_000),
            None,
            "the clock was set back"
        );
        assert_eq!(sync(Some(i64::MIN)).applied_age_ms(i64::MAX), Some(i64::MAX));
    }
}
