//! Looks after the store of a standby while nothing else happens: removes generations that are too many, and looks
//! whether live files and kept bytes are still what they were.
//!
//! All live files are looked at every 25 seconds at most, and at once when somebody touches them. What is not as it
//! should be, or cannot be looked at, ends "in sync" until it is right again.
//!
//! It reads; what is to be changed in live files it orders from the puller, which does one thing at a time and rests
//! while GoCD is being released.

use std::{sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    error::Error,
    manifest::Name,
    pull::{PullOrder, TOPIC_DRIFT, live_files},
    status::{Severity, StatusBoard},
    store::{
        Store,
        disk::{DiskStore, Item},
    },
    words,
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{PullerOrders, supervisor::blocking};

/// How often there may be something to do. A store with nothing to do answers at once.
const TICK: Duration = Duration::from_secs(5);
/// Longest time between two looks at all live files, whether or not anybody heard of a change.
const LOOK_WITHIN: Duration = Duration::from_secs(25);
/// Wait before files that could not be mended are tried again because somebody touched something.
const TOUCHED_AGAIN: Duration = Duration::from_secs(5);
/// Reading a whole file for so long means that the disk does not answer.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Files that are named at most.
const NAMED: usize = 5;
/// The board's topic for generations that cannot be removed.
const TOPIC_GENERATIONS: &str = "generations";
/// The board's topic for what is kept and cannot be listed.
const TOPIC_LISTED: &str = "kept files that are read";
/// The board's topic for a set that is half live.
const TOPIC_HALF_LIVE: &str = "half live";
/// The board's topic for kept bytes that cannot be read.
const TOPIC_KEPT: &str = "kept files";

/// Looks after one store.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) store: Arc<DiskStore>,
    pub(crate) puller: PullerOrders,
    /// Told when somebody may have touched live files.
    pub(crate) touched: Arc<Notify>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How often all live files are looked at, [`LOOK_WITHIN`] at most, and how long is said what was mended.
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
        let mut looks = interval(self.reverify.min(LOOK_WITHIN));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = Reading::default();
        let mut found = Found::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.touched.notified() => self.look(&mut found, TOUCHED_AGAIN).await,
                _ = looks.tick() => {
                    self.read_unread(&mut found).await;
                    self.look(&mut found, LOOK_WITHIN).await;
                }
                _ = ticks.tick() => {
                    let half_live = self.blocking(STUCK_AFTER, |store| Ok(store.half_live())).await;
                    self.board.set(TOPIC_HALF_LIVE, Severity::Critical, half_live.unwrap_or_default(), self.clock.now_ms());
                    let tidied = self.blocking(STUCK_AFTER, |store| store.tidy()).await;
                    self.show(TOPIC_GENERATIONS, &tidied);
                    if reading.is_done() {
                        let items = self.blocking(STUCK_AFTER, DiskStore::items).await;
                        self.show(TOPIC_LISTED, &items);
                        let items = items.unwrap_or_default();
                        reading = Reading::new(items, tick.as_secs_f64() / self.rehash.as_secs_f64());
                    }
                    for item in reading.next() {
                        self.read(&mut found, item).await;
                    }
                }
            }
        }
    }

    /// Looks at all live files: what is not as it should be ends "in sync", and is ordered to be mended; not before
    /// `again` has passed where that has just failed.
    async fn look(&self, found: &mut Found, again: Duration) {
        let looked = self.blocking(LOOK_WITHIN, |store| store.altered()).await;
        found.unseen = looked.as_ref().err().map(ToString::to_string);
        self.show_unseen(found);
        let Ok(altered) = looked else { return };
        live_files::show_altered(&self.board, &altered, self.clock.now_ms());
        if altered.is_empty() {
            found.ordered = Ordered::default();
            self.forget_drift(found);
        } else {
            let has_failed = self.board.look(|status| {
                let mut problems = status.problems.iter();
                problems.any(|problem| problem.topic == TOPIC_DRIFT && problem.severity == Severity::Critical)
            });
            if !has_failed {
                found.ordered = Ordered::default();
            }
            if found.ordered.is_due(&altered, again, self.reverify) && !self.order(Vec::new()) {
                found.ordered = Ordered::default();
            }
        }
    }

    /// Reads one file whole.
    async fn read(&self, found: &mut Found, item: Item) {
        let read = {
            let item = item.clone();
            self.blocking(STUCK_AFTER, move |store| store.rehash(&item)).await
        };
        found.unread.retain(|(unread, _)| *unread != item);
        match read {
            Ok(suspects) if suspects.is_empty() => {}
            Ok(suspects) => {
                // They are read for it.
                self.look(found, LOOK_WITHIN).await;
                self.order(suspects);
            }
            Err(error) => found.unread.push((item, error.to_string())),
        }
        self.show_unseen(found);
    }

    /// Reads again what could not be read.
    async fn read_unread(&self, found: &mut Found) {
        for (item, _) in found.unread.clone() {
            self.read(found, item).await;
        }
    }

    /// Says whether a puller will hear of it: one that is in the middle of something is not waited for, since nobody
    /// would look meanwhile.
    fn order(&self, suspects: Vec<Name>) -> bool {
        self.puller.try_send(PullOrder::Repair(suspects)).is_ok()
    }

    /// What cannot be looked at or read is not known to be right.
    fn show_unseen(&self, found: &Found) {
        let unread = found.unread.iter().map(|(_, why)| why);
        let all: Vec<String> = found.unseen.iter().chain(unread).take(NAMED).cloned().collect();
        let concerns_live =
            found.unseen.is_some() || found.unread.iter().any(|(item, _)| self.store.concerns_live(item));
        let now = self.clock.now_ms();
        let (unseen, kept) = match words::one_line(&all) {
            Some(message) if concerns_live => (Some(message), None),
            message => (None, message),
        };
        if let Some(message) = &kept
            && self.board.raise(TOPIC_KEPT, Severity::Warning, message.as_str(), now)
        {
            warn!("{message}");
        }
        if kept.is_none() {
            self.board.clear(TOPIC_KEPT);
        }
        let shown = unseen
            .clone()
            .map(|why| format!("{why} Until then this standby is not in sync."));
        if live_files::show_unseen(&self.board, shown, now) {
            warn!("{}", unseen.unwrap_or_default());
        }
    }

    /// What was undone is said for a while.
    fn forget_drift(&self, found: &mut Found) {
        let said = self.board.look(|status| {
            let problem = status.problems.iter().find(|problem| problem.topic == TOPIC_DRIFT)?;
            Some((problem.severity, problem.message.clone()))
        });
        let Some((severity, said)) = said else {
            found.drift = None;
            return;
        };
        if severity == Severity::Critical {
            // It could not be mended, and is as it should be all the same.
            found.drift = None;
            return self.board.clear(TOPIC_DRIFT);
        }
        match &found.drift {
            Some((known, since)) if *known == said => {
                if since.elapsed() >= self.reverify {
                    self.board.clear(TOPIC_DRIFT);
                    found.drift = None;
                }
            }
            _ => found.drift = Some((said, Instant::now())),
        }
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

    /// Does file work. Once it takes longer than `usual`, nobody knows whether the live files are right.
    async fn blocking<T: Send + 'static>(
        &self,
        usual: Duration,
        work: impl FnOnce(&DiskStore) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        let working = blocking(move || work(&store));
        tokio::pin!(working);
        if let Ok(result) = timeout(usual, &mut working).await {
            return result;
        }
        let message = format!(
            "the live files on this server have not been looked at for {} s, since the disk is slow or does not answer. See \
             that all folders of this server can be read. Until then this standby is not in sync.",
            usual.as_secs()
        );
        if live_files::show_unseen(&self.board, Some(message.clone()), self.clock.now_ms()) {
            warn!("{message}");
        }
        working.await
    }
}

