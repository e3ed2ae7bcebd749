//! The socket on UNIX.
//!
//! `<state folder>/control.sock`. The address of a socket has room for 107 bytes on Linux: where that path is
//! longer, the socket is `/tmp/gocd-bc-<user number>/<node id>.sock`, and the file `<state folder>/socket` tells so.
//! That folder must be a real folder of our own user, since everybody may write to `/tmp`.
//!
//! The socket has mode 0666 and the file 0644: who may give orders is judged by user, not by permission bits.

use std::{
    ffi::CString,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bc_core::{
    control::{SOCKET, SOCKET_POINTER},
    error::{Error, Kind},
    store::atomic,
};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    CONNECTIONS_OF_OTHERS, CONNECTIONS_OF_ROOT, ControlHandler, converse,
    rights::{Caller, Membership, Rights},
};

/// The longest path of a socket: `sun_path` has 108 bytes, the last of which is zero.
const LONGEST_PATH: usize = 107;

/// Binds the socket and answers on it until `shutdown`.
pub(super) fn serve<H: ControlHandler>(
    state_dir: &Path,
    rights: Rights,
    handler: Arc<H>,
    shutdown: CancellationToken,
) -> Result<PathBuf, Error> {
    let bound = Bound::bind(state_dir, Path::new("/tmp"))?;
    let path = bound.path.clone();
    tokio::spawn(accept(bound, Arc::new(rights), handler, shutdown));
    Ok(path)
}

/// Whether the user `uid` that came with the group `gid` is in `group`.
pub(super) fn membership(uid: u32, gid: u32, group: &str) -> Membership {
    let Ok(Some(group)) = Group::from_name(group) else {
        return Membership::NoSuchGroup;
    };
    let listed = || {
        let user = User::from_uid(Uid::from_raw(uid)).ok()??;
        let name = CString::new(user.name).ok()?;
        let groups = getgrouplist(&name, user.gid).ok()?;
        Some(groups.contains(&group.gid))
    };
    if group.gid == Gid::from_raw(gid) || listed() == Some(true) {
        Membership::Member
    } else {
        Membership::NoMember
    }
}

/// A bound socket; its files go when it is dropped.
struct Bound {
    listener: UnixListener,
    path: PathBuf,
    pointer: Option<PathBuf>,
}

impl Bound {
    /// `common` is the folder for sockets whose own path would be too long.
    fn bind(state_dir: &Path, common: &Path) -> Result<Self, Error> {
        let inside = state_dir.join(SOCKET);
        let pointer = state_dir.join(SOCKET_POINTER);
        // What an earlier node of this folder left: ours, since we hold its lock.
        remove_socket(&inside)?;
        remove_file(&pointer)?;
        if inside.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self {
                listener: listen(&inside)?,
                path: inside,
                pointer: None,
            });
        }
        let folder = common.join(format!("gocd-bc-{}", geteuid()));
        make_own(&folder)?;
        let path = folder.join(format!("{}.sock", node_id(state_dir)?));
        remove_socket(&path)?;
        let bound = Self {
            listener: listen(&path)?,
            path,
            pointer: Some(pointer.clone()),
        };
        let text = format!("{}\n", bound.path.display());
        atomic::write(&pointer, text.as_bytes(), 0o644)?;
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // What cannot be removed is found and removed by the next node.
        drop(fs::remove_file(&self.path));
        if let Some(pointer) = &self.pointer {
            drop(fs::remove_file(pointer));
        }
    }
}

async fn accept<H: ControlHandler>(bound: Bound, rights: Arc<Rights>, handler: Arc<H>, shutdown: CancellationToken) {
    let of_root = Arc::new(Semaphore::new(CONNECTIONS_OF_ROOT));
    let of_others = Arc::new(Semaphore::new(CONNECTIONS_OF_OTHERS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = bound.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors: somebody has to close one first.
                warn!("cannot accept on the local socket {}: {error}", bound.path.display());
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(caller) = caller(&stream) else { continue };
        let places = if caller == Caller::Root { &of_root } else { &of_others };
        // Without a free place the connection is closed, which the caller is told as "busy".
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            continue;
        };
        let (rights, handler) = (Arc::clone(&rights), Arc::clone(&handler));
        tokio::spawn(async move {
            converse(stream, caller, &rights, handler.as_ref()).await;
            drop(place);
        });
    }
}

