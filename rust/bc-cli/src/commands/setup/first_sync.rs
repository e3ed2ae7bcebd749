//! The first sync of a standby: its own node, without a JVM, until all that the primary has is live here.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use bc_core::{
    basics::Properties,
    node::Event,
    status::{Phase, Status},
};
use bc_server::node::Node;
use bc_setup::console::Console;

use crate::{client, exit_code::ExitCode, failure::Failure};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long nothing may get on.
const STANDSTILL: Duration = Duration::from_secs(90);
/// How long the database may take to be seen once the files are here.
const DATABASE: Duration = Duration::from_secs(15);

/// Follows the primary with these settings until this node is in sync, and closes it. Returns its last picture.
///
/// # Errors
/// The node cannot be opened, refuses what the primary has, or gets no further. What it has fetched stays.
pub(super) fn run(properties: &Properties, state_dir: &Path, console: &mut dyn Console) -> Result<Status, Failure> {
    let node = Node::open(properties)?;
    let result = follow(&node, state_dir, console);
    node.close();
    result
}

fn follow(node: &Node, state_dir: &Path, console: &mut dyn Console) -> Result<Status, Failure> {
    let mut last_step = (Instant::now(), None);
    let mut in_sync_since = None;
    loop {
        // What it logs is in its status as well.
        while let Some(event) = node.next_event(Duration::ZERO) {
            if let Event::Exit(code) = event {
                return Err(Failure::new(
                    ExitCode::Failed,
                    format!("the node ended itself with {code}"),
                    "",
                ));
            }
        }
        sleep(INTERVAL);
        let Some(status) = client::status(state_dir)?.filter(|status| status.phase != Phase::Starting) else {
            if last_step.0.elapsed() > STANDSTILL {
                return Err(Failure::new(ExitCode::Failed, "the node does not start", "Try again."));
            }
            continue;
        };
        let Some(sync) = &status.sync else { continue };
        if let Some(refusal) = &sync.refusal {
            return Err(Failure::new(
                ExitCode::Failed,
                format!("what the primary has was refused: {}", refusal.message),
                "This server is held once GoCD is started: then do as the message says, and see `gocd-bc status`.",
            ));
        }
        if sync.in_sync {
            let since = *in_sync_since.get_or_insert_with(Instant::now);
            if is_database_seen(&status) || since.elapsed() > DATABASE {
                return Ok(status);
            }
            continue;
        }
        if let Some(fetching) = &sync.fetching {
            console.progress("first sync", fetching.bytes_done, Some(fetching.bytes_total));
        }
        let step = (
            sync.fetching.as_ref().map(|fetching| fetching.bytes_done),
            sync.applied_ms,
            sync.has_newest,
        );
        if last_step.1.as_ref() != Some(&step) {
            last_step = (Instant::now(), Some(step));
        }
        if last_step.0.elapsed() > STANDSTILL {
            return Err(stuck(&status));
        }
    }
}

/// Says why the first sync gets no further.
fn stuck(status: &Status) -> Failure {
    let failure = Failure::new(
        ExitCode::Failed,
        "the first sync gets no further",
        "Mend what is named and run the command again: what is here already is not fetched twice.",
    );
    let problems = status.problems.iter().map(|problem| &problem.message);
    problems.fold(failure, Failure::caused_by)
}

/// Whether the node knows how its database is, or that it does not answer.
fn is_database_seen(status: &Status) -> bool {
    let Some(database) = &status.database else { return false };
    let is_silent = database.servers.iter().any(|server| server.error.is_some());
    database.not_covered.is_some() || database.behind_s.is_some() || is_silent
}
