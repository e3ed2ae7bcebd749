//! One kept generation: its file, and finding the one that a person means.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    error::{Error, Kind},
    lineage::Lineage,
    manifest::{Acceptance, Entry, ManifestDocument, Name},
    store::{
        filesystem::{FileSystem, OperatingSystem},
        record::{self, Read, Record},
    },
};

/// The name of the folder in the state folder.
pub(super) const FOLDER: &str = "generations";
/// The record in the state folder.
const RECORD: &str = "applied.json";
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
    /// Why its file could not be read now; then nothing else in here is known but its id, and of generation 0 not even
    /// that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
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
            unread: None,
        }
    }

    /// One whose file could not be read.
    fn unread(unread: &Unread, applied: Option<Digest>) -> Self {
        let id = unread.id();
        Self {
            id: id.unwrap_or_else(|| Digest::of(b"")),
            is_first: unread.is_first(),
            is_applied: id.is_some() && id == applied,
            epoch: 0,
            sequence: 0,
            acceptance: Acceptance::Unknown,
            generated_ms: 0,
            applied_ms: 0,
            files: 0,
            total_size: 0,
            unread: Some(unread.error.to_string()),
        }
    }
}

/// `0`, or the sequence and the beginning of the id.
impl fmt::Display for KeptGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_first {
            f.write_str("0")
        } else if self.unread.is_some() {
            write!(f, "{:.12}", self.id)
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

    /// Generation 0 as one that any apply could have made live, before all others.
    pub(in crate::store) fn into_ordinary(self) -> Self {
        Self {
            serial: self.serial.max(1),
            ..self
        }
    }

    /// The same, as `record` says where it is the one that was applied last: its file is not waited for, and its name does
    /// not tell what was retained, so that it may be from an earlier time.
    pub(super) fn corrected_by(self, record: &Record) -> Self {
        match &record.retained {
            Some(retained) if !self.is_first() && record.generation == Some(self.document.generation) => Self {
                document: self.document.with_retained(retained),
                ..self
            },
            _ => self,
        }
    }

    pub(in crate::store) fn is_first(&self) -> bool {
        self.serial == 0
    }

    pub(in crate::store) fn file_name(&self) -> String {
        if self.is_first() {
            format!("{FIRST}.json")
        } else {
            format!("{}.json", self.document.generation)
        }
    }

    /// Whether it is what it says, and in the file that is its own.
    fn is_of(&self, file: &Path) -> bool {
        self.document.is_its_generation() && file.file_name().is_some_and(|name| *name == *self.file_name())
    }

    pub(in crate::store) fn summary(&self, applied: Option<Digest>) -> KeptGeneration {
        KeptGeneration {
            is_first: self.is_first(),
            is_applied: !self.is_first() && applied == Some(self.document.generation),
            ..KeptGeneration::of(&self.document, self.applied_ms)
        }
    }
}

/// A file of a generation that is there and could not be read now. What it keeps nobody knows, so nothing that it may
/// need goes.
#[derive(Debug, Clone)]
pub(in crate::store) struct Unread {
    pub(super) file: PathBuf,
    pub(super) error: Error,
}

impl Unread {
    /// The generation that it is of, by its name; none for generation 0.
    pub(super) fn id(&self) -> Option<Digest> {
        self.file.file_stem()?.to_str()?.parse().ok()
    }

    fn is_first(&self) -> bool {
        self.file.file_stem().is_some_and(|stem| stem == FIRST)
    }
}

/// What is in the folder of generations.
#[derive(Debug, Default)]
pub(in crate::store) struct Stored {
    /// Newest first, generation 0 last.
    pub(in crate::store) kept: Vec<Kept>,
    pub(in crate::store) unread: Vec<Unread>,
    /// Whether the file of the applied one says something else of what this node had retained than the record.
    pub(super) is_outdated: bool,
    /// Files that were read and are not what was written.
    pub(super) damaged: Vec<PathBuf>,
}

impl Stored {
    /// All generations.
    ///
    /// # Errors
    /// [`Kind::File`] naming the first file that could not be read.
    pub(in crate::store) fn whole(self) -> Result<Vec<Kept>, Error> {
        match self.unread.into_iter().next() {
            Some(unread) => Err(unread.error),
            None => Ok(self.kept),
        }
    }
}

