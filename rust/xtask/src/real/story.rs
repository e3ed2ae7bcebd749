//! The story of a fail-over on real servers, with nobody at work but `gocd-bc` and GoCD's own API.
//!
//! | step | what happens |
//! |---|---|
//! | change | environments are made by the API; it is looked whether each is on the standby when GoCD answers |
//! | build | an agent, behind an address that moves, begins a run that takes a while |
//! | lose | JVM and database of the primary are killed at one instant |
//! | promote | `gocd-bc promote` until GoCD is healthy, and the address moves |
//! | go on | the same agent comes back, the run that was cut ends, the next one passes with the secret of the old server |
//! | come back | the former primary boots and is held as fenced |

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Built,
    address::Address,
    servers::{self, Servers},
};
use crate::{
    command,
    demo::{Stop, numbers::milliseconds, two_active::TwoActive},
    project::Project,
    tools::Jdk,
};

/// Environments that are made.
const CHANGES: usize = 20;
/// How long one may take to the standby.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);
/// How long each step may take on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// How long the run takes that is cut.
const CUT_RUN: &str = "sleep 60; test -n \"$SECRET\"";
const NEXT_RUN: &str = "test \"$SECRET\" = 'known to both'";
const SECRET: &str = "known to both";
/// States of an agent that this GoCD has heard of since its start.
const HEARD: [&str; 2] = ["Idle", "Building"];
/// Lines of a log that nobody wants.
const UNWANTED: &str = " ERROR ";

/// What was found. Filled as far as the story came.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    api_changes: usize,
    there_at_answer: usize,
    lag_ms_max: f64,
    cold_start_ms: Option<f64>,
    healthy_ms: Option<f64>,
    agent_back_ms: Option<f64>,
    agents: Option<usize>,
    cut_run: Option<String>,
    next_run: Option<String>,
    lost_edits: Option<usize>,
    fenced: bool,
    two_active_ms: Option<u64>,
    error_lines: Vec<String>,
    failures: Vec<String>,
}

/// Plays it in `root`.
pub(crate) fn play(project: &Project, jdk: &Jdk, built: &Built, root: &Path, stop: &Stop) -> Findings {
    let mut findings = Findings::default();
    if let Err(error) = told(project, jdk, built, root, stop, &mut findings) {
        findings.failures.push(format!("{error:#}"));
    }
    findings
}

impl Findings {
    /// The closing line.
    pub(crate) fn to_json(&self, tag: &str) -> String {
        json!({
            "gocd": tag,
            "api_changes": self.api_changes,
            "there_at_answer": self.there_at_answer,
            "lag_ms_max": self.lag_ms_max,
            "cold_start_ms": self.cold_start_ms,
            "healthy_ms": self.healthy_ms,
            "agent_back_ms": self.agent_back_ms,
            "agents": self.agents,
            "cut_run": self.cut_run,
            "next_run": self.next_run,
            "lost_edits": self.lost_edits,
            "fenced": self.fenced,
            "two_active_ms": self.two_active_ms,
            "error_lines": self.error_lines.len(),
        })
        .to_string()
    }

    /// Everything that is not right.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        for (is_right, complaint) in [
            (self.lost_edits == Some(0), "edits were lost"),
            (self.agents == Some(1), "there is not the one agent of before"),
            (
                self.cut_run.as_deref() == Some("Passed"),
                "the run that was cut did not pass",
            ),
            (self.next_run.as_deref() == Some("Passed"), "the next run did not pass"),
            (self.fenced, "the former primary was not held as fenced"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ] {
            if !is_right {
                complaints.push(complaint.to_owned());
            }
        }
        complaints.extend(self.error_lines.iter().map(|line| format!("in a log: {line}")));
        complaints
    }
}

