//! What a power cut can leave of changes that were logged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::recorder::{Change, FileId};

/// So many mixtures are tried at each instant, besides the orderly ones.
const MIXTURES: u64 = 4;

/// What is found after a power cut: folders, and files with their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Remains(BTreeMap<PathBuf, Node>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Folder,
    File(FileId, Arc<[u8]>),
}

/// A disk between two changes.
#[derive(Clone)]
pub(super) struct Disk {
    root: PathBuf,
    /// Names that no power cut takes away.
    names: BTreeMap<PathBuf, Name>,
    /// Changes of names that nobody has waited for.
    pending: Vec<Change>,
    files: Vec<Bytes>,
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Folder,
    File(FileId),
}

#[derive(Debug, Clone, Default)]
struct Bytes {
    durable: Arc<[u8]>,
    now: Arc<[u8]>,
}

/// What becomes of bytes that nobody has waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsynced {
    Lost,
    Torn,
    Whole,
}

impl Disk {
    /// With nothing in the folder `root`, whose own name is durable.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            names: BTreeMap::new(),
            pending: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Does one more of the logged changes.
    pub(super) fn advance(&mut self, change: &Change) {
        match change {
            Change::Written { file, bytes } => self.file(*file).now = Arc::clone(bytes),
            Change::Synced { file, .. } => {
                let bytes = self.file(*file);
                bytes.durable = Arc::clone(&bytes.now);
            }
            Change::FolderSynced { path } => {
                let (durable, pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|change| folders(change).contains(&path.as_path()));
                self.pending = pending;
                let durable: Vec<Change> = durable;
                for change in durable {
                    rename(&mut self.names, &change);
                }
            }
            Change::Named { .. } | Change::Renamed { .. } | Change::Removed { .. } | Change::FolderMade { .. } => {
                if let Change::Named { file, .. } = change {
                    self.file(*file);
                }
                self.pending.push(change.clone());
            }
        }
    }

    /// What a power cut at this instant can leave: the changes that nobody has waited for all kept, all lost, each
    /// one alone kept or alone lost, those of one folder alone, and some mixtures; with the bytes that nobody has
    /// waited for kept, torn or lost.
    pub(super) fn power_cuts(&self, seed: u64) -> BTreeSet<Remains> {
        let count = self.pending.len();
        let mut kept: Vec<Vec<bool>> = vec![vec![true; count], vec![false; count]];
        for one in 0..count {
            kept.push((0..count).map(|other| other == one).collect());
            kept.push((0..count).map(|other| other != one).collect());
            kept.push((0..count).map(|other| other <= one).collect());
        }
        let touched: BTreeSet<&Path> = self.pending.iter().flat_map(|change| folders(change)).collect();
        for folder in touched {
            kept.push(
                self.pending
                    .iter()
                    .map(|change| folders(change).contains(&folder))
                    .collect(),
            );
        }
        let mut random = Random(seed);
        for _ in 0..MIXTURES {
            kept.push((0..count).map(|_| random.next() & 1 == 0).collect());
        }
        let bytes = [Unsynced::Lost, Unsynced::Torn, Unsynced::Whole];
        kept.iter()
            .flat_map(|kept| bytes.map(|bytes| self.remains(kept, bytes)))
            .collect()
    }

    fn remains(&self, kept: &[bool], unsynced: Unsynced) -> Remains {
        let mut names = self.names.clone();
        for (change, _) in self.pending.iter().zip(kept).filter(|(_, kept)| **kept) {
            rename(&mut names, change);
        }
        let mut nodes = BTreeMap::new();
        for (path, name) in &names {
            let mut above = path.ancestors().skip(1).take_while(|above| **above != *self.root);
            let is_reachable = above.all(|above| matches!(names.get(above), Some(Name::Folder)));
            if !is_reachable {
                continue;
            }
            let node = match name {
                Name::Folder => Node::Folder,
                Name::File(file) => Node::File(*file, self.files[*file].after(unsynced)),
            };
            nodes.insert(path.clone(), node);
        }
        Remains(nodes)
    }

    fn file(&mut self, file: FileId) -> &mut Bytes {
        if self.files.len() <= file {
            self.files.resize_with(file + 1, Bytes::default);
        }
        &mut self.files[file]
    }
}

impl Bytes {
    fn after(&self, unsynced: Unsynced) -> Arc<[u8]> {
        match unsynced {
            _ if self.durable == self.now => Arc::clone(&self.now),
            Unsynced::Lost => Arc::clone(&self.durable),
            Unsynced::Whole => Arc::clone(&self.now),
            Unsynced::Torn => {
                let half = self.now.len() / 2;
                let rest = self.durable.get(half..).unwrap_or_default();
                self.now[..half].iter().chain(rest).copied().collect()
            }
        }
    }
}

impl Remains {
    /// Makes this what is in the folder `root`.
    pub(super) fn put_back(&self, root: &Path) {
        for entry in fs::read_dir(root).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                fs::remove_dir_all(path).expect("removed");
            } else {
                fs::remove_file(path).expect("removed");
            }
        }
        let mut first_names: BTreeMap<FileId, &Path> = BTreeMap::new();
        // Folders come before what is in them.
        for (path, node) in &self.0 {
            match node {
                Node::Folder => fs::create_dir(path).expect("made"),
                Node::File(file, bytes) => match first_names.get(file) {
                    Some(first) => fs::hard_link(first, path).expect("linked"),
                    None => {
                        fs::write(path, bytes).expect("written");
                        first_names.insert(*file, path);
                    }
                },
            }
        }
    }
}

/// The folders of which a sync makes the change durable. A rename from one folder to another is whole or not at all.
fn folders(change: &Change) -> Vec<&Path> {
    let paths = match change {
        Change::Named { path, .. } | Change::Removed { path } | Change::FolderMade { path } => vec![path],
        Change::Renamed { from, to, .. } => vec![from, to],
        Change::Written { .. } | Change::Synced { .. } | Change::FolderSynced { .. } => vec![],
    };
    paths.into_iter().filter_map(|path| path.parent()).collect()
}

fn rename(names: &mut BTreeMap<PathBuf, Name>, change: &Change) {
    match change {
        Change::Named { path, file } => drop(names.insert(path.clone(), Name::File(*file))),
        Change::Renamed { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), Name::File(*file));
        }
        Change::Removed { path } => drop(names.remove(path)),
        Change::FolderMade { path } => drop(names.insert(path.clone(), Name::Folder)),
        Change::Written { .. } | Change::Synced { .. } | Change::FolderSynced { .. } => {}
    }
}

/// Good enough to mix, and the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
