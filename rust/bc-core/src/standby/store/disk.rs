//! The store of a standby on its disk.
//!
//! | in the state folder | what |
//! |---|---|
//! | `blobs/` | fetched bytes under their digest |
//! | `generations/` | what was live before, to go back to |
//! | `paused.json` | that an administrator has gone back, and nothing is pulled |
//! | `applied.json` | the generation that is live, which files are ours, and what is kept under names that are withheld |
//! | `journal.json` | an apply that has begun |
//! | `aside/` | local jars that would have doubled a plugin of the primary, after the time when that was; in `edited/` what somebody wrote into a live file |
//! | `staged/` | staged files whose own folder cannot be written |
//! | `live-cache.json` | digests of the live jars, so that a restart need not read them |
//!
//! | module | does |
//! |---|---|
//! | this one | opens the store, and lets it rest while GoCD may start on what is live |
//! | `round` | what is done about one generation: what is missing, what is live, the apply |
//! | `go_live` | carries out a change of the live files: all of it, or nothing |
//! | `prepare` | finds the bytes of what an apply writes, and stages them |
//! | `set_check` | asks the rules for whole sets, with files read ahead |
//! | `interrupted` | finishes or gives up what a crash left |
//! | `look` | what people are told of the live files |
//! | `keep` | keeps generations and removes those that are too many |
//! | `let_go` | lets go of what a promoted node still keeps |
//! | `restore` | goes back to a kept one |
//! | `pause` | remembers that nothing is pulled after that |
//! | `repair` | finds live files and blobs that were changed, and mends them |
//! | `edited` | keeps aside what somebody wrote into a live file |
//! | `take_back` | brings the old set back where a step of the new one fails |
//! | `whole` | reads and mends everything before GoCD starts on it |
//!
//! Staged files are beside their targets as `.gocd-bc-….tmp`, which is never a name that GoCD loads.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    basics::{Clock, Digest, Error, Kind, lock, regular_file, words},
    durable::{FileSystem, OperatingSystem},
    files::FileCache,
    generation::{Acceptance, Envelope, JarName, Layout, ManifestDocument, Name},
    standby::store::{
        Applied, Permit, Position, Receiving, Wanted,
        blobs::{self, Blobs},
        generations::{Generations, KeptGeneration},
        names::Folder,
        receiving,
        record::Record,
        rules::set::Rules,
    },
    status::Paused,
};

mod edited;
mod go_live;
mod interrupted;
mod keep;
mod let_go;
mod look;
mod pause;
mod prepare;
mod repair;
mod restore;
mod round;
mod set_check;
mod steps;
mod take_back;
#[cfg(test)]
mod tests;
mod whole;

pub use interrupted::{abandon, finish_interrupted};
pub use let_go::{drop_kept, forget_applied, highest_epoch, keeps_anything, low, note_primary, release};
pub use repair::Item;
pub use round::Round;

/// The store's own files.
#[derive(Debug)]
pub(super) struct StateFiles {
    pub(super) folder: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) record: PathBuf,
    pub(super) cache: PathBuf,
    /// Local jars that were moved out of GoCD's sight.
    pub(super) aside: PathBuf,
    /// Staged files whose own folder cannot be written.
    pub(super) staged: PathBuf,
}

impl StateFiles {
    /// The paths of the store's own files in its state folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            journal: folder.join("journal.json"),
            record: folder.join("applied.json"),
            cache: folder.join("live-cache.json"),
            aside: folder.join("aside"),
            staged: folder.join("staged"),
            folder: folder.to_owned(),
        }
    }
}

/// What the administrator has set for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Generations that are kept, the applied one included.
    pub generations_keep: usize,
    /// Bytes that must stay free on every disk that is written to.
    pub free_space: u64,
    /// Version of our GoCD, where known.
    pub gocd_version: Option<String>,
    /// Whether the primary's `serverId` may always be another one than ours.
    pub adopts_server_ids: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            generations_keep: 10,
            free_space: 256 << 20,
            gocd_version: None,
            adopts_server_ids: false,
        }
    }
}

/// Keeps generations in a state folder and makes them the live files of one GoCD installation. All calls block; all
/// methods may be called from any thread, those that make a generation live from one at a time.
pub struct DiskStore {
    system: Arc<dyn FileSystem>,
    layout: Layout,
    clock: Arc<dyn Clock>,
    files: StateFiles,
    blobs: Arc<Blobs>,
    /// Locked after `inner` where both are.
    generations: Mutex<Generations>,
    inner: Mutex<Inner>,
    rules: Rules,
    options: Options,
}

