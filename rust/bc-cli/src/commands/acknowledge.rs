//! `gocd-bc acknowledge`: a person has seen that a server promoted itself.

use bc_core::node::Order;

use crate::{client, exit_code::ExitCode, failure::Failure, find::Search};

/// Runs `gocd-bc acknowledge`: tells the node that a person has seen that it promoted itself.
pub(crate) fn run(search: &Search) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::Acknowledge)
}
