//! Counts and tells whom our ports turn away.
//!
//! Every rejection is counted on the status board. What the log says of them [`bc_core::burst`] decides; the
//! credentials themselves never come here.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bc_core::{burst::Bursts, counters::Rejection, status::StatusBoard, words};
use tokio::time::{Instant, sleep_until};

/// As much of what a stranger did is said, in characters.
const LONGEST_DETAIL: usize = 300;

/// Where a node notes its rejections. Clones write into the same log.
#[derive(Debug, Clone)]
pub struct RejectionLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    board: Arc<StatusBoard>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bursts: Bursts,
    /// Whether a task waits to say summaries. There is none while nobody is turned away.
    is_waiting: bool,
}

impl RejectionLog {
    /// A log that counts on `board`.
    pub fn new(board: Arc<StatusBoard>) -> Self {
        Self {
            inner: Arc::new(Inner {
                board,
                state: Mutex::default(),
            }),
        }
    }

    /// Notes that somebody connected.
    pub fn connected(&self) {
        self.inner.board.count(|counters| counters.connections += 1);
    }

    /// Notes that somebody was turned away. Runs on a tokio runtime.
    pub fn note(&self, rejection: Rejection, address: IpAddr) {
        self.note_with(rejection, address, "");
    }

    /// The same, with what the log says besides when it says it at once. Never a secret.
    pub fn note_with(&self, rejection: Rejection, address: IpAddr, detail: impl fmt::Display) {
        self.inner.board.count(|counters| counters.rejections.add(rejection));
        let mut state = self.inner.state();
        let is_said = state.bursts.note(rejection, address, Instant::now());
        if !state.is_waiting {
            state.is_waiting = true;
            tokio::spawn(Arc::clone(&self.inner).say_summaries());
        }
        drop(state);
        let address = address.to_canonical();
        let detail = words::shown(&detail.to_string(), LONGEST_DETAIL);
        let separator = if detail.is_empty() { "" } else { ": " };
        if is_said {
            tracing::warn!("turned away {address}: {rejection}{separator}{detail}");
        } else {
            tracing::debug!("turned away {address}: {rejection}{separator}{detail}");
        }
    }

    /// Notes that right credentials came.
    pub fn admitted(&self, address: IpAddr) {
        self.inner.state().bursts.admitted(address);
    }
}

/// The task that says summaries: one that panics makes room for the next.
struct Saying<'a>(&'a Inner);

impl Drop for Saying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().is_waiting = false;
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends with the last burst.
    async fn say_summaries(self: Arc<Self>) {
        let _saying = Saying(&self);
        loop {
            let next = {
                let mut state = self.state();
                let next = state.bursts.next_due();
                state.is_waiting = next.is_some();
                next
            };
            let Some(next) = next else { return };
            sleep_until(next).await;
            let summaries = self.state().bursts.due(Instant::now());
            for summary in summaries {
                tracing::warn!("{summary}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bc_core::{
        event::{Event, Events},
        manifest::Role,
        status::{Phase, Status},
    };
    use tracing::Level;

    use super::*;
    use crate::node::log;

    #[tokio::test(start_paused = true)]
    async fn every_rejection_is_counted_and_said_once_a_burst() {
        let events = Arc::new(Events::default());
        let _guard = tracing::dispatcher::set_default(&log::dispatch(Arc::clone(&events), Level::INFO));
        let board = Arc::new(StatusBoard::new(Status::new("node", Role::Primary, Phase::Running, 0)));
        let log = RejectionLog::new(Arc::clone(&board));
        for _ in 0..18 {
            log.note(Rejection::WrongCredentials, IpAddr::from([10, 0, 0, 5]));
        }
        log.note_with(Rejection::Handshake, IpAddr::from([10, 0, 0, 6]), "no common version");
        tokio::time::sleep(Duration::from_secs(200)).await;
        let mut said = Vec::new();
        while let Some(Event::Log { message, .. }) = events.next(Duration::ZERO) {
            said.push(message);
        }
        assert_eq!(
            said,
            [
                "turned away 10.0.0.5: wrong credentials",
                "turned away 10.0.0.6: no TLS: no common version",
                "turned away 10.0.0.5, 17 more times within a minute: wrong credentials",
            ]
        );
        let counted = board.picture(0).counters.rejections;
        assert_eq!(counted.of(Rejection::WrongCredentials), 18);
        assert_eq!(counted.total(), 19);
        assert!(!log.inner.state().is_waiting, "nothing waits once all bursts are over");
    }
}
