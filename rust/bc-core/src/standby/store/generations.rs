//! The generations that a standby keeps, to go back to: `generations/` in the state folder.
//!
//! One file for each, `<id>.json`: its manifest, its primary's envelope, and when it became live here. `0.json`
//! describes the files that were here before anything was applied. The bytes are the blobs.
//!
//! A file is written without waiting for the disk, after its generation is live; `Generations::sync` waits later, for
//! it and for its blobs. Until then a power cut may lose or tear it, and one whose checksum (`seal`) is wrong counts as
//! none and is renamed to `<id>.damaged`, or lose a blob of it, and then it is refused when somebody wants it back. The
//! id does not say what this node has retained under names that the primary withholds, so that for the applied one the
//! record does, whatever its file says; where that is lost, `Generations::recall` finds out what it can. When
//! generations go, their files are gone durably before any blob is removed, so that what is settled and listed has all
//! its bytes.
//!
//! A file that is there and cannot be read is kept as any other: it stays listed, it is tried again, and until it is
//! read no generation is dropped and no blob removed, since nobody knows which of them it needs.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use crate::{
    basics::{Digest, Error, if_there},
    durable::{FileSystem, atomic, filesystem, seal},
    generation::{Acceptance, Entry, Envelope, ManifestDocument, Name},
    standby::store::record::{self, Read, Record},
};

mod kept;

pub(super) use kept::{FIRST, Kept, Stored, applied, find, read_all};
pub use kept::{KeptGeneration, list, show};

use kept::{FOLDER, Unread};

/// What the store remembers of a kept generation.
#[derive(Debug, Clone)]
struct Remembered {
    serial: u64,
    id: Digest,
    file: PathBuf,
    blobs: HashSet<Digest>,
    /// Tells one set of files from another, whatever was withheld beside it.
    set: Digest,
    acceptance: Acceptance,
    /// Blobs of configuration files, which nobody has waited for.
    config: Vec<Digest>,
    is_durable: bool,
}

/// The kept generations of an open store.
#[derive(Debug)]
pub(super) struct Generations {
    system: Arc<dyn FileSystem>,
    folder: PathBuf,
    /// Oldest first.
    kept: Vec<Remembered>,
    /// Those that could not be read when they were last tried.
    unread: Vec<Unread>,
    /// The manifest of what was applied last.
    applied: Option<ManifestDocument>,
    /// Its id, also where its file could not be read.
    applied_id: Option<Digest>,
    /// Where its manifest is not known: what is known all the same of its files ([`Generations::recall`]).
    recalled: Option<BTreeMap<Name, Entry>>,
    /// Bytes that are being fetched for a generation that is not kept yet; not known until the first one is named,
    /// and by then they may have come before a restart.
    pinned: Option<HashSet<Digest>>,
    /// Bytes by which an apply that goes on could be taken back.
    held: HashSet<Digest>,
    /// Whether there may be something to clean.
    is_dirty: bool,
}

impl Generations {
    /// Opens the generations that a standby keeps, with what its record says of the one that was applied last.
    pub(super) fn open(system: Arc<dyn FileSystem>, state_dir: &Path, record: &Record) -> Result<Self, Error> {
        let folder = state_dir.join(FOLDER);
        filesystem::own_folder(&*system, &folder, 0o700)?;
        let mut generations = Self {
            system,
            kept: Vec::new(),
            unread: Vec::new(),
            applied: None,
            applied_id: record.generation,
            recalled: None,
            pinned: None,
            held: HashSet::new(),
            is_dirty: true,
            folder,
        };
        let stored = read_all(&*generations.system, state_dir)?;
        for kept in stored.kept.into_iter().rev() {
            generations.take_up(kept);
        }
        if stored.is_outdated {
            generations.write_applied_anew(record);
        }
        for unread in stored.unread {
            warn!("{}; it is tried again, and nothing is removed until then", unread.error);
            generations.unread.push(unread);
        }
        for file in stored.damaged {
            generations.set_aside(&file);
        }
        generations.sweep();
        Ok(generations)
    }

