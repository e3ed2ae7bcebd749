//! The bytes that a standby fetched, each under its digest.
//!
//! A blob is written as `<sha256>.partial`, which a broken transfer leaves for the next one to go on with, and
//! renamed to `<sha256>` when its digest is right. A blob that was not verified by this process, or was touched
//! since, is hashed again before it is used: a jar's blob is the live file too (a hard link), and somebody may
//! have written into that. It is removed as damaged only when a second reading gives the same other digest: what cannot
//! be read, or reads differently each time, stays.
//!
//! What is made durable here: the bytes of jars, since the live file is the same inode. A configuration file is
//! copied to its place and made durable there, so waiting for its blob as well would only cost time: what has just
//! come of one is in memory until the apply that it came for has ended. The names in this folder are never waited for:
//! a blob that a crash loses is fetched again.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use tracing::warn;

use crate::{
    basics::{Digest, Error, Hasher, Kind, digest, if_there, lock, regular_file},
    durable::{FileSystem, atomic, filesystem},
    files::Stamp,
    generation::Name,
    standby::store::{room, stage::Source},
};

const PARTIAL: &str = ".partial";
/// The name of the folder in the state folder.
pub(super) const FOLDER: &str = "blobs";

/// A folder of blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    system: Arc<dyn FileSystem>,
    folder: PathBuf,
    verified: Mutex<HashMap<Digest, Stamp>>,
    /// Blobs that came and have no file yet.
    in_memory: Mutex<HashMap<Digest, Bytes>>,
}

impl Blobs {
    /// Opens the folder of blobs, which is made where it is missing.
    pub(super) fn open(system: Arc<dyn FileSystem>, folder: PathBuf) -> Result<Self, Error> {
        filesystem::own_folder(&*system, &folder, 0o700)?;
        Ok(Self {
            system,
            folder,
            verified: Mutex::default(),
            in_memory: Mutex::default(),
        })
    }

    /// The folder of blobs.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of the blob, if it is there and not in memory.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Whether the blob is there and right; a wrong one is removed, unless only the size is another one than was named.
    ///
    /// # Errors
    /// It cannot be looked at or read: it is neither gone nor damaged.
    pub(super) fn has(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        if self.lock_memory().contains_key(digest) {
            return Ok(true);
        }
        let path = self.path(digest);
        let stamp = match if_there(self.system.look(&path)).map_err(Error::cannot("read", &path))? {
            Some(metadata) if metadata.is_file() => Stamp::of(&metadata),
            _ => return Ok(false),
        };
        if self.lock().get(digest) == Some(&stamp) {
            return Ok(stamp.size() == size);
        }
        match read_if_there(&*self.system, &path, digest)? {
            None => return Ok(false),
            Some(found) if found == *digest => {
                self.lock().insert(*digest, stamp);
                // Somebody names these bytes with a size that they do not have.
                return Ok(stamp.size() == size);
            }
            Some(_) => {}
        }
        warn!("{} is damaged and is removed", path.display());
        self.system.remove(&path).map_err(Error::cannot("remove", &path))?;
        Ok(false)
    }

    /// The digests of all blobs that are there.
    ///
    /// # Errors
    /// [`Kind::File`] when the folder cannot be read.
    pub(super) fn digests(&self) -> Result<Vec<Digest>, Error> {
        let digest = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
        Ok(self.list()?.into_iter().filter_map(digest).collect())
    }

    /// Lists the folder of blobs.
    fn list(&self) -> Result<Vec<PathBuf>, Error> {
        let listed = self.system.list(&self.folder);
        listed.map_err(Error::cannot("read the folder", &self.folder))
    }

    /// Forgets what is known of this blob: the next look at it reads it.
    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    /// Notes that we ourselves linked the blob or changed its mode, which changes its stamp but not its bytes.
    pub(super) fn touched(&self, digest: &Digest) {
        let mut verified = self.lock();
        if let Some(stamp) = verified.get_mut(digest)
            && let Ok(metadata) = fs::metadata(self.path(digest))
        {
            *stamp = Stamp::of(&metadata);
        }
    }

    /// Bytes that an earlier try left.
    pub(super) fn partial_size(&self, digest: &Digest) -> u64 {
        fs::metadata(self.partial(digest)).map_or(0, |metadata| metadata.len())
    }

    /// The source from which to take the bytes of a blob that is there.
    pub(super) fn source(&self, digest: &Digest) -> Source {
        match self.in_memory(digest) {
            Some(bytes) => Source::Memory(bytes),
            None => Source::File(self.path(digest)),
        }
    }

    /// The blob, if it is in memory.
    pub(super) fn in_memory(&self, digest: &Digest) -> Option<Bytes> {
        self.lock_memory().get(digest).cloned()
    }

