//! What a primary offers: its newest generation with a sequence, and a way to wait for the next one.
//!
//! Each generation gets a sequence and a place in the lineage ([`crate::generation::lineage`]). Both are in the ledger,
//! which is written after the offer, so that no change waits for it; `written` says what is durable when a process ends
//! between the two, or when the ledger cannot be written at all. `deltas` leads from one configuration to the next.
//!
//! | what was given out is in | by |
//! |---|---|
//! | the ledger, and whatever the others have | `written`, which says in which order |
//! | lines, in memory | `given_out` |
//! | the file of fixed length that is written in place | `fixed_file` |
//! | the file `offered` of the version before, only read | `offered_file` |
//!
//! `looking` says when GoCD had the time to accept what is on offer.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    basics::{Digest, Error, Fingerprint, lock},
    database::position::Position,
    generation::{Acceptance, Envelope, Epoch, Layout, Lineage, ManifestDocument, Name, Role, Run, manifest::FORMAT},
    primary::scan::snapshot::Snapshot,
    role::StateDir,
    status::Generation,
};

use self::{deltas::Deltas, looking::Looking, written::Written};

mod deltas;
mod fixed_file;
mod given_out;
mod looking;
mod offered_file;
mod written;

pub use self::written::{Unwritten, has_given_out};

/// A generation as it is offered.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The files and where their bytes are.
    pub snapshot: Snapshot,
    /// Grows with each new generation, also over restarts.
    pub sequence: u64,
    /// When this generation was first seen.
    pub generated_ms: i64,
    /// What was on offer before, up to this generation.
    pub lineage: Arc<Lineage>,
    /// Where the database was then; none where that was not known.
    pub made_at: Option<Position>,
    /// Whether GoCD had the time to accept its configuration and did not.
    pub is_rejected: bool,
}

impl Offered {
    /// The generation on offer, in short.
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
    written: Mutex<Written>,
    gocd_version: Option<String>,
    file_check_interval_ms: u64,
    extra_is_unknown: bool,
    run: Option<Run>,
    next_key: Mutex<Option<Fingerprint>>,
    /// Where the database is.
    database: Mutex<Option<Position>>,
    looking: Mutex<Looking>,
    current: watch::Sender<Option<Arc<Offered>>>,
    deltas: Deltas,
}

impl Offer {
    /// Begins to offer above all sequences that may have been given out before.
    ///
    /// # Errors
    /// What was written of former offers is there and cannot be read.
    pub fn new(state: Arc<StateDir>, gocd_version: Option<String>, file_check_interval_ms: u64) -> Result<Self, Error> {
        let written = Written::open(Arc::clone(&state))?;
        Ok(Self {
            state,
            epoch: written.ledger().epoch.clone(),
            written: Mutex::new(written),
            gocd_version,
            file_check_interval_ms,
            extra_is_unknown: false,
            run: None,
            next_key: Mutex::new(None),
            database: Mutex::new(None),
            looking: Mutex::default(),
            current: watch::Sender::new(None),
            deltas: Deltas::default(),
        })
    }

    /// The offer with the layout of its files. It says of them what it does not know
    /// ([`ManifestDocument::extra_is_unknown`]), and keeps beside them what it gives out while the state folder cannot
    /// be written.
    #[must_use]
    pub fn of(self, layout: &Layout) -> Self {
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self {
            extra_is_unknown: layout.extra_is_unknown(),
            written: Mutex::new(written.with_second_file(layout.given_out())),
            ..self
        }
    }

    /// The offer, made as this run of its node.
    #[must_use]
    pub fn by(self, run: &Run) -> Self {
        Self {
            run: Some(run.clone()),
            ..self
        }
    }

    /// Offers what was just read. Another generation, and the first one after a start, gets the next sequence. Says
    /// whether the generation is another one than before.
    ///
    /// Whatever is offered can be proven after a restart; a change waits for no disk as long as the ledger can be
    /// written. Where it cannot be, [`Offer::unwritten`] says so.
    ///
    /// # Errors
    /// What was given out before cannot be read, or this generation could be kept nowhere. The former one stays on
    /// offer.
    pub fn publish(&self, snapshot: Snapshot) -> Result<bool, Error> {
        let mut written = lock(&self.written);
        written.begin()?;
        let is_other = written.ledger().generation != Some(snapshot.generation);
        let is_new = is_other || self.current.borrow().is_none();
        if let Some(accepted) = accepted_config(&snapshot) {
            written.accepted(accepted);
        }
        if is_new {
            written.next(snapshot.generation, snapshot.scanned_ms)?;
        }
        let ledger = written.ledger();
        let (lineage, made_at) = match &*self.current.borrow() {
            Some(before) if !is_new => (Arc::clone(&before.lineage), before.made_at.clone()),
            // A generation that was on offer before a restart was made at another time.
            _ => (
                Arc::new(ledger.lineage.clone()),
                lock(&self.database).clone().filter(|_| is_other),
            ),
        };
        self.deltas.note(&snapshot);
        let is_rejected =
            lock(&self.looking).is_rejected(snapshot.acceptance, ledger.generated_ms, snapshot.scanned_ms);
        self.offer(Offered {
            is_rejected,
            snapshot,
            sequence: ledger.sequence,
            generated_ms: ledger.generated_ms,
            lineage,
            made_at,
        });
        if is_other {
            self.deltas.prepare();
        }
        written.catch_up();
        Ok(is_other)
    }

