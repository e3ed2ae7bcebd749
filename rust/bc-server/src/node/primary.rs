//! Reads the folders on a thread of its own and offers what it finds.
//!
//! A hint of the operating system or the interval wakes it; a configuration or cipher that is being written is read
//! again within milliseconds, and the former generation stays on offer meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bc_core::{
    basics::{Error, Severity, words},
    generation::{Acceptance, withheld},
    gocd::version,
    primary::{
        Offer,
        scan::{Options, Reading, SAY_AFTER, Scanner, retry_after, snapshot::Snapshot, watch::Hints},
    },
    status::{Status, StatusBoard, Topic, concerns::PART_SCAN, files},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Assembly, hints,
    supervisor::{Part, Supervisor},
};

/// Wait after an error before the folders are read again, or the ledger is written again.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// And while GoCD has not accepted the configuration yet.
const WHILE_PENDING: Duration = Duration::from_secs(1);

/// Starts reading the primary's folders and offering what is found, on a thread of its own that ends with what is
/// returned.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) -> Result<(Arc<Offer>, JoinHandle<()>), Error> {
    let interval = assembly.settings.file_check_interval;
    let layout = assembly.settings.layout.clone();
    let offer = Offer::new(
        Arc::clone(&assembly.state),
        assembly.gocd_version.clone(),
        interval.as_millis() as u64,
    )?;
    let offer = Arc::new(offer.of(&layout).by(&assembly.run));
    let (offered, hints_of) = (Arc::clone(&offer), assembly.hints);
    let (board, clock, stop) = (
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.clock),
        assembly.stop.clone(),
    );
    let accept_wait = assembly.settings.accept_wait;
    let cache_file = assembly.state.path().join("digests.json");
    let mounts_file = assembly.state.path().join("mounts.json");
    let include_des_cipher = assembly.gocd_version.as_deref().is_some_and(version::has_des_cipher);
    let part = Part {
        name: PART_SCAN,
        does: "reads this server's files, so that newer changes reach no standby,",
    };
    let reading = supervisor.supervise_thread(part, "bc-scan", move || {
        let hints = hints_of(&layout);
        let waker = hints.waker();
        let stopped = Arc::new(AtomicBool::new(false));
        let options = Options {
            stopped: Arc::clone(&stopped),
            include_des_cipher,
            accepted_config: offered.accepted_config(),
            cache_file: Some(cache_file.clone()),
            mounts_file: Some(mounts_file.clone()),
        };
        let scan_loop = ScanLoop {
            scanner: Scanner::new(layout.clone(), options, Arc::clone(&clock)),
            hints,
            interval,
            accept_wait,
            offer: Arc::clone(&offered),
            board: Arc::clone(&board),
            stop: stop.clone(),
        };
        let end = move || {
            stopped.store(true, Ordering::Relaxed);
            waker.wake();
        };
        (move || scan_loop.run(), end)
    });
    Ok((offer, reading))
}

/// Reads and offers until the node stops, on the thread `bc-scan`.
struct ScanLoop {
    scanner: Scanner,
    hints: Box<dyn Hints>,
    interval: Duration,
    accept_wait: Duration,
    offer: Arc<Offer>,
    board: Arc<StatusBoard>,
    stop: CancellationToken,
}

impl ScanLoop {
    /// Reads the primary's folders and offers what is found, until the node stops.
    fn run(mut self) {
        let mut unstable = 0;
        let mut caught_up = Instant::now();
        while !self.stop.is_cancelled() {
            let wait = match self.scanner.scan(&mut *self.hints) {
                Ok(Reading::Ready(snapshot)) => {
                    unstable = 0;
                    let again = snapshot.read_again.unwrap_or(self.interval);
                    // Nobody tells when GoCD accepts it.
                    let accepted = match snapshot.acceptance {
                        Acceptance::Pending => WHILE_PENDING,
                        Acceptance::Accepted | Acceptance::Unknown => self.interval,
                    };
                    self.offer(*snapshot);
                    self.interval.min(again).min(accepted)
                }
                Ok(Reading::Unstable { name, reason }) => {
                    let wait = retry_after(unstable);
                    unstable += 1;
                    if unstable == SAY_AFTER {
                        let message = format!(
                            "{name} {reason}; the standby keeps the version before it. Save it again on this server."
                        );
                        warn!("{message}");
                        self.board.raise(&Topic::Scan, Severity::Warning, message);
                    }
                    wait
                }
                Err(problem) => {
                    self.fail(&problem);
                    AFTER_ERROR
                }
            };
            if caught_up.elapsed() >= AFTER_ERROR {
                self.offer.catch_up();
                caught_up = Instant::now();
            }
            let wait = if self.show_unwritten() {
                wait.min(AFTER_ERROR)
            } else {
                wait
            };
            hints::show(&*self.hints, &self.board);
            // A hint during the wait means a change; the end of the wait means a regular reading.
            self.hints.wait(wait);
        }
    }

    /// Says on the board why the primary's ledger cannot be written; returns whether that is so.
    fn show_unwritten(&self) -> bool {
        let problem = self.offer.unwritten().map(|unwritten| unwritten.message());
        let is_unwritten = problem.is_some();
        self.board.alarm(&Topic::Ledger, problem);
        is_unwritten
    }

    /// Offers the snapshot that was read of the primary's folders, and then says so: a standby is waiting.
    fn offer(&self, snapshot: Snapshot) {
        self.offer.note_database(self.board.look(Status::database_position));
        self.offer.note_looking(self.board.look(Status::gocd_looks_since_ms));
        let published = self.offer.publish(snapshot);
        if published.is_ok() {
            self.board.clear(&Topic::Scan);
        }
        let Some(offered) = self.offer.current() else {
            return published.map_or_else(|problem| self.fail(&problem), drop);
        };
        let (snapshot, generation) = (&offered.snapshot, offered.generation());
        let warnings = words::one_line(&snapshot.warnings);
        self.board.set(&Topic::Files, Severity::Warning, warnings);
        let withheld = withheld::primary_warning(&snapshot.withheld_lines);
        let severity = snapshot.manifest.withheld.severity();
        self.board.warn(&Topic::Withheld, severity, withheld);
        let pending = files::overdue_acceptance(&self.offer.envelope(&offered, self.board.now_ms()), self.accept_wait);
        self.board.set(&Topic::Acceptance, Severity::Warning, pending);
        match published {
            Ok(true) => info!(generation = %generation.id, sequence = generation.sequence, "offering"),
            Ok(false) => {}
            Err(problem) => self.fail(&problem),
        }
        let (files, own_jars) = (files::offered(&snapshot.manifest), files::own_jars(&snapshot.own_jars));
        self.board.update(|status| {
            status.scanned_ms = Some(snapshot.scanned_ms);
            status.generation = Some(generation);
            status.files = files;
            status.withhold(snapshot.manifest.withheld.clone());
            status.own_jars = own_jars;
        });
    }

    /// Says on the board why the primary's folders could not be read.
    fn fail(&self, problem: &Error) {
        self.board.alarm(&Topic::Scan, Some(problem.to_string()));
    }
}

#[cfg(test)]
mod tests;
