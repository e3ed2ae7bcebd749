//! `gocd-bc promote`: lets GoCD run on a held standby, and waits until it does.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use bc_core::{
    generation::Role,
    node::Order,
    settings::Face,
    status::{Phase, Status},
};

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, LiveLine},
};

/// How often the node is asked whether it runs.
const INTERVAL: Duration = Duration::from_millis(250);

/// Runs `gocd-bc promote`: orders the promotion and follows it. `wait` is in seconds.
pub(crate) fn run(search: &Search, order: &Order, wait: u64) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let Some(before) = client::status(&node.state_dir)? else {
        return Err(client::nobody_answers(&node.state_dir));
    };
    let reply = client::ask(&node.state_dir, order, |step| output::say(&format!("  {step}\n")))?
        .ok_or_else(|| client::nobody_answers(&node.state_dir))?;
    output::say(&format!("  {}\n", client::done(reply)?));
    if wait == 0 {
        return Ok(ExitCode::Ok);
    }
    match wait_until_running(&node.state_dir, before.face, Duration::from_secs(wait)) {
        Some(status) => {
            output::print(&match before.face {
                Face::Cli => "The node goes on as the primary. There is no JVM in it: start GoCD now.\n".to_owned(),
                _ => format!("GoCD runs, and this node is the primary ({}).\n", status.node_id),
            })?;
            Ok(ExitCode::Ok)
        }
        None => Err(Failure::new(
            ExitCode::Unconfirmed,
            format!("GoCD was released, but did not run {wait} s later"),
            "It may still be starting: look at go-server.log, at the log of the wrapper and at `gocd-bc status`.",
        )),
    }
}

/// Asks after a promotion until the node that takes over runs as a primary. Between the two nodes nobody answers.
fn wait_until_running(state_dir: &Path, face: Face, limit: Duration) -> Option<Status> {
    let start = Instant::now();
    let line = LiveLine::new();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = client::status(state_dir)
            && has_taken_over(&status, face)
        {
            return Some(status);
        }
        line.show(&format!("  GoCD is starting, {} s", start.elapsed().as_secs()));
        sleep(INTERVAL);
    }
    None
}

/// Whether the node that answers after a promotion runs as a primary.
fn has_taken_over(status: &Status, before: Face) -> bool {
    // In a JVM the plugin follows the agent; without one the same process goes on.
    let expected = if before == Face::Cli { Face::Cli } else { Face::Plugin };
    status.role == Role::Primary && status.phase == Phase::Running && status.face == expected
}
