//! What every scenario begins with, and what it asks again and again: two servers, an agent behind an address that moves, a
//! repository, and pipelines on it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Built,
    address::Address,
    api::Api,
    servers::{self, Servers},
};
use crate::{
    demo::{Stop, numbers::milliseconds, two_active::TwoActive},
    project::Project,
    tools::Jdk,
};

/// How long each step may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);
/// States of an agent that this GoCD has heard of since its start.
const HEARD: [&str; 2] = ["Idle", "Building"];
/// How a run may end.
const ENDED: [&str; 3] = ["Passed", "Failed", "Cancelled"];
/// The secret that jobs get as an environment variable. GoCD encrypts it on the first primary.
const SECRET: &str = "known to both";

/// Everything that a scenario has before it begins. Dropped, everything ends.
pub(crate) struct Scene<'a> {
    pub(crate) project: &'a Project,
    pub(crate) stop: &'a Stop,
    pub(crate) root: &'a Path,
    pub(crate) servers: Servers,
    pub(crate) watch: TwoActive,
    address: Address,
    repository: PathBuf,
    _agent: crate::demo::jvm::Jvm,
}

/// The agent, as GoCD knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentId(String);

impl<'a> Scene<'a> {
    /// Starts everything, until the standby follows and the agent is there, which has a Java of its own.
    pub(crate) fn set(
        project: &'a Project,
        built: &Built,
        java_of_agent: &Jdk,
        root: &'a Path,
        stop: &'a Stop,
    ) -> Result<Self> {
        let servers = Servers::start(project, built, root, stop)?;
        let watch = TwoActive::watch([servers.primary.ports.gocd, servers.standby.ports.gocd]);
        let address = Address::open(servers.primary.ports.gocd)?;
        let agent = servers::start_agent(java_of_agent, built, root, address.port, &servers.primary.folder)?;
        let scene = Self {
            project,
            stop,
            root,
            servers,
            watch,
            address,
            repository: servers::make_repository(root)?,
            _agent: agent,
        };
        scene.standby_follows()?;
        stop.wait_until("the agent is there", LONG, || {
            Ok(scene.primary().agents()?.iter().any(|(_, state)| is_heard(state)))
        })?;
        Ok(scene)
    }

    /// The API of the first primary.
    pub(crate) fn primary(&self) -> Api {
        self.servers.primary_api()
    }

    /// The API of the first standby, once GoCD runs there.
    pub(crate) fn standby(&self) -> Api {
        self.servers.standby_api()
    }

    /// Waits until the standby and its database have all that the primary has.
    pub(crate) fn standby_follows(&self) -> Result<()> {
        self.stop.wait_until("the standby and its database have all", LONG, || {
            let status = self.servers.standby.status(self.project)?;
            let database = &status["database"];
            Ok(
                status["sync"]["in_sync"] == true
                    && database["following"] == "streaming"
                    && database["loss_bytes"] == 0,
            )
        })
    }

    /// Makes a pipeline on the repository. Its job runs a script that knows the secret as `$SECRET`, and must pass only
    /// where that is what it was.
    pub(crate) fn make_pipeline(&self, name: &str, script: &str) -> Result<()> {
        let script = format!("{script}test \"$SECRET\" = '{SECRET}'");
        self.primary()
            .make_pipeline(name, &self.repository.display().to_string(), SECRET, &script)
    }

    /// Has a pipeline run, unless it did so by itself already.
    pub(crate) fn schedule(&self, api: Api, pipeline: &str) -> Result<()> {
        self.stop.wait_until(&format!("{pipeline} is scheduled"), LONG, || {
            if api.newest_run(pipeline)?.is_some() {
                return Ok(true);
            }
            // GoCD refuses while it looks at the material.
            Ok(api.post(&format!("pipelines/{pipeline}/schedule"), &json!({})).is_ok())
        })
    }

    /// Has a pipeline run until its job builds.
    pub(crate) fn begin(&self, api: Api, pipeline: &str) -> Result<()> {
        self.schedule(api, pipeline)?;
        self.stop
            .wait_until(&format!("{pipeline} builds"), LONG, || api.is_building(pipeline))
    }

    /// How the newest run of a pipeline ended.
    pub(crate) fn ended(&self, api: Api, pipeline: &str) -> Result<String> {
        let mut result = String::new();
        self.stop.wait_until(&format!("{pipeline} ends"), LONG, || {
            result = api.newest_run(pipeline)?.unwrap_or_default();
            Ok(ENDED.contains(&result.as_str()))
        })?;
        Ok(result)
    }

