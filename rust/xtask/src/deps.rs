//! Who imports whom, and under which licences all of it stands.
//!
//! cargo-deny 0.20 knows licences, bans and sources too, and checks them without a network in a second. But it must be
//! built before it can look, on each machine anew: 165 crates, 230 s of one processor, where this check is built with the
//! other tools. Its advisories need a database from the network, and it knows nothing of the modules of a crate.

mod imports;
mod licences;
mod rooms;

use anyhow::{Result, bail};

use crate::project::Project;

/// The `deps` command: prints every violation and fails if there is one.
pub(crate) fn check(project: &Project) -> Result<()> {
    let metadata = project.metadata(&[])?;
    let mut violations = imports::violations(&metadata)?;
    violations.extend(licences::violations(&metadata)?);
    violations.extend(rooms::violations(project)?);
    if violations.is_empty() {
        return Ok(());
    }
    bail!(
        "{} dependency rules are broken:\n  {}",
        violations.len(),
        violations.join("\n  ")
    )
}
