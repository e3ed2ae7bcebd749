//! Going back to a kept generation: when an administrator orders it, and when a promotion finds that GoCD never
//! accepted the newest one.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{DiskStore, Round};
use crate::{
    basics::{Digest, Error, Kind, words},
    generation::{Acceptance, ManifestDocument, Name},
    standby::store::{
        Applied, Permit, Restored,
        generations::{self, KeptGeneration},
        journal::Journal,
    },
    status::Paused,
};

/// An administrator who goes back knows what goes.
pub(super) const ALL: Permit = Permit {
    deletions: true,
    server_id: true,
    rollback: false,
    resume: false,
};

/// Nobody has said that plugins may go.
const NO_PLUGIN_GOES: Permit = Permit {
    deletions: false,
    ..ALL
};

impl DiskStore {
    /// Restores a kept generation, which makes it live again. It goes through the same steps as [`DiskStore::apply`],
    /// and the store is paused before the first file changes: a crash in between leaves a standby that stays what it is
    /// until somebody looks. `id` is what a person writes, see [`generations::show`].
    ///
    /// # Errors
    /// [`crate::basics::Kind::Refused`] when it is not kept or must not become live; others when its bytes are
    /// damaged or the disk fails. Nothing has changed then, but as for [`DiskStore::apply`].
    pub fn restore(&self, id: &str) -> Result<Restored, Error> {
        let kept = generations::find(&self.files.folder, id)?;
        let generation = kept.document.generation;
        let mut round = self.begin_whole(kept.document)?;
        let was_paused = self.lock().paused.clone();
        self.pause(Paused {
            generation,
            since_ms: self.clock.now_ms(),
        })?;
        match round.apply(self, ALL) {
            Ok(applied) => {
                info!("the generation {generation:.12} is restored");
                self.restored(applied)
            }
            Err(error) => {
                // Half live, it is finished later, and must not be followed by another one then.
                if matches!(Journal::is_open(&*self.system, &self.files.journal), Ok(false)) {
                    was_paused.map_or_else(|| self.resume(), |paused| self.pause(paused))?;
                }
                Err(error)
            }
        }
    }

    /// Where the primary's GoCD has rejected the live configuration, or not accepted it for `wait`: goes back to the newest
    /// kept generation that is not pending. None where there is no reason to, or an administrator has chosen. A primary that
    /// went away before its GoCD could look has rejected nothing.
    ///
    /// # Errors
    /// [`crate::basics::Kind::Refused`] when there is no such generation; others as for [`DiskStore::apply`].
    pub fn back_to_accepted(&self, wait: Duration) -> Result<Option<Restored>, Error> {
        let waited = {
            let inner = self.lock();
            if inner.paused.is_some() {
                return Ok(None);
            }
            let by_clock_ms = self.clock.now_ms().saturating_sub(inner.record.applied_ms);
            // A clock that was set says nothing, and is asked only where this process has not seen it.
            inner.live_since.map_or_else(
                || Duration::from_millis(u64::try_from(by_clock_ms).unwrap_or(0)),
                |since| since.elapsed(),
            )
        };
        let is_pending = |document: &ManifestDocument| document.envelope.acceptance == Acceptance::Pending;
        let is_due = |document: &ManifestDocument| document.envelope.is_rejected() || waited >= wait;
        if !self
            .generations()
            .applied()
            .is_some_and(|live| is_pending(live) && is_due(live))
        {
            return Ok(None);
        }
        // The newest that GoCD has accepted may be one that cannot be read.
        let all = generations::read_all(&*self.system, &self.files.folder)?.whole()?;
        for kept in all
            .into_iter()
            .filter(|kept| !kept.is_first() && !is_pending(&kept.document))
        {
            match self.begin_whole(kept.document) {
                Ok(mut round) => {
                    let applied = round.apply(self, NO_PLUGIN_GOES)?;
                    return self.restored(applied).map(Some);
                }
                Err(error) => warn!("{error}"),
            }
        }
        Err(Error::new(
            Kind::Refused,
            "GoCD has not accepted the configuration that is live here, and no older one is kept",
            "Look at it before GoCD runs on it: an invalid one makes GoCD fall back to what it accepted last.",
        ))
    }

    /// The kept generation with this configuration, and the newest that GoCD has accepted with another one; none where
    /// either is not kept: then nobody knows what would be lost, or what to go back to.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub fn accepted_beside(&self, config: &Digest) -> Result<Option<(KeptGeneration, KeptGeneration)>, Error> {
        let all = generations::read_all(&*self.system, &self.files.folder)?.whole()?;
        let has_it = |kept: &&generations::Kept| {
            let file = kept.document.files.get(&Name::CruiseConfig);
            file.is_some_and(|file| file.sha256 == *config)
        };
        let is_accepted = |kept: &&generations::Kept| {
            !kept.is_first() && kept.document.envelope.acceptance == Acceptance::Accepted && !has_it(kept)
        };
        let refused = all.iter().find(has_it).map(|kept| kept.summary(None));
        Ok(refused.zip(all.iter().find(is_accepted).map(|kept| kept.summary(None))))
    }

    /// Makes a kept generation live again before GoCD runs, on a server that is the primary. No plugin goes.
    ///
    /// # Errors
    /// As [`DiskStore::restore`].
    pub fn go_back(&self, to: &KeptGeneration) -> Result<Restored, Error> {
        let kept = generations::find(&self.files.folder, &to.id.to_string())?;
        let mut round = self.begin_whole(kept.document)?;
        let applied = round.apply(self, NO_PLUGIN_GOES)?;
        self.restored(applied)
    }

    /// Begins a round with a kept generation of which all bytes are here and right. What it withholds and has nothing
    /// of stays as it is, with its bytes or without.
    fn begin_whole(&self, document: ManifestDocument) -> Result<Round, Error> {
        for entry in document.files.values() {
            self.blobs.forget(&entry.sha256);
        }
        let document = Arc::new(document);
        let mut round = Round::begin(self, Arc::clone(&document))?;
        round.look(self)?;
        let mut missing = round.lacking(self)?;
        missing.retain(|wanted| document.files.values().any(|entry| entry.sha256 == wanted.sha256));
        if missing.is_empty() {
            return Ok(round);
        }
        Err(Error::new(
            Kind::File,
            format!(
                "the generation {:.12} cannot be restored: the kept bytes of {} are lost or damaged",
                document.generation,
                words::list(missing.iter().map(|wanted| &wanted.name))
            ),
            "Choose another one: see `gocd-bc generations list`, and check them with `gocd-bc verify`.",
        ))
    }

    /// What was restored, once it is live.
    fn restored(&self, applied: Applied) -> Result<Restored, Error> {
        let generation = self.applied().ok_or_else(|| {
            Error::new(
                Kind::File,
                "the restored generation is live but could not be kept",
                "Look at the log of the standby.",
            )
        })?;
        Ok(Restored { generation, applied })
    }
}