struct Inner {
    cache: FileCache,
    record: Record,
    /// When this process made live what is so; none where an earlier one did.
    live_since: Option<Instant>,
    /// While a restored generation is held in place.
    paused: Option<Paused>,
    /// Why an apply could neither be finished nor taken back, while that is so.
    half_live: Option<String>,
    /// How many want it to rest, since GoCD is being released: nothing is made live any more.
    rests: usize,
}

impl DiskStore {
    /// Opens the store of a standby: finishes an apply that a crash interrupted or takes it back, then removes the
    /// temporary files that it left. Where neither is possible the store opens all the same, and
    /// [`DiskStore::half_live`] says so.
    ///
    /// # Errors
    /// [`File`](crate::basics::Kind::File) or [`DiskFull`](crate::basics::Kind::DiskFull) naming the file
    /// or folder.
    pub fn open(state_dir: &Path, layout: &Layout, clock: Arc<dyn Clock>, options: Options) -> Result<Self, Error> {
        Self::open_on(Arc::new(OperatingSystem), state_dir, layout, clock, options)
    }

    /// Opens the store of a standby on this file system, as [`DiskStore::open`].
    fn open_on(
        system: Arc<dyn FileSystem>,
        state_dir: &Path,
        layout: &Layout,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, Error> {
        let files = StateFiles::new(state_dir);
        let mut cache = FileCache::new(Arc::clone(&clock));
        cache.load(&files.cache);
        let mut record = Record::load(&*system, &files.record)?;
        let paused = pause::load(&*system, state_dir, record.generation, clock.now_ms())?;
        let generations = Generations::open(Arc::clone(&system), state_dir, &record)?;
        // Where the record was lost, what comes next is still newer than all that is kept.
        record.serial = record.serial.max(generations.newest_serial());
        let store = Self {
            layout: layout.clone(),
            clock,
            blobs: Arc::new(Blobs::open(Arc::clone(&system), state_dir.join(blobs::FOLDER))?),
            generations: Mutex::new(generations),
            inner: Mutex::new(Inner {
                cache,
                record,
                live_since: None,
                paused,
                half_live: None,
                rests: 0,
            }),
            files,
            system,
            rules: Rules::new(options.gocd_version.clone(), options.adopts_server_ids),
            options,
        };
        let finished = store.finish_journal(&mut store.lock());
        match finished {
            Ok(()) => store.sweep(),
            // What the journal names must stay, and is tried again with every call.
            Err(error) => warn!("{error}"),
        }
        Ok(store)
    }

    /// Has the store make nothing live from now on, or make it again once everybody who wanted that has said so. Waits
    /// for the end of what is being made live: whoever is about to let GoCD start calls this first, and then
    /// [`DiskStore::make_whole`], which still mends.
    pub fn rest(&self, rests: bool) {
        let mut inner = self.lock();
        inner.rests = if rests {
            inner.rests + 1
        } else {
            inner.rests.saturating_sub(1)
        };
    }

    /// Whether the store may make anything live, or rests.
    fn check_restless(&self, inner: &Inner) -> Result<(), Error> {
        if inner.rests == 0 {
            return Ok(());
        }
        Err(Error::new(
            Kind::Busy,
            "GoCD is about to start on the files that are live here, so they stay as they are",
            "See how the promotion goes with `gocd-bc status`.",
        ))
    }

    /// What the store knows, locked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Which names are one in the plugin folder.
    fn plugin_names(&self) -> Folder<'_> {
        Folder {
            system: &*self.system,
            path: self.layout.plugins_external(),
        }
    }

