//! How fast the product is, in numbers, beside the goals.
//!
//! | file | measures |
//! |---|---|
//! | `harness.rs` | our contestants under `tests/bench`, in the harness that runs other replicators the same way |
//! | `restart.rs` | a standby that starts again, in sync but for one edit |
//! | `idle.rs` | processor time and memory of both nodes while nothing happens, as processes and in JVMs |
//! | `memory.rs` | what the jar adds to a JVM |
//! | `standbys.rs` | one change with many standbys |
//! | `site.rs` | a primary and a standby with the harness's data, started by our contestants |
//! | `numbers.rs` | the table: every number with the best and the worst of the runs |
//!
//! Everything is built first, optimised as what is given away. The table goes to standard output, all values to
//! `target/bench/results.json`.

mod harness;
mod idle;
mod memory;
mod numbers;
mod process;
mod restart;
mod site;
mod standbys;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    command, host, jar, natives,
    platform::Platform,
    project::{Project, Variant},
    tools::BuildTools,
};

use self::numbers::Numbers;

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// The folder of the harness; `../shared/bench` beside the checkout unless given
    #[arg(long, env = "BC_BENCH_HARNESS", value_name = "DIR")]
    harness: Option<PathBuf>,
    /// Run the harness's own contestants too: those named, or all that are installed
    #[arg(long, value_name = "NAME", value_delimiter = ',', num_args = 0.., require_equals = true)]
    rivals: Option<Vec<String>>,
    /// Few repetitions and little data: whether everything still works, in a few minutes
    #[arg(long)]
    quick: bool,
    /// How often everything is measured [default: 3, with --quick 1]
    #[arg(long)]
    runs: Option<usize>,
    /// Changes of the configuration in one run [default: 500, with --quick 5]
    #[arg(long)]
    changes: Option<usize>,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Both contestants in the harness.
    Harness,
    /// The restart of a standby.
    Restart,
    /// The cost of doing nothing.
    Idle,
    /// What the jar adds to a JVM.
    Memory,
    /// Many standbys.
    Standbys,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scope {
    is_quick: bool,
    runs: usize,
    changes: usize,
}

/// What the measurements need.
struct Bench<'a> {
    project: &'a Project,
    tools: &'a BuildTools,
    harness: PathBuf,
    folder: PathBuf,
    scope: Scope,
}

/// The `bench` command.
pub(crate) fn run(project: &Project, options: &BenchOptions) -> Result<()> {
    let scope = Scope {
        is_quick: options.quick,
        runs: options.runs.unwrap_or(if options.quick { 1 } else { 3 }),
        changes: options.changes.unwrap_or(if options.quick { 5 } else { 500 }),
    };
    let harness = options
        .harness
        .clone()
        .unwrap_or_else(|| project.path("../shared/bench"));
    ensure!(
        harness.join("peers.py").is_file(),
        "{} is not the harness; name its folder with --harness",
        harness.display()
    );
    let rivals = match &options.rivals {
        Some(names) => harness::rivals(names)?,
        None => Vec::new(),
    };
    let tools = build(project)?;
    let folder = project.target().join("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bench = Bench {
        project,
        tools: &tools,
        harness,
        folder,
        scope,
    };
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut numbers = Numbers::default();
    if wanted(Part::Restart) {
        restart::measure(&bench, &mut numbers)?;
    }
    if wanted(Part::Idle) {
        idle::measure(&bench, &mut numbers)?;
    }
    if wanted(Part::Memory) {
        memory::measure(&bench, &mut numbers)?;
    }
    if wanted(Part::Standbys) {
        standbys::measure(&bench, &mut numbers)?;
    }
    if wanted(Part::Harness) {
        harness::measure(&bench, &rivals, &mut numbers)?;
    }
    let results = bench.folder.join("results.json");
    let text = serde_json::to_string_pretty(&numbers.to_json())?;
    fs::write(&results, text + "\n").with_context(|| format!("cannot write {}", results.display()))?;
    println!("{}", numbers.table());
    eprintln!("all values: {}", results.display());
    Ok(())
}

impl Bench<'_> {
    /// A command with the environment that our contestants read.
    fn contestant(&self, name: &str) -> std::process::Command {
        self.with_artefacts(self.project.path("tests/bench").join(name))
    }

    fn with_artefacts(&self, program: PathBuf) -> std::process::Command {
        let mut command = self.project.command(program);
        command
            .env("BC_CLI", optimised_companion(self.project))
            .env("BC_JAR", self.project.jar(Variant::Optimised))
            .env("BC_HOST_JAR", self.project.host_jar())
            .env("BC_JAVA", self.tools.jdk.program("java"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

fn optimised_companion(project: &Project) -> PathBuf {
    project.path("target/release/gocd-bc")
}

fn build(project: &Project) -> Result<BuildTools> {
    let tools = BuildTools::ready(project)?;
    command::run(
        project
            .cargo()
            .args(["build", "--locked", "--release", "--package", "bc-cli"]),
    )?;
    natives::build(project, &tools, Variant::Optimised, Platform::LinuxX86_64)?;
    jar::build(project, &tools, Variant::Optimised)?;
    host::build_with(project, &tools)?;
    Ok(tools)
}
