//! The status as OpenMetrics text, for Prometheus. Everything is a field or a method of [`Status`].
//!
//! Metrics of a primary that is followed are there on standbys alone. A moment that never was has no sample: an
//! alert on `absent()` tells it from zero.

use std::fmt;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    counters::Rejection,
    manifest::Role,
    status::{Severity, Status, SyncStatus, standby_nodes},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use crate::context::Context;

/// What Prometheus asks for and understands.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(context): State<Context>) -> Response {
    let picture = context.status.picture(context.clock.now_ms());
    match render(picture) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

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
        page.generation(status)?;
        page.standbys(status)?;
        if let Some(sync) = &status.sync {
            page.sync(status, sync)?;
        }
        page.counters(status)
    }
}

/// Writes families one after the other.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
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
            "role",
            roles.map(|role| (role.to_string(), u64::from(role == status.role))),
        )?;
        self.gauge(
            "epoch",
            "Number of the epoch that this node knows of",
            status.epoch.number,
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
            "severity",
            severities.map(|(severity, name)| (name.to_owned(), status.problem_count(severity) as u64)),
        )?;
        self.gauge(
            "failed_parts",
            "Parts of the node's program that have failed and are not relied upon yet",
            status.failed_parts.len() as u64,
        )
    }

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
        let mut family = self.encoder.encode_descriptor(
            "standby_report_age",
            "Time since the last report of each standby",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for standby in &standbys {
            let seconds = status.age_ms(standby.reported_ms) as f64 / 1000.0;
            family
                .encode_family(&[("node_id", standby.node_id)])?
                .encode_gauge(&seconds)?;
        }
        let mut family = self.encoder.encode_descriptor(
            "standby_in_sync",
            "1 for each standby that has all of this primary's files live and looks at them, else 0",
            None,
            MetricType::Gauge,
        )?;
        for standby in &standbys {
            family
                .encode_family(&[("node_id", standby.node_id)])?
                .encode_gauge(&u64::from(standby.in_sync))?;
        }
        let mut family = self.encoder.encode_descriptor(
            "standby_servers",
            "Servers that report as each standby: more than 1 where one is a copy of the other",
            None,
            MetricType::Gauge,
        )?;
        for standby in &standbys {
            family
                .encode_family(&[("node_id", standby.node_id)])?
                .encode_gauge(&(standby.servers as u64))?;
        }
        Ok(())
    }

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

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn bytes(&mut self, name: &str, help: &str, bytes: u64) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?
            .encode_gauge(&bytes)
    }

    fn seconds(&mut self, name: &str, help: &str, ms: Option<i64>) -> fmt::Result {
        let Some(ms) = ms else { return Ok(()) };
        self.encoder
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(&(ms as f64 / 1000.0))
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, number) in values {
            family.encode_family(&[(label, value)])?.encode_gauge(&number)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

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
