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
    basics::{Clock, Digest, Digests, digest, if_there, regular_file},
    files::{
        descriptor::{self, Jar},
        stamp::Stamp,
    },
    generation::PluginIdentity,
};

mod read;
mod saved;

use read::reads_as;

/// Threads that read at once where many files are new.
const MAX_READERS: usize = 4;

/// In which detail a file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Its digests.
    Digests,
    /// Its digests and its bytes, `largest` of them at most, which stay in memory.
    Bytes { largest: u64 },
    /// Its digests and which plugin it is. It is read in pieces, whatever its size.
    Jar,
}

/// A file that was read while nobody wrote it.
#[derive(Debug)]
pub(crate) struct KnownFile {
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
    File(Arc<KnownFile>),
}

/// The files that one reader of folders knows.
pub(crate) struct FileCache {
    clock: Arc<dyn Clock>,
    entries: HashMap<PathBuf, Entry>,
    round: u64,
    /// Whether saving would write anything new.
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
    File(Arc<KnownFile>),
}

impl Content {
    /// What the cache of files says of a content.
    fn observed(&self) -> Observed {
        match self {
            Content::Own(identity) => Observed::Own(identity.clone()),
            Content::File(known) => Observed::File(Arc::clone(known)),
        }
    }

    /// Whether the content of a file is known to the cache in this detail.
    fn has(&self, detail: Detail) -> bool {
        match self {
            Content::Own(_) => detail == Detail::Jar,
            Content::File(known) => match detail {
                Detail::Digests => true,
                Detail::Bytes { .. } => known.bytes.is_some(),
                Detail::Jar => known.jar.is_some(),
            },
        }
    }

    /// Whether the content of this file goes into the saved cache: only large files are worth it.
    fn is_saved(&self) -> bool {
        self.has(Detail::Jar)
    }
}

impl FileCache {
    /// A cache of files that knows none yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            entries: HashMap::new(),
            round: 0,
            is_dirty: false,
        }
    }

    /// Whether a change of a file after now is sure to leave another stamp.
    pub(crate) fn is_settled(&self, stamp: &Stamp) -> bool {
        stamp.is_settled(self.clock.now_ms())
    }

    /// Looks at a path, and reads the file only if it is not known or may have changed since.
    /// A link to a regular file counts as that file; pipes and devices are never opened.
    ///
    /// # Errors
    /// Those of the operating system; that there is nothing is none.
    pub(crate) fn observe(&mut self, path: &Path, detail: Detail) -> io::Result<Observed> {
        self.observe_listed(path, None, detail)
    }

    /// Looks at a path that is no link and whose metadata is `listed`, read just now, as [`FileCache::observe`].
    ///
    /// # Errors
    /// As [`FileCache::observe`].
    pub(crate) fn observe_listed(
        &mut self,
        path: &Path,
        listed: Option<Metadata>,
        detail: Detail,
    ) -> io::Result<Observed> {
        let now_ms = self.clock.now_ms();
        let Some(metadata) = if_there(listed.map_or_else(|| fs::metadata(path), Ok))? else {
            return nothing_at(path);
        };
        if !metadata.is_file() {
            return Ok(Observed::Irregular("is no regular file"));
        }
        let round = self.round;
        if self.knows(path, &Stamp::of(&metadata), detail)
            && let Some(entry) = self.entries.get_mut(path)
        {
            entry.round = round;
            return Ok(entry.content.observed());
        }
        self.read(path, detail, now_ms)
    }

    /// Reads files ahead into the cache that were never read before, several at once: a standby waits for the first
    /// look at hundreds of jars. Ends early once `stopped` says so. What cannot be read is left to
    /// [`FileCache::observe`].
    pub(crate) fn read_ahead<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a Path>,
        detail: Detail,
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
                if let Ok(Some(found)) = self.examine(path, detail, now_ms) {
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

    /// Reads a file that the cache does not know as it is now.
    fn read(&mut self, path: &Path, detail: Detail, now_ms: i64) -> io::Result<Observed> {
        let Some((stamp, is_settled, content)) = self.examine(path, detail, now_ms)? else {
            return Ok(Observed::Changing);
        };
        let observed = content.observed();
        self.insert(path, stamp, is_settled, content);
        Ok(observed)
    }

    /// Reads a file for the cache; nothing where somebody is writing it.
    fn examine(&self, path: &Path, detail: Detail, now_ms: i64) -> io::Result<Option<(Stamp, bool, Content)>> {
        let Some(mut file) = if_there(regular_file::open_anything(path))? else {
            // It went between looking and opening.
            return Ok(None);
        };
        let before = file.metadata()?;
        if !before.is_file() {
            return Ok(None);
        }
        let stamp = Stamp::of(&before);
        let is_settled = stamp.is_settled(now_ms);
        let content = self.content(path, &mut file, stamp, detail, is_settled)?;
        let is_stable = Stamp::of(&file.metadata()?) == stamp;
        Ok(content
            .filter(|_| is_stable)
            .map(|content| (stamp, is_settled, content)))
    }

    /// The content of an open file for the cache; nothing where a second reading differs from the first.
    fn content(
        &self,
        path: &Path,
        file: &mut File,
        stamp: Stamp,
        detail: Detail,
        is_settled: bool,
    ) -> io::Result<Option<Content>> {
        let mut list = None;
        let (digests, bytes, jar) = match detail {
            Detail::Digests => (digest::hash(&mut *file)?, None, None),
            Detail::Jar => {
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
            Detail::Bytes { largest } => {
                let bytes = Bytes::from(regular_file::whole(file, stamp.size(), largest)?);
                let digests = self.digests(path, &bytes);
                // A writer that overwrites without truncating keeps size and, for the length of one call, times.
                if !is_settled && !reads_as(file, &bytes)? {
                    return Ok(None);
                }
                (digests, Some(bytes), None)
            }
        };
        Ok(Some(Content::File(Arc::new(KnownFile {
            stamp,
            digests,
            bytes,
            jar,
            list,
        }))))
    }

    /// The digests of a file's bytes: comparing with the bytes that are known is much quicker than hashing.
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

    /// Takes up into the cache what was read of a file.
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

    /// Notes in the cache a file that was just renamed into its place and whose bytes were verified before.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn placed(&mut self, path: &Path, digests: Digests, jar: Option<Jar>) -> io::Result<()> {
        let stamp = Stamp::of(&fs::metadata(path)?);
        let is_settled = stamp.is_settled_since_placed(self.clock.now_ms());
        let known = KnownFile {
            stamp,
            digests,
            bytes: None,
            jar,
            list: None,
        };
        self.insert(path, stamp, is_settled, Content::File(Arc::new(known)));
        Ok(())
    }

    /// Whether the cache knows a file that looks like this, so that it need not be read again.
    pub(crate) fn knows(&self, path: &Path, stamp: &Stamp, detail: Detail) -> bool {
        let entry = self.entries.get(path);
        entry.is_some_and(|entry| entry.is_settled && entry.stamp == *stamp && entry.content.has(detail))
    }

    /// What the cache last knew of a file, whatever it is now; none for a jar of our own plugin.
    pub(crate) fn known(&self, path: &Path) -> Option<Arc<KnownFile>> {
        match &self.entries.get(path)?.content {
            Content::File(known) => Some(Arc::clone(known)),
            Content::Own(_) => None,
        }
    }

    /// Keeps in the cache what is known of a file that this round does not look at.
    pub(crate) fn remember(&mut self, path: &Path) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.round = self.round;
        }
    }

    /// Whether the cache knows a file in this folder.
    pub(crate) fn knows_any_in(&self, folder: &Path) -> bool {
        self.entries.keys().any(|path| path.parent() == Some(folder))
    }

    /// Forgets a file in the cache: the next look at it reads it.
    pub(crate) fn forget(&mut self, path: &Path) {
        self.is_dirty |= self.entries.remove(path).is_some();
    }

    /// The stamp under which the cache knows a file that is sure to be unchanged.
    pub(crate) fn stamp(&self, path: &Path) -> Option<Stamp> {
        let entry = self.entries.get(path).filter(|entry| entry.is_settled)?;
        let metadata = fs::metadata(path).ok()?;
        (entry.stamp == Stamp::of(&metadata)).then_some(entry.stamp)
    }

    /// Notes in the cache that we ourselves made or removed a hard link of a file: only its time of change differs from
    /// the stamp `before`.
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

    /// Begins a round of the cache through all folders.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Forgets in the cache the files that were not looked at since [`FileCache::begin_round`].
    pub(crate) fn end_round(&mut self) {
        let (round, before) = (self.round, self.entries.len());
        self.entries.retain(|_, entry| entry.round == round);
        self.is_dirty |= self.entries.len() != before;
    }
}

