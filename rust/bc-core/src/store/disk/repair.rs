//! Finding live files and blobs that somebody or a disk has changed, and mending them.
//!
//! Looking is cheap and changes nothing: [`Store::altered`] compares what the operating system says of every live
//! file, [`DiskStore::rehash`] reads one. Mending is an apply of what is live anyway, so it is whole or not at all;
//! what an administrator wrote into a live file is kept in `aside/edited/` first.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{DiskStore, Inner, jars};
use crate::{
    digest::Digest,
    error::{Error, Kind},
    manifest::{ManifestDocument, Name},
    regular_file, scan,
    store::{
        Allowed, Repaired, Store, aside, atomic, blobs, filesystem,
        journal::Journal,
        live::{self, Live},
        plan::Plan,
        record::Read,
        room,
    },
};

/// How many edited files are kept aside.
const KEPT_ASIDE: usize = 20;
/// Their bytes together; the oldest go first. A larger one is not kept.
const KEPT_ASIDE_BYTES: u64 = 256 << 20;

/// How much of what was changed here is kept aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aside {
    /// Up to [`KEPT_ASIDE`] and [`KEPT_ASIDE_BYTES`]: a standby may be edited without end.
    Bounded,
    /// All of it, and none goes for it.
    Whole,
}

/// Something that is read again from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A live file that shares its bytes with no blob.
    Live(Name),
    /// A blob, and with it the live jar that is another name of it.
    Blob(Digest),
}

impl DiskStore {
    /// What [`Store::altered`] says.
    pub(super) fn look(&self) -> Result<Vec<Name>, Error> {
        let mut inner = self.lock();
        let half_live = self.unfinished(&inner)?;
        if !half_live.is_empty() {
            return Ok(half_live);
        }
        let mut live = live::read(&self.layout, &mut inner.cache)?;
        match self.generations().applied_or_why_not()? {
            Some(applied) => {
                self.plugin_names().respell(&mut live, jars(applied.files.keys()))?;
                Ok(self.drifted(applied, &live))
            }
            None if inner.record.generation.is_none() => Ok(Vec::new()),
            None => Err(Error::new(
                Kind::File,
                "which files belong to the generation that was applied last is not known here",
                "The next exchange with the primary tells it: see that it answers.",
            )),
        }
    }

    /// The files that an interrupted apply has still to change.
    fn unfinished(&self, inner: &Inner) -> Result<Vec<Name>, Error> {
        match Journal::read(&*self.system, &self.files.journal)? {
            Read::Whole(journal) if !journal.is_over(&inner.record) => {
                Ok(journal.steps.into_iter().map(|step| step.name().clone()).collect())
            }
            Read::Missing | Read::Whole(_) => Ok(Vec::new()),
            Read::Damaged => Err(Error::new(
                Kind::File,
                "how far an interrupted sync came is not known here, since its journal is damaged",
                "The next exchange with the primary mends it: see that it answers.",
            )),
        }
    }

    /// Whether a live file depends on what was to be read: where that cannot be, nobody knows whether it is right.
    pub fn concerns_live(&self, item: &Item) -> bool {
        match item {
            Item::Live(_) => true,
            Item::Blob(digest) => self
                .generations()
                .applied()
                .is_none_or(|applied| applied.files.values().any(|entry| entry.sha256 == *digest)),
        }
    }

    /// Everything that [`DiskStore::rehash`] can read.
    ///
    /// # Errors
    /// It cannot be found out.
    pub fn items(&self) -> Result<Vec<Item>, Error> {
        let blobs = self.blobs.digests()?;
        let mut items: Vec<Item> = blobs.into_iter().map(Item::Blob).collect();
        let generations = self.generations();
        let applied = generations.applied_or_why_not()?;
        let applied = applied.into_iter().flat_map(|applied| &applied.files);
        for (name, entry) in applied.filter(|(name, _)| self.layout.syncs(name)) {
            if !is_same_file(&scan::path_of(&self.layout, name), &self.blobs.path(&entry.sha256)) {
                items.push(Item::Live(name.clone()));
            }
        }
        Ok(items)
    }

