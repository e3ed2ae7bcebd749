//! Says so when a primary has not read its files for long: the thread that reads may be waiting for a disk that does
//! not answer, and an edit may never become whole. Nothing newer reaches a standby then, whatever is said of it.

use std::{sync::Arc, time::Duration};

use bc_core::status::{StatusBoard, Topic, concerns::PART_SCAN_WATCH};
use tokio::time::{Instant, sleep};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Watches whether the primary's files are read, for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) {
    let board = Arc::clone(&assembly.board);
    // As long as a standby bears with it.
    let longest = assembly.settings.file_check_interval * 3 + Duration::from_secs(30);
    let part = Part {
        name: PART_SCAN_WATCH,
        does: "sees whether this server's files are read",
    };
    supervisor.supervise(part, move || watch(Arc::clone(&board), longest));
}

/// Says on the board when the primary's files have not been read for `longest`.
async fn watch(board: Arc<StatusBoard>, longest: Duration) {
    let mut seen = (None, Instant::now());
    loop {
        let scanned_ms = board.look(|status| status.scanned_ms);
        // The time of day may jump.
        if scanned_ms != seen.0 {
            seen = (scanned_ms, Instant::now());
        }
        if seen.1.elapsed() > longest {
            let message = format!(
                "this server's files have not been read as a whole set for more than {} s, so newer changes reach no \
                 standby. See that its disks answer, and what else is said here.",
                longest.as_secs()
            );
            board.alarm(&Topic::Reading, Some(message));
        } else {
            board.clear(&Topic::Reading);
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{
        basics::{Severity, SystemClock},
        generation::Role,
        status::{Phase, Status},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_that_are_not_read_for_long_are_critical_until_they_are() {
        let board = Arc::new(StatusBoard::new(
            Status::new("node", Role::Primary, Phase::Running, 0),
            Arc::new(SystemClock),
        ));
        let watching = tokio::spawn(watch(Arc::clone(&board), Duration::from_secs(210)));
        let severity = || board.look(Status::severity);
        for minute in 1..=3 {
            sleep(Duration::from_secs(200)).await;
            assert_eq!(severity(), Severity::Ok);
            board.update(|status| status.scanned_ms = Some(minute));
        }
        sleep(Duration::from_secs(220)).await;
        assert_eq!(severity(), Severity::Critical);
        board.update(|status| status.scanned_ms = Some(4));
        sleep(LOOK_EVERY * 2).await;
        assert_eq!(severity(), Severity::Ok);
        watching.abort();
    }
}
