//! A file that holds what was given out last.
//!
//! It has its whole length from the beginning, and a new line is written over an old one in place. That needs no inode
//! and no quota, and no room where the file system writes over what is there, as ext4 and XFS do; the ledger is
//! replaced by a new file and needs all three. Where each write needs room (btrfs, ZFS, a thin volume), this file may
//! fail as the ledger does, and then nothing further is offered.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::given_out::{GivenOut, LENGTH, LINE, Record};
use crate::{
    basics::{Error, regular_file},
    durable::atomic,
};

/// The file.
#[derive(Debug)]
pub(super) struct FixedFile {
    path: PathBuf,
    /// What is on its lines, as far as this process knows; none where it is to be written as a whole.
    held: Vec<Option<Record>>,
    /// Whether the disk has failed to take in what was written: then it may hold none of it, and says so only once.
    is_in_doubt: bool,
    /// Whether there is such a file, as far as this process knows.
    is_there: bool,
}

impl FixedFile {
    /// A file of fixed length for what is given out, at which nobody has looked yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            held: Vec::new(),
            is_in_doubt: false,
            is_there: false,
        }
    }

    /// The path of the file of fixed length.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the text of the file of fixed length; empty where it is missing.
    ///
    /// # Errors
    /// [`crate::basics::Kind::File`] naming it: that it cannot be read is no proof that nothing was given out.
    pub(super) fn read(&mut self) -> Result<Vec<u8>, Error> {
        let text = regular_file::read_if_there(&self.path, regular_file::LARGEST_OF_A_FEW_LINES)?;
        self.is_there = text.is_some();
        Ok(text.unwrap_or_default())
    }

    /// Notes which lines of `given_out` the file of fixed length holds: only those that differ from these are written.
    pub(super) fn holds(&mut self, given_out: &GivenOut) {
        self.held = given_out.slots().to_vec();
    }

    /// Writes to the file of fixed length what it does not hold yet. It survives the process then, and once it was
    /// synced the machine.
    ///
    /// # Errors
    /// It can be written neither in place nor anew.
    pub(super) fn write(&mut self, given_out: &GivenOut) -> Result<(), Error> {
        self.written(given_out).map(drop)
    }

    /// Writes to the file of fixed length what it does not hold yet, and waits until it is durable.
    ///
    /// # Errors
    /// As [`FixedFile::write`], and the disk fails.
    pub(super) fn write_durably(&mut self, given_out: &GivenOut) -> Result<(), Error> {
        self.write_and_sync(given_out, File::sync_all)
    }

    /// Writes to the file of fixed length what it does not hold yet, and waits as `sync` does.
    fn write_and_sync(
        &mut self,
        given_out: &GivenOut,
        sync: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), Error> {
        // One that is written as a whole is durable already.
        let Some(file) = self.written(given_out)? else {
            return Ok(());
        };
        let synced = sync(&file);
        self.is_in_doubt = synced.is_err();
        synced.map_err(Error::cannot("write", &self.path))
    }

    /// Writes to the file of fixed length, and gives it where that was in place; none where it was made anew, durably.
    fn written(&mut self, given_out: &GivenOut) -> Result<Option<File>, Error> {
        let file = self.open().map_err(Error::cannot("write", &self.path))?;
        let slots = given_out.slots();
        let Some(mut file) = file.filter(|_| self.held.len() == slots.len()) else {
            atomic::write(&self.path, given_out.text().as_bytes(), 0o600)?;
            (self.is_there, self.is_in_doubt) = (true, false);
            self.holds(given_out);
            return Ok(None);
        };
        for (slot, record) in slots.iter().enumerate() {
            if self.is_in_doubt || self.held[slot] != *record {
                file.seek(SeekFrom::Start((slot * LINE) as u64))
                    .and_then(|_| file.write_all(given_out.line(slot).as_bytes()))
                    .map_err(Error::cannot("write", &self.path))?;
                self.held[slot].clone_from(record);
            }
        }
        Ok(Some(file))
    }

    /// The file as it was made; none where something else is there, or nothing.
    #[cfg_attr(
        not(test),
        expect(
            clippy::disallowed_methods,
            reason = "a full disk takes what is written over what is there"
        )
    )]
    /// Opens the file of fixed length in place; none where there is none of that length.
    fn open(&self) -> io::Result<Option<File>> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let found = file.metadata()?;
        Ok((found.is_file() && found.len() == LENGTH as u64).then_some(file))
    }

    /// Removes the file of fixed length, where there is one and as far as that can be done: what it says is in the
    /// ledger.
    pub(super) fn remove(&mut self) {
        if std::mem::take(&mut self.is_there) {
            self.held = Vec::new();
            // One that stays is older than the ledger, and says nothing.
            let _ = atomic::remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{basics::Digest, generation::Epoch};

    fn given_out(sequences: impl IntoIterator<Item = u64>) -> GivenOut {
        let mut given_out = GivenOut::of("me", &Epoch::default());
        for sequence in sequences {
            given_out.push(Record {
                sequence,
                generated_ms: 7,
                generation: Digest::of(&sequence.to_le_bytes()),
            });
        }
        given_out
    }

    #[test]
    fn what_the_disk_may_have_lost_is_written_again_before_it_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("given-out");
        let mut file = FixedFile::new(path.clone());
        file.write_durably(&given_out(1..=1)).expect("made");
        let former = fs::read(&path).expect("made");
        let newer = given_out(1..=2);
        let failing = |_: &File| Err(io::ErrorKind::Other.into());
        file.write_and_sync(&newer, failing).expect_err("the disk fails");
        // The system forgets what it could not write, and says so to nobody any more.
        fs::write(&path, former).expect("lost");
        file.write_durably(&newer).expect("written again");
        assert_eq!(fs::read_to_string(&path).expect("there"), newer.text());
        let mut synced = false;
        file.write_and_sync(&given_out(1..=3), |_| {
            synced = true;
            Ok(())
        })
        .expect("written");
        assert!(synced && !file.is_in_doubt);
    }

    #[test]
    fn one_that_is_made_anew_is_durable_without_another_word() {
        let folder = tempfile::tempdir().expect("folder");
        let mut file = FixedFile::new(folder.path().join("given-out"));
        file.write_and_sync(&given_out(1..=1), |_| {
            panic!("where it is opened for reading nobody may sync it")
        })
        .expect("made");
    }
}
