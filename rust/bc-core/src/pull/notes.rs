//! What a round leaves on the status board.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::{Puller, blocking, compare, judge, live_files};
use crate::{
    concern,
    error::{Error, Kind},
    manifest::{Envelope, ManifestDocument},
    status::{Generation, KEPT_ERRORS, Refusal, Severity, SyncError},
    store::{Applied, Store},
    transport::Transport,
    withheld, words,
};

/// The board's topic for a primary that does not answer.
pub(super) const TOPIC_PRIMARY: &str = "primary";
/// The board's topic for files that do not come although the primary answers.
pub(super) const TOPIC_TRANSFER: &str = "transfer";
/// The board's topic for a generation that was not applied.
pub(super) const TOPIC_GENERATION: &str = "generation";
/// The board's topic, on either node, for what the primary has and does not offer.
pub const TOPIC_WITHHELD: &str = "withheld";
/// The board's topic for what the primary says of its offer.
pub(super) const TOPIC_CONCERNS: &str = "primary's concerns";

impl<T: Transport, S: Store> Puller<T, S> {
    /// Notes that the primary answered.
    pub(super) fn exchanged(&mut self, envelope: &Envelope, document: Option<&ManifestDocument>) {
        self.last_exchange = Instant::now();
        let overdue = judge::reading(envelope);
        self.is_reading_overdue = overdue.is_some();
        let now = self.clock.now_ms();
        let (key, address) = (self.transport.peer_key(), self.transport.address());
        // Of a further file that is not synced here nothing is expected.
        let withheld = document.map(|document| document.withheld.of(|name| self.store.syncs(name)));
        let mut withheld = withheld.unwrap_or_default();
        self.board.clear(TOPIC_PRIMARY);
        let concerns = concern::warning(&envelope.concerns);
        if concerns.is_none() {
            // Nothing says "in sync" beside a reason why it is not.
            self.board.clear(TOPIC_CONCERNS);
        }
        self.board.update(|status| {
            let Some(primary) = &mut status.primary else { return };
            if !primary.connected {
                primary.connected = true;
                primary.since_ms = now;
            }
            primary.address = address;
            primary.trusted = key.is_proven;
            primary.seen_fingerprint = key.seen;
            primary.trust = key.trust;
            primary.last_exchange_ms = Some(now);
            primary.node_id = Some(envelope.node_id.clone());
            primary.gocd_version = envelope.gocd_version.clone();
            primary.product_version = Some(envelope.product_version.clone());
            primary.scanned_ms = Some(envelope.scanned_ms);
            primary.file_check_interval_ms = Some(envelope.file_check_interval_ms);
            primary.wal_location = envelope.wal_location.clone();
            primary.next_fingerprint = envelope.next_fingerprint;
            primary.concerns.clone_from(&envelope.concerns);
            if let Some(document) = document {
                let newest = generation(document);
                let sync = status.sync.get_or_insert_default();
                // Whether it is in sync again is only said once the round has succeeded.
                let is_live = status.generation.as_ref().map(|applied| applied.id) == Some(newest.id);
                sync.has_newest &= is_live;
                if primary.generation.as_ref().map(|known| known.id) == Some(newest.id) {
                    withheld.goes_on_after(&status.withheld);
                }
                primary.generation = Some(newest);
                status.withhold(withheld, now);
            }
            status.judge_awaited(now);
            status.judge_sync(now);
        });
        let withheld = self.board.look(|status| status.withheld.clone());
        let warning = withheld::standby_warning(&withheld.lines());
        self.board
            .set(TOPIC_WITHHELD, Severity::of_withheld(&withheld), warning, now);
        if let Some((severity, message)) = concerns
            && self.board.raise(TOPIC_CONCERNS, severity, message.as_str(), now)
        {
            warn!("{message}");
        }
        let versions = judge::versions(envelope, self.options.gocd_version.as_deref());
        self.board.set("versions", Severity::Warning, versions, now);
        let pending = judge::acceptance(envelope, self.options.accept_wait);
        self.board.set("acceptance", Severity::Warning, pending, now);
        self.board
            .set("clocks", Severity::Warning, judge::clocks(envelope, now), now);
        self.board.set("primary's reading", Severity::Warning, overdue, now);
    }