    /// Gives the blobs in memory their files, without waiting for the disk.
    ///
    /// # Errors
    /// The disk fails: what has no file yet stays in memory.
    pub(super) fn write_out(&self) -> Result<(), Error> {
        let mut in_memory = self.lock_memory();
        while let Some((digest, bytes)) = in_memory.iter().next() {
            let (digest, path) = (*digest, self.path(digest));
            let failed = Error::cannot("write", &path);
            atomic::replace_on(&*self.system, &path, bytes, 0o600).map_err(failed)?;
            let stamp = Stamp::of(&fs::symlink_metadata(&path).map_err(failed)?);
            self.lock().insert(digest, stamp);
            in_memory.remove(&digest);
        }
        Ok(())
    }

    /// Takes up a blob that was received and whose digest is right.
    pub(super) fn received_in_memory(&self, digest: Digest, bytes: Bytes) {
        self.lock_memory().insert(digest, bytes);
    }

    /// Takes up a blob that was written to its partial file, which gets its name, and whose digest is right.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn received_in_file(&self, digest: Digest, size: u64, file: &File) -> Result<(), Error> {
        let path = self.path(&digest);
        let failed = Error::cannot("write", &path);
        match self.system.rename(&self.partial(&digest), &path) {
            // A transfer that was broken off had all bytes and has put them there meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.has(&digest, size)? => return Ok(()),
            renamed => renamed.map_err(failed)?,
        }
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        self.lock().insert(digest, stamp);
        Ok(())
    }

    /// The file system on which blobs are written.
    pub(super) fn system(&self) -> &dyn FileSystem {
        &*self.system
    }

    /// Whether a blob of this size is there, right or not.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn is_there(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let path = self.path(digest);
        let found = if_there(self.system.look(&path)).map_err(Error::cannot("look at", &path))?;
        Ok(found.is_some_and(|found| found.is_file() && found.len() == size))
    }

    /// Makes a blob of a live file whose digest is known: another name of a jar where the file system can do that,
    /// a durable copy of a configuration file, which GoCD writes into.
    ///
    /// # Errors
    /// [`Kind::Busy`] when the file has changed meanwhile; others when the disk fails.
    pub(super) fn adopt(&self, file: &Path, name: &Name, digest: &Digest) -> Result<(), Error> {
        let path = self.path(digest);
        let failed = Error::cannot("write", &path);
        filesystem::remove_if_there(&*self.system, &path).map_err(failed)?;
        if matches!(name, Name::Plugin(_)) && self.system.hard_link(file, &path).is_ok() {
            return Ok(());
        }
        let copy = || -> io::Result<Digest> {
            let mut copy = atomic::temporary_on(&*self.system, &self.folder, 0o600)?;
            let mut hasher = Hasher::default();
            hasher.copy(regular_file::open(file)?, copy.as_file_mut())?;
            let found = hasher.finish().sha256;
            if found == *digest {
                self.system.sync(copy.as_file(), copy.path())?;
                atomic::place(&*self.system, copy, &path)?;
            }
            Ok(found)
        };
        if copy().map_err(failed)? != *digest {
            return Err(Error::new(
                Kind::Busy,
                format!("{} changed while it was copied", file.display()),
                "",
            ));
        }
        Ok(())
    }

    /// Makes these blobs, whose files are there, durable with their names.
    ///
    /// # Errors
    /// The disk fails, or one is gone.
    pub(super) fn make_durable(&self, digests: &HashSet<Digest>) -> Result<(), Error> {
        for digest in digests {
            let path = self.path(digest);
            filesystem::open_to_sync(&path)
                .and_then(|file| self.system.sync(&file, &path))
                .map_err(Error::cannot("sync", &path))?;
        }
        if digests.is_empty() {
            return Ok(());
        }
        filesystem::sync_folder(&*self.system, &self.folder)
    }

    /// Removes all blobs but these, and what broken transfers of others left.
    ///
    /// # Errors
    /// The folder cannot be read. Whatever cannot be removed stays.
    pub(super) fn retain(&self, keep: &HashSet<Digest>) -> Result<(), Error> {
        for path in self.all_but(keep)? {
            let _ = self.system.remove(&path);
        }
        self.lock().retain(|digest, _| keep.contains(digest));
        self.lock_memory().retain(|digest, _| keep.contains(digest));
        Ok(())
    }

    /// The bytes that the disk has free again after [`Blobs::retain`].
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn freed_by_all_but(&self, keep: &HashSet<Digest>) -> Result<u64, Error> {
        Ok(self.all_but(keep)?.iter().map(|path| room::freed_by(path, 1)).sum())
    }

    /// The files of all blobs but these.
    fn all_but(&self, keep: &HashSet<Digest>) -> Result<Vec<PathBuf>, Error> {
        let mut all = self.list()?;
        all.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let digest = name
                .map(|name| name.strip_suffix(PARTIAL).unwrap_or(name))
                .and_then(|name| name.parse::<Digest>().ok());
            digest.is_none_or(|digest| !keep.contains(&digest))
        });
        Ok(all)
    }

    /// The path of the file that a blob is in while it is received.
    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}{PARTIAL}"))
    }

    /// The blobs in memory, locked.
    fn lock_memory(&self) -> MutexGuard<'_, HashMap<Digest, Bytes>> {
        lock(&self.in_memory)
    }

    /// The stamps of blobs that are known to be right, locked.
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Stamp>> {
        lock(&self.verified)
    }
}

