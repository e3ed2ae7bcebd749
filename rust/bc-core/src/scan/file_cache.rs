//! Digests of files, computed again only where a file may have changed.
//!
//! Reading never takes a lock: in GoCD's own process a POSIX lock of ours would not conflict with Java's, and
//! closing our descriptor would drop GoCD's. Instead the file is looked at before and after, and a file that is
//! young enough to be in somebody's hands is compared with a second reading.
//!
//! `read` opens and reads files; `saved` keeps what is known of jars over a restart.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Seek},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;

use crate::{
    clock::Clock,
    digest::{self, Digest, Digests},
    manifest::PluginIdentity,
    regular_file,
    scan::{
        descriptor::{self, Jar},
        stamp::Stamp,
    },
};

mod read;
mod saved;

use read::reads_as;

/// Threads that read at once where many files are new.
const MAX_READERS: usize = 4;

/// What is to be known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its digests.
    Digests,
    /// Its digests and bytes, of which there may be so many: they stay in memory.
    Bytes { largest: u64 },
    /// Its digests and which plugin it is. It is read in pieces, whatever its size.
    Jar,
}

/// A file that was read while nobody wrote it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) stamp: Stamp,
    pub(crate) digests: Digests,
    pub(crate) bytes: Option<Bytes>,
    pub(crate) jar: Option<Jar>,
    /// The digest of a jar's list of files, where it was read and is one.
    pub(crate) list: Option<Digest>,
}

/// What is at a path.
#[derive(Debug, Clone)]
pub(crate) enum Observed {
    /// Nothing.
    Absent,
    /// A link to something that is not there: its disk may not be mounted.
    Dangling,
    /// Something that is never opened; the text follows its name.
    Irregular(&'static str),
    /// Somebody is writing it.
    Changing,
    /// A jar of our own plugin, which is not even hashed.
    Own(PluginIdentity),
    /// A file.
    File(Arc<Known>),
}

/// The files that one reader of folders knows.
pub(crate) struct FileCache {
    clock: Arc<dyn Clock>,
    entries: HashMap<PathBuf, Entry>,
    round: u64,
    /// Whether a saved form would say something new.
    is_dirty: bool,
}

#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    is_settled: bool,
    content: Content,
    round: u64,
}

#[derive(Debug, Clone)]
enum Content {
    Own(PluginIdentity),
    File(Arc<Known>),
}

impl Content {
    fn observed(&self) -> Observed {
        match self {
            Content::Own(identity) => Observed::Own(identity.clone()),
            Content::File(known) => Observed::File(Arc::clone(known)),
        }
    }

    fn has(&self, keep: Keep) -> bool {
        match self {
            Content::Own(_) => keep == Keep::Jar,
            Content::File(known) => match keep {
                Keep::Digests => true,
                Keep::Bytes { .. } => known.bytes.is_some(),
                Keep::Jar => known.jar.is_some(),
            },
        }
    }

    /// Only large files are worth saving.
    fn is_saved(&self) -> bool {
        self.has(Keep::Jar)
    }
}

