//! What becomes of GoCD once it is released: it runs, it ended, or nobody knows yet.
//!
//! That it runs is its own word, which the node asks for on GoCD's port. That it ended is seen by its process, which is
//! known before it is let go; between the agent's node and the plugin's nobody answers, and that means nothing.

use std::{
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use bc_core::{
    basics::process::ProcessId,
    gocd::log,
    role::{
        gocd_start,
        lock_holder::{Holder, holder},
    },
    settings::Face,
    status::{GocdStatus, Status},
};

use crate::{client, exit_code::ExitCode, failure::Failure, output::LiveLine};

/// How often the node is asked whether it runs.
const INTERVAL: Duration = Duration::from_millis(250);

/// GoCD, as it was when it was held.
pub(super) struct Launch {
    state_dir: PathBuf,
    face: Face,
    /// The process that it will run in, where that can be seen from here.
    process: Option<ProcessId>,
    /// Its log, and how long that was; none of a node without a JVM.
    log: Option<(PathBuf, u64)>,
}

impl Launch {
    /// Looks at the node in `state_dir` before it lets GoCD go.
    pub(super) fn of(state_dir: &Path, before: &Status) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            face: before.face,
            process: match holder(state_dir) {
                Holder::Process(process) => Some(ProcessId::of(process.id)),
                Holder::Nobody | Holder::NobodyInSight | Holder::NotKnown => None,
            },
            log: before.gocd.as_ref().map(|gocd| {
                let log = PathBuf::from(&gocd.log);
                let end = log::end(&log);
                (log, end)
            }),
        }
    }

    /// Asks until the node that takes over runs as a primary, and GoCD says that it does.
    ///
    /// # Errors
    /// GoCD's process ended, which is said at once, or `limit` has passed; with the end of GoCD's log.
    pub(super) fn wait(&self, limit: Duration) -> Result<Status, Failure> {
        let start = Instant::now();
        let line = LiveLine::new();
        let mut last = None;
        while start.elapsed() < limit {
            // Who has ended by now has not answered a moment later.
            let has_ended = self.process.as_ref().and_then(ProcessId::has_ended) == Some(true);
            if let Ok(Some(status)) = client::status(&self.state_dir)
                && self.is_the_one(&status)
            {
                if status.runs_as_primary() {
                    return Ok(status);
                }
                last = status.gocd;
            }
            if has_ended {
                return Err(self.ended(start.elapsed()));
            }
            line.show(&format!("  GoCD is starting, {} s", start.elapsed().as_secs()));
            sleep(INTERVAL);
        }
        Err(self.not_seen(limit, last.as_ref()))
    }

    /// Whether this status is of the node that takes over.
    fn is_the_one(&self, status: &Status) -> bool {
        // In a JVM the plugin follows the agent; without one the same process goes on.
        let expected = if self.face == Face::Cli {
            Face::Cli
        } else {
            Face::Plugin
        };
        status.face == expected
    }

    /// The failure that an ended process is.
    fn ended(&self, after: Duration) -> Failure {
        let id = self.process.as_ref().map_or(0, |process| process.id);
        Failure::new(
            ExitCode::Unconfirmed,
            format!(
                "GoCD was released, and its process {id} ended within {} s: GoCD does not run",
                after.as_secs() + 1
            ),
            format!(
                "{} This server stays the primary: no second promotion is needed.",
                self.why()
            ),
        )
    }

    /// The failure that it is when GoCD was not seen running in time.
    fn not_seen(&self, limit: Duration, last: Option<&GocdStatus>) -> Failure {
        let seen = last.map(|gocd| format!(": it is {}", gocd.line())).unwrap_or_default();
        let errors = self.errors().filter(|errors| !errors.is_empty());
        let guidance = match errors {
            Some(_) => self.why(),
            None => {
                "It may still be starting: look at go-server.log, at the log of the wrapper and at `gocd-bc status`."
                    .to_owned()
            }
        };
        Failure::new(
            ExitCode::Unconfirmed,
            format!("GoCD was released, but did not run {} s later{seen}", limit.as_secs()),
            guidance,
        )
    }

    /// The errors in GoCD's log since it was let go; none where that cannot be read.
    fn errors(&self) -> Option<Vec<String>> {
        let (log, from) = self.log.as_ref()?;
        log::errors_since(log, *from).ok()
    }

    /// Says why GoCD ended, and what to do.
    fn why(&self) -> String {
        let log = self.log.as_ref().map(|(log, _)| log.display().to_string());
        gocd_start::why(self.errors().as_deref(), log.as_deref().unwrap_or("go-server.log"))
    }
}
