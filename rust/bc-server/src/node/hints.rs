//! Says why changed files are only found by regular reading, where that is so.

use bc_core::{
    clock::Clock,
    concern::TOPIC_WATCH,
    scan::watch::Hints,
    status::{Severity, StatusBoard},
};
use tracing::warn;

/// Says it, or that it is over: it may begin and end at any time, as folders come and go and limits are changed.
pub(super) fn show(hints: &dyn Hints, board: &StatusBoard, clock: &dyn Clock) {
    match hints.problem() {
        Some(problem) => {
            if board.raise(TOPIC_WATCH, Severity::Warning, problem.as_str(), clock.now_ms()) {
                warn!("{problem}");
            }
        }
        None => board.clear(TOPIC_WATCH),
    }
}
