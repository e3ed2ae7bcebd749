//! What a node that was promoted still keeps of its time as a standby, and letting go of it.
//!
//! Here no store is open: a primary follows nobody, and only reads and removes.

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use crate::{
    basics::Error,
    durable::{OperatingSystem, filesystem},
    generation::{Epoch, Layout},
    standby::store::{
        blobs::Blobs,
        generations::{self, KeptGeneration},
        record::{self, Read, Record},
        room,
    },
};

use super::{StateFiles, pause};

/// Drops all that a promoted node still keeps: kept generations, and the bytes of which the live files are copies. GoCD
/// stops scheduling when this disk is nearly full (`DatabaseDiskSpaceFullChecker`).
///
/// # Errors
/// [`crate::basics::Kind::File`] naming what cannot be removed.
pub fn release(state_dir: &Path) -> Result<(), Error> {
    generations::forget_all(&OperatingSystem, state_dir)
}

/// Whether a promoted node keeps anything that [`release`] would drop.
pub fn keeps_anything(state_dir: &Path) -> bool {
    generations::folders(state_dir).iter().any(|folder| folder.exists())
}

/// The highest epoch that what is kept of a primary names, also on a node that was promoted; none where nothing that can be
/// read is kept.
pub fn highest_epoch(state_dir: &Path) -> Option<Epoch> {
    let applied = record::read::<Record>(&OperatingSystem, &StateFiles::new(state_dir).record);
    let applied = match applied {
        Ok(Read::Whole(record)) => record.generation.map(|_| record.epoch),
        _ => None,
    };
    let kept = generations::read_all(&OperatingSystem, state_dir)
        .unwrap_or_default()
        .kept;
    let kept = kept.into_iter().map(|kept| kept.document.envelope.epoch);
    kept.chain(applied).max_by_key(|epoch| epoch.number)
}

/// Which disks of a promoted node are nearly full, of those on which it keeps something or GoCD works; for people.
pub fn low(state_dir: &Path, layout: &Layout) -> Option<String> {
    room::warning(
        [state_dir, layout.plugins_external(), layout.cruise_config_dir()],
        room::LOW,
    )
}

/// Drops one kept generation of a promoted node, as a person writes it, and the bytes that no other one has. A crash in
/// the middle leaves bytes that nobody lists; they go with the next one that is dropped.
///
/// # Errors
/// [`crate::basics::Kind::Refused`] when none or more than one is meant; [`crate::basics::Kind::File`]
/// naming what cannot be removed.
pub fn drop_kept(state_dir: &Path, id: &str) -> Result<KeptGeneration, Error> {
    let kept = generations::find(state_dir, id)?;
    let [folder, bytes] = generations::folders(state_dir);
    let path = folder.join(kept.file_name());
    filesystem::remove_if_there(&OperatingSystem, &path).map_err(Error::cannot("remove", &path))?;
    filesystem::sync_folder(&OperatingSystem, &folder)?;
    let others = generations::read_all(&OperatingSystem, state_dir)?;
    let files = fs::read_dir(&folder).map_err(Error::cannot("read the folder", &folder))?;
    // Of one that cannot be read nobody knows which bytes it needs.
    if others.unread.is_empty() && files.count() == others.kept.len() {
        let wanted: HashSet<_> = others
            .kept
            .iter()
            .flat_map(|kept| kept.document.files.values())
            .map(|entry| entry.sha256)
            .collect();
        Blobs::open(Arc::new(OperatingSystem), bytes)?.retain(&wanted)?;
    }
    Ok(kept.summary(None))
}

/// Notes on a node that is to be a standby again that GoCD has run on its live files: what the first sync replaces of them is
/// kept as generation 0, and that is said.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming what cannot be read or written.
pub fn note_primary(state_dir: &Path) -> Result<(), Error> {
    let path = StateFiles::new(state_dir).record;
    let mut record = Record::load(&OperatingSystem, &path)?;
    record.generation = None;
    record.was_primary = true;
    record.save(&OperatingSystem, &path)
}

/// Forgets on a promoted node what was applied last, which is not what is live: GoCD runs on the live files and writes
/// them itself. Kept generations stay, and so does whose files are ours; nothing is held in place any more.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming what cannot be read or written.
pub fn forget_applied(state_dir: &Path) -> Result<(), Error> {
    let path = StateFiles::new(state_dir).record;
    let mut record = Record::load(&OperatingSystem, &path)?;
    if record.generation.take().is_some() || keeps_anything(state_dir) && !record.was_primary {
        record.was_primary = true;
        record.save(&OperatingSystem, &path)?;
    }
    pause::remove(&OperatingSystem, state_dir)
}