/// What is kept in the state folder `state_dir`, newest first, generation 0 last, and before it what could not be read.
/// Reads files only, so that it also works beside a running node and without one.
///
/// # Errors
/// [`Kind::File`] when the folder cannot be read.
pub fn list(state_dir: &Path) -> Result<Vec<KeptGeneration>, Error> {
    let applied = applied(state_dir)?;
    let stored = read_all(&OperatingSystem, state_dir)?;
    let unread = stored
        .unread
        .iter()
        .map(|unread| KeptGeneration::unread(unread, applied));
    let mut all: Vec<_> = stored
        .kept
        .iter()
        .map(|kept| kept.summary(applied))
        .chain(unread)
        .collect();
    // Stable: the others stay in their order.
    all.sort_by_key(|kept| kept.is_first);
    Ok(all)
}

/// One kept generation with its files. `id` is what a person writes: `0`, `#` and a sequence, or an id or its
/// beginning.
///
/// # Errors
/// [`Kind::Refused`] when no kept generation, or more than one, is meant; [`Kind::File`] when the folder, or the file
/// of the one that may be meant, cannot be read.
pub fn show(state_dir: &Path, id: &str) -> Result<(KeptGeneration, BTreeMap<Name, Entry>), Error> {
    let kept = find(state_dir, id)?;
    Ok((kept.summary(applied(state_dir)?), kept.document.files))
}

/// The kept generation that a person means.
pub(in crate::store) fn find(state_dir: &Path, id: &str) -> Result<Kept, Error> {
    let Stored { kept: all, unread, .. } = read_all(&OperatingSystem, state_dir)?;
    let guidance = "See `gocd-bc generations list`; an id may be shortened, #12 means the sequence 12.";
    let may_be_meant = |unread: &&Unread| {
        if id == FIRST {
            unread.is_first()
        } else {
            let begins = |other: Digest| other.to_string().starts_with(&id.to_ascii_lowercase());
            id.starts_with('#') || (!id.is_empty() && unread.id().is_some_and(begins))
        }
    };
    let unread = unread.iter().find(may_be_meant).map(|unread| unread.error.clone());
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
        (None, _) if unread.is_some() => Err(unread.expect("just seen")),
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
    match record::read::<Record>(&OperatingSystem, &state_dir.join(RECORD))? {
        Read::Whole(record) => Ok(record.generation),
        Read::Missing | Read::Damaged => Ok(None),
    }
}

/// Reads the folder. What goes meanwhile was dropped. Of the applied one the record says what this node had retained.
///
/// # Errors
/// [`Kind::File`] when it cannot be listed, or the record cannot be read.
pub(in crate::store) fn read_all(system: &dyn FileSystem, state_dir: &Path) -> Result<Stored, Error> {
    let folder = state_dir.join(FOLDER);
    let mut stored = Stored::default();
    let files = match system.list(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
        Err(error) => return Err(Error::io("read the folder", &folder, &error)),
    };
    // Others are on their way to their names, or were never ours.
    let is_kept = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "json");
    let record = record::read::<Record>(system, &state_dir.join(RECORD))?;
    for file in files.into_iter().filter(is_kept) {
        match read(system, &file) {
            Ok(Read::Whole(kept)) => {
                let read = match &record {
                    Read::Whole(record) => kept.clone().corrected_by(record),
                    Read::Missing | Read::Damaged => kept.clone(),
                };
                stored.is_outdated |= read != kept;
                stored.kept.push(read);
            }
            Ok(Read::Damaged) => stored.damaged.push(file),
            Ok(Read::Missing) => {}
            Err(error) => stored.unread.push(Unread { file, error }),
        }
    }
    stored.kept.sort_by_key(|kept| std::cmp::Reverse(kept.serial));
    Ok(stored)
}

/// The same as [`read_all`] of one file.
///
/// # Errors
/// As [`record::read`].
pub(super) fn read_corrected(system: &dyn FileSystem, state_dir: &Path, file: &Path) -> Result<Read<Kept>, Error> {
    let record = record::read::<Record>(system, &state_dir.join(RECORD))?;
    Ok(match (read(system, file)?, record) {
        (Read::Whole(kept), Read::Whole(record)) => Read::Whole(kept.corrected_by(&record)),
        (read, _) => read,
    })
}

/// Reads one file. A crash may have torn it, since nobody waits for it.
///
/// # Errors
/// As [`record::read`].
fn read(system: &dyn FileSystem, file: &Path) -> Result<Read<Kept>, Error> {
    Ok(match record::read::<Kept>(system, file)? {
        Read::Whole(kept) if !kept.is_of(file) => Read::Damaged,
        read => read,
    })
}
