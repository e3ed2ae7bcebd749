//! Ends a wait for the kernel, and one without it.

use std::{
    os::fd::AsFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
    sys::eventfd::{EfdFlags, EventFd},
};

use crate::primary::scan::watch::{Hint, Hints, Interval, Waker};

/// Works without a file descriptor, and with one where the kernel is waited for as well.
#[derive(Default)]
pub(super) struct Wake {
    interval: Interval,
    event: Arc<OnceLock<EventFd>>,
}

impl Wake {
    /// Makes the descriptor by which the inotify watcher is woken, where there is none yet.
    pub(super) fn prepare(&self) -> Result<(), Errno> {
        if self.event.get().is_none() {
            let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
            // Only whoever waits makes one.
            let _ = self.event.set(event);
        }
        Ok(())
    }

    /// The descriptor by which the inotify watcher is woken, for waiting, once it is prepared.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let event = self.event.get()?;
        Some(PollFd::new(event.as_fd(), PollFlags::POLLIN))
    }

    /// Whether somebody has woken the inotify watcher since the last time.
    pub(super) fn is_woken(&mut self) -> bool {
        if let Some(event) = self.event.get() {
            // Empty it; the word of the interval counts.
            let _ = event.read();
        }
        self.interval.wait(Duration::ZERO) == Hint::Woken
    }

    /// Waits for somebody who wakes the inotify watcher, and leaves his word to [`Wake::is_woken`].
    pub(super) fn wait(&mut self, timeout: Duration) {
        if self.interval.wait(timeout) == Hint::Woken {
            self.interval.waker().wake();
        }
    }

    /// What wakes the inotify watcher from another thread.
    pub(super) fn waker(&self) -> Waker {
        let (waker, event) = (self.interval.waker(), Arc::clone(&self.event));
        Waker::new(move || {
            // In this order: who waits gets the descriptor first, and looks whether it was woken then.
            waker.wake();
            if let Some(event) = event.get() {
                // It fails only when it was woken almost 2^64 times since the last wait.
                let _ = event.write(1);
            }
        })
    }
}
