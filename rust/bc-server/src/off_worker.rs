//! Work that may have to wait for a disk, kept from holding up what runs beside it.
//!
//! A disk that hangs, such as a network file system whose server is gone, stops whoever touches a file on it, for as
//! long as it likes. On a worker of the runtime that would stop all other tasks of this worker too. So everything that
//! may touch files is off the workers: as blocking work of its own, or here, where the worker's other tasks go on with
//! another thread before the work begins. How many threads there are in all is bounded by the runtime.
//!
//! What must answer in any case, the ports and the local socket, has a runtime of its own besides, whose threads are
//! never waited for by anybody else: see [`crate::node`].

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Does work that may wait for a disk on this thread, while other tasks of the runtime go on elsewhere.
pub(crate) fn run<R>(work: impl FnOnce() -> R) -> R {
    // A runtime of one thread has nobody who could go on.
    let has_others = |runtime: Handle| runtime.runtime_flavor() != RuntimeFlavor::CurrentThread;
    if Handle::try_current().is_ok_and(has_others) {
        block_in_place(work)
    } else {
        work()
    }
}

/// A future each of whose steps may have to wait for a disk.
pub(crate) struct OffWorker<F>(Pin<Box<F>>);

impl<F> OffWorker<F> {
    /// Wraps a future so that each poll of it is off the workers of the runtime.
    pub(crate) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for OffWorker<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        run(|| self.0.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn what_is_stuck_stops_nothing_beside_it() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .enable_all()
            .build()
            .expect("threads");
        let mut stuck = Vec::new();
        for _ in 0..4 {
            let (release, wait) = mpsc::channel::<()>();
            let (begun, has_begun) = mpsc::channel();
            stuck.push(release);
            runtime.spawn(OffWorker::new(async move {
                begun.send(()).expect("waited for");
                // As an open of a file on a disk that hangs.
                wait.recv().is_ok()
            }));
            has_begun.recv_timeout(Duration::from_secs(20)).expect("it begins");
        }
        let asked = Instant::now();
        let answered = runtime.block_on(runtime.spawn(async { 7 })).expect("no panic");
        assert_eq!(answered, 7);
        assert!(asked.elapsed() < Duration::from_secs(10));
        drop(stuck);
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_does_it_where_it_is() {
        assert_eq!(OffWorker::new(async { run(|| 7) }).await, 7);
    }
}
