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
//! | `go_live` | makes a generation live: all of it, or nothing |
//! | `prepare` | finds the bytes of what an apply writes, and stages them |
//! | `judge` | asks the rules for whole sets, with files read ahead |
//! | `interrupted` | finishes or gives up what a crash left |
//! | `keep` | keeps generations and removes those that are too many |
//! | `let_go` | lets go of what a promoted node still keeps |
//! | `restore` | goes back to a kept one |
//! | `repair` | finds live files and blobs that were changed, and mends them |
//! | `take_back` | brings the old set back where a step of the new one fails |
//! | `whole` | reads and mends everything before GoCD starts on it |
//!
//! Staged files are beside their targets as `.gocd-bc-….tmp`, which is never a name that GoCD loads.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use tracing::warn;

use crate::{
    clock::Clock,
    digest::Digest,
    error::Error,
    jar_name::JarName,
    layout::Layout,
    manifest::{Acceptance, ManifestDocument, Name, PluginIdentity},
    regular_file,
    scan::{self, file_cache::FileCache},
    status::{MissingFile, Paused},
    store::{
        Allowed, Applied, LiveFile, MadeWhole, Position, Receive, Repaired, Restored, Store, Wanted,
        apply::{Hands, Probe, StateFiles},
        blobs::{self, Blobs},
        filesystem::{FileSystem, OperatingSystem},
        generations::{Generations, KeptGeneration},
        live::{self, Live},
        names::Folder,
        receiving,
        record::Record,
        room,
        rules::{self, set::Rules},
    },
};

mod go_live;
mod interrupted;
mod judge;
mod keep;
mod let_go;
mod prepare;
mod repair;
mod restore;
mod take_back;
#[cfg(test)]
mod tests;
mod whole;

pub use interrupted::{abandon, settle};
pub use let_go::{drop_kept, forget_applied, keeps_anything, low, release};
pub use repair::Item;

/// So long the plugins need not be looked at again.
const FRESH: Duration = Duration::from_millis(100);

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

/// Keeps generations in a state folder and makes them the live files of one GoCD installation.
pub struct DiskStore {
    system: Arc<dyn FileSystem>,
    layout: Layout,
    clock: Arc<dyn Clock>,
    files: StateFiles,
    blobs: Arc<Blobs>,
    /// Locked after `inner` where both are.
    generations: Mutex<Generations>,
    inner: Mutex<Inner>,
    probe: Probe,
    rules: Rules,
    options: Options,
}

struct Inner {
    cache: FileCache,
    record: Record,
    /// While a restored generation is held in place.
    paused: Option<Paused>,
    /// What the last look at all live files found, unless an apply began since.
    seen: Option<Seen>,
    /// A look that was taken for the next apply.
    ahead: Option<(Instant, Live)>,
    /// Why an apply could neither be finished nor taken back, while that is so.
    half_live: Option<String>,
    /// How many want it to rest, since GoCD is being released: nothing is made live any more.
    rests: usize,
}

/// A look at all live files.
struct Seen {
    digests: HashSet<Digest>,
    /// That of cruise-config.xml.
    config: Option<Digest>,
    jars: BTreeSet<JarName>,
    own_jars: BTreeMap<JarName, PluginIdentity>,
}

impl Seen {
    fn of(live: &Live) -> Self {
        Self {
            digests: live.files.values().map(|entry| entry.sha256).collect(),
            config: live.files.get(&Name::CruiseConfig).map(|entry| entry.sha256),
            jars: live.jars(),
            own_jars: live.own_jars.clone(),
        }
    }
}

impl DiskStore {
    /// Opens the store: finishes an apply that a crash interrupted or takes it back, then removes the temporary files
    /// that it left. Where neither is possible the store opens all the same, and [`DiskStore::half_live`] says so.
    ///
    /// # Errors
    /// [`File`](crate::error::Kind::File) or [`DiskFull`](crate::error::Kind::DiskFull) naming the file or folder.
    pub fn open(state_dir: &Path, layout: &Layout, clock: Arc<dyn Clock>, options: Options) -> Result<Self, Error> {
        let system = Arc::new(OperatingSystem);
        Self::open_on(system, state_dir, layout, clock, options, Arc::new(|_| Ok(())))
    }