    /// The generation with what was applied here added under the names that the primary withholds. Of a configuration
    /// that it keeps, a primary that cannot read it since its start does not know whether GoCD takes it: that is as it
    /// was.
    fn retaining<'a>(&self, generation: &'a ManifestDocument) -> Cow<'a, ManifestDocument> {
        let generations = self.generations();
        let mut retaining = generation.retaining(generations.known().into_iter().flatten());
        if generation.envelope.acceptance == Acceptance::Unknown
            && retaining.retained.contains(&Name::CruiseConfig)
            && let Some(applied) = generations.applied()
            && applied.files.get(&Name::CruiseConfig) == retaining.files.get(&Name::CruiseConfig)
            && applied.envelope.acceptance != Acceptance::Unknown
        {
            let envelope = &mut retaining.to_mut().envelope;
            (envelope.acceptance, envelope.rejected) = (applied.envelope.acceptance, applied.envelope.rejected);
        }
        retaining
    }

    /// Whether a file of the generation stays as it is, since its bytes are neither here nor to be had from the
    /// primary.
    fn is_out_of_reach(&self, generation: &ManifestDocument, name: &Name) -> Result<bool, Error> {
        match generation.files.get(name) {
            Some(entry) if generation.retained.contains(name) => Ok(!self.blobs.has(&entry.sha256, entry.size)?),
            _ => Ok(false),
        }
    }

    /// The generation without further files that this node's own setting does not name, and what to say of them.
    fn of_this_node<'a>(&self, generation: &'a ManifestDocument) -> (Cow<'a, ManifestDocument>, Option<String>) {
        let not_here: Vec<&Name> = generation
            .files
            .keys()
            .filter(|name| !self.layout.syncs(name))
            .collect();
        if not_here.is_empty() {
            return (Cow::Borrowed(generation), None);
        }
        let mut own = generation.clone();
        own.files.retain(|name, _| self.layout.syncs(name));
        let warning = format!(
            "the primary also syncs {}, which bc.sync.extra of this node does not name: set it here to the same list",
            words::list(&not_here)
        );
        (Cow::Owned(own), Some(warning))
    }
}

/// The jars among these names.
fn jars<'a>(names: impl IntoIterator<Item = &'a Name>) -> impl Iterator<Item = &'a JarName> {
    names.into_iter().filter_map(|name| match name {
        Name::Plugin(jar) => Some(jar),
        _ => None,
    })
}

impl DiskStore {
    /// Whether this store's node syncs a file of this name.
    pub fn syncs(&self, name: &Name) -> bool {
        self.layout.syncs(name)
    }

    /// Begins or resumes receiving these bytes into the store.
    ///
    /// # Errors
    /// No room or no permission, naming the folder.
    pub fn receive(&self, wanted: &Wanted) -> Result<Receiving, Error> {
        receiving::receive(&self.blobs, wanted)
    }

    /// The bytes that [`Wanted::former`] names. None where they are not to be had; somebody may be writing them, so
    /// that only the digest of what is made of them says whether they are these.
    pub fn former(&self, wanted: &Wanted) -> Option<Bytes> {
        let path = self.layout.path_of(&wanted.name);
        let is_usual =
            fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= receiving::IN_MEMORY);
        is_usual
            .then(|| regular_file::read(&path, receiving::IN_MEMORY).ok())
            .flatten()
            .map(Bytes::from)
    }

    /// Applies a generation of which all bytes are here: a round without a fetch.
    ///
    /// # Errors
    /// As [`Round::begin`] and [`Round::apply`].
    pub fn apply(&self, generation: &ManifestDocument, allowed: Permit) -> Result<Applied, Error> {
        self.check_restless(&self.lock())?;
        Round::begin(self, Arc::new(generation.clone()))?.apply(self, allowed)
    }

    /// The position of the generation that this store applied last and that is still live; none before the first time.
    pub fn position(&self) -> Option<Position> {
        let inner = self.lock();
        Some(Position {
            generation: inner.record.generation?,
            epoch: inner.record.epoch.clone(),
            sequence: inner.record.sequence,
            applied_ms: inner.record.applied_ms,
        })
    }

    /// The kept generation that was applied last; none before the first time, and where nothing is kept.
    pub fn applied(&self) -> Option<KeptGeneration> {
        let inner = self.lock();
        let generations = self.generations();
        let document = generations.applied()?;
        Some(KeptGeneration::of(document, inner.record.applied_ms))
    }

    /// Notes in the store what the primary's GoCD thinks of the configuration of this generation, if it is the one that
    /// is live.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn note_acceptance(&self, generation: &Digest, heard: &Envelope) -> Result<(), Error> {
        let inner = self.lock();
        let mut generations = self.generations();
        if generations
            .applied()
            .is_none_or(|applied| applied.generation != *generation)
        {
            return Ok(());
        }
        generations.note_acceptance(heard, &inner.record)
    }

    /// Since when the store is paused. Set while a restored generation is held in place and nothing must be pulled;
    /// survives a restart.
    pub fn paused(&self) -> Option<Paused> {
        self.lock().paused.clone()
    }

    /// Finishes a set that an error of the disk left half live in this store; does nothing where none is. To be called
    /// before GoCD starts on the live files.
    ///
    /// # Errors
    /// The disk fails still: the live files are a part of each set.
    pub fn finish_interrupted(&self) -> Result<(), Error> {
        self.finish_journal(&mut self.lock())
    }
}