/// The digest of a blob's file, read in pieces.
pub(super) fn sha256(path: &Path) -> io::Result<Digest> {
    Ok(digest::hash(regular_file::open(path)?)?.sha256)
}

/// The digest of the file of a blob that should be `expected`; none where nothing is. Another one is believed once a
/// second reading, past the memory of the operating system where that is possible, gives it too.
///
/// # Errors
/// [`Kind::File`] when it cannot be read, [`Kind::Busy`] when it gives other bytes at each reading.
pub(super) fn read_if_there(system: &dyn FileSystem, path: &Path, expected: &Digest) -> Result<Option<Digest>, Error> {
    let read = || {
        let Some(mut file) = if_there(system.open_to_read(path))? else {
            return Ok(None);
        };
        let digest = digest::hash(&mut file)?.sha256;
        if digest != *expected {
            forget_cached(&file);
        }
        Ok(Some(digest))
    };
    let read = || read().map_err(Error::cannot("read", path));
    let first = read()?;
    if first.is_none_or(|found| found == *expected) {
        return Ok(first);
    }
    let second = read()?;
    if second == first || second.is_none_or(|found| found == *expected) {
        return Ok(second);
    }
    Err(Error::new(
        Kind::Busy,
        format!("{} gives other bytes at each reading", path.display()),
        "Either somebody is writing it, or its disk fails: see the kernel's log.",
    ))
}

/// Forgets what the system has cached of a blob's file: the next reading asks the disk again.
fn forget_cached(file: &File) {
    #[cfg(target_os = "linux")]
    {
        // Only advice: without it the second reading sees what the first one saw.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::OperatingSystem;

    fn blobs(folder: &Path) -> Arc<Blobs> {
        Arc::new(Blobs::open(Arc::new(OperatingSystem), folder.join("blobs")).expect("folder"))
    }

    fn receive(blobs: &Arc<Blobs>, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        blobs.received_in_memory(digest, Bytes::copy_from_slice(content));
        assert!(blobs.has(&digest, content.len() as u64).expect("in memory") && !blobs.path(&digest).exists());
        blobs.write_out().expect("written");
        digest
    }

    #[test]
    fn a_blob_that_was_written_into_is_noticed_and_removed() {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = blobs(folder.path());
        let digest = receive(&blobs, b"right");
        assert_eq!(blobs.has(&digest, 5), Ok(true));
        fs::write(blobs.path(&digest), b"wrong").expect("write");
        assert_eq!(blobs.has(&digest, 5), Ok(false));
        assert!(!blobs.path(&digest).exists());
    }

    #[test]
    fn a_restart_hashes_what_it_finds() {
        let folder = tempfile::tempdir().expect("folder");
        let digest = receive(&blobs(folder.path()), b"right");
        assert_eq!(blobs(folder.path()).has(&digest, 5), Ok(true));
        fs::write(folder.path().join("blobs").join(digest.to_string()), b"torn").expect("write");
        assert_eq!(blobs(folder.path()).has(&digest, 5), Ok(false));
    }

    #[test]
    fn linking_a_blob_does_not_make_it_unknown() {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = blobs(folder.path());
        let digest = receive(&blobs, b"right");
        fs::hard_link(blobs.path(&digest), folder.path().join("live.jar")).expect("link");
        blobs.touched(&digest);
        let stamp = Stamp::of(&fs::metadata(blobs.path(&digest)).expect("there"));
        assert_eq!(blobs.lock().get(&digest), Some(&stamp));
    }

    #[test]
    fn only_what_is_kept_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = blobs(folder.path());
        let (kept, dropped) = (receive(&blobs, b"kept"), receive(&blobs, b"dropped"));
        fs::write(blobs.partial(&dropped), b"d").expect("write");
        blobs.retain(&HashSet::from([kept])).expect("removed");
        assert_eq!(fs::read_dir(blobs.folder()).expect("list").count(), 1);
        assert_eq!(blobs.has(&kept, 4), Ok(true));
        assert_eq!(blobs.has(&dropped, 7), Ok(false));
    }
}
