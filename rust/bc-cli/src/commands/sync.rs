//! `gocd-bc sync`: pulls from the primary now, and allows what a rule holds back.

use bc_core::{node::Order, standby::store::Permit};

use crate::{args::SyncArguments, client, exit_code::ExitCode, failure::Failure, find::Search};

/// Runs `gocd-bc sync`: orders the pull and waits for its end.
pub(crate) fn run(search: &Search, arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let order = Order::Sync(Permit {
        deletions: arguments.allow_deletions,
        server_id: arguments.adopt_server_id,
        rollback: arguments.accept_rollback,
        resume: arguments.resume,
    });
    client::order(&node.state_dir, &order)
}
