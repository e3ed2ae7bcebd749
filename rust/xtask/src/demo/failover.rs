//! A fail-over from the first edit to the former primary as the new standby, and the planned switch back to it, with nobody
//! but `gocd-bc` at work.
//!
//! | step | what happens |
//! |---|---|
//! | write | an edit and a row each second on the primary |
//! | lose | the primary's JVM and wrapper are killed, and its database at the same instant |
//! | promote | `gocd-bc promote` on the standby; then until GoCD answers there |
//! | come back | the former primary's machine boots: its database and GoCD are started as ever, and GoCD is held as fenced; its JVM is killed, and the wrapper starts another one, which is held as well |
//! | return | its database is made the standby of the new one, and its server too, until both follow |
//! | hand back | more edits and rows on the new primary, then `gocd-bc demote --handover` there and `gocd-bc promote` on the former one |

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    command,
    demo::{
        Stop,
        hand_back::{Switched, hand_back},
        numbers::milliseconds,
        pair::Pair,
        two_active::TwoActive,
        writers::{Lost, Writers},
    },
};

/// So many edits and rows before the primary is lost.
const WRITES: usize = 5;
/// What is on its way when the power goes is lost with any replication that does not wait. So the power goes just before the
/// next edit would come, which a machine that is busy with builds needs as well.
const AFTER_THE_LAST: Duration = Duration::from_millis(900);
/// How long each step may take.
const LONG: Duration = Duration::from_secs(120);
/// Steps of a promotion that are the database's.
const OF_DATABASE: [&str; 3] = ["replay-database", "promote-database", "checkpoint"];
/// The goal is 2 s, on a machine that has nothing else to do.
const LONGEST_PROMOTION_MS: f64 = 10_000.0;

/// What was found. Filled as far as the demo came.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    lost_rows: Option<usize>,
    lost_edits: Option<usize>,
    two_active_ms: Option<u64>,
    promote_ms: Option<f64>,
    failover_ms: Option<f64>,
    fenced: bool,
    returned: bool,
    handed_back: Option<Switched>,
    failures: Vec<String>,
}

/// Plays it.
pub(crate) fn run(pair: &mut Pair, stop: &Stop) -> Findings {
    let mut findings = Findings::default();
    let watch = TwoActive::watch([pair.primary.ports.gocd, pair.standby.ports.gocd]);
    if let Err(error) = play(pair, stop, &mut findings) {
        findings.failures.push(format!("{error:#}"));
    }
    findings.two_active_ms = Some(watch.both_ms());
    findings
}

impl Findings {
    /// The closing line.
    pub(crate) fn to_json(&self) -> String {
        json!({
            "lost_rows": self.lost_rows,
            "lost_edits": self.lost_edits,
            "two_active_ms": self.two_active_ms,
            "promote_ms": self.promote_ms,
            "failover_ms": self.failover_ms,
            "fenced": self.fenced,
            "returned": self.returned,
            "handover_lost_rows": self.handed_back.map(|back| back.lost_rows),
            "handover_lost_edits": self.handed_back.map(|back| back.lost_edits),
            "handover_ms": self.handed_back.map(|back| back.release_ms),
        })
        .to_string()
    }

    /// Everything that is not right.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.failures.clone();
        for (is_right, complaint) in [
            (self.lost_rows == Some(0), "rows were lost"),
            (self.lost_edits == Some(0), "edits were lost"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
            (
                self.promote_ms.is_some_and(|took| took < LONGEST_PROMOTION_MS),
                "the promotion took too long",
            ),
            (self.fenced, "the former primary was not held as fenced"),
            (self.returned, "the former primary did not become the standby"),
            (
                self.handed_back
                    .is_some_and(|back| back.lost_rows == 0 && back.lost_edits == 0),
                "the planned switch back was not made, or lost something",
            ),
        ] {
            if !is_right {
                complaints.push(complaint.to_owned());
            }
        }
        complaints
    }
}