    /// The one agent.
    pub(crate) fn agent(&self, api: Api) -> Result<AgentId> {
        let agents = api.agents()?;
        agents
            .into_iter()
            .next()
            .map(|(id, _)| AgentId(id))
            .context("there is no agent")
    }

    /// Promotes the standby with these words, and waits until its GoCD is healthy; returns how long both took, in ms.
    pub(crate) fn promote(&mut self, words: &[&str]) -> Result<f64> {
        self.promote_saying(words).map(|(healthy_ms, _)| healthy_ms)
    }

    /// As [`promote`](Self::promote); returns also what was said.
    pub(crate) fn promote_saying(&mut self, words: &[&str]) -> Result<(f64, String)> {
        let begin = Instant::now();
        let mut promote = self
            .servers
            .standby
            .companion(self.project, &[&["promote"], words].concat());
        let output = promote.output().context("cannot start gocd-bc")?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        eprintln!("{said}");
        ensure!(output.status.success(), "gocd-bc promote failed: {}", output.status);
        let standby = &mut self.servers.standby;
        self.stop
            .wait_until("GoCD is healthy on the promoted server", LONG, || {
                standby.jvm.must_run()?;
                Ok(standby.gocd_is_healthy())
            })?;
        Ok((milliseconds(begin.elapsed()), said))
    }

    /// Moves the address to the standby, and waits until the same agent is back; returns how long that took, in ms.
    pub(crate) fn move_address(&self, agent: &AgentId) -> Result<f64> {
        self.address.move_to(self.servers.standby.ports.gocd);
        let moved = Instant::now();
        self.stop.wait_until("the agent is back", LONG, || {
            let now = self.standby().agents()?;
            Ok(now.iter().any(|(id, state)| *id == agent.0 && is_heard(state)))
        })?;
        Ok(milliseconds(moved.elapsed()))
    }

    /// Orders the primary to hand over, and waits until it says what; returns how long that took, in ms.
    pub(crate) fn hand_over(&mut self) -> Result<f64> {
        let begin = Instant::now();
        self.servers.primary.hand_over(self.project, self.stop, LONG)?;
        Ok(milliseconds(begin.elapsed()))
    }

    /// Waits until the primary that has handed over is held as fenced.
    pub(crate) fn whoever_handed_over_is_fenced(&self) -> Result<()> {
        self.stop.wait_until("whoever handed over is fenced", LONG, || {
            self.servers.primary.is_fenced(self.project)
        })
    }

    /// Starts the former primary and its database, and waits until it is held as fenced.
    pub(crate) fn former_primary_is_fenced(&mut self) -> Result<()> {
        let (project, primary) = (self.project, &mut self.servers.primary);
        primary.start_again()?;
        self.stop.wait_until("the former primary is held as fenced", LONG, || {
            primary.is_fenced(project)
        })?;
        ensure!(!primary.gocd_is_healthy(), "GoCD answers on a fenced server");
        Ok(())
    }

    /// The errors in what both servers logged that name us or a plugin, but for those that have `wanted` in them.
    pub(crate) fn unwanted(&self, wanted: Option<&str>) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for name in ["primary", "standby"] {
            let log = self.root.join(format!("{name}.log"));
            let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
            let text = String::from_utf8_lossy(&text);
            let ours = text.lines().filter(|line| is_unwanted(line));
            let ours = ours.filter(|line| wanted.is_none_or(|wanted| !line.contains(wanted)));
            lines.extend(ours.map(|line| format!("{name}: {line}")));
        }
        Ok(lines)
    }
}

fn is_heard(state: &str) -> bool {
    HEARD.contains(&state)
}

/// What we say of an old GoCD itself is as it should be; the story of a fail-over looks whether it is said rightly.
fn is_unwanted(line: &str) -> bool {
    line.contains(" ERROR ")
        && (line.contains("businesscontinuity") || line.contains("plugin"))
        && !line.contains("GoCD gives cipher.aes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_plugins_are_unwanted_and_other_lines_are_none() {
        assert!(is_unwanted("2026 ERROR [main] PluginRequestProcessor: a plugin asked"));
        assert!(is_unwanted("2026 ERROR [main] com.x.businesscontinuity.Plugin:1 - no"));
        assert!(!is_unwanted("2026 ERROR [main] a material is gone"));
        assert!(!is_unwanted(
            "2026 ERROR [bc] com.x.businesscontinuity.Plugin:1 - GoCD gives cipher.aes, its configuration and"
        ));
        assert!(!is_unwanted("2026 WARN [main] a plugin is old"));
    }
}
