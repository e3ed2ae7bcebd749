//! How many seconds a replica is behind, without a clock of another host.
//!
//! `now() - pg_last_xact_replay_timestamp()` grows for ever while the primary has nothing to do, and is nothing after a
//! start of the replica; the popular `case when receive = replay then 0` says 0 when nothing is received any more. So a
//! standby keeps where the primary's log was at moments of its own monotonic clock. A replica that has replayed up to one of
//! these samples had, at that moment, all there was; how old the newest such sample is is how far it is behind. An idle
//! healthy pair is one sample behind, whatever the clocks of both hosts say.

use std::{collections::VecDeque, time::Duration};

use super::lsn::Lsn;

/// Samples that are kept. While nothing moves the newest one is renewed, so that only those of a replica that is behind
/// take room; once it is full, every second one goes, and what is long ago is known less exactly: a replica seems further
/// behind, never nearer.
const SAMPLES: usize = 512;

/// Where the primary's log was at some moments. Moments are durations since one start, by a clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Samples(VecDeque<Sample>);

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The primary had written so far.
    written: Lsn,
    /// The first and the last moment at which it had.
    from: Duration,
    until: Duration,
}

/// How far a replica is behind in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// It holds everything that the primary had written so long ago.
    Behind(Duration),
    /// It is at least so far behind: as long as anybody has looked it did not hold what was there.
    AtLeast(Duration),
}

impl Samples {
    /// Notes that the primary's database had written up to `written` at `now`. A position that goes back is another
    /// log: a promotion or another server. What was noted before says nothing of it, and goes.
    pub fn note(&mut self, written: Lsn, now: Duration) {
        match self.0.back_mut() {
            Some(newest) if newest.written == written => newest.until = now,
            newest => {
                if newest.is_some_and(|newest| newest.written > written) {
                    self.0.clear();
                }
                self.0.push_back(Sample {
                    written,
                    from: now,
                    until: now,
                });
            }
        }
        if self.0.len() > SAMPLES {
            let mut number = 0;
            // The oldest and the newest stay.
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1 || number > SAMPLES
            });
        }
    }

    /// How far a replica that has replayed up to `replayed` is behind at `now`. None before the first sample.
    pub fn lag(&self, replayed: Lsn, now: Duration) -> Option<Lag> {
        let held = self.0.iter().rev().find(|sample| replayed >= sample.written);
        Some(match held {
            Some(sample) => Lag::Behind(now.saturating_sub(sample.until)),
            None => Lag::AtLeast(now.saturating_sub(self.0.front()?.from)),
        })
    }

    /// Where the log of the primary's database was when it was last heard of.
    pub fn newest(&self) -> Option<Lsn> {
        self.0.back().map(|sample| sample.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u32) -> Lsn {
        format!("0/{position:X}").parse().expect("a position")
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_pair_is_one_sample_behind_for_ever() {
        let mut samples = Samples::default();
        for second in 0..10_000 {
            samples.note(at(7), s(second));
            assert_eq!(samples.lag(at(7), s(second + 1)), Some(Lag::Behind(s(1))));
        }
    }

    #[test]
    fn a_replica_that_stands_falls_behind_from_the_first_byte_that_it_misses() {
        let mut samples = Samples::default();
        assert_eq!(samples.lag(at(7), s(0)), None);
        for second in 0..=100 {
            samples.note(at(7), s(second));
        }
        for second in 101..=3_700 {
            samples.note(at(u32::try_from(second).expect("small")), s(second));
            assert_eq!(samples.lag(at(7), s(second)), Some(Lag::Behind(s(second - 100))));
        }
        // And one that comes on is as far behind as what it has replayed is old, or a little more: old samples are sparser.
        let Some(Lag::Behind(lag)) = samples.lag(at(2_000), s(3_700)) else {
            panic!("samples of that time are kept");
        };
        assert!((s(1_700)..s(1_900)).contains(&lag), "{lag:?}");
        assert_eq!(samples.lag(at(3_700), s(3_700)), Some(Lag::Behind(s(0))));
        assert!(samples.0.len() <= SAMPLES + 1);
    }

    #[test]
    fn one_that_never_held_a_sample_is_behind_by_an_unknown_time() {
        let mut samples = Samples::default();
        samples.note(at(9), s(10));
        assert_eq!(samples.lag(at(7), s(70)), Some(Lag::AtLeast(s(60))));
    }

    #[test]
    fn a_primary_that_is_not_heard_of_makes_the_lag_grow() {
        let mut samples = Samples::default();
        samples.note(at(7), s(10));
        assert_eq!(samples.lag(at(7), s(70)), Some(Lag::Behind(s(60))));
    }

    #[test]
    fn another_log_begins_anew() {
        let mut samples = Samples::default();
        samples.note(at(9), s(1));
        samples.note(at(5), s(2));
        assert_eq!(samples.newest(), Some(at(5)));
        assert_eq!(samples.lag(at(4), s(3)), Some(Lag::AtLeast(s(1))));
    }
}
