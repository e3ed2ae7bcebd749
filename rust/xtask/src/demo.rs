//! The product at work on this machine: a primary and a held standby, two JVMs, real files crossing over TLS.
//!
//! | option | does |
//! |---|---|
//! | none | changes the primary's configuration every few seconds and prints how long each change took, until Ctrl-C |
//! | `--check` | 20 changes and three of plugins, then the release of the standby; ends with one line of JSON |
//! | `--keep-running --json` | prints where everything is as one line of JSON and stays until SIGTERM or the end of standard input |
//!
//! All JVMs are ended on every way out. Their folders and logs stay under `target/demo`.

mod check;
mod folders;
mod held;
pub(crate) mod http;
mod jvm;
mod node;
mod observer;
mod pair;
mod primary_files;
mod sample_plugin;
mod show;
mod stop;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    ci, host, jar, natives,
    platform::Platform,
    project::{Project, Variant},
    tools::BuildTools,
};

use self::{pair::Pair, stop::Stop};

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Check the product without a terminal: ends with one line of JSON, and fails if something is not right
    #[arg(long, conflicts_with_all = ["keep_running", "json"])]
    check: bool,
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
    // From here on there are processes to end, so signals no longer end us at once.
    let stop = Stop::on_signals()?;
    let outcome = play(project, &tools, options, &stop);
    if stop.requested() && !options.check {
        return Ok(());
    }
    if outcome.is_err() {
        folders::print_logs(project);
    }
    outcome
}

/// Builds all that runs in the demo.
fn build(project: &Project) -> Result<BuildTools> {
    let tools = BuildTools::ready(project)?;
    natives::build(project, &tools, Variant::Product, Platform::LinuxX86_64)?;
    jar::build(project, &tools, Variant::Product)?;
    host::build_with(project, &tools)?;
    ci::build_companion(project)?;
    Ok(tools)
}

fn play(project: &Project, tools: &BuildTools, options: &DemoOptions, stop: &Stop) -> Result<()> {
    let mut pair = Pair::start(project, &tools.jdk, stop)?;
    if options.check {
        let findings = check::run(&mut pair, stop);
        println!("{}", findings.to_json());
        return match findings.complaints().as_slice() {
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
