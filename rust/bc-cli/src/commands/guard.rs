//! `gocd-bc guard ignore`: a server that is to be the primary starts without a peer.

use bc_core::node::Order;

use crate::{client, exit_code::ExitCode, failure::Failure, find::Search};

/// Runs `gocd-bc guard ignore`: tells the node to start although this peer does not prove who it is, or does not answer.
pub(crate) fn ignore(search: &Search, peer: String) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::IgnorePeer { peer })
}
