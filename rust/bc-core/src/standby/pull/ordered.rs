//! Rounds that somebody orders: an administrator who waits for one or goes back, a promotion that asks for the last.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tracing::{info, warn};

use super::{
    Answer, LAST_ANSWER, Outcome, PullOrder, Puller, SYNC_ANSWER, blocking, live_files, next_urgent, silence,
    unreachable,
};
use crate::{
    basics::{Error, Kind, Severity, words},
    generation::Name,
    standby::{
        store::{Permit, Restored},
        transport::{ManifestReply, Transport},
    },
    status::{Generation, Topic},
};

impl<T: Transport> Puller<T> {
    /// Carries out a round that an administrator ordered. Returns the order that broke it off.
    pub(super) async fn sync(
        &mut self,
        permit: Permit,
        answer: Answer<Outcome>,
        orders: &mut mpsc::Receiver<PullOrder>,
    ) -> Option<PullOrder> {
        self.forget();
        if permit.resume {
            let store = Arc::clone(&self.store);
            if let Err(error) = blocking(move || store.resume()).await {
                drop(answer.send(Err(error)));
                return None;
            }
            self.show_pause();
        } else if self.store.paused().is_some() {
            drop(answer.send(Err(is_paused())));
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
                self.follow(reply, permit, broken_off).await
            }
        };
        match &result {
            Ok(_) => self.succeeded(),
            Err(error) if urgent.is_none() => self.failed(error),
            Err(_) => {}
        }
        self.repair_missed(suspects).await;
        // A caller that went away needs no answer.
        drop(answer.send(result));
        urgent
    }

    /// Carries out the last round before a promotion, and rests after it. The node that closes ends the rest. Returns
    /// the order that did.
    pub(super) async fn last_and_rest(
        &mut self,
        answer: Answer<Outcome>,
        orders: &mut mpsc::Receiver<PullOrder>,
    ) -> Option<PullOrder> {
        self.last(answer).await;
        self.forget();
        self.rest(orders).await
    }

    /// Carries out the last round before a promotion.
    async fn last(&mut self, answer: Answer<Outcome>) {
        self.forget();
        if self.store.paused().is_some() {
            drop(answer.send(self.finish_interrupted().await.map(|()| Outcome::Paused)));
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
            if let Err(error) = self.finish_interrupted().await {
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

    /// Has the store finish what an error left half live, by the order to rest.
    async fn finish_interrupted(&self) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        blocking(move || store.finish_interrupted()).await
    }

    /// Rests after the last round before a promotion. What was ordered while nothing may change is not carried out, and
    /// nobody hears of it but by the end of the channel.
    async fn rest(&self, orders: &mut mpsc::Receiver<PullOrder>) -> Option<PullOrder> {
        loop {
            match orders.recv().await? {
                PullOrder::BackToAccepted(wait, answer) => {
                    // A caller that went away needs no answer.
                    drop(answer.send(self.back_to_accepted(wait).await));
                }
                order @ (PullOrder::Now | PullOrder::Last(_)) => return Some(order),
                PullOrder::Trust | PullOrder::Sync(..) | PullOrder::Restore(..) | PullOrder::Repair(_) => {}
            }
        }
    }

    /// Has the store go back to what GoCD accepted, by the order to rest.
    async fn back_to_accepted(&self, wait: Duration) -> Result<Option<Restored>, Error> {
        let store = Arc::clone(&self.store);
        let back = blocking(move || store.back_to_accepted(wait)).await?;
        if let Some(restored) = &back {
            self.show_restored(restored);
        }
        Ok(back)
    }

    /// Makes a kept generation live by an order, and holds it in place.
    pub(super) async fn restore(&mut self, id: String, answer: Answer<Restored>) {
        self.forget();
        let store = Arc::clone(&self.store);
        let restored = blocking(move || store.restore(&id)).await;
        if let Ok(restored) = &restored {
            self.show_restored(restored);
        }
        self.show_pause();
        let restored = match self.compare(None).await {
            Ok(()) => restored,
            Err(error) => restored.and(Err(error)),
        };
        // A caller that went away needs no answer.
        drop(answer.send(restored));
    }

    /// Mends the live files that somebody ordered to be mended while something was fetched.
    pub(super) async fn repair_missed(&mut self, suspects: Vec<Name>) {
        if !suspects.is_empty() {
            self.repair(suspects).await;
        }
    }

    /// Mends live files by an order, and says so on the board. Bytes that are lost come with the next round.
    pub(super) async fn repair(&mut self, suspects: Vec<Name>) {
        let store = Arc::clone(&self.store);
        match blocking(move || store.repair(&suspects)).await {
            Ok(mut repaired) => {
                if !repaired.lost.is_empty() {
                    self.forget();
                    repaired.drift.push(format!(
                        "the bytes of {} are damaged here and come again from the primary",
                        words::list(&repaired.lost)
                    ));
                }
                self.show_drift(&repaired.drift);
            }
            Err(error) => self.show_unmended(&error),
        }
        if let Err(error) = self.compare(None).await {
            warn!("{error}");
            live_files::show_unseen(&self.board, Some(error.to_string()));
        }
    }

    /// Says on the board that what was changed on this node could not be undone. It stays on the board until all has
    /// been looked at once more.
    fn show_unmended(&self, error: &Error) {
        let message = format!("the live files on this server cannot be mended: {error}");
        if self.board.raise(&Topic::Drift, Severity::Critical, message) {
            warn!("the live files cannot be mended: {error}");
        }
    }

    /// Notes on the board what was restored by an order.
    fn show_restored(&self, restored: &Restored) {
        let applied_ms = self.applied_ms();
        info!(
            generation = %restored.generation.id,
            sequence = restored.generation.sequence,
            written = restored.applied.written.len(),
            removed = restored.applied.removed.len(),
            "restored"
        );
        self.board.update(|status| {
            status.generation = Some(Generation::from(&restored.generation));
            let sync = status.sync.get_or_insert_default();
            sync.applied_ms = applied_ms;
        });
        self.board.count(|counters| counters.applied_generations += 1);
        let warnings = words::one_line(&restored.applied.warnings);
        self.board.set(&Topic::Files, Severity::Warning, warnings);
    }
}

/// The refusal of an ordered round while a restored generation is held in place.
fn is_paused() -> Error {
    Error::new(
        Kind::Refused,
        "a restored generation is held in place and nothing is pulled",
        "Run `gocd-bc sync --resume` to follow the primary again.",
    )
}
