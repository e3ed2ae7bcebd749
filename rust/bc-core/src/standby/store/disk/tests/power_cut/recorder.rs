//! Real files, and a log of everything that was done to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::durable::{FileSystem, OperatingSystem};

/// Which file, whatever its names are.
pub(super) type FileId = usize;

/// One thing that was done, in the order in which it was.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Other bytes are in the file. They are noticed at the next change of any name, or when the file is synced.
    Written {
        file: FileId,
        bytes: Arc<[u8]>,
    },
    /// The bytes of the file are durable.
    Synced {
        file: FileId,
        path: PathBuf,
    },
    /// A new file, or one more name of one.
    Named {
        path: PathBuf,
        file: FileId,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
        file: FileId,
    },
    Removed {
        path: PathBuf,
    },
    FolderMade {
        path: PathBuf,
    },
    /// The names in the folder are durable.
    FolderSynced {
        path: PathBuf,
    },
}

/// The operating system's file system under a root, with a log.
pub(super) struct Recorder {
    root: PathBuf,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    changes: Vec<Change>,
    names: BTreeMap<PathBuf, FileId>,
    bytes: Vec<Arc<[u8]>>,
    /// Files that somebody may be writing.
    open: BTreeSet<FileId>,
}

impl Recorder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            log: Mutex::default(),
        }
    }

    /// Writes as somebody else would, who waits for the disk.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) {
        self.make_folders(path.parent().expect("a folder"));
        let mut file = self.open(path, 0o600).expect("open");
        file.set_len(0).expect("emptied");
        io::Write::write_all(&mut file, bytes).expect("written");
        self.sync(&file, path).expect("synced");
        self.sync_folder(path.parent().expect("a folder")).expect("synced");
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let mut log = self.log();
        log.note_bytes();
        log.changes.clone()
    }

    pub(super) fn count(&self) -> usize {
        let mut log = self.log();
        log.note_bytes();
        log.changes.len()
    }

    fn make_folders(&self, folder: &Path) {
        if folder != self.root && !folder.is_dir() {
            let above = folder.parent().expect("under the root");
            self.make_folders(above);
            self.create_folder(folder).expect("made");
            self.sync_folder(above).expect("synced");
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no panic")
    }
}

impl Log {
    /// Looks what was written into open files meanwhile.
    fn note_bytes(&mut self) {
        for (path, file) in &self.names {
            if !self.open.contains(file) {
                continue;
            }
            let now: Arc<[u8]> = fs::read(path).expect("readable").into();
            if self.bytes[*file] != now {
                self.bytes[*file] = Arc::clone(&now);
                self.changes.push(Change::Written {
                    file: *file,
                    bytes: now,
                });
            }
        }
    }

    fn named(&mut self, path: &Path) -> FileId {
        let file = self.bytes.len();
        self.bytes.push(Arc::from([]));
        self.names.insert(path.to_owned(), file);
        self.open.insert(file);
        self.changes.push(Change::Named {
            path: path.to_owned(),
            file,
        });
        file
    }
}

impl FileSystem for Recorder {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut log = self.log();
        log.note_bytes();
        let file = OperatingSystem.create(path, mode)?;
        log.named(path);
        Ok(file)
    }

    fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut log = self.log();
        log.note_bytes();
        let file = OperatingSystem.open(path, mode)?;
        match log.names.get(path).copied() {
            Some(known) => drop(log.open.insert(known)),
            None => drop(log.named(path)),
        }
        Ok(file)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.sync(file, path)?;
        let id = log.names[path];
        log.open.remove(&id);
        log.changes.push(Change::Synced {
            file: id,
            path: path.to_owned(),
        });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.rename(from, to)?;
        let file = log.names.remove(from).expect("made through this");
        log.names.insert(to.to_owned(), file);
        log.changes.push(Change::Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
            file,
        });
        Ok(())
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.hard_link(file, name)?;
        let file = log.names[file];
        log.names.insert(name.to_owned(), file);
        log.changes.push(Change::Named {
            path: name.to_owned(),
            file,
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.remove(path)?;
        log.names.remove(path).expect("made through this");
        log.changes.push(Change::Removed { path: path.to_owned() });
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        panic!("a standby never removes a folder: {}", path.display());
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.create_folder(path)?;
        log.changes.push(Change::FolderMade { path: path.to_owned() });
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        log.note_bytes();
        OperatingSystem.sync_folder(path)?;
        log.changes.push(Change::FolderSynced { path: path.to_owned() });
        Ok(())
    }
}

/// With the ends of paths, and no bytes.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |path: &Path| {
            let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
            names[names.len().saturating_sub(2)..].join("/")
        };
        match self {
            Self::Written { file, bytes } => write!(f, "{} bytes written into file {file}", bytes.len()),
            Self::Synced { path, .. } => write!(f, "{} synced", end(path)),
            Self::Named { path, .. } => write!(f, "{} named", end(path)),
            Self::Renamed { from, to, .. } => write!(f, "{} renamed to {}", end(from), end(to)),
            Self::Removed { path } => write!(f, "{} removed", end(path)),
            Self::FolderMade { path } => write!(f, "{} made", end(path)),
            Self::FolderSynced { path } => write!(f, "{} synced", end(path)),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("root", &self.root).finish()
    }
}
