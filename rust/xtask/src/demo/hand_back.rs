//! The planned switch back to the former primary, once that is the standby: `gocd-bc demote --handover`, then `gocd-bc promote`,
//! which asks nothing.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{
    command,
    demo::{
        Stop,
        pair::Pair,
        writers::{Lost, Writers},
    },
};

/// So many edits and rows before the order.
const WRITES: usize = 5;
/// The number of the first edit, above all that were made before.
const FIRST: u32 = 1001;
/// How long each step may take.
const LONG: Duration = Duration::from_secs(120);

/// What the switch back came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switched {
    /// Rows that the new primary lacks.
    pub(crate) lost_rows: usize,
    /// Edits that it lacks.
    pub(crate) lost_edits: usize,
    /// From the promotion's first step to the release, in ms.
    pub(crate) release_ms: f64,
}

/// Switches back to the former primary. `original` is the configuration that the edits are made of.
pub(crate) fn hand_back(pair: &mut Pair, stop: &Stop, original: &str) -> Result<Switched> {
    let databases = pair.databases.as_ref().context("there is no database")?;
    let writers = Writers::start(&pair.standby.folder, &databases.standby, original, FIRST)?;
    stop.wait_until("some more edits and rows are written", LONG, || {
        Ok(writers.count() >= WRITES)
    })?;
    // Up to the very order.
    let written = writers.finish()?;
    pair.standby.hand_over(&pair.project, stop, LONG)?;
    // Nobody is there to answer a question. It does not wait for GoCD, which takes the sample plugins for invalid, as it
    // did before, and would be said to lack them.
    let mut promote = pair.primary.companion(&pair.project, &["promote", "--wait", "0"]);
    command::run(&mut promote).context("gocd-bc promote")?;
    stop.wait_until("GoCD answers on the server that took over", LONG, || {
        Ok(pair.primary.gocd_is_healthy())
    })?;
    let mut release_ms = None;
    // GoCD answers before it has loaded our plugin.
    stop.wait_until("the server says how its promotion went", LONG, || {
        let status = pair.primary.status(&pair.project)?;
        let steps = status["promotion"]["steps"].as_array();
        release_ms = steps.map(|steps| steps.iter().filter_map(|step| step["took_ms"].as_f64()).sum());
        Ok(release_ms.is_some())
    })?;
    let databases = pair.databases.as_ref().context("there is no database")?;
    let lost = Lost::of(&written, &pair.primary.folder, &databases.primary)?;
    stop.wait_until("whoever handed over is fenced", LONG, || {
        pair.standby.is_fenced(&pair.project)
    })?;
    Ok(Switched {
        lost_rows: lost.rows,
        lost_edits: lost.edits,
        release_ms: release_ms.context("no promotion")?,
    })
}
