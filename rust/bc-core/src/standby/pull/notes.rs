//! What a round leaves on the status board.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::{Puller, blocking, compare, judge::Remarks, live_files};
use crate::{
    basics::{Error, Kind, Severity, words},
    generation::{Envelope, ManifestDocument, concern, withheld},
    standby::{
        store::{Applied, disk::Round},
        transport::Transport,
    },
    status::{Generation, KEPT_ERRORS, Refusal, SyncError, Topic, files},
};

impl<T: Transport> Puller<T> {
    /// Notes on the board that the primary answered.
    pub(super) fn exchanged(&mut self, envelope: &Envelope, document: Option<&ManifestDocument>, remarks: Remarks) {
        self.last_exchange = Instant::now();
        self.is_reading_overdue = remarks.overdue_reading.is_some();
        let (key, address) = (self.transport.peer_key(), self.transport.address());
        // Of a further file that is not synced here nothing is expected.
        let withheld = document.map(|document| document.withheld.of(|name| self.store.syncs(name)));
        let mut withheld = withheld.unwrap_or_default();
        self.board.clear(&Topic::Primary);
        let concerns = concern::warning(&envelope.concerns);
        if concerns.is_none() {
            // Nothing says "in sync" beside a reason why it is not.
            self.board.clear(&Topic::Concerns);
        }
        self.board.update(|status| {
            status.note_epoch(&envelope.epoch, &envelope.node_id);
            let Some(primary) = &mut status.primary else { return };
            if !primary.connected {
                primary.connected = true;
                primary.since_ms = status.now_ms;
            }
            primary.address = address;
            primary.trusted = key.is_proven;
            primary.seen_fingerprint = key.seen;
            primary.trust = key.trust;
            primary.last_exchange_ms = Some(status.now_ms);
            primary.node_id = Some(envelope.node_id.clone());
            primary.gocd_version = envelope.gocd_version.clone();
            primary.product_version = Some(envelope.product_version.clone());
            primary.scanned_ms = Some(envelope.scanned_ms);
            primary.file_check_interval_ms = Some(envelope.file_check_interval_ms);
            primary.note_database(envelope.database.as_ref());
            primary.next_fingerprint = envelope.next_fingerprint;
            primary.hands_over.clone_from(&envelope.hands_over);
            primary.concerns.clone_from(&envelope.concerns);
            if let Some(document) = document {
                let newest = Generation::of(document);
                let sync = status.sync.get_or_insert_default();
                // Whether it is in sync again is only said once the round has succeeded.
                let is_live = status.generation.as_ref().map(|applied| applied.id) == Some(newest.id);
                sync.has_newest &= is_live;
                if primary.generation.as_ref().map(|known| known.id) == Some(newest.id) {
                    withheld.goes_on_after(&status.withheld);
                }
                primary.generation = Some(newest);
                status.withhold(withheld);
            }
            status.note_long_awaited();
        });
        let withheld = self.board.look(|status| status.withheld.clone());
        let warning = withheld::standby_warning(&withheld.lines());
        self.board.set(&Topic::Withheld, withheld.severity(), warning);
        if let Some((severity, message)) = concerns {
            self.board.warn(&Topic::Concerns, severity, Some(message));
        }
        for (topic, warning) in [
            (Topic::Versions, remarks.versions),
            (Topic::Acceptance, remarks.overdue_acceptance),
            (Topic::Clocks, remarks.clocks),
            (Topic::PrimarysReading, remarks.overdue_reading),
        ] {
            self.board.set(&topic, Severity::Warning, warning);
        }
    }

    /// Notes that the node which is followed answers, although nothing is taken from it: it is told why.
    pub(super) fn reached(&mut self, envelope: &Envelope) {
        self.last_exchange = Instant::now();
        self.board.clear(&Topic::Primary);
        self.board.update(|status| {
            let Some(primary) = &mut status.primary else { return };
            if primary.node_id.as_ref() == Some(&envelope.node_id) && !primary.connected {
                primary.connected = true;
                primary.since_ms = status.now_ms;
            }
        });
    }

