//! The threads of a node: all that it needs are had before anything relies on them.
//!
//! Tokio panics where the first thread of a runtime cannot be had, waits for ever for work that the second should have
//! done, and panics where there is not one thread for work that blocks. So a node looks whether the operating system
//! has room before it starts the first thread ([`room`]), waits for a runtime until all its threads run, and has one
//! thread in it that is always there for work that blocks: where no further one can be had, that one does what has
//! come, one after another.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use bc_core::{
    basics::{Error, Severity, Shortage, lock},
    status::{StatusBoard, Topic},
};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::Dispatch;

use super::{CLOSE_WITHIN, log};

/// Threads of a runtime that carry its tasks.
const WORKERS: usize = 2;
/// Threads of a node's parts at most, in any role: of those that touch files each has one to itself, and one that
/// watches folders or reads them a second one. The supervisor counts them ([`super::supervisor`]).
pub(super) const PARTS: usize = 12;
/// Threads that a node needs to be of use: those of two runtimes, each with one for work that blocks and one more that
/// takes turns with it, those of its parts, and some of its own.
const THREADS: usize = 2 * (WORKERS + 2) + PARTS + 3;
/// Descriptors that it needs: ports, sockets, watches, and files for a moment.
const DESCRIPTORS: usize = 32;

/// How long one turn of the thread that is always there lasts: less than the ten seconds after which tokio ends an idle
/// thread, so that the same two threads take turns.
const TURN: Duration = Duration::from_secs(5);
/// How long the operating system may take to run a thread that it has given.
const RUN_WITHIN: Duration = Duration::from_secs(20);

/// Whether the operating system has threads and descriptors enough for a node.
///
/// # Errors
/// [`Kind::Exhausted`](bc_core::basics::Kind::Exhausted): so many threads or descriptors cannot be had at once.
pub(crate) fn room() -> Result<(), Error> {
    room_for_threads(THREADS)?;
    #[cfg(unix)]
    room_for_descriptors(DESCRIPTORS)?;
    Ok(())
}

/// Whether so many threads can be had, all of them at once: none ends before the last is started.
fn room_for_threads(count: usize) -> Result<(), Error> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = lock(&gate);
        let given = (0..count).try_for_each(|_| {
            let wait = || drop(gate.lock());
            let thread = thread::Builder::new().name("bc-room".to_owned());
            thread.spawn_scoped(scope, wait).map(drop)
        });
        drop(closed);
        given.map_err(|_| no_thread())
    })
}

/// Whether so many descriptors can be had at once.
#[cfg(unix)]
fn room_for_descriptors(count: usize) -> Result<(), Error> {
    let pipes: Result<Vec<_>, _> = (0..count / 2).map(|_| nix::unistd::pipe()).collect();
    pipes.map(drop).map_err(|error| {
        let shortage = Shortage::of(&error.into()).unwrap_or(Shortage::Descriptors);
        shortage.error(DOING)
    })
}

const DOING: &str = "start the node";

/// The error of a node for which there are not enough threads.
fn no_thread() -> Error {
    Shortage::Threads.error(DOING)
}

/// A runtime whose threads all run. They end with it, in bounded time.
pub(super) struct Threads {
    /// Its end ends the thread that is always there.
    stay: Option<mpsc::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts a runtime with threads named `name`, of which `files` at most may wait for disks at once. Where there is
    /// a `board`, it is told while no more of them can be had.
    ///
    /// # Errors
    /// [`Kind::Exhausted`](bc_core::basics::Kind::Exhausted) where not all of them run.
    pub(super) fn start(
        name: &str,
        files: usize,
        dispatch: &Dispatch,
        board: Option<Arc<StatusBoard>>,
    ) -> Result<Self, Error> {
        let begun = Arc::new(Begun::default());
        let (counted, dispatch) = (Arc::clone(&begun), dispatch.clone());
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(WORKERS)
            .max_blocking_threads(files + 1)
            .thread_name(name)
            .on_thread_start(move || {
                log::adopt(&dispatch);
                counted.one();
            })
            .enable_all();
        // Somebody else may have taken the room since there was some. Then tokio panics.
        let runtime = catch_unwind(AssertUnwindSafe(|| builder.build()))
            .map_err(|_| no_thread())?
            .map_err(|error| Shortage::of(&error).unwrap_or(Shortage::Threads).error(DOING))?;
        let (stay, end) = mpsc::channel();
        let reserve = Reserve { end, board };
        let handle = runtime.handle().clone();
        let threads = Self {
            stay: Some(stay),
            runtime: Some(runtime),
        };
        let is_there = catch_unwind(AssertUnwindSafe(|| reserve.take_a_turn(handle))).is_ok();
        if is_there && begun.are(WORKERS + 1, RUN_WITHIN) {
            Ok(threads)
        } else {
            Err(no_thread())
        }
    }

