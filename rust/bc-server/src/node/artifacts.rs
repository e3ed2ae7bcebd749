//! Looks whether artifacts of earlier runs will be there after a promotion, and says so where they will not.
//!
//! It runs where GoCD runs or is held: a node without a JVM may see other mounts than GoCD does. A disk that hangs
//! holds up nobody; what was seen on it before is not claimed for longer than a moment.

use std::{path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{
        Severity,
        regular_file::{self, Stamp},
    },
    generation::Role,
    role::{
        StateDir,
        artifacts_folder::{self, ArtifactsFolder, Disk},
        gocd_start::GocdStart,
    },
    settings::{Face, Settings},
    status::{Status, StatusBoard, Topic},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon again where the configuration could not be read: GoCD may be writing it.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for a disk before nothing is claimed any more.
const LOOKS_WITHIN: Duration = Duration::from_secs(30);

/// Looks where GoCD keeps artifacts for as long as the node lives. `files` is where files may be read.
pub(super) fn start(assembly: &Assembly, supervisor: &Supervisor, files: &Handle) {
    if assembly.settings.face == Face::Cli {
        return;
    }
    let part = Part {
        name: "artifacts",
        does: "looks whether artifacts will be there after a promotion",
    };
    let looker = Looker {
        settings: Arc::clone(&assembly.settings),
        state: Arc::clone(&assembly.state),
        seen: None,
    };
    let (board, files) = (Arc::clone(&assembly.board), files.clone());
    supervisor.supervise(part, move || watch(looker.clone(), Arc::clone(&board), files.clone()));
}

/// Looks again and again, and shows on the board what is found.
async fn watch(mut looker: Looker, board: Arc<StatusBoard>, files: Handle) {
    let mut was_unread = false;
    loop {
        if !board.look(is_of_interest) {
            show(&board, None);
            sleep(LOOK_EVERY).await;
            continue;
        }
        let mut looking = files.spawn_blocking(move || {
            let found = looker.look();
            (looker, found)
        });
        let looked = match timeout(LOOKS_WITHIN, &mut looking).await {
            Ok(looked) => looked,
            Err(_) => {
                show(
                    &board,
                    Some(ArtifactsFolder::unseen("the disk of the artifacts does not answer")),
                );
                looking.await
            }
        };
        // The node closes.
        let Ok((back, found)) = looked else { return };
        looker = back;
        let is_unread = found.configured.is_none();
        let is_first = is_unread && !was_unread;
        was_unread = is_unread;
        if is_first {
            sleep(AGAIN).await;
            continue;
        }
        show(&board, Some(found));
        sleep(LOOK_EVERY).await;
    }
}

/// Whether the configuration that is live here is one with which GoCD would run: not before a standby has any of its
/// primary's.
fn is_of_interest(status: &Status) -> bool {
    match status.role {
        Role::Primary => true,
        Role::Standby => status.sync.as_ref().is_some_and(|sync| sync.applied_ms.is_some()),
        Role::Fenced => false,
    }
}

/// Shows on the board where GoCD keeps artifacts, and what is wrong with that.
fn show(board: &StatusBoard, found: Option<ArtifactsFolder>) {
    let warning = found.as_ref().and_then(ArtifactsFolder::warning);
    if board.look(|status| status.artifacts != found) {
        board.update(|status| status.artifacts = found);
    }
    board.warn(&Topic::Artifacts, Severity::Warning, warning);
}

/// What is needed to look.
#[derive(Clone)]
struct Looker {
    settings: Arc<Settings>,
    state: Arc<StateDir>,
    /// The folder that the configuration of this stamp names: a large one is not read for nothing.
    seen: Option<(Stamp, String)>,
}

impl Looker {
    /// Looks once. It waits for disks.
    fn look(&mut self) -> ArtifactsFolder {
        let layout = &self.settings.layout;
        let stamp = regular_file::stamp(layout.cruise_config());
        let known = self.seen.take().filter(|(seen, _)| *seen == stamp && stamp.is_some());
        let named = known.map_or_else(|| artifacts_folder::named(layout), |(_, named)| Ok(named));
        self.seen = named.as_ref().ok().map(|named| (stamp, named.clone()));
        let named = named.as_deref().map_err(String::as_str);
        let folder = named.map(|named| layout.working_dir().join(named));
        let disk = folder.ok().and_then(|folder| Disk::look(&folder, layout));
        let start = match self.settings.face {
            Face::Plugin => GocdStart::load(self.state.path()).ok().flatten(),
            // In the process of an agent's node GoCD is held.
            Face::Agent | Face::Cli => None,
        };
        let in_use: Option<&Path> = start.as_ref().and_then(GocdStart::artifacts_in_use);
        ArtifactsFolder::judge(
            named,
            layout.working_dir(),
            disk.as_ref(),
            in_use,
            self.settings.artifacts_shared,
        )
    }
}
