//! Keeping generations to go back to, and cleaning up behind them.
//!
//! Keeping costs the way of a change nothing: it happens when the generation is live, and waits for no disk.
//! [`DiskStore::tidy`] does what waits, some time later.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
    sync::MutexGuard,
};

use tracing::{info, warn};

use super::{DiskStore, Inner, prepare::is_same_disk};
use crate::{
    basics::{Digest, Error, lock},
    durable::filesystem,
    generation::{Entry, Envelope, Epoch, Manifest, ManifestDocument, Name, Role, manifest::FORMAT},
    standby::store::{
        Applied,
        generations::{Generations, Kept},
        journal::Journal,
        live::Live,
        plan::Plan,
        record::Read,
        room,
    },
};

/// So many generations more than asked for may wait for [`DiskStore::tidy`].
const UNTIDY: usize = 10;

impl DiskStore {
    /// Makes the kept generations durable, then removes those that are too many and all bytes that no generation
    /// needs; what a transfer left before a restart stays until the next generation is named. Does nothing where
    /// nothing has changed. A crash in the middle loses nothing that is listed: the files
    /// of generations go durably before their bytes do.
    ///
    /// # Errors
    /// The disk fails, or the file of a generation cannot be read, and what it needs is not known: what is left is
    /// removed the next time.
    pub fn tidy(&self) -> Result<(), Error> {
        let unsynced = {
            let mut generations = self.generations();
            if !generations.is_dirty() {
                return Ok(());
            }
            generations.look_again();
            generations.unsynced(self.blobs.folder())
        };
        // Without the lock: this is what takes time.
        Generations::sync(&*self.system, &unsynced)?;
        let mut generations = self.generations();
        generations.note_synced(&unsynced);
        generations.check_all_read()?;
        let surplus = generations.surplus(self.options.generations_keep);
        self.drop_generations(&mut generations, &surplus)?;
        if generations.is_pinned() && generations.unsynced(self.blobs.folder()).is_empty() {
            generations.cleaned();
        }
        Ok(())
    }

