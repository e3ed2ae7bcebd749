//! A real GoCD server and a real agent of any release from 20.6 on, built from its sources, and the product at work on them.
//!
//! GoCD's sources are in no registry of packages, so this is no stage of ci: a release is not made without it.
//!
//! | file | does |
//! |---|---|
//! | `sources`, `libraries`, `classes`, `bundles`, `jars` | build server and agent of a tag, without Gradle and without Rails |
//!
//! | `story`, `servers`, `api`, `address` | a fail-over with an agent and a run that is cut |
//!
//! What was built stays under `target/real`, a folder for each tag, and what the servers logged beside it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::{
    demo::{self, Stop},
    project::Project,
    tools::{Jdk, jdk_from},
};

use self::{bundles::Bundles, libraries::Libraries, sources::Sources};

mod address;
mod api;
mod bundles;
mod classes;
mod files;
mod jars;
mod libraries;
mod servers;
mod sources;
mod story;

/// Options of `cargo xtask real`.
#[derive(Debug, Args)]
pub(crate) struct RealOptions {
    /// A checkout of GoCD, or a bare repository, that has the tag
    #[arg(long, value_name = "DIR")]
    gocd: PathBuf,
    /// The release to build
    #[arg(long, default_value = "25.4.0")]
    tag: String,
    /// Play the story of a fail-over on it; ends with one line of JSON, and fails if something is not right
    #[arg(long)]
    check: bool,
}

/// The `real` command.
pub(crate) fn run(project: &Project, options: &RealOptions) -> Result<()> {
    let jdk = jdk_from(java_of(&options.tag))?;
    let built = Built::of_tag(project, &jdk, &options.gocd, &options.tag)?;
    if !options.check {
        println!("{}", built.go_jar.display());
        println!("{}", built.agent_bootstrapper.display());
        return Ok(());
    }
    demo::build(project)?;
    // From here on there are processes to end, so signals no longer end us at once.
    let stop = Stop::on_signals()?;
    let root = project.target().join("real").join("servers");
    let findings = story::play(project, &jdk, &built, &root, &stop);
    println!("{}", findings.to_json(&options.tag));
    let complaints = findings.complaints();
    if !complaints.is_empty() {
        bail!("{}\nThe logs are in {}", complaints.join("\n"), root.display());
    }
    Ok(())
}

/// The Java that a release is built with and runs on here; those before 26 are content with any from 17 on.
fn java_of(tag: &str) -> u32 {
    match tag.split('.').next().and_then(|year| year.parse::<u32>().ok()) {
        Some(year) if year < 26 => 17,
        _ => 25,
    }
}

/// A server and an agent.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) go_jar: PathBuf,
    pub(crate) agent_bootstrapper: PathBuf,
}

impl Built {
    /// Builds both of a tag of the repository, unless they are there.
    fn of_tag(project: &Project, jdk: &Jdk, gocd: &Path, tag: &str) -> Result<Self> {
        ensure!(
            tag.split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())),
            "{tag} is no release of GoCD, such as 25.4.0"
        );
        let folder = project.target().join("real").join(tag);
        let built = Self {
            go_jar: folder.join("go.jar"),
            agent_bootstrapper: folder.join("agent-bootstrapper.jar"),
        };
        if !built.go_jar.exists() {
            libraries::maven_is_there()?;
            let sources = Sources::of_tag(gocd, tag, folder.join("sources"))?;
            let libraries = Libraries::fetch(project, &sources, folder.join("libraries"))?;
            let classes = folder.join("classes");
            classes::compile(project, jdk, &sources, &libraries, &classes)?;
            let modules = classes::pack(tag, &sources, &classes, &folder.join("modules"))?;
            let bundles = Bundles {
                tag,
                sources: &sources,
                libraries: &libraries,
                modules: &modules,
                folder: &folder,
            };
            bundles.write()?;
        }
        Ok(built)
    }
}
