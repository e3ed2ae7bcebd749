//! Rounds that somebody orders: an administrator who waits for one or goes back, a promotion that asks for the last.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tracing::{info, warn};

use super::{
    LAST_ANSWER, LastAnswer, Outcome, Permit, PullOrder, Puller, RestoreOrder, SYNC_ANSWER, SyncOrder, blocking,
    live_files, next_urgent, notes, silence, unreachable,
};
use crate::{
    error::{Error, Kind},
    manifest::{Envelope, Name},
    status::{Generation, Severity},
    store::{Restored, Store, generations::KeptGeneration},
    transport::{ManifestReply, Transport},
    words,
};

/// The board's topic for a restored generation that is held in place.
const TOPIC_PAUSED: &str = "paused";

impl<T: Transport, S: Store> Puller<T, S> {
    /// A round that an administrator ordered. Returns the order that broke it off.
    pub(super) async fn sync(&mut self, order: SyncOrder, orders: &mut mpsc::Receiver<PullOrder>) -> Option<PullOrder> {
        self.forget();
        if order.permit.resume {
            let store = Arc::clone(&self.store);
            if let Err(error) = blocking(move || store.resume()).await {
                drop(order.answer.send(Err(error)));
                return None;
            }
            self.show_pause();
        } else if self.store.paused().is_some() {
            drop(order.answer.send(Err(is_paused())));
            return None;
        }
        let (mut urgent, mut suspects) = (None, Vec::new());
        let result = match self.newest(SYNC_ANSWER).await {
            Err(error) => Err(error),
            Ok(reply) => {
                let broken_off = async {
                    urgent = next_urgent(orders, &mut suspects).await;
                    Error::new(Kind::Busy, "another order came", "")
                };
                self.follow(reply, order.permit, broken_off).await
            }
        };
        match &result {
            Ok(_) => self.succeeded(),
            Err(error) if urgent.is_none() => self.failed(error),
            Err(_) => {}
        }
        self.repair_missed(suspects).await;
        // A caller that went away needs no answer.
        drop(order.answer.send(result));
        urgent
    }

    /// The last round before a promotion, and the rest after it. The node that closes ends the rest. Returns the
    /// order that did.
    pub(super) async fn last_and_rest(
        &mut self,
        answer: LastAnswer,
        orders: &mut mpsc::Receiver<PullOrder>,
    ) -> Option<PullOrder> {
        self.last(answer).await;
        self.forget();
        self.rest(orders).await
    }

    /// The last round before a promotion.
    async fn last(&mut self, answer: LastAnswer) {
        self.forget();
        if self.store.paused().is_some() {
            drop(answer.send(self.settle().await.map(|()| Outcome::Paused)));
            return;
        }
        let result = match self.newest(LAST_ANSWER).await {
            Err(error) => Err(error),
            Ok(reply) => {
                let silence = silence(Arc::clone(&self.received));
                self.follow(reply, Permit::default(), silence).await
            }
        };
        if let Err(error) = &result {
            self.failed(error);
            // Whatever the primary says, GoCD must not start on a part of one set and a part of another.
            if let Err(error) = self.settle().await {
                self.failed(&error);
            }
        }
        // A caller that went away needs no answer.
        drop(answer.send(result));
    }

    /// The primary's newest generation, whatever is known of it.
    async fn newest(&self, within: Duration) -> Result<ManifestReply, Error> {
        match timeout(within, self.ask(None, Duration::ZERO)).await {
            Ok(reply) => reply,
            Err(_) => Err(unreachable("did not answer in time")),
        }
    }

