//! The stand-in GoCD of tests and demo.

use anyhow::{Result, ensure};

use crate::{
    project::Project,
    tools::{BuildTools, gradle},
};

/// The `host` command.
pub(crate) fn build(project: &Project) -> Result<()> {
    build_with(project, &BuildTools::ready(project)?)
}

/// Builds its launcher jar.
pub(crate) fn build_with(project: &Project, tools: &BuildTools) -> Result<()> {
    gradle::run(project, tools, ["--project-dir", "tests/gocd-host", "assemble"])?;
    let jar = project.host_jar();
    ensure!(jar.is_file(), "Gradle has not made {}", jar.display());
    Ok(())
}
