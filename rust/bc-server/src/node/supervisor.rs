//! Starts the long-lived parts of a node's program, and starts each one again that ends before the node does.
//!
//! None of them is meant to end, so that one that does has met a mistake in this program: a panic, or a way out that
//! nobody thought of. Only one that needs a thread of its own, and gets none, has not. What it did is not done then,
//! and nobody else would know. So it is CRITICAL on the board, the node is not in sync
//! ([`bc_core::status::SyncStatus::in_sync`]), and the part begins anew after a wait that doubles from one time to the
//! next. Once it has run for a minute it is relied upon again.
//!
//! A part need not look whether its node closes: once the ports and what has to come to its end have ended, each other
//! part is broken off where it waits.
//!
//! A part is made anew from what its start function owns: whatever it had learned is gone, and locks that it held are
//! taken over by whoever needs them next, as everywhere in this program.

use std::{
    any::Any,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    thread,
    time::Duration,
};

use bc_core::{
    basics::{Error, Kind, Shortage},
    status::{StatusBoard, report::one_line},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, error, info};

pub(crate) use self::under_way::PartThreads;
use self::under_way::{PartWork, UnderWay};
use super::{Assembly, log};

/// A part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// One word or two, for topics and reports.
    pub(crate) name: &'static str,
    /// What it does: completes "the part of this node that".
    pub(crate) does: &'static str,
}

/// How long the supervisor waits before it starts a part again, and until it relies on one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestartWaits {
    /// Wait before a part is started again for the first time; it doubles from then on.
    pub(crate) first: Duration,
    /// Longest such wait.
    pub(crate) longest: Duration,
    /// Time that a part has to run before it is relied upon again.
    pub(crate) proven: Duration,
    /// Time without any progress of a part that is watched for that, until it is given up.
    pub(crate) hangs: Duration,
}

impl Default for RestartWaits {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            proven: Duration::from_secs(60),
            hangs: Duration::from_secs(30),
        }
    }
}

/// Starts parts and watches over them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor {
    runtime: Handle,
    board: Arc<StatusBoard>,
    dispatch: Dispatch,
    stop: CancellationToken,
    restart_waits: RestartWaits,
    /// Whether its parts touch files, so that each has a thread to itself.
    touches_files: bool,
    threads: Arc<PartThreads>,
    #[cfg(test)]
    provoked: Arc<provoke::Provoked>,
}