    async fn settle(&self) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        blocking(move || store.settle()).await
    }

    /// What was ordered while nothing may change is not carried out, and nobody hears of it but by the end of the
    /// channel.
    async fn rest(&self, orders: &mut mpsc::Receiver<PullOrder>) -> Option<PullOrder> {
        loop {
            match orders.recv().await? {
                PullOrder::BackToAccepted(wait, answer) => {
                    // A caller that went away needs no answer.
                    drop(answer.send(self.back_to_accepted(wait).await));
                }
                order @ (PullOrder::Now | PullOrder::Last(_)) => return Some(order),
                PullOrder::Trust | PullOrder::Sync(_) | PullOrder::Restore(_) | PullOrder::Repair(_) => {}
            }
        }
    }

    async fn back_to_accepted(&self, wait: Duration) -> Result<Option<Restored>, Error> {
        let store = Arc::clone(&self.store);
        let back = blocking(move || store.back_to_accepted(wait)).await?;
        if let Some(restored) = &back {
            self.show_restored(restored);
        }
        Ok(back)
    }

    /// Makes a kept generation live, and holds it in place.
    pub(super) async fn restore(&mut self, order: RestoreOrder) {
        self.forget();
        let (store, id) = (Arc::clone(&self.store), order.id);
        let restored = blocking(move || store.restore(&id)).await;
        if let Ok(restored) = &restored {
            self.show_restored(restored);
        }
        self.show_pause();
        let restored = match self.compare().await {
            Ok(()) => restored,
            Err(error) => restored.and(Err(error)),
        };
        // A caller that went away needs no answer.
        drop(order.answer.send(restored));
    }

    /// Mends the live files that somebody ordered to be mended while something was fetched.
    pub(super) async fn repair_missed(&mut self, suspects: Vec<Name>) {
        if !suspects.is_empty() {
            self.repair(suspects).await;
        }
    }

    /// Mends live files. Bytes that are lost come with the next round.
    pub(super) async fn repair(&mut self, suspects: Vec<Name>) {
        let store = Arc::clone(&self.store);
        match blocking(move || store.repair(&suspects)).await {
            Ok(mut repaired) => {
                if !repaired.lost.is_empty() {
                    self.forget();
                    let names: Vec<String> = repaired.lost.iter().map(|name| name.to_string()).collect();
                    repaired.drift.push(format!(
                        "the bytes of {} are damaged here and come again from the primary",
                        names.join(", ")
                    ));
                }
                self.show_drift(&repaired.drift);
            }
            Err(error) => self.show_unmended(&error),
        }
        if let Err(error) = self.compare().await {
            warn!("{error}");
            live_files::show_unseen(&self.board, Some(error.to_string()), self.clock.now_ms());
        }
    }

    /// Says what was changed on this node. It stays on the board until all has been looked at once more.
    pub(super) fn show_drift(&self, drift: &[String]) {
        if let Some(message) = words::one_line(drift) {
            let message = format!("{message}. Edit files on the primary only; this standby has undone it.");
            self.board
                .raise(super::TOPIC_DRIFT, Severity::Warning, message, self.clock.now_ms());
        }
    }

    /// Says that what was changed on this node could not be undone. It stays on the board until all has been looked at
    /// once more.
    fn show_unmended(&self, error: &Error) {
        let message = format!("the live files on this server cannot be mended: {error}");
        let now = self.clock.now_ms();
        if self.board.raise(super::TOPIC_DRIFT, Severity::Critical, message, now) {
            warn!("the live files cannot be mended: {error}");
        }
    }

    /// Notes what the primary's GoCD thinks of the live configuration.
    pub(super) async fn note_acceptance(&self, envelope: &Envelope) -> Result<(), Error> {
        let Some(generation) = self.known else { return Ok(()) };
        let (store, acceptance) = (Arc::clone(&self.store), envelope.acceptance);
        blocking(move || store.note_acceptance(&generation, acceptance)).await
    }

    fn show_restored(&self, restored: &Restored) {
        let (now, applied_ms) = (self.clock.now_ms(), self.applied_ms());
        info!(
            generation = %restored.generation.id,
            sequence = restored.generation.sequence,
            written = restored.applied.written.len(),
            removed = restored.applied.removed.len(),
            "restored"
        );
        self.board.update(|status| {
            status.generation = Some(in_short(&restored.generation));
            let sync = status.sync.get_or_insert_default();
            sync.applied_ms = applied_ms;
        });
        self.board.count(|counters| counters.applied_generations += 1);
        let warnings = words::one_line(&restored.applied.warnings);
        self.board.set("files", Severity::Warning, warnings, now);
    }

    /// Says on the board whether a restored generation is held in place, and since when what is live is that: both survive a
    /// restart.
    pub(super) fn show_pause(&self) {
        let (paused, applied) = (self.store.paused(), self.store.applied());
        let (now, applied_ms) = (self.clock.now_ms(), self.applied_ms());
        self.board.update(|status| {
            let Some(sync) = &mut status.sync else { return };
            sync.applied_ms = applied_ms;
            sync.paused = paused.clone();
            let Some(paused) = &paused else { return };
            sync.behind_since_ms = sync.behind_since_ms.or(Some(paused.since_ms));
            sync.has_newest = false;
            sync.refusal = None;
            sync.errors.clear();
            sync.fetching = None;
            if let Some(applied) = &applied {
                status.generation = Some(in_short(applied));
            }
            status.judge_sync(now);
            // Nobody asks it.
            if let Some(primary) = &mut status.primary
                && primary.connected
            {
                primary.connected = false;
                primary.since_ms = now;
            }
        });
        if paused.is_some() {
            for topic in [notes::TOPIC_PRIMARY, notes::TOPIC_GENERATION] {
                self.board.clear(topic);
            }
        }
        let message = paused.map(|_| {
            let which = applied.map_or_else(String::new, |applied| format!(" {applied}"));
            format!(
                "the generation{which} was restored and is held in place: nothing is pulled from the primary. Run \
                 `gocd-bc sync --resume` to follow it again."
            )
        });
        self.board.set(TOPIC_PAUSED, Severity::Warning, message, now);
    }
}

fn in_short(kept: &KeptGeneration) -> Generation {
    Generation {
        id: kept.id,
        sequence: kept.sequence,
        generated_ms: kept.generated_ms,
        acceptance: kept.acceptance,
        total_size: kept.total_size,
    }
}

fn is_paused() -> Error {
    Error::new(
        Kind::Refused,
        "a restored generation is held in place and nothing is pulled",
        "Run `gocd-bc sync --resume` to follow the primary again.",
    )
}
