//! Where the socket is.
//!
//! `<state folder>/control.sock`, by a short way where that path is longer than an address may be ([`ShortPath`]). Only
//! where there is no such way is it elsewhere, and the file `<state folder>/socket` tells where:
//!
//! 1. in the folder that this user has for such things, `XDG_RUNTIME_DIR` or `/run/user/<uid>`. Nobody clears it away
//!    but with the last session of that user, and nobody else may enter it, so not where others may give orders;
//! 2. as an abstract socket of Linux, shown as `@<name>`, which is in no folder. Who would take its name first has to
//!    guess it; whoever connects is judged as everywhere, by the kernel's word; and `gocd-bc` makes sure of the user at
//!    the other end before it says anything.
//!
//! Not in `/tmp`, which is cleaned, is another one for each service, and where anybody may be first.

use std::{
    env, fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Error, Kind, ShortPath, random, regular_file},
    durable::atomic,
    node::control::{ABSTRACT, SOCKET, SOCKET_POINTER},
    role::state_dir,
};
use nix::unistd::geteuid;

/// Which file a path leads to.
type Identity = (u64, u64);

/// Where the folders for such things of each user are.
const RUN_USER: &str = "/run/user";

/// Where a socket may be that has no short way into its state folder, in this order.
#[derive(Debug, Clone, Default)]
pub(super) struct Refuges {
    /// Folders of this user alone.
    folders: Vec<PathBuf>,
}

impl Refuges {
    /// Lists where this process may put a local socket that has no short way into its state folder; `for_others` where
    /// other users may give orders.
    pub(super) fn of_process(for_others: bool) -> Self {
        if for_others {
            return Self::default();
        }
        let given = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute());
        let usual = Path::new(RUN_USER).join(geteuid().to_string());
        Self {
            folders: given.into_iter().chain([usual]).collect(),
        }
    }
}

/// A bound socket; its files go when it is dropped.
#[derive(Debug)]
pub(super) struct Bound {
    /// Where it can be found: a path, or `@` and the name of an abstract socket.
    pub(super) path: PathBuf,
    /// None of an abstract one.
    file: Option<SocketFile>,
    /// The file that tells of a socket outside of the state folder.
    pointer: Option<PathBuf>,
}

#[derive(Debug)]
struct SocketFile {
    identity: Identity,
    /// How it is reached here.
    way: ShortPath,
}

impl Bound {
    /// Binds the local socket of the node in `state_dir`, a folder which is made where it is missing.
    ///
    /// # Errors
    /// The socket cannot be made, or a file of somebody else is in its place.
    pub(super) fn bind(state_dir: &Path, refuges: &Refuges) -> Result<(Self, UnixListener), Error> {
        state_dir::create(state_dir, 0o711)?;
        let way = ShortPath::to(state_dir, SOCKET).map_err(Error::cannot("enter the folder", state_dir))?;
        Self::bind_by(way, state_dir, refuges)
    }

    /// Binds the local socket in its state folder by the short way, else elsewhere with a pointer to it.
    fn bind_by(way: Option<ShortPath>, state_dir: &Path, refuges: &Refuges) -> Result<(Self, UnixListener), Error> {
        // What an earlier node of this folder left: ours, since we hold its lock.
        let (inside, pointer) = (state_dir.join(SOCKET), state_dir.join(SOCKET_POINTER));
        remove_socket(&inside)?;
        let stale = regular_file::read_text(&pointer, 4096).unwrap_or_default();
        remove_file(&pointer)?;
        remove_own(Path::new(stale.trim()));
        if let Some(way) = way {
            return Self::listen(way, inside);
        }
        let of_user = || refuges.folders.iter().find_map(|folder| Self::listen_in(folder));
        let (mut bound, listener) = match of_user() {
            Some(listening) => listening,
            None => Self::listen_abstract(&inside)?,
        };
        atomic::write(&pointer, format!("{}\n", bound.path.display()).as_bytes(), 0o644)?;
        bound.pointer = Some(pointer);
        Ok((bound, listener))
    }

    /// Binds a local socket in a folder that is this user's alone. None where it is not, or where anything else is in
    /// the way.
    fn listen_in(folder: &Path) -> Option<(Self, UnixListener)> {
        let name = format!("gocd-bc-{:.16}.sock", random::hex_id().ok()?);
        let way = is_private(folder)
            .then(|| ShortPath::to(folder, &name).ok())
            .flatten()??;
        Self::listen(way, folder.join(name)).ok()
    }