impl Supervisor {
    /// Makes the supervisor of the parts of this node, which run on `runtime`.
    pub(crate) fn new(assembly: &Assembly, runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            board: Arc::clone(&assembly.board),
            dispatch: assembly.dispatch.clone(),
            stop: assembly.stop.clone(),
            restart_waits: assembly.restart_waits,
            touches_files: true,
            threads: Arc::default(),
            #[cfg(test)]
            provoked: Arc::clone(&assembly.provoked),
        }
    }

    /// Makes the supervisor of the parts that answer, touch no file, and run on another runtime.
    pub(crate) fn of_answers(&self, runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            touches_files: false,
            ..self.clone()
        }
    }

    /// The threads of a supervisor's parts, for whoever closes the node.
    pub(crate) fn threads(&self) -> Arc<PartThreads> {
        Arc::clone(&self.threads)
    }

    /// The runtime on which a part may start tasks of its own that end with it.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs the part that `start` makes until the node closes, and makes it anew whenever it ends before. The returned
    /// task ends with the node, once the part has ended.
    pub(crate) fn supervise<F>(&self, part: Part, start: impl FnMut() -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output: Into<End> + Send> + Send + 'static,
    {
        self.supervise_with(part, start, std::future::pending)
    }

    /// Runs a part as `supervise` does; while it is down, what `meanwhile` makes runs in its place. Where that ends,
    /// the part is started at once.
    pub(crate) fn supervise_with<F, M>(
        &self,
        part: Part,
        mut start: impl FnMut() -> F + Send + 'static,
        mut meanwhile: impl FnMut() -> M + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output: Into<End> + Send> + Send + 'static,
        M: Future<Output = ()> + Send + 'static,
    {
        if self.touches_files {
            self.threads.need_one();
        }
        let start: Start = Box::new(move || {
            let work = start();
            Box::pin(async { work.await.into() })
        });
        let meanwhile: Meanwhile = Box::new(move || Box::pin(meanwhile()));
        let hangs: Hangs = Box::new(|| Box::pin(std::future::pending()));
        self.runtime.spawn(self.clone().watch(part, start, meanwhile, hangs))
    }

    /// Runs a part as `supervise` does, on a thread of its own named `name`: `start` makes the work and what ends it
    /// soon.
    pub(crate) fn supervise_thread<W, E>(
        &self,
        part: Part,
        name: &'static str,
        mut start: impl FnMut() -> (W, E) + Send + 'static,
    ) -> JoinHandle<()>
    where
        W: FnOnce() + Send + 'static,
        E: FnOnce() + Send + 'static,
    {
        self.threads.need_one();
        let (dispatch, stop) = (self.dispatch.clone(), self.stop.clone());
        self.supervise(part, move || {
            let (work, end) = start();
            on_thread(name, dispatch.clone(), work, end, stop.clone())
        })
    }

    /// Runs the part that `start` makes until it is done, and makes it anew only where it failed.
    pub(crate) fn supervise_until_done<F>(
        &self,
        part: Part,
        mut start: impl FnMut() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.supervise(part, move || until_stopped(start(), stop.clone()))
    }

    /// Runs a part as `supervise_until_done` does, and makes it anew too where what `hangs` makes comes to an end before it
    /// is done: that says how the part hangs. A part that is stuck for good is left behind.
    pub(crate) fn supervise_watched<F, H>(
        &self,
        part: Part,
        mut start: impl FnMut() -> F + Send + 'static,
        mut hangs: impl FnMut() -> H + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
        H: Future<Output = String> + Send + 'static,
    {
        self.threads.need_one();
        let stop = self.stop.clone();
        let start: Start = Box::new(move || {
            let work = until_stopped(start(), stop.clone());
            Box::pin(async {
                work.await;
                ().into()
            })
        });
        let meanwhile: Meanwhile = Box::new(|| Box::pin(std::future::pending()));
        let hangs: Hangs = Box::new(move || Box::pin(hangs()));
        self.runtime.spawn(self.clone().watch(part, start, meanwhile, hangs))
    }

    /// Runs a part again and again until the node stops, and waits in between.
    async fn watch(self, part: Part, mut start: Start, mut meanwhile: Meanwhile, mut hangs: Hangs) {
        let mut failures = 0;
        loop {
            let end = tokio::select! {
                end = self.run(part, &mut start, &mut failures) => end,
                how = hangs() => End::Mistake(how),
            };
            if self.stop.is_cancelled() {
                return;
            }
            failures += 1;
            self.tell(part, failures, &end);
            let doubled = self.restart_waits.first * 2_u32.saturating_pow((failures - 1).min(16));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(doubled.min(self.restart_waits.longest)) => {}
                () = meanwhile() => {}
            }
        }
    }

    /// Runs a part of the node once, and says how it ended.
    async fn run(&self, part: Part, start: &mut Start, failures: &mut u32) -> End {
        let work = match panic::catch_unwind(AssertUnwindSafe(&mut *start)) {
            Ok(work) => work,
            Err(panic) => return End::Mistake(words(&*panic)),
        };
        #[cfg(test)]
        let work: PartWork = Box::pin(self.provoked.open_to(part.name, work));
        // A panic ends that part alone.
        let mut under_way = if self.touches_files {
            UnderWay::on_a_thread(&self.runtime, &self.dispatch, &self.threads, work)
        } else {
            UnderWay::on_workers(&self.runtime, work)
        };
        if *failures > 0 {
            match timeout(self.restart_waits.proven, under_way.end()).await {
                Ok(end) => return end,
                Err(_) => {
                    *failures = 0;
                    info!("the part of this node that {} runs again", part.does);
                    self.board.part_runs(part.name);
                }
            }
        }
        under_way.end().await
    }

    /// Says on the board that a part of the node has failed.
    fn tell(&self, part: Part, failures: u32, end: &End) {
        let times = if failures == 1 {
            String::new()
        } else {
            format!(" {failures} times")
        };
        let (does, proven) = (part.does, self.restart_waits.proven.as_secs());
        let message = match end {
            End::Mistake(how) => format!(
                "the part of this node that {does} has failed{times}: {how}. It is started again after a while, and is \
                 not relied upon before it has run for {proven} s. This is a mistake in the program: report it with the \
                 lines of the log before this one."
            ),
            // The same message each time.
            End::NoThread => {
                let shortage = Shortage::Threads;
                format!(
                    "the part of this node that {does} does not run: {shortage}. {} It is tried again, and is not relied \
                     upon before it has run for {proven} s.",
                    shortage.advice()
                )
            }
        };
        if self.board.part_failed(part.name, message.as_str()) {
            error!("{message}");
        }
    }
}

/// How a part ended although its node goes on.
#[derive(Debug)]
pub(crate) enum End {
    /// By a mistake of ours, and what is known of it.
    Mistake(String),
    /// It got no thread, and has done nothing.
    NoThread,
}

impl From<()> for End {
    fn from((): ()) -> Self {
        End::Mistake("it came to an end although this node goes on".to_owned())
    }
}

/// Makes the work of a part, each time anew.
type Start = Box<dyn FnMut() -> PartWork + Send>;
/// Makes what runs while a part is down.
type Meanwhile = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Makes what says that a part hangs.
type Hangs = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = String> + Send>> + Send>;

/// Runs the `work` of a part on a thread; its panic becomes that of the caller. Once the node is to stop, `end` is
/// called.
async fn on_thread(
    name: &'static str,
    dispatch: Dispatch,
    work: impl FnOnce() + Send + 'static,
    end: impl FnOnce() + Send,
    stop: CancellationToken,
) -> End {
    let (running, mut ended) = oneshot::channel::<()>();
    let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped when the work is done or has panicked.
        let _running = running;
        log::adopt(&dispatch);
        work();
    });
    let Ok(thread) = started else {
        return End::NoThread;
    };
    tokio::select! {
        _ = &mut ended => {}
        () = stop.cancelled() => {
            end();
            // It says nothing but that it is over.
            drop(ended.await);
        }
    }
    if let Err(panic) = thread.join() {
        panic::resume_unwind(panic);
    }
    ().into()
}

/// Does the work of a part that is then done, and waits for the node to stop: a part that ends before is started again.
async fn until_stopped(work: impl Future<Output = ()>, stop: CancellationToken) {
    work.await;
    stop.cancelled().await;
}

/// Does file work of a part on a thread that may wait for a disk. A panic in it is one of the part that waits for it.
///
/// # Errors
/// Those of the work, and [`Kind::Busy`] where the node closes.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(result) => result,
        Err(Ok(panic)) => panic::resume_unwind(panic),
        Err(Err(_)) => Err(Error::new(Kind::Busy, "the node is being closed", "")),
    }
}

/// What the panic of a part says of itself, in one bounded line.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why");
    one_line(text)
}

#[cfg(test)]
pub(crate) mod provoke;
#[cfg(test)]
mod tests;
mod under_way;
