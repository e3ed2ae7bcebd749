//! Bringing bytes beside their place, so that one rename makes them live.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tracing::warn;

use crate::{
    basics::{Error, regular_file},
    durable::{FileSystem, atomic, filesystem::remove_if_there},
    generation::Name,
    standby::store::attributes,
};

/// Copies are dated back by this much. Whoever writes into one later, be it at once, then leaves another time of
/// modification, so that the copy need not be read again to know that nobody did.
const DATED_BACK: Duration = Duration::from_millis(50);

/// Links that lead to links are followed so often, as Linux does.
const MAX_LINKS: usize = 40;

/// The path that a rename must replace: where a link leads to, since replacing the link itself would leave what
/// it pointed at.
///
/// # Errors
/// The folder cannot be read, or links go round in a circle.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let failed = Error::cannot("resolve", path);
    let mut path_now = path.to_owned();
    for _ in 0..MAX_LINKS {
        let folder = path_now.parent().unwrap_or(Path::new("."));
        let name = path_now
            .file_name()
            .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let resolved = folder.join(name);
        match fs::read_link(&resolved) {
            Ok(target) => path_now = folder.join(target),
            Err(error) if is_no_link(&error) => return Ok(resolved),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::Error::other("too many symbolic links")))
}

/// The path of a temporary file of an apply beside another file: the serial of the apply, and a number in it.
pub(super) fn temporary(beside: &Path, serial: u64, number: usize) -> PathBuf {
    beside.with_file_name(format!(
        "{}{serial}-{number}{}",
        atomic::TEMPORARY_PREFIX,
        atomic::TEMPORARY_SUFFIX
    ))
}

/// Whether asking where a link leads has failed since there is none.
fn is_no_link(error: &io::Error) -> bool {
    /// `ERROR_NOT_A_REPARSE_POINT`, which has no kind of its own.
    const NO_LINK_ON_WINDOWS: i32 = 4390;
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
        || (cfg!(windows) && error.raw_os_error() == Some(NO_LINK_ON_WINDOWS))
}

/// Makes a folder for live files and its parents where they are missing, durably. They belong to whom the folder above
/// belongs, or GoCD could not read what root made.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming the folder.
pub(super) fn make_folder(system: &dyn FileSystem, folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = Error::cannot("create the folder", folder);
    let above = folder.parent().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    make_folder(system, above)?;
    system.create_folder(folder).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // No wider than the folder above: what is in there may be for fewer than everybody in a group.
        let above = fs::metadata(above).map_err(failed)?.permissions().mode();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700 | above & 0o750)).map_err(failed)?;
    }
    take_owner(folder, &fs::metadata(above).map_err(failed)?);
    system.sync_folder(above).map_err(failed)
}

/// Bytes to stage.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Those of a file.
    File(PathBuf),
    /// Those that have just come.
    Memory(Bytes),
}

/// Stages one file: `source` as `staged`, with mode and owner of the file that it will replace, and its bytes durable.
/// A jar becomes another name of its blob where the file system can do that, so that every byte is written once; a
/// configuration file is always a copy, since GoCD writes into it.
///
/// ACLs and extended attributes of the replaced file are carried over ([`attributes`]). What cannot be is logged: the
/// file is as right as any other.
///
/// # Errors
/// Those of the operating system; nothing is left then.
pub(super) fn stage(
    system: &dyn FileSystem,
    source: &Source,
    name: &Name,
    staged: &Path,
    target: &Path,
) -> io::Result<()> {
    // What an apply that failed has left.
    remove_if_there(system, staged)?;
    let staging = || -> io::Result<()> {
        if let Source::File(file) = source
            && matches!(name, Name::Plugin(_))
            && system.hard_link(file, staged).is_ok()
        {
            return dress(staged, name, target);
        }
        let copy = copy(system, source, staged)?;
        dress(staged, name, target)?;
        system.sync(&copy, staged)
    };
    staging().inspect_err(|_| drop(system.remove(staged)))
}

