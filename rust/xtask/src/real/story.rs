//! The story of a fail-over on real servers, with nobody at work but `gocd-bc` and GoCD's own API.
//!
//! | step | what happens |
//! |---|---|
//! | change | environments are made by the API; it is looked whether each is on the standby when GoCD answers |
//! | build | an agent, behind an address that moves, has passed one run and begins one that takes a while |
//! | lose | JVM and database of the primary are killed at one instant |
//! | promote | `gocd-bc promote` until GoCD is healthy, and the address moves |
//! | go on | the same agent comes back, the run that was cut ends, the next one passes with the secret of the old server, and what the first one kept is there |
//! | come back | the former primary boots and is held as fenced |

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    aftermath::{Aftermath, Before},
    api::ARTIFACT,
    outcome::Outcome,
    scene::Scene,
};
use crate::demo::{http, numbers::milliseconds};

/// Environments that are made.
const CHANGES: usize = 20;
/// What GoCD up to 21.2 answers without a login, and with it all that the original product gave out.
const ASKED_BY_ANYBODY: &str = "/go/add-on/business-continuity/api/health-check";
/// How long one may take to the standby.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// What was found. Filled as far as the story came.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    api_changes: usize,
    there_at_answer: usize,
    lag_ms_max: f64,
    cold_start_ms: Option<f64>,
    healthy_ms: Option<f64>,
    #[serde(flatten)]
    aftermath: Aftermath,
    /// A job of the new server could read what the old one had encrypted.
    secrets_ok: bool,
    /// The same plugins are active.
    plugins_ok: bool,
    /// What a run of the old server kept, and what it printed, is there.
    artifacts_ok: bool,
    /// Our node says so where GoCD gives its secrets away on its own port, and only there.
    secrets_at_port_told: bool,
    fenced: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        let mut wishes = self.aftermath.wishes();
        wishes.extend([
            (
                self.secrets_ok,
                "a secret of the old server is not known to the new one",
            ),
            (self.plugins_ok, "there are other plugins than before"),
            (
                self.artifacts_ok,
                "artifacts or console of an earlier run are not there",
            ),
            (
                self.secrets_at_port_told,
                "it was not said whether GoCD gives its secrets away on its own port",
            ),
            (self.fenced, "the former primary was not held as fenced"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]);
        wishes
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    findings.cold_start_ms = Some(milliseconds(scene.servers.cold_start));
    change(scene, findings)?;
    scene.make_pipeline("first", "")?;
    scene.make_pipeline("cut", "sleep 60; ")?;
    scene.make_pipeline("next", "")?;
    let agent = scene.agent(scene.primary())?;
    scene.schedule(scene.primary(), "first")?;
    let first = scene.ended(scene.primary(), "first")?;
    ensure!(first == "Passed", "the first run ended with {first}");
    let plugins = scene.primary().plugins()?;
    findings.secrets_at_port_told = is_told_of_port(scene)?;
    scene.begin(scene.primary(), "cut")?;
    // What is on its way when the power goes is lost with any replication that does not wait.
    scene.standby_follows()?;
    let before = Before::look(scene, agent)?;

    scene.servers.primary.jvm.kill()?;
    scene.servers.databases.primary.crash()?;
    findings.healthy_ms = Some(scene.promote(&["--yes"])?);
    findings.aftermath.look(scene, &before)?;
    let api = scene.standby();
    findings.plugins_ok = api.plugins()? == plugins;
    findings.secrets_ok = findings.aftermath.next_passed();
    findings.artifacts_ok = ["cruise-output/console.log", ARTIFACT]
        .iter()
        .all(|file| api.has_file(&format!("first/1/stage/1/job/{file}")));

    scene.servers.databases.primary.start_again()?;
    scene.former_primary_is_fenced()?;
    findings.fenced = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}

/// Whether the primary says that GoCD answers everybody in the way of the original product exactly where it does.
fn is_told_of_port(scene: &Scene<'_>) -> Result<bool> {
    let primary = &scene.servers.primary;
    let answer = http::get(primary.ports.gocd, ASKED_BY_ANYBODY, "*/*")?;
    let gives = answer.is_some_and(|answer| answer.status == 200 && answer.body == "OK!");
    let problems = primary.status(scene.project)?["problems"].to_string();
    Ok(problems.contains("CVE-2021-43287") == gives)
}

/// Makes environments, and looks at the standby's configuration in the moment in which GoCD answers.
fn change(scene: &Scene<'_>, findings: &mut Findings) -> Result<()> {
    let file = scene.servers.standby.folder.cruise_config();
    for number in 0..CHANGES {
        let name = format!("environment-{number}");
        scene.primary().make_environment(&name)?;
        let answered = Instant::now();
        let is_there = || fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("\"{name}\"")));
        findings.api_changes += 1;
        if is_there() {
            findings.there_at_answer += 1;
            continue;
        }
        while !is_there() {
            ensure!(
                answered.elapsed() < ARRIVES_WITHIN,
                "{name} does not arrive at the standby"
            );
            thread::sleep(Duration::from_millis(1));
        }
        findings.lag_ms_max = findings.lag_ms_max.max(milliseconds(answered.elapsed()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_story_that_ends_well_has_no_complaint() {
        let perfect = Findings {
            aftermath: Aftermath::perfect(),
            secrets_ok: true,
            plugins_ok: true,
            artifacts_ok: true,
            secrets_at_port_told: true,
            fenced: true,
            two_active_ms: Some(0),
            ..Findings::default()
        };
        assert!(perfect.wishes().iter().all(|(is_met, _)| *is_met));
        assert!(Findings::default().wishes().iter().all(|(is_met, _)| !is_met));
    }
}
