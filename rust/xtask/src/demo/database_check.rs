//! The demo with databases as a check: rows and files cross at the same time, and the doctor looks at both hosts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    demo::{
        Stop,
        changes::Changes,
        node::Node,
        numbers::{milliseconds, percentile},
        observer::Observer,
        pair::Pair,
        postgres::Postgres,
        rows::Rows,
    },
    project::Project,
};

/// As long rows are written.
const WRITES_FOR: Duration = Duration::from_secs(5);
/// Pause between two changes of cruise-config.xml meanwhile.
const BETWEEN: Duration = Duration::from_millis(500);
/// As long a node may take to say that its database follows.
const FOLLOWS: Duration = Duration::from_secs(30);
/// Fewer rows than this say nothing.
const FEWEST_ROWS: usize = 30;
/// Beyond these the product does not do what it is for, on a machine that is busy with builds.
const SLOWEST_P99_MS: f64 = 1000.0;
const FARTHEST_BYTES: u64 = 1 << 20;
/// Most of a set-up is the base backup, which waits for the disk.
const LONGEST_SETUP_MS: f64 = 60_000.0;
const LONGEST_DOCTOR_MS: f64 = 10_000.0;

/// What was found. Filled as far as the check came.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    rows_ms: Vec<f64>,
    files_ms: Vec<f64>,
    /// What the standby's node has said while rows were written, the most of it.
    lag_bytes: Option<u64>,
    setup_primary_ms: f64,
    setup_standby_ms: f64,
    /// The slower of both hosts.
    doctor_ms: Option<f64>,
    /// What the doctor found on each, with its level first.
    doctor: Vec<String>,
    failures: Vec<String>,
}

/// Writes rows and changes files, and has the doctor look.
pub(crate) fn run(pair: &mut Pair, stop: &Stop) -> Findings {
    let mut findings = Findings::default();
    if let Err(error) = look(pair, stop, &mut findings) {
        findings.failures.push(format!("{error:#}"));
    }
    findings
}

impl Findings {
    /// The closing line.
    pub(crate) fn to_json(&self) -> String {
        json!({
            "rows": self.rows_ms.len(),
            "lag_bytes": self.lag_bytes,
            "lag_ms_p99": percentile(&self.rows_ms, 99),
            "files_ms_p99": percentile(&self.files_ms, 99),
            "setup_primary_ms": self.setup_primary_ms,
            "setup_standby_ms": self.setup_standby_ms,
            "doctor_ms": self.doctor_ms,
            "findings": self.doctor,
        })
        .to_string()
    }

    /// Everything that is not right.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        let is_fast = |values: &[f64]| percentile(values, 99).is_some_and(|p99| p99 < SLOWEST_P99_MS);
        for (is_right, complaint) in [
            (self.rows_ms.len() >= FEWEST_ROWS, "too few rows arrived"),
            (is_fast(&self.rows_ms), "rows took too long to arrive"),
            (is_fast(&self.files_ms), "changes of files took too long to arrive"),
            (
                self.lag_bytes.is_some_and(|bytes| bytes < FARTHEST_BYTES),
                "the standby's node did not say that its database is close behind",
            ),
            (
                self.setup_primary_ms + self.setup_standby_ms < LONGEST_SETUP_MS,
                "both set-ups took too long together",
            ),
            (
                self.doctor_ms.is_some_and(|took| took < LONGEST_DOCTOR_MS),
                "the doctor took too long",
            ),
            (
                !self.doctor.iter().any(|finding| finding.starts_with("CRITICAL")),
                "the doctor found something that is CRITICAL",
            ),
        ] {
            if !is_right {
                complaints.push(complaint.to_owned());
            }
        }
        complaints
    }
}

