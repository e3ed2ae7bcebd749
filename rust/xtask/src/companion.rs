//! The companion command, as tests and demo run it.

use anyhow::Result;

use crate::{command, project::Project};

/// Builds `gocd-bc` with the features that the tests' build has, so that nothing is compiled twice.
pub(crate) fn build(project: &Project) -> Result<()> {
    command::run(
        project
            .cargo()
            .args(["build", "--workspace", "--bin", "gocd-bc", "--locked"]),
    )
}
