//! Artifacts that a promotion would not find: no share is mounted where `artifactsDir` leads, and it is edited while GoCD runs.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
    servers::SHARED,
};
use crate::demo::node::Node;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// Both servers said that no share is mounted there.
    no_share_said: bool,
    /// The primary named the folder of the edited configuration and the one that GoCD took at its start.
    edit_said: bool,
    /// The held standby named the folder in which its own GoCD would find nothing.
    standby_said: bool,
    /// Set back, there was no difference any more.
    mended: bool,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.no_share_said, "it was not said that no share is mounted there"),
            (self.edit_said, "it was not said that artifactsDir was edited"),
            (
                self.standby_said,
                "the standby did not say what its GoCD would not find",
            ),
            (self.mended, "what was set back is still said to be edited"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    // As where nobody has said that it is a share.
    for node in [&mut scene.servers.primary, &mut scene.servers.standby] {
        node.start.words.retain(|word| word != SHARED);
        node.jvm.kill()?;
        node.start_again()?;
    }
    let (project, stop) = (scene.project, scene.stop);
    let primary = &mut scene.servers.primary;
    stop.wait_until("the primary's GoCD is healthy again", LONG, || {
        primary.is_said_to_be_healthy(project)
    })?;
    scene.standby_follows()?;
    let (primary, standby) = (&scene.servers.primary, &scene.servers.standby);
    let says = |node: &Node, parts: &[&str]| {
        let problems = node.status(project)?["problems"].to_string();
        Ok(parts.iter().all(|part| problems.contains(part)))
    };
    for node in [primary, standby] {
        stop.wait_until("it is said that no share is mounted", LONG, || {
            says(node, &["WARNING", "No share is mounted there"])
        })?;
    }
    findings.no_share_said = true;

    let file = primary.folder.cruise_config();
    let shared = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let folder = scene.root.join("artifacts").display().to_string();
    let edited = shared.replace(&format!("<artifactsDir>{folder}<"), "<artifactsDir>artifacts<");
    ensure!(edited != shared, "{} does not name {folder}", file.display());
    fs::write(&file, edited)?;
    let own = |node: &Node| node.folder.root().join("artifacts").display().to_string();
    stop.wait_until("the edit is said", LONG, || {
        says(primary, &["relative path", &own(primary), &folder])
    })?;
    findings.edit_said = true;
    stop.wait_until("the standby says it", LONG, || {
        says(standby, &["relative path", &own(standby)])
    })?;
    findings.standby_said = true;

    fs::write(&file, shared)?;
    stop.wait_until("it is as it was", LONG, || {
        Ok(primary.status(project)?["artifacts"]["edited"] == false)
    })?;
    findings.mended = true;
    Ok(())
}
