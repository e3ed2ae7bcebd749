//! What the set-ups of GoCD's hosts say.

use std::path::Path;

use bc_core::basics::Error;
use bc_setup::{console::Console, plan::Plan};

/// Shows a plan that is not carried out, and why it is not.
///
/// # Errors
/// It cannot be written.
pub(super) fn conclude(plan: &Plan, console: &mut dyn Console) -> Result<(), Error> {
    let last = match plan.changes_nothing() {
        true => "Nothing to change.",
        false => "Nothing has been changed. To do it, type the same command with: --write",
    };
    console.show(&format!("{plan}\n{last}\n"))
}

/// Says that a file was written, and where what was there before is kept.
pub(super) fn written(file: &Path, kept: Option<&Path>) -> String {
    match kept {
        Some(kept) => format!("Written: {} (what was there: {})", file.display(), kept.display()),
        None => format!("Written: {}", file.display()),
    }
}
