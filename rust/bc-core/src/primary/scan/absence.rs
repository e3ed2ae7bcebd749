//! Whether a file that is not found is known to be gone.
//!
//! It is where the system finds no entry of its name (`lstat` says `ENOENT`), and its folder was read through without
//! an error. Where a part of the way to it is a link to something that is not there, or the folder cannot be read, the
//! file may be there all the same.

use std::{fs, io, path::Path};

use crate::generation::Reason;

/// What is known of a file that was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absence {
    /// Its folder does not have it.
    Gone,
    /// Its folder is not there either, and the folder of that one does not have it.
    WithFolder,
    /// Nobody can tell, for this reason.
    Doubtful(Reason),
}

/// How sure the absence of a file is, for a path at which `lstat` found nothing.
pub(super) fn of(path: &Path) -> Absence {
    let folder = path.parent().unwrap_or(Path::new("."));
    match read_through(folder) {
        Ok(()) => Absence::Gone,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match missing_folder(folder) {
            None => Absence::WithFolder,
            Some(reason) => Absence::Doubtful(reason),
        },
        Err(error) => Absence::Doubtful(because(&error)),
    }
}

/// Why the absence of a folder is doubtful; none where it is known to be gone.
pub(super) fn missing_folder(folder: &Path) -> Option<Reason> {
    for ancestor in folder.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs::symlink_metadata(ancestor) {
            Ok(_) => {
                return match read_through(ancestor) {
                    Ok(()) => None,
                    // It has an entry, and is not there: it leads nowhere.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Reason::Dangling),
                    Err(error) => Some(because(&error)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Some(because(&error)),
        }
    }
    None
}

/// Why the absence of a file is doubtful where its folder could not be read.
pub(super) fn because(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::NotADirectory => Reason::Irregular,
        _ => Reason::of(error),
    }
}

/// Reads a folder through, so that the absence of a name in it is sure.
fn read_through(folder: &Path) -> io::Result<()> {
    fs::read_dir(folder)?.try_for_each(|entry| entry.map(drop))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_its_folder_does_not_list_is_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        assert_eq!(of(&root.join("file")), Absence::Gone);
        assert_eq!(of(&root.join("folder/file")), Absence::WithFolder);
        symlink("nowhere", root.join("link")).expect("link");
        for lost in ["link/file", "link/folder/file"] {
            assert_eq!(of(&root.join(lost)), Absence::Doubtful(Reason::Dangling), "{lost}");
        }
        fs::write(root.join("plain"), "").expect("write");
        assert_eq!(of(&root.join("plain/file")), Absence::Doubtful(Reason::Irregular));
        symlink("round", root.join("round")).expect("link");
        assert_eq!(of(&root.join("round/file")), Absence::Doubtful(Reason::Failing));
    }
}