    /// The handle of this runtime, for tasks and work on its threads.
    pub(super) fn handle(&self) -> &Handle {
        self.runtime().handle()
    }

    /// Runs a future of this runtime on the calling thread.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime().block_on(work)
    }

    /// Ends all tasks of this runtime and joins its threads, as far as that takes no longer than `within`.
    pub(super) fn end(mut self, within: Duration) {
        self.shut_down(within);
    }

    /// The runtime of these threads.
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is only taken at the end")
    }

    /// Ends this runtime and its threads, as far as that takes no longer than `within`.
    fn shut_down(&mut self, within: Duration) {
        self.stay = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(within);
        }
    }
}

/// A runtime alone would wait for ever for a thread that hangs.
impl Drop for Threads {
    fn drop(&mut self) {
        self.shut_down(CLOSE_WITHIN);
    }
}

/// The thread that is always there. What waits for a thread is done between two of its turns.
struct Reserve {
    end: Receiver<()>,
    /// Where to say that there are no more threads.
    board: Option<Arc<StatusBoard>>,
}

impl Reserve {
    /// Keeps one thread always there for work that blocks: what waits for a thread is done between two turns.
    fn take_a_turn(self, runtime: Handle) {
        let next = runtime.clone();
        runtime.spawn_blocking(move || {
            if self.end.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
                if let Some(board) = &self.board {
                    look(board);
                }
                self.take_a_turn(next);
            }
        });
    }
}

/// Says on the board whether one more thread can be had.
fn look(board: &StatusBoard) {
    match room_for_threads(1) {
        Ok(()) => board.clear(&Topic::Threads),
        Err(_) => {
            let shortage = Shortage::Threads;
            let message = format!(
                "this node does with the threads that it has, so that some of its work waits for other: {shortage}. {}",
                shortage.advice()
            );
            board.warn(&Topic::Threads, Severity::Warning, Some(message));
        }
    }
}

/// How many threads have begun.
#[derive(Default)]
struct Begun {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Begun {
    /// Counts one more thread of the runtime that has begun.
    fn one(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    /// Whether so many threads of the runtime have begun, at the latest after this time.
    fn are(&self, wanted: usize, within: Duration) -> bool {
        let count = lock(&self.count);
        let waited = self.changed.wait_timeout_while(count, within, |count| *count < wanted);
        let (count, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *count >= wanted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bc_core::{basics::Properties, node::Event};

    use super::*;
    use crate::node::Node;

    /// The agent's node of a server where nothing is left, and what its flag is.
    fn agent_without_room(flag: &str) -> Result<Node, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut properties = Properties::from_iter([("bc.face", "agent"), ("go.server.mode", flag)]);
        properties.set("user.dir", folder.path().display().to_string());
        Node::open_as(&properties, |assembly| assembly.room = || Err(no_thread()))
    }

    #[test]
    fn an_agent_without_threads_says_why_a_standby_stays_held_and_lets_a_primary_go() {
        let node = agent_without_room("standby").expect("it opens once there are threads");
        let mut events = std::iter::from_fn(|| node.next_event(Duration::from_secs(1)));
        let says = |event: Event| matches!(event, Event::Hold(why) if why.contains("gives no thread"));
        assert!(events.any(says), "nobody follows meanwhile");
        let node = agent_without_room("").expect("it takes none to let GoCD run");
        let mut events = std::iter::from_fn(|| node.next_event(Duration::from_secs(1)));
        assert!(events.any(|event| matches!(event, Event::Release(_))));
    }

    #[test]
    fn all_threads_run_and_all_end() {
        let dispatch = Dispatch::none();
        room().expect("there is room");
        let threads = Threads::start("bc-test", 4, &dispatch, None).expect("there is room");
        let answered = threads.block_on(async { tokio::task::spawn_blocking(|| 7).await });
        assert_eq!(answered.expect("no panic"), 7);
        // Work that never ends does not keep it from ending.
        threads
            .handle()
            .spawn_blocking(|| thread::sleep(Duration::from_secs(600)));
        let begun = Instant::now();
        threads.end(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
