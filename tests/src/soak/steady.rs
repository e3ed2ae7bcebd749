//! Minutes of edits without a kill: how fast they arrive, and whether memory stays flat.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};

use super::sets::{Live, Sets};
use crate::nodes::{Memory, Nodes};

/// Bytes of the configuration.
const CONFIG: usize = 2 << 20;
/// Bytes of the largest plugin.
const JAR: usize = 4 << 20;
/// How long an edit may take to arrive.
const ARRIVES: Duration = Duration::from_secs(60);
/// Memory is compared from here on: caches and pools are filled.
const WARM_AFTER: usize = 50;

/// What was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// From the last write of a set to the moment when all of it is live on the standby.
    pub latencies: Vec<Duration>,
    /// Resident bytes of the primary after warming up, and at the end.
    pub primary_bytes: (u64, u64),
    /// Resident bytes of the standby after warming up, and at the end.
    pub standby_bytes: (u64, u64),
}

impl Report {
    /// As one line of JSON.
    pub fn json(&self) -> Value {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let index = ((sorted.len() as f64 - 1.0) * share).round() as usize;
            sorted.get(index).map(|time| time.as_millis() as u64)
        };
        json!({
            "edits": sorted.len(),
            "latency_ms": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)},
            "primary_bytes": {"warm": self.primary_bytes.0, "end": self.primary_bytes.1},
            "standby_bytes": {"warm": self.standby_bytes.0, "end": self.standby_bytes.1},
        })
    }
}

/// Edits the configuration and swaps plugins for so long.
///
/// # Errors
/// A node ends, or an edit does not arrive.
pub fn run(time: Duration, seed: u64) -> Result<Report> {
    let mut random = Rng::with_seed(seed);
    let nodes = Nodes::new()?;
    let mut sets = Sets::new(&nodes.primary, CONFIG, JAR)?;
    let mut primary = nodes.start_primary()?;
    let mut standby = nodes.start_standby()?;
    let mut report = Report::default();
    let started = Instant::now();
    while started.elapsed() < time {
        sets.write_next(&nodes.primary, &mut random)?;
        let written = Instant::now();
        // Files change one after the other here, so the standby may have parts of the set already.
        while sets.live(&nodes.standby).ok() != Some(Live::Set(sets.newest())) {
            ensure!(primary.is_running() && standby.is_running(), "a node ended by itself");
            ensure!(
                written.elapsed() < ARRIVES,
                "set {} did not arrive within {ARRIVES:?}",
                sets.newest()
            );
            sleep(Duration::from_millis(1));
        }
        report.latencies.push(written.elapsed());
        let now = (Memory::of(&primary)?.resident, Memory::of(&standby)?.resident);
        if report.latencies.len() <= WARM_AFTER {
            (report.primary_bytes.0, report.standby_bytes.0) = now;
        }
        (report.primary_bytes.1, report.standby_bytes.1) = now;
        sleep(Duration::from_millis(random.u64(0..100)));
    }
    Ok(report)
}
