//! The state folder: what one node knows about itself, never synced.
//!
//! | file | what |
//! |---|---|
//! | `node-id` | 32 hex digits, made once |
//! | `identity.pem` | TLS key and certificate ([`crate::keys::identity`]) |
//! | `identity-next.pem` | the same, while a change of key is under way |
//! | `role` | role and the flag under which it was decided ([`crate::role`]) |
//! | `ledger.json` | epoch, sequence and history ([`Ledger`]) |
//! | `ledger.damaged-1` and so on | one that could not be used, kept aside ([`crate::role::memory`]) |
//! | `known-peers.json` | where the other nodes are, and from whom a higher epoch is known ([`crate::role::known_peers`]) |
//! | `given-out` | as primary: what was given out last ([`crate::primary::offer`]); `offered` by the version before |
//! | `standbys.json` | as primary: its standbys ([`crate::primary::standbys`]) |
//! | `removed-keys.json` | keys whose trust has ended ([`crate::keys::peers`]) |
//! | `unacknowledged-promotion.json` | that it promoted itself, until a person has seen it ([`crate::role::unacknowledged`]) |
//! | `audit.jsonl`, `audit-refused.jsonl`, each with `.1` too | who ordered what ([`crate::node::audit`]) |
//! | `handed-over.json` | as primary: what came of its last hand-over ([`crate::role::handed_over`]) |
//! | `landing.json` | what it found when it had been promoted ([`crate::role::landing`]) |
//! | `digests.json` | as primary: digests of its jars, so that a restart need not read them |
//! | `mounts.json` | as primary: on which mounts its files were seen, so that what is on a disk that is gone is not taken for removed |
//! | `lock` | held by the process whose node is open |
//! | `socket` | path of the control socket, where it does not fit in here |
//! | `native/` | private copies of the library while they are loaded |
//! | `blobs/`, `generations/`, `paused.json`, `aside/`, `staged/`, `applied.json`, `journal.json`, `live-cache.json` | the store of a standby ([`crate::standby::store::disk`]) |
//!
//! The folder has mode 0711, everything in it 0600 or 0700, but for the control socket.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use tracing::{info, warn};

use crate::{
    basics::{Error, Kind, NodeId, lock, regular_file},
    durable::{FileSystem, OperatingSystem, atomic, filesystem},
    generation::Epoch,
    keys::Identity,
    role::{
        Recorded,
        ledger::Ledger,
        lock_holder::{Holder, LOCK, holder},
        memory::{KeptEpochs, Memory},
    },
};

/// Begins the name of a ledger that is kept aside.
const ASIDE: &str = "ledger.damaged-";
/// So many of them are kept at most.
const MOST_ASIDE: u32 = 9;
/// The file with the node id.
const NODE_ID_FILE: &str = "node-id";

/// An open state folder; the lock is given back when this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    node_id: NodeId,
    _lock: File,
    /// The folder that was opened.
    folder: Option<Which>,
    /// Held while the ledger is read and written again.
    changing: Mutex<()>,
    /// What goes in the place of a ledger that cannot be used, until one is written.
    stand_in: Mutex<Option<Memory>>,
}

impl StateDir {
    /// Opens the state folder: makes it where it is missing, locks it and reads or makes the node id. A node that
    /// begins anew is logged: the disk of its folder may not be mounted.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process has this node open, [`Kind::File`] when the folder cannot be written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        create(path, 0o711)?;
        let lock_path = path.join(LOCK);
        let lock = OperatingSystem
            .open(&lock_path, 0o600)
            .map_err(Error::cannot("open the lock file", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = match holder(path) {
                    Holder::Process(process) => process.to_string(),
                    Holder::Nobody | Holder::NobodyInSight | Holder::NotKnown => "another process".to_owned(),
                };
                return Err(Error::new(
                    Kind::Busy,
                    format!("{who} has the node in {} open", path.display()),
                    "Stop it first, or give this one its own folder with bc.state.dir.",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &lock_path, &error)),
        }
        let node_id = node_id(&path.join(NODE_ID_FILE))?;
        Ok(Self {
            path: path.to_owned(),
            node_id,
            _lock: lock,
            folder: which(path).map_err(Error::cannot("look at", path))?,
            changing: Mutex::default(),
            stand_in: Mutex::default(),
        })
    }

