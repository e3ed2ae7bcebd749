//! The request to end: SIGINT or SIGTERM.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::failure::Failure;

/// Whether somebody has asked this process to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes SIGINT and SIGTERM over, as the request that the process end. Must be called before any other thread is
    /// started: threads inherit which signals they leave to the one that waits here. Once asked, the process ends
    /// within bounded time, whatever hangs in it: it survives that as it survives a power cut. On Windows nothing is
    /// taken over: Ctrl-C ends the process at once.
    ///
    /// # Errors
    /// The operating system gives no thread. Nothing is taken over then.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let stop = Self(Arc::default());
        #[cfg(unix)]
        unix::take_over(Arc::clone(&stop.0))?;
        Ok(stop)
    }

    /// Whether the process was asked to end.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(unix)]
mod unix {
    use std::{
        thread::{self, sleep},
        time::Duration,
    };

    use bc_core::basics::Shortage;
    use nix::sys::signal::{SigSet, Signal};

    use super::{Arc, AtomicBool, Failure, Ordering};
    use crate::{exit_code::ExitCode, output};

    /// A node that closes takes a few seconds at most; more than this only where something hangs.
    const ENDS_WITHIN: Duration = Duration::from_secs(20);

    /// Waits for SIGINT or SIGTERM on a thread, and ends the process where it then hangs.
    pub(super) fn take_over(requested: Arc<AtomicBool>) -> Result<(), Failure> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().expect("these signals can be blocked");
        let wait = move || {
            signals.wait().expect("a set of valid signals can be waited for");
            requested.store(true, Ordering::SeqCst);
            sleep(ENDS_WITHIN);
            output::say("asked to end, and something hangs: this process ends without waiting for it\n");
            std::process::exit(ExitCode::Failed.number().into());
        };
        let started = thread::Builder::new().name("bc-signals".to_owned()).spawn(wait);
        started.map(drop).map_err(|_| {
            signals.thread_unblock().expect("these signals can be blocked");
            Failure::from(Shortage::Threads.error("wait for signals"))
        })
    }
}
