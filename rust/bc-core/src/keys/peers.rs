//! Whom a node trusts, and whose trust has ended: the public keys of all nodes of a pair.
//!
//! A key that was taken out stays out. Others still list it, and send their lists: the primary in each reply to a
//! report, an administrator who copies a configuration folder or restores yesterday's. So a key is not merely absent
//! once it is removed, but known as removed, until `gocd-bc trust` says otherwise on this very node. That is kept
//! twice, since each of the two places is lost by an everyday act that leaves the other one alone:
//!
//! | place | goes along | is lost |
//! |---|---|---|
//! | a `#removed` line of the peers file (`file`) | with a copied configuration folder, to a standby that is set up later | when a folder of before the removal is copied over it |
//! | `removed-keys.json` in the state folder (`removed`), sealed | never | with the state folder |
//!
//! A key is removed if either says so, and where the second cannot be read nobody is trusted. The line is a comment to
//! versions that do not know it: they go on with the keys that are left.
//!
//! A key speaks for one node. Where the peers file names the node of a key, that key proves no other.

use serde::{Deserialize, Serialize};

use crate::{basics::Fingerprint, keys::own_keys::OwnKeys};

mod file;
mod removed;

pub use self::file::PeersFile;

/// Removed keys that another node may make this one know; an administrator's own word always counts.
pub(crate) const MAX_REMOVED: usize = 1000;

/// One node of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its public key.
    pub fingerprint: Fingerprint,
    /// Its node id; unknown for a key that an administrator typed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

/// What the peers file says of a node's own keys.
impl OwnKeys {
    /// The line of the peers file for one of this node's keys.
    pub fn peer(&self, fingerprint: Fingerprint) -> Peer {
        Peer {
            fingerprint,
            node_id: Some(self.node_id().to_string()),
        }
    }

    /// Whether a line of the peers file is about this node.
    pub fn is_own(&self, peer: &Peer) -> bool {
        peer.node_id.as_ref().is_some_and(|id| id == self.node_id()) || self.has(&peer.fingerprint)
    }
}

/// All that a node knows of keys, in the order of the peers file. No key is both trusted and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    trusted: Vec<Peer>,
    removed: Vec<Peer>,
}

impl Peers {
    /// Adds a node to the peers unless its key is there or was removed; a node id that was unknown is filled in. Says
    /// whether anything changed. For keys that somebody else names: it never brings a removed one back.
    pub fn add(&mut self, peer: Peer) -> bool {
        if self.is_removed(&peer.fingerprint) {
            return false;
        }
        match self.find(&peer.fingerprint) {
            Some(known) if known.node_id.is_none() && peer.node_id.is_some() => {
                known.node_id = peer.node_id;
                true
            }
            Some(_) => false,
            None => {
                self.trusted.push(peer);
                true
            }
        }
    }

    /// Adds a node to the peers whatever was said of its key before: by the word of an administrator of this node, or
    /// because the key is its own. A node id that is given takes the place of the one that was known. Says whether
    /// anything changed.
    pub fn trust(&mut self, peer: Peer) -> bool {
        let before = self.removed.len();
        self.removed.retain(|removed| removed.fingerprint != peer.fingerprint);
        let was_removed = self.removed.len() != before;
        match self.find(&peer.fingerprint) {
            Some(known) if peer.node_id.is_some() && known.node_id != peer.node_id => {
                known.node_id = peer.node_id;
                true
            }
            Some(_) => was_removed,
            None => {
                self.trusted.push(peer);
                true
            }
        }
    }

