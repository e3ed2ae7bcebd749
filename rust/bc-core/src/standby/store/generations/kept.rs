//! One kept generation: its file, and finding the one that a person means.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, if_there, lenient::if_understood},
    database::position::Position,
    durable::{FileSystem, OperatingSystem},
    generation::{Acceptance, Entry, Lineage, ManifestDocument, Name},
    standby::store::record::{self, Read, Record},
    status::Generation,
};

/// The name of the folder in the state folder.
pub(super) const FOLDER: &str = "generations";
/// The record in the state folder.
const RECORD: &str = "applied.json";
/// How the files from before the first apply are called.
pub(in crate::standby::store) const FIRST: &str = "0";

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
    /// Whether that GoCD had the time to accept it and did not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// When the primary first saw it, by the primary's clock.
    pub generated_ms: i64,
    /// Where the primary's database was when it made this generation; none where that was not known.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub database: Option<Position>,
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
    /// The generation that was applied last, as one that is kept.
    pub(in crate::standby::store) fn of(document: &ManifestDocument, applied_ms: i64) -> Self {
        Self {
            id: document.generation,
            is_first: false,
            is_applied: true,
            epoch: document.envelope.epoch.number,
            sequence: document.envelope.sequence,
            acceptance: document.envelope.acceptance,
            rejected: document.envelope.is_rejected(),
            generated_ms: document.envelope.generated_ms,
            database: document.envelope.made_at.clone(),
            applied_ms,
            files: document.files.len(),
            total_size: document.total_size(),
            unread: None,
        }
    }

    /// A kept generation whose file could not be read.
    fn unread(unread: &Unread, applied: Option<Digest>) -> Self {
        let id = unread.id();
        Self {
            id: id.unwrap_or_else(|| Digest::of(b"")),
            is_first: unread.is_first(),
            is_applied: id.is_some() && id == applied,
            epoch: 0,
            sequence: 0,
            acceptance: Acceptance::Unknown,
            rejected: false,
            generated_ms: 0,
            database: None,
            applied_ms: 0,
            files: 0,
            total_size: 0,
            unread: Some(unread.error.to_string()),
        }
    }
}

