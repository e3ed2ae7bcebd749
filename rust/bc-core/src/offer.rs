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

/// Sequences that are reserved at once.
const BLOCK: u64 = 64;

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
    epoch: Epoch,
    ledger: Mutex<Ledger>,
    gocd_version: Option<String>,
    file_check_interval_ms: u64,
    current: watch::Sender<Option<Arc<Offered>>>,
}

impl Offer {
    /// Begins to offer above all sequences that may have been given out before.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new(state: Arc<StateDir>, gocd_version: Option<String>, file_check_interval_ms: u64) -> Result<Self, Error> {
        let mut ledger = state.ledger()?;
        ledger.sequence = ledger.sequence.max(ledger.reserved);
        Ok(Self {
            state,
            epoch: ledger.epoch.clone(),
            ledger: Mutex::new(ledger),
            gocd_version,
            file_check_interval_ms,
            current: watch::Sender::new(None),
        })
    }

    /// Offers what was just read. Another generation, and the first one after a start, gets the next sequence. Says
    /// whether the generation is another one than before.
    ///
    /// Sequences are reserved in blocks: that one was reserved is durable before anybody can see it, and the disk is
    /// waited for once in a block. Which generation has it is written after it is on offer; what a crash loses of that
    /// is made good by going on above the block.
    ///
    /// # Errors
    /// The ledger cannot be written. The former generation stays on offer if no sequence could be reserved.
    pub fn publish(&self, snapshot: Snapshot) -> Result<bool, Error> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let id = snapshot.generation.to_string();
        let is_other = ledger.generation != id;
        let is_new = is_other || self.current.borrow().is_none();
        let mut is_saved = true;
        if is_new {
            let mut next = Ledger {
                sequence: ledger.sequence + 1,
                ..ledger.clone()
            };
            if is_other {
                (next.generation, next.generated_ms) = (id, snapshot.scanned_ms);
            }
            is_saved = next.sequence > next.reserved;
            if is_saved {
                next.reserved = next.sequence + BLOCK;
                self.save(&next)?;
            }
            *ledger = next;
        }
        self.offer(Offered {
            snapshot,
            sequence: ledger.sequence,
            generated_ms: ledger.generated_ms,
        });
        if !is_saved {
            self.save(&ledger)?;
        }
        Ok(is_other)
    }

    /// Writes our part of the ledger; the rest of it belongs to others.
    fn save(&self, ours: &Ledger) -> Result<(), Error> {
        self.state.change_ledger(|ledger| {
            ledger.sequence = ours.sequence;
            ledger.reserved = ours.reserved;
            ledger.generation.clone_from(&ours.generation);
            ledger.generated_ms = ours.generated_ms;
        })?;
        Ok(())
    }

    fn offer(&self, offered: Offered) {
        let offered = Arc::new(offered);
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
        self.epoch.clone()
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
        let restarted = offer.current().expect("offered").sequence;
        assert!(restarted > 2, "whatever was given out before is below: {restarted}");
        assert!(
            offer
                .publish(snapshot(b"1"))
                .expect("back to older bytes is a new generation in time")
        );
        assert_eq!(offer.current().expect("offered").sequence, restarted + 1);
    }

    #[test]
    fn a_crash_at_any_moment_gives_no_sequence_twice() {
        let folder = tempfile::tempdir().expect("folder");
        let ledger = folder.path().join("ledger.json");
        let start = || {
            let state = Arc::new(StateDir::open(folder.path()).expect("open"));
            Offer::new(state, None, 60_000).expect("offer")
        };
        let offer = start();
        offer.publish(snapshot(b"0")).expect("the first");
        // What the disk has if a crash comes right after the sequence was seen.
        let mut on_disk = std::fs::read(&ledger).expect("written");
        let mut given_out = 1;
        for number in 1..=BLOCK + 2 {
            let before = std::fs::read(&ledger).expect("written");
            offer.publish(snapshot(&number.to_le_bytes())).expect("another one");
            let sequence = offer.current().expect("offered").sequence;
            assert!(sequence > given_out);
            given_out = sequence;
            let after: Ledger = serde_json::from_slice(&std::fs::read(&ledger).expect("written")).expect("a ledger");
            on_disk = if sequence % (BLOCK + 1) == 1 {
                std::fs::read(&ledger).expect("written")
            } else {
                before
            };
            assert!(after.reserved >= sequence);
        }
        drop(offer);
        std::fs::write(&ledger, on_disk).expect("a crash");
        let offer = start();
        offer.publish(snapshot(b"0")).expect("an earlier one");
        assert!(offer.current().expect("offered").sequence > given_out);
    }
}