    /// Notes where the database is: the next generation is made then.
    pub fn note_database(&self, position: Option<Position>) {
        *lock(&self.database) = position;
    }

    /// Notes since when GoCD looks at its configuration; none while it does not run.
    pub fn note_looking(&self, since_ms: Option<i64>) {
        lock(&self.looking).since_ms = since_ms;
    }

    /// Writes the ledger of what is offered where that could not be done before.
    pub fn catch_up(&self) {
        lock(&self.written).catch_up();
    }

    /// Why the ledger of what is offered cannot be written; none while it can be.
    pub fn unwritten(&self) -> Option<Unwritten> {
        let written = lock(&self.written);
        written.unwritten().cloned()
    }

    /// Puts a generation on offer, and wakes whoever waits for one.
    fn offer(&self, offered: Offered) {
        let offered = Arc::new(offered);
        let differs = self
            .current
            .borrow()
            .as_ref()
            .is_none_or(|before| before.sequence != offered.sequence);
        // Waiting standbys wake only for another generation or a change of its acceptance.
        let judged = |offered: &Offered| (offered.snapshot.acceptance, offered.is_rejected);
        self.current.send_if_modified(|current| {
            let wake = differs || current.as_ref().is_none_or(|before| judged(before) != judged(&offered));
            *current = Some(offered);
            wake
        });
    }

    /// What the primary has on offer; nothing before the first reading.
    pub fn current(&self) -> Option<Arc<Offered>> {
        self.current.borrow().clone()
    }

    /// What leads from a cruise-config.xml that was on offer a moment ago to the newest one
    /// ([`crate::generation::delta`]), by their digests; none where the file is to be sent whole. May take a few
    /// milliseconds.
    pub fn delta(&self, former: &Digest, newest: &Digest) -> Option<Bytes> {
        self.deltas.find(former, newest)
    }

    /// The newest cruise-config.xml that GoCD is known to have accepted, also before a restart.
    pub fn accepted_config(&self) -> Option<Digest> {
        let written = lock(&self.written);
        written.ledger().accepted_config
    }

    /// Subscribes to the offer: the receiver changes whenever something else is on offer.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Offered>>> {
        self.current.subscribe()
    }

    /// Announces the key that this node will show next, at once to everybody who waits for a change. The generation
    /// stays the same.
    pub fn announce(&self, next: Option<Fingerprint>) {
        let former = std::mem::replace(&mut *lock(&self.next_key), next);
        if former != next {
            self.current.send_if_modified(|offered| offered.is_some());
        }
    }

    /// The epoch of the primary that makes this offer.
    pub fn epoch(&self) -> Epoch {
        self.epoch.clone()
    }

    /// The envelope of `offered` at `now_ms`.
    pub fn envelope(&self, offered: &Offered, now_ms: i64) -> Envelope {
        Envelope {
            node_id: self.state.node_id().to_string(),
            role: Role::Primary,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch: self.epoch(),
            highest: None,
            sequence: offered.sequence,
            gocd_version: self.gocd_version.clone(),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: offered.snapshot.schema_version.clone(),
            server_id: offered.snapshot.server_id.clone(),
            database: None,
            made_at: offered.made_at.clone(),
            acceptance: offered.snapshot.acceptance,
            rejected: offered.is_rejected,
            generated_ms: offered.generated_ms,
            scanned_ms: offered.snapshot.scanned_ms,
            now_ms,
            file_check_interval_ms: self.file_check_interval_ms,
            next_fingerprint: *lock(&self.next_key),
            concerns: Vec::new(),
            run: self.run.clone(),
        }
    }

    /// The whole manifest document of `offered` at `now_ms`.
    pub fn document(&self, offered: &Offered, now_ms: i64) -> ManifestDocument {
        ManifestDocument {
            format: FORMAT,
            generation: offered.snapshot.generation,
            envelope: self.envelope(offered, now_ms),
            files: offered.snapshot.manifest.files.clone(),
            withheld: offered.snapshot.manifest.withheld.clone(),
            retained: BTreeSet::new(),
            own_jars: offered.snapshot.own_jars.clone(),
            lineage: Lineage::clone(&offered.lineage),
            extra_is_unknown: self.extra_is_unknown,
        }
    }
}

/// The digest of the `cruise-config.xml` on offer, where GoCD has accepted it.
fn accepted_config(snapshot: &Snapshot) -> Option<Digest> {
    let config = snapshot.manifest.files.get(&Name::CruiseConfig)?;
    (snapshot.acceptance == Acceptance::Accepted).then_some(config.sha256)
}

#[cfg(test)]
mod tests;
