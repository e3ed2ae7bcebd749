//! A standby that starts again while the primary runs: everything is in sync but for one edit made meanwhile.

use std::time::Instant;

use anyhow::Result;

use super::{
    Bench,
    numbers::{Goal, Numbers},
    site::Site,
};

/// Restarts in one run.
const RESTARTS: usize = 5;

pub(crate) fn measure(bench: &Bench<'_>, numbers: &mut Numbers) -> Result<()> {
    let megabytes = if bench.scope.is_quick { 20 } else { 600 };
    let mut site = Site::prepare(bench, "ours", megabytes)?;
    site.start()?;
    for _ in 0..bench.scope.runs * RESTARTS {
        site.stop_standby()?;
        site.edit()?;
        let begun = Instant::now();
        site.start_standby()?;
        site.wait_for_config()?;
        let took = begun.elapsed();
        numbers.add(
            "restart of the standby until an edit made meanwhile is live",
            "s",
            Goal::Under(0.3),
            took.as_secs_f64(),
        );
    }
    Ok(())
}