fn told(project: &Project, jdk: &Jdk, built: &Built, root: &Path, stop: &Stop, findings: &mut Findings) -> Result<()> {
    let mut servers = Servers::start(project, jdk, built, root, stop)?;
    findings.cold_start_ms = Some(milliseconds(servers.cold_start));
    let watch = TwoActive::watch([servers.primary.ports.gocd, servers.standby.ports.gocd]);
    let address = Address::open(servers.primary.ports.gocd)?;
    let _agent = servers::start_agent(jdk, built, root, address.port, &servers.primary.folder)?;
    stop.wait_until("the standby and its database follow", LONG, || {
        let status = servers.standby.status(project)?;
        Ok(status["sync"]["in_sync"] == true && status["database"]["following"] == "streaming")
    })?;

    change(&servers, findings)?;
    let api = servers.primary_api();
    let repository = servers::make_repository(root)?;
    let repository = repository.display().to_string();
    api.make_pipeline("cut", &repository, SECRET, CUT_RUN)?;
    api.make_pipeline("next", &repository, SECRET, NEXT_RUN)?;
    stop.wait_until("the agent is there", LONG, || {
        Ok(api.agents()?.iter().any(|(_, state)| HEARD.contains(&state.as_str())))
    })?;
    let agents = api.agents()?;
    schedule(api, "cut", stop)?;
    stop.wait_until("the run builds", LONG, || {
        Ok(api.agents()?.iter().any(|(_, state)| state == "Building"))
    })?;
    // What is on its way when the power goes is lost with any replication that does not wait.
    stop.wait_until("the standby has all", LONG, || {
        let status = servers.standby.status(project)?;
        Ok(status["sync"]["in_sync"] == true && status["database"]["loss_bytes"] == 0)
    })?;
    let edited = fs::read(servers.primary.folder.cruise_config())?;

    servers.primary.jvm.kill()?;
    servers.databases.primary.crash()?;
    let begin = Instant::now();
    let mut promote = servers.standby.companion(project, &["promote", "--yes"]);
    command::run(&mut promote).context("gocd-bc promote")?;
    stop.wait_until("GoCD is healthy on the promoted server", LONG, || {
        servers.standby.jvm.must_run()?;
        Ok(servers.standby.gocd_is_healthy())
    })?;
    findings.healthy_ms = Some(milliseconds(begin.elapsed()));
    address.move_to(servers.standby.ports.gocd);
    let moved = Instant::now();
    let live = fs::read(servers.standby.folder.cruise_config())?;
    findings.lost_edits = Some(usize::from(live != edited));
    let api = servers.standby_api();
    stop.wait_until("the agent is back", LONG, || {
        let now = api.agents()?;
        let is_same = |(id, state): &(String, String)| agents[0].0 == *id && HEARD.contains(&state.as_str());
        Ok(now.iter().any(is_same))
    })?;
    findings.agent_back_ms = Some(milliseconds(moved.elapsed()));
    findings.agents = Some(api.agents()?.len());
    findings.cut_run = Some(ended(api, "cut", stop)?);
    schedule(api, "next", stop)?;
    findings.next_run = Some(ended(api, "next", stop)?);

    servers.databases.primary.start_again()?;
    servers.primary.start_again()?;
    stop.wait_until("the former primary is held as fenced", LONG, || {
        let status = servers.primary.status(project)?;
        Ok(status["role"] == "fenced" && status["phase"] == "holding")
    })?;
    ensure!(!servers.primary.gocd_is_healthy(), "GoCD answers on a fenced server");
    findings.fenced = true;
    findings.two_active_ms = Some(watch.both_ms());
    findings.error_lines = unwanted(root)?;
    Ok(())
}

/// Makes environments, and looks at the standby's configuration in the moment in which GoCD answers.
fn change(servers: &Servers, findings: &mut Findings) -> Result<()> {
    let file = servers.standby.folder.cruise_config();
    for number in 0..CHANGES {
        let name = format!("environment-{number}");
        servers.primary_api().make_environment(&name)?;
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

/// Has a pipeline run, unless it does so by itself already.
fn schedule(api: super::api::Api, pipeline: &str, stop: &Stop) -> Result<()> {
    stop.wait_until(&format!("{pipeline} is scheduled"), LONG, || {
        if api.newest_run(pipeline)?.is_some() {
            return Ok(true);
        }
        // GoCD refuses while it looks at the material.
        Ok(api.post(&format!("pipelines/{pipeline}/schedule"), &json!({})).is_ok())
    })
}

/// How the newest run of a pipeline ended.
fn ended(api: super::api::Api, pipeline: &str, stop: &Stop) -> Result<String> {
    let mut result = String::new();
    stop.wait_until(&format!("{pipeline} ends"), LONG, || {
        result = api.newest_run(pipeline)?.unwrap_or_default();
        Ok(["Passed", "Failed", "Cancelled"].contains(&result.as_str()))
    })?;
    Ok(result)
}

/// The errors in what both servers logged that name us.
fn unwanted(root: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for name in ["primary", "standby"] {
        let log = root.join(format!("{name}.log"));
        let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let ours = text
            .lines()
            .filter(|line| line.contains(UNWANTED) && (line.contains("businesscontinuity") || line.contains("plugin")));
        lines.extend(ours.map(|line| format!("{name}: {line}")));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect() -> Findings {
        Findings {
            agents: Some(1),
            cut_run: Some("Passed".to_owned()),
            next_run: Some("Passed".to_owned()),
            lost_edits: Some(0),
            fenced: true,
            two_active_ms: Some(0),
            ..Findings::default()
        }
    }

    #[test]
    fn only_a_story_that_ends_well_has_no_complaint() {
        assert_eq!(perfect().complaints(), Vec::<String>::new());
        assert_eq!(Findings::default().complaints().len(), 6);
        let flawed = Findings {
            error_lines: vec!["standby: an ERROR of a plugin".to_owned()],
            ..perfect()
        };
        assert_eq!(flawed.complaints(), ["in a log: standby: an ERROR of a plugin"]);
        let line: serde_json::Value = serde_json::from_str(&flawed.to_json("25.4.0")).expect("JSON");
        assert_eq!(line["error_lines"], 1);
        assert_eq!(line["gocd"], "25.4.0");
    }
}
