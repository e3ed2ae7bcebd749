//! Our contestants in the harness, alone or beside the others.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    Bench,
    numbers::{Goal, Numbers},
};
use crate::command;

const OURS: [&str; 2] = ["ours", "ours-jvm"];

/// Programs that the harness's contestants need.
const RIVALS: [(&str, &[&str]); 13] = [
    ("rsync-loop", &["rsync"]),
    ("inotify-rsync", &["rsync", "inotifywait"]),
    ("inotify-rsync-nodelay", &["rsync", "inotifywait"]),
    ("inotify-rsync-tls", &["rsync", "inotifywait", "stunnel4"]),
    ("inotify-rsync-ssh", &["rsync", "inotifywait", "ssh"]),
    ("lsyncd", &["rsync", "lsyncd"]),
    ("lsyncd-tuned", &["rsync", "lsyncd"]),
    ("syncthing", &["syncthing"]),
    ("syncthing-tuned", &["syncthing"]),
    ("unison-ssh", &["unison", "ssh"]),
    ("rclone-sftp", &["rclone", "ssh"]),
    ("original", &["python3"]),
    ("original-2s", &["python3"]),
];

/// Seconds that one change takes with the harness's pauses around it.
const SECONDS_A_CHANGE: usize = 2;

/// The contestants that run beside ours: those with the names in `wanted`, or all that are installed if it is empty.
///
/// # Errors
/// A name in `wanted` is none of the harness's, or one of its programs is not installed.
pub(crate) fn rivals(wanted: &[String]) -> Result<Vec<&'static str>> {
    let missing = |programs: &[&'static str]| programs.iter().copied().find(|name| command::on_path(name).is_none());
    if wanted.is_empty() {
        let installed = RIVALS.iter().filter(|(_, programs)| missing(programs).is_none());
        return Ok(installed.map(|(name, _)| *name).collect());
    }
    wanted
        .iter()
        .map(|wanted| {
            let (name, programs) = RIVALS.iter().find(|(name, _)| name == wanted).with_context(|| {
                let names = RIVALS.map(|(name, _)| name).join(", ");
                format!("the harness has no {wanted}; it has {names}")
            })?;
            if let Some(program) = missing(programs) {
                bail!("{wanted} needs {program}, which is not installed");
            }
            Ok(*name)
        })
        .collect()
}

pub(crate) fn measure(bench: &Bench<'_>, rivals: &[&str], numbers: &mut Numbers) -> Result<()> {
    for run in 1..=bench.scope.runs {
        let result = run_once(bench, rivals, run)?;
        for contestant in OURS {
            note(&result, contestant, bench.scope.changes, numbers)?;
        }
        numbers.note(result);
    }
    Ok(())
}

fn run_once(bench: &Bench<'_>, rivals: &[&str], run: usize) -> Result<Value> {
    let out = bench.folder.join(format!("harness-{run}"));
    let mut python = bench.with_artefacts("python3".into());
    python
        .arg(bench.harness.join("peers.py"))
        .args([
            "--only",
            &rivals.join(","),
            "--changes",
            &bench.scope.changes.to_string(),
        ])
        .args(["--budget", &(60 + SECONDS_A_CHANGE * bench.scope.changes).to_string()])
        .arg("--out")
        .arg(&out);
    if bench.scope.is_quick {
        python.arg("--quick");
    }
    for contestant in OURS {
        let path = bench.project.path("tests/bench").join(contestant);
        python
            .arg("--contestant")
            .arg(format!("{contestant}={}", path.display()));
    }
    command::run(&mut python)?;
    let path = out.with_extension("json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The numbers of one contestant in one run.
fn note(result: &Value, contestant: &str, changes: usize, numbers: &mut Numbers) -> Result<()> {
    let own = &result["contestants"][contestant];
    ensure!(own["status"] == "ok", "{contestant}: {}", own["status"]);
    let name = |what: &str| format!("{contestant}: {what}");
    let number = |value: &Value, what: &str| value.as_f64().with_context(|| format!("the harness has no {what}"));
    let ms = |value: &Value, what: &str| Ok::<_, anyhow::Error>(number(value, what)? * 1000.0);

    let change = &own["change"];
    let made = &change["n"];
    ensure!(*made == changes, "{contestant}: {made} of {changes} changes were made");
    let fastest = fastest_encrypted(result);
    let p50 = fastest.map_or(15.0, |seconds| f64::min(15.0, seconds * 500.0));
    numbers.add(
        &name("change, p50"),
        "ms",
        Goal::Under(p50),
        ms(&change["p50_s"], "p50")?,
    );
    numbers.add(
        &name("change, p99"),
        "ms",
        Goal::Under(40.0),
        ms(&change["p99_s"], "p99")?,
    );
    numbers.add(&name("change, longest"), "ms", Goal::None, ms(&change["max_s"], "max")?);
    let mut bad = number(&change["lost"], "lost")? + number(&change["torn_reads"], "torn")?;

    let burst = &own["burst"];
    bad += number(&burst["torn_reads"], "torn")?;
    numbers.add(
        &name("burst, last close to right"),
        "ms",
        Goal::Under(60.0),
        ms(&burst["p50_s"], "burst")?,
    );
    bad += number(&own["twin"]["lost"], "lost twins")?;
    numbers.add(&name("torn, lost or missing in all changes"), "states", Goal::Zero, bad);

    let durable = number(&own["first"]["durable_s"], "first sync")?;
    let limits = &result["limits_s"];
    let limit = f64::max(number(&limits["cp"], "cp")?, number(&limits["tls"], "tls")?);
    numbers.add(&name("first sync, durable"), "s", Goal::None, durable);
    // A JVM starts in about a second, which says nothing of the sync.
    let goal = if contestant == "ours" {
        Goal::AtLeast(0.9)
    } else {
        Goal::AtLeast(0.0)
    };
    numbers.add(
        &name("first sync, part of the slower limit"),
        "x",
        goal,
        limit / durable,
    );
    for step in ["add", "replace", "delete"] {
        numbers.add(
            &name(&format!("plugin of 20 MB, {step}")),
            "ms",
            Goal::None,
            ms(&own["plugin"][step]["p50_s"], step)?,
        );
    }
    numbers.add(
        &name("restart of both nodes"),
        "ms",
        Goal::None,
        ms(&own["restart"]["p50_s"], "restart")?,
    );
    Ok(())
}

/// The p50 of the fastest other contestant that encrypts, in seconds.
fn fastest_encrypted(result: &Value) -> Option<f64> {
    result["contestants"]
        .as_object()?
        .iter()
        .filter(|(name, other)| !OURS.contains(&name.as_str()) && other["info"]["encrypted"] == true)
        .filter_map(|(_, other)| other["change"]["p50_s"].as_f64())
        .min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rival_that_the_harness_has_not_is_named() {
        let error = rivals(&["rsink".to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("the harness has no rsink; it has rsync-loop, "),
            "{error}"
        );
    }

    #[test]
    fn the_fastest_encrypted_rival_sets_the_goal() {
        let rival = |encrypted, p50: f64| json!({"info": {"encrypted": encrypted}, "change": {"p50_s": p50}});
        let mut result = json!({"contestants": {
            "ours": rival(true, 0.001), "plain": rival(false, 0.002), "slow": rival(true, 0.05), "fast": rival(true, 0.02),
        }});
        assert_eq!(fastest_encrypted(&result), Some(0.02));
        result["contestants"] = json!({"ours": rival(true, 0.001)});
        assert_eq!(fastest_encrypted(&result), None);
    }
}