    /// When the live generation became it, as the store has noted; none where none did.
    pub(super) fn applied_ms(&self) -> Option<i64> {
        self.store.position().map(|position| position.applied_ms)
    }

    /// Notes on the board which generation is live now.
    pub(super) fn applied(&self, generation: &Generation, applied: &Applied) {
        let applied_ms = self.applied_ms();
        self.board.update(|status| {
            status.generation = Some(generation.clone());
            let sync = status.sync.get_or_insert_default();
            sync.applied_ms = applied_ms;
            sync.fetching = None;
            sync.kept = applied.kept.clone();
        });
        if !applied.written.is_empty() || !applied.removed.is_empty() {
            self.board.count(|counters| counters.applied_generations += 1);
        }
        self.board
            .set(&Topic::Files, Severity::Warning, words::one_line(&applied.warnings));
        self.board
            .set(&Topic::Deletions, Severity::Warning, applied.kept_warning());
        self.show_drift(&applied.drift);
    }

    /// Notes on the board what was changed on this node. It stays on the board until all has been looked at once more.
    pub(super) fn show_drift(&self, drift: &[String]) {
        if let Some(message) = words::one_line(drift) {
            let message = format!("{message}. Edit files on the primary only; this standby has undone it.");
            self.board.raise(&Topic::Drift, Severity::Warning, message);
        }
    }

    /// Has store and board note what the primary's GoCD thinks of the newest generation: it looks at a change after that
    /// was made, and the change mostly came here before.
    pub(super) async fn note_acceptance(&self, envelope: &Envelope) -> Result<(), Error> {
        let Some(generation) = self.known else { return Ok(()) };
        let acceptance = envelope.acceptance;
        self.board.update(|status| {
            let newest = status.primary.as_mut().and_then(|primary| primary.generation.as_mut());
            let both = [newest, status.generation.as_mut()].into_iter().flatten();
            for shown in both.filter(|shown| shown.id == generation) {
                shown.acceptance = acceptance;
            }
        });
        let (store, heard) = (Arc::clone(&self.store), envelope.clone());
        blocking(move || store.note_acceptance(&generation, &heard)).await
    }

