//! Where the socket is.
//!
//! `<state folder>/control.sock`, by a short way where that path is longer than an address may be ([`ShortPath`]). Only
//! where there is no such way it is in a folder of ours in `/tmp`, and the file `<state folder>/socket` tells so. Others
//! may write to `/tmp` too: a folder there is ours only if it is a real one of our own user, and where somebody has taken
//! its usual name, one with a name that nobody can guess is made.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use bc_core::{
    control::{SOCKET, SOCKET_POINTER},
    error::{Error, Kind},
    random, regular_file,
    short_path::ShortPath,
    state_dir,
    store::atomic,
};
use nix::unistd::geteuid;

/// Which file a path leads to.
type Identity = (u64, u64);

/// A bound socket; its files go when it is dropped.
#[derive(Debug)]
pub(super) struct Bound {
    /// Where it can be found.
    pub(super) path: PathBuf,
    identity: Identity,
    /// How it is reached here.
    way: ShortPath,
    elsewhere: Option<Elsewhere>,
}

/// What tells of a socket outside of the state folder.
#[derive(Debug)]
struct Elsewhere {
    pointer: PathBuf,
    /// A folder that only this socket is in.
    folder: Option<PathBuf>,
}

impl Bound {
    /// Binds the socket of the node in `state_dir`, which is made where it is missing. `common` is the folder for
    /// sockets that have no short way.
    ///
    /// # Errors
    /// The socket cannot be made, or a file of somebody else is in its place.
    pub(super) fn bind(state_dir: &Path, common: &Path) -> Result<(Self, UnixListener), Error> {
        state_dir::create(state_dir, 0o711)?;
        let way = ShortPath::to(state_dir, SOCKET).map_err(|error| Error::io("enter the folder", state_dir, &error))?;
        Self::bind_by(way, state_dir, common)
    }

    fn bind_by(way: Option<ShortPath>, state_dir: &Path, common: &Path) -> Result<(Self, UnixListener), Error> {
        // What an earlier node of this folder left: ours, since we hold its lock.
        let (inside, pointer) = (state_dir.join(SOCKET), state_dir.join(SOCKET_POINTER));
        remove_socket(&inside)?;
        let stale = regular_file::read_text(&pointer, 4096).unwrap_or_default();
        remove_file(&pointer)?;
        if let Some(way) = way {
            return Self::listen(way, inside, None);
        }
        let usual = common.join(format!("gocd-bc-{}", geteuid()));
        remove_own(Path::new(stale.trim()), &usual);
        let (folder, is_usual) = match make_own(&usual) {
            Ok(()) => (usual, true),
            // Somebody was there first. Nobody can be where nobody knows of.
            Err(_) => (make_hidden(&usual)?, false),
        };
        let path = folder.join(format!("{:.16}.sock", random::hex_id()?));
        let way = ShortPath::to(&folder, &path.file_name().unwrap_or_default().to_string_lossy())
            .map_err(|error| Error::io("enter the folder", &folder, &error))?
            .ok_or_else(|| {
                Error::new(
                    Kind::File,
                    format!("the path {} is too long for a socket", path.display()),
                    "Shorten the path of the state folder with bc.state.dir.",
                )
            })?;
        let elsewhere = Elsewhere {
            pointer: pointer.clone(),
            folder: (!is_usual).then_some(folder),
        };
        let (bound, listener) = Self::listen(way, path, Some(elsewhere))?;
        let text = format!("{}\n", bound.path.display());
        atomic::write(&pointer, text.as_bytes(), 0o644)?;
        Ok((bound, listener))
    }

