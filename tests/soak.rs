//! The long form of the endurance tests: `cargo xtask soak` builds it and runs it. One line of JSON for each part.
//!
//! `soak KILLS MINUTES`, with a seed in `BC_SEED` or one of its own; exit code 1 when something was wrong.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use bc_tests::soak::{kills, large, steady};

/// Bytes of the large first sync that comes before the edits.
const LARGE: u64 = 2 << 30;

fn main() -> Result<ExitCode> {
    let mut arguments = env::args().skip(1);
    let mut number = |name: &str| -> Result<u32> {
        let text = arguments.next().with_context(|| format!("{name} is missing"))?;
        text.parse().with_context(|| format!("{name} is a whole number"))
    };
    let (count, minutes) = (number("the count of kills")?, number("the count of minutes")?);
    let seed = kills::seed()?;
    eprintln!("BC_SEED={seed}");
    let mut is_clean = true;
    if minutes > 0 {
        println!("{}", large::run(LARGE)?.json());
        let report = steady::run(Duration::from_secs(u64::from(minutes) * 60), seed)?;
        println!("{}", report.json());
    }
    if count > 0 {
        let report = kills::run(count, seed);
        println!("{}", report.json(seed));
        for problem in report.bad_sets.iter().chain(&report.failures) {
            eprintln!("{problem}");
        }
        is_clean = report.is_clean();
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
