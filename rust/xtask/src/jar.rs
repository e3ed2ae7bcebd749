//! The plugin jar: natives first, then Gradle, then a look at what is in it.

mod contents;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::{
    natives,
    platform::Platform,
    project::{JAR, Project, Variant},
    tools::{BuildTools, gradle},
};

/// Options of `cargo xtask jar`.
#[derive(Debug, Args)]
pub(crate) struct JarOptions {
    /// Build the jar with the library that misbehaves on request, into target/provoke-jar; only for tests
    #[arg(long)]
    provoke: bool,
}

/// The `jar` command.
pub(crate) fn run(project: &Project, options: &JarOptions) -> Result<()> {
    let variant = if options.provoke {
        Variant::Provoke
    } else {
        Variant::Product
    };
    let tools = BuildTools::ready(project)?;
    natives::build(project, &tools, variant, Platform::LinuxX86_64)?;
    build(project, &tools, variant)?;
    println!("{}", project.jar(variant).display());
    Ok(())
}

/// Packs the jar of a variant, with the library that [`natives::build`] has made.
pub(crate) fn build(project: &Project, tools: &BuildTools, variant: Variant) -> Result<()> {
    let folder = project.jar_folder(variant);
    pack(
        project,
        tools,
        &project.natives(variant),
        &folder,
        &[Platform::LinuxX86_64],
    )?;
    Ok(())
}

/// Packs a jar with the libraries of these platforms, which lie under `natives`, into `folder`; checks it and
/// returns its path.
pub(crate) fn pack(
    project: &Project,
    tools: &BuildTools,
    natives: &Path,
    folder: &Path,
    platforms: &[Platform],
) -> Result<PathBuf> {
    let names: Vec<&str> = platforms.iter().map(|platform| platform.name()).collect();
    let words = [
        "jar".to_owned(),
        "validatePluginXml".to_owned(),
        format!("-PnativePlatforms={}", names.join(",")),
        format!("-PnativesDir={}", natives.display()),
        format!("-PjarDir={}", folder.display()),
    ];
    gradle::run(project, tools, words)?;
    let jar = folder.join(JAR);
    contents::check(&jar, platforms, &project.version()?)?;
    Ok(jar)
}
