//! `business-continuity-peers`: the public keys of all nodes of a pair.
//!
//! No secret. It lies beside the token, so that it comes along when the administrator copies the primary's
//! configuration folder. One node a line, `fingerprint node-id`, with `#` comments; entries leave only by
//! `gocd-bc trust --remove`.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    own_keys::OwnKeys,
    regular_file,
    store::atomic,
};

/// One node of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its public key.
    pub fingerprint: Fingerprint,
    /// Its node id; unknown for a key that an administrator typed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
}

/// The content of the peers file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers(Vec<Peer>);

const HEAD: &str = "\
# Public keys of all nodes of this GoCD Business Continuity pair: SHA-256 fingerprint, node id.
# No secret. Copy it with the configuration folder; change it with `gocd-bc trust`.
";

impl Peers {
    /// Reads the peers file; a missing one is empty.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read, [`Kind::Setting`] naming the first line that is not understood.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = match regular_file::read_text(path, regular_file::LARGEST_OF_A_FEW_LINES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("read the peers file", path, &error)),
        };
        let mut peers = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            let fingerprint = first.parse().map_err(|reason| {
                Error::new(
                    Kind::Setting,
                    format!(
                        "line {} of the peers file {}: `{first}` {reason}",
                        index + 1,
                        path.display()
                    ),
                    "Copy the file from the other server again, or remove that line.",
                )
            })?;
            peers.add(Peer {
                fingerprint,
                node_id: words.next().map(str::to_owned),
            });
        }
        Ok(peers)
    }

    /// Writes the peers file durably, mode 0644.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = HEAD.to_owned();
        for peer in &self.0 {
            text.push_str(&format!(
                "{} {}\n",
                peer.fingerprint,
                peer.node_id.as_deref().unwrap_or("")
            ));
        }
        atomic::write(path, text.as_bytes(), 0o644)
    }

    /// Adds a node unless its key is there; a node id that was unknown is filled in. Says whether anything changed.
    pub fn add(&mut self, peer: Peer) -> bool {
        match self.0.iter_mut().find(|known| known.fingerprint == peer.fingerprint) {
            Some(known) if known.node_id.is_none() && peer.node_id.is_some() => {
                known.node_id = peer.node_id;
                true
            }
            Some(_) => false,
            None => {
                self.0.push(peer);
                true
            }
        }
    }

    /// Removes a key. Says whether it was there.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> bool {
        let before = self.0.len();
        self.0.retain(|peer| peer.fingerprint != *fingerprint);
        self.0.len() != before
    }

    /// Reads the file at `path`, changes what was read, and writes it if anything differs then. Gives what `change`
    /// gave, and the content. Changes of one process wait for each other.
    ///
    /// # Errors
    /// As [`Peers::load`] and [`Peers::save`]; the file is then as before.
    pub fn change<R>(path: &Path, change: impl FnOnce(&mut Self) -> R) -> Result<(R, Self), Error> {
        static CHANGING: Mutex<()> = Mutex::new(());
        let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Self::load(path)?;
        let mut peers = before.clone();
        let result = change(&mut peers);
        if peers != before {
            peers.save(path)?;
        }
        Ok((result, peers))
    }

    /// Adds or removes a key in the file at `path`, and says what has happened in words.
    ///
    /// # Errors
    /// As [`Peers::load`] and [`Peers::save`].
    pub fn change_file(path: &Path, fingerprint: Fingerprint, remove: bool) -> Result<String, Error> {
        let (changed, _) = Self::change(path, |peers| {
            if remove {
                peers.remove(&fingerprint)
            } else {
                peers.add(Peer {
                    fingerprint,
                    node_id: None,
                })
            }
        })?;
        Ok(match (remove, changed) {
            (false, true) => format!("{fingerprint} is trusted now"),
            (false, false) => format!("{fingerprint} was trusted already"),
            (true, true) => format!("{fingerprint} is not trusted any more"),
            (true, false) => format!("{fingerprint} was not in the peers file"),
        })
    }

    /// Whether this key is listed.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.iter().any(|peer| peer.fingerprint == *fingerprint)
    }

    /// All nodes but the one with the keys `own`.
    pub fn others(&self, own: &OwnKeys) -> Vec<Peer> {
        self.0.iter().filter(|peer| !own.is_own(peer)).cloned().collect()
    }

    /// All nodes.
    pub fn all(&self) -> &[Peer] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("business-continuity-peers");
        let (one, two) = (Fingerprint::of_public_key(b"1"), Fingerprint::of_public_key(b"2"));
        let mut peers = Peers::load(&path).expect("missing is empty");
        assert!(peers.add(Peer {
            fingerprint: one,
            node_id: Some("ab".repeat(16))
        }));
        assert!(peers.add(Peer {
            fingerprint: two,
            node_id: None
        }));
        assert!(!peers.add(Peer {
            fingerprint: one,
            node_id: None
        }));
        peers.save(&path).expect("save");
        let mut read = Peers::load(&path).expect("load");
        assert_eq!(read, peers);
        assert_eq!(read.others(&OwnKeys::new("me", one)).len(), 1);
        assert!(read.remove(&two) && !read.contains(&two));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("business-continuity-peers");
        fs::write(&path, "# head\nnonsense\n").expect("write");
        assert!(
            Peers::load(&path)
                .expect_err("refused")
                .message()
                .starts_with("line 2 of the peers file")
        );
    }
}