    fn listen(way: ShortPath, path: PathBuf, elsewhere: Option<Elsewhere>) -> Result<(Self, UnixListener), Error> {
        let failed = |error: io::Error| Error::io("listen on the local socket", &path, &error);
        let listener = UnixListener::bind(way.path()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        fs::set_permissions(way.path(), fs::Permissions::from_mode(0o666)).map_err(failed)?;
        let identity = identity(way.path()).map_err(failed)?;
        let bound = Self {
            path,
            identity,
            way,
            elsewhere,
        };
        Ok((bound, listener))
    }

    /// Whether callers find another socket, or none, where this one should be. That it cannot be looked at says nothing.
    pub(super) fn is_gone(&self) -> bool {
        let is_missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let socket = match identity(&self.path) {
            Ok(found) => found != self.identity,
            Err(error) => is_missing(&error),
        };
        let pointer = self.elsewhere.as_ref().map(|elsewhere| identity(&elsewhere.pointer));
        socket || pointer.is_some_and(|found| found.as_ref().is_err_and(is_missing))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // What cannot be removed is found and removed by the next node. What took its place is another one's.
        if identity(self.way.path()).is_ok_and(|found| found == self.identity) {
            drop(fs::remove_file(self.way.path()));
        }
        if let Some(elsewhere) = &self.elsewhere {
            let is_ours = |text: String| Path::new(text.trim()) == self.path;
            if regular_file::read_text(&elsewhere.pointer, 4096).is_ok_and(is_ours) {
                drop(fs::remove_file(&elsewhere.pointer));
            }
            if let Some(folder) = &elsewhere.folder {
                drop(fs::remove_dir(folder));
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn remove_socket(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => remove_file(path),
        Ok(_) => Err(Error::new(
            Kind::File,
            format!("{} is not a socket, but in the place of one", path.display()),
            "Move it away.",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look at", path, &error)),
    }
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// Removes what an earlier node left in a folder of ours with this name, or with one that begins so.
fn remove_own(socket: &Path, usual: &Path) {
    let folder = socket.parent().unwrap_or(Path::new(""));
    let begins = |path: &Path| {
        path.as_os_str()
            .as_encoded_bytes()
            .starts_with(usual.as_os_str().as_encoded_bytes())
    };
    if folder.parent() == usual.parent() && begins(folder) && is_own(folder) {
        // What stays takes a few bytes.
        drop(fs::remove_file(socket));
        drop(fs::remove_dir(folder));
    }
}

fn is_own(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
}

/// Makes `folder`, or finds it as a real folder of our own user that nobody else can write to.
fn make_own(folder: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io("create the folder", folder, &error);
    match DirBuilder::new().mode(0o711).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    if !is_own(folder) {
        return Err(Error::new(
            Kind::File,
            format!("{} is not a folder of the user that GoCD runs as", folder.display()),
            "Remove it, or shorten the path of the state folder with bc.state.dir.",
        ));
    }
    // Also where it existed, and whatever the umask took away.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(failed)
}

/// Makes a folder beside `usual` under a name that nobody can know before.
fn make_hidden(usual: &Path) -> Result<PathBuf, Error> {
    let mut name = usual.as_os_str().to_owned();
    name.push(format!("-{:.16}", random::hex_id()?));
    let folder = PathBuf::from(name);
    let failed = |error: io::Error| Error::io("create the folder", &folder, &error);
    DirBuilder::new().mode(0o711).create(&folder).map_err(failed)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).map_err(failed)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("stat").permissions().mode() & 0o777
    }

    /// A state folder whose path is too long for a socket.
    fn deep_state_dir(folder: &Path) -> PathBuf {
        folder.join("x".repeat(200))
    }

    /// As where `/proc` is not mounted.
    fn bind_elsewhere(state_dir: &Path, common: &Path) -> Result<Bound, Error> {
        state_dir::create(state_dir, 0o711)?;
        Bound::bind_by(None, state_dir, common).map(|(bound, _)| bound)
    }

    #[test]
    fn takes_the_place_of_a_dead_socket_and_leaves_none() {
        let folder = tempfile::tempdir().expect("folder");
        for state_dir in [folder.path().join("state"), deep_state_dir(folder.path())] {
            fs::create_dir(&state_dir).expect("folder");
            let path = state_dir.join(SOCKET);
            let way = ShortPath::to(&state_dir, SOCKET).expect("there").expect("short");
            drop(UnixListener::bind(way.path()).expect("an earlier node"));
            let (bound, _listener) = Bound::bind(&state_dir, Path::new("/nowhere")).expect("bind");
            assert_eq!((mode(&path), &bound.path), (0o666, &path));
            assert!(!state_dir.join(SOCKET_POINTER).exists());
            assert!(!bound.is_gone());
            drop(bound);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_in_its_place_is_not_removed() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(SOCKET), "mine").expect("write");
        let refusal = Bound::bind(folder.path(), Path::new("/nowhere")).expect_err("refused");
        assert!(refusal.message().contains("control.sock is not a socket"), "{refusal}");
    }

    #[test]
    fn a_socket_that_was_removed_or_replaced_is_gone_and_does_not_take_its_successor_along() {
        let folder = tempfile::tempdir().expect("folder");
        let (first, _listener) = Bound::bind(folder.path(), Path::new("/nowhere")).expect("bind");
        fs::remove_file(&first.path).expect("there");
        assert!(first.is_gone());
        let (second, _listener) = Bound::bind(folder.path(), Path::new("/nowhere")).expect("bind");
        assert!(first.is_gone());
        drop(first);
        assert!(!second.is_gone(), "it is another one's");
        fs::remove_dir_all(folder.path()).expect("ours");
        assert!(second.is_gone());
        let (third, _listener) = Bound::bind(folder.path(), Path::new("/nowhere")).expect("with its folder");
        assert!(!third.is_gone());
    }

    #[test]
    fn without_a_short_way_it_is_elsewhere_and_a_file_tells_so() {
        let folder = tempfile::tempdir().expect("folder");
        let common = tempfile::tempdir_in("/tmp").expect("folder");
        let deep = deep_state_dir(folder.path());
        let bound = bind_elsewhere(&deep, common.path()).expect("bind");
        let pointer = deep.join(SOCKET_POINTER);
        assert_eq!(
            fs::read_to_string(&pointer).expect("read").trim(),
            bound.path.to_str().expect("text")
        );
        assert_eq!(
            (mode(&pointer), mode(bound.path.parent().expect("folder"))),
            (0o644, 0o711)
        );
        drop(bound);
        assert!(!pointer.exists());
    }

    #[test]
    fn who_takes_the_name_of_our_folder_first_keeps_no_socket_from_us() {
        let folder = tempfile::tempdir().expect("folder");
        let common = tempfile::tempdir_in("/tmp").expect("folder");
        let elsewhere = tempfile::tempdir_in("/tmp").expect("folder");
        let place = common.path().join(format!("gocd-bc-{}", geteuid()));
        std::os::unix::fs::symlink(elsewhere.path(), &place).expect("link");
        let deep = deep_state_dir(folder.path());
        for _ in 0..2 {
            let bound = bind_elsewhere(&deep, common.path()).expect("bind");
            assert!(is_own(bound.path.parent().expect("a folder")));
            // As after a crash: nothing was put away.
            std::mem::forget(bound);
            assert_eq!(fs::read_dir(elsewhere.path()).expect("list").count(), 0);
            assert_eq!(
                fs::read_dir(common.path()).expect("list").count(),
                2,
                "the former is removed"
            );
        }
        drop(bind_elsewhere(&deep, common.path()).expect("bind"));
        assert_eq!(fs::read_dir(common.path()).expect("list").count(), 1);
    }
}
