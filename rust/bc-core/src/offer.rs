//! What a primary offers: its newest generation with a sequence, and a way to wait for the next one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::{
    error::Error,
    manifest::{Envelope, Epoch, FORMAT, ManifestDocument, Role},
    scan::snapshot::Snapshot,
    state_dir::{Ledger, StateDir},
    status::Generation,
};

/// A generation as it is offered.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The files and where their bytes are.
    pub snapshot: Snapshot,
    /// Grows with each new generation, also over restarts.
    pub sequence: u64,
    /// When this generation was first seen.
    pub generated_ms: i64,
}

impl Offered {
    /// The generation, in short.
    pub fn generation(&self) -> Generation {
        Generation {
            id: self.snapshot.generation,
            sequence: self.sequence,
            generated_ms: self.generated_ms,
            acceptance: self.snapshot.acceptance,
            total_size: self.snapshot.manifest.total_size(),
        }
    }
}

/// The primary's side of a node: what it offers.
#[derive(Debug)]
pub struct Offer {
    state: Arc<StateDir>,
    ledger: Mutex<Ledger>,
    gocd_version: Option<String>,
    file_check_interval_ms: u64,
    current: watch::Sender<Option<Arc<Offered>>>,
}

impl Offer {
    /// Begins to offer with the sequence that the state folder remembers.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new(state: Arc<StateDir>, gocd_version: Option<String>, file_check_interval_ms: u64) -> Result<Self, Error> {
        let ledger = Mutex::new(state.ledger()?);
        Ok(Self {
            state,
            ledger,
            gocd_version,
            file_check_interval_ms,
            current: watch::Sender::new(None),
        })
    }

    /// Offers what was just read. Another generation gets the next sequence, which is durable before anybody can
    /// see it. Says whether the generation is another one than before.
    ///
    /// # Errors
    /// The ledger cannot be written; the former generation stays on offer.
    pub fn publish(&self, snapshot: Snapshot) -> Result<bool, Error> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let id = snapshot.generation.to_string();
        let is_new = ledger.generation != id;
        if is_new {
            let next = Ledger {
                sequence: ledger.sequence + 1,
                generation: id,
                generated_ms: snapshot.scanned_ms,
                ..ledger.clone()
            };
            self.state.save_ledger(&next)?;
            *ledger = next;
        }
        let offered = Arc::new(Offered {
            snapshot,
            sequence: ledger.sequence,
            generated_ms: ledger.generated_ms,
        });
        drop(ledger);
        let differs = self
            .current
            .borrow()
            .as_ref()
            .is_none_or(|before| before.sequence != offered.sequence);
        // Waiting standbys wake only for another generation or a change of its acceptance.
        self.current.send_if_modified(|current| {
            let wake = differs
                || current
                    .as_ref()
                    .is_none_or(|before| before.snapshot.acceptance != offered.snapshot.acceptance);
            *current = Some(offered);
            wake
        });
        Ok(is_new)
    }

    /// What is on offer; nothing before the first reading.
    pub fn current(&self) -> Option<Arc<Offered>> {
        self.current.borrow().clone()
    }

    /// For waiting until something else is on offer.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Offered>>> {
        self.current.subscribe()
    }

    /// This node's epoch.
    pub fn epoch(&self) -> Epoch {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).epoch.clone()
    }

    /// The envelope of `offered` at `now_ms`.
    pub fn envelope(&self, offered: &Offered, now_ms: i64) -> Envelope {
        Envelope {
            node_id: self.state.node_id().to_owned(),
            role: Role::Primary,
            epoch: self.epoch(),
            sequence: offered.sequence,
            gocd_version: self.gocd_version.clone(),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: offered.snapshot.schema_version.clone(),
            server_id: offered.snapshot.server_id.clone(),
            wal_location: None,
            acceptance: offered.snapshot.acceptance,
            generated_ms: offered.generated_ms,
            scanned_ms: offered.snapshot.scanned_ms,
            now_ms,
            file_check_interval_ms: self.file_check_interval_ms,
        }
    }

    /// The whole document of `offered` at `now_ms`.
    pub fn document(&self, offered: &Offered, now_ms: i64) -> ManifestDocument {
        ManifestDocument {
            format: FORMAT,
            generation: offered.snapshot.generation,
            envelope: self.envelope(offered, now_ms),
            files: offered.snapshot.manifest.files.clone(),
            own_jars: offered.snapshot.own_jars.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::Digests,
        manifest::{Acceptance, Entry, Manifest, Name},
    };

    fn snapshot(content: &[u8]) -> Snapshot {
        let mut manifest = Manifest::default();
        manifest
            .files
            .insert(Name::CruiseConfig, Entry::new(Digests::of(content), 0, None));
        Snapshot {
            generation: manifest.generation(),
            manifest,
            own_jars: Default::default(),
            server_id: None,
            schema_version: None,
            acceptance: Acceptance::Unknown,
            scanned_ms: 5,
            warnings: Vec::new(),
            sources: Default::default(),
        }
    }

    #[test]
    fn the_sequence_grows_with_each_generation_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        {
            let state = Arc::new(StateDir::open(folder.path()).expect("open"));
            let offer = Offer::new(state, None, 60_000).expect("offer");
            assert!(offer.publish(snapshot(b"1")).expect("first"));
            assert!(!offer.publish(snapshot(b"1")).expect("same"));
            assert!(offer.publish(snapshot(b"2")).expect("second"));
            assert_eq!(offer.current().expect("offered").sequence, 2);
        }
        let state = Arc::new(StateDir::open(folder.path()).expect("open again"));
        let offer = Offer::new(state, None, 60_000).expect("offer");
        assert!(!offer.publish(snapshot(b"2")).expect("unchanged"));
        assert_eq!(offer.current().expect("offered").sequence, 2);
        assert!(
            offer
                .publish(snapshot(b"1"))
                .expect("back to older bytes is a new generation in time")
        );
        assert_eq!(offer.current().expect("offered").sequence, 3);
    }
}