fn look(pair: &mut Pair, stop: &Stop, findings: &mut Findings) -> Result<()> {
    let databases = pair.databases.as_ref().context("there is no database")?;
    findings.setup_primary_ms = milliseconds(databases.setup_primary);
    findings.setup_standby_ms = milliseconds(databases.setup_standby);
    stop.wait_until("the standby's node says that its database follows", FOLLOWS, || {
        Ok(behind_bytes(pair)?.is_some())
    })?;
    let databases = pair.databases.as_ref().context("there is no database")?;
    let rows = Rows::start(databases)?;
    let changed = change_files(pair, stop, findings);
    findings.rows_ms = rows.finish().context("rows")?;
    changed.context("files")?;
    let databases = pair.databases.as_ref().context("there is no database")?;
    for (name, node, server) in [
        ("primary", &pair.primary, &databases.primary),
        ("standby", &pair.standby, &databases.standby),
    ] {
        ask_doctor(&pair.project, name, node, server, findings).with_context(|| format!("the doctor on the {name}"))?;
    }
    Ok(())
}

/// As long as rows are written.
fn change_files(pair: &mut Pair, stop: &Stop, findings: &mut Findings) -> Result<()> {
    let observer = Observer::start(&pair.primary.folder, &pair.standby.folder)?;
    let mut changes = Changes::of(pair)?;
    let end = Instant::now() + WRITES_FOR;
    while Instant::now() < end {
        ensure!(!stop.requested(), "interrupted");
        findings.files_ms.push(changes.make(pair, &observer)?);
        let bytes = behind_bytes(pair)?.context("the standby's node says that its database does not stream")?;
        findings.lag_bytes = findings.lag_bytes.max(Some(bytes));
        stop.sleep(BETWEEN);
    }
    ensure!(observer.torn() == 0, "torn files were read on the standby");
    Ok(())
}

/// How far the standby's node says that its database is behind; none while it does not stream.
fn behind_bytes(pair: &Pair) -> Result<Option<u64>> {
    let database = pair.standby.status(&pair.project)?["database"].take();
    let streams = database["following"] == "streaming";
    Ok(database["behind_bytes"].as_u64().filter(|_| streams))
}

fn ask_doctor(project: &Project, name: &str, node: &Node, server: &Postgres, findings: &mut Findings) -> Result<()> {
    let mut doctor = node.companion(project, &["doctor", "--json"]);
    doctor.arg("--pgdata").arg(server.data());
    let begin = Instant::now();
    let output = doctor.output().context("cannot start it")?;
    let took = milliseconds(begin.elapsed());
    findings.doctor_ms = Some(findings.doctor_ms.map_or(took, |other| other.max(took)));
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&output.stderr)))?;
    let found = answer["findings"].as_array().context("no findings in its answer")?;
    for finding in found {
        let text = |key: &str| finding[key].as_str().unwrap_or("?");
        let short = format!("{} {name}: {}", text("level"), text("name"));
        eprintln!("{short}: {}", text("seen"));
        findings.doctor.push(short);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect() -> Findings {
        Findings {
            rows_ms: vec![2.5; 50],
            files_ms: vec![12.5; 10],
            lag_bytes: Some(0),
            setup_primary_ms: 1000.0,
            setup_standby_ms: 2000.0,
            doctor_ms: Some(500.0),
            ..Findings::default()
        }
    }

    #[test]
    fn only_a_pair_that_follows_has_no_complaint() {
        assert!(perfect().complaints().is_empty());
        assert_eq!(
            perfect().to_json(),
            r#"{"doctor_ms":500.0,"files_ms_p99":12.5,"findings":[],"lag_bytes":0,"lag_ms_p99":2.5,"rows":50,"setup_primary_ms":1000.0,"setup_standby_ms":2000.0}"#
        );
        for flawed in [
            Findings {
                rows_ms: vec![2.5; 3],
                ..perfect()
            },
            Findings {
                rows_ms: vec![1000.0; 50],
                ..perfect()
            },
            Findings {
                files_ms: Vec::new(),
                ..perfect()
            },
            Findings {
                lag_bytes: None,
                ..perfect()
            },
            Findings {
                setup_standby_ms: 59_000.0,
                ..perfect()
            },
            Findings {
                doctor_ms: None,
                ..perfect()
            },
            Findings {
                doctor: vec!["CRITICAL standby: following".to_owned()],
                ..perfect()
            },
        ] {
            assert_eq!(flawed.complaints().len(), 1, "{flawed:?}");
        }
        let warned = Findings {
            doctor: vec!["WARNING primary: node-says".to_owned()],
            ..perfect()
        };
        assert!(warned.complaints().is_empty());
    }
}
