//! Long, hard use of a primary and a standby without JVMs: the engine of `tests/endurance.rs`, at length.
//!
//! Prints one line of JSON for each part, and how far it is meanwhile on standard error.

use anyhow::Result;
use clap::Args;

use crate::{command, companion, project::Project};

/// Options of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakOptions {
    /// Kill standby and primary so often at random instants
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    kills: u32,
    /// Edit for so long first, and measure latency and memory
    #[arg(long, value_name = "MINUTES", default_value_t = 0)]
    minutes: u32,
    /// Repeat the choices of a run that printed this seed
    #[arg(long)]
    seed: Option<u64>,
}

/// The `soak` command.
///
/// # Errors
/// Something was wrong after a kill, or a node did not do its work; the folders of that pair are kept.
pub(crate) fn run(project: &Project, options: &SoakOptions) -> Result<()> {
    companion::build(project)?;
    let mut soak = project.cargo();
    soak.args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "bc-tests",
        "--bin",
        "soak",
        "--",
    ])
    .args([options.kills.to_string(), options.minutes.to_string()]);
    if let Some(seed) = options.seed {
        soak.env("BC_SEED", seed.to_string());
    }
    command::run_printing(&mut soak)
}
