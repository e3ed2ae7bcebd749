//! Gradle, on the JDK that builds.

use std::ffi::OsStr;

use anyhow::Result;

use super::BuildTools;
use crate::{command, project::Project};

/// Runs Gradle with these words. Without its daemon, so that nothing of ours stays behind.
pub(crate) fn run<S: AsRef<OsStr>>(
    project: &Project,
    tools: &BuildTools,
    words: impl IntoIterator<Item = S>,
) -> Result<()> {
    let mut gradle = project.command(&tools.gradle);
    gradle
        .args(["--no-daemon", "--console=plain", "--quiet"])
        .args(words)
        .env("JAVA_HOME", &tools.jdk.home);
    command::run(&mut gradle)
}
