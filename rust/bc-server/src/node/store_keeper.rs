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
    basics::{Error, Severity, words},
    generation::Name,
    standby::{
        pull::{PullOrder, live_files},
        store::disk::{DiskStore, Item},
    },
    status::{StatusBoard, Topic},
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use tracing::warn;

use super::{PullerOrders, supervisor::blocking};

/// How often the keeper looks for something to do. A store with nothing to do answers at once.
const TICK: Duration = Duration::from_secs(5);
/// Longest time between two looks at all live files, whether or not anybody heard of a change.
const LOOK_WITHIN: Duration = Duration::from_secs(25);
/// How long files that could not be mended are left alone although somebody touches live files.
const TOUCHED_AGAIN: Duration = Duration::from_secs(5);
/// Reading a whole file for so long means that the disk does not answer.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Files that are named at most.
const NAMED: usize = 5;

/// Looks after one store.
#[derive(Clone)]
pub(crate) struct StoreKeeper {
    pub(crate) store: Arc<DiskStore>,
    pub(crate) puller: PullerOrders,
    /// Told when somebody may have touched live files.
    pub(crate) touched: Arc<Notify>,
    pub(crate) board: Arc<StatusBoard>,
    /// How often all live files are looked at, [`LOOK_WITHIN`] at most, and how long is said what was mended.
    pub(crate) reverify: Duration,
    /// Within what time everything is read once.
    pub(crate) rehash: Duration,
}

impl StoreKeeper {
    /// Looks after the store of a standby, for ever.
    pub(crate) async fn run(self) {
        let tick = TICK.min(self.reverify).min(self.rehash);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(self.reverify.min(LOOK_WITHIN));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = Reading::default();
        let mut findings = Findings::default();
        loop {
            tokio::select! {
                () = self.touched.notified() => self.look(&mut findings, TOUCHED_AGAIN).await,
                _ = looks.tick() => {
                    self.read_unread(&mut findings).await;
                    self.look(&mut findings, LOOK_WITHIN).await;
                }
                _ = ticks.tick() => {
                    let half_live = self.blocking(STUCK_AFTER, |store| Ok(store.half_live())).await;
                    self.board.set(&Topic::HalfLive, Severity::Critical, half_live.unwrap_or_default());
                    let tidied = self.blocking(STUCK_AFTER, |store| store.tidy()).await;
                    self.show(&Topic::Generations, &tidied);
                    if reading.is_done() {
                        let items = self.blocking(STUCK_AFTER, DiskStore::items).await;
                        self.show(&Topic::KeptList, &items);
                        let items = items.unwrap_or_default();
                        reading = Reading::new(items, tick.as_secs_f64() / self.rehash.as_secs_f64());
                    }
                    for item in reading.next() {
                        self.read(&mut findings, item).await;
                    }
                }
            }
        }
    }

    /// Looks at all live files of a standby: what is not as it should be ends "in sync", and is ordered to be mended;
    /// not before `again` has passed where that has just failed.
    async fn look(&self, findings: &mut Findings, again: Duration) {
        let looked = self.blocking(LOOK_WITHIN, |store| store.altered()).await;
        findings.unseen = looked.as_ref().err().map(ToString::to_string);
        self.show_unseen(findings);
        let Ok(altered) = looked else { return };
        live_files::show_altered(&self.board, &altered);
        if altered.is_empty() {
            findings.ordered = Ordered::default();
            self.forget_drift(findings);
        } else {
            let has_failed = self.board.look(|status| {
                let drift = status.problem(&Topic::Drift);
                drift.is_some_and(|problem| problem.severity == Severity::Critical)
            });
            if !has_failed {
                findings.ordered = Ordered::default();
            }
            if findings.ordered.is_due(&altered, again, self.reverify) && !self.order(Vec::new()) {
                findings.ordered = Ordered::default();
            }
        }
    }

