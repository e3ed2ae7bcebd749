//! Reading every live file and every kept byte of a standby, to say whether they are what they should be.
//!
//! Changes nothing, and needs no open store: it reads beside a node that runs.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, Severity},
    durable::OperatingSystem,
    generation::{Layout, Name},
    standby::store::{
        blobs,
        generations::{self, Kept, KeptGeneration},
    },
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The generation that was applied last, against which the live files are held.
    pub generation: KeptGeneration,
    /// Every live file of it, and every kept one that is not right.
    pub files: Vec<VerifiedFile>,
    /// How many kept files were read.
    pub kept: usize,
}

impl Verified {
    /// How bad the worst of all verified files is.
    pub fn severity(&self) -> Severity {
        self.files
            .iter()
            .map(|file| file.state.severity())
            .max()
            .unwrap_or(Severity::Ok)
    }
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedFile {
    /// Which one.
    pub name: Name,
    /// What it should be.
    pub expected: Digest,
    /// What it is; none where it is missing.
    pub found: Option<Digest>,
    /// How both compare.
    pub state: VerifiedState,
}

/// How a file compares with what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedState {
    /// As it should be.
    Ok,
    /// The live file has other bytes.
    Differs,
    /// The live file is not there.
    Missing,
    /// The kept bytes for a generation are damaged.
    KeptDamaged,
    /// The kept bytes for a generation are gone.
    KeptLost,
}

impl VerifiedState {
    /// How bad the verified state of a file is: live files are what GoCD would start on.
    pub fn severity(self) -> Severity {
        match self {
            VerifiedState::Ok => Severity::Ok,
            VerifiedState::KeptDamaged | VerifiedState::KeptLost => Severity::Warning,
            VerifiedState::Differs | VerifiedState::Missing => Severity::Critical,
        }
    }
}

/// Verifies all live and kept files by reading them. `on_bytes` hears how many bytes of how many are read.
///
/// # Errors
/// [`Kind::Refused`] when nothing is applied here, [`Kind::Busy`] when another generation is applied meanwhile,
/// [`Kind::File`] when a file cannot be read: it is neither right nor damaged then.
pub fn verify(state_dir: &Path, layout: &Layout, mut on_bytes: impl FnMut(u64, u64)) -> Result<Verified, Error> {
    let id = generations::applied(state_dir)?;
    let all = generations::read_all(&OperatingSystem, state_dir)?.whole()?;
    let applied = all
        .iter()
        .find(|kept| !kept.is_first() && Some(kept.document.generation) == id)
        .ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "no generation is applied here, so there is nothing to compare with",
                "Run the command on a standby that has synced.",
            )
        })?;
    let wanted = wanted(&all, layout);
    let is_ours = |name: &Name| layout.syncs(name);
    let live = applied.document.files.iter().filter(|(name, _)| is_ours(name));
    let total: u64 =
        live.clone().map(|(_, entry)| entry.size).sum::<u64>() + wanted.values().map(|(_, size)| size).sum::<u64>();
    let mut done = 0;
    let mut files = Vec::new();
    for (name, entry) in live {
        let found = blobs::read_if_there(&OperatingSystem, &layout.path_of(name), &entry.sha256)?;
        let state = match found {
            Some(found) if found == entry.sha256 => VerifiedState::Ok,
            Some(_) => VerifiedState::Differs,
            None => VerifiedState::Missing,
        };
        files.push(VerifiedFile {
            name: name.clone(),
            expected: entry.sha256,
            found,
            state,
        });
        done += entry.size;
        on_bytes(done, total);
    }
    for (digest, (name, size)) in &wanted {
        let blob = state_dir.join(blobs::FOLDER).join(digest.to_string());
        let found = blobs::read_if_there(&OperatingSystem, &blob, digest)?;
        let state = match found {
            Some(found) if found == *digest => None,
            Some(_) => Some(VerifiedState::KeptDamaged),
            None => Some(VerifiedState::KeptLost),
        };
        files.extend(state.map(|state| VerifiedFile {
            name: name.clone(),
            expected: *digest,
            found,
            state,
        }));
        done += size;
        on_bytes(done, total);
    }
    if generations::applied(state_dir)? != id {
        return Err(Error::new(
            Kind::Busy,
            "another generation was applied meanwhile",
            "Run the command again.",
        ));
    }
    Ok(Verified {
        generation: applied.summary(id),
        files,
        kept: wanted.len(),
    })
}

/// The digests of all kept generations that are to be verified, each with a file that has these bytes.
fn wanted(all: &[Kept], layout: &Layout) -> BTreeMap<Digest, (Name, u64)> {
    let mut wanted = HashMap::new();
    for (name, entry) in all.iter().flat_map(|kept| &kept.document.files) {
        if layout.syncs(name) {
            wanted.entry(entry.sha256).or_insert_with(|| (name.clone(), entry.size));
        }
    }
    wanted.into_iter().collect()
}
