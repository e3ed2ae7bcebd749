//! What was applied last: `applied.json` in the state folder.
//!
//! Format 1. An old reader ignores fields it does not know; a higher format is refused, since a newer version of
//! this plugin wrote it. Like the other files that are read by this module it ends with a checksum
//! ([`crate::durable::seal`]): a damaged one could make a file of somebody else count as ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracing::warn;

use crate::{
    basics::{Digest, Error, Kind, if_there},
    durable::{FileSystem, atomic, filesystem, seal},
    generation::{Entry, Epoch, ManifestDocument, Name},
    standby::store::guard::Guard,
};

/// The newest format.
pub(super) const FORMAT: u32 = 1;

/// How many damaged files of one name are kept.
const MAX_DAMAGED: usize = 9;

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
    /// When its files became live, by this node's clock. What is live already does not become it again, whatever else
    /// is written down of it; without a generation it says nothing.
    pub applied_ms: i64,
    /// The files that it named, the jars that were kept beside it, and those of before of which it does not say whether
    /// they are gone; only these are ever removed.
    pub(super) ours: BTreeSet<Name>,
    /// What of it this node had itself, under names that the primary withholds: the id of the generation leaves that
    /// out. Not known where an older version wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retained: Option<BTreeMap<Name, Entry>>,
    /// What guards against mass deletion.
    #[serde(default)]
    pub(super) guard: Guard,
    /// Whether GoCD has run on the live files since: they are its own then, and no generation's.
    #[serde(default)]
    pub(super) was_primary: bool,
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
            retained: None,
            guard: Guard::default(),
            was_primary: false,
        }
    }
}

impl Record {
    /// The record of what is applied, for `generation` becoming live after this one, with what `guard` keeps.
    pub(super) fn next(&self, generation: &ManifestDocument, guard: &Guard, now_ms: i64) -> Self {
        let mut next = Self {
            format: FORMAT,
            serial: self.serial + 1,
            generation: Some(generation.generation),
            sequence: generation.envelope.sequence,
            epoch: generation.envelope.epoch.clone(),
            applied_ms: now_ms,
            ours: generation
                .files
                .keys()
                .chain(guard.kept())
                .chain(self.ours.iter().filter(|name| {
                    let is_unknown = generation.extra_is_unknown && matches!(name, Name::Extra(_));
                    is_unknown || generation.withheld.reason(name).is_some()
                }))
                .cloned()
                .collect(),
            retained: Some(generation.retained_files()),
            guard: guard.clone(),
            was_primary: false,
        };
        next.becomes_live(self, true, now_ms);
        next
    }

    /// Notes in the record that it is about to be what is live, after `before`. Without `changes` all live files are so
    /// already.
    pub(super) fn becomes_live(&mut self, before: &Self, changes: bool, now_ms: i64) {
        let is_first = before.generation.is_none();
        let is_news = self.generation.is_none() || is_first || changes && self.generation != before.generation;
        self.applied_ms = if is_news { now_ms } else { before.applied_ms };
    }

    /// Whether two records of what is applied say the same but for time and serial.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.generation, self.sequence, &self.epoch, &self.ours, &self.retained)
            == (
                other.generation,
                other.sequence,
                &other.epoch,
                &other.ours,
                &other.retained,
            )
    }

    /// Loads the record of what is applied, `applied.json`. A damaged one is set aside: then nothing counts as ours
    /// until the next generation is applied, so that at worst a file stays that should go.
    ///
    /// # Errors
    /// As [`read`]: one that cannot be read may say anything.
    pub(super) fn load(system: &dyn FileSystem, path: &Path) -> Result<Self, Error> {
        match read(system, path)? {
            Read::Whole(record) => Ok(record),
            Read::Missing => Ok(Self::default()),
            Read::Damaged => {
                set_aside(system, path, "what was applied last; syncing begins anew")?;
                Ok(Self::default())
            }
        }
    }

    /// Saves the record of what is applied, `applied.json`, durably.
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
    /// All of it was read, and it is something else.
    Damaged,
}

