//! The keys of this node: which one it shows, and which others are its own.

use std::sync::{Mutex, PoisonError};

use crate::{fingerprint::Fingerprint, peers::Peer};

/// Shared by all parts of a node, since the key may change while it runs.
#[derive(Debug)]
pub struct OwnKeys {
    node_id: String,
    keys: Mutex<Vec<Fingerprint>>,
}

impl OwnKeys {
    /// The keys of the node with this id, which shows `shown`.
    pub fn new(node_id: &str, shown: Fingerprint) -> Self {
        Self {
            node_id: node_id.to_owned(),
            keys: Mutex::new(vec![shown]),
        }
    }

    /// This node's id.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The key that is shown to others now.
    pub fn shown(&self) -> Fingerprint {
        self.locked()[0]
    }

    /// The key that is shown now, and after it those that are to be shown.
    pub fn all(&self) -> Vec<Fingerprint> {
        self.locked().clone()
    }

    /// Other keys from now on: the one that is shown, and those that are to be.
    pub fn set(&self, shown: Fingerprint, next: impl IntoIterator<Item = Fingerprint>) {
        let mut keys = vec![shown];
        keys.extend(next);
        *self.locked() = keys;
    }

    /// The line of the peers file for one of this node's keys.
    pub fn peer(&self, fingerprint: Fingerprint) -> Peer {
        Peer {
            fingerprint,
            node_id: Some(self.node_id.clone()),
        }
    }

    /// Whether a line of the peers file is about this node.
    pub fn is_own(&self, peer: &Peer) -> bool {
        peer.node_id.as_deref() == Some(self.node_id()) || self.has(&peer.fingerprint)
    }

    /// Whether this is one of the node's keys.
    pub fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.locked().contains(fingerprint)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Fingerprint>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_and_coming_keys_are_own_ones() {
        let [old, new, other] = ["old", "new", "other"].map(|name| Fingerprint::of_public_key(name.as_bytes()));
        let keys = OwnKeys::new("me", old);
        keys.set(new, []);
        let peer = |fingerprint, node_id: Option<&str>| Peer {
            fingerprint,
            node_id: node_id.map(str::to_owned),
        };
        assert_eq!(keys.shown(), new);
        assert!(keys.is_own(&peer(new, None)) && keys.is_own(&peer(old, Some("me"))));
        assert!(!keys.is_own(&peer(old, None)) && !keys.is_own(&peer(other, Some("you"))));
    }
}
