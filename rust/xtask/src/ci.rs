//! Every check, in an order that fails early, with the time of each. What they print lies in `target/ci`, and what the
//! tests print where [`secrets`] looks through it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    codegen, command, companion, demo, deps, docs, host, jar, natives,
    platform::Platform,
    project::{Project, Variant},
    secrets, suite,
    tools::{self, BuildTools},
};

/// File of what is said at the very end.
const REMARKS: &str = "remarks";

/// A step of the check.
struct Stage {
    name: &'static str,
    run: fn(&Project, &BuildTools) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "tools",
        run: |project, _| {
            tools::ensure_for_tests()?;
            tools::environment(project).map(|_| ())
        },
    },
    Stage {
        name: "format",
        run: |project, _| command::run(project.cargo().args(["fmt", "--all", "--check"])),
    },
    Stage {
        name: "documents name files",
        run: |project, _| docs::check(project),
    },
    Stage {
        name: "imports and licences",
        run: |project, _| deps::check(project),
    },
    Stage {
        name: "clippy",
        run: |project, _| {
            let mut clippy = project.cargo();
            clippy.args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]);
            command::run(&mut clippy)
        },
    },
    Stage {
        name: "native library",
        run: |project, tools| natives::build(project, tools, Variant::Product, Platform::LinuxX86_64),
    },
    Stage {
        name: "native library that misbehaves",
        run: |project, tools| natives::build(project, tools, Variant::Provoke, Platform::LinuxX86_64),
    },
    Stage {
        name: "header of the natives",
        run: |project, tools| codegen::verify(project, &tools.jdk),
    },
    Stage {
        name: "plugin jar",
        run: |project, tools| jar::build(project, tools, Variant::Product),
    },
    Stage {
        name: "jar that misbehaves",
        run: |project, tools| jar::build(project, tools, Variant::Provoke),
    },
    Stage {
        name: "stand-in GoCD",
        run: host::build_with,
    },
    Stage {
        name: "companion command",
        run: |project, _| companion::build(project),
    },
    Stage {
        name: "demo with databases",
        run: demo::check_with_databases,
    },
    Stage {
        name: "demo of a fail-over",
        run: demo::check_failover,
    },
    Stage {
        name: "tests",
        run: |project, _| suite::run(project, &said(project), &logs(project).join(REMARKS)),
    },
    Stage {
        name: "no secret was printed",
        run: |project, _| secrets::check(&said(project)),
    },
    Stage {
        name: "documentation",
        run: |project, _| document(project),
    },
];

/// What `cargo xtask ci` takes.
#[derive(clap::Args)]
pub(crate) struct CiOptions {
    /// Run this stage alone, with everything that it prints
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
}

/// The `ci` command. Each stage runs as a program of its own and prints into a file, so that what is read here is a
/// line a stage, what failed, and where all of it lies.
///
/// # Errors
/// The first stage that fails, by name; the table of times is printed either way.
pub(crate) fn run(project: &Project, options: &CiOptions) -> Result<()> {
    if let Some(name) = &options.stage {
        return run_stage(project, name);
    }
    let folder = logs(project);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut times = Times::default();
    // Asked for before a stage builds this program anew.
    let program = std::env::current_exe().context("cannot find this program")?;
    let outcome = STAGES
        .iter()
        .try_for_each(|stage| times.measure(stage.name, || run_apart(&program, &folder, stage.name)));
    eprintln!("\n{}", times.table());
    if let Ok(remarks) = fs::read_to_string(folder.join(REMARKS)) {
        eprintln!("{remarks}");
    }
    outcome
}

/// Runs one stage in this process.
fn run_stage(project: &Project, name: &str) -> Result<()> {
    let Some(stage) = STAGES.iter().find(|stage| stage.name == name) else {
        let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("there is no stage `{name}`; there are: {}", names.join(", "));
    };
    (stage.run)(project, &BuildTools::ready(project)?)
}

/// Runs one stage as a program of its own. Where it fails, the end of what it printed is shown.
fn run_apart(program: &Path, folder: &Path, name: &str) -> Result<()> {
    let log = folder.join(format!("{}.log", name.replace(' ', "-")));
    let outcome = command::run_into(Command::new(program).args(["ci", "--stage", name]), &log);
    if outcome.is_err() {
        let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        eprintln!(
            "{}\nall of it: {}",
            command::last_lines(&String::from_utf8_lossy(&said)),
            log.display()
        );
    }
    outcome
}

/// Where the stages print.
fn logs(project: &Project) -> PathBuf {
    project.path("target/ci")
}

/// Where tests leave their secrets and what was said.
fn said(project: &Project) -> PathBuf {
    project.path("target/secrets")
}

/// The library of bc-jni and the program of bc-cli have one name for rustdoc, so it runs for one after the other.
fn document(project: &Project) -> Result<()> {
    for packages in [["--workspace", "--exclude=bc-jni"], ["--package", "bc-jni"]] {
        let mut doc = project.cargo();
        doc.args(["doc", "--no-deps", "--locked", "--document-private-items"])
            .args(packages);
        command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    Ok(())
}

/// How long each stage took.
#[derive(Default)]
struct Times {
    stages: Vec<(&'static str, Duration)>,
}

impl Times {
    fn measure<T>(&mut self, name: &'static str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprint!("{name} …");
        let started = Instant::now();
        let outcome = stage();
        let time = started.elapsed();
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        eprintln!(" {word} in {:.1} s", time.as_secs_f64());
        self.stages.push((name, time));
        outcome.with_context(|| format!("stage `{name}` failed"))
    }

    fn table(&self) -> String {
        let total: Duration = self.stages.iter().map(|(_, time)| *time).sum();
        let mut table = String::new();
        for (name, time) in self.stages.iter().chain([&("in all", total)]) {
            let _ = writeln!(table, "{name:<32}{:>8.1} s", time.as_secs_f64());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_has_every_stage_in_order() {
        let guide = include_str!("../../CONTRIBUTING.md");
        let (_, chapter) = guide.split_once("\n## What ci checks\n").expect("a chapter");
        let cells = chapter
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let names: Vec<_> = cells.flat_map(|cell| cell.split(['`', ','])).collect();
        let names: Vec<_> = names
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(names, STAGES.iter().map(|stage| stage.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_failing_stage_is_named_and_timed() {
        let mut times = Times::default();
        times.measure("first", || Ok(())).expect("succeeds");
        let error = times
            .measure("second", || -> Result<()> { anyhow::bail!("broken") })
            .expect_err("fails");
        assert_eq!(error.to_string(), "stage `second` failed");
        let table = times.table();
        let names: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["first", "second", "in all"]);
    }
}
