//! The planned switch while an agent builds: `gocd-bc demote --handover`, then `gocd-bc promote`, which asks nothing.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::{
    aftermath::{Aftermath, Before},
    outcome::Outcome,
    scene::{LONG, Scene},
};
use crate::demo::numbers::milliseconds;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    cold_start_ms: Option<f64>,
    /// From the order to hand over until the token is shown.
    handed_over_ms: Option<f64>,
    healthy_ms: Option<f64>,
    #[serde(flatten)]
    aftermath: Aftermath,
    fenced: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        let mut wishes = self.aftermath.wishes();
        wishes.extend([
            (self.fenced, "the server that handed over was not held"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]);
        wishes
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
    let before = Before::look(scene, agent)?;

    let begin = Instant::now();
    let (project, primary) = (scene.project, &mut scene.servers.primary);
    primary.hand_over(project, scene.stop, LONG)?;
    findings.handed_over_ms = Some(milliseconds(begin.elapsed()));

    // Nobody is there to answer a question.
    findings.healthy_ms = Some(scene.promote(&[])?);
    findings.aftermath.look(scene, &before)?;
    scene.stop.wait_until("whoever handed over is fenced", LONG, || {
        scene.servers.primary.is_fenced(scene.project)
    })?;
    findings.fenced = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}