    fn open_on(
        system: Arc<dyn FileSystem>,
        state_dir: &Path,
        layout: &Layout,
        clock: Arc<dyn Clock>,
        options: Options,
        probe: Probe,
    ) -> Result<Self, Error> {
        let files = StateFiles::new(state_dir);
        let mut cache = FileCache::new(Arc::clone(&clock));
        cache.load(&files.cache);
        let mut record = Record::load(&*system, &files.record)?;
        let paused = restore::load(&*system, state_dir, record.generation, clock.now_ms())?;
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
                paused,
                seen: None,
                ahead: None,
                half_live: None,
                rests: 0,
            }),
            files,
            probe,
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

    /// Makes nothing live from now on, or does again once everybody who wanted that has said so. Waits for the end of
    /// what is being made live: whoever is about to let GoCD start calls this first, and then [`Store::make_whole`],
    /// which still mends.
    pub fn rest(&self, rests: bool) {
        let mut inner = self.lock();
        inner.rests = if rests {
            inner.rests + 1
        } else {
            inner.rests.saturating_sub(1)
        };
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which names are one in the plugin folder.
    fn plugin_names(&self) -> Folder<'_> {
        Folder {
            system: &*self.system,
            path: self.layout.plugins_external(),
        }
    }

    fn hands(&self) -> Hands<'_> {
        Hands {
            system: &*self.system,
            blobs: &self.blobs,
            files: &self.files,
            probe: &self.probe,
        }
    }

    /// The generation with what was applied here under the names that the primary withholds. Of a configuration that it
    /// keeps, a primary that cannot read it since its start does not know whether GoCD takes it: that is as it was.
    fn retaining<'a>(&self, generation: &'a ManifestDocument) -> Cow<'a, ManifestDocument> {
        let generations = self.generations();
        let mut retaining = generation.retaining(generations.known().into_iter().flatten());
        if generation.envelope.acceptance == Acceptance::Unknown
            && retaining.retained.contains(&Name::CruiseConfig)
            && let Some(applied) = generations.applied()
            && applied.files.get(&Name::CruiseConfig) == retaining.files.get(&Name::CruiseConfig)
            && applied.envelope.acceptance != Acceptance::Unknown
        {
            retaining.to_mut().envelope.acceptance = applied.envelope.acceptance;
        }
        retaining
    }

    /// Whether a file of the generation stays as it is, since its bytes are neither here nor to be had from the primary.
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
        let names: Vec<String> = not_here.iter().map(|name| name.to_string()).collect();
        let mut own = generation.clone();
        own.files.retain(|name, _| self.layout.syncs(name));
        let warning = format!(
            "the primary also syncs {}, which bc.sync.extra of this node does not name: set it here to the same list",
            names.join(", ")
        );
        (Cow::Owned(own), Some(warning))
    }

    /// What is neither in the store nor among the live files of a generation, and that generation as it is on this node.
    fn lacking<'a>(&self, generation: &'a ManifestDocument) -> Result<(Cow<'a, ManifestDocument>, Vec<Wanted>), Error> {
        let mut inner = self.lock();
        self.finish_journal(&mut inner)?;
        // The apply looks anyway, and then at what it replaces. A look at hundreds of files is worth a tenth of the
        // time that a change takes.
        let seen = match inner.seen.take() {
            Some(seen) => seen,
            None => Seen::of(&live::read(&self.layout, &mut inner.cache)?),
        };
        let own = self.retaining(generation);
        let own = match self.of_this_node(&own).0 {
            Cow::Owned(fewer) => Cow::Owned(fewer),
            Cow::Borrowed(_) => own,
        };
        let generation = own.as_ref();
        rules::manifest(generation, &seen.own_jars)?;
        self.plugin_names()
            .judge(jars(generation.files.keys()), &seen.jars, &seen.own_jars)?;
        self.generations().pin(generation);
        let mut missing: BTreeMap<Digest, Wanted> = BTreeMap::new();
        for (name, entry) in &generation.files {
            if seen.digests.contains(&entry.sha256) || self.blobs.has(&entry.sha256, entry.size)? {
                continue;
            }
            missing
                .entry(entry.sha256)
                .or_insert_with(|| Wanted::new(name, entry, seen.config.as_ref()));
        }
        inner.seen = Some(seen);
        drop(inner);
        Ok((own, missing.into_values().collect()))
    }
}

/// The jars among these names.
fn jars<'a>(names: impl IntoIterator<Item = &'a Name>) -> impl Iterator<Item = &'a JarName> {
    names.into_iter().filter_map(|name| match name {
        Name::Plugin(jar) => Some(jar),
        _ => None,
    })
}

impl Store for DiskStore {
    fn syncs(&self, name: &Name) -> bool {
        self.layout.syncs(name)
    }

    fn missing(&self, generation: &ManifestDocument) -> Result<Vec<Wanted>, Error> {
        let (generation, missing) = self.lacking(generation)?;
        let is_to_come = |wanted: &Wanted| !generation.retained.contains(&wanted.name);
        let missing: Vec<Wanted> = missing.into_iter().filter(is_to_come).collect();
        let needed = missing
            .iter()
            .map(|wanted| wanted.size.saturating_sub(self.blobs.partial_size(&wanted.sha256)))
            .sum();
        self.make_room(self.blobs.folder(), needed)?;
        Ok(missing)
    }

