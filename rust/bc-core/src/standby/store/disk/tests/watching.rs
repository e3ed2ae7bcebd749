//! A disk that says what is about to change on it, and fails where a test says so.

use std::fmt;

use super::*;

/// A change that is about to happen.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Change {
    Create(PathBuf),
    Open(PathBuf),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf),
    Remove(PathBuf),
    MakeFolder(PathBuf),
    SyncFolder(PathBuf),
}

/// Called before each change; an error takes the place of the one that the operating system could give, and a panic is
/// the end of the power: nothing changes any more while it unwinds.
pub(super) type Probe = Arc<dyn Fn(&Change) -> io::Result<()> + Send + Sync>;

/// Lets all changes pass.
pub(super) fn no_probe() -> Probe {
    Arc::new(|_| Ok(()))
}

impl Change {
    /// Whether a file gets this name that a test knows: `journal.json`, or that of a live file.
    pub(super) fn replaces(&self, name: &str) -> bool {
        matches!(self, Self::Rename(_, to) if to.ends_with(name))
    }

    /// Whether a live file gets its new bytes, or its old ones again.
    pub(super) fn replaces_live(&self) -> bool {
        matches!(self, Self::Rename(_, to) if !is_ours(to) && !is_temporary(to))
    }

    /// Whether a live file is written where it is.
    pub(super) fn writes_in_place(&self) -> bool {
        matches!(self, Self::Open(path) if !is_ours(path))
    }

    /// Whether a copy is staged beside a live file.
    pub(super) fn stages(&self) -> bool {
        matches!(self, Self::Create(path) if !is_ours(path))
    }

    /// Whether a live file is removed, or renamed for it.
    pub(super) fn takes_away(&self) -> bool {
        matches!(self, Self::Remove(path) | Self::Rename(path, _) if !is_ours(path) && !is_temporary(path))
    }
}

fn is_ours(path: &Path) -> bool {
    path.iter().any(|folder| folder == "business-continuity")
}

fn is_temporary(path: &Path) -> bool {
    path.to_string_lossy().ends_with(atomic::TEMPORARY_SUFFIX)
}

/// With the ends of paths, and the same for each try: temporary files and what is kept aside have other names each time,
/// and a blob has that of its digest.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        let end = |path: &Path| {
            let name = last(path);
            let name = match name.split_once('-') {
                _ if is_temporary(path) => "*.tmp",
                _ if name.get(..64).is_some_and(|name| name.parse::<Digest>().is_ok()) => "*",
                Some((time, name)) if time.parse::<u64>().is_ok() => name,
                _ => &name,
            };
            format!("{}/{name}", last(path.parent().expect("a folder")))
        };
        match self {
            Self::Create(path) => write!(f, "create {}", end(path)),
            Self::Open(path) => write!(f, "open {}", end(path)),
            Self::Sync(path) => write!(f, "sync {}", end(path)),
            Self::Rename(from, to) => write!(f, "rename {} to {}", end(from), end(to)),
            Self::Link(name) => write!(f, "link {}", end(name)),
            Self::Remove(path) => write!(f, "remove {}", end(path)),
            Self::MakeFolder(path) => write!(f, "make {}", last(path)),
            Self::SyncFolder(path) => write!(f, "sync the names in {}", last(path)),
        }
    }
}

/// Another file system, watched.
pub(super) struct Watching {
    system: Arc<dyn FileSystem>,
    probe: Probe,
}

impl Watching {
    pub(super) fn on(system: Arc<dyn FileSystem>, probe: Probe) -> Arc<dyn FileSystem> {
        Arc::new(Self { system, probe })
    }

    fn next(&self, change: Change) -> io::Result<()> {
        if thread::panicking() {
            return Err(io::Error::other("the power is off"));
        }
        (self.probe)(&change)
    }
}

impl FileSystem for Watching {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.next(Change::Create(path.to_owned()))?;
        self.system.create(path, mode)
    }

    fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.next(Change::Open(path.to_owned()))?;
        self.system.open(path, mode)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.next(Change::Sync(path.to_owned()))?;
        self.system.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.next(Change::Rename(from.to_owned(), to.to_owned()))?;
        self.system.rename(from, to)
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.next(Change::Link(name.to_owned()))?;
        self.system.hard_link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.next(Change::Remove(path.to_owned()))?;
        self.system.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        // In its own one names are tried against each other.
        assert!(
            is_temporary(path),
            "a standby never removes a folder: {}",
            path.display()
        );
        self.system.remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.next(Change::MakeFolder(path.to_owned()))?;
        self.system.create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.next(Change::SyncFolder(path.to_owned()))?;
        self.system.sync_folder(path)
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}

/// A probe that writes down all changes.
pub(super) fn recorder() -> (Probe, Arc<Mutex<Vec<Change>>>) {
    let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
    let seen = Arc::clone(&changes);
    let probe: Probe = Arc::new(move |change| {
        seen.lock().expect("no panic").push(change.clone());
        Ok(())
    });
    (probe, changes)
}

/// Fails, in the way `fail` says, at the change with this number.
pub(super) fn failing_at(number: usize, fail: fn() -> io::Result<()>) -> (Probe, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let probe: Probe = Arc::new(move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) == number {
            fail()
        } else {
            Ok(())
        }
    });
    (probe, count)
}

/// Fails at each of these changes.
pub(super) fn failing_where(is_it: impl Fn(&Change) -> bool + Send + Sync + 'static, kind: io::ErrorKind) -> Probe {
    Arc::new(move |change| if is_it(change) { Err(kind.into()) } else { Ok(()) })
}

/// The power fails at the first of these changes.
pub(super) fn crashing_where(is_it: impl Fn(&Change) -> bool + Send + Sync + 'static) -> Probe {
    let has_failed = AtomicBool::new(false);
    Arc::new(move |change| {
        let fails = is_it(change) && !has_failed.swap(true, Ordering::Relaxed);
        assert!(!fails, "the power fails");
        Ok(())
    })
}