/// What a keeper has found and goes on with.
#[derive(Default)]
struct Found {
    /// Why the live files cannot be looked at.
    unseen: Option<String>,
    /// What could not be read whole, and why.
    unread: Vec<(Item, String)>,
    ordered: Ordered,
    /// What was said of what was undone, and since when there has been nothing new to say.
    drift: Option<(String, Instant)>,
}

/// What was ordered to be mended.
#[derive(Default)]
struct Ordered {
    names: Vec<Name>,
    last: Option<Instant>,
    times: u32,
}

impl Ordered {
    /// Whether these files are to be mended now: at once where others are among them, again after a while where it did
    /// not help, since each try keeps aside what it overwrites.
    fn is_due(&mut self, altered: &[Name], again: Duration, longest: Duration) -> bool {
        if self.names != altered {
            *self = Self {
                names: altered.to_vec(),
                ..Self::default()
            };
        }
        let wait = if again < LOOK_WITHIN {
            again
        } else {
            (again * 2_u32.saturating_pow(self.times.saturating_sub(1).min(16))).min(longest)
        };
        let is_due = self.last.is_none_or(|last| last.elapsed() >= wait);
        if is_due {
            self.last = Some(Instant::now());
            self.times += 1;
        }
        is_due
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
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_mended_is_tried_less_and_less_often_and_something_new_at_once() {
        let longest = Duration::from_secs(600);
        let (one, two) = (vec![Name::CruiseConfig], vec![Name::CruiseConfig, Name::CipherAes]);
        let mut ordered = Ordered::default();
        let mut tries = Vec::new();
        for seconds in 0..400 {
            if ordered.is_due(&one, LOOK_WITHIN, longest) {
                tries.push(seconds);
            }
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(tries, [0, 25, 75, 175, 375]);
        assert!(ordered.is_due(&two, LOOK_WITHIN, longest));
        assert!(!ordered.is_due(&two, LOOK_WITHIN, longest));
        advance(TOUCHED_AGAIN).await;
        assert!(
            ordered.is_due(&two, TOUCHED_AGAIN, longest),
            "somebody may have made room for it"
        );
    }

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
