//! Finding live files and blobs that somebody or a disk has changed, and mending them.
//!
//! Looking is cheap and changes nothing: [`DiskStore::altered`] compares what the operating system says of every live
//! file, [`DiskStore::rehash`] reads one. Mending is an apply of what is live anyway, so it is whole or not at all;
//! what an administrator wrote into a live file is kept aside first ([`super::edited`]).

use std::{fs, path::Path};

use tracing::warn;

use super::{DiskStore, Round, jars};
use crate::{
    basics::{Digest, Error},
    durable::filesystem,
    generation::{ManifestDocument, Name},
    standby::store::{
        Permit, Repaired, blobs,
        live::{self, Live},
    },
};

/// Something that is read again from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A live file that shares its bytes with no blob.
    Live(Name),
    /// A blob, and with it the live jar that is another name of it.
    Blob(Digest),
}

impl DiskStore {
    /// Whether a live file depends on an item that was to be read again: where that cannot be, nobody knows whether it
    /// is right.
    pub fn concerns_live(&self, item: &Item) -> bool {
        match item {
            Item::Live(_) => true,
            Item::Blob(digest) => self
                .generations()
                .applied()
                .is_none_or(|applied| applied.files.values().any(|entry| entry.sha256 == *digest)),
        }
    }

    /// Lists all live files and blobs that [`DiskStore::rehash`] can read again.
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
            if !is_same_file(&self.layout.path_of(name), &self.blobs.path(&entry.sha256)) {
                items.push(Item::Live(name.clone()));
            }
        }
        Ok(items)
    }

    /// Reads one live file or blob whole. A blob that is damaged, by two readings that agree, is removed. Returns the
    /// live files that may be damaged too, for [`DiskStore::repair`]; the next look reads them, whatever the operating
    /// system says.
    ///
    /// # Errors
    /// The file cannot be read, or gives other bytes at each reading. That it is gone is none.
    pub fn rehash(&self, item: &Item) -> Result<Vec<Name>, Error> {
        let suspects = self.read_again(item)?;
        self.doubt(&suspects);
        Ok(suspects)
    }

    /// Doubts these live files: the next look reads them, whatever the operating system says of them.
    pub fn doubt(&self, suspects: &[Name]) {
        if suspects.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for name in suspects {
            inner.cache.forget(&self.layout.path_of(name));
        }
    }

    /// Reads an item again: one live file, or one blob.
    fn read_again(&self, item: &Item) -> Result<Vec<Name>, Error> {
        match item {
            Item::Live(name) => {
                let expected = self.generations().applied().and_then(|applied| {
                    let entry = applied.files.get(name)?;
                    Some(entry.sha256)
                });
                let path = self.layout.path_of(name);
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
                        filesystem::remove_if_there(&*self.system, &path).map_err(Error::cannot("remove", &path))?;
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

    /// Mends the live files, to be again what was applied last, and keeps aside what somebody wrote into them.
    /// `suspects` are read whatever the operating system says of them.
    ///
    /// # Errors
    /// As for [`DiskStore::apply`].
    pub fn repair(&self, suspects: &[Name]) -> Result<Repaired, Error> {
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
        let removed = drifted.iter().filter(|name| !live.files.contains_key(name));
        let removed = removed.map(|name| format!("{name} was removed from this standby"));
        let drift = removed.collect();
        let mut round = Round::of_applied(self, applied)?;
        round.live = Some(live);
        let mut repaired = Repaired {
            drift,
            lost: round.missing(self)?.into_iter().map(|wanted| wanted.name).collect(),
        };
        if repaired.lost.is_empty() {
            // Jars that wait for an administrator's yes go on waiting.
            let allowed = Permit {
                server_id: true,
                ..Permit::default()
            };
            repaired.drift.extend(round.apply(self, allowed)?.drift);
        }
        Ok(repaired)
    }

    /// The live files that are to be mended, since they are not what was applied last.
    pub(super) fn drifted(&self, applied: &ManifestDocument, live: &Live) -> Vec<Name> {
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
}

/// Whether a live file and a blob are two names of one file.
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
