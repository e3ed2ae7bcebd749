//! The request to end: SIGINT or SIGTERM.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether somebody has asked this process to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes the signals over. Must be called before any other thread is started: threads inherit which signals they
    /// leave to the one that waits here. On Windows nothing is taken over: Ctrl-C ends the process at once, which
    /// a node survives as it survives a power cut.
    pub(crate) fn on_signals() -> Self {
        let stop = Self(Arc::default());
        #[cfg(unix)]
        {
            use nix::sys::signal::{SigSet, Signal};

            let mut signals = SigSet::empty();
            signals.add(Signal::SIGINT);
            signals.add(Signal::SIGTERM);
            signals.thread_block().expect("these signals can be blocked");
            let requested = Arc::clone(&stop.0);
            std::thread::Builder::new()
                .name("bc-signals".to_owned())
                .spawn(move || {
                    signals.wait().expect("a set of valid signals can be waited for");
                    requested.store(true, Ordering::SeqCst);
                })
                .expect("a thread can be started");
        }
        stop
    }

    /// Whether it was asked.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
