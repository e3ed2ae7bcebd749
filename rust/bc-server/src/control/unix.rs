//! The socket on UNIX.
//!
//! It has mode 0666: who may give orders is judged by user, not by permission bits. It is looked at every two seconds,
//! and made again where it or its folder is gone; where it cannot be made that is tried again and again.
//!
//! | module | has |
//! |---|---|
//! | `bound` | where it is |

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bc_core::{basics::Error, node::control::SOCKET};
use nix::unistd::geteuid;
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    ControlHandler, Tell, converse,
    rights::{Caller, Rights},
    visitors::Visitors,
    who::{Visitor, logged_in},
};
use crate::accepting::Accepting;

mod bound;

use bound::{Bound, Refuges};

/// How often the server looks whether callers still find the socket: one stat.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Wait before a socket that cannot be made is tried again; each time twice as long, up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Binds the local socket on Unix, and answers on it until `shutdown`. Returns where it is or should be, and the task
/// that answers.
pub(super) fn serve<H: ControlHandler>(
    state_dir: &Path,
    rights: Rights,
    handler: Arc<H>,
    tell: Tell,
    shutdown: CancellationToken,
) -> (PathBuf, JoinHandle<()>) {
    let refuges = Refuges::of_process(rights.operator_group.is_some());
    let first = Bound::bind(state_dir, &refuges);
    let server = SocketServer {
        state_dir: state_dir.to_owned(),
        refuges,
        rights: Arc::new(rights),
        handler,
        visitors: Arc::default(),
        tell,
    };
    let first = server.listening(first);
    let path = match &first {
        Some((bound, _)) => bound.path.clone(),
        None => state_dir.join(SOCKET),
    };
    let task = tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = server.run(first) => {}
        }
    });
    (path, task)
}

/// Makes the socket and answers on it for as long as the node lives.
struct SocketServer<H> {
    state_dir: PathBuf,
    refuges: Refuges,
    rights: Arc<Rights>,
    handler: Arc<H>,
    visitors: Arc<Visitors>,
    tell: Tell,
}

impl<H: ControlHandler> SocketServer<H> {
    /// Answers on the local socket on Unix, and binds it again whenever it is gone.
    async fn run(self, first: Option<(Arc<Bound>, UnixListener)>) {
        let mut listening = first;
        let mut wait = FIRST_RETRY;
        loop {
            if let Some((bound, listener)) = listening.take() {
                wait = FIRST_RETRY;
                tokio::select! {
                    () = self.answer(&bound.path, &listener) => {}
                    () = gone(&bound) => {}
                }
                info!("the local socket {} is gone and is made again", bound.path.display());
                // It looks at the disk once more.
                drop(spawn_blocking(move || drop(bound)));
            } else {
                sleep(wait).await;
                wait = LONGEST_RETRY.min(wait * 2);
            }
            let (state_dir, refuges) = (self.state_dir.clone(), self.refuges.clone());
            let Ok(bound) = spawn_blocking(move || Bound::bind(&state_dir, &refuges)).await else {
                continue;
            };
            listening = self.listening(bound);
        }
    }

    /// Takes up a local socket that was bound, and tells whether there is one.
    fn listening(
        &self,
        bound: Result<(Bound, std::os::unix::net::UnixListener), Error>,
    ) -> Option<(Arc<Bound>, UnixListener)> {
        let listening = bound.and_then(|(bound, listener)| {
            let listener =
                UnixListener::from_std(listener).map_err(Error::cannot("listen on the local socket", &bound.path))?;
            Ok((Arc::new(bound), listener))
        });
        match listening {
            Ok(listening) => {
                (self.tell)(Ok(&listening.0.path));
                Some(listening)
            }
            Err(problem) => {
                error!("{problem}");
                (self.tell)(Err(&problem));
                None
            }
        }
    }

    /// Accepts callers on the local socket on Unix, and serves each on a task of its own.
    async fn answer(&self, path: &Path, listener: &UnixListener) {
        let (tell, at) = (Arc::clone(&self.tell), path.to_owned());
        let tell = move |problem: Option<&Error>| tell(problem.map_or(Ok(&at), Err));
        let mut accepting = Accepting::new(format!("the local socket {}", path.display()), Box::new(tell));
        loop {
            let (stream, _) = accepting.next(|| listener.accept()).await;
            let Ok((uid, visitor)) = visitor(&stream) else { continue };
            // Without a place the connection is closed, which the caller is told as "busy".
            let Some(visit) = self.visitors.enter(uid) else {
                continue;
            };
            let (rights, handler) = (Arc::clone(&self.rights), Arc::clone(&self.handler));
            tokio::spawn(async move {
                tokio::select! {
                    () = visit.dismissed() => {}
                    () = converse(stream, visitor, &rights, handler.as_ref(), || visit.stay()) => {}
                }
            });
        }
    }
}

