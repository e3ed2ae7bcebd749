//! `gocd-bc trust`: the keys of the other nodes of the pair.

use std::path::Path;

use bc_core::{
    basics::Fingerprint,
    generation::Layout,
    keys::{Identity, Peer, Peers, PeersFile},
    node::Order,
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

/// Runs `gocd-bc trust KEY`: trusts a key, or does not any more. A running node is asked to, so that it acts on it at
/// once; without one the peers file is changed.
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
    let file = peers_file(search, config, &layout);
    let said = owner::as_owner_of(layout.cruise_config(), || Ok(file.change_key(fingerprint, remove)?))?;
    output::print(&format!("{said}\n"))?;
    output::say(&format!(
        "Written to {}: no node was asked that could take it up at once.\n",
        file.path().display()
    ));
    Ok(ExitCode::Ok)
}

/// Finds the peers file, together with what the state folder keeps where one is known and there.
fn peers_file(search: &Search, config: Option<&Path>, layout: &Layout) -> PeersFile {
    let state_dir = match (search.given_state_dir(), config) {
        (Some(given), _) => Some(given),
        (None, None) => Some(layout.state_dir()),
        (None, Some(_)) => None,
    };
    PeersFile::new(&layout.peers(), state_dir.filter(|state_dir| state_dir.is_dir()))
}

/// Runs `gocd-bc trust`: lists the trusted keys, and those that were removed.
pub(crate) fn list(search: &Search, config: Option<&Path>, json: bool) -> Result<ExitCode, Failure> {
    let layout = search.layout(config)?;
    let peers = match peers_file(search, config, &layout).load() {
        Ok(peers) => peers,
        Err(error) => {
            // Whoever may read the configuration folder need not be one who may read the state folder.
            let peers = PeersFile::new(&layout.peers(), None).load()?;
            output::say(&format!("{error}\nThis is what the peers file alone says:\n\n"));
            peers
        }
    };
    let listed = Listed::new(&peers, &layout);
    if json {
        output::print_json(&listed)?;
        return Ok(ExitCode::Ok);
    }
    if listed.keys.is_empty() {
        output::say(&format!("No key is trusted: {} names none.\n", listed.file));
    }
    output::print(&listed.render())?;
    Ok(ExitCode::Ok)
}

#[derive(Debug, Serialize)]
struct Listed {
    file: String,
    keys: Vec<Key>,
    /// Keys that stay out, whoever names them.
    removed: Vec<Peer>,
}

#[derive(Debug, Serialize)]
struct Key {
    fingerprint: Fingerprint,
    node_id: Option<String>,
    /// Whether it is this node's own; unknown where its identity cannot be read.
    own: Option<bool>,
}

impl Listed {
    /// What `gocd-bc trust` lists of these peers.
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
            removed: peers.removed().to_vec(),
        }
    }

    /// Shows the list of trusted and removed keys, for people.
    fn render(&self) -> String {
        let node = |id: &Option<String>| id.as_ref().map(|id| format!("node {id}")).unwrap_or_default();
        let trusted = self.keys.iter().map(|key| {
            let own = if key.own == Some(true) { "this node" } else { "" };
            vec![key.fingerprint.to_string(), node(&key.node_id), own.to_owned()]
        });
        let removed = self.removed.iter().map(|peer| {
            vec![
                peer.fingerprint.to_string(),
                node(&peer.node_id),
                "removed, not trusted".to_owned(),
            ]
        });
        table(&trusted.chain(removed).collect::<Vec<_>>())
    }
}
