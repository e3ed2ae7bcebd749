//! Whether this process stood still, or its clock was moved: seen by two clocks that are read once a second.
//!
//! A process that was stopped (SIGSTOP, a paused virtual machine, a long collection of garbage) knows nothing of the time
//! in between. The monotonic clock goes on while a process is stopped, and stands still with its machine; the clock of
//! the day is put right afterwards. So a tick that comes late by the one, and a difference between both, say the same.

use std::time::Duration;

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
}
