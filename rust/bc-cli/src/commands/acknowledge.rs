//! `gocd-bc acknowledge`: a person has seen that a server promoted itself.

use bc_core::control::Order;

use crate::{client, exit_code::ExitCode, failure::Failure, find::Search};

/// Tells the node.
pub(crate) fn run(search: &Search) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::Acknowledge)
}
