//! What people are told of the live files.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use bytes::Buf;

use super::{DiskStore, Inner, jars};
use crate::{
    basics::{Digest, Error, Kind, regular_file},
    generation::Name,
    standby::store::{
        LiveFile, Look,
        live::{self, Live},
        room,
    },
};

impl DiskStore {
    /// Looks at all live files, for what people are told of them. Changes nothing.
    ///
    /// # Errors
    /// As [`DiskStore::altered`].
    pub fn look(&self) -> Result<Look, Error> {
        let mut inner = self.lock();
        let live = self.look_at_live(&mut inner)?;
        let half_live = self.unfinished(&inner)?;
        self.looked(&inner, live, half_live)
    }

    /// Looks at the live files as they are now: by name, and whether each is ours to remove.
    ///
    /// # Errors
    /// A live folder cannot be read.
    pub fn live(&self) -> Result<BTreeMap<Name, LiveFile>, Error> {
        let mut inner = self.lock();
        let live = self.look_at_live(&mut inner)?;
        Ok(files(&inner, live))
    }

    /// The live files that are not those of the generation that was applied last, as far as the operating system tells;
    /// those of which that is unclear are read. While a set is half live, the files that it has still to change.
    /// Changes nothing.
    ///
    /// # Errors
    /// A live folder or file cannot be looked at, somebody is writing one, or it is not known what was applied.
    pub fn altered(&self) -> Result<Vec<Name>, Error> {
        let mut inner = self.lock();
        let half_live = self.unfinished(&inner)?;
        if !half_live.is_empty() {
            return Ok(half_live);
        }
        let live = self.look_at_live(&mut inner)?;
        self.differing(&inner, &live)
    }

    /// Looks which disks of a standby are nearly full, for people; none where none is.
    pub fn low_disks(&self) -> Option<String> {
        let folders = [
            self.blobs.folder(),
            self.layout.plugins_external(),
            self.layout.cruise_config_dir(),
        ];
        room::warning(folders, room::LOW)
    }

    /// Opens for a look a live file of a standby, for reading only. Somebody may be replacing it: only the digest of
    /// what is read says what it is.
    ///
    /// # Errors
    /// Those of opening; [`NotFound`](io::ErrorKind::NotFound) where it is not there.
    pub fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(regular_file::open(&self.layout.path_of(name))?))
    }

    /// Opens for a look the bytes that a standby keeps under their digest, for reading only. Only the digest of what is
    /// read says whether they are whole.
    ///
    /// # Errors
    /// As [`DiskStore::open_live`].
    pub fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        Ok(match self.blobs.in_memory(sha256) {
            Some(bytes) => Box::new(bytes.reader()),
            None => Box::new(regular_file::open(&self.blobs.path(sha256))?),
        })
    }

    /// What people are told by a look at the live files; `half_live` are those that an apply has still to change.
    pub(super) fn looked(&self, inner: &Inner, live: Live, half_live: Vec<Name>) -> Result<Look, Error> {
        let altered = if half_live.is_empty() {
            self.differing(inner, &live)?
        } else {
            half_live
        };
        Ok(Look {
            altered,
            low_disks: self.low_disks(),
            missing_files: self.missing_files(&live)?,
            files: files(inner, live),
        })
    }

    /// Looks at the live files, and calls jars as the applied generation does.
    fn look_at_live(&self, inner: &mut Inner) -> Result<Live, Error> {
        let mut live = live::read(&self.layout, &mut inner.cache)?;
        inner.cache.save(&self.files.cache);
        let generations = self.generations();
        let applied = generations
            .applied()
            .into_iter()
            .flat_map(|applied| applied.files.keys());
        self.plugin_names()
            .respell(&mut live, jars(applied.chain(&inner.record.ours)))?;
        Ok(live)
    }

    /// The live files that a look finds to be others than what was applied last.
    fn differing(&self, inner: &Inner, live: &Live) -> Result<Vec<Name>, Error> {
        match self.generations().applied_or_why_not()? {
            Some(applied) => Ok(self.drifted(applied, live)),
            None if inner.record.generation.is_none() => Ok(Vec::new()),
            None => Err(Error::new(
                Kind::File,
                "which files belong to the generation that was applied last is not known here",
                "The next exchange with the primary tells it: see that it answers.",
            )),
        }
    }
}

/// The live files that people are told of.
fn files(inner: &Inner, live: Live) -> BTreeMap<Name, LiveFile> {
    let ours = &inner.record.ours;
    let files = live.files.into_iter();
    // GoCD since 21.1 ignores an old DES key, and so do people unless it is synced.
    let files = files.filter(|(name, _)| *name != Name::CipherDes || ours.contains(name));
    files
        .map(|(name, entry)| {
            let ours = ours.contains(&name);
            (name, LiveFile { entry, ours })
        })
        .collect()
}
