//! A part under way: as a task, or on a thread to itself where it touches files.
//!
//! A thread to itself, since a disk that hangs stops whoever touches a file on it: on a worker of the runtime that
//! would stop all its other tasks. Handing those to another thread before each step costs two switches each time, and a
//! part goes on for ever. Nor is it one of the threads that are lent for file work: were all of them parts, nobody
//! would do any.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    select,
    sync::oneshot,
    task::{JoinError, JoinHandle},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Dispatch;

use super::{End, log, words};
use crate::node::threads::PARTS;
use bc_core::basics::lock;

/// What a part does. It is compiled once, however many ways there are to run it.
pub(super) type PartWork = Pin<Box<dyn Future<Output = End> + Send>>;

/// The name of the threads.
const NAME: &str = "bc-part";
/// How soon it is seen that one has ended while a node closes.
const LOOK: Duration = Duration::from_millis(1);

/// The threads of all parts of a node.
#[derive(Debug, Default)]
pub(crate) struct PartThreads {
    running: Mutex<Vec<thread::JoinHandle<()>>>,
    needed: AtomicUsize,
}

impl PartThreads {
    /// Counts one more thread that a part needs for as long as its node lives. A node begins only where there is room
    /// for [`PARTS`] of them.
    pub(super) fn need_one(&self) {
        let needed = self.needed.fetch_add(1, Ordering::Relaxed) + 1;
        debug_assert!(needed <= PARTS, "PARTS of node::threads is too small");
    }

    /// Waits for the end of all threads of the node's parts. Only a disk that hangs keeps one for longer than `within`.
    pub(crate) fn join(&self, within: Duration) {
        let end = Instant::now() + within;
        while self.join_ended() > 0 && Instant::now() < end {
            thread::sleep(LOOK);
        }
    }

    /// Joins the threads of parts that have ended, and says how many have not.
    fn join_ended(&self) -> usize {
        let mut all = lock(&self.running);
        for ended in all.extract_if(.., |thread| thread.is_finished()) {
            // A panic of the part was said already.
            let _ = ended.join();
        }
        all.len()
    }

    /// Keeps the thread of a part, to be joined when the node closes.
    fn add(&self, thread: thread::JoinHandle<()>) {
        self.join_ended();
        let mut all = lock(&self.running);
        all.push(thread);
    }
}

/// A part under way, which does not outlive whoever waits for it.
pub(super) enum UnderWay {
    Task(JoinHandle<End>),
    Thread {
        ended: oneshot::Receiver<thread::Result<Option<End>>>,
        _end: DropGuard,
    },
    NoThread,
}

impl UnderWay {
    /// Begins a part that touches no file, on the workers of the runtime.
    pub(super) fn on_workers(runtime: &Handle, work: PartWork) -> Self {
        Self::Task(runtime.spawn(work))
    }

    /// Begins a part that may have to wait for a disk, on a thread to itself.
    pub(super) fn on_a_thread(runtime: &Handle, dispatch: &Dispatch, threads: &PartThreads, work: PartWork) -> Self {
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            // Its only thread drives timers and connections, and would wait for nobody else.
            return Self::on_workers(runtime, work);
        }
        let end = CancellationToken::new();
        let (broken_off, here, dispatch) = (end.clone(), runtime.clone(), dispatch.clone());
        let (tell, ended) = oneshot::channel();
        let started = thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            log::adopt(&dispatch);
            let work = async {
                select! {
                    biased;
                    () = broken_off.cancelled() => None,
                    end = work => Some(end),
                }
            };
            // Nobody hears of it where nobody waits any more.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(|| here.block_on(work))));
        });
        let Ok(thread) = started else { return Self::NoThread };
        threads.add(thread);
        Self::Thread {
            ended,
            _end: end.drop_guard(),
        }
    }

    /// Waits for the end of a part that is under way, and says how it came.
    pub(super) async fn end(&mut self) -> End {
        let panicked = |panic: &(dyn Any + Send)| End::Mistake(words(panic));
        let broken_off = || End::Mistake("it was broken off".to_owned());
        match self {
            Self::Task(task) => task
                .await
                .unwrap_or_else(|error| match JoinError::try_into_panic(error) {
                    Ok(panic) => panicked(&*panic),
                    Err(_) => broken_off(),
                }),
            Self::Thread { ended, .. } => match ended.await {
                Ok(Ok(end)) => end.unwrap_or_else(broken_off),
                Ok(Err(panic)) => panicked(&*panic),
                Err(_) => broken_off(),
            },
            Self::NoThread => End::NoThread,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn of_one_worker() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .enable_all()
            .build()
            .expect("threads")
    }

    fn begin(runtime: &tokio::runtime::Runtime, threads: &PartThreads, work: PartWork) -> UnderWay {
        UnderWay::on_a_thread(runtime.handle(), &Dispatch::none(), threads, work)
    }

    #[test]
    fn parts_that_are_stuck_stop_nothing_beside_them() {
        let (runtime, threads) = (of_one_worker(), PartThreads::default());
        let (mut stuck, mut parts) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let (release, wait) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            stuck.push(release);
            let work = Box::pin(async move {
                begun.send(()).expect("waited for");
                // As an open of a file on a disk that hangs.
                let _ = wait.recv();
                End::from(())
            });
            parts.push(begin(&runtime, &threads, work));
            has_begun.recv_timeout(SOON).expect("it begins");
        }
        let answered = runtime.block_on(runtime.spawn(async { 7 })).expect("no panic");
        let read = runtime.block_on(runtime.spawn_blocking(|| 8)).expect("no panic");
        assert_eq!((answered, read), (7, 8));
        threads.join(Duration::from_millis(10));
        assert_eq!(
            threads.join_ended(),
            4,
            "a node that closes does not wait for them for ever"
        );
        drop(stuck);
        threads.join(SOON);
        assert_eq!(threads.join_ended(), 0);
    }

    #[test]
    fn a_part_waits_does_file_work_and_ends_with_whoever_waits_for_it() {
        let (runtime, threads) = (of_one_worker(), PartThreads::default());
        let (steps, seen) = mpsc::channel();
        let part = begin(
            &runtime,
            &threads,
            Box::pin(async move {
                for step in 0.. {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    tokio::task::spawn_blocking(|| {}).await.expect("no panic");
                    let _ = steps.send(crate::off_worker::run(|| step));
                }
                End::from(())
            }),
        );
        for step in 0..3 {
            assert_eq!(seen.recv_timeout(SOON), Ok(step));
        }
        drop(part);
        threads.join(SOON);
        assert_eq!(threads.join_ended(), 0);
        assert!(seen.iter().count() < 100_000, "what it had is gone");
    }

    #[test]
    fn how_a_part_ended_is_known() {
        let (runtime, threads) = (of_one_worker(), PartThreads::default());
        let mut ends = begin(&runtime, &threads, Box::pin(async { End::from(()) }));
        let mut fails = begin(&runtime, &threads, Box::pin(async { panic!("it says why") }));
        let how = |end: End| match end {
            End::Mistake(how) => how,
            End::NoThread => "no thread".to_owned(),
        };
        assert!(how(runtime.block_on(ends.end())).starts_with("it came to an end"));
        assert_eq!(how(runtime.block_on(fails.end())), "it says why");
        threads.join(SOON);
        assert_eq!(threads.join_ended(), 0);
    }
}
