//! One change with many standbys, measured by the benchmark `standbys` of bc-server.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    Bench,
    numbers::{Goal, Numbers},
    optimised_companion,
};
use crate::command;

pub(crate) fn measure(bench: &Bench<'_>, numbers: &mut Numbers) -> Result<()> {
    let (standbys, changes) = if bench.scope.is_quick {
        ("20", "3")
    } else {
        ("100", "20")
    };
    for _ in 0..bench.scope.runs {
        let mut cargo = bench.project.cargo();
        cargo
            .args([
                "bench",
                "--locked",
                "--package",
                "bc-server",
                "--bench",
                "standbys",
                "--",
            ])
            .args(["--standbys", standbys, "--changes", changes])
            .env("BC_CLI", optimised_companion(bench.project));
        let printed = command::read(&mut cargo)?;
        let line = printed.lines().last().context("the benchmark printed nothing")?;
        let result: Value = serde_json::from_str(line).context("the benchmark printed no JSON")?;
        let number = |key: &str| result[key].as_f64().with_context(|| format!("no {key}"));
        let name = |what: &str| format!("{standbys} standbys: {what}");
        numbers.add(&name("a change, p50"), "ms", Goal::None, number("p50_ms")?);
        numbers.add(&name("a change, p99"), "ms", Goal::Under(1000.0), number("p99_ms")?);
        numbers.add(
            &name("until the last has it, worst"),
            "ms",
            Goal::None,
            number("last_max_ms")?,
        );
        numbers.add(
            &name("primary's memory for each"),
            "KiB",
            Goal::Under(100.0),
            number("primary_kib_per_standby")?,
        );
        numbers.note(result);
    }
    Ok(())
}
