//! Going back to a kept generation: when an administrator orders it, and when a promotion finds that GoCD never
//! accepted the newest one.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::DiskStore;
use crate::{
    digest::Digest,
    error::{Error, Kind},
    manifest::{Acceptance, ManifestDocument},
    status::Paused,
    store::{
        Allowed, Applied, Restored, Store, atomic,
        filesystem::FileSystem,
        generations::{self, KeptGeneration},
        journal::Journal,
        record::{self, Read},
        seal,
    },
};

/// `paused.json` in the state folder: there while a restored generation is held in place.
#[derive(Debug, Serialize, Deserialize)]
struct PausedFile {
    format: u32,
    #[serde(flatten)]
    paused: Paused,
}

/// An administrator who goes back knows what goes.
pub(super) const ALL: Allowed = Allowed {
    deletions: true,
    server_id: true,
};

/// Where it is written that nothing is pulled.
pub(super) fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("paused.json")
}

/// Whether nothing is to be pulled, and since when. A damaged file still says that somebody wanted it so: `live` is
/// held in place then, since `now_ms`.
///
/// # Errors
/// As [`record::read`]: somebody may have wanted it so.
pub(super) fn load(
    system: &dyn FileSystem,
    state_dir: &Path,
    live: Option<Digest>,
    now_ms: i64,
) -> Result<Option<Paused>, Error> {
    let path = file(state_dir);
    Ok(match record::read::<PausedFile>(system, &path)? {
        Read::Missing => None,
        Read::Whole(file) => Some(file.paused),
        Read::Damaged => {
            warn!(
                "{} is damaged; nothing is pulled until `gocd-bc sync --resume`",
                path.display()
            );
            Some(Paused {
                generation: live.unwrap_or_else(|| Digest::of(b"")),
                since_ms: now_ms,
            })
        }
    })
}

/// Removes the file, durably.
pub(super) fn remove(system: &dyn FileSystem, state_dir: &Path) -> Result<(), Error> {
    let path = file(state_dir);
    match system.remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed
            .and_then(|()| system.sync_folder(state_dir))
            .map_err(|error| Error::io("remove", &path, &error)),
    }
}

impl DiskStore {
    /// Restores, and is paused before the first file changes: a crash in between leaves a standby that stays what
    /// it is until somebody looks.
    pub(super) fn go_back(&self, id: &str) -> Result<Restored, Error> {
        let kept = generations::find(&self.files.folder, id)?;
        self.check_whole(&kept.document)?;
        let was_paused = self.lock().paused.clone();
        self.pause(Some(Paused {
            generation: kept.document.generation,
            since_ms: self.clock.now_ms(),
        }))?;
        match self.apply(&kept.document, ALL) {
            Ok(applied) => {
                info!("the generation {:.12} is restored", kept.document.generation);
                self.restored(applied)
            }
            Err(error) => {
                // Half live, it is finished later, and must not be followed by another one then.
                if matches!(Journal::is_open(&*self.system, &self.files.journal), Ok(false)) {
                    self.pause(was_paused)?;
                }
                Err(error)
            }
        }
    }

    /// Goes back from a configuration that GoCD has not accepted for `wait` to the newest one that it has.
    pub(super) fn go_back_to_accepted(&self, wait: Duration) -> Result<Option<Restored>, Error> {
        let since_ms = {
            let inner = self.lock();
            if inner.paused.is_some() {
                return Ok(None);
            }
            inner.record.applied_ms
        };
        let is_pending = |document: &ManifestDocument| document.envelope.acceptance == Acceptance::Pending;
        let waited = u128::try_from(self.clock.now_ms().saturating_sub(since_ms)).unwrap_or(0);
        if !self.generations().applied().is_some_and(is_pending) || waited < wait.as_millis() {
            return Ok(None);
        }
        // The newest that GoCD has accepted may be one that cannot be read.
        let all = generations::read_all(&*self.system, &self.files.folder)?.whole()?;
        for kept in all
            .iter()
            .filter(|kept| !kept.is_first() && !is_pending(&kept.document))
        {
            match self.check_whole(&kept.document) {
                Ok(()) => {
                    // Nobody has said that plugins may go.
                    let allowed = Allowed {
                        deletions: false,
                        ..ALL
                    };
                    let applied = self.apply(&kept.document, allowed)?;
                    return self.restored(applied).map(Some);
                }
                Err(error) => warn!("{error}"),
            }
        }
        Err(Error::new(
            Kind::Refused,
            "GoCD has not accepted the configuration that is live here, and no older one is kept",
            "Look at it before GoCD runs on it: an invalid one makes GoCD fall back to what it accepted last.",
        ))
    }

    pub(super) fn pause(&self, paused: Option<Paused>) -> Result<(), Error> {
        match &paused {
            None => remove(&*self.system, &self.files.folder)?,
            Some(paused) => {
                let file_now = PausedFile {
                    format: record::FORMAT,
                    paused: paused.clone(),
                };
                let text = seal::sealed(&file_now).expect("it has only plain fields");
                atomic::write_on(&*self.system, &file(&self.files.folder), &text, 0o600)?;
            }
        }
        self.lock().paused = paused;
        Ok(())
    }

    /// Whether all bytes of a kept generation are here and right. What it withholds and has nothing of stays as it is, with
    /// its bytes or without.
    fn check_whole(&self, document: &ManifestDocument) -> Result<(), Error> {
        for entry in document.files.values() {
            self.blobs.forget(&entry.sha256);
        }
        let (_, mut missing) = self.lacking(document)?;
        missing.retain(|wanted| document.files.values().any(|entry| entry.sha256 == wanted.sha256));
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing.iter().map(|wanted| wanted.name.to_string()).collect();
        Err(Error::new(
            Kind::File,
            format!(
                "the generation {:.12} cannot be restored: the kept bytes of {} are lost or damaged",
                document.generation,
                names.join(", ")
            ),
            "Choose another one: see `gocd-bc generations list`, and check them with `gocd-bc verify`.",
        ))
    }

    fn restored(&self, applied: Applied) -> Result<Restored, Error> {
        let generation = self.applied().ok_or_else(|| {
            Error::new(
                Kind::File,
                "the restored generation is live but could not be kept",
                "Look at the log of the standby.",
            )
        })?;
        Ok(Restored { generation, applied })
    }

    /// What was applied last, in short.
    pub(super) fn applied_now(&self) -> Option<KeptGeneration> {
        let inner = self.lock();
        let generations = self.generations();
        let document = generations.applied()?;
        Some(KeptGeneration::of(document, inner.record.applied_ms))
    }
}
