//! The product at work on this machine: a primary and a held standby, two JVMs, real files crossing over TLS.
//!
//! | option | does |
//! |---|---|
//! | none | changes the primary's configuration every few seconds and prints how long each change took, until Ctrl-C |
//! | `--check` | 20 changes and three of plugins, then the release of the standby; ends with one line of JSON |
//! | `--keep-running --json` | prints where everything is as one line of JSON and stays until SIGTERM or the end of standard input |
//! | `--database` | besides, each server has a PostgreSQL, and the commands of the product make one the standby of the other; a row is written each 100 ms, and its way is shown as well |
//! | `--failover` | both under the Tanuki wrapper; the primary is killed, the standby promoted, the former primary started again and made the standby; ends with one line of JSON |
//! | `--database --check` | rows and changes for 5 s, then the doctor on both; ends with one line of JSON |
//!
//! All JVMs and databases are ended on every way out. Folders and logs of the JVMs, and logs of the databases, stay under
//! `target/demo`.

mod changes;
mod check;
mod database_check;
pub(crate) mod databases;
mod failover;
pub(crate) mod folders;
mod hand_back;
mod held;
pub(crate) mod http;
pub(crate) mod jvm;
pub(crate) mod node;
pub(crate) mod numbers;
mod observer;
mod pair;
pub(crate) mod postgres;
mod primary_files;
mod rows;
mod sample_plugin;
mod session;
mod show;
mod stop;
pub(crate) mod two_active;
mod wrapper;
mod writers;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    companion, host, jar, natives,
    platform::Platform,
    project::{Project, Variant},
    tools::{self, BuildTools},
};

pub(crate) use self::stop::Stop;

use self::pair::{Beside, Pair};

/// Options of `cargo xtask demo`.
#[derive(Debug, Default, Args)]
pub(crate) struct DemoOptions {
    /// Check the product without a terminal: ends with one line of JSON, and fails if something is not right
    #[arg(long, conflicts_with_all = ["keep_running", "json"])]
    check: bool,
    /// With a PostgreSQL for each server, one of which follows the other
    #[arg(long)]
    database: bool,
    /// Lose the primary, promote the standby, and bring the former primary back as the standby; ends with one line of JSON
    #[arg(long, conflicts_with_all = ["check", "database", "keep_running", "json"])]
    failover: bool,
    /// Change nothing; stay until SIGTERM or the end of standard input
    #[arg(long)]
    keep_running: bool,
    /// Print where everything is as one line of JSON
    #[arg(long, requires = "keep_running")]
    json: bool,
}

/// The `demo` command.
pub(crate) fn run(project: &Project, options: &DemoOptions) -> Result<()> {
    let tools = build(project)?;
    play_and_print(project, &tools, options)
}

/// What `cargo xtask demo --database --check` does, once everything is built.
pub(crate) fn check_with_databases(project: &Project, tools: &BuildTools) -> Result<()> {
    let options = DemoOptions {
        check: true,
        database: true,
        ..DemoOptions::default()
    };
    play_and_print(project, tools, &options)
}

/// What `cargo xtask demo --failover` does, once everything is built.
pub(crate) fn check_failover(project: &Project, tools: &BuildTools) -> Result<()> {
    let options = DemoOptions {
        failover: true,
        ..DemoOptions::default()
    };
    play_and_print(project, tools, &options)
}

fn play_and_print(project: &Project, tools: &BuildTools, options: &DemoOptions) -> Result<()> {
    // From here on there are processes to end, so signals no longer end us at once.
    let stop = Stop::on_signals()?;
    let outcome = play(project, tools, options, &stop);
    if stop.requested() && !options.check && !options.failover {
        return Ok(());
    }
    if outcome.is_err() {
        folders::print_logs(project);
    }
    outcome
}

/// Builds all that runs in the demo.
pub(crate) fn build(project: &Project) -> Result<BuildTools> {
    let tools = BuildTools::ready(project)?;
    natives::build(project, &tools, Variant::Product, Platform::LinuxX86_64)?;
    jar::build(project, &tools, Variant::Product)?;
    host::build_with(project, &tools)?;
    companion::build(project)?;
    Ok(tools)
}

fn play(project: &Project, tools: &BuildTools, options: &DemoOptions, stop: &Stop) -> Result<()> {
    let beside = Beside {
        databases: options.database || options.failover,
        wrapper: options.failover,
    };
    if beside.wrapper {
        tools::ensure_wrapper()?;
    }
    let mut pair = Pair::start(project, &tools.jdk, beside, stop)?;
    if options.check || options.failover {
        let (line, complaints) = if options.failover {
            let findings = failover::run(&mut pair, stop);
            (findings.to_json(), findings.complaints())
        } else if options.database {
            let findings = database_check::run(&mut pair, stop);
            (findings.to_json(), findings.complaints())
        } else {
            let findings = check::run(&mut pair, stop);
            (findings.to_json(), findings.complaints())
        };
        println!("{line}");
        return match complaints.as_slice() {
            [] => Ok(()),
            complaints => bail!("not everything is right:\n  {}", complaints.join("\n  ")),
        };
    }
    if options.keep_running {
        show::print_places(&pair, options.json);
        return show::wait_for_the_end(&mut pair, stop);
    }
    show::print_places(&pair, false);
    show::change_until_stopped(&mut pair, stop)
}
