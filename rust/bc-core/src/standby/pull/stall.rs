//! Whether a transfer that breaks off gets anywhere.
//!
//! A line may let short answers through and no long ones (a wrong MTU behind a firewall, mostly): then every exchange
//! succeeds and no file ever comes.

use std::time::Duration;

use tokio::time::Instant;

use crate::basics::Severity;

/// Without a byte for so long in an open fetch it is CRITICAL.
const LONGEST: Duration = Duration::from_secs(30);

/// The fetch of a generation that has not come to its end, over as many tries as it takes.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// When bytes last came, or else when the fetch began; none without an open fetch.
    since: Option<Instant>,
    received: u64,
}

impl Stall {
    /// Notes that a fetch begins that may stall, or another try of it; `received` counts the bytes of all files that
    /// ever came.
    pub(super) fn begin(&mut self, received: u64) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.received = received;
        }
    }

    /// Notes that the line broke in a fetch that may stall. Says whether bytes have come since the last time.
    pub(super) fn broke_off(&mut self, received: u64) -> bool {
        let has_progressed = self.since.is_some() && received > self.received;
        if has_progressed {
            self.since = Some(Instant::now());
            self.received = received;
        }
        has_progressed
    }

    /// Notes that the fetch that could stall is over, or that the primary itself does not answer any more.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// How bad it is that a fetch stalls; none without one.
    pub(super) fn severity(&self) -> Option<Severity> {
        let since = self.since?;
        Some(if since.elapsed() >= LONGEST {
            Severity::Critical
        } else {
            Severity::Warning
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_bytes_put_it_off() {
        let mut stall = Stall::default();
        assert_eq!(stall.severity(), None);
        stall.begin(100);
        advance(LONGEST / 2).await;
        stall.begin(100);
        assert!(!stall.broke_off(100));
        assert_eq!(stall.severity(), Some(Severity::Warning));
        assert!(stall.broke_off(101));
        advance(LONGEST / 2).await;
        assert_eq!(stall.severity(), Some(Severity::Warning));
        advance(LONGEST / 2).await;
        assert_eq!(stall.severity(), Some(Severity::Critical));
        stall.end();
        assert_eq!(stall.severity(), None);
    }
}