    /// Reads one file whole. A blob that is damaged, by two readings that agree, is removed. Returns the live files that
    /// may be damaged too, for [`Store::repair`]; the next look reads them, whatever the operating system says.
    ///
    /// # Errors
    /// The file cannot be read, or gives other bytes at each reading. That it is gone is none.
    pub fn rehash(&self, item: &Item) -> Result<Vec<Name>, Error> {
        let suspects = self.read_again(item)?;
        self.doubt(&suspects);
        Ok(suspects)
    }

    /// The next look reads these files, whatever the operating system says of them.
    pub fn doubt(&self, suspects: &[Name]) {
        if suspects.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for name in suspects {
            inner.cache.forget(&scan::path_of(&self.layout, name));
        }
    }

    fn read_again(&self, item: &Item) -> Result<Vec<Name>, Error> {
        match item {
            Item::Live(name) => {
                let expected = self.generations().applied().and_then(|applied| {
                    let entry = applied.files.get(name)?;
                    Some(entry.sha256)
                });
                let path = scan::path_of(&self.layout, name);
                let Some(expected) = expected else {
                    return Ok(Vec::new());
                };
                let is_right = blobs::read_if_there(&*self.system, &path, &expected)? == Some(expected);
                Ok(if is_right { Vec::new() } else { vec![name.clone()] })
            }
            Item::Blob(digest) => {
                let path = self.blobs.path(digest);
                match blobs::read_if_there(&*self.system, &path, digest)? {
                    Some(found) if found != *digest => {
                        warn!("{} is damaged and is removed", path.display());
                        self.blobs.forget(digest);
                        filesystem::remove_if_there(&*self.system, &path)
                            .map_err(|error| Error::io("remove", &path, &error))?;
                        let generations = self.generations();
                        let applied = generations.applied().into_iter().flat_map(|applied| &applied.files);
                        Ok(applied
                            .filter(|(_, entry)| entry.sha256 == *digest)
                            .map(|(name, _)| name.clone())
                            .collect())
                    }
                    _ => Ok(Vec::new()),
                }
            }
        }
    }

    pub(super) fn mend(&self, suspects: &[Name]) -> Result<Repaired, Error> {
        self.doubt(suspects);
        let mut inner = self.lock();
        self.finish_journal(&mut inner)?;
        let mut live = live::read(&self.layout, &mut inner.cache)?;
        let Some(applied) = self.generations().applied_or_why_not()?.cloned() else {
            return Ok(Repaired::default());
        };
        self.plugin_names().respell(&mut live, jars(applied.files.keys()))?;
        let drifted = self.drifted(&applied, &live);
        for (name, entry) in applied.files.iter().filter(|(name, _)| self.layout.syncs(name)) {
            if !drifted.contains(name) {
                self.adopt(&mut inner, name, &entry.sha256, entry.size)?;
            }
        }
        drop(inner);
        if drifted.is_empty() {
            return Ok(Repaired::default());
        }
        for name in &drifted {
            // What damaged one may have damaged the other.
            self.blobs.forget(&applied.files[name].sha256);
        }
        let mut repaired = Repaired {
            drift: drifted
                .iter()
                .filter(|name| !live.files.contains_key(name))
                .map(|name| format!("{name} was removed from this standby"))
                .collect(),
            lost: self.missing(&applied)?.into_iter().map(|wanted| wanted.name).collect(),
        };
        if repaired.lost.is_empty() {
            // Jars that wait for an administrator's yes go on waiting.
            let allowed = Allowed {
                deletions: false,
                server_id: true,
            };
            repaired.drift.extend(self.apply(&applied, allowed)?.drift);
        }
        Ok(repaired)
    }

