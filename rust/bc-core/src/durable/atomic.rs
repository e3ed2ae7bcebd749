//! The one way in which anything that must survive a restart is written.
//!
//! Temporary file in the target's folder, mode set before content, write, fsync, rename, fsync of the folder.
//! A crash at any instant leaves the old content or the new one, never a mixture; at worst a temporary file
//! named `.gocd-bc-….tmp` is left, which `sweep` removes.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

use crate::{
    basics::{Error, if_there},
    durable::{
        filesystem,
        filesystem::{FileSystem, OperatingSystem},
    },
};

/// Begins the name of every temporary file of ours.
pub(crate) const TEMPORARY_PREFIX: &str = ".gocd-bc-";
/// Ends the name of every temporary file of ours; never `.jar`, or GoCD would load it.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces the content of `path` durably.
///
/// `mode` are the permission bits of a newly made file on UNIX; ignored elsewhere.
///
/// # Errors
/// [`crate::basics::Kind::File`] or [`crate::basics::Kind::DiskFull`], naming the path; the old content
/// is then untouched.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    write_on(&OperatingSystem, path, content, mode)
}

/// Replaces the content of `path` durably as [`write()`], with exactly these permission bits and, where one is given, this
/// owner (user, group) on UNIX: for a file that is another program's.
///
/// # Errors
/// As [`write()`]; also where the file may not be given away.
#[cfg(unix)]
pub fn write_as(path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<(), Error> {
    use std::os::unix::fs::{PermissionsExt, fchown};

    let (system, folder) = (OperatingSystem, path.parent().unwrap_or(Path::new(".")));
    let write = || -> io::Result<()> {
        let mut file = temporary_on(&system, folder, mode & 0o600)?;
        file.write_all(content)?;
        if let Some((user, group)) = owner {
            fchown(file.as_file(), Some(user), Some(group))?;
        }
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        system.sync(file.as_file(), file.path())?;
        place(&system, file, path)?;
        system.sync_folder(folder)
    };
    write().map_err(|error| Error::io("write", path, &error))
}

/// Replaces the content of `path` durably as [`write()`], on any file system.
pub(crate) fn write_on(system: &dyn FileSystem, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = temporary_on(system, folder, mode)?;
        file.write_all(content)?;
        system.sync(file.as_file(), file.path())?;
        place(system, file, path)?;
        system.sync_folder(folder)
    };
    write().map_err(Error::cannot("write", path))
}

/// Replaces the content of `path` without waiting for the disk: after a crash it is the old content, the new one, or a
/// part of it. For what can be made anew.
///
/// # Errors
/// Those of the operating system; the old content is then untouched.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_on(&OperatingSystem, path, content, mode)
}

/// Replaces the content of `path` without waiting for the disk as [`replace`], on any file system.
pub(crate) fn replace_on(system: &dyn FileSystem, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = temporary_on(system, path.parent().unwrap_or(Path::new(".")), mode)?;
    file.write_all(content)?;
    place(system, file, path)
}

/// A new temporary file in `folder`, removed again unless it is persisted.
///
/// # Errors
/// Those of the operating system.
pub fn temporary(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    temporary_on(&OperatingSystem, folder, mode)
}

/// Makes a new temporary file in `folder` as [`temporary`], on any file system.
pub(crate) fn temporary_on(system: &dyn FileSystem, folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
    builder.make_in(folder, |path| system.create(path, mode))
}

/// Gives the temporary file of an atomic write its name; where that fails it is removed.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn place(system: &dyn FileSystem, file: NamedTempFile, path: &Path) -> io::Result<()> {
    let temporary = file.into_temp_path();
    system.rename(&temporary, path)?;
    temporary.keep().map_err(|error| error.error)?;
    Ok(())
}

/// Makes the names in `folder` durable.
///
/// # Errors
/// Those of the operating system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    OperatingSystem.sync_folder(folder)
}

/// Removes the file at `path` durably, as [`write()`] replaces one. Returns whether it was there.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming what cannot be removed, or the folder where that cannot be made durable.
pub fn remove(path: &Path) -> Result<bool, Error> {
    let removed = if_there(OperatingSystem.remove(path)).map_err(Error::cannot("remove", path))?;
    if removed.is_some() {
        filesystem::sync_folder(&OperatingSystem, path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(removed.is_some())
}

/// Removes the temporary files of atomic writes that a crash left in `folder`. Returns how many.
///
/// # Errors
/// The folder cannot be listed; a file that cannot be removed is left.
pub(crate) fn sweep(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX);
        if is_ours && entry.file_type()?.is_file() && OperatingSystem.remove(&entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_exactly_one_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("state.json");
        write(&path, b"old", 0o600).expect("first");
        write(&path, b"new", 0o600).expect("second");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_failure_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().expect("folder");
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied).expect("folder");
        write(&occupied, b"x", 0o600).expect_err("a folder is in the way");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn sweeps_only_its_own() {
        let folder = tempfile::tempdir().expect("folder");
        for name in [".gocd-bc-a1.tmp", "a.tmp", ".gocd-bc-a1", "plugin.jar"] {
            fs::write(folder.path().join(name), "x").expect("write");
        }
        assert_eq!(sweep(folder.path()).expect("sweep"), 1);
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 3);
    }
}
