//! The state folder: what one node knows about itself, never synced.
//!
//! | file | what |
//! |---|---|
//! | `node-id` | 32 hex digits, made once |
//! | `identity.pem` | TLS key and certificate ([`crate::identity`]) |
//! | `identity-next.pem` | the same, while a change of key is under way |
//! | `role` | role and the flag under which it was decided ([`crate::role`]) |
//! | `ledger.json` | epoch and sequence ([`Ledger`]) |
//! | `standbys.json` | as primary: its standbys ([`crate::standbys`]) |
//! | `lock` | held by the process whose node is open |
//! | `socket` | path of the control socket, where it does not fit in here |
//! | `native/` | private copies of the library while they are loaded |
//! | `blobs/`, `generations/`, `paused.json`, `aside/`, `staged/`, `applied.json`, `journal.json`, `live-cache.json` | the store of a standby ([`crate::store::disk`]) |
//!
//! The folder has mode 0711, everything in it 0600 or 0700, but for the control socket.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    manifest::{Envelope, Epoch},
    random,
    store::{
        atomic,
        filesystem::{self, OperatingSystem},
    },
};

/// An open state folder; the lock is given back when this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    node_id: String,
    _lock: File,
    /// Held while the ledger is read and written again.
    changing: Mutex<()>,
}

impl StateDir {
    /// Makes the folder where it is missing, locks it and reads or makes the node id.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process has this node open, [`Kind::File`] when the folder cannot be written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        create(path, 0o711)?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path).map_err(|error| Error::io("open the lock file", &lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    Kind::Busy,
                    format!("another process has the node in {} open", path.display()),
                    "Stop it first, or give this one its own folder with bc.state.dir.",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &lock_path, &error)),
        }
        let node_id = node_id(&path.join("node-id"))?;
        Ok(Self {
            path: path.to_owned(),
            node_id,
            _lock: lock,
            changing: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This node's id: 32 hex digits.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// Reads the ledger; a missing one is that of a new node.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged. It is never replaced by a new one then, since that
    /// would let the node go back in time.
    pub fn ledger(&self) -> Result<Ledger, Error> {
        let path = self.ledger_path();
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                Error::new(
                    Kind::File,
                    format!("{} is damaged: {error}", path.display()),
                    "Restore it from a backup, or remove it if this node may begin anew as epoch 1.",
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ledger::default()),
            Err(error) => Err(Error::io("read", &path, &error)),
        }
    }

    /// Writes the ledger durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save_ledger(&self, ledger: &Ledger) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(ledger).expect("a ledger has only plain fields");
        atomic::write(&self.ledger_path(), &text, 0o600)
    }

    /// Changes the ledger durably and returns it; writes nothing where nothing changes.
    ///
    /// # Errors
    /// As [`StateDir::ledger`] and [`StateDir::save_ledger`]; the ledger is then as before.
    pub fn change_ledger(&self, change: impl FnOnce(&mut Ledger)) -> Result<Ledger, Error> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.ledger()?;
        let mut ledger = before.clone();
        change(&mut ledger);
        if ledger != before {
            self.save_ledger(&ledger)?;
        }
        Ok(ledger)
    }

    fn ledger_path(&self) -> PathBuf {
        self.path.join("ledger.json")
    }
}

/// The numbers of a node that only ever grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Version of this file: 1.
    pub format: u32,
    /// This node's own epoch.
    pub epoch: Epoch,
    /// The highest epoch this node ever saw, its own or a peer's.
    pub highest_epoch: Epoch,
    /// As standby: an epoch that an administrator accepted although it is not the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_epoch: Option<Epoch>,
    /// As standby: whose files are live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    /// As standby: a primary that offered older files than those that are live, and was not accepted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went_back: Option<Followed>,
    /// As primary: the sequence of the newest generation, given out or not.
    pub sequence: u64,
    /// As primary: sequences up to this one may have been given out before this file said so.
    #[serde(default)]
    pub reserved: u64,
    /// As primary: the generation that has this sequence, 64 hex digits; empty before the first.
    pub generation: String,
    /// As primary: when that generation was first seen, milliseconds since 1970.
    pub generated_ms: i64,
}

/// A primary in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Its node id.
    pub node_id: String,
    /// Its epoch then.
    pub epoch: Epoch,
}

impl Followed {
    /// Whoever sent this envelope.
    pub fn of(envelope: &Envelope) -> Self {
        Self {
            node_id: envelope.node_id.clone(),
            epoch: envelope.epoch.clone(),
        }
    }
}

impl Ledger {
    /// Begins an epoch of our own, above all that were ever seen. The sequence goes on from `sequence`, that of the
    /// generation that is live, so that it never goes back.
    pub fn begin_epoch(&mut self, promotion: &str, sequence: u64) {
        self.epoch = Epoch {
            number: self.highest_epoch.number.max(self.epoch.number) + 1,
            promotion: promotion.to_owned(),
        };
        self.highest_epoch = self.epoch.clone();
        self.sequence = self.sequence.max(sequence);
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            format: 1,
            epoch: Epoch::default(),
            highest_epoch: Epoch::default(),
            accepted_epoch: None,
            followed: None,
            went_back: None,
            sequence: 0,
            reserved: 0,
            generation: String::new(),
            generated_ms: 0,
        }
    }
}

/// Makes a folder and its parents; `mode` applies to the last one, also where it existed.
///
/// # Errors
/// [`Kind::File`] naming the folder.
pub fn create(path: &Path, mode: u32) -> Result<(), Error> {
    filesystem::own_folder(&OperatingSystem, path, mode)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn node_id(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Ok(text) if is_node_id(text.trim()) => Ok(text.trim().to_owned()),
        Ok(_) => Err(Error::new(
            Kind::File,
            format!("{} does not hold a node id of 32 hex digits", path.display()),
            "Restore it from a backup, or remove it: the node then gets a new id.",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = random::hex_id()?;
            atomic::write(path, format!("{id}\n").as_bytes(), 0o600)?;
            Ok(id)
        }
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

fn is_node_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_id_is_made_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("db/business-continuity");
        let first = StateDir::open(&path).expect("open").node_id().to_owned();
        let again = StateDir::open(&path).expect("open again");
        assert_eq!(again.node_id(), first);
        let busy = StateDir::open(&path).expect_err("locked");
        assert_eq!(busy.kind(), Kind::Busy);
    }

    #[test]
    fn a_damaged_ledger_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let state = StateDir::open(folder.path()).expect("open");
        let ledger = Ledger {
            sequence: 7,
            ..state.ledger().expect("new")
        };
        state.save_ledger(&ledger).expect("save");
        assert_eq!(state.ledger().expect("read"), ledger);
        fs::write(folder.path().join("ledger.json"), "{").expect("damage");
        assert!(state.ledger().expect_err("damaged").message().contains("ledger.json"));
    }
}
