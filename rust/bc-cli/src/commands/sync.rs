//! `gocd-bc sync`: pulls from the primary now, and allows what a rule holds back.

use bc_core::control::Order;

use crate::{args::SyncArguments, client, exit_code::ExitCode, failure::Failure, find::Search};

/// Orders the pull and waits for its end.
pub(crate) fn run(search: &Search, arguments: &SyncArguments) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let order = Order::Sync {
        allow_deletions: arguments.allow_deletions,
        adopt_server_id: arguments.adopt_server_id,
        accept_rollback: arguments.accept_rollback,
        resume: arguments.resume,
    };
    client::order(&node.state_dir, &order)
}
