//! A real GoCD server and a real agent of any release from 20.6 on, built from its sources, and the product at work on them.
//!
//! GoCD's sources are in no registry of packages, so this is no stage of ci: a release is not made without it.
//!
//! | file | does |
//! |---|---|
//! | `sources`, `libraries`, `classes`, `bundles`, `jars` | build server and agent of a tag, without Gradle and without Rails |
//! | `scene`, `servers`, `api`, `address` | what every scenario has: two servers, two databases, an agent behind an address |
//! | `compare` | the stand-in of the tests beside the real server |
//! | `aftermath` | what the promoted server has of what was there before |
//! | `scenario`, `outcome` | what can be played, by name, and what it came to; each has a file of its own besides |
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

use self::{bundles::Bundles, libraries::Libraries, scenario::Scenario, sources::Sources};

mod address;
mod aftermath;
mod api;
mod artifacts;
mod bundles;
mod classes;
mod compare;
mod files;
mod handover;
mod jars;
mod kills;
mod libraries;
mod outcome;
mod read_only;
mod rejected;
mod replaced_jar;
mod scenario;
mod scene;
mod servers;
mod sources;
mod story;
mod upgrade;

/// Options of `cargo xtask real`.
#[derive(Debug, Args)]
pub(crate) struct RealOptions {
    /// A checkout of GoCD, or a bare repository, that has the tag
    #[arg(long, value_name = "DIR")]
    gocd: PathBuf,
    /// The release to build
    #[arg(long, default_value = "25.4.0")]
    tag: String,
    /// Play a scenario on it; ends with one line of JSON, and fails if something is not right
    #[arg(long)]
    check: bool,
    /// What is played
    #[arg(long, value_enum, default_value = "fail-over", requires = "check")]
    scenario: Scenario,
    /// The release to which the pair is upgraded, by `--scenario upgrade`
    #[arg(long, value_name = "TAG", requires = "check")]
    to: Option<String>,
    /// Play one script of requests, edits and kills on it and on the stand-in of the tests, and print where they differ
    #[arg(long, conflicts_with = "check")]
    compare_stand_in: bool,
}

/// The `real` command.
pub(crate) fn run(project: &Project, options: &RealOptions) -> Result<()> {
    ensure!(
        options.to.is_some() == (options.scenario == Scenario::Upgrade),
        "--scenario upgrade and --to belong together: the release before and the one after"
    );
    let built = Built::of_tag(project, &options.gocd, &options.tag)?;
    let newer = match &options.to {
        None => None,
        Some(tag) => Some(Built::of_tag(project, &options.gocd, tag)?),
    };
    if !options.check && !options.compare_stand_in {
        println!("{}", built.go_jar.display());
        println!("{}", built.agent_bootstrapper.display());
        return Ok(());
    }
    demo::build(project)?;
    // From here on there are processes to end, so signals no longer end us at once.
    let stop = Stop::on_signals()?;
    let root = project.target().join("real").join("servers");
    if options.compare_stand_in {
        let root = project.target().join("real").join("compared");
        let differ = compare::compare(project, &built, &root, &stop)?;
        ensure!(
            !compare::print(&differ),
            "the stand-in differs where it is not known to"
        );
        return Ok(());
    }
    let builds = [&built, newer.as_ref().unwrap_or(&built)];
    let mut played = options.scenario.play(project, builds, &root, &stop);
    played.line["gocd"] = options.tag.as_str().into();
    if let Some(to) = &options.to {
        played.line["to"] = to.as_str().into();
    }
    println!("{}", played.line);
    if !played.complaints.is_empty() {
        bail!("{}\nThe logs are in {}", played.complaints.join("\n"), root.display());
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
    pub(crate) tag: String,
    /// What both were built with, and run on.
    pub(crate) jdk: Jdk,
    pub(crate) go_jar: PathBuf,
    /// What agents take from the server and start.
    pub(crate) agent_jar: PathBuf,
    pub(crate) agent_bootstrapper: PathBuf,
}

impl Built {
    /// Builds both of a tag of the repository, unless they are there.
    fn of_tag(project: &Project, gocd: &Path, tag: &str) -> Result<Self> {
        ensure!(
            tag.split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())),
            "{tag} is no release of GoCD, such as 25.4.0"
        );
        let folder = project.target().join("real").join(tag);
        let built = Self {
            tag: tag.to_owned(),
            jdk: jdk_from(java_of(tag))?,
            go_jar: folder.join("go.jar"),
            agent_jar: folder.join("agent.jar"),
            agent_bootstrapper: folder.join("agent-bootstrapper.jar"),
        };
        if !built.go_jar.exists() {
            libraries::maven_is_there()?;
            let sources = Sources::of_tag(gocd, tag, folder.join("sources"))?;
            let libraries = Libraries::fetch(project, &sources, folder.join("libraries"))?;
            let classes = folder.join("classes");
            classes::compile(project, &built.jdk, &sources, &libraries, &classes)?;
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
