//! Says why changed files are only found by regular reading, where that is so.

use bc_core::{
    basics::Severity,
    primary::scan::watch::Hints,
    status::{StatusBoard, Topic},
};

/// Says on the board why no hints of changed files come, or that it is over: it may begin and end at any time, as
/// folders come and go and limits are changed.
pub(super) fn show(hints: &dyn Hints, board: &StatusBoard) {
    board.warn(&Topic::Watch, Severity::Warning, hints.problem());
}
