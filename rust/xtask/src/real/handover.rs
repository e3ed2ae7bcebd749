//! The planned switch while an agent builds: `gocd-bc demote --handover`, then `gocd-bc promote`, which asks nothing.

use anyhow::Result;
use serde::Serialize;

use super::{
    aftermath::{Aftermath, Before},
    outcome::Outcome,
    scene::Scene,
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

    findings.handed_over_ms = Some(scene.hand_over()?);
    // Nobody is there to answer a question.
    findings.healthy_ms = Some(scene.promote(&[])?);
    findings.aftermath.look(scene, &before)?;
    scene.whoever_handed_over_is_fenced()?;
    findings.fenced = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}