/// Waits until callers do not find the local socket any more.
async fn gone(bound: &Arc<Bound>) {
    loop {
        sleep(LOOK_EVERY).await;
        let looked = Arc::clone(bound);
        if spawn_blocking(move || looked.is_gone()).await.unwrap_or(false) {
            return;
        }
    }
}

/// Who is at the other end of the local socket, from the kernel: the number of the user, and all that is known.
fn visitor(stream: &UnixStream) -> io::Result<(u32, Visitor)> {
    let peer = stream.peer_cred()?;
    let caller = match peer.uid() {
        0 => Caller::Root,
        uid if uid == geteuid().as_raw() => Caller::Owner,
        uid => Caller::Other { uid, gid: peer.gid() },
    };
    let visitor = Visitor {
        caller,
        uid: Some(peer.uid()),
        login: peer.pid().and_then(logged_in),
    };
    Ok((peer.uid(), visitor))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        sync::Mutex,
        time::Instant,
    };

    use bc_core::{
        basics::ShortPath,
        node::{Order, Reply},
    };
    use tokio::sync::mpsc;

    use super::*;

    struct Echo;

    impl ControlHandler for Echo {
        async fn handle(&self, order: Order, _: mpsc::Sender<String>) -> Reply {
            Reply::Done {
                message: format!("{order:?}"),
            }
        }
    }

    /// What the socket in this folder answers, if there is one.
    async fn answer(state_dir: &Path) -> io::Result<String> {
        let way = ShortPath::to(state_dir, SOCKET)?.expect("Linux");
        spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(way.path())?;
            stream.write_all(b"{\"order\":\"status\"}\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
        .await
        .expect("no panic")
    }

    async fn comes_back(state_dir: &Path) {
        let end = Instant::now() + Duration::from_secs(20);
        while answer(state_dir).await.is_err() {
            assert!(Instant::now() < end, "nobody answers in {}", state_dir.display());
            sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_until_shutdown() {
        let folder = tempfile::tempdir().expect("folder");
        let shutdown = CancellationToken::new();
        let tell: Tell = Arc::new(|_| {});
        let (path, _) = serve(folder.path(), Rights::default(), Arc::new(Echo), tell, shutdown.clone());
        assert_eq!(
            answer(folder.path()).await.expect("an answer"),
            "{\"reply\":\"done\",\"message\":\"Status\"}\n"
        );
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), async {
            while path.exists() {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the socket goes");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_socket_that_is_deleted_comes_back_and_so_does_its_folder() {
        let folder = tempfile::tempdir().expect("folder");
        for state_dir in [folder.path().join("state"), folder.path().join("x".repeat(200))] {
            let shutdown = CancellationToken::new();
            let tell: Tell = Arc::new(|_| {});
            let (path, _) = serve(&state_dir, Rights::default(), Arc::new(Echo), tell, shutdown.clone());
            comes_back(&state_dir).await;
            fs::remove_file(&path).expect("there");
            comes_back(&state_dir).await;
            fs::remove_dir_all(&state_dir).expect("there");
            comes_back(&state_dir).await;
            // A socket of somebody else in its place answers nobody for long.
            fs::remove_file(&path).expect("there");
            let way = ShortPath::to(&state_dir, SOCKET).expect("there").expect("Linux");
            drop(std::os::unix::net::UnixListener::bind(way.path()).expect("bind"));
            comes_back(&state_dir).await;
            shutdown.cancel();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_socket_that_cannot_be_made_is_told_and_tried_again() {
        let folder = tempfile::tempdir().expect("folder");
        let blocked = folder.path().join(SOCKET);
        fs::write(&blocked, "in the way").expect("write");
        let told: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let noted = Arc::clone(&told);
        let tell: Tell = Arc::new(move |socket: Result<&Path, &Error>| {
            noted.lock().expect("no panic").push(socket.err().map(Error::to_string));
        });
        let shutdown = CancellationToken::new();
        serve(folder.path(), Rights::default(), Arc::new(Echo), tell, shutdown.clone());
        let first = told.lock().expect("no panic").last().cloned().expect("told at once");
        assert!(first.expect("a problem").contains("control.sock"));
        fs::remove_file(&blocked).expect("there");
        comes_back(folder.path()).await;
        assert_eq!(told.lock().expect("no panic").last(), Some(&None));
        shutdown.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_say_nothing_keep_nobody_out() {
        let folder = tempfile::tempdir().expect("folder");
        let shutdown = CancellationToken::new();
        let tell: Tell = Arc::new(|_| {});
        let (path, _) = serve(folder.path(), Rights::default(), Arc::new(Echo), tell, shutdown.clone());
        let silent: Vec<_> = (0..200)
            .map(|_| std::os::unix::net::UnixStream::connect(&path).expect("connect"))
            .collect();
        for _ in 0..10 {
            let asked = Instant::now();
            answer(folder.path()).await.expect("an answer");
            assert!(asked.elapsed() < crate::control::LINE_WITHIN);
        }
        drop(silent);
        shutdown.cancel();
    }
}