    /// Takes up a kept generation that was read.
    fn take_up(&mut self, kept: Kept) {
        self.remember(&kept, false);
        if !kept.is_first() && self.applied.is_none() && self.applied_id == Some(kept.document.generation) {
            self.applied = Some(kept.document);
        }
    }

    /// Writes the file of the applied generation anew, which is from an earlier time: what it keeps is what the record
    /// says. One that stays as it is is corrected again by whoever reads it.
    fn write_applied_anew(&mut self, record: &Record) {
        let Some(applied) = self.applied.clone() else { return };
        let kept = Kept::new(applied, record);
        let path = self.folder.join(kept.file_name());
        let text = seal::sealed(&kept).expect("a generation has only plain fields");
        match atomic::write_on(&*self.system, &path, &text, 0o600) {
            Ok(()) => self.remember(&kept, true),
            Err(error) => warn!("{error}"),
        }
    }

    /// Sets the file of a damaged generation aside; one that cannot even be renamed stays, and is no generation.
    fn set_aside(&self, file: &Path) {
        let what = "this generation cannot be gone back to";
        if let Err(error) = record::set_aside(&*self.system, file, what) {
            warn!("{error}");
        }
    }

    /// Removes files of kept generations that were on their way to their name when a crash came.
    fn sweep(&self) {
        for path in self.system.list(&self.folder).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.starts_with(atomic::TEMPORARY_PREFIX.as_bytes())
                && name.ends_with(atomic::TEMPORARY_SUFFIX.as_bytes())
            {
                // One that stays is swept the next time.
                let _ = self.system.remove(&path);
            }
        }
    }

    /// Tries again to read the kept generations that could not be read.
    pub(super) fn look_again(&mut self) {
        let state_dir = self.folder.parent().unwrap_or(&self.folder).to_owned();
        for unread in mem::take(&mut self.unread) {
            match kept::read_corrected(&*self.system, &state_dir, &unread.file) {
                Ok(Read::Whole(kept)) => {
                    info!("{} can be read again", unread.file.display());
                    self.take_up(kept);
                }
                Ok(Read::Damaged) => self.set_aside(&unread.file),
                Ok(Read::Missing) => {}
                Err(error) => self.unread.push(Unread { error, ..unread }),
            }
        }
    }

    /// Checks that all kept generations could be read.
    ///
    /// # Errors
    /// Why a file could not be read: nothing may go that it could need.
    pub(super) fn check_all_read(&self) -> Result<(), Error> {
        self.unread.first().map_or(Ok(()), |unread| Err(unread.error.clone()))
    }

    /// The highest serial of all kept generations; 0 where nothing is kept.
    pub(super) fn newest_serial(&self) -> u64 {
        self.kept.iter().map(|kept| kept.serial).max().unwrap_or(0)
    }

    /// Remembers what the file of a kept generation needs, and whether it is durable.
    fn remember(&mut self, kept: &Kept, is_durable: bool) {
        let file = self.folder.join(kept.file_name());
        self.kept.retain(|known| known.file != file);
        self.unread.retain(|unread| unread.file != file);
        let files = &kept.document.files;
        self.kept.push(Remembered {
            serial: kept.serial,
            id: kept.document.generation,
            blobs: files.values().map(|entry| entry.sha256).collect(),
            set: kept.document.set(),
            acceptance: kept.document.envelope.acceptance,
            config: files
                .iter()
                .filter(|(name, _)| !matches!(name, Name::Plugin(_)))
                .map(|(_, entry)| entry.sha256)
                .collect(),
            is_durable,
            file,
        });
        self.is_dirty = true;
    }

    /// Whether no generation is kept, not even generation 0.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.unread.is_empty()
    }

    /// Whether there may be something to clean of the kept generations.
    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// How many generations are kept besides generation 0.
    pub(super) fn count(&self) -> usize {
        self.kept.iter().filter(|kept| kept.serial > 0).count()
    }

    /// The manifest of the generation that was applied last; none before the first time, and when its file was lost.
    pub(super) fn applied(&self) -> Option<&ManifestDocument> {
        self.applied.as_ref()
    }

    /// The manifest of the generation that was applied last, or why it cannot be read, for who decides by it.
    ///
    /// # Errors
    /// Its file is there and could not be read.
    pub(super) fn applied_or_why_not(&self) -> Result<Option<&ManifestDocument>, Error> {
        let is_it = |unread: &&Unread| unread.id().is_some() && unread.id() == self.applied_id;
        match (&self.applied, self.unread.iter().find(is_it)) {
            (None, Some(unread)) => Err(unread.error.clone()),
            (applied, _) => Ok(applied.as_ref()),
        }
    }

    /// Notes with the kept generations what the primary's GoCD thinks of the one that was applied last. Accepted is for
    /// good, and a primary that cannot read its configuration says nothing by not knowing it.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub(super) fn note_acceptance(&mut self, heard: &Envelope, record: &Record) -> Result<(), Error> {
        let Some(applied) = &mut self.applied else {
            return Ok(());
        };
        let acceptance = heard.acceptance;
        let known = &mut applied.envelope;
        let is_retained = applied.retained.contains(&Name::CruiseConfig);
        if known.acceptance == acceptance && known.rejected == heard.rejected
            || known.acceptance == Acceptance::Accepted
            || (is_retained && acceptance == Acceptance::Unknown)
        {
            return Ok(());
        }
        (known.acceptance, known.rejected) = (acceptance, heard.rejected);
        let kept = Kept::new(applied.clone(), record);
        self.put(kept)
    }

    /// Whether neither the manifest of what is live is known, nor what is known all the same.
    pub(super) fn is_to_recall(&self) -> bool {
        self.applied.is_none() && self.recalled.is_none()
    }

    /// Recalls what can be known of the files that are live and ours although the manifest of what was applied last is
    /// lost: what the record says was retained, and those that are, byte for byte, as the newest kept generation with
    /// such a name has it. What is withheld next under these names is looked after as before.
    ///
    /// # Errors
    /// What is kept cannot be read; nothing is known then, and it may be asked again.
    pub(super) fn recall(&mut self, record: &Record, live: &BTreeMap<Name, Entry>) -> Result<(), Error> {
        let state_dir = self.folder.parent().unwrap_or(&self.folder);
        let stored = read_all(&*self.system, state_dir)?;
        let mut recalled = record.retained.clone().unwrap_or_default();
        for (name, here) in live.iter().filter(|(name, _)| record.ours.contains(*name)) {
            let is_it = |entry: &&Entry| entry.sha256 == here.sha256;
            let mut known = stored.kept.iter().filter(|kept| !kept.is_first());
            let known = known.find_map(|kept| kept.document.files.get(name).filter(is_it));
            if let (false, Some(entry)) = (recalled.contains_key(name), known) {
                recalled.insert(name.clone(), entry.clone());
            }
        }
        recalled.retain(|name, _| record.ours.contains(name));
        self.recalled = Some(recalled);
        Ok(())
    }

    /// What the kept generations tell of the files of the one that was applied last: of all of them where its manifest
    /// is known.
    pub(super) fn known(&self) -> Option<&BTreeMap<Name, Entry>> {
        let applied = self.applied.as_ref().map(|applied| &applied.files);
        applied.or(self.recalled.as_ref())
    }

    /// Forgets which kept generation was applied last: another set may be live.
    pub(super) fn forget_applied(&mut self) {
        self.recalled = None;
        self.applied = None;
        self.applied_id = None;
    }

    /// Whether the bytes of a generation on its way are pinned.
    pub(super) fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// Pins the bytes of a generation: they are kept, whole or on their way, until others are named.
    pub(super) fn pin(&mut self, document: &ManifestDocument) {
        self.pinned = Some(document.files.values().map(|entry| entry.sha256).collect());
    }

    /// Holds these bytes for kept generations: they stay until others are held.
    pub(super) fn hold(&mut self, bytes: HashSet<Digest>) {
        // Those of before can go.
        self.is_dirty = true;
        self.held = bytes;
    }

    /// Notes that what `record` says is live, be it that another set was for a while.
    pub(super) fn live_again(&mut self, record: &Record) {
        let applied = self.applied.as_ref().map(|document| document.generation);
        if applied == record.generation {
            return;
        }
        self.recalled = None;
        let state_dir = self.folder.parent().unwrap_or(&self.folder);
        self.applied = read_all(&*self.system, state_dir).ok().and_then(|stored| {
            let mut others = stored.kept.into_iter().filter(|kept| !kept.is_first());
            let kept = others.find(|kept| Some(kept.document.generation) == record.generation)?;
            Some(kept.document)
        });
    }

    /// Keeps a generation that has just become live. Nothing is waited for.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub(super) fn put(&mut self, kept: Kept) -> Result<(), Error> {
        let path = self.folder.join(kept.file_name());
        let text = seal::sealed(&kept).expect("a generation has only plain fields");
        // Once it is on the disk it stays there, whatever is written anew.
        let is_durable = self.kept.iter().any(|known| known.file == path && known.is_durable)
            || self.unread.iter().any(|unread| unread.file == path);
        if is_durable {
            atomic::write_on(&*self.system, &path, &text, 0o600)?;
        } else {
            atomic::replace_on(&*self.system, &path, &text, 0o600).map_err(Error::cannot("write", &path))?;
        }
        self.remember(&kept, is_durable);
        self.applied_id = Some(kept.document.generation);
        self.applied = Some(kept.document);
        Ok(())
    }

    /// Keeps generation 0, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub(super) fn put_first(&mut self, kept: &Kept) -> Result<(), Error> {
        let text = seal::sealed(kept).expect("a generation has only plain fields");
        atomic::write_on(&*self.system, &self.folder.join(kept.file_name()), &text, 0o600)?;
        self.remember(kept, true);
        Ok(())
    }

    /// Makes generation 0 one as any other, the oldest, durably: something else is to be called so. A crash in between
    /// leaves both.
    ///
    /// # Errors
    /// A file cannot be read, written or removed.
    pub(super) fn make_first_ordinary(&mut self) -> Result<(), Error> {
        let state_dir = self.folder.parent().unwrap_or(Path::new("."));
        let all = read_all(&*self.system, state_dir)?.whole()?;
        let Some(first) = all.into_iter().find(Kept::is_first) else {
            return Ok(());
        };
        let former = self.folder.join(first.file_name());
        let kept = first.into_ordinary();
        let path = self.folder.join(kept.file_name());
        if !self.kept.iter().any(|known| known.file == path) {
            let text = seal::sealed(&kept).expect("a generation has only plain fields");
            atomic::write_on(&*self.system, &path, &text, 0o600)?;
            self.remember(&kept, true);
        }
        filesystem::remove_if_there(&*self.system, &former)
            .and_then(|()| self.system.sync_folder(&self.folder))
            .map_err(Error::cannot("remove", &former))?;
        self.kept.retain(|known| known.file != former);
        Ok(())
    }

    /// Files that are to be forced to the disk before anything is removed: those of generations that were put since
    /// the last time, and of `blobs`, the folder of blobs.
    pub(super) fn unsynced(&self, blobs: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for kept in self.kept.iter().filter(|kept| !kept.is_durable) {
            files.extend(kept.config.iter().map(|digest| blobs.join(digest.to_string())));
            files.push(kept.file.clone());
        }
        files
    }

    /// Forces the files of kept generations that [`Generations::unsynced`] named to the disk.
    ///
    /// # Errors
    /// The disk fails. A file that is gone by now is none.
    pub(super) fn sync(system: &dyn FileSystem, files: &[PathBuf]) -> Result<(), Error> {
        let mut folders = HashSet::new();
        for file in files {
            let open = filesystem::open_to_sync(file);
            if_there(open.and_then(|open| system.sync(&open, file))).map_err(Error::cannot("sync", file))?;
            folders.extend(file.parent());
        }
        folders
            .into_iter()
            .try_for_each(|folder| filesystem::sync_folder(system, folder))
    }

    /// Notes that these files of kept generations are on the disk.
    pub(super) fn note_synced(&mut self, files: &[PathBuf]) {
        for kept in self.kept.iter_mut().filter(|kept| files.contains(&kept.file)) {
            kept.is_durable = true;
        }
    }

    /// The generations that are one too many: all but `keep` with the applied one, and generation 0. First those that
    /// lead to the same files as the one after them, then the others, each the oldest first: what was withheld for a
    /// while must not push out what an edit has replaced.
    pub(super) fn surplus(&self, keep: usize) -> Vec<Digest> {
        let applied = self.applied.as_ref().map(|document| document.generation);
        let mut others: Vec<&Remembered> = self
            .kept
            .iter()
            .filter(|kept| kept.serial > 0 && Some(kept.id) != applied)
            .collect();
        others.sort_by_key(|kept| (!self.is_doubled(kept), kept.serial));
        let keep = keep.saturating_sub(usize::from(applied.is_some()));
        let surplus = others.len().saturating_sub(keep);
        others[..surplus].iter().map(|kept| kept.id).collect()
    }

    /// Whether the generation that became live after this one has the same files, and is accepted where this one is.
    fn is_doubled(&self, kept: &Remembered) -> bool {
        let later = self.kept.iter().filter(|other| other.serial > kept.serial);
        later.min_by_key(|other| other.serial).is_some_and(|next| {
            next.set == kept.set && (next.acceptance == kept.acceptance || next.acceptance == Acceptance::Accepted)
        })
    }

    /// Removes the file of a kept generation; durable once the folder is synced.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn drop_file(&mut self, id: &Digest) -> Result<(), Error> {
        let Some(at) = self.kept.iter().position(|kept| kept.serial > 0 && kept.id == *id) else {
            return Ok(());
        };
        let file = self.kept[at].file.clone();
        filesystem::remove_if_there(&*self.system, &file).map_err(Error::cannot("remove", &file))?;
        self.kept.remove(at);
        Ok(())
    }

    /// The folder of the kept generations.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a generation needs these bytes: one of those that are kept, the applied one or the one that is named.
    /// One that could not be read may have any.
    pub(super) fn needs(&self, bytes: &Digest) -> bool {
        let mut applied = self.applied.iter().flat_map(|document| document.files.values());
        !self.unread.is_empty()
            || self.kept.iter().any(|kept| kept.blobs.contains(bytes))
            || applied.any(|entry| entry.sha256 == *bytes)
            || self.pinned.as_ref().is_some_and(|pinned| pinned.contains(bytes))
    }

    /// All bytes that somebody may still want once these generations are dropped, where
    /// [`Generations::check_all_read`] has said that all are known.
    pub(super) fn wanted_without(&self, dropped: &[Digest]) -> HashSet<Digest> {
        let stays = |kept: &&Remembered| kept.serial == 0 || !dropped.contains(&kept.id);
        let kept = self.kept.iter().filter(stays).flat_map(|kept| &kept.blobs);
        let applied = self.applied.iter().flat_map(|document| document.files.values());
        kept.copied()
            .chain(applied.map(|entry| entry.sha256))
            .chain(self.pinned.iter().flatten().copied())
            .chain(self.held.iter().copied())
            .collect()
    }

    /// The files of these kept generations.
    pub(super) fn files<'a>(&'a self, ids: &'a [Digest]) -> impl Iterator<Item = &'a Path> {
        let kept = self
            .kept
            .iter()
            .filter(|kept| kept.serial > 0 && ids.contains(&kept.id));
        kept.map(|kept| kept.file.as_path())
    }

    /// Notes that nothing is left to clean of the kept generations.
    pub(super) fn cleaned(&mut self) {
        self.is_dirty = false;
    }
}

/// The folders where a node keeps generations, and where their bytes.
pub(super) fn folders(state_dir: &Path) -> [PathBuf; 2] {
    [state_dir.join(FOLDER), state_dir.join(super::blobs::FOLDER)]
}

/// Forgets all generations of a node that is no standby any more: their files, durably, and then their bytes.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn forget_all(system: &dyn FileSystem, state_dir: &Path) -> Result<(), Error> {
    for folder in folders(state_dir) {
        let removed = if_there(system.remove_folder(&folder)).map_err(Error::cannot("remove the folder", &folder))?;
        if removed.is_none() {
            continue;
        }
        filesystem::sync_folder(system, state_dir)?;
    }
    Ok(())
}