/// Reads a sealed file of the store, such as record or journal. Only bytes that were read make it a damaged one.
///
/// # Errors
/// It cannot be read, or a newer version of this plugin wrote it.
pub(super) fn read<T: DeserializeOwned>(system: &dyn FileSystem, path: &Path) -> Result<Read<T>, Error> {
    let Some(text) = if_there(system.read(path)).map_err(Error::cannot("read", path))? else {
        return Ok(Read::Missing);
    };
    match format_of(&text) {
        Some(format) if format > FORMAT => return Err(too_new(path, format)),
        Some(_) if seal::is_whole(&text) => {}
        _ => return Ok(Read::Damaged),
    }
    Ok(serde_json::from_slice(&text).map_or(Read::Damaged, Read::Whole))
}

/// The format that the text of a file of the store names; none where it names none.
fn format_of(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    serde_json::from_slice(text).ok().map(|Format { format }| format)
}

/// Renames a damaged file of the store out of the way, for somebody to look at. `what` it is, and what comes of it.
///
/// # Errors
/// It cannot be renamed.
pub(super) fn set_aside(system: &dyn FileSystem, path: &Path, what: &str) -> Result<(), Error> {
    let failed = Error::cannot("rename", path);
    let aside = free_name(system, path).map_err(failed)?;
    system.rename(path, &aside).map_err(failed)?;
    warn!(
        "{} is damaged and was renamed to {}: {what}",
        path.display(),
        aside.display()
    );
    Ok(())
}

/// A name beside the file that nothing has yet; after so many that the disk must be failing, the last one again.
fn free_name(system: &dyn FileSystem, path: &Path) -> io::Result<PathBuf> {
    let mut aside = path.with_extension("damaged");
    for number in 2..=MAX_DAMAGED {
        if !filesystem::is_there(system, &aside)? {
            break;
        }
        aside = path.with_extension(format!("damaged-{number}"));
    }
    Ok(aside)
}

/// The error of a file of the store that a later version has written.
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
    use std::fs;

    use super::*;
    use crate::durable::OperatingSystem;

    fn load(path: &Path) -> Result<Record, Error> {
        Record::load(&OperatingSystem, path)
    }

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("applied.json");
        assert_eq!(load(&path), Ok(Record::default()));
        let record = Record {
            serial: 3,
            generation: Some(Digest::of(b"x")),
            ours: BTreeSet::from([Name::CruiseConfig, Name::Plugin("a.jar".parse().expect("valid"))]),
            ..Record::default()
        };
        record.save(&OperatingSystem, &path).expect("save");
        assert_eq!(load(&path), Ok(record));
    }

    #[test]
    fn a_generation_becomes_live_once() {
        let live = |generation: Option<&[u8]>| Record {
            generation: generation.map(Digest::of),
            applied_ms: 7,
            ..Record::default()
        };
        for (before, next, expected) in [
            (None, Some(&b"x"[..]), 9),
            (Some(&b"x"[..]), Some(&b"x"[..]), 7),
            (Some(b"x"), Some(b"y"), 9),
            // Of an apply that could not be finished, or after GoCD ran on the files.
            (None, None, 9),
        ] {
            let mut next = live(next);
            let mut unchanged = next.clone();
            next.becomes_live(&live(before), true, 9);
            assert_eq!(next.applied_ms, expected, "{before:?}");
            unchanged.becomes_live(&live(before), false, 9);
            let expected = if before.is_some() { 7 } else { 9 };
            assert_eq!(unchanged.applied_ms, expected, "{before:?}");
        }
    }

    #[test]
    fn a_damaged_record_is_kept_and_one_of_the_future_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("applied.json");
        fs::write(&path, "{\"format\": 1, \"serial\"").expect("write");
        assert_eq!(load(&path), Ok(Record::default()));
        fs::write(&path, "").expect("write");
        assert_eq!(load(&path), Ok(Record::default()));
        for (aside, text) in [
            ("applied.damaged", "{\"format\": 1, \"serial\""),
            ("applied.damaged-2", ""),
        ] {
            assert_eq!(fs::read_to_string(folder.path().join(aside)).expect("kept"), text);
        }
        fs::write(&path, "{\"format\": 2}").expect("write");
        let error = load(&path).expect_err("too new");
        assert!(error.message().contains("format 2"), "{error}");
        assert!(path.exists());
    }
}