impl FileCache {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            entries: HashMap::new(),
            round: 0,
            is_dirty: false,
        }
    }

    /// Looks at a path, and reads the file only if it is not known or may have changed since.
    /// A link to a regular file counts as that file; pipes and devices are never opened.
    ///
    /// # Errors
    /// Those of the operating system; that there is nothing is none.
    pub(crate) fn observe(&mut self, path: &Path, keep: Keep) -> io::Result<Observed> {
        self.observe_listed(path, None, keep)
    }

    /// The same of a path that is no link and of which `listed` was said just now.
    ///
    /// # Errors
    /// As [`FileCache::observe`].
    pub(crate) fn observe_listed(&mut self, path: &Path, listed: Option<Metadata>, keep: Keep) -> io::Result<Observed> {
        let now_ms = self.clock.now_ms();
        let metadata = match listed.map_or_else(|| fs::metadata(path), Ok) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing_at(path),
            Err(error) => return Err(error),
        };
        if !metadata.is_file() {
            return Ok(Observed::Irregular("is no regular file"));
        }
        let round = self.round;
        if self.knows(path, &Stamp::of(&metadata), keep)
            && let Some(entry) = self.entries.get_mut(path)
        {
            entry.round = round;
            return Ok(entry.content.observed());
        }
        self.read(path, keep, now_ms)
    }

    /// Reads files that were never read before on all processors: a first look at hundreds of jars is what a standby
    /// waits for. Ends early once `stopped` says so. What cannot be read is left to [`FileCache::observe`].
    pub(crate) fn read_ahead<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a Path>,
        keep: Keep,
        stopped: impl Fn() -> bool + Sync,
    ) {
        let unknown: Vec<&Path> = paths.filter(|path| !self.entries.contains_key(*path)).collect();
        if unknown.len() < 2 {
            return;
        }
        let readers = thread::available_parallelism().map_or(1, usize::from).min(MAX_READERS);
        if readers < 2 {
            return;
        }
        let (next, now_ms) = (AtomicUsize::new(0), self.clock.now_ms());
        let read_some = || {
            let mut read = Vec::new();
            while let Some(path) = unknown.get(next.fetch_add(1, Ordering::Relaxed))
                && !stopped()
            {
                if let Ok(Some(found)) = self.examine(path, keep, now_ms) {
                    read.push((*path, found));
                }
            }
            read
        };
        let read: Vec<_> = thread::scope(|scope| {
            let spawn = |_| {
                thread::Builder::new()
                    .name("bc-read".to_owned())
                    .spawn_scoped(scope, read_some)
            };
            let helpers: Vec<_> = (1..readers).map_while(|number| spawn(number).ok()).collect();
            let own = read_some();
            let others = helpers
                .into_iter()
                .flat_map(|helper| helper.join().expect("reading does not panic"));
            own.into_iter().chain(others).collect()
        });
        for (path, (stamp, is_settled, content)) in read {
            self.insert(path, stamp, is_settled, content);
        }
    }

    fn read(&mut self, path: &Path, keep: Keep, now_ms: i64) -> io::Result<Observed> {
        let Some((stamp, is_settled, content)) = self.examine(path, keep, now_ms)? else {
            return Ok(Observed::Changing);
        };
        let observed = content.observed();
        self.insert(path, stamp, is_settled, content);
        Ok(observed)
    }

    /// Reads a file; nothing where somebody is writing it.
    fn examine(&self, path: &Path, keep: Keep, now_ms: i64) -> io::Result<Option<(Stamp, bool, Content)>> {
        let mut file = match regular_file::open_anything(path) {
            Ok(file) => file,
            // It went between looking and opening.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let before = file.metadata()?;
        if !before.is_file() {
            return Ok(None);
        }
        let stamp = Stamp::of(&before);
        let is_settled = stamp.is_settled(now_ms);
        let content = self.content(path, &mut file, stamp, keep, is_settled)?;
        let is_stable = Stamp::of(&file.metadata()?) == stamp;
        Ok(content
            .filter(|_| is_stable)
            .map(|content| (stamp, is_settled, content)))
    }

    /// Nothing where a second reading differs from the first.
    fn content(
        &self,
        path: &Path,
        file: &mut File,
        stamp: Stamp,
        keep: Keep,
        is_settled: bool,
    ) -> io::Result<Option<Content>> {
        let mut list = None;
        let (digests, bytes, jar) = match keep {
            Keep::Digests => (digest::hash(&mut *file)?, None, None),
            Keep::Jar => {
                let jar = Jar::read(&mut *file)?;
                if let Jar::Plugin(identity) = &jar
                    && jar.is_own()
                {
                    return Ok(Some(Content::Own(identity.clone())));
                }
                list = descriptor::list(&mut *file);
                file.rewind()?;
                (digest::hash(&mut *file)?, None, Some(jar))
            }
            Keep::Bytes { largest } => {
                let bytes = Bytes::from(regular_file::whole(file, stamp.size(), largest)?);
                let digests = self.digests(path, &bytes);
                // A writer that overwrites without truncating keeps size and, for the length of one call, times.
                if !is_settled && !reads_as(file, &bytes)? {
                    return Ok(None);
                }
                (digests, Some(bytes), None)
            }
        };
        Ok(Some(Content::File(Arc::new(Known {
            stamp,
            digests,
            bytes,
            jar,
            list,
        }))))
    }

    /// Comparing with the bytes that are known is much quicker than hashing.
    fn digests(&self, path: &Path, bytes: &Bytes) -> Digests {
        if let Some(Entry {
            content: Content::File(known),
            ..
        }) = self.entries.get(path)
            && known.bytes.as_ref() == Some(bytes)
        {
            return known.digests.clone();
        }
        Digests::of(bytes)
    }

    fn insert(&mut self, path: &Path, stamp: Stamp, is_settled: bool, content: Content) {
        self.is_dirty |= content.is_saved();
        let entry = Entry {
            stamp,
            is_settled,
            content,
            round: self.round,
        };
        self.entries.insert(path.to_owned(), entry);
    }

    /// Notes a file that was just renamed into its place and whose bytes were verified before.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn placed(&mut self, path: &Path, digests: Digests, jar: Option<Jar>) -> io::Result<()> {
        let stamp = Stamp::of(&fs::metadata(path)?);
        let is_settled = stamp.is_settled_since_placed(self.clock.now_ms());
        let known = Known {
            stamp,
            digests,
            bytes: None,
            jar,
            list: None,
        };
        self.insert(path, stamp, is_settled, Content::File(Arc::new(known)));
        Ok(())
    }

    /// Whether a file that looks like this need not be read again.
    pub(crate) fn knows(&self, path: &Path, stamp: &Stamp, keep: Keep) -> bool {
        let entry = self.entries.get(path);
        entry.is_some_and(|entry| entry.is_settled && entry.stamp == *stamp && entry.content.has(keep))
    }

    /// What was known of a file that is no jar of ours, whatever it is now.
    pub(crate) fn known(&self, path: &Path) -> Option<Arc<Known>> {
        match &self.entries.get(path)?.content {
            Content::File(known) => Some(Arc::clone(known)),
            Content::Own(_) => None,
        }
    }

    /// What was known of a file that is not looked at or read now stays known.
    pub(crate) fn remember(&mut self, path: &Path) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.round = self.round;
        }
    }

    /// Whether a file in this folder is known.
    pub(crate) fn knows_any_in(&self, folder: &Path) -> bool {
        self.entries.keys().any(|path| path.parent() == Some(folder))
    }

    /// The next look at this file reads it.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.is_dirty |= self.entries.remove(path).is_some();
    }

    /// The stamp under which a file is known and sure to be unchanged.
    pub(crate) fn stamp(&self, path: &Path) -> Option<Stamp> {
        let entry = self.entries.get(path).filter(|entry| entry.is_settled)?;
        let metadata = fs::metadata(path).ok()?;
        (entry.stamp == Stamp::of(&metadata)).then_some(entry.stamp)
    }

    /// Notes that we ourselves gave a file another name, or took one from it: since `before` only the time of that
    /// differs.
    pub(crate) fn relinked(&mut self, path: &Path, before: Stamp) {
        if let Some(entry) = self.entries.get_mut(path)
            && let Ok(metadata) = fs::metadata(path)
            && entry.stamp == before
            && Stamp::of(&metadata).is_same_content(&before)
        {
            entry.stamp = Stamp::of(&metadata);
            self.is_dirty |= entry.content.is_saved();
        }
    }

    /// Begins to read all folders once more.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Forgets the files that were not looked at since [`FileCache::begin_round`].
    pub(crate) fn end_round(&mut self) {
        let (round, before) = (self.round, self.entries.len());
        self.entries.retain(|_, entry| entry.round == round);
        self.is_dirty |= self.entries.len() != before;
    }
}

