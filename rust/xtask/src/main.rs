//! Builds, checks and shows the project. `cargo xtask ci` is the whole check, `cargo xtask demo` the product
//! at work on this machine.
//!
//! | command | file | does |
//! |---|---|---|
//! | `tools`, `env` | `tools.rs` | finds or installs what builds and tests need |
//! | `natives` | `natives.rs` | the native library, linked for glibc 2.17 |
//! | `jar` | `jar.rs` | the plugin jar, and a check of what is in it |
//! | `host` | `host.rs` | the stand-in GoCD that tests and demo run |
//! | `codegen` | `codegen.rs` | the C header of the natives, compared with Java and with the library |
//! | `deps` | `deps.rs` | who imports whom, licences |
//! | `docs` | `docs.rs` | files, headings and tests that the documents name exist |
//! | `secrets` | `secrets.rs` | no secret of a test is in what the tests said |
//! | `ci` | `ci.rs` | all of it and all tests |
//! | `dist` | `dist.rs` | what is given away, for all platforms |
//! | `soak` | `soak.rs` | kills and long use of two nodes |
//! | `demo` | `demo.rs` | a primary and a standby on this machine |
//! | `real` | `real.rs` | a real GoCD server and agent |
//! | `bench` | `bench.rs` | how fast it is |

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod codegen;
mod command;
mod companion;
mod demo;
mod deps;
mod digest;
mod dist;
mod docs;
mod host;
mod jar;
mod library;
mod natives;
mod platform;
mod ports;
mod project;
mod real;
mod secrets;
mod soak;
mod suite;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{jar::JarOptions, natives::NativesOptions, project::Project};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, check and show GoCD Business Continuity")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what builds and tests need, and print where it is
    Tools,
    /// Print the environment of the tests as export lines for a shell
    Env,
    /// Build the native library into target/natives
    Natives(NativesOptions),
    /// Build and check the plugin jar
    Jar(JarOptions),
    /// Build the stand-in GoCD of tests and demo
    Host,
    /// Write the C header of the natives and compare it with Java and with the library
    Codegen(codegen::CodegenOptions),
    /// Check who imports whom, unsafe code and licences
    Deps,
    /// Check that what the documents name exists
    Docs,
    /// Look for secrets in what tests said that ran with BC_SECRETS_DIR
    Secrets {
        /// The folder that BC_SECRETS_DIR named
        folder: std::path::PathBuf,
    },
    /// Run every check and every test
    Ci(ci::CiOptions),
    /// Build what is given away into target/dist
    Dist(dist::DistOptions),
    /// Kill two nodes a thousand times, or use them for hours
    Soak(soak::SoakOptions),
    /// Run a primary and a held standby on this machine
    Demo(demo::DemoOptions),
    /// Build a real GoCD server and agent from GoCD's sources
    Real(real::RealOptions),
    /// Measure, and print every number with its best and worst value
    Bench(bench::BenchOptions),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let project = Project::of_this_checkout()?;
    match task {
        Task::Tools => tools::install_and_print(&project),
        Task::Env => tools::print_environment(&project),
        Task::Natives(options) => natives::run(&project, &options),
        Task::Jar(options) => jar::run(&project, &options),
        Task::Host => host::build(&project),
        Task::Codegen(options) => codegen::run(&project, &options),
        Task::Deps => deps::check(&project),
        Task::Docs => docs::check(&project),
        Task::Secrets { folder } => secrets::check(&folder),
        Task::Ci(options) => ci::run(&project, &options),
        Task::Dist(options) => dist::run(&project, &options),
        Task::Soak(options) => soak::run(&project, &options),
        Task::Demo(options) => demo::run(&project, &options),
        Task::Real(options) => real::run(&project, &options),
        Task::Bench(options) => bench::run(&project, &options),
    }
}
