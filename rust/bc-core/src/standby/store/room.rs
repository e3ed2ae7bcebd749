//! Whether a disk has room: GoCD stops scheduling when the disk of its `db` folder is nearly full
//! (`DatabaseDiskSpaceFullChecker`), and a standby must not bring that about.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::basics::{
    Error, Kind,
    mount::{self, Room, mount_of},
};

/// A set takes a few inodes besides those of its files.
const INODES: u64 = 16;
/// With fewer inodes free, people should look as well.
const FEW_INODES: u64 = 1000;

/// With less than this free, people should look before GoCD does.
pub(super) const LOW: u64 = 1 << 30;

/// Which of the disks that hold these folders have less than `limit` bytes free, or few inodes; none where none has.
pub(super) fn warning<'a>(folders: impl IntoIterator<Item = &'a Path>, limit: u64) -> Option<String> {
    let rooms: Vec<(&Path, Room)> = folders
        .into_iter()
        .filter_map(|folder| Some((folder, Room::of(folder)?)))
        .collect();
    let low: BTreeMap<PathBuf, u64> = rooms
        .iter()
        .filter(|(_, room)| room.bytes < limit)
        .map(|(folder, room)| (mount_of(folder), room.bytes))
        .collect();
    let few_inodes: BTreeMap<PathBuf, String> = rooms
        .iter()
        .filter_map(|(folder, room)| Some((mount_of(folder), room.lack_of_inodes(FEW_INODES, folder)?)))
        .collect();
    let disks: Vec<String> = low
        .iter()
        .map(|(mount, free)| {
            format!(
                "the disk mounted at {} has only {} MiB free",
                mount.display(),
                mebibytes(*free)
            )
        })
        .collect();
    let mut sentences = Vec::new();
    if !disks.is_empty() {
        sentences.push(format!(
            "{}. Free some space, or syncing ends when it is full.",
            disks.join("; ")
        ));
    }
    sentences.extend(
        few_inodes
            .into_iter()
            .map(|(mount, lack)| format!("{lack}. {}", mount::free_inodes(&mount))),
    );
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Checks that the disk of `folder` has room for `needed` bytes and `reserve`, and inodes left. Needing nothing always
/// fits.
///
/// # Errors
/// [`Kind::DiskFull`] naming the folder where the disk is mounted.
pub(super) fn check(folder: &Path, needed: u64, reserve: u64) -> Result<(), Error> {
    if needed == 0 {
        return Ok(());
    }
    let Some(room) = Room::of(folder) else { return Ok(()) };
    if let Some(lack) = room.lack_of_inodes(INODES, folder) {
        return Err(Error::new(Kind::DiskFull, lack, mount::free_inodes(folder)));
    }
    let free = room.bytes;
    if free >= needed.saturating_add(reserve) {
        return Ok(());
    }
    Err(Error::new(
        Kind::DiskFull,
        format!(
            "the disk mounted at {} has {} MiB free, but {} MiB are needed and {} MiB must stay free",
            mount_of(folder).display(),
            mebibytes(free),
            mebibytes(needed.next_multiple_of(1024 * 1024)),
            mebibytes(reserve)
        ),
        format!("Free some space on the disk that holds {}.", folder.display()),
    ))
}

/// By how many bytes `needed` and `reserve` do not fit onto the disk of `folder`. Needing nothing always fits.
pub(super) fn shortage(folder: &Path, needed: u64, reserve: u64) -> u64 {
    match Room::of(folder).map(|room| room.bytes) {
        Some(free) if needed > 0 => needed.saturating_add(reserve).saturating_sub(free),
        _ => 0,
    }
}

/// The bytes that a disk has free again when `names` names of a file are removed: none where it has others, as a
/// live jar is another name of its blob.
pub(super) fn freed_by(file: &Path, names: u64) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        /// What `st_blocks` counts.
        const BLOCK: u64 = 512;
        match std::fs::symlink_metadata(file) {
            Ok(metadata) if metadata.is_file() && metadata.nlink() <= names => metadata.blocks() * BLOCK,
            _ => 0,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = names;
        std::fs::symlink_metadata(file).map_or(0, |metadata| metadata.len())
    }
}

/// Bytes in whole MiB, for people who make room.
fn mebibytes(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_disk_with_little_room_is_named_once() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(warning([folder.path()], 0), None);
        let message = warning([folder.path(), folder.path()], u64::MAX).expect("no disk is so large");
        let mount = format!("mounted at {} has only", mount_of(folder.path()).display());
        assert_eq!(message.matches(&mount).count(), 1, "{message}");
    }

    #[test]
    fn nothing_always_fits_and_too_much_never() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(check(folder.path(), 0, u64::MAX), Ok(()));
        assert_eq!(check(folder.path(), 1, 0), Ok(()));
        #[cfg(target_os = "linux")]
        {
            let error = check(folder.path(), u64::MAX / 2, 1 << 20).expect_err("no disk is so large");
            assert_eq!(error.kind(), Kind::DiskFull);
            let mount = mount_of(folder.path());
            assert!(folder.path().starts_with(&mount));
            assert!(error.message().contains(&format!("mounted at {}", mount.display())));
        }
    }
}
