//! What makes it impossible to replace a live file or to take it away, found before the first one of a set changes.
//!
//! A rename is the folder's matter, not the file's: a folder that may not be written, one with a sticky bit and a file
//! of somebody else, or one with the attributes of chattr(1) `i` and `a` refuses it, and so does a file that has them,
//! or is a mount of its own. Only trying tells the rest; then the old set comes back.

use std::{fs, io, path::Path};

use crate::basics::{Error, Kind, attributes};

/// Finds an obstacle to giving and taking names in a folder, as far as its attributes tell.
///
/// # Errors
/// [`Kind::File`] naming the folder and what to do.
pub(super) fn check_folder(folder: &Path) -> Result<(), Error> {
    check_attributes(folder, "change the names in")
}

/// Finds an obstacle to giving another file the name of this one, or taking its name away, its folder allowing it
/// otherwise. A file that is not there stands in nobody's way.
///
/// # Errors
/// [`Kind::File`] naming the file and what to do.
pub(super) fn check_name(path: &Path) -> Result<(), Error> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            return Err(Error::new(
                Kind::File,
                format!("cannot write {}: {error}", path.display()),
                "Give the file a shorter name on the primary: this disk has no room for it.",
            ));
        }
        Err(error) => return Err(Error::io("look at", path, &error)),
    };
    if found.is_dir() {
        return Err(Error::new(
            Kind::File,
            format!("cannot replace {}: it is a folder", path.display()),
            "Move it away: the primary's file belongs there.",
        ));
    }
    if found.is_file() {
        check_attributes(path, "replace")?;
    }
    check_owner(path, &found)
}

/// Finds an obstacle to removing a file or moving it away. One that is not there can be.
///
/// # Errors
/// Those of [`check_name`]; the folder cannot be written; the file is a mount of its own.
pub(super) fn check_removable(path: &Path) -> Result<(), Error> {
    check_name(path)?;
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    check_folder(folder)?;
    check_writable(folder).map_err(Error::cannot("remove", path))?;
    let real = fs::canonicalize(folder).map(|folder| folder.join(path.file_name().unwrap_or_default()));
    match real {
        Ok(real) if cfg!(unix) && crate::basics::mount::mount_of(&real) == real => {
            let error = io::ErrorKind::ResourceBusy.into();
            Err(Error::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Finds an obstacle to this process writing a folder.
///
/// # Errors
/// Those of the operating system.
pub(super) fn check_writable(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use nix::{
            fcntl::{AT_FDCWD, AtFlags},
            unistd::{AccessFlags, faccessat},
        };
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        // As the user who acts, not as the one who started the process.
        faccessat(AT_FDCWD, folder, rights, AtFlags::AT_EACCESS)?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Finds an attribute of chattr(1) that is an obstacle to `doing` something to a path.
fn check_attributes(path: &Path, doing: &str) -> Result<(), Error> {
    let Some((letter, word)) = attributes::in_the_way(path) else {
        return Ok(());
    };
    Err(Error::new(
        Kind::File,
        format!(
            "cannot {doing} {}: it has the attribute {letter} ({word})",
            path.display()
        ),
        format!("Take the attribute away: chattr -{letter} {}", path.display()),
    ))
}

/// In a folder with the sticky bit only the owner of a file, or of the folder, may take its name away.
fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let folder = path.parent().unwrap_or(Path::new("/"));
        let Ok(above) = fs::metadata(folder) else { return Ok(()) };
        let user = nix::unistd::geteuid().as_raw();
        if is_sticky(above.mode()) && ![0, above.uid(), found.uid()].contains(&user) {
            return Err(Error::new(
                Kind::File,
                format!(
                    "cannot replace {}: it belongs to somebody else in a folder with the sticky bit",
                    path.display()
                ),
                format!(
                    "Give the file to the user that runs GoCD, or take the bit away: chmod -t {}",
                    folder.display()
                ),
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, found);
    Ok(())
}

/// Whether a mode has the sticky bit.
#[cfg(unix)]
fn is_sticky(mode: u32) -> bool {
    mode & 0o1000 != 0
}
