//! The native library: built by cargo, linked by zig for the oldest glibc, checked after that.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    command, library,
    platform::Platform,
    project::{Project, Variant},
    tools::{BuildTools, Zig},
};

/// Options of `cargo xtask natives`.
#[derive(Debug, Args)]
pub(crate) struct NativesOptions {
    /// Build the variant that misbehaves on request, into target/natives-provoke; only for tests
    #[arg(long)]
    provoke: bool,
    /// Build for this platform
    #[arg(long, value_enum, default_value_t = Platform::LinuxX86_64)]
    platform: Platform,
}

/// The `natives` command.
pub(crate) fn run(project: &Project, options: &NativesOptions) -> Result<()> {
    let variant = if options.provoke {
        Variant::Provoke
    } else {
        Variant::Product
    };
    build(project, &BuildTools::ready(project)?, variant, options.platform)
}

/// Builds the library of a variant and puts it where [`Project::library`] says.
pub(crate) fn build(project: &Project, tools: &BuildTools, variant: Variant, platform: Platform) -> Result<()> {
    let mut cargo = zigbuild(project, &tools.zig, platform)?;
    let profile = match variant {
        Variant::Optimised => "release",
        Variant::Product | Variant::Provoke => "natives",
    };
    cargo.args(["--package", "bc-jni", "--profile", profile]);
    if variant == Variant::Provoke {
        cargo.args(["--features", "provoke"]);
    }
    command::run(&mut cargo)?;
    let built = project
        .target()
        .join(platform.rust_target())
        .join(profile)
        .join(platform.library_file());
    check(&built, platform)?;
    check_variant(&built, variant)?;
    place(&built, &project.library(variant, platform))
}

/// `cargo zigbuild` for a platform; packages and profile are the caller's.
pub(crate) fn zigbuild(project: &Project, zig: &Zig, platform: Platform) -> Result<Command> {
    ensure_rust_target(project, platform)?;
    let mut cargo = project.cargo();
    // Cargo's own configuration may name another linker wrapper or flags; zig decides here.
    cargo
        .args(["zigbuild", "--locked", "--target", &platform.zig_target()])
        .env("PATH", zig.path()?);
    Ok(cargo)
}

/// Checks a Linux library or program after it was linked.
pub(crate) fn check(built: &Path, platform: Platform) -> Result<()> {
    if platform.is_linux() {
        library::check_portable(built)?;
    }
    Ok(())
}

/// The library that misbehaves on request must never get into a jar that is given away. Every message of its
/// misbehaviour has this word in it.
pub(crate) fn check_variant(built: &Path, variant: Variant) -> Result<()> {
    const WORD: &[u8] = b"provoked panic";
    let bytes = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    let misbehaves = bytes.windows(WORD.len()).any(|window| window == WORD);
    ensure!(
        misbehaves == (variant == Variant::Provoke),
        "{} is not the {variant:?} variant",
        built.display()
    );
    Ok(())
}

/// Copies a built file to where others look for it.
pub(crate) fn place(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Rust's standard library for a platform.
fn ensure_rust_target(project: &Project, platform: Platform) -> Result<()> {
    let target = platform.rust_target();
    // Not in the environment of a build that is verified: that is for what decides its bytes.
    let mut rustc = Command::new("rustc");
    rustc.current_dir(project.root());
    let folder = command::read(rustc.args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    command::run(project.command("rustup").args(["target", "add", target])).with_context(|| {
        format!("Rust's standard library for {target} is missing; add it with `rustup target add {target}`")
    })
}
