//! An edit that the primary's GoCD rejects crosses to the standby, and is left behind at a promotion.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
};

/// Well-formed, and refused by every GoCD.
const TWICE: &str = "<pipelines group=\"twice\"/><pipelines group=\"twice\"/>";

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// The standby has the edit, as it has every other.
    crossed: bool,
    /// `gocd-bc generations list` has it as rejected, while the primary runs on.
    listed: bool,
    /// The promotion said that it was set aside, and what it changed.
    named: bool,
    /// The promoted server has what GoCD had accepted, to the byte.
    went_back: bool,
    healthy_ms: Option<f64>,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.crossed, "the edit did not come to the standby"),
            (self.listed, "the edit is not listed as rejected"),
            (self.named, "the promotion did not name what it set aside"),
            (
                self.went_back,
                "the promoted server has something else than GoCD had accepted",
            ),
            (self.healthy_ms.is_some(), "the promoted GoCD is not healthy"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    scene.primary().make_environment("accepted")?;
    scene.standby_follows()?;
    let status = |scene: &Scene<'_>| scene.servers.standby.status(scene.project);
    scene.stop.wait_until("GoCD has accepted what is there", LONG, || {
        Ok(status(scene)?["generation"]["acceptance"] == "accepted")
    })?;
    let (edited, live) = (
        scene.servers.primary.folder.cruise_config(),
        scene.servers.standby.folder.cruise_config(),
    );
    let accepted = fs::read_to_string(&edited).with_context(|| format!("cannot read {}", edited.display()))?;
    let rejected = accepted.replace("</server>", &format!("</server>{TWICE}"));
    ensure!(rejected != accepted, "there is no <server> in {}", edited.display());
    fs::write(&edited, &rejected).with_context(|| format!("cannot write {}", edited.display()))?;
    scene.stop.wait_until("the edit is on the standby", LONG, || {
        Ok(fs::read_to_string(&live)? == rejected)
    })?;
    findings.crossed = true;
    scene.stop.wait_until("the edit is listed as rejected", LONG, || {
        let list = scene
            .servers
            .standby
            .companion(scene.project, &["generations", "list"])
            .output()?;
        Ok(String::from_utf8_lossy(&list.stdout).contains("rejected"))
    })?;
    findings.listed = true;
    ensure!(scene.primary().agents().is_ok(), "the primary does not run on");

    scene.servers.primary.jvm.kill()?;
    scene.servers.databases.primary.crash()?;
    let (healthy_ms, said) = scene.promote_saying(&["--yes"])?;
    findings.healthy_ms = Some(healthy_ms);
    findings.named = said.contains("set aside") && said.contains("+<pipelines group=\"twice\"");
    findings.went_back = fs::read_to_string(&live)? == accepted;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}
