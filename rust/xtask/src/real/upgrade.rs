//! The upgrade of GoCD by way of the standby, as the page for administrators has it.
//!
//! | step | what happens |
//! |---|---|
//! | before | the agent passes a run on the older release |
//! | install | the standby is stopped and started on the newer one; it is held, follows edits, and says that an upgrade is under way |
//! | switch | `gocd-bc demote --handover` there, `gocd-bc promote` here, which says before that there is no way back |
//! | go on | GoCD migrates at its start, the agent comes back and takes its programs from the newer server, the next run passes |
//! | after | the server with the older release is held as fenced |

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::{
    Built,
    outcome::Outcome,
    scene::{LONG, Scene},
    servers,
};
use crate::demo::numbers::milliseconds;

/// Environments that are made while the standby has the newer release.
const EDITS: usize = 5;

/// What was found. Filled as far as the scenario came.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// From the start of the standby on the newer release until it is in sync and says that.
    follows_ms: Option<f64>,
    /// It has said, as a WARNING, that an upgrade is under way, with both versions.
    upgrade_said: bool,
    handed_over_ms: Option<f64>,
    /// The promotion has said before it that there is no way back to the older release.
    no_way_back_said: bool,
    healthy_ms: Option<f64>,
    /// The release that answers then.
    runs: Option<String>,
    /// Changes of its tables that the newer release made.
    migrations: Option<usize>,
    agent_back_ms: Option<f64>,
    /// From the move of the address until the agent has the programs of the newer release.
    agent_upgraded_ms: Option<f64>,
    agents: Option<usize>,
    /// A run of before, as the newer release knows it.
    former_run: Option<String>,
    next_run: Option<String>,
    lost_rows: Option<usize>,
    lost_edits: Option<usize>,
    fenced: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        let passed = |run: &Option<String>| run.as_deref() == Some("Passed");
        vec![
            (
                self.follows_ms.is_some(),
                "the standby with the newer release does not follow",
            ),
            (
                self.upgrade_said,
                "the standby does not say that an upgrade is under way",
            ),
            (
                self.no_way_back_said,
                "the promotion did not say that there is no way back",
            ),
            (self.runs.is_some(), "the newer release does not run"),
            (self.agent_upgraded_ms.is_some(), "the agent has not the newer release"),
            (self.agents == Some(1), "there is not the one agent of before"),
            (passed(&self.former_run), "the run of before is not known"),
            (passed(&self.next_run), "the next run did not pass"),
            (self.lost_rows == Some(0), "rows were lost"),
            (self.lost_edits == Some(0), "edits were lost"),
            (self.fenced, "the server that handed over was not held as fenced"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]
    }
}

/// Plays it, to this release.
pub(crate) fn play(scene: &mut Scene<'_>, newer: &Built, findings: &mut Findings) -> Result<()> {
    scene.make_pipeline("former", "")?;
    scene.make_pipeline("next", "")?;
    let agent = scene.agent(scene.primary())?;
    scene.schedule(scene.primary(), "former")?;
    let former = scene.ended(scene.primary(), "former")?;
    ensure!(former == "Passed", "the run before the upgrade ended with {former}");

    let begin = Instant::now();
    servers::install(&mut scene.servers.standby, newer)?;
    findings.upgrade_said = until_said(scene, &newer.tag)?;
    scene.standby_follows()?;
    findings.follows_ms = Some(milliseconds(begin.elapsed()));
    let names: Vec<_> = (0..EDITS).map(|number| format!("while-upgraded-{number}")).collect();
    for name in &names {
        scene.primary().make_environment(name)?;
    }
    scene.standby_follows()?;
    let rows = scene.servers.rows_of_primary()?;
    let migrations = scene.servers.migrations_of_standby()?;

    findings.handed_over_ms = Some(scene.hand_over()?);
    let (took, said) = scene.promote_saying(&[])?;
    findings.healthy_ms = Some(took);
    findings.no_way_back_said = said.contains("no way back");
    let api = scene.standby();
    let runs = api.release()?;
    ensure!(runs == newer.tag, "the promoted server runs {runs}");
    findings.runs = Some(runs);
    findings.migrations = Some(scene.servers.migrations_of_standby()?.saturating_sub(migrations));
    // The newer release writes the file in its own form.
    let live = fs::read_to_string(scene.servers.standby.folder.cruise_config())?;
    let is_lost = |name: &&String| !live.contains(&format!("\"{name}\""));
    findings.lost_edits = Some(names.iter().filter(is_lost).count());
    findings.lost_rows = Some(rows.saturating_sub(scene.servers.rows_of_standby()?));

    let of_newer = fs::read(&newer.agent_jar).context("the newer release has no agent.jar")?;
    let moved = Instant::now();
    findings.agent_back_ms = Some(scene.move_address(&agent)?);
    scene.stop.wait_until("the agent has the newer release", LONG, || {
        // While it takes it there may be half of it.
        Ok(fs::read(scene.root.join("agent/agent.jar")).is_ok_and(|here| here == of_newer))
    })?;
    findings.agent_upgraded_ms = Some(milliseconds(moved.elapsed()));
    findings.agents = Some(api.agents()?.len());
    findings.former_run = api.newest_run("former")?;
    scene.schedule(api, "next")?;
    findings.next_run = Some(scene.ended(api, "next")?);
    scene.whoever_handed_over_is_fenced()?;
    findings.fenced = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}

/// Waits until the standby, held, says that an upgrade to this release is under way; whether it is a WARNING that names the
/// versions of both servers.
fn until_said(scene: &Scene<'_>, newer: &str) -> Result<bool> {
    let mut is_right = false;
    scene
        .stop
        .wait_until("the standby says that an upgrade is under way", LONG, || {
            let status = scene.servers.standby.status(scene.project)?;
            let primary = scene.servers.primary.status(scene.project)?;
            let problems = status["problems"].as_array().cloned().unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let said = problems
                .iter()
                .find(|problem| text(&problem["message"]).contains("an upgrade is under way"));
            let versions = [&status, &primary].map(|status| text(&status["gocd_version"]));
            is_right = said.is_some_and(|said| {
                let message = text(&said["message"]);
                said["severity"] == "WARNING"
                    && versions[0].starts_with(newer)
                    && versions
                        .iter()
                        .all(|version| !version.is_empty() && message.contains(version))
            });
            Ok(said.is_some() && status["phase"] == "holding")
        })?;
    Ok(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_upgrade_that_ends_well_has_no_complaint() {
        let perfect = Findings {
            follows_ms: Some(1.0),
            upgrade_said: true,
            no_way_back_said: true,
            runs: Some("26.1.0".to_owned()),
            agent_upgraded_ms: Some(1.0),
            agents: Some(1),
            former_run: Some("Passed".to_owned()),
            next_run: Some("Passed".to_owned()),
            lost_rows: Some(0),
            lost_edits: Some(0),
            fenced: true,
            two_active_ms: Some(0),
            ..Findings::default()
        };
        assert!(perfect.wishes().iter().all(|(is_met, _)| *is_met));
        assert!(Findings::default().wishes().iter().all(|(is_met, _)| !is_met));
    }
}
