//! The step of a promotion that waits until a primary has stopped which was ordered to (`--force`): by the epoch that has
//! begun, through its own fence. What counts as stopped is `bc_core::role::stopping`.
//!
//! It is told by the question who it is, and asks back at once ([`crate::node::peer_watch`]).

use std::time::Duration;

use bc_core::{
    basics::Error,
    role::{promotion::Came, stopping::Stopping},
};
use tokio::time::{Instant, sleep};

use super::{Promotion, Way, caller::STILL};

/// How long it may take to be seen to stop: it says that it is fenced within some seconds, and then a whole GoCD ends.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// From one question to the next. For a second it says that GoCD ends.
const PAUSE: Duration = Duration::from_millis(100);

impl Promotion {
    /// Waits until the primary of a promotion by force has stopped, and then until the database has replayed what that one
    /// wrote meanwhile.
    ///
    /// # Errors
    /// It has not been seen to stop, or the database has not replayed that.
    pub(super) async fn stop_other(&self, way: &mut Way) -> Result<Came, Error> {
        let Some(mut stopping) = way.stops.take() else {
            return Ok(Came::Done);
        };
        way.caller
            .tell(&format!("{}: it is ordered to stop", stopping.seen()))
            .await;
        let epoch = way.journal.epoch.as_ref().map_or(0, |epoch| epoch.number);
        self.until_stopped(&mut stopping, way, epoch).await?;
        way.told = Some(true);
        if way.course.cause().is_with_database() {
            self.replay_database(way).await.map_err(|error| {
                Error::new(
                    error.kind(),
                    error.message(),
                    "GoCD has stopped on the other server, and is not started here. Run `gocd-bc promote` here again, with a \
                     longer `--replay-wait` where this takes its time.",
                )
            })?;
        }
        way.caller
            .say("the other primary has stopped, wherever it was seen")
            .await;
        Ok(Came::Done)
    }

    async fn until_stopped(&self, stopping: &mut Stopping, way: &Way, epoch: u64) -> Result<(), Error> {
        let begun = Instant::now();
        let mut told = begun;
        loop {
            // Nothing else is asked before: what it says of its end it does not say for long.
            let mut left = stopping.hear(&self.heard().await);
            if left.is_empty() {
                let (site, locks) = tokio::join!(self.site(), self.locks());
                left = stopping.elsewhere(site.as_ref(), &locks);
            }
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() >= STOPS_WITHIN {
                return Err(stopping.not_seen(epoch, &left, STOPS_WITHIN.as_secs()));
            }
            if told.elapsed() >= STILL / 3 {
                told = Instant::now();
                way.caller.tell(&format!("waiting: {}", left.join("; "))).await;
            }
            sleep(PAUSE).await;
        }
    }
}