    /// Gives the node of the state folder another id and another key, as of a server that is a copy of another one: by
    /// both it was taken for that one. All else stays as it is: what it holds, follows and was. Returns the new key.
    /// After a crash in between it may have one of the two alone; whoever knew the node then takes it for neither, and
    /// this is to be done again.
    ///
    /// # Errors
    /// [`Kind::File`] when the files cannot be written.
    pub fn renew(&mut self) -> Result<Identity, Error> {
        let id = NodeId::random()?;
        atomic::write(&self.path.join(NODE_ID_FILE), format!("{id}\n").as_bytes(), 0o600)?;
        self.node_id = id;
        Identity::renew(&self.path)
    }

    /// The path of the state folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the node whose state folder this is.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// Whether what is at the state folder's path is still the folder that was opened: its disk may be unmounted, and
    /// what is written then would be on another one.
    ///
    /// # Errors
    /// [`Kind::File`] naming the folder.
    pub(crate) fn is_still_there(&self) -> Result<(), Error> {
        let now = which(&self.path).map_err(Error::cannot("look at", &self.path))?;
        if now == self.folder {
            return Ok(());
        }
        Err(Error::new(
            Kind::File,
            format!("{} is another folder than when this node opened", self.path.display()),
            "See whether its disk is mounted, and put the folder back or start this node again.",
        ))
    }

    /// Remembers which epochs this node knows: by its ledger, and where that cannot be used by what else says something.
    /// From then on [`StateDir::ledger`] has that in the place of a ledger that cannot be used. `recorded` is the record
    /// of the role, `told` the highest epoch that is known of others, `kept` finds the highest that what is kept of a
    /// primary names.
    pub fn remember(
        &self,
        recorded: Option<&Recorded>,
        told: Option<&Epoch>,
        kept: impl FnOnce() -> Option<Epoch>,
    ) -> Memory {
        let path = self.ledger_path();
        let read = match Ledger::load(&path) {
            Ok(None) => match self.aside() {
                Some(aside) => Err(Error::new(
                    Kind::File,
                    format!(
                        "{} is missing, and {} is a damaged one",
                        path.display(),
                        aside.display()
                    ),
                    "",
                )),
                None => Ok(None),
            },
            read => read,
        };
        let epochs = recorded.and_then(|recorded| recorded.epochs.as_ref());
        let memory = Memory::of(read, epochs, told, kept);
        *lock(&self.stand_in) = memory.trouble.is_some().then(|| memory.clone());
        memory
    }

    /// What this node goes by in the place of a ledger that cannot be used; none where that can be, or is written anew.
    pub fn stand_in(&self) -> Option<Memory> {
        lock(&self.stand_in).clone()
    }

    /// Reads the ledger of the state folder; a missing file is the ledger of a new node.
    ///
    /// # Errors
    /// As `Ledger::load`, unless it was remembered what else is known.
    pub fn ledger(&self) -> Result<Ledger, Error> {
        match self.stand_in() {
            Some(memory) => Ok(memory.ledger),
            None => Ledger::load(&self.ledger_path()).map(Option::unwrap_or_default),
        }
    }

    /// Changes the ledger of the state folder durably and returns it; writes nothing where nothing changes. One that
    /// cannot be used is kept aside by name, and one of what else is known takes its place; a crash in between leaves one
    /// that is missing beside it, which counts as damaged.
    ///
    /// # Errors
    /// As `StateDir::is_still_there`, [`StateDir::ledger`] and [`Ledger::save`]; the ledger is then as before.
    pub fn change_ledger(&self, change: impl FnOnce(&mut Ledger)) -> Result<Ledger, Error> {
        let _changing = lock(&self.changing);
        self.is_still_there()?;
        let before = self.ledger()?;
        let mut ledger = before.clone();
        change(&mut ledger);
        let is_damaged = lock(&self.stand_in).is_some();
        if is_damaged {
            self.set_aside()?;
        }
        if is_damaged || ledger != before {
            ledger.save(&self.ledger_path())?;
            *lock(&self.stand_in) = None;
        }
        Ok(ledger)
    }

    /// The record of a role, with what the ledger says of epochs, where that is known.
    pub fn with_epochs(&self, recorded: Recorded) -> Recorded {
        let is_known = self.stand_in().is_none_or(|memory| memory.own.is_some());
        let epochs = self.ledger().ok().filter(|_| is_known).map(|ledger| KeptEpochs {
            own: ledger.epoch,
            highest: ledger.highest_epoch,
        });
        Recorded {
            epochs: epochs.or(recorded.epochs),
            ..recorded
        }
    }