impl From<&KeptGeneration> for Generation {
    fn from(kept: &KeptGeneration) -> Self {
        Self {
            id: kept.id,
            sequence: kept.sequence,
            generated_ms: kept.generated_ms,
            acceptance: kept.acceptance,
            total_size: kept.total_size,
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
pub(in crate::standby::store) struct Kept {
    format: u32,
    /// The apply that made it live last; 0 for generation 0.
    pub(in crate::standby::store) serial: u64,
    pub(in crate::standby::store) applied_ms: i64,
    pub(in crate::standby::store) document: ManifestDocument,
}

impl Kept {
    /// The generation as it is kept in its file, with what the record says of it.
    pub(in crate::standby::store) fn new(document: ManifestDocument, record: &Record) -> Self {
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

    /// Makes generation 0 of what was live before the first apply.
    pub(in crate::standby::store) fn first(document: ManifestDocument, now_ms: i64) -> Self {
        Self {
            format: record::FORMAT,
            serial: 0,
            applied_ms: now_ms,
            document,
        }
    }

    /// Generation 0 as one that any apply could have made live, before all others.
    pub(in crate::standby::store) fn into_ordinary(self) -> Self {
        Self {
            serial: self.serial.max(1),
            ..self
        }
    }

    /// The kept generation, corrected by `record` where it is the one that was applied last: its file is not waited
    /// for, and its name does not tell what was retained, so that it may be from an earlier time.
    pub(super) fn corrected_by(self, record: &Record) -> Self {
        match &record.retained {
            Some(retained) if !self.is_first() && record.generation == Some(self.document.generation) => Self {
                document: self.document.with_retained(retained),
                ..self
            },
            _ => self,
        }
    }

    /// Whether a kept generation is generation 0.
    pub(in crate::standby::store) fn is_first(&self) -> bool {
        self.serial == 0
    }

    /// The name of the file of a kept generation.
    pub(in crate::standby::store) fn file_name(&self) -> String {
        if self.is_first() {
            format!("{FIRST}.json")
        } else {
            format!("{}.json", self.document.generation)
        }
    }

    /// Whether a kept generation is what it says, and in the file that is its own.
    fn is_of(&self, file: &Path) -> bool {
        self.document.is_its_generation() && file.file_name().is_some_and(|name| *name == *self.file_name())
    }

    /// What people are shown of a kept generation.
    pub(in crate::standby::store) fn summary(&self, applied: Option<Digest>) -> KeptGeneration {
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
pub(in crate::standby::store) struct Unread {
    pub(super) file: PathBuf,
    pub(super) error: Error,
}

impl Unread {
    /// The id of the generation that an unread file is of, by its name; none for generation 0.
    pub(super) fn id(&self) -> Option<Digest> {
        self.file.file_stem()?.to_str()?.parse().ok()
    }

    /// Whether an unread file is that of generation 0.
    fn is_first(&self) -> bool {
        self.file.file_stem().is_some_and(|stem| stem == FIRST)
    }
}

/// What is in the folder of generations.
#[derive(Debug, Default)]
pub(in crate::standby::store) struct Stored {
    /// Newest first, generation 0 last.
    pub(in crate::standby::store) kept: Vec<Kept>,
    pub(in crate::standby::store) unread: Vec<Unread>,
    /// Whether the file of the applied one says something else of what this node had retained than the record.
    pub(super) is_outdated: bool,
    /// Files that were read and are not what was written.
    pub(super) damaged: Vec<PathBuf>,
}

impl Stored {
    /// All kept generations, where each file could be read.
    ///
    /// # Errors
    /// [`Kind::File`] naming the first file that could not be read.
    pub(in crate::standby::store) fn whole(self) -> Result<Vec<Kept>, Error> {
        match self.unread.into_iter().next() {
            Some(unread) => Err(unread.error),
            None => Ok(self.kept),
        }
    }
}

/// Lists the generations kept in the state folder `state_dir`, newest first, generation 0 last, before it those unread.
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

/// Shows one kept generation with its files. `id` is what a person writes: `0`, `#` and a sequence, or an id or its
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
pub(in crate::standby::store) fn find(state_dir: &Path, id: &str) -> Result<Kept, Error> {
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

/// The id of the generation that was applied last, by the record, without touching anything.
pub(in crate::standby::store) fn applied(state_dir: &Path) -> Result<Option<Digest>, Error> {
    match record::read::<Record>(&OperatingSystem, &state_dir.join(RECORD))? {
        Read::Whole(record) => Ok(record.generation),
        Read::Missing | Read::Damaged => Ok(None),
    }
}

/// Reads all kept generations in their folder. What goes meanwhile was dropped. Of the applied one the record says what
/// this node had retained.
///
/// # Errors
/// [`Kind::File`] when it cannot be listed, or the record cannot be read.
pub(in crate::standby::store) fn read_all(system: &dyn FileSystem, state_dir: &Path) -> Result<Stored, Error> {
    let folder = state_dir.join(FOLDER);
    let mut stored = Stored::default();
    let files = if_there(system.list(&folder)).map_err(Error::cannot("read the folder", &folder))?;
    // Others are on their way to their names, or were never ours.
    let is_kept = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "json");
    let record = record::read::<Record>(system, &state_dir.join(RECORD))?;
    for file in files.into_iter().flatten().filter(is_kept) {
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

/// Reads one kept generation, corrected by the record as in [`read_all`].
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

/// Reads the file of one kept generation. A crash may have torn it, since nobody waits for it.
///
/// # Errors
/// As [`record::read`].
fn read(system: &dyn FileSystem, file: &Path) -> Result<Read<Kept>, Error> {
    Ok(match record::read::<Kept>(system, file)? {
        Read::Whole(kept) if !kept.is_of(file) => Read::Damaged,
        read => read,
    })
}
