//! What can be played on real servers, by name.
//!
//! | name | file | plays |
//! |---|---|---|
//! | `fail-over` | `story` | the primary is lost in the middle of a run |
//! | `hand-over` | `handover` | the planned switch while an agent builds |
//! | `replaced-jar` | `replaced_jar` | our jar is replaced while both servers run |
//! | `kills` | `kills` | the primary is killed 20 times under five edits a second |
//! | `read-only` | `read_only` | the database was not promoted, and GoCD ends |
//! | `rejected` | `rejected` | an edit that GoCD rejects is left behind at a promotion |
//! | `artifacts` | `artifacts` | a promotion would not find artifacts, and that is said before |
//! | `upgrade` | `upgrade` | both servers go to a newer GoCD by way of the standby |

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use super::{
    Built, artifacts, handover, kills,
    outcome::{Outcome, Played},
    read_only, rejected, replaced_jar,
    scene::Scene,
    story, upgrade,
};
use crate::{demo::Stop, project::Project};

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The primary is lost in the middle of a run
    FailOver,
    /// The planned switch while an agent builds
    HandOver,
    /// Our jar is replaced while both servers run
    ReplacedJar,
    /// The primary is killed 20 times under five edits a second; takes half an hour
    Kills,
    /// The database was not promoted, and GoCD ends
    ReadOnly,
    /// An edit that GoCD rejects is left behind at a promotion
    Rejected,
    /// A promotion would not find artifacts, and that is said before
    Artifacts,
    /// Both servers go to a newer GoCD by way of the standby; needs --to
    Upgrade,
}

impl Scenario {
    /// Plays it in `root`, which is made anew, on the first of two releases; an upgrade goes to the second.
    pub(crate) fn play(self, project: &Project, [built, newer]: [&Built; 2], root: &Path, stop: &Stop) -> Played {
        // An agent takes its programs from the server, and starts them on its own Java.
        let set = || Scene::set(project, built, &newer.jdk, root, stop);
        match self {
            Self::FailOver => played(set, story::play),
            Self::HandOver => played(set, handover::play),
            Self::ReplacedJar => played(set, replaced_jar::play),
            Self::Kills => played(set, kills::play),
            Self::ReadOnly => played(set, read_only::play),
            Self::Rejected => played(set, rejected::play),
            Self::Artifacts => played(set, artifacts::play),
            Self::Upgrade => played(set, |scene, findings| upgrade::play(scene, newer, findings)),
        }
    }
}

fn played<'a, F: Outcome + Default>(
    set: impl FnOnce() -> Result<Scene<'a>>,
    play: impl FnOnce(&mut Scene<'a>, &mut F) -> Result<()>,
) -> Played {
    let mut findings = F::default();
    let mut errors = Vec::new();
    let outcome = set().and_then(|mut scene| {
        play(&mut scene, &mut findings)?;
        scene.unwanted(F::WANTED)
    });
    let mut complaints = match outcome {
        Ok(lines) => {
            errors = lines;
            Vec::new()
        }
        Err(error) => vec![format!("{error:#}")],
    };
    let unmet = findings.wishes().into_iter().filter(|(is_met, _)| !is_met);
    complaints.extend(unmet.map(|(_, complaint)| complaint.to_owned()));
    complaints.extend(errors.iter().map(|line| format!("in a log: {line}")));
    let mut line = json!(findings);
    line["error_lines"] = json!(errors.len());
    Played { line, complaints }
}