    /// A ledger that could not be used and is kept aside; the newest of several.
    pub fn aside(&self) -> Option<PathBuf> {
        let names = (1..=MOST_ASIDE).map(|number| self.path.join(format!("{ASIDE}{number}")));
        names.take_while(|path| is_there(path)).last()
    }

    /// Keeps a ledger aside that cannot be used; after so many that the disk must be failing, in the place of the last.
    fn set_aside(&self) -> Result<(), Error> {
        let path = self.ledger_path();
        if !is_there(&path) {
            return Ok(());
        }
        let free = (1..MOST_ASIDE).map(|number| self.path.join(format!("{ASIDE}{number}")));
        let aside = free.into_iter().find(|path| !is_there(path));
        let aside = aside.unwrap_or_else(|| self.path.join(format!("{ASIDE}{MOST_ASIDE}")));
        OperatingSystem
            .rename(&path, &aside)
            .map_err(Error::cannot("rename", &path))
    }

    /// Where the state folder has its ledger.
    fn ledger_path(&self) -> PathBuf {
        self.path.join("ledger.json")
    }
}

/// Makes a state folder and its parents; `mode` applies to the last one, also where it existed.
///
/// # Errors
/// [`Kind::File`] naming the folder.
pub fn create(path: &Path, mode: u32) -> Result<(), Error> {
    filesystem::own_folder(&OperatingSystem, path, mode)
}

/// Whether something has this name, a link that leads nowhere included.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Tells one folder from all others, where the operating system does.
#[cfg(unix)]
type Which = (u64, u64);
#[cfg(not(unix))]
type Which = ();

/// Which folder is at the state folder's path now: device and inode.
fn which(folder: &Path) -> io::Result<Option<Which>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(folder)?;
        Ok(Some((found.dev(), found.ino())))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(None)
    }
}

/// Reads the id of the node in its state folder, or makes it.
fn node_id(path: &Path) -> Result<NodeId, Error> {
    match regular_file::read_text(path, regular_file::LARGEST_OF_A_FEW_LINES) {
        Ok(text) => NodeId::as_kept(text.trim()).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!("{} does not hold a node id of 32 hex digits", path.display()),
                "Restore it from a backup, or remove it: the node then gets a new id.",
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = NodeId::random()?;
            say_that_it_is_new(path);
            atomic::write(path, format!("{id}\n").as_bytes(), 0o600)?;
            Ok(id)
        }
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

/// Says in the log that a node begins anew. Nothing tells a first start from one on a disk that is not mounted, or
/// whose files were lost, but a person.
fn say_that_it_is_new(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new("."));
    if ["identity.pem", "ledger.json", "role"]
        .iter()
        .any(|name| folder.join(name).exists())
    {
        warn!(
            "{} was not there although this node has run before: it gets a new id, by which its peers do not know it",
            path.display()
        );
    } else {
        info!(
            "{} holds nothing of a node: this one begins anew. If it has run before, see whether the disk of that folder \
             is mounted",
            folder.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_gets_an_identity_of_its_own_and_keeps_all_else() {
        let folder = tempfile::tempdir().expect("folder");
        let mut state = StateDir::open(folder.path()).expect("open");
        let (id, key) = (
            state.node_id().clone(),
            Identity::load_or_create(folder.path()).expect("made").fingerprint(),
        );
        Identity::next_or_create(folder.path()).expect("a change of key is under way");
        state.change_ledger(|ledger| ledger.sequence = 7).expect("written");
        let renewed = state.renew().expect("renewed").fingerprint();
        assert_ne!(renewed, key);
        assert_ne!(*state.node_id(), id);
        let own = state.node_id().clone();
        drop(state);
        let again = StateDir::open(folder.path()).expect("open");
        assert_eq!(*again.node_id(), own);
        assert_eq!(again.ledger().expect("read").sequence, 7);
        let kept = Identity::load(folder.path()).expect("read").expect("there");
        assert_eq!(kept.fingerprint(), renewed);
        assert!(
            Identity::next(folder.path()).expect("read").is_none(),
            "that of the other server"
        );
    }

    #[test]
    fn the_node_id_is_made_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("db/business-continuity");
        let first = StateDir::open(&path).expect("open").node_id().clone();
        let again = StateDir::open(&path).expect("open again");
        assert_eq!(*again.node_id(), first);
        let busy = StateDir::open(&path).expect_err("locked");
        assert_eq!(busy.kind(), Kind::Busy);
        #[cfg(target_os = "linux")]
        assert!(
            busy.message().starts_with(&format!("process {} (", std::process::id())),
            "{busy}"
        );
    }
}
