//! A store that forgets everything at its end: for tests, and for measuring everything but disks.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Cursor, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    clock::Clock,
    digest::{Digest, Digests},
    error::{Error, Kind},
    jar_name::JarName,
    manifest::{Entry, ManifestDocument, Name, PluginIdentity},
    scan::descriptor::Jar,
    store::{
        Allowed, Applied, LiveFile, Position, Receive, Store, Wanted,
        guard::Guard,
        plan, receiving,
        rules::{
            self,
            set::{Rules, Set, Which},
        },
    },
};

/// Keeps blobs and live files in memory. Keeps to the same rules as the store on a disk.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    rules: Rules,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    blobs: HashMap<Digest, Bytes>,
    partial: HashMap<Digest, Vec<u8>>,
    live: BTreeMap<Name, (Entry, Bytes)>,
    own_jars: BTreeMap<JarName, PluginIdentity>,
    ours: BTreeSet<Name>,
    guard: Guard,
    position: Option<Position>,
}

impl MemoryStore {
    /// An empty store without live files, on a node of which the version of GoCD is not known.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            rules: Rules::new(None, false),
            inner: Arc::default(),
        }
    }

    /// The same beside this version of GoCD.
    #[must_use]
    pub fn with_gocd_version(self, version: &str) -> Self {
        Self {
            rules: Rules::new(Some(version.to_owned()), false),
            ..self
        }
    }

    /// Puts a live file there, as if an administrator had.
    pub fn put(&self, name: Name, bytes: impl Into<Bytes>) {
        let (now_ms, bytes) = (self.clock.now_ms(), bytes.into());
        self.lock().put(name, bytes, now_ms);
    }

    /// The bytes of a live file.
    pub fn bytes(&self, name: &Name) -> Option<Bytes> {
        self.lock().live.get(name).map(|(_, bytes)| bytes.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, name: Name, bytes: Bytes, now_ms: i64) {
        let jar = matches!(name, Name::Plugin(_)).then(|| Jar::inspect(Cursor::new(&bytes)));
        let identity = jar.as_ref().and_then(Jar::identity).cloned();
        if let (Name::Plugin(file), Some(identity), true) = (&name, &identity, jar.is_some_and(|jar| jar.is_own())) {
            self.own_jars.insert(file.clone(), identity.clone());
            return;
        }
        let entry = Entry::new(Digests::of(&bytes), now_ms, identity);
        self.live.insert(name, (entry, bytes));
    }

    /// The generation with our files under the names that the primary withholds.
    fn retaining<'a>(&self, generation: &'a ManifestDocument) -> Cow<'a, ManifestDocument> {
        let is_applied = |name: &Name| self.ours.contains(name) && !self.guard.kept().contains(name);
        let live = self.live.iter().filter(|(name, _)| is_applied(name));
        generation.retaining(live.map(|(name, (entry, _))| (name, entry)))
    }

    fn find(&self, digest: &Digest) -> Option<Bytes> {
        let live = || {
            let mut files = self.live.values();
            files.find(|(entry, _)| entry.sha256 == *digest).map(|(_, bytes)| bytes)
        };
        self.blobs.get(digest).or_else(live).cloned()
    }
}

impl Store for MemoryStore {
    fn missing(&self, generation: &ManifestDocument) -> Result<Vec<Wanted>, Error> {
        let inner = self.lock();
        rules::manifest(&inner.retaining(generation), &inner.own_jars)?;
        let mut missing: BTreeMap<Digest, Wanted> = BTreeMap::new();
        for (name, entry) in &generation.files {
            if inner.find(&entry.sha256).is_none() {
                let live = inner.live.get(name).map(|(live, _)| &live.sha256);
                missing
                    .entry(entry.sha256)
                    .or_insert_with(|| Wanted::new(name, entry, live));
            }
        }
        Ok(missing.into_values().collect())
    }

    fn receive(&self, wanted: &Wanted) -> Result<Box<dyn Receive>, Error> {
        let bytes = self.lock().partial.remove(&wanted.sha256).unwrap_or_default();
        Ok(Box::new(Receiving {
            wanted: wanted.clone(),
            bytes,
            inner: Arc::clone(&self.inner),
        }))
    }

    fn former(&self, wanted: &Wanted) -> Option<Bytes> {
        self.bytes(&wanted.name)
    }

