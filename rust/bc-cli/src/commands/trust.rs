//! `gocd-bc trust`: the keys of the other nodes of the pair.

use std::path::Path;

use bc_core::{
    control::Order,
    fingerprint::Fingerprint,
    identity::Identity,
    layout::Layout,
    peers::{Peer, Peers},
};
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, table},
    owner,
};

/// Trusts a key, or does not any more. A running node is asked to, so that it acts on it at once; without one the
/// peers file is changed.
pub(crate) fn change(
    search: &Search,
    config: Option<&Path>,
    fingerprint: Fingerprint,
    remove: bool,
) -> Result<ExitCode, Failure> {
    if config.is_none() {
        let node = search.node(ExitCode::Usage)?;
        let order = Order::Trust { fingerprint, remove };
        if let Some(reply) = client::ask(&node.state_dir, &order, |_| {})? {
            output::print(&format!("{}\n", client::done(reply)?))?;
            return Ok(ExitCode::Ok);
        }
    }
    let layout = search.layout(config)?;
    let path = layout.peers();
    let said = owner::as_owner_of(layout.cruise_config(), || {
        Ok(Peers::change_file(&path, fingerprint, remove)?)
    })?;
    output::print(&format!("{said}\n"))?;
    output::say(&format!(
        "Written to {}: no node runs here that could take it up at once.\n",
        path.display()
    ));
    Ok(ExitCode::Ok)
}

/// Lists the trusted keys.
pub(crate) fn list(search: &Search, config: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
    let layout = search.layout(config)?;
    let peers = Peers::load(&layout.peers())?;
    let listed = Listed::new(&peers, &layout);
    if json {
        output::print_json(&listed)?;
    } else if listed.keys.is_empty() {
        output::say(&format!("No key is trusted: {} names none.\n", listed.file));
    } else {
        output::print(&listed.render())?;
    }
    Ok(ExitCode::Ok)
}

#[derive(Debug, Serialize)]
struct Listed {
    file: String,
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    fingerprint: Fingerprint,
    node_id: Option<String>,
    /// Whether it is this node's own; unknown where its identity cannot be read.
    own: Option<bool>,
}

impl Listed {
    fn new(peers: &Peers, layout: &Layout) -> Self {
        let own = Identity::load(layout.state_dir())
            .ok()
            .flatten()
            .map(|identity| identity.fingerprint());
        let key = |peer: &Peer| Key {
            fingerprint: peer.fingerprint,
            node_id: peer.node_id.clone(),
            own: own.map(|own| own == peer.fingerprint),
        };
        Self {
            file: layout.peers().display().to_string(),
            keys: peers.all().iter().map(key).collect(),
        }
    }

    fn render(&self) -> String {
        let rows: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                let node = key.node_id.as_ref().map(|id| format!("node {id}")).unwrap_or_default();
                let own = if key.own == Some(true) { "this node" } else { "" };
                vec![key.fingerprint.to_string(), node, own.to_owned()]
            })
            .collect();
        table(&rows)
    }
}
