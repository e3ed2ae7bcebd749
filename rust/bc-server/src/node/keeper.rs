//! Looks after the store of a standby while nothing else happens: removes generations that are too many.

use std::{sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    status::{Severity, StatusBoard},
    store::disk::DiskStore,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often there may be something to clean. A store with nothing to do answers at once.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// The board's topic.
const TOPIC: &str = "generations";

/// Runs until `stop`.
pub(crate) async fn run(
    store: Arc<DiskStore>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut tick = interval(TIDY_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let tidied = {
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || store.tidy()).await
        };
        // A panic is in the log already, and the next round may do better.
        let Ok(tidied) = tidied else { continue };
        if let Err(error) = &tidied {
            warn!("{error}");
        }
        board.set(
            TOPIC,
            Severity::Warning,
            tidied.err().map(|error| error.to_string()),
            clock.now_ms(),
        );
    }
}
