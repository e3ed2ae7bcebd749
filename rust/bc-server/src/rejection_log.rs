//! Counts and tells whom our ports turn away.
//!
//! Every rejection is counted on the status board. What the log says of them [`bc_core::status::burst`] decides; the
//! credentials themselves never come here.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bc_core::{
    basics::{lock, words},
    status::{Rejection, StatusBoard, burst::Bursts},
};
use tokio::time::{Instant, sleep_until};

/// How much of what a stranger did is said, in characters.
const LONGEST_DETAIL: usize = 300;

/// Where a node notes its rejections. Clones write into the same log.
#[derive(Debug, Clone)]
pub struct RejectionLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
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
    /// Makes the log of those who are turned away, which counts on `board`.
    pub fn new(board: Arc<StatusBoard>) -> Self {
        Self {
            shared: Arc::new(Shared {
                board,
                state: Mutex::default(),
            }),
        }
    }

    /// Counts a connection to one of our ports on the board.
    pub fn connected(&self) {
        self.shared.board.count(|counters| counters.connections += 1);
    }

    /// Notes that one of our ports turned somebody away. Runs on a tokio runtime.
    pub fn note(&self, rejection: Rejection, address: IpAddr) {
        self.note_with(rejection, address, "");
    }

    /// Notes that one of our ports turned somebody away, with what the log says besides when it says it at once. Never
    /// a secret.
    pub(crate) fn note_with(&self, rejection: Rejection, address: IpAddr, detail: impl fmt::Display) {
        self.shared.board.count(|counters| counters.rejections.add(rejection));
        let mut state = self.shared.state();
        let is_said = state.bursts.note(rejection, address, Instant::now());
        if !state.is_waiting {
            state.is_waiting = true;
            tokio::spawn(Arc::clone(&self.shared).say_summaries());
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

    /// Notes that right credentials came from an address.
    pub(crate) fn admitted(&self, address: IpAddr) {
        self.shared.state().bursts.admitted(address);
    }
}

/// The task that says summaries: one that panics makes room for the next.
struct Saying<'a>(&'a Shared);

impl Drop for Saying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().is_waiting = false;
        }
    }
}

impl Shared {
    /// The bursts of those who were turned away, locked.
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Says in the log, burst by burst, how many were turned away; ends with the last burst.
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
        basics::SystemClock,
        generation::Role,
        node::{Event, Events},
        status::{Phase, Status},
    };
    use tracing::Level;

    use super::*;
    use crate::node::log;

    #[tokio::test(start_paused = true)]
    async fn every_rejection_is_counted_and_said_once_a_burst() {
        let events = Arc::new(Events::default());
        let _guard = tracing::dispatcher::set_default(&log::dispatch(Arc::clone(&events), Level::INFO));
        let board = Arc::new(StatusBoard::new(
            Status::new("node", Role::Primary, Phase::Running, 0),
            Arc::new(SystemClock),
        ));
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
        let counted = board.picture().counters.rejections;
        assert_eq!(counted.of(Rejection::WrongCredentials), 18);
        assert_eq!(counted.total(), 19);
        assert!(!log.shared.state().is_waiting, "nothing waits once all bursts are over");
    }
}