    /// Binds a local socket at this path.
    fn listen(way: ShortPath, path: PathBuf) -> Result<(Self, UnixListener), Error> {
        let failed = Error::cannot("listen on the local socket", &path);
        let listener = UnixListener::bind(way.path()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        fs::set_permissions(way.path(), fs::Permissions::from_mode(0o666)).map_err(failed)?;
        let identity = identity(way.path()).map_err(failed)?;
        let bound = Self {
            path,
            file: Some(SocketFile { identity, way }),
            pointer: None,
        };
        Ok((bound, listener))
    }

    /// Binds an abstract socket of Linux, which has no file.
    #[cfg(target_os = "linux")]
    fn listen_abstract(_: &Path) -> Result<(Self, UnixListener), Error> {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

        let name = format!("gocd-bc-{}", random::hex_id()?);
        let path = PathBuf::from(format!("{ABSTRACT}{name}"));
        let failed = Error::cannot("listen on the abstract socket", &path);
        let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
        let listener = UnixListener::bind_addr(&address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = Self {
            path,
            file: None,
            pointer: None,
        };
        Ok((bound, listener))
    }

    /// Refuses a state folder whose path is too long, where there are no abstract sockets.
    #[cfg(not(target_os = "linux"))]
    fn listen_abstract(inside: &Path) -> Result<(Self, UnixListener), Error> {
        Err(Error::new(
            Kind::File,
            format!("the path {} is too long for a socket", inside.display()),
            "Shorten the path of the state folder with bc.state.dir.",
        ))
    }

    /// Whether callers find another local socket, or none, where this one should be. That it cannot be looked at says
    /// nothing.
    pub(super) fn is_gone(&self) -> bool {
        let is_missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let socket = match &self.file {
            Some(file) => identity(&self.path).map_or_else(|error| is_missing(&error), |found| found != file.identity),
            None => false,
        };
        let pointer = self.pointer.as_deref().map(identity);
        socket || pointer.is_some_and(|found| found.as_ref().is_err_and(is_missing))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // What cannot be removed is found and removed by the next node. What took its place is another one's.
        if let Some(file) = &self.file
            && identity(file.way.path()).is_ok_and(|found| found == file.identity)
        {
            drop(fs::remove_file(file.way.path()));
        }
        if let Some(pointer) = &self.pointer {
            let is_ours = |text: String| Path::new(text.trim()) == self.path;
            if regular_file::read_text(pointer, 4096).is_ok_and(is_ours) {
                drop(fs::remove_file(pointer));
            }
        }
    }
}

/// What tells a local socket from another one at its path: device and inode.
fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Removes the local socket that an earlier node left at this path, and nothing that is no socket.
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

/// Removes a file of a local socket, where there is one.
fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// Removes a local socket that an earlier node left elsewhere, with the folder in `/tmp` that one of an earlier version
/// had.
fn remove_own(socket: &Path) {
    let Some(folder) = socket.parent() else { return };
    let is_socket = fs::symlink_metadata(socket)
        .is_ok_and(|found| found.file_type().is_socket() && found.uid() == geteuid().as_raw());
    if is_private(folder) && is_socket {
        // What stays takes a few bytes.
        drop(fs::remove_file(socket));
        let is_its_own = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"gocd-bc-");
        if folder.file_name().is_some_and(is_its_own) {
            drop(fs::remove_dir(folder));
        }
    }
}

/// Whether a folder for a local socket is a real one of our own user that nobody else can write to.
fn is_private(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
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
    fn bind_elsewhere(state_dir: &Path, folders: &[&Path]) -> (Bound, UnixListener) {
        state_dir::create(state_dir, 0o711).expect("a folder");
        let refuges = Refuges {
            folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
        };
        Bound::bind_by(None, state_dir, &refuges).expect("bind")
    }

    /// A folder as `/run/user/<uid>`.
    fn private_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir_in("/tmp").expect("folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("mode");
        folder
    }

    fn pointer_of(state_dir: &Path) -> String {
        let text = fs::read_to_string(state_dir.join(SOCKET_POINTER)).expect("read");
        text.trim().to_owned()
    }

    #[test]
    fn takes_the_place_of_a_dead_socket_and_leaves_none() {
        let folder = tempfile::tempdir().expect("folder");
        for state_dir in [folder.path().join("state"), deep_state_dir(folder.path())] {
            fs::create_dir(&state_dir).expect("folder");
            let path = state_dir.join(SOCKET);
            let way = ShortPath::to(&state_dir, SOCKET).expect("there").expect("short");
            drop(UnixListener::bind(way.path()).expect("an earlier node"));
            let (bound, _listener) = Bound::bind(&state_dir, &Refuges::default()).expect("bind");
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
        let refusal = Bound::bind(folder.path(), &Refuges::default()).expect_err("refused");
        assert!(refusal.message().contains("control.sock is not a socket"), "{refusal}");
    }

    #[test]
    fn a_socket_that_was_removed_or_replaced_is_gone_and_does_not_take_its_successor_along() {
        let folder = tempfile::tempdir().expect("folder");
        let (first, _listener) = Bound::bind(folder.path(), &Refuges::default()).expect("bind");
        fs::remove_file(&first.path).expect("there");
        assert!(first.is_gone());
        let (second, _listener) = Bound::bind(folder.path(), &Refuges::default()).expect("bind");
        assert!(first.is_gone());
        drop(first);
        assert!(!second.is_gone(), "it is another one's");
        fs::remove_dir_all(folder.path()).expect("ours");
        assert!(second.is_gone());
        let (third, _listener) = Bound::bind(folder.path(), &Refuges::default()).expect("with its folder");
        assert!(!third.is_gone());
    }

    #[test]
    fn without_a_short_way_it_is_in_a_folder_of_the_user_and_a_file_tells_so() {
        let (folder, of_user) = (tempfile::tempdir().expect("folder"), private_folder());
        let deep = deep_state_dir(folder.path());
        let (bound, _listener) = bind_elsewhere(&deep, &[Path::new("/nowhere"), of_user.path()]);
        assert_eq!(pointer_of(&deep), bound.path.to_str().expect("text"));
        assert_eq!(bound.path.parent(), Some(of_user.path()));
        let pointer = deep.join(SOCKET_POINTER);
        assert_eq!((mode(&pointer), mode(&bound.path)), (0o644, 0o666));
        assert!(!bound.is_gone());
        fs::remove_file(&pointer).expect("there");
        assert!(bound.is_gone(), "nobody finds it");
        // As after a crash: nothing was put away.
        fs::write(&pointer, format!("{}\n", bound.path.display())).expect("write");
        std::mem::forget(bound);
        let (next, _listener) = bind_elsewhere(&deep, &[of_user.path()]);
        assert_eq!(
            fs::read_dir(of_user.path()).expect("list").count(),
            1,
            "the former is removed"
        );
        drop(next);
        assert!(!pointer.exists());
        assert_eq!(fs::read_dir(of_user.path()).expect("list").count(), 0);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_no_refuge() {
        let (folder, of_others, of_user) = (tempfile::tempdir().expect("folder"), private_folder(), private_folder());
        fs::set_permissions(of_others.path(), fs::Permissions::from_mode(0o777)).expect("mode");
        let link = of_user.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).expect("link");
        let (bound, _listener) = bind_elsewhere(&deep_state_dir(folder.path()), &[of_others.path(), &link]);
        assert!(bound.path.to_string_lossy().starts_with(ABSTRACT), "{bound:?}");
        assert_eq!(fs::read_dir(of_others.path()).expect("list").count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_last_way_is_in_no_folder_and_has_a_name_that_nobody_can_guess() {
        use std::os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixStream},
        };

        let folder = tempfile::tempdir().expect("folder");
        let deep = deep_state_dir(folder.path());
        let (bound, listener) = bind_elsewhere(&deep, &[]);
        let named = pointer_of(&deep);
        let name = named.strip_prefix(ABSTRACT).expect("an abstract one").to_owned();
        let reached = |name: &str| {
            let address = SocketAddr::from_abstract_name(name).expect("a name");
            UnixStream::connect_addr(&address).is_ok()
        };
        assert!(reached(&name) && !bound.is_gone());
        drop((bound, listener));
        assert!(!reached(&name) && !deep.join(SOCKET_POINTER).exists());
        let (_next, _listener) = bind_elsewhere(&deep, &[]);
        assert_ne!(pointer_of(&deep), named);
    }

    #[test]
    fn what_a_node_of_an_earlier_version_left_in_tmp_goes() {
        let folder = tempfile::tempdir().expect("folder");
        let common = tempfile::Builder::new()
            .prefix("gocd-bc-")
            .tempdir_in("/tmp")
            .expect("folder");
        let left = common.path().join("0123456789abcdef.sock");
        drop(UnixListener::bind(&left).expect("bind"));
        fs::write(folder.path().join(SOCKET_POINTER), left.display().to_string()).expect("write");
        let (bound, _listener) = Bound::bind(folder.path(), &Refuges::default()).expect("bind");
        assert_eq!(bound.path, folder.path().join(SOCKET));
        assert!(!common.path().exists() && !folder.path().join(SOCKET_POINTER).exists());
        // What is no socket of ours stays, wherever somebody makes the file lead.
        let other = folder.path().join("file");
        fs::write(&other, "mine").expect("write");
        fs::write(folder.path().join(SOCKET_POINTER), other.display().to_string()).expect("write");
        drop(bound);
        drop(Bound::bind(folder.path(), &Refuges::default()).expect("bind"));
        assert!(other.exists());
    }
}
