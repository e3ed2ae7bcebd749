//! What PyPI carries: zig with cargo-zigbuild, Java runtimes, and the tools of PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{command, project::Project};

/// The linker and its cargo command; both pinned, since they decide the bytes of what is given away.
const ZIG_PACKAGES: [&str; 2] = ["ziglang==0.15.2", "cargo-zigbuild==0.24.0"];

/// Where an installation notes, last of all, what it holds.
const INSTALLED: &str = "installed.txt";

/// Zig as a linker for cargo.
#[derive(Debug)]
pub(crate) struct Zig {
    programs: PathBuf,
}

impl Zig {
    /// The cargo command.
    pub(crate) fn cargo_zigbuild(&self) -> PathBuf {
        self.programs.join("cargo-zigbuild")
    }

    /// `PATH` with the python that has zig first, as cargo-zigbuild looks for it.
    pub(crate) fn path(&self) -> Result<std::ffi::OsString> {
        command::path_with(&self.programs)
    }
}

/// Finds or installs zig and cargo-zigbuild.
pub(crate) fn zig(project: &Project) -> Result<Zig> {
    Ok(Zig {
        programs: environment(project)?.join("bin"),
    })
}

/// Installs one package, without what it depends on, into a folder of its own.
pub(crate) fn install_into(project: &Project, folder: &Path, package: &str) -> Result<()> {
    if holds(folder, package) {
        return Ok(());
    }
    command::run(pip_into(project, folder)?.arg(package))?;
    note(folder, package)
}

/// A package whose file is pinned: the one for Linux on x86-64, whatever this machine and its python are.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Name and version.
    pub(super) package: &'static str,
    /// SHA-256 of the file, in hex.
    pub(super) digest: &'static str,
}

/// Installs one package by its file, without what it depends on, into a folder of its own.
pub(super) fn install_wheel(project: &Project, folder: &Path, wheel: &Wheel) -> Result<()> {
    if holds(folder, wheel.package) {
        return Ok(());
    }
    let mut pip = pip_into(project, folder)?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, format!("{} --hash=sha256:{}\n", wheel.package, wheel.digest))
        .with_context(|| format!("cannot write {}", wanted.display()))?;
    pip.args([
        "--require-hashes",
        "--only-binary=:all:",
        "--platform=manylinux_2_28_x86_64",
        "--python-version=3.11",
        "--upgrade",
        "--requirement",
    ]);
    command::run(pip.arg(&wanted))?;
    note(folder, wheel.package)
}

/// The command that installs into a folder, which it empties, without what the packages depend on.
fn pip_into(project: &Project, folder: &Path) -> Result<Command> {
    let python = environment(project)?.join("bin/python");
    make_anew(folder)?;
    let mut pip = project.command(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--target",
    ])
    .arg(folder);
    Ok(pip)
}

/// The virtual environment with everything in [`ZIG_PACKAGES`].
fn environment(project: &Project) -> Result<PathBuf> {
    let folder = project.target().join("tools/python");
    let packages = ZIG_PACKAGES.join("\n");
    if !holds(&folder, &packages) {
        make_anew(&folder)?;
        command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = project.command(folder.join("bin/python"));
        command::run(pip.args(["-m", "pip", "install", "--quiet"]).args(ZIG_PACKAGES))?;
        note(&folder, &packages)?;
    }
    Ok(folder)
}

fn holds(folder: &Path, packages: &str) -> bool {
    fs::read_to_string(folder.join(INSTALLED)).is_ok_and(|text| text == packages)
}

fn note(folder: &Path, packages: &str) -> Result<()> {
    let file = folder.join(INSTALLED);
    fs::write(&file, packages).with_context(|| format!("cannot write {}", file.display()))
}

/// An empty folder: half an installation of an earlier run is of no use.
pub(super) fn make_anew(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
