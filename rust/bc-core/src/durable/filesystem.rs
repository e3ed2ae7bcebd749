//! What the store changes on a disk, one call for each change.
//!
//! A power cut keeps or loses changes in any order, except where the store has waited for one:
//!
//! | change | is durable after |
//! |---|---|
//! | bytes of a file | [`FileSystem::sync`] of that file |
//! | a name: made, linked, renamed, removed | [`FileSystem::sync_folder`] of its folder |
//! | a folder | the same of the folder above it |
//!
//! All that the store writes goes through this trait, so that a test can see the order and cut the power in between.
//! So does what it reads of its own files, so that a test can let any reading fail: what could not be read is neither
//! missing nor damaged. Reading live files goes past it, and so do mode, owner and attributes of a file that is not
//! live yet: it is synced after.

#![cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, reason = "everything that changes a disk comes here")
)]

use std::{
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::basics::{Error, if_there, regular_file};

/// A place where files are written. All calls block.
///
/// # Errors
/// All give those of the operating system.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a file on this file system that is not there yet, for reading and writing. `mode` are its permission bits
    /// on UNIX.
    fn create(&self, path: &Path, mode: u32) -> io::Result<File>;

    /// Opens a file of this file system for reading and writing where it begins, and makes it where it is missing.
    fn open(&self, path: &Path, mode: u32) -> io::Result<File>;

    /// Waits until the bytes of `file` are durable; `path` is a name of it.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Gives a file of this file system another name in the place of whatever has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file of this file system one more name, which nothing has yet.
    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()>;

    /// Removes a name from this file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all that is in it from this file system.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder on this file system that is not there yet; the folder above it is.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Reads all bytes of a file of our own from this file system.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        regular_file::read(path, regular_file::LARGEST_OF_OURS)
    }

    /// Opens a file of this file system for reading alone.
    fn open_to_read(&self, path: &Path) -> io::Result<File> {
        regular_file::open(path)
    }

    /// What the file system says of a path itself, be it a link or not.
    fn look(&self, path: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(path)
    }

    /// The paths of all that the file system has in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }
}

/// The disks of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatingSystem;

impl FileSystem for OperatingSystem {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        for_writing(mode).create_new(true).open(path)
    }

    fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        for_writing(mode).create(true).truncate(false).open(path)
    }

    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Windows has no such call; NTFS journals names itself.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(unix) {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }
}

/// How this file system opens a file for writing.
fn for_writing(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// Opens a file that was written before, so that its bytes can be made durable. It may be read-only, which only Windows
/// minds.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn open_to_sync(path: &Path) -> io::Result<File> {
    File::options().read(true).write(cfg!(windows)).open(path)
}

/// Whether a file system has anything at a path.
///
/// # Errors
/// Those of the operating system: then nobody knows.
pub(crate) fn is_there(system: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    if_there(system.look(path)).map(|found| found.is_some())
}

/// Removes a file; that it is gone already is no error.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn remove_if_there(system: &dyn FileSystem, path: &Path) -> io::Result<()> {
    if_there(system.remove(path)).map(drop)
}

/// Waits until the names in a folder are durable.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming the folder.
pub(crate) fn sync_folder(system: &dyn FileSystem, folder: &Path) -> Result<(), Error> {
    let synced = system.sync_folder(folder);
    synced.map_err(Error::cannot("sync the folder", folder))
}

/// Makes a folder of our own and what is missing above it, all durable, and gives it the permission bits `mode` on
/// UNIX, be it new or not.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming the folder.
pub(crate) fn own_folder(system: &dyn FileSystem, path: &Path, mode: u32) -> Result<(), Error> {
    new_folder(system, path).map_err(Error::cannot("create the folder", path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::cannot("set the mode of", path))?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}

/// Makes a folder of our own that is not there yet, with its name durable.
fn new_folder(system: &dyn FileSystem, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    new_folder(system, above)?;
    match system.create_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }?;
    system.sync_folder(above)
}
