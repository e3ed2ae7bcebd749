//! What a node that was promoted still keeps of its time as a standby, and letting go of it.
//!
//! Here no store is open: a primary follows nobody, and only reads and removes.

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use crate::{
    error::Error,
    layout::Layout,
    store::{
        apply::StateFiles,
        blobs::Blobs,
        filesystem::{self, FileSystem, OperatingSystem},
        generations::{self, KeptGeneration},
        record::Record,
        room,
    },
};

use super::restore;

/// Drops all of it: kept generations, and the bytes of which the live files are copies. GoCD stops scheduling when this
/// disk is nearly full (`DatabaseDiskSpaceFullChecker`).
///
/// # Errors
/// [`crate::error::Kind::File`] naming what cannot be removed.
pub fn release(state_dir: &Path) -> Result<(), Error> {
    generations::forget_all(&OperatingSystem, state_dir)
}

/// Whether anything is kept that [`release`] would drop.
pub fn keeps_anything(state_dir: &Path) -> bool {
    generations::folders(state_dir).iter().any(|folder| folder.exists())
}

/// Which disks are nearly full, of those on which this node keeps something or GoCD works; for people.
pub fn low(state_dir: &Path, layout: &Layout) -> Option<String> {
    room::warning([state_dir, layout.plugins_external(), layout.pair_dir()], room::LOW)
}

/// Drops one kept generation, as a person writes it, and the bytes that no other one has. A crash in the middle leaves
/// bytes that nobody lists; they go with the next one that is dropped.
///
/// # Errors
/// [`crate::error::Kind::Refused`] when none or more than one is meant; [`crate::error::Kind::File`] naming what cannot
/// be removed.
pub fn drop_kept(state_dir: &Path, id: &str) -> Result<KeptGeneration, Error> {
    let kept = generations::find(state_dir, id)?;
    let [folder, bytes] = generations::folders(state_dir);
    let path = folder.join(kept.file_name());
    filesystem::remove_if_there(&OperatingSystem, &path).map_err(|error| Error::io("remove", &path, &error))?;
    OperatingSystem
        .sync_folder(&folder)
        .map_err(|error| Error::io("sync the folder", &folder, &error))?;
    let others = generations::read_all(&OperatingSystem, state_dir)?;
    let files = fs::read_dir(&folder).map_err(|error| Error::io("read the folder", &folder, &error))?;
    // Of one that cannot be read nobody knows which bytes it needs.
    if others.unread.is_empty() && files.count() == others.kept.len() {
        let wanted: HashSet<_> = others
            .kept
            .iter()
            .flat_map(|kept| kept.document.files.values())
            .map(|entry| entry.sha256)
            .collect();
        Blobs::open(Arc::new(OperatingSystem), bytes)?.retain(&wanted, |_| Ok(()))?;
    }
    Ok(kept.summary(None))
}

/// Notes that what was applied last is not what is live: GoCD runs on the live files and writes them itself. Kept
/// generations stay, and so does whose files are ours; nothing is held in place any more.
///
/// # Errors
/// [`crate::error::Kind::File`] naming what cannot be read or written.
pub fn forget_applied(state_dir: &Path) -> Result<(), Error> {
    let path = StateFiles::new(state_dir).record;
    let mut record = Record::load(&OperatingSystem, &path)?;
    if record.generation.take().is_some() || keeps_anything(state_dir) && !record.was_primary {
        record.was_primary = true;
        record.save(&OperatingSystem, &path)?;
    }
    restore::remove(&OperatingSystem, state_dir)
}
