//! Where a standby keeps what it fetched, and how it becomes the live files.
//!
//! - [`disk`]: the store of a standby, which puts together `receiving` (bytes on their way), `blobs` (fetched bytes),
//!   `live` (what is there), `names` (which names are one), `plan` (what differs), `guard` (what must not go), `rules` (what may become live), `stage`,
//!   `journal` and `apply` (how it does), `record` (what did) and `room` (whether it fits);
//! - [`generations`]: what is kept to go back to;
//! - [`difference`]: what two sets of files have differently, without showing a secret;
//! - [`verify`]: whether all of it is still what it was;
//! - [`memory`]: the same without a disk, for tests and measurements;
//! - [`atomic`]: the one way in which anything that must survive a restart is written.
//!
//! What survives a crash: at any instant the live files are, after the next start, the whole old or the whole new
//! set. Bytes that were on their way are kept and the transfer goes on from there.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    delta,
    digest::Digest,
    error::{Error, Kind},
    manifest::{Acceptance, Entry, Epoch, ManifestDocument, Name},
    status::{MissingFile, Paused},
    store::generations::KeptGeneration,
};

mod apply;
mod aside;
pub mod atomic;
mod attributes;
mod blobs;
#[cfg(test)]
mod contract;
pub mod difference;
pub mod disk;
pub(crate) mod filesystem;
pub mod generations;
mod guard;
mod journal;
mod live;
pub mod memory;
mod names;
mod obstacles;
mod plan;
mod receiving;
mod record;
mod room;
mod rules;
pub(crate) mod seal;
mod stage;
pub mod verify;

pub use record::Record;

/// Bytes that have to be fetched before a generation can be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Their digest.
    pub sha256: Digest,
    /// Their length.
    pub size: u64,
    /// A file that has them.
    pub name: Name,
    /// What that file has here now, where a delta from it could save time: see [`Store::former`].
    pub former: Option<Digest>,
}

impl Wanted {
    /// Bytes that the primary has as `name`, where this node has `live` instead.
    fn new(name: &Name, entry: &Entry, live: Option<&Digest>) -> Self {
        // Other files are small, or are never edited.
        let is_edited = *name == Name::CruiseConfig && entry.size >= delta::WORTHWHILE;
        Self {
            sha256: entry.sha256,
            size: entry.size,
            name: name.clone(),
            former: live.filter(|_| is_edited).copied(),
        }
    }
}

/// What the rules would forbid and an administrator has allowed, for one apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Many plugins may go at once.
    pub deletions: bool,
    /// The primary's `serverId` may replace ours.
    pub server_id: bool,
}

impl Allowed {
    /// With `is_live`, the generation is the one that is live: its `serverId` was judged when it came, and what an
    /// edit on this node made of it since has no say.
    fn for_repair(self, is_live: bool) -> Self {
        Self {
            server_id: self.server_id || is_live,
            ..self
        }
    }
}

/// Where a standby is in the history of its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The generation that is live.
    pub generation: Digest,
    /// The epoch of the primary that it came from.
    pub epoch: Epoch,
    /// The primary's sequence of it.
    pub sequence: u64,
    /// When it became live here, by this node's clock, as it is written down.
    pub applied_ms: i64,
}

/// What applying a generation changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that were new or had other bytes.
    pub written: Vec<Name>,
    /// Files that were removed, since the generation lacks them and they were ours.
    pub removed: Vec<Name>,
    /// Jars that the generation lacks and that are still here, since many plugins would go at once.
    pub kept: Vec<Name>,
    /// What was changed on this node and is overwritten now, each a full sentence part.
    pub drift: Vec<String>,
    /// Things an administrator should know, each a full sentence part such as "x.jar is only here".
    pub warnings: Vec<String>,
}

impl Applied {
    /// Which jars were kept, why, and what to do; none where none were.
    pub fn kept_warning(&self) -> Option<String> {
        guard::warning(&self.kept)
    }
}

/// What was wrong with the live files and is mended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong, each a full sentence part such as "jetty.xml was removed from this standby".
    pub drift: Vec<String>,
    /// Files that cannot be mended before their bytes are fetched again.
    pub lost: Vec<Name>,
}