    fn drifted(&self, applied: &ManifestDocument, live: &Live) -> Vec<Name> {
        let is_drifted = |name: &Name, digest: &Digest| {
            self.layout.syncs(name) && live.files.get(name).is_none_or(|here| here.sha256 != *digest)
        };
        applied
            .files
            .iter()
            .filter(|(name, entry)| is_drifted(name, &entry.sha256))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Keeps aside what an apply is about to overwrite or remove although no apply has put it there. Returns what to
    /// tell. A file that cannot be kept is overwritten all the same: this node follows its primary.
    pub(super) fn keep_edited(&self, ours: &BTreeSet<Name>, plan: &Plan, live: &Live, now_ms: i64) -> Vec<String> {
        let edited: Vec<Name> = {
            let generations = self.generations();
            let Some(applied) = generations.applied() else {
                return Vec::new();
            };
            let changed = plan.write.iter().map(|(name, _)| name).chain(&plan.remove);
            let is_edited = |name: &&Name| {
                let Some(here) = live.files.get(*name) else {
                    return false;
                };
                match applied.files.get(*name) {
                    Some(put_there) => here.sha256 != put_there.sha256,
                    // Ours from an earlier generation, or somebody's own.
                    None => !ours.contains(*name),
                }
            };
            changed.filter(is_edited).cloned().collect()
        };
        let tell = |name: &Name| match self.keep_aside(name, now_ms, Aside::Bounded) {
            Ok(path) => format!(
                "{name} was changed on this standby; what was written into it is kept as {}",
                path.display()
            ),
            Err(error) => format!("{name} was changed on this standby, and that could not be kept: {error}"),
        };
        let told: Vec<String> = edited.iter().map(tell).collect();
        for line in &told {
            warn!("{line}");
        }
        told
    }

    /// Copies a live file to `aside/edited/`, durably. Returns where.
    ///
    /// # Errors
    /// It is too large or does not fit, or the disk fails; what was kept earlier stays then.
    pub(super) fn keep_aside(&self, name: &Name, now_ms: i64, aside: Aside) -> Result<PathBuf, Error> {
        let folder = self.files.aside.join("edited");
        filesystem::own_folder(&*self.system, &self.files.aside, 0o700)?;
        filesystem::own_folder(&*self.system, &folder, 0o700)?;
        let from = scan::path_of(&self.layout, name);
        let size = fs::metadata(&from)
            .map_err(|error| Error::io("read", &from, &error))?
            .len();
        let surplus = match aside {
            Aside::Bounded if size > KEPT_ASIDE_BYTES => {
                return Err(Error::io("keep aside", &from, &io::ErrorKind::FileTooLarge.into()));
            }
            Aside::Bounded => surplus(&folder, size),
            Aside::Whole => Vec::new(),
        };
        // What is to go anyway goes first where that makes the room, and only there.
        let freed = surplus.iter().map(|path| room::freed_by(path, 1)).sum();
        let short = room::shortage(&folder, size, self.options.free_space);
        if short > freed {
            room::check(&folder, size, self.options.free_space)?;
        }
        if short > 0 {
            self.drop_aside(&surplus);
        }
        let file_name = from.file_name().unwrap_or_default().to_string_lossy();
        let to = aside::place(&folder, now_ms, &file_name);
        let copy = || -> io::Result<()> {
            let mut copy = atomic::temporary_on(&*self.system, &folder, 0o600)?;
            io::copy(&mut regular_file::open(&from)?, &mut copy)?;
            self.system.sync(copy.as_file(), copy.path())?;
            atomic::place(&*self.system, copy, &to)?;
            self.system.sync_folder(&folder)
        };
        copy().map_err(|error| Error::io("write", &to, &error))?;
        self.drop_aside(&surplus);
        Ok(to)
    }

    /// Removes what was kept aside and is too much now.
    fn drop_aside(&self, surplus: &[PathBuf]) {
        for path in surplus {
            // One that cannot be removed stays: the folder is bounded by its owner then.
            if self.system.remove(path).is_ok() {
                warn!(
                    "{} is removed: what was changed on this standby is kept aside up to {KEPT_ASIDE} files of {} MiB",
                    path.display(),
                    KEPT_ASIDE_BYTES >> 20
                );
            }
        }
    }
}

/// The oldest of what is kept aside, as many as must go so that one more file of `size` is within the limits.
fn surplus(folder: &Path, size: u64) -> Vec<PathBuf> {
    let mut kept: Vec<(PathBuf, u64)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .collect();
    // Their names begin with the time, in as many digits for some centuries to come.
    kept.sort();
    let mut bytes: u64 = size + kept.iter().map(|(_, size)| size).sum::<u64>();
    let mut count = (kept.len() + 1).saturating_sub(KEPT_ASIDE);
    let mut surplus = Vec::new();
    for (path, size) in kept {
        if count == 0 && bytes <= KEPT_ASIDE_BYTES {
            break;
        }
        surplus.push(path);
        bytes -= size;
        count = count.saturating_sub(1);
    }
    surplus
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        identity(one).is_some() && identity(one) == identity(other)
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        false
    }
}
