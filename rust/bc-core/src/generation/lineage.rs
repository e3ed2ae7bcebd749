//! Which generation each of a primary's last sequences was: the proof that what a standby has is an older state of
//! what it is offered.
//!
//! A sequence alone says little: a primary that was restored from a snapshot and edited on reaches every sequence that
//! a standby has seen. But what it was at that sequence is another generation then than the one that the standby has.
//!
//! The lineage begins anew with each epoch, and reaches back `KEPT` changes. It is part of the primary's ledger and
//! of the manifest, there as a list of `[sequence, "first 16 digits of the generation"]`.

use serde::{Deserialize, Serialize};

use crate::basics::Digest;

/// Changes that are remembered.
pub(crate) const KEPT: usize = 256;

/// The first digits of an id tell generations of one primary apart.
const DIGITS: usize = 16;

/// The last changes of one primary in one epoch, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(Vec<(u64, String)>);

/// What a lineage says about a generation at a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descent {
    /// It was that one.
    Known,
    /// It was another one.
    Foreign,
    /// It does not reach back so far.
    Forgotten,
}

impl Lineage {
    /// Notes in the lineage that `generation` is offered from `sequence` on, and forgets what is too long ago.
    pub fn push(&mut self, sequence: u64, generation: &Digest) {
        let generation = short(generation);
        if self.0.last().is_some_and(|(_, last)| *last == generation) {
            return;
        }
        if self.0.len() >= KEPT {
            self.0.drain(..=self.0.len() - KEPT);
        }
        self.0.push((sequence, generation));
    }

    /// Whether `generation` was what the primary had at `sequence`.
    pub(crate) fn descent(&self, sequence: u64, generation: &Digest) -> Descent {
        match self.0.iter().rev().find(|(first, _)| *first <= sequence) {
            None => Descent::Forgotten,
            Some((_, there)) if *there == short(generation) => Descent::Known,
            Some(_) => Descent::Foreign,
        }
    }

    /// Whether the lineage says nothing: a new primary, or one of an earlier version.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The beginning of a generation's id, as the lineage keeps it.
fn short(generation: &Digest) -> String {
    format!("{generation:.DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn after(numbers: impl IntoIterator<Item = u64>) -> Lineage {
        let mut lineage = Lineage::default();
        for number in numbers {
            lineage.push(number, &id(number));
        }
        lineage
    }

    #[test]
    fn a_generation_is_known_from_its_sequence_to_the_next_one() {
        let lineage = after([5, 6, 72]);
        for (sequence, number, descent) in [
            (5, 5, Descent::Known),
            (6, 5, Descent::Foreign),
            (71, 6, Descent::Known),
            (71, 71, Descent::Foreign),
            (900, 72, Descent::Known),
            (4, 4, Descent::Forgotten),
        ] {
            assert_eq!(lineage.descent(sequence, &id(number)), descent, "{sequence}");
        }
        assert_eq!(Lineage::default().descent(1, &id(1)), Descent::Forgotten);
    }

    #[test]
    fn it_stays_small_and_a_restart_without_a_change_adds_nothing() {
        let mut lineage = after(1..=1000);
        assert_eq!(lineage.0.len(), KEPT);
        let oldest = 1001 - KEPT as u64;
        assert_eq!(lineage.descent(oldest, &id(oldest)), Descent::Known);
        assert_eq!(lineage.descent(oldest - 1, &id(oldest - 1)), Descent::Forgotten);
        lineage.push(1065, &id(1000));
        assert_eq!(lineage, after(1..=1000));
        assert!(serde_json::to_vec(&lineage).expect("plain").len() < 8 << 10);
    }
}
