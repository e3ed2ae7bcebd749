//! Every check, in an order that fails early, with the time of each.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    codegen, command, deps, docs,
    failed_tests::FailedTests,
    host, jar, natives,
    platform::Platform,
    project::{Project, Variant},
    secrets,
    tools::{self, BuildTools},
};

/// What is said at the very end, though the check goes on.
type Remarks = Vec<String>;

/// A step of the check.
struct Stage {
    name: &'static str,
    run: fn(&Project, &BuildTools, &mut Remarks) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        run: |project, _, _| command::run(project.cargo().args(["fmt", "--all", "--check"])),
    },
    Stage {
        name: "documents name files",
        run: |project, _, _| docs::check(project),
    },
    Stage {
        name: "imports and licences",
        run: |project, _, _| deps::check(project),
    },
    Stage {
        name: "clippy",
        run: |project, _, _| {
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
        run: |project, tools, _| natives::build(project, tools, Variant::Product, Platform::LinuxX86_64),
    },
    Stage {
        name: "native library that misbehaves",
        run: |project, tools, _| natives::build(project, tools, Variant::Provoke, Platform::LinuxX86_64),
    },
    Stage {
        name: "header of the natives",
        run: |project, tools, _| codegen::verify(project, &tools.jdk),
    },
    Stage {
        name: "plugin jar",
        run: |project, tools, _| jar::build(project, tools, Variant::Product),
    },
    Stage {
        name: "jar that misbehaves",
        run: |project, tools, _| jar::build(project, tools, Variant::Provoke),
    },
    Stage {
        name: "stand-in GoCD",
        run: |project, tools, _| host::build_with(project, tools),
    },
    Stage {
        name: "companion command",
        run: |project, _, _| build_companion(project),
    },
    Stage {
        name: "tests",
        run: |project, _, remarks| test(project, remarks),
    },
    Stage {
        name: "no secret was printed",
        run: |project, _, _| secrets::check(&said(project)),
    },
    Stage {
        name: "documentation",
        run: |project, _, _| document(project),
    },
];

/// The `ci` command.
///
/// # Errors
/// The first stage that fails, by name; the table of times is printed either way.
pub(crate) fn run(project: &Project) -> Result<()> {
    let mut times = Times::default();
    let mut remarks = Remarks::new();
    let outcome = run_stages(project, &mut times, &mut remarks);
    eprintln!("\n{}", times.table());
    for remark in remarks {
        eprintln!("{remark}");
    }
    outcome
}

/// Builds `gocd-bc` with the features that the tests' build has, so that nothing is compiled twice.
pub(crate) fn build_companion(project: &Project) -> Result<()> {
    command::run(
        project
            .cargo()
            .args(["build", "--workspace", "--bin", "gocd-bc", "--locked"]),
    )
}

fn run_stages(project: &Project, times: &mut Times, remarks: &mut Remarks) -> Result<()> {
    let tools = times.measure("tools", || {
        let tools = BuildTools::ready(project)?;
        tools::ensure_for_tests()?;
        tools::environment(project)?;
        Ok(tools)
    })?;
    for stage in STAGES {
        times.measure(stage.name, || (stage.run)(project, &tools, remarks))?;
    }
    Ok(())
}

fn test(project: &Project, remarks: &mut Remarks) -> Result<()> {
    let environment = tools::environment(project)?;
    let mut test = project.cargo();
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("INSTA_UPDATE", "no");
    let folder = said(project);
    secrets::prepare(&folder)?;
    // What passing tests print is looked at as well.
    test.env(secrets::VARIABLE, &folder).args(["--", "--show-output"]);
    let kept = folder.join("said/cargo-test");
    let Err(error) = command::run_keeping(&mut test, &kept) else {
        return Ok(());
    };
    let said = std::fs::read(&kept).with_context(|| format!("cannot read {}", kept.display()))?;
    let failed = FailedTests::parse(&String::from_utf8_lossy(&said));
    remarks.push(format!("tests that failed:\n{}", failed.report()));
    failed.pass_alone(project, &environment).context(error)?;
    remarks.push("They pass alone, time after time: unsteady, to be looked into.".to_owned());
    Ok(())
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
        eprintln!("\n=== {name}");
        let started = Instant::now();
        let outcome = stage();
        self.stages.push((name, started.elapsed()));
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