    /// The kept generations of this store, locked.
    pub(super) fn generations(&self) -> MutexGuard<'_, Generations> {
        lock(&self.generations)
    }

    /// Drops the files of these generations, durably, and then the bytes that nobody needs any more.
    ///
    /// # Errors
    /// The disk fails, or who needs what is not known: then nothing goes.
    fn drop_generations(&self, generations: &mut Generations, ids: &[Digest]) -> Result<(), Error> {
        generations.check_all_read()?;
        let wanted = self.wanted_without(generations, ids)?;
        let folder = generations.folder().to_owned();
        for id in ids {
            generations.drop_file(id)?;
        }
        if !ids.is_empty() {
            filesystem::sync_folder(&*self.system, &folder)?;
        }
        if !generations.is_pinned() {
            return Ok(());
        }
        let Some(wanted) = wanted else { return Ok(()) };
        self.blobs.retain(&wanted)
    }

    /// All bytes that somebody may still want once these kept generations are dropped. None where that is not known
    /// before the next apply gives up a damaged journal.
    fn wanted_without(&self, generations: &Generations, dropped: &[Digest]) -> Result<Option<HashSet<Digest>>, Error> {
        let mut wanted = generations.wanted_without(dropped);
        match Journal::read(&*self.system, &self.files.journal)? {
            Read::Missing => {}
            Read::Whole(journal) => wanted.extend(journal.digests()),
            Read::Damaged => return Ok(None),
        }
        Ok(Some(wanted))
    }

    /// Makes sure that `needed` bytes fit onto the disk of `folder`. Where they do not, generations are dropped for it:
    /// as few as suffice, the oldest first, and none where all of them would not. What that frees is worked out before,
    /// since the bytes of a kept jar are mostly those of the live one. The applied generation and generation 0 stay.
    ///
    /// # Errors
    /// [`crate::basics::Kind::DiskFull`]; nothing is dropped then. Others where the disk fails.
    pub(super) fn make_room(&self, folder: &Path, needed: u64) -> Result<(), Error> {
        let reserve = self.options.free_space;
        let Err(error) = room::check(folder, needed, reserve) else {
            return Ok(());
        };
        let mut generations = self.generations();
        // Until it is known what is on its way, and what is kept, no bytes are removed.
        let is_known = generations.is_pinned() && generations.check_all_read().is_ok();
        if !is_known || !is_same_disk(folder, self.blobs.folder()) {
            return Err(error);
        }
        let short = room::shortage(folder, needed, reserve);
        let Some(dropped) = self.enough(&generations, short)? else {
            return Err(error.saying(|message| {
                format!("{message}; dropping kept generations would not make enough room, so none is dropped")
            }));
        };
        for id in &dropped {
            warn!(
                "the generation {id:.12} is dropped before its time: {}",
                error.message()
            );
        }
        self.drop_generations(&mut generations, &dropped)?;
        drop(generations);
        // Somebody else may have taken the room; that is no reason to drop more.
        room::check(folder, needed, reserve)
    }

    /// The fewest generations that free so many bytes when they are dropped, the oldest first; none where all of them
    /// do not. What nobody wants anyway is counted first.
    fn enough(&self, generations: &Generations, short: u64) -> Result<Option<Vec<Digest>>, Error> {
        let candidates = generations.surplus(1);
        let is_enough = |dropped: &[Digest]| -> Result<bool, Error> {
            let Some(wanted) = self.wanted_without(generations, dropped)? else {
                return Ok(false);
            };
            let files = generations.files(dropped);
            let freed = self.blobs.freed_by_all_but(&wanted)? + files.map(|file| room::freed_by(file, 1)).sum::<u64>();
            Ok(freed >= short)
        };
        let mut dropped = Vec::new();
        let mut others = candidates.iter();
        while !is_enough(&dropped)? {
            match others.next() {
                Some(next) => dropped.push(*next),
                None => return Ok(None),
            }
        }
        // An older one may have freed nothing.
        for id in dropped.clone() {
            let fewer: Vec<Digest> = dropped.iter().copied().filter(|other| *other != id).collect();
            if is_enough(&fewer)? {
                dropped = fewer;
            }
        }
        Ok(Some(dropped))
    }

    /// Keeps what an apply is about to replace or remove. Returns what to tell of files that were changed here.
    ///
    /// # Errors
    /// A file changes meanwhile, or the disk fails; no live file has changed then.
    pub(super) fn keep_before(
        &self,
        inner: &mut Inner,
        plan: &Plan,
        live: &Live,
        now_ms: i64,
    ) -> Result<Vec<String>, Error> {
        let alone = self.keep_first(inner, live, now_ms)?;
        self.keep_replaced(inner, plan, live)?;
        let edited = self.keep_edited(&inner.record.ours, plan, live, now_ms);
        Ok(alone.into_iter().chain(edited).collect())
    }

    /// Keeps the live files as generation 0: at the first apply on this node, and at the first since it was a primary,
    /// where the former 0 becomes a generation as any other. Durable before the first file changes. Returns what to tell of
    /// what a primary had alone: it is sent to nobody.
    ///
    /// # Errors
    /// A file changes meanwhile, or the disk fails.
    fn keep_first(&self, inner: &mut Inner, live: &Live, now_ms: i64) -> Result<Option<String>, Error> {
        let mut generations = self.generations();
        let is_begun = !generations.is_empty() && !inner.record.was_primary;
        if is_begun || live.files.is_empty() {
            return Ok(None);
        }
        let is_linkable = is_same_disk(self.layout.plugins_external(), self.blobs.folder());
        let copied: u64 = live
            .files
            .iter()
            .filter(|(name, _)| !matches!(name, Name::Plugin(_)) || !is_linkable)
            .map(|(_, entry)| entry.size)
            .sum();
        room::check(self.blobs.folder(), copied, self.options.free_space)?;
        for (name, entry) in &live.files {
            self.adopt(inner, name, &entry.sha256, entry.size)?;
        }
        filesystem::sync_folder(&*self.system, self.blobs.folder())?;
        generations.make_first_ordinary()?;
        generations.put_first(&Kept::first(self.as_found(live, now_ms), now_ms))?;
        info!(
            "the {} files that were here before are kept as generation 0",
            live.files.len()
        );
        Ok(inner.record.was_primary.then(|| {
            format!(
                "what this server had while it was the primary, {} files, is kept here as generation 0 and was sent to nobody: \
                 `gocd-bc generations diff 0 live` shows what it had alone",
                live.files.len()
            )
        }))
    }

    /// The live files as they were found, as a generation of nobody's.
    fn as_found(&self, live: &Live, now_ms: i64) -> ManifestDocument {
        let manifest = Manifest {
            files: live.files.clone(),
            ..Manifest::default()
        };
        ManifestDocument {
            format: FORMAT,
            generation: manifest.generation(),
            envelope: Envelope {
                epoch: Epoch {
                    number: 0,
                    ..Epoch::default()
                },
                gocd_version: self.options.gocd_version.clone(),
                generated_ms: now_ms,
                scanned_ms: now_ms,
                now_ms,
                ..Envelope::of("", Role::Standby)
            },
            files: manifest.files,
            withheld: manifest.withheld,
            retained: BTreeSet::new(),
            own_jars: live.own_jars.clone(),
            lineage: Default::default(),
            extra_is_unknown: false,
        }
    }

    /// Makes sure that the old bytes of everything that is about to change are blobs, if a kept generation has them.
    pub(super) fn keep_replaced(&self, inner: &mut Inner, plan: &Plan, live: &Live) -> Result<(), Error> {
        let changed = plan.write.iter().map(|(name, _)| name).chain(&plan.remove);
        for (name, old) in changed.filter_map(|name| live.files.get_key_value(name)) {
            if self.generations().needs(&old.sha256) {
                self.adopt(inner, name, &old.sha256, old.size)?;
            }
        }
        Ok(())
    }

    /// Keeps the live generation, or warns. A generation that cannot be kept is as live as any other, so that is a
    /// warning.
    pub(super) fn keep_or_warn(&self, inner: &mut Inner, document: &ManifestDocument, applied: &mut Applied) {
        if let Err(error) = self.keep(inner, document) {
            warn!("{error}");
            applied.warnings.push(format!(
                "the generation is live but cannot be kept to go back to: {error}"
            ));
        }
    }

    /// Keeps the live generation, with what is changed in it as blobs.
    pub(super) fn keep(&self, inner: &mut Inner, document: &ManifestDocument) -> Result<(), Error> {
        let changed: Vec<(&Name, &Entry)> = {
            let mut generations = self.generations();
            if generations.applied().is_some_and(|before| {
                before.envelope.sequence == document.envelope.sequence && before.generation == document.generation
            }) {
                return generations.note_acceptance(&document.envelope, &inner.record);
            }
            let before = generations.applied();
            let is_changed = |name: &Name, entry: &Entry| {
                before
                    .and_then(|before| before.files.get(name))
                    .is_none_or(|known| known.sha256 != entry.sha256)
            };
            document
                .files
                .iter()
                .filter(|(name, entry)| self.layout.syncs(name) && is_changed(name, entry))
                .collect()
        };
        for (name, entry) in changed {
            self.adopt(inner, name, &entry.sha256, entry.size)?;
        }
        let mut generations = self.generations();
        generations.put(Kept::new(document.clone(), &inner.record))?;
        let is_untidy = generations.count() > self.options.generations_keep + UNTIDY;
        drop(generations);
        if is_untidy { self.tidy() } else { Ok(()) }
    }

    /// Makes a blob of a live file that has these bytes, unless there is a blob of them.
    pub(super) fn adopt(&self, inner: &mut Inner, name: &Name, digest: &Digest, size: u64) -> Result<(), Error> {
        if self.blobs.is_there(digest, size)? {
            return Ok(());
        }
        let path = self.layout.path_of(name);
        let file = fs::canonicalize(&path).map_err(Error::cannot("read", &path))?;
        let before = inner.cache.stamp(&path);
        self.blobs.adopt(&file, name, digest)?;
        if let Some(before) = before {
            // Another name changes the stamp of a file, but not its bytes.
            inner.cache.relinked(&path, before);
        }
        Ok(())
    }
}