    /// Notes on the board whether a restored generation is held in place, and since when what is live is that: both
    /// survive a restart.
    pub(super) fn show_pause(&self) {
        let (paused, applied) = (self.store.paused(), self.store.applied());
        let applied_ms = self.applied_ms();
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
                status.generation = Some(Generation::from(applied));
            }
            // Nobody asks it.
            if let Some(primary) = &mut status.primary
                && primary.connected
            {
                primary.connected = false;
                primary.since_ms = status.now_ms;
            }
        });
        if paused.is_some() {
            for topic in [&Topic::Primary, &Topic::Generation] {
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
        self.board.set(&Topic::Paused, Severity::Warning, message);
    }

    /// Notes on the board how the primary's files compare with ours: as a round knows them, or as they are.
    pub(super) async fn compare(&self, round: Option<Round>) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let look = blocking(move || round.map_or_else(|| store.look(), |round| round.end(&store))).await?;
        live_files::show_altered(&self.board, &look.altered);
        self.board.set(&Topic::Disk, Severity::Warning, look.low_disks);
        self.board.set(
            &Topic::MissingFiles,
            Severity::Warning,
            compare::missing(&look.missing_files),
        );
        if let Some(document) = &self.document {
            let files = compare::compare(&document.files, &document.withheld, &look.files).into();
            let own_jars = files::own_jars(&document.own_jars);
            self.board.update(|status| {
                status.files = files;
                status.own_jars = own_jars;
                status.missing_files = look.missing_files;
            });
        }
        Ok(())
    }

    /// Notes on the board that a round has come to its end.
    pub(super) fn succeeded(&self) {
        self.board.update(|status| {
            let is_over = |topic: &Topic| matches!(topic, Topic::Generation | Topic::Transfer);
            status.problems.retain(|problem| !is_over(&problem.topic));
            let newest = status.primary.as_ref().and_then(|primary| primary.generation.as_ref());
            let applied = status.generation.as_ref();
            if let Some(sync) = &mut status.sync {
                sync.errors.clear();
                sync.fetching = None;
                // What a primary has that does not read its files is not known.
                sync.has_newest = !self.is_reading_overdue
                    && matches!((newest, applied), (Some(newest), Some(applied)) if newest.id == applied.id);
                sync.refusal = None;
            }
        });
    }

    /// Notes on the board that a round has failed, and why.
    pub(super) fn failed(&self, error: &Error) {
        // A file did not come from a primary that answers.
        let stalled = match error.kind() {
            Kind::Unreachable | Kind::Protocol => self.stall.severity(),
            _ => None,
        };
        let mut is_news = true;
        let mut refused_ms = None;
        // Asked for outside of the change: whoever tells may have something to say on the board itself.
        let key = self.transport.peer_key();
        self.board.update(|status| {
            let now = status.now_ms;
            let sync = status.sync.get_or_insert_default();
            is_news = sync.errors.last().is_none_or(|last| last.message != error.to_string());
            sync.fetching = None;
            sync.errors.push(SyncError {
                at_ms: now,
                message: error.to_string(),
            });
            let surplus = sync.errors.len().saturating_sub(KEPT_ERRORS);
            sync.errors.drain(..surplus);
            // What the primary has now is not known, or not here.
            if sync.in_sync {
                let last = status.primary.as_ref().and_then(|primary| primary.last_exchange_ms);
                sync.behind_since_ms = last.or(Some(now));
            }
            sync.has_newest = false;
            sync.refusal = (error.kind() == Kind::Refused).then(|| Refusal {
                message: error.to_string(),
                since_ms: sync.refusal.as_ref().map_or(now, |before| before.since_ms),
            });
            refused_ms = sync
                .refusal
                .as_ref()
                .map(|refusal| now.saturating_sub(refusal.since_ms));
            if let Some(primary) = &mut status.primary
                && stalled.is_none()
                && matches!(error.kind(), Kind::Unreachable | Kind::Trust | Kind::Protocol)
            {
                if primary.connected {
                    primary.since_ms = now;
                }
                primary.connected = false;
                primary.seen_fingerprint = key.seen;
                primary.trust = key.trust;
                if error.kind() == Kind::Trust {
                    primary.trusted = false;
                }
            }
        });
        let is_new_refusal = is_news && error.kind() == Kind::Refused;
        self.board.count(|counters| {
            counters.failed_rounds += 1;
            counters.refused_generations += u64::from(is_new_refusal);
        });
        let (topic, severity) = match (error.kind(), stalled) {
            (_, Some(severity)) => (&Topic::Transfer, severity),
            (Kind::Unreachable | Kind::Protocol, None) => (&Topic::Primary, self.silence_severity()),
            (Kind::Trust, None) => (&Topic::Primary, Severity::Critical),
            (Kind::Refused, None) if self.options.primaries.are_several() => (&Topic::Generation, Severity::Critical),
            (Kind::Refused, None) => (&Topic::Generation, self.refusal_severity(refused_ms)),
            (_, None) => (&Topic::Generation, Severity::Critical),
        };
        self.board.raise(topic, severity, error.to_string());
        if is_news {
            warn!("{error}");
        }
    }

    /// How bad it is that the primary is silent, for the notes on the board.
    fn silence_severity(&self) -> Severity {
        if self.last_exchange.elapsed() >= self.options.check_interval {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }

    /// How bad it is that an answer is refused, for the notes on the board.
    fn refusal_severity(&self, refused_ms: Option<i64>) -> Severity {
        let limit = i64::try_from(self.options.refusal_critical.as_millis()).unwrap_or(i64::MAX);
        if refused_ms.is_some_and(|refused| refused >= limit) {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }

    /// Notes that the primary has not answered for too long.
    pub(super) fn raise_silence(&self) {
        let seconds = self.last_exchange.elapsed().as_secs();
        self.board.raise(
            &Topic::Primary,
            Severity::Critical,
            format!(
                "the primary has not answered for {seconds} s. Check that it runs and that bc.primary.url leads to it."
            ),
        );
    }
}
