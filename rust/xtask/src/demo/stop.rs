//! Being asked to end: Ctrl-C, SIGTERM, or a terminal that goes away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether we were asked to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes the signals over: from now on they only set this flag.
    pub(crate) fn on_signals() -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0)).context("cannot register for signals")?;
        }
        Ok(stop)
    }

    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks to end, as a signal does.
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Sleeps, but not beyond a request to end.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.requested() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20).min(time));
        }
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// It does not hold in time, it fails, or we are asked to end.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            ensure!(!self.requested(), "interrupted while waiting until {what}");
            if condition().with_context(|| format!("while waiting until {what}"))? {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("waited {} s in vain until {what}", limit.as_secs());
            }
            self.sleep(Duration::from_millis(50));
        }
    }
}