/// What was done so that GoCD can start on the live files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeWhole {
    /// Whether a set that was half live was finished or taken back.
    pub settled: bool,
    /// How many live files were read and are what was applied, those that are mended among them.
    pub right: usize,
    /// What was wrong and is mended, and where the store keeps what was there, each a full sentence part such as
    /// "jetty.xml was missing".
    pub mended: Vec<String>,
    /// What is left as it is, since it cannot be mended and GoCD is to start all the same, each a full sentence part.
    pub left: Vec<String>,
}

/// A kept generation that is live again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which one.
    pub generation: KeptGeneration,
    /// What that changed.
    pub applied: Applied,
}

/// What keeps generations and makes them live. All calls block; all methods may be called from any thread,
/// `apply` from one at a time.
pub trait Store: Send + Sync + 'static {
    /// Whether this node syncs such a file.
    fn syncs(&self, _name: &Name) -> bool {
        true
    }

    /// What is neither in the store nor among the live files, as far as known: a file that was changed on this node
    /// since the store last looked may be left out, and [`Store::apply`] then says [`Kind::Superseded`].
    ///
    /// # Errors
    /// The store or a live folder cannot be read, the bytes would not fit onto the disk, or
    /// [`crate::error::Kind::Refused`] when the manifest alone shows that the set must not become live.
    fn missing(&self, generation: &ManifestDocument) -> Result<Vec<Wanted>, Error>;

    /// Begins or resumes receiving these bytes.
    ///
    /// # Errors
    /// No room or no permission, naming the folder.
    fn receive(&self, wanted: &Wanted) -> Result<Box<dyn Receive>, Error>;

    /// The bytes that [`Wanted::former`] names. None where they are not to be had; somebody may be writing them, so that
    /// only the digest of what is made of them says whether they are these.
    fn former(&self, _wanted: &Wanted) -> Option<Bytes> {
        None
    }

    /// Looks at what is live while bytes are on their way, so that an apply that follows at once need not. Its errors are
    /// left to that apply.
    fn look_ahead(&self) {}

    /// Makes the generation live: plugins before configuration, all or nothing also across a crash.
    /// Everything that [`Store::missing`] named must have been received.
    ///
    /// # Errors
    /// [`crate::error::Kind::Refused`] when the set must not become live, saying why; [`Kind::Superseded`] when bytes
    /// are not here after all, which [`Store::missing`] names from then on; others when the disk fails. The live files
    /// are then as before: where a step fails in the middle of a set, the old one comes back from its blobs, and the
    /// error says so. Only where that fails as well they are a part of each, which the error says too, until the next
    /// call or start finishes what was begun or takes it back.
    fn apply(&self, generation: &ManifestDocument, allowed: Allowed) -> Result<Applied, Error>;

    /// What was applied last and is still live; none before the first time.
    fn position(&self) -> Option<Position>;

    /// What was applied last with all that is kept of it; none before the first time, and where nothing is kept.
    fn applied(&self) -> Option<KeptGeneration> {
        None
    }

    /// Notes what the primary's GoCD thinks of the configuration of this generation, if it is the one that is live.
    ///
    /// # Errors
    /// It cannot be written down.
    fn note_acceptance(&self, _generation: &Digest, _acceptance: Acceptance) -> Result<(), Error> {
        Ok(())
    }

    /// Set while a restored generation is held in place and nothing must be pulled; survives a restart.
    fn paused(&self) -> Option<Paused> {
        None
    }

    /// Makes a kept generation live again, through the same steps as [`Store::apply`], and pauses. `id` is what a
    /// person writes, see [`generations::show`].
    ///
    /// # Errors
    /// [`Kind::Refused`] when it is not kept or must not become live; others when its bytes are damaged or the disk
    /// fails. Nothing has changed then, but as for [`Store::apply`].
    fn restore(&self, _id: &str) -> Result<Restored, Error> {
        Err(Error::new(Kind::Refused, "this node keeps no generations", ""))
    }

    /// Ends the pause.
    ///
    /// # Errors
    /// It cannot be written down.
    fn resume(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes the live files again what was applied last, and keeps aside what somebody wrote into them. `suspects` are
    /// read whatever the operating system says of them.
    ///
    /// # Errors
    /// As for [`Store::apply`].
    fn repair(&self, _suspects: &[Name]) -> Result<Repaired, Error> {
        Ok(Repaired::default())
    }

    /// The live files that are not those of the generation that was applied last, as far as the operating system tells;
    /// those of which that is unclear are read. While a set is half live, the files that it has still to change. Changes
    /// nothing.
    ///
    /// # Errors
    /// A live folder or file cannot be looked at, somebody is writing one, or it is not known what was applied.
    fn altered(&self) -> Result<Vec<Name>, Error>;

    /// Where the primary's GoCD has not accepted the live configuration for `wait`: goes back to the newest kept
    /// generation that is not pending. None where there is no reason to, or an administrator has chosen.
    ///
    /// # Errors
    /// [`Kind::Refused`] when there is no such generation; others as for [`Store::apply`].
    fn back_to_accepted(&self, _wait: Duration) -> Result<Option<Restored>, Error> {
        Ok(None)
    }

    /// Finishes a set that an error of the disk left half live; does nothing where none is. To be called before
    /// GoCD starts on the live files.
    ///
    /// # Errors
    /// The disk fails still: the live files are a part of each set.
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes sure that the live files are, byte for byte, what was applied last: finishes a set that is half live or
    /// takes it back, reads every live file whole, and mends from verified kept bytes what differs or is missing. What
    /// was there instead is kept aside first, however much that is; a live file is replaced, never removed for a while.
    /// To be called before GoCD starts on the live files, when nothing is applied any more. A crash at any instant
    /// leaves each file as it was or mended; calling it again goes on.
    ///
    /// With `as_it_is`, what cannot be mended is left and named in [`MadeWhole::left`]. A store without a disk has
    /// nothing to mend.
    ///
    /// # Errors
    /// [`Kind::Refused`] naming every file that cannot be mended or read, and what to do; also where nothing was ever
    /// applied here, or nobody knows any more what. No live file has changed then, except where the disk fails while
    /// mending. With `as_it_is` there is no error.
    fn make_whole(&self, _as_it_is: bool) -> Result<MadeWhole, Error> {
        Ok(MadeWhole::default())
    }

    /// Which disks are nearly full, for people; none where none is.
    fn low_disks(&self) -> Option<String> {
        None
    }

    /// The files that the live configuration mentions, besides what is synced, and that are not here. A store
    /// without a file system has none.
    ///
    /// # Errors
    /// The live configuration cannot be read.
    fn missing_files(&self) -> Result<Vec<MissingFile>, Error> {
        Ok(Vec::new())
    }

    /// Opens a live file, for reading only. Somebody may be replacing it: only the digest of what is read says what it is.
    ///
    /// # Errors
    /// Those of opening; [`NotFound`](io::ErrorKind::NotFound) where it is not there.
    fn open_live(&self, _name: &Name) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// Opens bytes that are kept under their digest, for reading only. Only the digest of what is read says whether they
    /// are whole.
    ///
    /// # Errors
    /// As [`Store::open_live`].
    fn open_kept(&self, _sha256: &Digest) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// The live files as they are now, by name, and whether each is ours to remove.
    ///
    /// # Errors
    /// A live folder cannot be read.
    fn live(&self) -> Result<BTreeMap<Name, LiveFile>, Error>;
}

/// One live file on a standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// Its digests, size and age here.
    pub entry: Entry,
    /// Whether an applied generation named it; only such files are ever removed.
    pub ours: bool,
}

/// Work that waits for a disk.
pub type ToSync = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Bytes on their way into the store.
pub trait Receive: Send {
    /// How many bytes are there already from an earlier try.
    fn received(&self) -> u64;

    /// Adds the next bytes.
    ///
    /// # Errors
    /// More bytes than announced, or the disk fails.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// What has the disk take the bytes that have come, while further ones come; it blocks. None where nothing is gained by
    /// it.
    ///
    /// # Errors
    /// The disk fails: then the transfer has failed, since it may not be said a second time.
    fn begin_to_sync(&self) -> Option<ToSync> {
        None
    }

    /// Checks length and digest and keeps the bytes under their digest. They are durable when the generation that
    /// needs them is applied, not before.
    ///
    /// # Errors
    /// [`crate::error::Kind::Protocol`] when they are not what was announced: then they are thrown away; too few
    /// of them are kept for another try.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}