/// Checks that a file that staged bytes are to replace is on no read-only mount of its own; one that cannot be opened
/// may be replaced.
///
/// # Errors
/// [`io::ErrorKind::ReadOnlyFilesystem`].
pub(super) fn check_not_read_only(target: &Path) -> io::Result<()> {
    match for_writing().open(target) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Err(error),
        _ => Ok(()),
    }
}

/// Whether staged bytes can be written into a file where it is, since its folder cannot be, for the reason `folder`.
///
/// # Errors
/// Why the file cannot be written; where it is not there, why the folder cannot.
pub(super) fn check_writable(target: &Path, folder: io::Error) -> io::Result<()> {
    match for_writing().open(target) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(folder),
        Err(error) => Err(error),
    }
}

/// Opens what is there for writing; a pipe without a reader is refused and not waited for.
#[cfg_attr(
    not(test),
    expect(
        clippy::disallowed_methods,
        reason = "it is opened to see whether it could be written"
    )
)]
fn for_writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    options
}

/// Moves a file away with its owner, mode and attributes, also to another disk, where it is durable before it goes
/// here.
///
/// # Errors
/// Those of the operating system; the file is where it was then, or at both places.
pub(super) fn move_away(system: &dyn FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    match system.rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        renamed => return renamed,
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut copy = atomic::temporary_on(system, folder, 0o600)?;
    io::copy(&mut regular_file::open(from)?, &mut copy)?;
    let like = fs::metadata(from)?;
    take_owner(copy.path(), &like);
    attributes::copy(from, copy.path())?;
    fs::set_permissions(copy.path(), like.permissions())?;
    system.sync(copy.as_file(), copy.path())?;
    atomic::place(system, copy, to)?;
    system.sync_folder(folder)?;
    system.remove(from)
}

/// Writes the staged bytes into the file that is there, for places where nothing can be renamed to: a file that is
/// a mount of its own, or a folder that we may not write. A crash in the middle leaves a torn file, so the journal
/// must be open; the staged file goes only when everything is durable.
///
/// # Errors
/// Those of the operating system; doing it again mends what is torn.
pub(super) fn write_in_place(system: &dyn FileSystem, staged: &Path, target: &Path) -> io::Result<()> {
    let mut from = regular_file::open(staged)?;
    let mut into = system.open(target, 0o640)?;
    let length = io::copy(&mut from, &mut into)?;
    into.set_len(length)?;
    system.sync(&into, target)?;
    remove_if_there(system, staged)
}

/// Copies the bytes of a file to where it is staged; nobody else may read them meanwhile.
fn copy(system: &dyn FileSystem, source: &Source, staged: &Path) -> io::Result<File> {
    // Nobody else may read a key while it is written.
    let mut copy = system.create(staged, 0o600)?;
    match source {
        Source::File(file) => drop(io::copy(&mut regular_file::open(file)?, &mut copy)?),
        Source::Memory(bytes) => copy.write_all(bytes)?,
    }
    let written = copy.metadata()?.modified()?;
    copy.set_modified(written - DATED_BACK)?;
    Ok(copy)
}

