//! Watches the standby's live files as a reader of them would: every millisecond, all of them.
//!
//! It knows every digest that was ever meant to be on the primary. A read with any other digest is *torn*: half
//! of a write, a mixture of two, or nothing where a file should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    demo::{
        folders::{CONFIG_FILES, GocdFolder},
        primary_files,
    },
    digest,
};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// What a look found to be new.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrival {
    file: PathBuf,
    /// None: the file is gone.
    digest: Option<String>,
    at: Instant,
}

/// The thread that looks, and what it has found. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Observer {
    shared: Arc<Shared>,
    arrivals: Receiver<Arrival>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    written: Mutex<BTreeSet<String>>,
    torn: AtomicU64,
    ended: AtomicBool,
}

impl Observer {
    /// Starts to watch `standby`; what is on `primary` now counts as written.
    pub(crate) fn start(primary: &GocdFolder, standby: &GocdFolder) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.written().extend(primary_files::digests(primary)?.into_values());
        let (sender, arrivals) = mpsc::channel();
        let mut looker = Looker {
            config: CONFIG_FILES.iter().map(|name| standby.config().join(name)).collect(),
            plugins: standby.plugins(),
            known: BTreeMap::new(),
            shared: Arc::clone(&shared),
            sender,
        };
        let thread = thread::spawn(move || looker.run());
        Ok(Self {
            shared,
            arrivals,
            thread: Some(thread),
        })
    }

    /// Says, before a write, what will be written.
    pub(crate) fn expect(&self, bytes: &[u8]) -> String {
        let digest = digest::of_bytes(bytes);
        self.shared.written().insert(digest.clone());
        digest
    }

    /// Waits until the standby's file has this digest (none: is gone), and returns when that was seen.
    ///
    /// # Errors
    /// It takes longer than `limit`.
    pub(crate) fn wait_for(&self, file: &Path, digest: Option<&str>, limit: Duration) -> Result<Instant> {
        let end = Instant::now() + limit;
        loop {
            match self
                .arrivals
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(arrival) if arrival.file == file && arrival.digest.as_deref() == digest => return Ok(arrival.at),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("a change did not reach {} within {} s", file.display(), limit.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the thread that watches the standby has ended"),
            }
        }
    }

    /// How many reads were torn so far.
    pub(crate) fn torn(&self) -> u64 {
        self.shared.torn.load(Ordering::Relaxed)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn written(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The looking thread's own state.
struct Looker {
    config: Vec<PathBuf>,
    plugins: PathBuf,
    known: BTreeMap<PathBuf, Seen>,
    shared: Arc<Shared>,
    sender: Sender<Arrival>,
}

/// A file at the last look.
struct Seen {
    digest: String,
    /// Inode, size, time: a jar is read again only when one of them is new.
    stat: (u64, u64, i64, i64),
}

impl Looker {
    fn run(&mut self) {
        while !self.shared.ended.load(Ordering::Relaxed) {
            // Configuration files are small: they are read on every look, changed or not.
            for file in self.config.clone() {
                self.look_at_config(file);
            }
            self.look_at_plugins();
            thread::sleep(PAUSE);
        }
    }

    fn look_at_config(&mut self, file: PathBuf) {
        match fs::read(&file) {
            Ok(bytes) => self.note(file, &bytes, (0, 0, 0, 0)),
            // A rename leaves no moment without the file.
            Err(error) if error.kind() == ErrorKind::NotFound && self.known.contains_key(&file) => {
                self.count_torn(&file)
            }
            Err(_) => {}
        }
    }

    fn look_at_plugins(&mut self) {
        let names = primary_files::plugin_names(&self.plugins).unwrap_or_default();
        let files: BTreeSet<PathBuf> = names.iter().map(|name| self.plugins.join(name)).collect();
        for file in &files {
            let Ok(metadata) = fs::metadata(file) else { continue };
            let stat = (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
            if self.known.get(file).is_none_or(|seen| seen.stat != stat)
                && let Ok(bytes) = fs::read(file)
            {
                self.note(file.clone(), &bytes, stat);
            }
        }
        let is_gone = |file: &PathBuf| file.starts_with(&self.plugins) && !files.contains(file);
        let gone: Vec<PathBuf> = self.known.keys().filter(|file| is_gone(file)).cloned().collect();
        for file in gone {
            self.known.remove(&file);
            self.send(file, None, Instant::now());
        }
    }

    fn note(&mut self, file: PathBuf, bytes: &[u8], stat: (u64, u64, i64, i64)) {
        let at = Instant::now();
        let digest = digest::of_bytes(bytes);
        if !self.shared.written().contains(&digest) {
            self.count_torn(&file);
        }
        let before = self.known.insert(
            file.clone(),
            Seen {
                digest: digest.clone(),
                stat,
            },
        );
        if before.is_none_or(|seen| seen.digest != digest) {
            self.send(file, Some(digest), at);
        }
    }

    fn count_torn(&self, file: &Path) {
        if self.shared.torn.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!(
                "torn: {} has bytes that were never written on the primary",
                file.display()
            );
        }
    }

    fn send(&self, file: PathBuf, digest: Option<String>, at: Instant) {
        // Nobody waits any more once the demo ends.
        let _ = self.sender.send(Arrival { file, digest, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    struct Fixture {
        _folder: tempfile::TempDir,
        primary: GocdFolder,
        standby: GocdFolder,
    }

    /// Two folders that hold the same files.
    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let [primary, standby] = ["primary", "standby"].map(|name| {
            let gocd = GocdFolder::at(folder.path().join(name));
            fs::create_dir_all(gocd.config()).expect("made");
            fs::create_dir_all(gocd.plugins()).expect("made");
            fs::write(gocd.config().join(CONFIG_FILES[0]), "<cruise/>").expect("written");
            fs::write(gocd.plugins().join("a.jar"), "a").expect("written");
            gocd
        });
        Fixture {
            _folder: folder,
            primary,
            standby,
        }
    }

    fn replace(file: &Path, bytes: &[u8]) {
        let part = file.with_extension("part");
        fs::write(&part, bytes).expect("written");
        fs::rename(&part, file).expect("renamed");
    }

    #[test]
    fn expected_changes_arrive_and_are_not_torn() {
        let fixture = fixture();
        let observer = Observer::start(&fixture.primary, &fixture.standby).expect("started");
        let config = fixture.standby.config().join(CONFIG_FILES[0]);
        let digest = observer.expect(b"<cruise>1</cruise>");
        replace(&config, b"<cruise>1</cruise>");
        observer.wait_for(&config, Some(&digest), LIMIT).expect("seen");

        let jar = fixture.standby.plugins().join("b.jar");
        let digest = observer.expect(b"b");
        replace(&jar, b"b");
        observer.wait_for(&jar, Some(&digest), LIMIT).expect("seen");
        fs::remove_file(&jar).expect("removed");
        observer.wait_for(&jar, None, LIMIT).expect("seen to be gone");
        assert_eq!(observer.torn(), 0);
    }

    #[test]
    fn half_a_file_and_a_missing_one_are_torn() {
        let fixture = fixture();
        let observer = Observer::start(&fixture.primary, &fixture.standby).expect("started");
        let config = fixture.standby.config().join(CONFIG_FILES[0]);
        let half = digest::of_bytes(b"<cru");
        replace(&config, b"<cru");
        observer.wait_for(&config, Some(&half), LIMIT).expect("seen");
        let after_half = observer.torn();
        assert!(after_half > 0);

        fs::remove_file(&config).expect("removed");
        let end = Instant::now() + LIMIT;
        while observer.torn() <= after_half + 1 && Instant::now() < end {
            thread::sleep(PAUSE);
        }
        assert!(observer.torn() > after_half + 1);
    }
}
