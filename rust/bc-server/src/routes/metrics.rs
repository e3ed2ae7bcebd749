//! The status as OpenMetrics text, for Prometheus. Everything is a field or a method of [`Status`].
//!
//! Metrics of a primary that is followed are there on standbys alone. A moment that never was has no sample: an
//! alert on `absent()` tells it from zero.

use std::{fmt, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::Severity,
    database::picture as database,
    generation::Role,
    role::promotion::Outcome,
    status::{GocdState, HAND_OVER_STATES, Rejection, StandbyNode, Status, SyncStatus, standby_nodes},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelValue, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use crate::context::Context;

/// What Prometheus asks for and understands.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with the status of this node as metrics in the form of OpenMetrics.
pub(super) async fn metrics(State(context): State<Context>) -> Response {
    let picture = context.status.picture();
    match render(picture) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Renders the metrics of a status as text.
fn render(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("gocd_bc");
    registry.register_collector(Box::new(Picture(status)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Picture(Status);

impl Collector for Picture {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut page = Page { encoder };
        let status = &self.0;
        page.node(status)?;
        page.promotion(status)?;
        page.generation(status)?;
        page.standbys(status)?;
        if let Some(sync) = &status.sync {
            page.sync(status, sync)?;
        }
        if let Some(database) = &status.database {
            page.database(database)?;
        }
        page.counters(status)
    }
}

/// Writes families one after the other.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    /// Writes the metrics of the node itself.
    fn node(&mut self, status: &Status) -> fmt::Result {
        self.encoder
            .encode_descriptor("node", "What runs here", None, MetricType::Info)?
            .encode_info(&vec![
                ("node_id", status.node_id.as_str()),
                ("version", status.product_version.as_str()),
                ("gocd_version", status.gocd_version.as_deref().unwrap_or_default()),
            ])?;
        let roles = [Role::Primary, Role::Standby, Role::Fenced];
        self.gauges(
            "role",
            "1 for the role that this node has, 0 for the others",
            None,
            "role",
            roles.map(|role| (role.to_string(), u64::from(role == status.role))),
        )?;
        if let Some(gocd) = &status.gocd {
            self.gauge(
                "gocd_healthy",
                "1 while GoCD says at its own port that it is healthy, else 0",
                u64::from(gocd.state == GocdState::Healthy),
            )?;
            self.gauge(
                "gocd_started_in_maintenance",
                "1 where this start of GoCD was one in its maintenance mode, else 0",
                u64::from(gocd.maintenance),
            )?;
        }
        self.gauge(
            "epoch",
            "Number of the epoch that this node knows of",
            status.epoch.number,
        )?;
        self.gauge(
            "silent_peers",
            "Other nodes that have not proven themselves when they were last asked whether they were promoted",
            status.silent_peers() as u64,
        )?;
        self.seconds(
            "open",
            "Time since the node opened",
            Some(status.age_ms(status.opened_ms)),
        )?;
        self.gauge(
            "withheld_files",
            "Files of the primary that it does not offer, since it cannot read them; its plugin folder is one of them",
            status.withheld.count() as u64,
        )?;
        let severities = [(Severity::Warning, "warning"), (Severity::Critical, "critical")];
        self.gauges(
            "problems",
            "Problems that the dashboard shows now",
            None,
            "severity",
            severities.map(|(severity, name)| (name, status.problem_count(severity) as u64)),
        )?;
        self.gauge(
            "failed_parts",
            "Parts of the node's program that have failed and are not relied upon yet",
            status.failed_parts.len() as u64,
        )
    }

    /// Writes the metrics of GoCD's database.
    fn database(&mut self, database: &database::Picture) -> fmt::Result {
        let answering = database.servers.iter().filter(|server| server.role.is_some());
        self.gauge(
            "database_servers",
            "PostgreSQL servers of db.url that answer",
            answering.count() as u64,
        )?;
        self.database_servers(database)?;
        let findings = database.findings.iter();
        self.gauges(
            "database_finding",
            "1 for each thing that is wrong with the database, by its name",
            None,
            "name",
            findings.map(|finding| (finding.name.to_string(), 1)),
        )?;
        if let Some(following) = database.following {
            self.gauge(
                "database_following",
                "1 while the standby's database streams or restores, else 0",
                u64::from(following.is_well()),
            )?;
        }
        if let Some(bytes) = database.behind_bytes {
            self.bytes(
                "database_behind",
                "Bytes of the log that the primary's database has written and the standby's has not replayed",
                bytes,
            )?;
        }
        let ms = |seconds: Option<u64>| i64::try_from(seconds?.saturating_mul(1000)).ok();
        self.seconds(
            "database_behind",
            "Age of what the standby's database holds, at least",
            ms(database.behind_s),
        )?;
        if let Some(bytes) = database.loss_bytes {
            self.bytes(
                "database_loss",
                "Bytes of the log that the primary's database has written and the standby's has not received",
                bytes,
            )?;
        }
        self.seconds(
            "database_loss",
            "Age of what the standby's database has received, at least",
            ms(database.loss_s),
        )
    }

    /// Writes what each server of GoCD's database is, as labels.
    fn database_servers(&mut self, database: &database::Picture) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(
            "database_server",
            "1 for each PostgreSQL server of db.url, with what it is; a role of none where it does not answer",
            None,
            MetricType::Gauge,
        )?;
        for server in &database.servers {
            let role = server.role.map_or_else(|| "none".to_owned(), |role| role.to_string());
            let system = server.system.map(|system| system.to_string()).unwrap_or_default();
            let timeline = server.timeline.map(|timeline| timeline.to_string()).unwrap_or_default();
            family
                .encode_family(&[
                    ("address", server.address.as_str()),
                    ("role", &role),
                    ("version", server.version.as_deref().unwrap_or_default()),
                    ("system", &system),
                    ("timeline", &timeline),
                ])?
                .encode_gauge(&1_u64)?;
        }
        Ok(())
    }

    /// Writes the metrics of the last promotion, and of what the next would do.
    fn promotion(&mut self, status: &Status) -> fmt::Result {
        if let Some(state) = status.hand_over_state() {
            self.gauges(
                "hand_over",
                "1 for what the hand-over of this server or of its primary is at, or how the last one of this server ended",
                None,
                "state",
                HAND_OVER_STATES.map(|name| (name, u64::from(name == state))),
            )?;
        }
        if let Some(hands_over) = status.hands_over.as_ref().filter(|_| status.role == Role::Primary) {
            self.seconds(
                "hand_over_age",
                "Time since this server was ordered to hand over",
                Some(status.age_ms(hands_over.ordered_ms)),
            )?;
        }
        if let Some(promotion) = &status.promotion {
            self.gauge(
                "promotion_complete",
                "1 where the last promotion of this server was carried out, else 0",
                u64::from(promotion.outcome == Some(Outcome::Complete)),
            )?;
            self.seconds(
                "promotion_age",
                "Time since the last promotion of this server began",
                Some(status.age_ms(promotion.began_ms)),
            )?;
            let steps = promotion.steps.iter().filter_map(|taken| {
                let seconds = Duration::from_millis(taken.took_ms?).as_secs_f64();
                Some((taken.step.name(), seconds))
            });
            self.gauges(
                "promotion_step",
                "How long each step of the last promotion of this server took",
                Some(Unit::Seconds),
                "step",
                steps,
            )?;
        }
        let Some(preflight) = status.preflight.as_ref().filter(|_| status.role == Role::Standby) else {
            return Ok(());
        };
        self.gauge(
            "preflight_refusals",
            "How much speaks against a promotion with the database now",
            preflight.refusals().count() as u64,
        )?;
        self.gauges(
            "preflight_refused",
            "1 for each thing that speaks against a promotion with the database now, by its name",
            None,
            "about",
            preflight.refusals().map(|check| (check.about.name(), 1)),
        )
    }

    /// Writes the metrics of the newest generation.
    fn generation(&mut self, status: &Status) -> fmt::Result {
        self.seconds(
            "scan_age",
            "Time since the folders were last read",
            status.scanned_ms.map(|moment| status.age_ms(moment)),
        )?;
        let Some(generation) = &status.generation else {
            return Ok(());
        };
        self.gauge(
            "generation_sequence",
            "The primary's number of the generation that a primary offers or a standby has made live",
            generation.sequence,
        )?;
        self.bytes(
            "generation",
            "Size of all files of that generation",
            generation.total_size,
        )?;
        self.seconds(
            "generation_age",
            "Time since the primary first saw that generation, by both clocks",
            Some(status.age_ms(generation.generated_ms)),
        )
    }

    /// Writes the metrics of a primary's standbys.
    fn standbys(&mut self, status: &Status) -> fmt::Result {
        if status.role != Role::Primary {
            return Ok(());
        }
        let standbys = standby_nodes(&status.standbys);
        self.gauge(
            "standbys",
            "Standbys that are trusted and have reported",
            standbys.len() as u64,
        )?;
        if standbys.is_empty() {
            return Ok(());
        }
        let seconds = |standby: &StandbyNode<'_>| status.age_ms(standby.reported_ms) as f64 / 1000.0;
        self.gauges(
            "standby_report_age",
            "Time since the last report of each standby",
            Some(Unit::Seconds),
            "node_id",
            standbys.iter().map(|standby| (standby.node_id, seconds(standby))),
        )?;
        self.gauges(
            "standby_in_sync",
            "1 for each standby that has all of this primary's files live and looks at them, else 0",
            None,
            "node_id",
            standbys
                .iter()
                .map(|standby| (standby.node_id, u64::from(standby.in_sync))),
        )?;
        self.gauges(
            "standby_servers",
            "Servers that report as each standby: more than 1 where one is a copy of the other",
            None,
            "node_id",
            standbys.iter().map(|standby| (standby.node_id, standby.servers as u64)),
        )
    }

    /// Writes the metrics of a standby that follows its primary.
    fn sync(&mut self, status: &Status, sync: &SyncStatus) -> fmt::Result {
        self.gauge(
            "in_sync",
            "1 while all that the primary has is live on this standby and looked at, else 0",
            u64::from(sync.in_sync),
        )?;
        if let Some(behind) = status.behind() {
            self.bytes("behind", "Size of the files that are not here yet", behind.bytes)?;
            self.seconds(
                "behind",
                "Time since this standby last had all that the primary had",
                Some(behind.ms),
            )?;
        }
        self.seconds(
            "generation_refused",
            "Time for which the primary's newest generation has been refused, 0 while it is not",
            Some(
                sync.refusal
                    .as_ref()
                    .map_or(0, |refusal| status.age_ms(refusal.since_ms)),
            ),
        )?;
        self.gauge(
            "paused",
            "1 while a restored generation is held in place, else 0",
            u64::from(sync.paused.is_some()),
        )?;
        self.seconds(
            "applied_age",
            "Time since the generation that is live became so, also over restarts",
            sync.applied_age_ms(status.now_ms),
        )?;
        let Some(primary) = &status.primary else { return Ok(()) };
        self.gauge(
            "primary_connected",
            "1 while the newest exchange with the primary succeeded, else 0",
            u64::from(primary.connected),
        )?;
        self.gauge(
            "primary_trusted",
            "1 while the primary's key is proven, else 0",
            u64::from(primary.trusted),
        )?;
        self.seconds(
            "last_exchange_age",
            "Time since the last completed exchange with the primary",
            primary.last_exchange_ms.map(|moment| status.age_ms(moment)),
        )
    }

    /// Writes the metrics of what the status board counts.
    fn counters(&mut self, status: &Status) -> fmt::Result {
        let counters = &status.counters;
        self.counter("connections", "Connections accepted", counters.connections)?;
        self.counters_by(
            "rejections",
            "What was not granted to those who connected",
            ["reason"],
            None,
            Rejection::ALL.map(|reason| ([reason.name()], counters.rejections.of(reason))),
        )?;
        self.counters_by(
            "transfers",
            "Files sent to standbys or received from the primary",
            ["direction", "outcome"],
            None,
            [
                (["sent", "whole"], counters.sent.files),
                (["sent", "broken"], counters.sent.broken),
                (["received", "whole"], counters.received.files),
                (["received", "broken"], counters.received.broken),
            ],
        )?;
        self.counters_by(
            "transfer",
            "Bytes of these files",
            ["direction"],
            Some(Unit::Bytes),
            [(["sent"], counters.sent.bytes), (["received"], counters.received.bytes)],
        )?;
        self.counter(
            "applied_generations",
            "Generations made live on this standby",
            counters.applied_generations,
        )?;
        self.counter(
            "refused_generations",
            "Refusals to make a generation live on this standby",
            counters.refused_generations,
        )?;
        self.counter(
            "failed_rounds",
            "Attempts to follow the primary that failed, refusals among them",
            counters.failed_rounds,
        )
    }

    /// Writes one gauge of the metrics.
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    /// Writes one gauge of the metrics in bytes.
    fn bytes(&mut self, name: &str, help: &str, bytes: u64) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?
            .encode_gauge(&bytes)
    }

    /// Writes one gauge of the metrics in seconds; nothing where it is none.
    fn seconds(&mut self, name: &str, help: &str, ms: Option<i64>) -> fmt::Result {
        let Some(ms) = ms else { return Ok(()) };
        self.encoder
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(&(ms as f64 / 1000.0))
    }

    /// Writes one gauge of the metrics with a value for each label.
    fn gauges<L: EncodeLabelValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: impl IntoIterator<Item = (L, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (value, number) in values {
            family.encode_family(&[(label, value)])?.encode_gauge(&number)?;
        }
        Ok(())
    }

    /// Writes one counter of the metrics.
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// Writes one counter of the metrics with a value for each set of labels.
    fn counters_by<const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; LABELS],
        unit: Option<Unit>,
        values: impl IntoIterator<Item = ([&'static str; LABELS], u64)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (texts, number) in values {
            let set: Vec<_> = labels.into_iter().zip(texts).collect();
            family
                .encode_family(&set)?
                .encode_counter::<NoLabelSet, _, f64>(&number, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
