//! A file that holds what was given out last.
//!
//! It has its whole length from the beginning, and one line of it is written over another in place: that needs neither room
//! nor an inode nor quota, where the ledger, which another file takes the place of, needs all three.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::given_out::{GivenOut, LENGTH, LINE, Record};
use crate::{error::Error, regular_file, store::atomic};

/// The file.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// What is on its lines, as far as this process knows; none where it is to be written as a whole.
    held: Vec<Option<Record>>,
    /// Whether there is such a file, as far as this process knows.
    is_there: bool,
}

impl Place {
    /// A file that was not looked at.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            held: Vec::new(),
            is_there: false,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; empty where it is missing.
    ///
    /// # Errors
    /// [`crate::error::Kind::File`] naming it: that it cannot be read is no proof that nothing was given out.
    pub(super) fn read(&mut self) -> Result<Vec<u8>, Error> {
        let text = regular_file::read_if_there(&self.path, regular_file::LARGEST_OF_A_FEW_LINES)?;
        self.is_there = text.is_some();
        Ok(text.unwrap_or_default())
    }

    /// From here on only the lines of `given_out` that differ from these are written.
    pub(super) fn holds(&mut self, given_out: &GivenOut) {
        self.held = given_out.slots().to_vec();
    }

    /// Writes what it does not hold yet. It survives the process then, and once it was synced the machine.
    ///
    /// # Errors
    /// It can be written neither in place nor anew.
    pub(super) fn write(&mut self, given_out: &GivenOut) -> Result<(), Error> {
        self.written(given_out).map(drop)
    }

    /// The same, and waits until it is durable.
    ///
    /// # Errors
    /// As [`Place::write`], and the disk fails.
    pub(super) fn write_durably(&mut self, given_out: &GivenOut) -> Result<(), Error> {
        let file = self.written(given_out)?;
        file.sync_all().map_err(|error| Error::io("write", &self.path, &error))
    }

    fn written(&mut self, given_out: &GivenOut) -> Result<File, Error> {
        let file = self.open().map_err(|error| Error::io("write", &self.path, &error))?;
        let slots = given_out.slots();
        let Some(mut file) = file.filter(|_| self.held.len() == slots.len()) else {
            atomic::write(&self.path, given_out.text().as_bytes(), 0o600)?;
            self.is_there = true;
            self.holds(given_out);
            return File::open(&self.path).map_err(|error| Error::io("read", &self.path, &error));
        };
        for (slot, record) in slots.iter().enumerate() {
            if self.held[slot] != *record {
                file.seek(SeekFrom::Start((slot * LINE) as u64))
                    .and_then(|_| file.write_all(given_out.line(slot).as_bytes()))
                    .map_err(|error| Error::io("write", &self.path, &error))?;
                self.held[slot].clone_from(record);
            }
        }
        Ok(file)
    }

    /// The file as it was made; none where something else is there, or nothing.
    fn open(&self) -> io::Result<Option<File>> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let found = file.metadata()?;
        Ok((found.is_file() && found.len() == LENGTH as u64).then_some(file))
    }

    /// Removes the file, where there is one and as far as that can be done: what it says is in the ledger.
    pub(super) fn remove(&mut self) {
        if std::mem::take(&mut self.is_there) {
            self.held = Vec::new();
            // One that stays is older than the ledger, and says nothing.
            let _ = atomic::remove(&self.path);
        }
    }
}
