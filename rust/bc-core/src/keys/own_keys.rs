//! The keys of this node: which one it shows, and which others are its own.

use std::sync::Mutex;

use crate::basics::{Fingerprint, NodeId, lock};

/// What to do where two nodes show one key: whole sentences.
pub const ONE_KEY_EACH: &str = "Nodes know each other by their keys, so each needs one of its own. If both servers have the \
     same file in bc.tls.certificate, give each a certificate of its own with a key of its own there; if one has the \
     identity.pem of the other, stop GoCD on it, run `gocd-bc identity new` there, and start it again.";

/// Shared by all parts of a node, since the key may change while it runs.
#[derive(Debug)]
pub struct OwnKeys {
    node_id: NodeId,
    keys: Mutex<Vec<Fingerprint>>,
}

impl OwnKeys {
    /// The own keys of the node with this id, which shows `shown`.
    pub fn new(node_id: NodeId, shown: Fingerprint) -> Self {
        Self {
            node_id,
            keys: Mutex::new(vec![shown]),
        }
    }

    /// The id of the node whose own keys these are.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// The key that is shown to others now.
    pub fn shown(&self) -> Fingerprint {
        self.locked()[0]
    }

    /// All own keys: the one that is shown now, and after it those that are to be shown.
    pub fn all(&self) -> Vec<Fingerprint> {
        self.locked().clone()
    }

    /// Sets other own keys from now on: the one that is shown, and those that are to be.
    pub fn set(&self, shown: Fingerprint, next: impl IntoIterator<Item = Fingerprint>) {
        let mut keys = vec![shown];
        keys.extend(next);
        *self.locked() = keys;
    }

    /// Whether a key is one of this node's own.
    pub fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.locked().contains(fingerprint)
    }

    /// The own keys of this node, locked.
    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Fingerprint>> {
        lock(&self.keys)
    }
}