    /// Notes that the node which is followed answers, although nothing is taken from it: it is told why.
    pub(super) fn reached(&mut self, envelope: &Envelope) {
        self.last_exchange = Instant::now();
        let now = self.clock.now_ms();
        self.board.clear(TOPIC_PRIMARY);
        self.board.update(|status| {
            let Some(primary) = &mut status.primary else { return };
            if primary.node_id.as_ref() == Some(&envelope.node_id) && !primary.connected {
                primary.connected = true;
                primary.since_ms = now;
            }
        });
    }

    /// When what is live became it, as it is written down; none where nothing did.
    pub(super) fn applied_ms(&self) -> Option<i64> {
        self.store.position().map(|position| position.applied_ms)
    }

    /// Notes what is live now.
    pub(super) fn applied(&self, generation: &Generation, applied: &Applied) {
        let now = self.clock.now_ms();
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
            .set("files", Severity::Warning, words::one_line(&applied.warnings), now);
        self.board
            .set("deletions", Severity::Warning, applied.kept_warning(), now);
        self.show_drift(&applied.drift);
    }

    /// Holds the primary's files against ours and shows the result.
    pub(super) async fn compare(&self) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let (live, altered, low, missing) = blocking(move || {
            Ok((
                store.live()?,
                store.altered()?,
                store.low_disks(),
                store.missing_files()?,
            ))
        })
        .await?;
        let now = self.clock.now_ms();
        live_files::show_altered(&self.board, &altered, now);
        self.board.set("disk", Severity::Warning, low, now);
        self.board
            .set("missing files", Severity::Warning, compare::missing(&missing), now);
        if let Some(document) = &self.document {
            let files = compare::compare(&document.files, &document.withheld, &live).into();
            let own_jars = compare::own_jars(&document.own_jars);
            self.board.update(|status| {
                status.files = files;
                status.own_jars = own_jars;
                status.missing_files = missing;
            });
        }
        Ok(())
    }

    /// Notes that a round has come to its end.
    pub(super) fn succeeded(&self) {
        let now = self.clock.now_ms();
        self.board.update(|status| {
            let is_over = [TOPIC_GENERATION, TOPIC_TRANSFER];
            status
                .problems
                .retain(|problem| !is_over.contains(&problem.topic.as_str()));
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
            status.judge_sync(now);
        });
    }

    /// Notes that a round has failed, and why.
    pub(super) fn failed(&self, error: &Error) {
        let now = self.clock.now_ms();
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
            status.judge_sync(now);
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
            (_, Some(severity)) => (TOPIC_TRANSFER, severity),
            (Kind::Unreachable | Kind::Protocol, None) => (TOPIC_PRIMARY, self.silence_severity()),
            (Kind::Trust, None) => (TOPIC_PRIMARY, Severity::Critical),
            (Kind::Refused, None) if self.options.primaries.are_several() => (TOPIC_GENERATION, Severity::Critical),
            (Kind::Refused, None) => (TOPIC_GENERATION, self.refusal_severity(refused_ms)),
            (_, None) => (TOPIC_GENERATION, Severity::Critical),
        };
        self.board.raise(topic, severity, error.to_string(), now);
        if is_news {
            warn!("{error}");
        }
    }

    fn silence_severity(&self) -> Severity {
        if self.last_exchange.elapsed() >= self.options.check_interval {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }

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
            TOPIC_PRIMARY,
            Severity::Critical,
            format!(
                "the primary has not answered for {seconds} s. Check that it runs and that bc.primary.url leads to it."
            ),
            self.clock.now_ms(),
        );
    }
}

/// A generation, in short.
pub(super) fn generation(document: &ManifestDocument) -> Generation {
    Generation {
        id: document.generation,
        sequence: document.envelope.sequence,
        generated_ms: document.envelope.generated_ms,
        acceptance: document.envelope.acceptance,
        total_size: document.total_size(),
    }
}
