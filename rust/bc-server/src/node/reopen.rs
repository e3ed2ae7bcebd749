//! Opens a node again where GoCD runs already: the plugin's node that was a standby by its record, and is promoted.
//!
//! In a held JVM the agent's node closes and the plugin's node opens as what the record says by then; `gocd-bc` does
//! the same. A node inside a running GoCD has nobody to follow it, so it does that itself.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use bc_core::basics::{Error, Kind, Shortage, lock};
use tracing::{Dispatch, error};

use super::{Life, Parts, log};

/// How soon the end of the node is seen.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the state folder may take to be free.
const FREE_WITHIN: Duration = Duration::from_secs(20);

/// The thread that waits for that.
pub(super) struct Reopener {
    thread: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

impl Reopener {
    /// Ends the thread that waits to reopen the node. To be called once the parts are closed.
    pub(super) fn join(self) {
        self.ended.store(true, Ordering::Relaxed);
        // A panic of that thread was printed when it happened.
        drop(self.thread.join());
    }
}

/// Waits to be told through `serve` that the node is promoted, then closes its parts and puts those that `open` makes
/// in their place.
///
/// # Errors
/// The operating system gives no thread.
pub(super) fn start(
    life: Arc<Mutex<Life>>,
    serve: Receiver<()>,
    open: impl Fn() -> Result<Parts, Error> + Send + 'static,
    dispatch: Dispatch,
) -> Result<Reopener, Error> {
    let ended = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&ended);
    let work = move || {
        log::adopt(&dispatch);
        loop {
            match serve.recv_timeout(LOOK_EVERY) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) if !is_over.load(Ordering::Relaxed) => {}
                Err(_) => return,
            }
        }
        if let Err(problem) = reopen(&life, &open) {
            tell(&problem);
        }
    };
    let thread = thread::Builder::new().name("bc-reopen".to_owned()).spawn(work);
    let thread = thread.map_err(|_| Shortage::Threads.error("start a thread of the node"))?;
    Ok(Reopener { thread, ended })
}

/// Closes the parts of the node and opens it again as a primary.
fn reopen(life: &Mutex<Life>, open: &impl Fn() -> Result<Parts, Error>) -> Result<(), Error> {
    let mut life = lock(life);
    let former = match std::mem::replace(&mut *life, Life::Closed) {
        Life::Open(former) => former,
        other => {
            *life = other;
            return Ok(());
        }
    };
    former.close();
    *life = Life::Open(Box::new(open_again(open)?));
    Ok(())
}

/// Looks after the parts of a node that opened late, and returns what is open once `stopped`: reopens the node where it
/// asks for that before.
pub(super) fn look_after(
    mut parts: Parts,
    stopped: &Receiver<()>,
    open: &impl Fn() -> Result<Parts, Error>,
) -> Option<Parts> {
    let Some(serve) = parts.serve.take() else {
        return Some(parts);
    };
    loop {
        match serve.recv_timeout(LOOK_EVERY) {
            Ok(()) => break,
            Err(RecvTimeoutError::Timeout) if stopped.try_recv() == Err(TryRecvError::Empty) => {}
            Err(_) => return Some(parts),
        }
    }
    parts.close();
    open_again(open).inspect_err(tell).ok()
}

/// Says in the log why a node could not be reopened.
fn tell(problem: &Error) {
    error!("CRITICAL this server is the primary now, but its node could not be opened as one: restart it. {problem}");
}

/// Opens the node again, and waits while the state folder is not free yet.
fn open_again(open: &impl Fn() -> Result<Parts, Error>) -> Result<Parts, Error> {
    let end = Instant::now() + FREE_WITHIN;
    loop {
        match open() {
            Err(error) if matches!(error.kind(), Kind::Busy | Kind::Exhausted) && Instant::now() < end => {
                sleep(LOOK_EVERY);
            }
            opened => return opened,
        }
    }
}
