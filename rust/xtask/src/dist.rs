//! What is given away: one jar for all platforms and the companion command for each, in `target/dist`.

mod verify;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    command, digest, jar,
    natives::{self, place},
    platform::Platform,
    project::{Project, Variant},
    tools::BuildTools,
};

/// Options of `cargo xtask dist`.
#[derive(Debug, Args)]
pub(crate) struct DistOptions {
    /// Build twice, in two folders with other umask and clock, and compare the bytes
    #[arg(long)]
    verify: bool,
}

/// The `dist` command.
pub(crate) fn run(project: &Project, options: &DistOptions) -> Result<()> {
    let tools = BuildTools::ready(project)?;
    let time = source_time(project)?;
    if options.verify {
        return verify::run(project, &tools, &time);
    }
    let sums = build(project, &tools, &time)?;
    print!(
        "{}",
        fs::read_to_string(&sums).with_context(|| format!("cannot read {}", sums.display()))?
    );
    Ok(())
}

/// Builds everything and returns the file with the digests of it.
fn build(project: &Project, tools: &BuildTools, time: &str) -> Result<PathBuf> {
    let dist = project.path("target/dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot remove {}", dist.display()))?;
    }
    let libraries = project.path("target/dist-natives");
    let mut given_away = Vec::new();
    for platform in Platform::ALL {
        build_platform(project, tools, platform, time)?;
        let built = project.target().join(platform.rust_target()).join("release");
        let companion = dist.join(companion_name(platform));
        place(&built.join(platform.companion_file()), &companion)?;
        let library = libraries.join(platform.name()).join(platform.library_file());
        place(&built.join(platform.library_file()), &library)?;
        natives::check_variant(&library, Variant::Product)?;
        for file in [&companion, &library] {
            natives::check(file, platform)?;
            check_free_of_paths(project, file)?;
        }
        given_away.push(companion);
    }
    given_away.push(jar::pack(project, tools, &libraries, &dist, &Platform::ALL)?);
    write_sums(&dist, &given_away)
}

fn build_platform(project: &Project, tools: &BuildTools, platform: Platform, time: &str) -> Result<()> {
    let mut cargo = natives::zigbuild(project, &tools.zig, platform)?;
    cargo.args(["--package", "bc-jni", "--package", "bc-cli", "--release"]);
    // Where something was built must not show in it.
    let places = build_places(project);
    let rust_flags: Vec<String> = places
        .iter()
        .map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display()))
        .collect();
    let c_flags: Vec<String> = places
        .iter()
        .map(|(place, name)| format!("-ffile-prefix-map={}={name}", place.display()))
        .collect();
    cargo
        .env("SOURCE_DATE_EPOCH", time)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\u{1f}"))
        .env(
            format!("CFLAGS_{}", platform.rust_target().replace('-', "_")),
            c_flags.join(" "),
        );
    command::run(&mut cargo)
}

/// The time that stands in built files which have one (a Windows library does): that of the newest commit, or
/// `SOURCE_DATE_EPOCH` in sources without a history.
fn source_time(project: &Project) -> Result<String> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let time = command::read(project.command("git").args(["log", "-1", "--format=%ct"]))
        .context("set SOURCE_DATE_EPOCH, or build in a git checkout")?;
    Ok(time.trim().to_owned())
}

/// Folders whose names would get into debug information and messages, and what stands there instead.
fn build_places(project: &Project) -> Vec<(PathBuf, &'static str)> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    vec![
        (project.root().to_owned(), "/gocd-business-continuity"),
        (cargo_home, "/cargo"),
    ]
}

fn check_free_of_paths(project: &Project, file: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for (place, _) in build_places(project) {
        let place = place.display().to_string();
        let found = bytes.windows(place.len()).any(|window| window == place.as_bytes());
        ensure!(!found, "{} names {place}, where it was built", file.display());
    }
    Ok(())
}

fn companion_name(platform: Platform) -> String {
    match platform {
        Platform::WindowsX86_64 => format!("gocd-bc-{}.exe", platform.name()),
        Platform::LinuxX86_64 | Platform::LinuxAarch64 => format!("gocd-bc-{}", platform.name()),
    }
}

/// Writes `SHA256SUMS` as `sha256sum --check` reads it.
fn write_sums(dist: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let mut sums = String::new();
    for file in files {
        let name = file.file_name().context("a file has a name")?.to_string_lossy();
        writeln!(sums, "{}  {name}", digest::of_file(file)?)?;
    }
    let file = dist.join("SHA256SUMS");
    fs::write(&file, sums).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