fn caller(stream: &UnixStream) -> io::Result<Caller> {
    let peer = stream.peer_cred()?;
    Ok(match peer.uid() {
        0 => Caller::Root,
        uid if uid == geteuid().as_raw() => Caller::Owner,
        uid => Caller::Other { uid, gid: peer.gid() },
    })
}

fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |error: io::Error| Error::io("listen on the local socket", path, &error);
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
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

/// Makes `folder`, or finds it as a real folder of our own user that nobody else can write to.
fn make_own(folder: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io("create the folder", folder, &error);
    match DirBuilder::new().mode(0o711).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder).map_err(failed)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() {
        return Err(Error::new(
            Kind::File,
            format!("{} is not a folder of the user that GoCD runs as", folder.display()),
            "Remove it, or shorten the path of the state folder with bc.state.dir.",
        ));
    }
    // Also where it existed, and whatever the umask took away.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(failed)
}

fn node_id(state_dir: &Path) -> Result<String, Error> {
    let path = state_dir.join("node-id");
    let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use bc_core::control::{Order, Reply};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("stat").permissions().mode() & 0o777
    }

    /// A state folder whose path is too long for a socket.
    fn deep_state_dir(folder: &Path) -> PathBuf {
        let deep = folder.join("x".repeat(LONGEST_PATH));
        fs::create_dir(&deep).expect("folder");
        fs::write(deep.join("node-id"), format!("{}\n", "ab".repeat(16))).expect("write");
        deep
    }

    #[tokio::test]
    async fn takes_the_place_of_a_dead_socket_and_leaves_none() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("an earlier node"));
        let bound = Bound::bind(folder.path(), Path::new("/tmp")).expect("bind");
        assert_eq!(mode(&path), 0o666);
        assert!(!folder.path().join(SOCKET_POINTER).exists());
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_in_its_place_is_not_removed() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(SOCKET), "mine").expect("write");
        let refusal = Bound::bind(folder.path(), Path::new("/tmp")).err().expect("refused");
        assert!(refusal.message().contains("control.sock is not a socket"), "{refusal}");
    }

    #[tokio::test]
    async fn a_long_path_leads_elsewhere() {
        let folder = tempfile::tempdir().expect("folder");
        let common = tempfile::tempdir_in("/tmp").expect("folder");
        let deep = deep_state_dir(folder.path());
        let bound = Bound::bind(&deep, common.path()).expect("bind");
        let pointer = deep.join(SOCKET_POINTER);
        assert_eq!(
            fs::read_to_string(&pointer).expect("read").trim(),
            bound.path.to_str().expect("text")
        );
        assert_eq!(
            bound.path.file_name().expect("a file").to_str(),
            Some(format!("{}.sock", "ab".repeat(16)).as_str())
        );
        assert_eq!(
            (mode(&pointer), mode(bound.path.parent().expect("folder"))),
            (0o644, 0o711)
        );
        drop(bound);
        assert!(!pointer.exists());
    }

    #[tokio::test]
    async fn a_link_in_the_common_folder_is_not_followed() {
        let folder = tempfile::tempdir().expect("folder");
        let common = tempfile::tempdir_in("/tmp").expect("folder");
        let elsewhere = tempfile::tempdir_in("/tmp").expect("folder");
        let place = common.path().join(format!("gocd-bc-{}", geteuid()));
        std::os::unix::fs::symlink(elsewhere.path(), &place).expect("link");
        let refusal = Bound::bind(&deep_state_dir(folder.path()), common.path())
            .err()
            .expect("refused");
        assert!(refusal.message().contains("is not a folder of the user"), "{refusal}");
        assert_eq!(fs::read_dir(elsewhere.path()).expect("list").count(), 0);
    }

    #[tokio::test]
    async fn answers_until_shutdown() {
        struct Echo;
        impl ControlHandler for Echo {
            async fn handle(&self, order: Order, _: mpsc::Sender<String>) -> Reply {
                Reply::Done {
                    message: format!("{order:?}"),
                }
            }
        }
        let folder = tempfile::tempdir().expect("folder");
        let shutdown = CancellationToken::new();
        let path = serve(folder.path(), Rights::default(), Arc::new(Echo), shutdown.clone()).expect("serve");
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::os::unix::net::UnixStream::connect(asked).expect("connect");
            stream.write_all(b"{\"order\":\"status\"}\n").expect("write");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("read");
            answer
        });
        assert_eq!(
            answer.await.expect("no panic"),
            "{\"reply\":\"done\",\"message\":\"Status\"}\n"
        );
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), async {
            while path.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the socket goes");
    }
}