/// What the cache says of a path at which there is no file.
fn nothing_at(path: &Path) -> io::Result<Observed> {
    let link = if_there(fs::symlink_metadata(path))?;
    Ok(link.map_or(Observed::Absent, |_| Observed::Dangling))
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;
    use crate::{
        basics::{Digest, SystemClock},
        files::descriptor::tests::jar,
    };

    pub(super) fn cache() -> FileCache {
        FileCache::new(Arc::new(SystemClock))
    }

    pub(super) fn known(cache: &mut FileCache, path: &Path, detail: Detail) -> Arc<KnownFile> {
        match cache.observe(path, detail).expect("readable") {
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
        let young = known(&mut cache, &path, Detail::Jar);
        sleep(Duration::from_millis(40));
        let settled = known(&mut cache, &path, Detail::Jar);
        assert!(!Arc::ptr_eq(&young, &settled), "it was too young to be trusted");
        assert!(Arc::ptr_eq(&settled, &known(&mut cache, &path, Detail::Jar)));
    }

    #[test]
    fn two_edits_of_equal_size_at_once_are_both_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.xml");
        let mut cache = cache();
        for round in 0..200 {
            let content = format!("<a>{round:03}</a>");
            fs::write(&path, &content).expect("write");
            let known = known(&mut cache, &path, Detail::Bytes { largest: 1000 });
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
            let observed = cache.observe(path, Detail::Jar).expect("no error");
            assert!(matches!(observed, Observed::Irregular(_)), "{observed:?}");
        }
        assert!(matches!(cache.observe(&link, Detail::Jar), Ok(Observed::Dangling)));
        let observed = cache.observe(&folder.path().join("none"), Detail::Jar);
        assert!(matches!(observed, Ok(Observed::Absent)));
        drop(regular_file::open_anything(&pipe).expect("opening a pipe does not wait for a writer"));
    }
}
