//! One kept generation: its file, and finding the one that a person means.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::{Error, Kind},
    lineage::Lineage,
    manifest::{Acceptance, Entry, Manifest, ManifestDocument, Name},
    regular_file,
    store::record::{self, Read, Record},
};

/// The name of the folder in the state folder.
pub(super) const FOLDER: &str = "generations";
/// How the files from before the first apply are called.
pub(in crate::store) const FIRST: &str = "0";

/// A kept generation, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGeneration {
    /// Its id.
    pub id: Digest,
    /// Whether it is generation 0: the files that were here before anything was applied.
    pub is_first: bool,
    /// Whether it is the one that was applied last.
    pub is_applied: bool,
    /// Number of the epoch of the primary it came from.
    pub epoch: u64,
    /// The primary's sequence of it; 0 for generation 0.
    pub sequence: u64,
    /// Whether the primary's GoCD has accepted its configuration, as far as this node has heard.
    pub acceptance: Acceptance,
    /// When the primary first saw it, by the primary's clock.
    pub generated_ms: i64,
    /// When it became live here last; for generation 0, when it was kept.
    pub applied_ms: i64,
    /// How many files it has.
    pub files: usize,
    /// Bytes of all its files.
    pub total_size: u64,
}

impl KeptGeneration {
    /// The one that was applied last.
    pub(in crate::store) fn of(document: &ManifestDocument, applied_ms: i64) -> Self {
        Self {
            id: document.generation,
            is_first: false,
            is_applied: true,
            epoch: document.envelope.epoch.number,
            sequence: document.envelope.sequence,
            acceptance: document.envelope.acceptance,
            generated_ms: document.envelope.generated_ms,
            applied_ms,
            files: document.files.len(),
            total_size: document.total_size(),
        }
    }
}

/// `0`, or the sequence and the beginning of the id.
impl fmt::Display for KeptGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_first {
            f.write_str("0")
        } else {
            write!(f, "#{} {:.12}", self.sequence, self.id)
        }
    }
}

/// A kept generation as its file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Kept {
    format: u32,
    /// The apply that made it live last; 0 for generation 0.
    pub(in crate::store) serial: u64,
    pub(in crate::store) applied_ms: i64,
    pub(in crate::store) document: ManifestDocument,
}

impl Kept {
    pub(in crate::store) fn new(document: ManifestDocument, record: &Record) -> Self {
        Self {
            format: record::FORMAT,
            serial: record.serial,
            applied_ms: record.applied_ms,
            document: ManifestDocument {
                // It is only judged as it comes, and grows to as much as the rest.
                lineage: Lineage::default(),
                ..document
            },
        }
    }

    /// Generation 0.
    pub(in crate::store) fn first(document: ManifestDocument, now_ms: i64) -> Self {
        Self {
            format: record::FORMAT,
            serial: 0,
            applied_ms: now_ms,
            document,
        }
    }

    pub(in crate::store) fn is_first(&self) -> bool {
        self.serial == 0
    }

    pub(super) fn file_name(&self) -> String {
        if self.is_first() {
            format!("{FIRST}.json")
        } else {
            format!("{}.json", self.document.generation)
        }
    }

    pub(in crate::store) fn summary(&self, applied: Option<Digest>) -> KeptGeneration {
        KeptGeneration {
            is_first: self.is_first(),
            is_applied: !self.is_first() && applied == Some(self.document.generation),
            ..KeptGeneration::of(&self.document, self.applied_ms)
        }
    }
}

/// What is kept in the state folder `state_dir`, newest first, generation 0 last. Reads files only, so that it also
/// works beside a running node and without one.
///
/// # Errors
/// [`Kind::File`] when the folder cannot be read.
pub fn list(state_dir: &Path) -> Result<Vec<KeptGeneration>, Error> {
    let applied = applied(state_dir)?;
    Ok(read_all(state_dir)?.iter().map(|kept| kept.summary(applied)).collect())
}

/// One kept generation with its files. `id` is what a person writes: `0`, `#` and a sequence, or an id or its
/// beginning.
///
/// # Errors
/// [`Kind::Refused`] when no kept generation, or more than one, is meant; [`Kind::File`] when the folder cannot be
/// read.
pub fn show(state_dir: &Path, id: &str) -> Result<(KeptGeneration, BTreeMap<Name, Entry>), Error> {
    let kept = find(state_dir, id)?;
    Ok((kept.summary(applied(state_dir)?), kept.document.files))
}

/// The kept generation that a person means.
pub(in crate::store) fn find(state_dir: &Path, id: &str) -> Result<Kept, Error> {
    let all = read_all(state_dir)?;
    let guidance = "See `gocd-bc generations list`; an id may be shortened, #12 means the sequence 12.";
    let is_meant: Box<dyn Fn(&Kept) -> bool> = if id == FIRST {
        Box::new(Kept::is_first)
    } else if let Some(sequence) = id.strip_prefix('#') {
        let sequence: u64 = sequence
            .parse()
            .map_err(|_| Error::new(Kind::Refused, format!("{id:?} is no sequence"), guidance))?;
        Box::new(move |kept| !kept.is_first() && kept.document.envelope.sequence == sequence)
    } else {
        let id = id.to_ascii_lowercase();
        Box::new(move |kept| !kept.is_first() && kept.document.generation.to_string().starts_with(&id))
    };
    let mut meant = all.into_iter().filter(|kept| !id.is_empty() && is_meant(kept));
    match (meant.next(), meant.next()) {
        (Some(kept), None) => Ok(kept),
        (None, _) => Err(Error::new(
            Kind::Refused,
            format!("no generation {id:?} is kept here"),
            guidance,
        )),
        (Some(_), Some(_)) => Err(Error::new(
            Kind::Refused,
            format!("{id:?} is more than one kept generation"),
            guidance,
        )),
    }
}

/// The id of what was applied last, without touching anything.
pub(in crate::store) fn applied(state_dir: &Path) -> Result<Option<Digest>, Error> {
    match record::read::<Record>(&state_dir.join("applied.json"))? {
        Read::Whole(record) => Ok(record.generation),
        Read::Missing | Read::Damaged => Ok(None),
    }
}

/// All that can be read, newest first, generation 0 last.
pub(in crate::store) fn read_all(state_dir: &Path) -> Result<Vec<Kept>, Error> {
    let folder = state_dir.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the folder", &folder, &error)),
    };
    let mut all: Vec<Kept> = entries.flatten().filter_map(|entry| read(&entry.path())).collect();
    all.sort_by_key(|kept| std::cmp::Reverse(kept.serial));
    Ok(all)
}

/// None for what a crash tore or the disk damaged, for temporary files, and for what a newer version wrote.
fn read(path: &Path) -> Option<Kept> {
    let Ok(Read::Whole(kept)) = record::read::<Kept>(path) else {
        return None;
    };
    let manifest = Manifest {
        files: kept.document.files.clone(),
    };
    let is_right = manifest.generation() == kept.document.generation
        && path.file_name().is_some_and(|name| *name == *kept.file_name());
    is_right.then_some(kept)
}

/// Whether a newer version of this plugin wrote the file.
pub(super) fn is_of_the_future(path: &Path) -> bool {
    let format = regular_file::read(path, regular_file::LARGEST_OF_OURS)
        .ok()
        .and_then(|text| record::format_of(&text));
    format.is_some_and(|format| format > record::FORMAT)
}