/// Gives the staged file the owner, attributes and mode of what it replaces, or those of a new file. A jar is one inode
/// with its blob, so these are the blob's as well.
fn dress(staged: &Path, name: &Name, target: &Path) -> io::Result<()> {
    let replaced = fs::metadata(target).ok();
    if let Some(like) = replaced.as_ref() {
        take_owner(staged, like);
    } else if let Ok(folder) = fs::metadata(target.parent().unwrap_or(Path::new("."))) {
        take_owner(staged, &folder);
    }
    if replaced.is_some() {
        let lost = attributes::copy(target, staged)?;
        if !lost.is_empty() {
            warn!("{} loses {} with its new content", target.display(), lost.join(", "));
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = match (&replaced, name) {
            (Some(replaced), _) => replaced.permissions().mode() & 0o777,
            (None, Name::CipherAes | Name::CipherDes | Name::Extra(_)) => 0o600,
            (None, Name::Plugin(_)) => 0o644,
            (None, _) => 0o640,
        };
        fs::set_permissions(staged, fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = name;
    Ok(())
}

/// Gives a file the owner and group of another one, as far as this user may.
fn take_owner(path: &Path, like: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let is_same = fs::metadata(path).is_ok_and(|own| (own.uid(), own.gid()) == (like.uid(), like.gid()));
        if !is_same && chown(path, Some(like.uid()), Some(like.gid())).is_err() {
            // Not root, but perhaps a member of the group.
            let _ = chown(path, None, Some(like.gid()));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, like);
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::durable::OperatingSystem;

    fn stage(source: &Path, name: &Name, staged: &Path, target: &Path) -> io::Result<()> {
        super::stage(&OperatingSystem, &Source::File(source.to_owned()), name, staged, target)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn links_are_followed_to_the_file_also_where_it_is_missing() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().canonicalize().expect("there");
        fs::create_dir(folder.join("b")).expect("folder");
        symlink("b/two", folder.join("one")).expect("link");
        symlink("../three", folder.join("b/two")).expect("link");
        assert_eq!(resolve(&folder.join("one")).expect("resolves"), folder.join("three"));
        symlink("round", folder.join("round")).expect("link");
        assert!(
            resolve(&folder.join("round"))
                .expect_err("a circle")
                .message()
                .contains("round")
        );
    }

    #[test]
    fn a_new_key_is_private_and_a_replaced_file_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("blob"), "x").expect("write");
        let staged = path(".gocd-bc-1.tmp");
        for (name, wanted) in [
            (Name::CipherAes, 0o600),
            (Name::CruiseConfig, 0o640),
            (Name::Plugin("a.jar".parse().expect("valid")), 0o644),
        ] {
            stage(&path("blob"), &name, &staged, &path("none")).expect("stage");
            assert_eq!(mode(&staged), wanted, "{name}");
        }
        fs::write(path("old"), "y").expect("write");
        fs::set_permissions(path("old"), fs::Permissions::from_mode(0o664)).expect("mode");
        stage(&path("blob"), &Name::CipherAes, &staged, &path("old")).expect("stage");
        assert_eq!(mode(&staged), 0o664);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_replaced_file_keeps_its_attributes_and_the_mode_that_goes_with_them() {
        use rustix::fs::{XattrFlags, getxattr, setxattr};

        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("blob"), "x").expect("write");
        fs::write(path("old"), "y").expect("write");
        fs::set_permissions(path("old"), fs::Permissions::from_mode(0o604)).expect("mode");
        setxattr(path("old"), "user.origin", b"backup 7", XattrFlags::empty()).expect("an attribute");
        stage(&path("blob"), &Name::CruiseConfig, &path("staged"), &path("old")).expect("stage");
        let mut value = [0; 16];
        let length = getxattr(path("staged"), "user.origin", &mut value[..]).expect("carried over");
        assert_eq!(&value[..length], b"backup 7");
        assert_eq!(mode(&path("staged")), 0o604);
    }

    #[test]
    fn jars_are_links_and_configuration_files_copies() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("blob"), "x").expect("write");
        let inode = |path: &Path| fs::metadata(path).expect("there").ino();
        let jar = Name::Plugin("a.jar".parse().expect("valid"));
        stage(&path("blob"), &jar, &path("jar"), &path("none")).expect("stage");
        assert_eq!(inode(&path("jar")), inode(&path("blob")));
        stage(&path("blob"), &Name::JettyXml, &path("xml"), &path("none")).expect("stage");
        assert_ne!(inode(&path("xml")), inode(&path("blob")));
    }

    #[test]
    fn writing_in_place_keeps_the_file_and_drops_what_was_longer() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("live"), "a long old content").expect("write");
        fs::write(path("staged"), "new").expect("write");
        let inode = fs::metadata(path("live")).expect("there").ino();
        write_in_place(&OperatingSystem, &path("staged"), &path("live")).expect("write");
        assert_eq!(fs::read(path("live")).expect("read"), b"new");
        assert_eq!(fs::metadata(path("live")).expect("there").ino(), inode);
        assert!(!path("staged").exists());
    }
}
