//! The demo as a check: every claim of it measured, nothing shown.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::demo::{
    Stop, changes::Changes, held, numbers::percentile, observer::Observer, pair::Pair, primary_files, sample_plugin,
};

/// How many changes of cruise-config.xml.
const CHANGES: u32 = 20;
/// Pause between two changes, so that each is a generation of its own.
const BETWEEN: Duration = Duration::from_millis(200);
/// When a change counts as lost.
const LOST: Duration = Duration::from_secs(30);
/// Beyond this the product does not do what it is for.
const SLOWEST_P99_MS: f64 = 1000.0;
/// How long a released server may take to run.
const RELEASE: Duration = Duration::from_secs(60);

/// What was found. Filled as far as the check came.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    latencies_ms: Vec<f64>,
    torn: u64,
    all_equal: bool,
    held_answers_ok: bool,
    released: bool,
    failures: Vec<String>,
}

impl Findings {
    /// The closing line.
    pub(crate) fn to_json(&self) -> String {
        json!({
            "changes": self.latencies_ms.len(),
            "p50_ms": percentile(&self.latencies_ms, 50),
            "p99_ms": percentile(&self.latencies_ms, 99),
            "torn": self.torn,
            "all_equal": self.all_equal,
            "held_answers_ok": self.held_answers_ok,
            "released": self.released,
        })
        .to_string()
    }

    /// Everything that is not right.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        let p99 = percentile(&self.latencies_ms, 99);
        for (is_right, complaint) in [
            (self.latencies_ms.len() == CHANGES as usize, "not all changes arrived"),
            (
                p99.is_some_and(|p99| p99 < SLOWEST_P99_MS),
                "changes took too long to arrive",
            ),
            (self.torn == 0, "torn files were read on the standby"),
            (self.all_equal, "the standby's files are not the primary's"),
            (self.held_answers_ok, "the held standby answered what it must not"),
            (self.released, "the standby was not released"),
        ] {
            if !is_right {
                complaints.push(complaint.to_owned());
            }
        }
        complaints
    }

    fn note(&mut self, outcome: Result<()>) -> bool {
        match outcome {
            Ok(()) => true,
            Err(error) => {
                self.failures.push(format!("{error:#}"));
                false
            }
        }
    }
}

/// Changes files, compares, releases.
pub(crate) fn run(pair: &mut Pair, stop: &Stop) -> Findings {
    let mut findings = Findings::default();
    let held_before = findings.note(held::check(pair.standby.ports.gocd));
    let changed = change_everything(pair, stop, &mut findings);
    findings.note(changed);
    let equal = primary_files::are_equal(&pair.primary.folder, &pair.standby.folder);
    findings.all_equal = *equal.as_ref().unwrap_or(&false);
    findings.note(equal.map(|_| ()));
    let held_after = findings.note(held::check(pair.standby.ports.gocd));
    findings.held_answers_ok = held_before && held_after;
    let released = release(pair, stop);
    findings.released = findings.note(released);
    findings
}

fn change_everything(pair: &mut Pair, stop: &Stop, findings: &mut Findings) -> Result<()> {
    let observer = Observer::start(&pair.primary.folder, &pair.standby.folder)?;
    let outcome = change_configuration(pair, stop, &observer, findings)
        .and_then(|()| change_plugins(pair, &observer).context("plugins"));
    findings.torn = observer.torn();
    outcome
}

fn change_configuration(pair: &mut Pair, stop: &Stop, observer: &Observer, findings: &mut Findings) -> Result<()> {
    let mut changes = Changes::of(pair)?;
    for _ in 0..CHANGES {
        stop.sleep(BETWEEN);
        ensure!(!stop.requested(), "interrupted");
        findings.latencies_ms.push(changes.make(pair, observer)?);
    }
    Ok(())
}

fn change_plugins(pair: &Pair, observer: &Observer) -> Result<()> {
    const NAME: &str = "sample-added.jar";
    let folder = pair.primary.folder.plugins();
    let arrives = pair.standby.folder.plugins().join(NAME);
    for (step, version) in [("added", "1.0.0"), ("replaced", "1.1.0")] {
        let jar = sample_plugin::jar("demo.sample.added", version)?;
        let digest = observer.expect(&jar);
        primary_files::put_plugin(&folder, NAME, &jar)?;
        observer.wait_for(&arrives, Some(&digest), LOST).context(step)?;
    }
    primary_files::take_plugin_away(&folder, NAME)?;
    observer.wait_for(&arrives, None, LOST).context("removed")?;
    Ok(())
}

/// Lets the standby go, and waits until its launcher has run, GoCD answers and our plugin's node is in it.
fn release(pair: &mut Pair, stop: &Stop) -> Result<()> {
    pair.standby.promote(&pair.project)?;
    let Pair { project, standby, .. } = pair;
    stop.wait_until("the released standby runs GoCD and our plugin in it", RELEASE, || {
        standby.jvm.must_run()?;
        let log = fs::read(&standby.log).with_context(|| format!("cannot read {}", standby.log.display()))?;
        let status = standby.status(project)?;
        Ok(String::from_utf8_lossy(&log).contains("gocd-host: launcher runs")
            && standby.gocd_is_healthy()
            && status["face"] == "plugin"
            && status["phase"] == "running"
            && status["role"] == "primary")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_perfect_run_has_no_complaint() {
        let perfect = || Findings {
            latencies_ms: vec![12.5; 20],
            all_equal: true,
            held_answers_ok: true,
            released: true,
            ..Findings::default()
        };
        assert!(perfect().complaints().is_empty());
        assert_eq!(
            perfect().to_json(),
            r#"{"all_equal":true,"changes":20,"held_answers_ok":true,"p50_ms":12.5,"p99_ms":12.5,"released":true,"torn":0}"#
        );
        for flawed in [
            Findings { torn: 1, ..perfect() },
            Findings {
                all_equal: false,
                ..perfect()
            },
            Findings {
                latencies_ms: vec![12.5; 19],
                ..perfect()
            },
            Findings {
                latencies_ms: vec![1000.0; 20],
                ..perfect()
            },
            Findings {
                released: false,
                ..perfect()
            },
        ] {
            assert_eq!(flawed.complaints().len(), 1, "{flawed:?}");
        }
        assert!(Findings::default().to_json().contains("\"p99_ms\":null"));
    }
}
