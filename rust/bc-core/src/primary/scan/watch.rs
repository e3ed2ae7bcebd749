//! Hints that a synced file may have changed.
//!
//! A hint only makes the next reading come sooner; what is missed here is found by the regular one at
//! `bc.file.status.check.interval`. On Linux hints come from inotify; elsewhere there are none. No thread is made:
//! whoever reads the files waits here in between.
//!
//! Begin to watch before the first reading, or a change between the two is seen late. What cannot be watched is tried
//! again by itself.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use crate::{basics::lock, generation::Layout};

#[cfg(target_os = "linux")]
mod folders;
#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "linux")]
mod writers;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Something may have changed: read now.
    Changed,
    /// Nothing was heard for the whole time.
    Quiet,
    /// Somebody called [`Waker::wake`].
    Woken,
}

/// Who writes a file, as far as somebody tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writer {
    /// Nobody tells: only time shows whether it is done.
    #[default]
    Unknown,
    /// Somebody has written into it, and has not closed it yet.
    AtWork,
    /// Whoever wrote it last has closed it, or has moved it to where it is.
    Done,
}

/// A source of hints.
pub trait Hints: Send {
    /// Waits for a hint that a file has changed, `timeout` at most.
    fn wait(&mut self, timeout: Duration) -> Hint;

    /// The waker that ends a wait for hints from another thread.
    fn waker(&self) -> Waker;

    /// Why changes are only found by regular reading, where that is so; to be shown as a warning.
    fn problem(&self) -> Option<String>;

    /// What is known at this moment of who writes a jar of the plugin folder, or the file that a link there leads to.
    fn writer(&mut self, _jar: &Path) -> Writer {
        Writer::Unknown
    }

    /// A number that grows with each jar that comes, goes or changes. None where there are no hints.
    fn heard_of_jars(&mut self) -> Option<u64> {
        None
    }
}

/// Ends a wait: the one that is going on, or else the next one.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker for whoever waits for hints, which does this.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Wakes whoever waits for hints.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// The best source of hints that this machine has for the files of `layout`.
pub fn watch(layout: &Layout) -> Box<dyn Hints> {
    #[cfg(target_os = "linux")]
    return Box::new(inotify::Watcher::new(layout));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = layout;
        Box::new(Interval::default())
    }
}

/// No hints: only waits.
#[derive(Debug, Default)]
pub struct Interval {
    woken: Arc<(Mutex<bool>, Condvar)>,
}

impl Hints for Interval {
    fn wait(&mut self, timeout: Duration) -> Hint {
        let (woken, changed) = &*self.woken;
        let guard = lock(woken);
        let (mut guard, _) = changed
            .wait_timeout_while(guard, timeout, |woken| !*woken)
            .unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *guard) {
            Hint::Woken
        } else {
            Hint::Quiet
        }
    }

    fn waker(&self) -> Waker {
        let shared = Arc::clone(&self.woken);
        Waker::new(move || {
            let (woken, changed) = &*shared;
            *lock(woken) = true;
            changed.notify_all();
        })
    }

    fn problem(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_interval_can_be_woken_before_and_while_it_waits() {
        let mut interval = Interval::default();
        let waker = interval.waker();
        waker.wake();
        assert_eq!(interval.wait(Duration::from_secs(60)), Hint::Woken);
        assert_eq!(interval.wait(Duration::from_millis(5)), Hint::Quiet);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert_eq!(interval.wait(Duration::from_secs(60)), Hint::Woken);
        });
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
