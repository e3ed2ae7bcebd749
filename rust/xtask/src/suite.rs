//! The tests of the workspace, as ci runs them.
//!
//! `cargo test` runs one program of tests after the other. Most of ours wait, for a JVM, a database or a time-out, and the
//! last test of each program runs alone; so a few programs run at a time.

mod failed;
mod programs;

use std::{fs, num::NonZero, path::Path, thread};

use anyhow::{Context, Result, ensure};

use crate::{project::Project, secrets, tools};
use failed::{FailedTests, passed_in};

/// How many programs run at a time. One after the other they leave two cores idle for half of the time; three leave them no
/// moment of rest, and tests miss their limits.
const PROGRAMS: usize = 2;

/// Builds and runs all tests. What they print lies in `folder`, where [`secrets`] looks through it, and what is to be read
/// last of it in the file `remarks`.
///
/// # Errors
/// A test does not build, or fails beside the others and alone.
pub(crate) fn run(project: &Project, folder: &Path, remarks: &Path) -> Result<()> {
    let environment = tools::environment(project)?;
    let programs = programs::build(project)?;
    secrets::prepare(folder)?;
    let kept = folder.join("said/tests");
    fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    eprintln!("what they print is in {}", kept.display());
    let ran = programs::run(programs, PROGRAMS, &kept, |command| {
        command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("RUST_TEST_THREADS", threads().to_string())
            // Many tests make something panic; the place that each names is enough.
            .env("RUST_BACKTRACE", "0")
            // What passing tests print is looked at as well.
            .env(secrets::VARIABLE, folder);
    })?;
    let mut failed = FailedTests::default();
    let mut passed = 0;
    for program in &ran {
        let said = fs::read(&program.said).with_context(|| format!("cannot read {}", program.said.display()))?;
        let said = String::from_utf8_lossy(&said);
        passed += passed_in(&said);
        if !program.passed {
            failed.add(&program.target, &said);
        }
    }
    eprintln!("{passed} tests passed");
    if failed.is_empty() {
        ensure!(passed > 0, "no test was run, so nothing was shown");
        return Ok(());
    }
    let alone = failed.pass_alone(project, &environment);
    let remark = format!(
        "tests that failed, and their output is in {}:\n{}{}\n",
        kept.display(),
        failed.report(),
        match alone {
            Ok(()) => "They pass alone, time after time: unsteady, to be looked into.",
            Err(_) => "They do not pass alone.",
        }
    );
    if let Some(logs) = remarks.parent() {
        fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
    }
    fs::write(remarks, &remark).with_context(|| format!("cannot write {}", remarks.display()))?;
    eprintln!("{remark}");
    alone
}

/// How many tests of a program run at a time: since most of them wait for servers that they have started, two cores do
/// four.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).max(4)
}
