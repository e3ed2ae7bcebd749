//! Whether this process stood still, or its clock was moved: seen by two clocks that are read once a second.
//!
//! A process that was stopped (SIGSTOP, a paused virtual machine, a long collection of garbage) knows nothing of the time
//! in between. The monotonic clock goes on while a process is stopped, and stands still with its machine; the clock of
//! the day is put right afterwards. So a tick that comes late by the one, and a difference between both, say the same.
//!
//! A primary that stood still may have been replaced meanwhile, and gives out no file before it has asked ([`StoodStill`]).

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::basics::lock;

/// How often both clocks are to be read.
pub const TICK: Duration = Duration::from_secs(1);
/// What more than that is no delay of a busy machine.
const JUMP: Duration = Duration::from_secs(5);

/// The two clocks as they were read last.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    wall_ms: i64,
    monotonic: Duration,
}

impl Ticks {
    /// Begins ticks at these readings of both clocks.
    pub fn begin(wall_ms: i64, monotonic: Duration) -> Self {
        Self { wall_ms, monotonic }
    }

    /// Takes the next tick; whether this process stood still before it, or its clock was moved.
    pub fn jumped(&mut self, wall_ms: i64, monotonic: Duration) -> bool {
        let before = std::mem::replace(self, Self { wall_ms, monotonic });
        let passed = monotonic.saturating_sub(before.monotonic);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let difference = wall_ms.saturating_sub(before.wall_ms).saturating_sub(passed_ms);
        passed > TICK + JUMP || u128::from(difference.unsigned_abs()) > JUMP.as_millis()
    }
}

/// Whether a running primary has asked the others since it stood still. Nothing is known of one that never ticked.
#[derive(Debug, Default)]
pub struct StoodStill(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    begun: Instant,
    ticks: Ticks,
    /// How often it stood still.
    times: u64,
    /// The last time after which the others were asked.
    asked: u64,
}

impl StoodStill {
    /// Takes the next tick of a primary that may have stood still; whether it did before that.
    pub fn tick(&self, wall_ms: i64) -> bool {
        let mut state = lock(&self.0);
        let Some(state) = &mut *state else {
            *state = Some(State {
                begun: Instant::now(),
                ticks: Ticks::begin(wall_ms, Duration::ZERO),
                times: 0,
                asked: 0,
            });
            return false;
        };
        let jumped = state.ticks.jumped(wall_ms, state.begun.elapsed());
        state.times += u64::from(jumped);
        jumped
    }

    /// How often it stood still so far, for [`Self::asked`].
    pub fn times(&self) -> u64 {
        lock(&self.0).as_ref().map_or(0, |state| state.times)
    }

    /// Notes that the others were asked by a question that began when it had stood still so often.
    pub fn asked(&self, times: u64) {
        if let Some(state) = &mut *lock(&self.0) {
            state.asked = times;
        }
    }

    /// Whether it stood still and has not asked since, also where the next tick is yet to come.
    pub fn has_to_ask(&self, wall_ms: i64) -> bool {
        lock(&self.0).as_ref().is_some_and(|state| {
            state.times != state.asked || state.ticks.clone().jumped(wall_ms, state.begun.elapsed())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_and_a_clock_that_was_moved_are_jumps_and_a_busy_machine_is_none() {
        for (wall_ms, monotonic_ms, is_jump) in [
            (1_000, 1_000, false),
            (4_000, 4_000, false),
            // Stopped for a minute.
            (61_000, 61_000, true),
            // The machine was paused, and its clock put right since.
            (61_000, 1_000, true),
            // Paused, and the clock not put right yet: nobody can see that.
            (1_000, 1_000, false),
            // Set back and forward by a day.
            (-86_399_000, 1_000, true),
            (86_401_000, 1_000, true),
            (2_500, 1_000, false),
        ] {
            let mut ticks = Ticks::begin(7, Duration::from_secs(9));
            let monotonic = Duration::from_secs(9) + Duration::from_millis(monotonic_ms);
            assert_eq!(
                ticks.jumped(7 + wall_ms, monotonic),
                is_jump,
                "{wall_ms}, {monotonic_ms}"
            );
            assert!(!ticks.jumped(7 + wall_ms + 1_000, monotonic + TICK), "that is over");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stood_still_for_a_minute_has_to_ask_before_anything_else() {
        let minute = Duration::from_secs(60);
        // Stopped, so that both clocks go on; or with its machine, whose clock is put right afterwards.
        for monotonic in [minute, Duration::ZERO] {
            let still = StoodStill::default();
            assert!(!still.has_to_ask(0), "it never ticked");
            assert!(!still.tick(0));
            tokio::time::advance(TICK).await;
            assert!(!still.tick(1_000) && !still.has_to_ask(1_500));
            let before = still.times();
            tokio::time::advance(monotonic).await;
            assert!(still.has_to_ask(61_000), "before the next tick as well");
            // What was asked before that says nothing of it.
            still.asked(before);
            assert!(still.tick(61_000) && still.has_to_ask(61_000));
            still.asked(before);
            assert!(still.has_to_ask(61_000));
            still.asked(still.times());
            assert!(!still.has_to_ask(61_000));
        }
    }
}
