//! The planned switch while an agent builds: `gocd-bc demote --handover`, then `gocd-bc promote`, which asks nothing.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
};
use crate::{command, demo::numbers::milliseconds};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    cold_start_ms: Option<f64>,
    /// From the order to hand over until the token is shown.
    handed_over_ms: Option<f64>,
    healthy_ms: Option<f64>,
    agent_back_ms: Option<f64>,
    agents: Option<usize>,
    cut_run: Option<String>,
    next_run: Option<String>,
    lost_rows: Option<usize>,
    lost_edits: Option<usize>,
    fenced: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.lost_rows == Some(0), "rows were lost"),
            (self.lost_edits == Some(0), "edits were lost"),
            (self.agents == Some(1), "there is not the one agent of before"),
            (
                self.cut_run.as_deref() == Some("Passed"),
                "the run that was cut did not pass",
            ),
            (self.next_run.as_deref() == Some("Passed"), "the next run did not pass"),
            (self.fenced, "the server that handed over was not held"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    findings.cold_start_ms = Some(milliseconds(scene.servers.cold_start));
    scene.make_pipeline("cut", "sleep 60; ")?;
    scene.make_pipeline("next", "")?;
    let agent = scene.agent(scene.primary())?;
    scene.begin(scene.primary(), "cut")?;
    // Up to the very order.
    scene.primary().make_environment("handed-over")?;
    let rows = scene.servers.rows_of_primary()?;
    let edited = fs::read(scene.servers.primary.folder.cruise_config())?;

    let begin = std::time::Instant::now();
    let (project, primary) = (scene.project, &mut scene.servers.primary);
    let mut order = primary.companion(project, &["demote", "--handover", "--wait", "0"]);
    command::run(&mut order).context("gocd-bc demote --handover")?;
    scene.stop.wait_until("the server says what it hands over", LONG, || {
        if primary.jvm.must_run().is_err() {
            // As its service starts it again.
            primary.start_again()?;
        }
        let status = primary.status(project)?;
        Ok(status["phase"] == "holding" && status["hands_over"]["token"].is_object())
    })?;
    findings.handed_over_ms = Some(milliseconds(begin.elapsed()));

    // Nobody is there to answer a question.
    findings.healthy_ms = Some(scene.promote(&[])?);
    findings.agent_back_ms = Some(scene.move_address(&agent)?);
    let live = fs::read(scene.servers.standby.folder.cruise_config())?;
    findings.lost_edits = Some(usize::from(live != edited));
    findings.lost_rows = Some(rows.saturating_sub(scene.servers.rows_of_standby()?));
    let api = scene.standby();
    findings.agents = Some(api.agents()?.len());
    findings.cut_run = Some(scene.ended(api, "cut")?);
    scene.schedule(api, "next")?;
    findings.next_run = Some(scene.ended(api, "next")?);
    let (project, primary) = (scene.project, &scene.servers.primary);
    scene.stop.wait_until("whoever handed over is fenced", LONG, || {
        let status = primary.status(project)?;
        Ok(status["role"] == "fenced" && status["phase"] == "holding")
    })?;
    findings.fenced = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}
