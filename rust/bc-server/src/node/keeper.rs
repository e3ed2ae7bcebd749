//! Looks after the store of a standby while nothing else happens: removes generations that are too many, and looks
//! whether live files and kept bytes are still what they were.
//!
//! It reads; what is to be changed in live files it orders from the puller, which does one thing at a time and rests
//! while GoCD is being released.

use std::{sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    error::Error,
    pull::{PullOrder, TOPIC_DRIFT},
    status::{Severity, StatusBoard},
    store::disk::{DiskStore, Item},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::PullerOrders;

/// How often there may be something to do. A store with nothing to do answers at once.
const TICK: Duration = Duration::from_secs(5);
/// The board's topic for generations that cannot be removed.
const TOPIC_GENERATIONS: &str = "generations";
/// The board's topic for files that cannot be looked at.
const TOPIC_VERIFY: &str = "verify";

/// Looks after one store.
pub(crate) struct Keeper {
    pub(crate) store: Arc<DiskStore>,
    pub(crate) puller: PullerOrders,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How often all live files are looked at.
    pub(crate) reverify: Duration,
    /// Within what time everything is read once.
    pub(crate) rehash: Duration,
}

impl Keeper {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let tick = TICK.min(self.reverify).min(self.rehash);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        let mut reading = Reading::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let tidied = self.blocking(|store| store.tidy()).await;
            self.show(TOPIC_GENERATIONS, &tidied);
            if looked.elapsed() >= self.reverify {
                looked = Instant::now();
                self.look().await;
            }
            if reading.is_done() {
                let items = self.blocking(|store| Ok(store.items())).await.unwrap_or_default();
                reading = Reading::new(items, tick.as_secs_f64() / self.rehash.as_secs_f64());
            }
            for item in reading.next() {
                let read = self.blocking(move |store| store.rehash(&item)).await;
                match read {
                    Ok(suspects) if !suspects.is_empty() => self.order(suspects).await,
                    read => self.show(TOPIC_VERIFY, &read),
                }
            }
        }
    }

    async fn look(&self) {
        let found = self.blocking(|store| store.look()).await;
        self.show(TOPIC_VERIFY, &found);
        match found {
            Ok(drifted) if drifted.is_empty() => self.board.clear(TOPIC_DRIFT),
            Ok(drifted) => self.order(drifted).await,
            Err(_) => {}
        }
    }

    /// A puller that is gone ends with the node.
    async fn order(&self, suspects: Vec<bc_core::manifest::Name>) {
        drop(self.puller.send(PullOrder::Repair(suspects)).await);
    }

    fn show<T>(&self, topic: &str, result: &Result<T, Error>) {
        let Err(error) = result else {
            return self.board.clear(topic);
        };
        let message = error.to_string();
        let now = self.clock.now_ms();
        // It is tried at each tick, and said when it is news.
        if self.board.raise(topic, Severity::Warning, message.as_str(), now) {
            warn!("{message}");
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DiskStore) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                bc_core::error::Kind::Busy,
                "the store could not be looked after",
                "",
            )),
        }
    }
}

/// Files that are read one after the other, so many at each tick that all are read in their time.
#[derive(Debug, Default)]
struct Reading {
    left: Vec<Item>,
    each_tick: f64,
    due: f64,
}

impl Reading {
    /// `part` is the part of the whole time that one tick takes.
    fn new(items: Vec<Item>, part: f64) -> Self {
        Self {
            each_tick: items.len() as f64 * part,
            left: items,
            due: 0.0,
        }
    }

    fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    fn next(&mut self) -> Vec<Item> {
        self.due += self.each_tick;
        let now = (self.due as usize).min(self.left.len());
        self.due -= now as f64;
        self.left.split_off(self.left.len() - now)
    }
}

#[cfg(test)]
mod tests {
    use bc_core::manifest::Name;

    use super::*;

    #[test]
    fn all_is_read_in_its_time_and_a_little_at_once() {
        let items = vec![Item::Live(Name::CruiseConfig); 10];
        let mut reading = Reading::new(items, 1.0 / 40.0);
        let mut ticks = 0;
        while !reading.is_done() {
            assert!(reading.next().len() <= 1);
            ticks += 1;
        }
        assert_eq!(ticks, 40);
    }
}