fn nothing_at(path: &Path) -> io::Result<Observed> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(Observed::Dangling),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Observed::Absent),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;
    use crate::{clock::SystemClock, digest::Digest, scan::descriptor::tests::jar};

    pub(super) fn cache() -> FileCache {
        FileCache::new(Arc::new(SystemClock))
    }

    pub(super) fn known(cache: &mut FileCache, path: &Path, keep: Keep) -> Arc<Known> {
        match cache.observe(path, keep).expect("readable") {
            Observed::File(known) => known,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unchanged_file_is_read_once_and_a_young_one_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jar");
        fs::write(&path, jar(&[])).expect("write");
        let mut cache = cache();
        let young = known(&mut cache, &path, Keep::Jar);
        sleep(Duration::from_millis(40));
        let settled = known(&mut cache, &path, Keep::Jar);
        assert!(!Arc::ptr_eq(&young, &settled), "it was too young to be trusted");
        assert!(Arc::ptr_eq(&settled, &known(&mut cache, &path, Keep::Jar)));
    }

    #[test]
    fn two_edits_of_equal_size_at_once_are_both_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.xml");
        let mut cache = cache();
        for round in 0..200 {
            let content = format!("<a>{round:03}</a>");
            fs::write(&path, &content).expect("write");
            let known = known(&mut cache, &path, Keep::Bytes { largest: 1000 });
            assert_eq!(known.digests.sha256, Digest::of(content.as_bytes()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_dangling_links_are_not_opened() {
        let folder = tempfile::tempdir().expect("folder");
        let pipe = folder.path().join("pipe.jar");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("pipe");
        let link = folder.path().join("link.jar");
        std::os::unix::fs::symlink("nowhere.jar", &link).expect("link");
        let mut cache = cache();
        for path in [&pipe, Path::new("/dev/zero")] {
            let observed = cache.observe(path, Keep::Jar).expect("no error");
            assert!(matches!(observed, Observed::Irregular(_)), "{observed:?}");
        }
        assert!(matches!(cache.observe(&link, Keep::Jar), Ok(Observed::Dangling)));
        let observed = cache.observe(&folder.path().join("none"), Keep::Jar);
        assert!(matches!(observed, Ok(Observed::Absent)));
        drop(regular_file::open_anything(&pipe).expect("opening a pipe does not wait for a writer"));
    }
}