    /// Reads one live file or kept content whole, to see whether it is still what it was.
    async fn read(&self, findings: &mut Findings, item: Item) {
        let read = {
            let item = item.clone();
            self.blocking(STUCK_AFTER, move |store| store.rehash(&item)).await
        };
        findings.unread.retain(|(unread, _)| *unread != item);
        match read {
            Ok(suspects) if suspects.is_empty() => {}
            Ok(suspects) => {
                // They are read for it.
                self.look(findings, LOOK_WITHIN).await;
                self.order(suspects);
            }
            Err(error) => findings.unread.push((item, error.to_string())),
        }
        self.show_unseen(findings);
    }

    /// Reads again what the store keeper could not read.
    async fn read_unread(&self, findings: &mut Findings) {
        for (item, _) in findings.unread.clone() {
            self.read(findings, item).await;
        }
    }

    /// Orders the puller to mend live files, and says whether one will hear of it: one that is in the middle of
    /// something is not waited for, since nobody would look meanwhile.
    fn order(&self, suspects: Vec<Name>) -> bool {
        self.puller.try_send(PullOrder::Repair(suspects)).is_ok()
    }

    /// Says on the board what the store keeper cannot look at or read, since it is not known to be right.
    fn show_unseen(&self, findings: &Findings) {
        let unread = findings.unread.iter().map(|(_, why)| why);
        let all: Vec<String> = findings.unseen.iter().chain(unread).take(NAMED).cloned().collect();
        let concerns_live =
            findings.unseen.is_some() || findings.unread.iter().any(|(item, _)| self.store.concerns_live(item));
        let (unseen, kept) = match words::one_line(&all) {
            Some(message) if concerns_live => (Some(message), None),
            message => (None, message),
        };
        self.board.warn(&Topic::KeptFiles, Severity::Warning, kept);
        let shown = unseen
            .clone()
            .map(|why| format!("{why} Until then this standby is not in sync."));
        if live_files::show_unseen(&self.board, shown) {
            warn!("{}", unseen.unwrap_or_default());
        }
    }

    /// Takes from the board after a while that live files were changed and mended.
    fn forget_drift(&self, findings: &mut Findings) {
        let said = self.board.look(|status| {
            let problem = status.problem(&Topic::Drift)?;
            Some((problem.severity, problem.message.clone()))
        });
        let Some((severity, said)) = said else {
            findings.drift = None;
            return;
        };
        if severity == Severity::Critical {
            // It could not be mended, and is as it should be all the same.
            findings.drift = None;
            return self.board.clear(&Topic::Drift);
        }
        match &findings.drift {
            Some((known, since)) if *known == said => {
                if since.elapsed() >= self.reverify {
                    self.board.clear(&Topic::Drift);
                    findings.drift = None;
                }
            }
            _ => findings.drift = Some((said, Instant::now())),
        }
    }

    /// Says on the board why work of the store keeper fails. It is tried at each tick, and said when it is news.
    fn show<T>(&self, topic: &Topic, result: &Result<T, Error>) {
        let problem = result.as_ref().err().map(ToString::to_string);
        self.board.warn(topic, Severity::Warning, problem);
    }

    /// Does file work of the store keeper. Once it takes longer than `usual`, nobody knows whether the live files are
    /// right.
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
        if live_files::show_unseen(&self.board, Some(message.clone())) {
            warn!("{message}");
        }
        working.await
    }
}

/// What the looks and readings of one run have found, for the next of them.
#[derive(Default)]
struct Findings {
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
    /// Whether altered live files are to be mended now: at once where they are others than before, and after a while
    /// where mending did not help, since each try keeps aside what it overwrites.
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
    /// Makes the list of what the store keeper reads one after the other; `part` is the part of the whole time that one
    /// tick takes.
    fn new(items: Vec<Item>, part: f64) -> Self {
        Self {
            each_tick: items.len() as f64 * part,
            left: items,
            due: 0.0,
        }
    }

    /// Whether the store keeper has read everything on its list.
    fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// What the store keeper reads at this tick.
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
