//! The programs of tests: which there are, and a few of them run at a time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{command, project::Project};

/// Packages with the programs that take longest, those with whole servers: they begin first, so that none runs last.
const LONGEST: [&str; 3] = ["bc-tests", "bc-cli", "bc-server"];

/// Tests that run as one program; for the examples in documentation that program is cargo.
#[derive(Debug)]
pub(super) struct Program {
    /// Arguments by which `cargo test` finds it, such as `-p bc-core --lib`.
    pub(super) target: String,
    command: Command,
}

/// What one program did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) target: String,
    pub(super) passed: bool,
    /// The file with all that it printed.
    pub(super) said: PathBuf,
}

/// A line of `cargo --message-format=json`, as far as it is read here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// Builds the tests of the workspace.
///
/// # Errors
/// One does not build.
pub(super) fn build(project: &Project) -> Result<Vec<Program>> {
    let names = package_names(project)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let mut programs = Vec::new();
    for line in command::read(&mut cargo)?.lines() {
        let message = serde_json::from_str(line).with_context(|| format!("cargo printed `{line}`"))?;
        programs.extend(program(project, &names, message));
    }
    if programs.is_empty() {
        bail!("cargo has built no tests");
    }
    programs.sort_by_cached_key(|program| (rank(&program.target), program.target.clone()));
    let mut examples = project.cargo();
    examples.args(["test", "--workspace", "--locked", "--doc", "--"]);
    programs.push(Program {
        target: "--workspace --doc".to_owned(),
        command: examples,
    });
    Ok(programs)
}

/// Runs all programs, `at_once` of them at a time, also where one fails. What each prints lies in `folder`.
///
/// # Errors
/// One cannot be started, or what it prints cannot be written.
pub(super) fn run(
    programs: Vec<Program>,
    at_once: usize,
    folder: &Path,
    prepare: impl Fn(&mut Command),
) -> Result<Vec<Ran>> {
    let (waiting, next) = mpsc::channel();
    for mut program in programs {
        prepare(program.command.arg("--show-output"));
        waiting.send(program).context("nobody waits for a program")?;
    }
    drop(waiting);
    let next = Mutex::new(next);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(|| work(&next, folder))).collect();
        let mut ran = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => ran.extend(outcome?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(ran)
    })
}

/// Runs one program after the other until none is left.
fn work(next: &Mutex<Receiver<Program>>, folder: &Path) -> Result<Vec<Ran>> {
    let mut ran = Vec::new();
    loop {
        let program = match next.lock() {
            Ok(next) => next.recv(),
            Err(_) => bail!("another program could not be run"),
        };
        let Ok(Program { target, mut command }) = program else {
            return Ok(ran);
        };
        let said = folder.join(target.replace("-p ", "").replace(" --", "-").replace(' ', "-"));
        let started = Instant::now();
        let passed = command::status_into(&mut command, &said)?.success();
        let word = if passed { "passed" } else { "FAILED" };
        eprintln!("{word} in {:>5.1} s: {target}", started.elapsed().as_secs_f64());
        ran.push(Ran { target, passed, said });
    }
}

/// The program of tests that a message of cargo tells of.
fn program(project: &Project, names: &HashMap<PathBuf, String>, message: Message) -> Option<Program> {
    let (executable, manifest, target) = (message.executable?, message.manifest_path?, message.target?);
    if !message.profile?.test {
        return None;
    }
    let package = names.get(&manifest)?;
    let target = match target.kind.first()?.as_str() {
        kind @ ("bin" | "test") => format!("-p {package} --{kind} {}", target.name),
        _ => format!("-p {package} --lib"),
    };
    let mut command = project.command(&executable);
    // As cargo starts it.
    let folder = manifest.parent()?;
    command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
    Some(Program { target, command })
}

/// Name of each package by its manifest.
fn package_names(project: &Project) -> Result<HashMap<PathBuf, String>> {
    let metadata = project.metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array();
    let packages = packages.context("cargo metadata lists no packages")?.iter();
    let named = packages.filter_map(|package| {
        let manifest = package["manifest_path"].as_str()?;
        Some((manifest.into(), package["name"].as_str()?.to_owned()))
    });
    Ok(named.collect())
}

/// How early a program begins.
fn rank(target: &str) -> usize {
    let package = target.split(' ').nth(1);
    let place = LONGEST.iter().position(|longest| Some(*longest) == package);
    place.unwrap_or(LONGEST.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(target: &str, script: &str) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program {
            target: target.to_owned(),
            command,
        }
    }

    #[test]
    fn all_run_at_most_so_many_at_once_and_each_says_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        // Each leaves a file while it runs, and says how many it sees.
        let script = format!(
            "cd {}; touch $$; sleep 0.1; ls | grep -c '^[0-9]*$'; rm $$",
            folder.path().display()
        );
        let programs = (0..6).map(|number| shell(&format!("-p a --test t{number}"), &script));
        let programs = programs
            .chain([shell("-p a --lib", "echo broken $0; exit 3")])
            .collect();
        let ran = run(programs, 2, folder.path(), |_| ()).expect("they run");
        assert_eq!(ran.len(), 7);
        for Ran { target, passed, said } in ran {
            let said = std::fs::read_to_string(said).expect("what it said");
            if target == "-p a --lib" {
                assert_eq!((passed, said.trim()), (false, "broken --show-output"));
            } else {
                let together: usize = said.trim().parse().expect("a number");
                assert!(passed && (1..=2).contains(&together), "{target}: {together}");
            }
        }
    }

    #[test]
    fn programs_of_whole_servers_begin_first() {
        let mut targets = [
            "-p bc-core --lib",
            "-p bc-server --lib",
            "-p bc-tests --test hold",
            "-p xtask --bin xtask",
        ];
        targets.sort_by_key(|target| rank(target));
        assert_eq!(
            targets,
            [
                "-p bc-tests --test hold",
                "-p bc-server --lib",
                "-p bc-core --lib",
                "-p xtask --bin xtask"
            ]
        );
    }
}