    /// Removes a key from the peers for good, whether or not it was there. Says whether it was trusted.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> bool {
        let at = self.trusted.iter().position(|peer| peer.fingerprint == *fingerprint);
        let was_trusted = at.map(|at| self.trusted.remove(at));
        let is_known = self.is_removed(fingerprint);
        if !is_known {
            self.removed.push(was_trusted.clone().unwrap_or(Peer {
                fingerprint: *fingerprint,
                node_id: None,
            }));
        }
        was_trusted.is_some()
    }

    /// Removes from the peers every key of this node that it neither shows nor is to show. Gives those that were there.
    pub fn end_former_keys(&mut self, own: &OwnKeys) -> Vec<Fingerprint> {
        let former: Vec<_> = self
            .trusted
            .iter()
            .filter(|peer| own.is_own(peer) && !own.has(&peer.fingerprint))
            .map(|peer| peer.fingerprint)
            .collect();
        for key in &former {
            self.remove(key);
        }
        former
    }

    /// Whether the peers have this key as trusted.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.trusted.iter().any(|peer| peer.fingerprint == *fingerprint)
    }

    /// Whether the peers have this key as removed.
    pub fn is_removed(&self, fingerprint: &Fingerprint) -> bool {
        self.removed.iter().any(|peer| peer.fingerprint == *fingerprint)
    }

    /// The peer whose key this is, as far as it is known.
    pub(crate) fn node_of(&self, fingerprint: &Fingerprint) -> Option<&str> {
        let peer = self.trusted.iter().find(|peer| peer.fingerprint == *fingerprint)?;
        peer.node_id.as_deref()
    }

    /// The trusted keys of a node.
    pub(crate) fn keys_of<'a>(&'a self, node_id: &'a str) -> impl Iterator<Item = Fingerprint> + 'a {
        self.trusted
            .iter()
            .filter(move |peer| peer.node_id.as_deref() == Some(node_id))
            .map(|peer| peer.fingerprint)
    }

    /// All peers but the node with the keys `own`.
    pub(crate) fn others(&self, own: &OwnKeys) -> Vec<Peer> {
        self.trusted.iter().filter(|peer| !own.is_own(peer)).cloned().collect()
    }

    /// All peers that are trusted.
    pub fn all(&self) -> &[Peer] {
        &self.trusted
    }

    /// The keys that were removed from the peers, and of which node, as far as that was known.
    pub fn removed(&self) -> &[Peer] {
        &self.removed
    }

    /// The peer with this key.
    fn find(&mut self, fingerprint: &Fingerprint) -> Option<&mut Peer> {
        self.trusted.iter_mut().find(|peer| peer.fingerprint == *fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn former_and_coming_keys_are_own_ones() {
        let [old, new, other] = ["old", "new", "other"].map(|name| Fingerprint::of_public_key(name.as_bytes()));
        let keys = OwnKeys::new(ME.parse().expect("id"), old);
        keys.set(new, []);
        let peer = |fingerprint, node_id: Option<&str>| Peer {
            fingerprint,
            node_id: node_id.map(str::to_owned),
        };
        assert_eq!(keys.shown(), new);
        assert!(keys.is_own(&peer(new, None)) && keys.is_own(&peer(old, Some(ME))));
        assert!(!keys.is_own(&peer(old, None)) && !keys.is_own(&peer(other, Some("you"))));
    }

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of_public_key(name.as_bytes())
    }

    fn peer(name: &str, node_id: Option<&str>) -> Peer {
        Peer {
            fingerprint: key(name),
            node_id: node_id.map(str::to_owned),
        }
    }

    #[test]
    fn a_removed_key_comes_back_by_an_administrators_word_alone() {
        let mut peers = Peers::default();
        assert!(peers.add(peer("a", Some("A"))));
        assert!(peers.remove(&key("a")));
        assert!(!peers.remove(&key("a")), "it is not trusted any more");
        assert!(!peers.add(peer("a", Some("A"))) && !peers.contains(&key("a")));
        assert_eq!(peers.removed(), [peer("a", Some("A"))]);
        assert!(peers.trust(peer("a", None)));
        assert!(peers.contains(&key("a")) && peers.removed().is_empty());
        assert!(!peers.remove(&key("never seen")), "but it never comes");
        assert!(!peers.add(peer("never seen", None)));
    }

    #[test]
    fn a_key_keeps_its_node_unless_an_administrator_says_otherwise() {
        let mut peers = Peers::default();
        peers.add(peer("a", None));
        assert_eq!(peers.node_of(&key("a")), None);
        assert!(peers.add(peer("a", Some("A"))), "what was unknown is filled in");
        assert!(!peers.add(peer("a", Some("B"))));
        assert_eq!(peers.node_of(&key("a")), Some("A"));
        assert!(peers.trust(peer("a", Some("B"))) && !peers.trust(peer("a", None)));
        assert_eq!(peers.keys_of("B").collect::<Vec<_>>(), [key("a")]);
    }

    #[test]
    fn former_keys_of_this_node_end_and_no_others_do() {
        let mut peers = Peers::default();
        for (name, node) in [("former", ME), ("shown", ME), ("next", ME), ("other", "you")] {
            peers.add(peer(name, Some(node)));
        }
        let own = OwnKeys::new(ME.parse().expect("id"), key("shown"));
        own.set(key("shown"), [key("next")]);
        assert_eq!(peers.end_former_keys(&own), [key("former")]);
        assert_eq!(peers.all().len(), 3);
        assert!(peers.is_removed(&key("former")));
        assert!(peers.end_former_keys(&own).is_empty());
    }
}
