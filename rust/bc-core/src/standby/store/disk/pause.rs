//! The pause after a restore: nothing is pulled until a person resumes it, also after a restart.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::DiskStore;
use crate::{
    basics::{Digest, Error},
    durable::{FileSystem, atomic, seal},
    standby::store::record::{self, Read},
    status::Paused,
};

/// `paused.json` in the state folder: there while a restored generation is held in place.
#[derive(Debug, Serialize, Deserialize)]
struct PausedFile {
    format: u32,
    #[serde(flatten)]
    paused: Paused,
}

/// The path of the file `paused.json`, where it is written that nothing is pulled.
pub(super) fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("paused.json")
}

/// Loads the pause: whether nothing is to be pulled, and since when. A damaged file still says that somebody wanted it
/// so: `live` is held in place then, since `now_ms`.
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

/// Removes the file `paused.json`, durably.
pub(super) fn remove(system: &dyn FileSystem, state_dir: &Path) -> Result<(), Error> {
    let path = file(state_dir);
    match system.remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed
            .and_then(|()| system.sync_folder(state_dir))
            .map_err(Error::cannot("remove", &path)),
    }
}

impl DiskStore {
    /// Ends the pause after a restore.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn resume(&self) -> Result<(), Error> {
        remove(&*self.system, &self.files.folder)?;
        self.lock().paused = None;
        Ok(())
    }

    /// Pauses the store, durably: nothing is pulled until [`DiskStore::resume`].
    pub(super) fn pause(&self, paused: Paused) -> Result<(), Error> {
        let file_now = PausedFile {
            format: record::FORMAT,
            paused,
        };
        let text = seal::sealed(&file_now).expect("it has only plain fields");
        atomic::write_on(&*self.system, &file(&self.files.folder), &text, 0o600)?;
        self.lock().paused = Some(file_now.paused);
        Ok(())
    }
}
