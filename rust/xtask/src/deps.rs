//! Who imports whom, where unsafe code is, and under which licences all of it stands.

mod imports;
mod licences;
mod unsafe_code;

use anyhow::{Result, bail};

use crate::project::Project;

/// The `deps` command: prints every violation and fails if there is one.
pub(crate) fn check(project: &Project) -> Result<()> {
    let metadata = project.metadata(&[])?;
    let mut violations = imports::violations(&metadata)?;
    violations.extend(licences::violations(&metadata)?);
    violations.extend(unsafe_code::violations(project)?);
    if violations.is_empty() {
        return Ok(());
    }
    bail!(
        "{} dependency rules are broken:\n  {}",
        violations.len(),
        violations.join("\n  ")
    )
}