    fn apply(&self, generation: &ManifestDocument, allowed: Allowed) -> Result<Applied, Error> {
        let mut inner = self.lock();
        let generation = &*inner.retaining(generation);
        rules::manifest(generation, &inner.own_jars)?;
        let live = inner
            .live
            .iter()
            .map(|(name, (entry, _))| (name.clone(), entry.clone()));
        let now_ms = self.clock.now_ms();
        let live = live.collect();
        let mut plan = plan::plan(generation, &live, &inner.ours, &inner.guard, allowed.deletions, now_ms);
        let mut writes = Vec::new();
        for (name, entry) in &plan.write {
            let bytes = inner.find(&entry.sha256).ok_or_else(|| {
                Error::new(
                    Kind::Superseded,
                    format!("the bytes of {name} are not in the store any more"),
                    "",
                )
            })?;
            if let Name::Plugin(_) = name {
                rules::plugin(name, &Jar::inspect(Cursor::new(&bytes)))?;
            }
            writes.push((name.clone(), bytes));
        }
        let before = inner.position.as_ref().map(|position| position.generation);
        let allowed = allowed.for_repair(before == Some(generation.generation));
        let read = |which: Which<'_>| {
            let digest = match which {
                Which::New(name) => generation.files.get(name).map(|entry| entry.sha256),
                Which::Live(name) => inner.live.get(name).map(|(entry, _)| entry.sha256),
            };
            let bytes = digest.and_then(|digest| inner.find(&digest));
            Ok(bytes.expect("only files that are there are read"))
        };
        plan.warnings.extend(self.rules.judge(&Set {
            generation,
            live: &live,
            allowed,
            read: &read,
        })?);
        let changes = !plan.is_empty();
        let written = writes.iter().map(|(name, _)| name.clone()).collect();
        for (name, bytes) in writes {
            inner.put(name, bytes, now_ms);
        }
        for jar in plan.set_aside {
            inner.live.remove(&Name::Plugin(jar));
        }
        for name in &plan.remove {
            inner.live.remove(name);
        }
        let is_open = |name: &&Name| generation.withheld.reason(name).is_some();
        let open = inner.ours.iter().filter(is_open).cloned();
        inner.ours = generation.files.keys().chain(&plan.kept).cloned().chain(open).collect();
        inner.guard = plan.guard;
        inner.blobs.clear();
        let live = inner.position.as_ref();
        let applied_ms = live
            .filter(|live| !changes || live.generation == generation.generation)
            .map_or(now_ms, |live| live.applied_ms);
        inner.position = Some(Position {
            applied_ms,
            generation: generation.generation,
            epoch: generation.envelope.epoch.clone(),
            sequence: generation.envelope.sequence,
        });
        Ok(Applied {
            written,
            removed: plan.remove,
            kept: plan.kept,
            drift: Vec::new(),
            warnings: plan.warnings,
        })
    }

    /// Nobody but the store reaches its files.
    fn altered(&self) -> Result<Vec<Name>, Error> {
        Ok(Vec::new())
    }

    fn position(&self) -> Option<Position> {
        self.lock().position.clone()
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        let bytes = self.bytes(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        let bytes = self.lock().blobs.get(sha256).cloned();
        Ok(Box::new(Cursor::new(bytes.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn live(&self) -> Result<BTreeMap<Name, LiveFile>, Error> {
        let inner = self.lock();
        let file = |(name, (entry, _)): (&Name, &(Entry, Bytes))| {
            let live = LiveFile {
                entry: entry.clone(),
                ours: inner.ours.contains(name),
            };
            (name.clone(), live)
        };
        Ok(inner.live.iter().map(file).collect())
    }
}

struct Receiving {
    wanted: Wanted,
    bytes: Vec<u8>,
    inner: Arc<Mutex<Inner>>,
}

impl Receive for Receiving {
    fn received(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.received() + bytes.len() as u64 > self.wanted.size {
            self.bytes.clear();
            return Err(receiving::too_long(&self.wanted));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        if self.received() < self.wanted.size {
            return Err(receiving::too_short(&self.wanted, self.received()));
        }
        let bytes = std::mem::take(&mut self.bytes);
        let digest = Digest::of(&bytes);
        if digest != self.wanted.sha256 {
            return Err(receiving::wrong_digest(&self.wanted, &digest));
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.blobs.insert(digest, bytes.into());
        Ok(())
    }
}

/// What a broken transfer brought is kept for the next one.
impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner
                .partial
                .insert(self.wanted.sha256, std::mem::take(&mut self.bytes));
        }
    }
}
