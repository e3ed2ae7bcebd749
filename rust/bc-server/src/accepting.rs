//! Accepting connections where that may fail for a while.
//!
//! Without a free file descriptor no connection can be accepted, and the kernel says so again as soon as it is asked:
//! each failure is followed by a rest. It is told once, and so is its end.

use std::{future::Future, io, time::Duration};

use bc_core::basics::{Error, Kind, Shortage};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

/// Rest after a failure. Others may be about to give something back.
const REST: Duration = Duration::from_millis(500);
/// A failure is over when none followed for so long, although nobody has connected.
const QUIET: Duration = Duration::from_secs(2);

/// Called with the reason why nobody can connect, and with none once that is over.
pub(crate) type Tell = Box<dyn Fn(Option<&Error>) + Send + Sync>;

/// Accepts, and tells where that fails.
pub(crate) struct Accepting {
    at: String,
    tell: Tell,
    is_failing: bool,
}

impl Accepting {
    /// Makes what accepts connections at `at`, as a person reads it, and calls `tell` once that fails.
    pub(crate) fn new(at: String, tell: Tell) -> Self {
        Self {
            at,
            tell,
            is_failing: false,
        }
    }

    /// Replaces what an `Accepting` calls once nobody can connect, and once that is over.
    pub(crate) fn telling(self, tell: Tell) -> Self {
        Self { tell, ..self }
    }

    /// Accepts the next connection, and rests after each failure. Cancel-safe where `accept` is.
    pub(crate) async fn next<T, F: Future<Output = io::Result<T>>>(&mut self, accept: impl Fn() -> F) -> T {
        loop {
            let accepted = if self.is_failing {
                timeout(QUIET, accept()).await.ok()
            } else {
                Some(accept().await)
            };
            match accepted {
                Some(Err(error)) => {
                    self.fail(&error);
                    sleep(REST).await;
                }
                Some(Ok(connection)) => {
                    self.work();
                    return connection;
                }
                None => self.work(),
            }
        }
    }

    /// Says once that nobody can connect since the operating system is short of something; else only the log tells.
    fn fail(&mut self, error: &io::Error) {
        let Some(shortage) = Shortage::of(error) else {
            // Somebody has gone again, most likely.
            warn!("cannot accept a connection to {}: {error}", self.at);
            return;
        };
        if !self.is_failing {
            let problem = Error::new(
                Kind::Exhausted,
                format!("nobody can connect to {}: {shortage}", self.at),
                format!("{} It is tried again by itself.", shortage.advice()),
            );
            error!("{problem}");
            (self.tell)(Some(&problem));
        }
        self.is_failing = true;
    }

    /// Says that connections can be accepted again.
    fn work(&mut self) {
        if self.is_failing {
            (self.tell)(None);
        }
        self.is_failing = false;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::time::Instant;

    use super::*;

    fn accepting() -> (Accepting, Arc<Mutex<Vec<Option<String>>>>) {
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let noted = Arc::clone(&told);
        let tell = move |problem: Option<&Error>| noted.lock().expect("no panic").push(problem.map(Error::to_string));
        (Accepting::new("127.0.0.1:8155".to_owned(), Box::new(tell)), told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_is_told_once_and_rested_from_and_its_end_is_told() {
        let (mut accepting, told) = accepting();
        let (asked, begun) = (AtomicU32::new(0), Instant::now());
        let accept = || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0..20 => Err(io::Error::from_raw_os_error(24)),
                number => Ok(number),
            }
        };
        assert_eq!(accepting.next(accept).await, 20);
        assert!(begun.elapsed() >= REST * 20, "it does not ask again and again");
        let told = told.lock().expect("no panic").clone();
        let [Some(problem), None] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(
            problem.starts_with("nobody can connect to 127.0.0.1:8155: this process"),
            "{problem}"
        );
        assert!(
            problem.contains("ulimit -n") && !problem.contains("os error"),
            "{problem}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_also_where_nobody_connects() {
        let (mut accepting, told) = accepting();
        let asked = AtomicU32::new(0);
        let accept = || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => Err(io::Error::from_raw_os_error(23)),
                1 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => std::future::pending::<io::Result<()>>().await,
            }
        };
        drop(timeout(REST * 2 + QUIET * 2, accepting.next(accept)).await);
        assert_eq!(
            told.lock().expect("no panic").len(),
            2,
            "only the shortage is a problem, and it is over"
        );
    }
}
