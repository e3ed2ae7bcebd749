//! Our jar is replaced on both servers while GoCD runs on one and is held on the other, as a package of a new version does it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
};
use crate::{demo::node::Node, project::JAR};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// GoCD has our plugin loaded and active after it has seen the new jar.
    plugin_active: bool,
    /// A change that was made afterwards is on the standby.
    change_arrived: bool,
    /// GoCD is still held on the standby.
    held: bool,
    /// The JVMs are those of before.
    same_processes: bool,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (
                self.plugin_active,
                "our plugin is not active after its jar was replaced",
            ),
            (self.change_arrived, "no change arrives after the jar was replaced"),
            (self.held, "GoCD was let go on the standby"),
            (self.same_processes, "a JVM has ended"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    let before = scene.primary().plugins()?;
    ensure!(!before.is_empty(), "GoCD has no plugin");
    let log = scene.root.join("primary.log");
    let seen = loads(&log)?;
    for node in [&scene.servers.primary, &scene.servers.standby] {
        replace(node)?;
    }
    scene
        .stop
        .wait_until("GoCD has loaded the new jar", LONG, || Ok(loads(&log)? > seen))?;
    scene.stop.wait_until(
        "our plugin is active",
        LONG,
        || Ok(scene.primary().plugins()? == before),
    )?;
    findings.plugin_active = true;

    scene.primary().make_environment("with-the-new-jar")?;
    let file = scene.servers.standby.folder.cruise_config();
    scene.stop.wait_until("a change arrives", LONG, || {
        Ok(fs::read_to_string(&file)?.contains("\"with-the-new-jar\""))
    })?;
    findings.change_arrived = true;
    let status = scene.servers.standby.status(scene.project)?;
    findings.held = status["phase"] == "holding" && !scene.servers.standby.gocd_is_healthy();
    let servers = &mut scene.servers;
    findings.same_processes = servers.primary.jvm.must_run().is_ok() && servers.standby.jvm.must_run().is_ok();
    Ok(())
}

/// Puts a copy in the place of the jar, by rename.
fn replace(node: &Node) -> Result<()> {
    let jar = node.folder.plugins().join(JAR);
    let new = jar.with_extension("new");
    fs::copy(&jar, &new)
        .and_then(|_| fs::rename(&new, &jar))
        .with_context(|| format!("cannot replace {}", jar.display()))
}

/// How often GoCD has loaded a plugin, by what it logged.
fn loads(log: &std::path::Path) -> Result<usize> {
    let text = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(String::from_utf8_lossy(&text).matches("Plugin load starting").count())
}