    fn receive(&self, wanted: &Wanted) -> Result<Box<dyn Receive>, Error> {
        Ok(Box::new(receiving::receive(&self.blobs, wanted)?))
    }

    fn former(&self, wanted: &Wanted) -> Option<Bytes> {
        let path = scan::path_of(&self.layout, &wanted.name);
        let is_usual =
            fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= receiving::IN_MEMORY);
        is_usual
            .then(|| regular_file::read(&path, receiving::IN_MEMORY).ok())
            .flatten()
            .map(Bytes::from)
    }

    fn look_ahead(&self) {
        let inner = &mut *self.lock();
        let live = live::read(&self.layout, &mut inner.cache);
        inner.ahead = live.ok().map(|live| (Instant::now(), live));
    }

    fn apply(&self, generation: &ManifestDocument, allowed: Allowed) -> Result<Applied, Error> {
        let generation = &*self.retaining(generation);
        // A large configuration takes a few milliseconds to read through: meanwhile the disk is busy with its copy.
        let applied = thread::scope(|scope| {
            let reader = thread::Builder::new()
                .name("bc-judge".to_owned())
                .spawn_scoped(scope, || self.read_ahead(generation));
            self.apply_once_read(generation, allowed, || {
                // Without a thread, and after a panic in it, the judge reads the files itself.
                let _ = reader.map(|reader| reader.join());
            })
        });
        // What was fetched for one that failed may be applied yet. Where that cannot be written, it stays in memory.
        let _ = self.blobs.settle();
        applied
    }

    fn position(&self) -> Option<Position> {
        let inner = self.lock();
        Some(Position {
            generation: inner.record.generation?,
            epoch: inner.record.epoch.clone(),
            sequence: inner.record.sequence,
            applied_ms: inner.record.applied_ms,
        })
    }

    fn applied(&self) -> Option<KeptGeneration> {
        self.applied_now()
    }

    fn note_acceptance(&self, generation: &Digest, acceptance: Acceptance) -> Result<(), Error> {
        let inner = self.lock();
        let mut generations = self.generations();
        if generations
            .applied()
            .is_none_or(|applied| applied.generation != *generation)
        {
            return Ok(());
        }
        generations.note_acceptance(acceptance, &inner.record)
    }

    fn paused(&self) -> Option<Paused> {
        self.lock().paused.clone()
    }

    fn restore(&self, id: &str) -> Result<Restored, Error> {
        self.go_back(id)
    }

    fn resume(&self) -> Result<(), Error> {
        self.pause(None)
    }

    fn back_to_accepted(&self, wait: Duration) -> Result<Option<Restored>, Error> {
        self.go_back_to_accepted(wait)
    }

    fn repair(&self, suspects: &[Name]) -> Result<Repaired, Error> {
        self.mend(suspects)
    }

    fn altered(&self) -> Result<Vec<Name>, Error> {
        self.look()
    }

    fn settle(&self) -> Result<(), Error> {
        self.finish_journal(&mut self.lock())
    }

    fn make_whole(&self, as_it_is: bool) -> Result<MadeWhole, Error> {
        self.read_and_mend(as_it_is)
    }

    fn low_disks(&self) -> Option<String> {
        let folders = [
            self.blobs.folder(),
            self.layout.plugins_external(),
            self.layout.pair_dir(),
        ];
        room::warning(folders, room::LOW)
    }

    fn missing_files(&self) -> Result<Vec<MissingFile>, Error> {
        let mut inner = self.lock();
        let live = live::read_one(&self.layout, &mut inner.cache, Name::CruiseConfig)?;
        drop(inner);
        self.find_missing_files(&live)
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(regular_file::open(&scan::path_of(&self.layout, name))?))
    }

    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        Ok(match self.blobs.in_memory(sha256) {
            Some(bytes) => Box::new(bytes.reader()),
            None => Box::new(regular_file::open(&self.blobs.path(sha256))?),
        })
    }

    fn live(&self) -> Result<BTreeMap<Name, LiveFile>, Error> {
        let mut inner = self.lock();
        let mut live = live::read(&self.layout, &mut inner.cache)?;
        inner.seen = Some(Seen::of(&live));
        self.plugin_names().respell(&mut live, jars(&inner.record.ours))?;
        inner.cache.save(&self.files.cache);
        let ours = &inner.record.ours;
        Ok(live
            .files
            .into_iter()
            // GoCD since 21.1 ignores an old DES key, and so do people unless it is synced.
            .filter(|(name, _)| *name != Name::CipherDes || ours.contains(name))
            .map(|(name, entry)| {
                let ours = ours.contains(&name);
                (name, LiveFile { entry, ours })
            })
            .collect())
    }
}