fn play(pair: &mut Pair, stop: &Stop, findings: &mut Findings) -> Result<()> {
    let file = pair.primary.folder.cruise_config();
    let original = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    stop.wait_until("the standby and its database follow", LONG, || follows(pair, false))?;
    let databases = pair.databases.as_ref().context("there is no database")?;
    let writers = Writers::start(&pair.primary.folder, &databases.primary, &original, 1)?;
    stop.wait_until(
        "some edits and rows are written",
        LONG,
        || Ok(writers.count() >= WRITES),
    )?;
    let written = writers.finish()?;
    stop.sleep(AFTER_THE_LAST);

    pair.primary.lose()?;
    let databases = pair.databases.as_ref().context("there is no database")?;
    databases.primary.crash()?;
    let lost = Instant::now();
    let mut promote = pair
        .standby
        .companion(&pair.project, &["promote", "--yes", "--wait", "0"]);
    command::run(&mut promote).context("gocd-bc promote")?;
    stop.wait_until("GoCD answers on the promoted server", LONG, || {
        Ok(pair.standby.gocd_is_healthy())
    })?;
    findings.failover_ms = Some(milliseconds(lost.elapsed()));
    // GoCD answers before it has loaded our plugin.
    stop.wait_until("the promoted server says how its promotion went", LONG, || {
        findings.promote_ms = without_database(&pair.standby.status(&pair.project)?);
        Ok(findings.promote_ms.is_some())
    })?;
    let of_promotion = Lost::of(&written, &pair.standby.folder, &databases.standby)?;
    (findings.lost_rows, findings.lost_edits) = (Some(of_promotion.rows), Some(of_promotion.edits));

    databases.primary.start_again()?;
    pair.primary.start_again()?;
    stop.wait_until("the former primary is held as fenced", LONG, || {
        pair.primary.is_fenced(&pair.project)
    })?;
    let ended = pair.primary.jvm_of_wrapper();
    pair.primary.kill_jvm_of_wrapper()?;
    stop.wait_until("the wrapper's next JVM is held as fenced", LONG, || {
        let is_fenced = pair.primary.is_fenced(&pair.project)?;
        let is_another = pair.primary.jvm_of_wrapper().is_some_and(|pid| Some(pid) != ended);
        Ok(is_another && is_fenced)
    })?;
    ensure!(!pair.primary.gocd_is_healthy(), "GoCD answers on a fenced server");
    findings.fenced = true;

    come_back(pair, stop)?;
    findings.returned = true;
    findings.handed_back = Some(hand_back(pair, stop, &original)?);
    Ok(())
}

/// Makes the former primary the standby: its database first.
fn come_back(pair: &mut Pair, stop: &Stop) -> Result<()> {
    let databases = pair.databases.as_ref().context("there is no database")?;
    let mut reseed = pair.project.command(pair.project.companion());
    reseed
        .args(["setup", "database-standby", "--reseed", "--write", "--primary"])
        .arg(databases.standby.address())
        .arg("--pgdata")
        .arg(databases.primary.data())
        .arg("--password-file")
        .arg(databases.primary.beside("replication.pgpass"));
    command::run(&mut reseed).context("gocd-bc setup database-standby --reseed")?;
    command::run(&mut pair.primary.companion(&pair.project, &["demote"])).context("gocd-bc demote")?;
    pair.primary.jvm.end();
    pair.primary.start_again()?;
    stop.wait_until("the former primary and its database follow", LONG, || {
        follows(pair, true)
    })
}

/// Whether a server follows the other one, in files and database: the standby, or the former primary that `came_back`.
fn follows(pair: &Pair, came_back: bool) -> Result<bool> {
    let node = if came_back { &pair.primary } else { &pair.standby };
    let status = node.status(&pair.project)?;
    Ok(status["role"] == "standby"
        && status["sync"]["in_sync"] == true
        && status["database"]["following"] == "streaming"
        && status["database"]["loss_bytes"] == 0)
}

/// How long a promotion took without what the database took, in ms.
fn without_database(status: &Value) -> Option<f64> {
    let steps = status["promotion"]["steps"].as_array()?;
    let ours = steps
        .iter()
        .filter(|step| !OF_DATABASE.iter().any(|name| step["step"] == *name));
    Some(ours.filter_map(|step| step["took_ms"].as_f64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect() -> Findings {
        Findings {
            lost_rows: Some(0),
            lost_edits: Some(0),
            two_active_ms: Some(0),
            promote_ms: Some(300.0),
            failover_ms: Some(4000.0),
            fenced: true,
            returned: true,
            handed_back: Some(Switched {
                lost_rows: 0,
                lost_edits: 0,
                release_ms: 200.0,
            }),
            failures: Vec::new(),
        }
    }

    #[test]
    fn only_a_failover_that_loses_nothing_has_no_complaint() {
        assert!(perfect().complaints().is_empty());
        assert_eq!(
            perfect().to_json(),
            r#"{"failover_ms":4000.0,"fenced":true,"handover_lost_edits":0,"handover_lost_rows":0,"handover_ms":200.0,"lost_edits":0,"lost_rows":0,"promote_ms":300.0,"returned":true,"two_active_ms":0}"#
        );
        for flawed in [
            Findings {
                lost_rows: Some(1),
                ..perfect()
            },
            Findings {
                lost_edits: None,
                ..perfect()
            },
            Findings {
                two_active_ms: Some(5),
                ..perfect()
            },
            Findings {
                promote_ms: Some(10_000.0),
                ..perfect()
            },
            Findings {
                fenced: false,
                ..perfect()
            },
            Findings {
                returned: false,
                ..perfect()
            },
            Findings {
                handed_back: None,
                ..perfect()
            },
        ] {
            assert_eq!(flawed.complaints().len(), 1, "{flawed:?}");
        }
    }

    #[test]
    fn what_the_database_took_is_not_counted() {
        let status = json!({"promotion": {"steps": [
            {"step": "preflight", "took_ms": 20},
            {"step": "promote-database", "took_ms": 900},
            {"step": "release", "took_ms": 5},
            {"step": "note", "took_ms": null},
        ]}});
        assert_eq!(without_database(&status), Some(25.0));
        assert_eq!(without_database(&Value::Null), None);
    }
}
