//! What was applied last: `applied.json` in the state folder.
//!
//! Format 1. An old reader ignores fields it does not know; a higher format is refused, since a newer version of
//! this plugin wrote it. Like the other files that are read by this module it ends with a checksum
//! ([`crate::store::seal`]): a damaged one could make a file of somebody else count as ours.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracing::warn;

use crate::{
    digest::Digest,
    error::{Error, Kind},
    manifest::{Epoch, ManifestDocument, Name},
    regular_file,
    store::{atomic, filesystem::FileSystem, guard::Guard, seal},
};

/// The newest format.
pub(super) const FORMAT: u32 = 1;

/// The last generation that became live, and which files are ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) format: u32,
    /// Grows with every apply; tells a finished journal from an open one.
    pub(super) serial: u64,
    /// The generation; none before the first one, and after a crash of which not everything could be finished.
    pub generation: Option<Digest>,
    /// The primary's sequence of it.
    pub sequence: u64,
    /// The primary's epoch then.
    pub epoch: Epoch,
    /// When it became live, by this node's clock.
    pub applied_ms: i64,
    /// The files that it named, and the jars that were kept beside it; only these are ever removed.
    pub(super) ours: BTreeSet<Name>,
    /// What guards against mass deletion.
    #[serde(default)]
    pub(super) guard: Guard,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            format: FORMAT,
            serial: 0,
            generation: None,
            sequence: 0,
            epoch: Epoch::default(),
            applied_ms: 0,
            ours: BTreeSet::new(),
            guard: Guard::default(),
        }
    }
}

impl Record {
    /// The record of `generation` becoming live after this one, with what `guard` keeps.
    pub(super) fn next(&self, generation: &ManifestDocument, guard: &Guard, now_ms: i64) -> Self {
        Self {
            format: FORMAT,
            serial: self.serial + 1,
            generation: Some(generation.generation),
            sequence: generation.envelope.sequence,
            epoch: generation.envelope.epoch.clone(),
            applied_ms: now_ms,
            ours: generation.files.keys().chain(guard.kept()).cloned().collect(),
            guard: guard.clone(),
        }
    }

    /// Whether both say the same but for time and serial.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.generation, self.sequence, &self.epoch, &self.ours)
            == (other.generation, other.sequence, &other.epoch, &other.ours)
    }

    /// Reads the record. A damaged one is set aside: then nothing counts as ours until the next generation is
    /// applied, so that at worst a file stays that should go.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        match read(path)? {
            Read::Whole(record) => Ok(record),
            Read::Missing => Ok(Self::default()),
            Read::Damaged => {
                set_aside(path, "what was applied last")?;
                Ok(Self::default())
            }
        }
    }

    /// Writes the record, durably.
    pub(super) fn save(&self, system: &dyn FileSystem, path: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a record has only plain fields");
        atomic::write_on(system, path, &text, 0o600)
    }
}

/// What a file of the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// There is no such file.
    Missing,
    /// All of it, as it was written.
    Whole(T),
    /// Something else.
    Damaged,
}

/// Reads a file of the store.
///
/// # Errors
/// It cannot be read, or a newer version of this plugin wrote it.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Read<T>, Error> {
    let text = match regular_file::read(path, regular_file::LARGEST_OF_OURS) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::Missing),
        Err(error) => return Err(Error::io("read", path, &error)),
    };
    match format_of(&text) {
        Some(format) if format > FORMAT => return Err(too_new(path, format)),
        Some(_) if seal::is_whole(&text) => {}
        _ => return Ok(Read::Damaged),
    }
    Ok(serde_json::from_slice(&text).map_or(Read::Damaged, Read::Whole))
}

/// The format that the text of a file of the store names; none where it names none.
pub(super) fn format_of(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    serde_json::from_slice(text).ok().map(|Format { format }| format)
}

/// Renames a damaged file of the store out of the way, for somebody to look at.
///
/// # Errors
/// It cannot be renamed.
pub(super) fn set_aside(path: &Path, what: &str) -> Result<(), Error> {
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside).map_err(|error| Error::io("rename", path, &error))?;
    warn!(
        "{} ({what}) is damaged and was renamed to {}; syncing begins anew",
        path.display(),
        aside.display()
    );
    Ok(())
}

fn too_new(path: &Path, format: u32) -> Error {
    Error::new(
        Kind::File,
        format!(
            "{} has format {format}, this version reads up to {FORMAT}",
            path.display()
        ),
        "A newer version of this plugin wrote it: install that one again, or remove the file to begin anew.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::filesystem::OperatingSystem;

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("applied.json");
        assert_eq!(Record::load(&path), Ok(Record::default()));
        let record = Record {
            serial: 3,
            generation: Some(Digest::of(b"x")),
            ours: BTreeSet::from([Name::CruiseConfig, Name::Plugin("a.jar".parse().expect("valid"))]),
            ..Record::default()
        };
        record.save(&OperatingSystem, &path).expect("save");
        assert_eq!(Record::load(&path), Ok(record));
    }

    #[test]
    fn a_damaged_record_is_kept_and_one_of_the_future_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("applied.json");
        fs::write(&path, "{\"format\": 1, \"serial\"").expect("write");
        assert_eq!(Record::load(&path), Ok(Record::default()));
        assert!(folder.path().join("applied.damaged").exists());
        fs::write(&path, "{\"format\": 2}").expect("write");
        let error = Record::load(&path).expect_err("too new");
        assert!(error.message().contains("format 2"), "{error}");
        assert!(path.exists());
    }
}
