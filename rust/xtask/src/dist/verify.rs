//! Shows that what is given away does not depend on where, when and by whom it is built.
//!
//! | | first build | second build |
//! |---|---|---|
//! | folder | a short name | a longer one |
//! | umask | 022 | 077 |
//! | clock | the machine's | 400 days later, by libfaketime |
//! | times of the sources | now | a day in 2001 |
//! | time zone | UTC | 5:30 east |
//!
//! The same for both: Cargo's download folder, the toolchain and this machine. rustc and zig see the true clock,
//! minutes later in the second build: rustc hangs under libfaketime, and zig is a static program.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode, umask};

use crate::{
    command, digest,
    project::Project,
    tools::{self, BuildTools},
};

/// Builds twice and compares.
///
/// # Errors
/// Names the files that differ.
pub(super) fn run(project: &Project, tools: &BuildTools, time: &str) -> Result<()> {
    let library = tools::ensure_faketime()?;
    let folder = project.path("target/dist-verify");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let first = checkout(project, &folder.join("one"), SystemTime::now())?;
    let first_cache = first.path("target/zig").into_os_string();
    let first = first.with_environment([("TZ", "UTC".into()), ("ZIG_GLOBAL_CACHE_DIR", first_cache)]);
    let second = checkout(project, &folder.join("another-folder"), long_ago())?;
    let second_cache = second.path("target/zig").into_os_string();
    let second = second.with_environment([
        ("TZ", "Asia/Kolkata".into()),
        ("ZIG_GLOBAL_CACHE_DIR", second_cache),
        ("LD_PRELOAD", library.into_os_string()),
        ("FAKETIME", "+400d".into()),
        // Waiting threads of a JVM reckon with the monotonic clock, which must go on as it is.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("RUSTC", rustc_with_true_clock(&folder)?.into_os_string()),
        // The certificates of registries have expired by then; everything was fetched by the first build.
        ("CARGO_NET_OFFLINE", "true".into()),
    ]);
    let first = build_with_umask(&first, tools, time, Mode::from_bits_truncate(0o022))?;
    let second = build_with_umask(&second, tools, time, Mode::from_bits_truncate(0o077))?;
    compare(&first, &second)
}

fn build_with_umask(project: &Project, tools: &BuildTools, time: &str, mask: Mode) -> Result<PathBuf> {
    let before = umask(mask);
    let sums = super::build(project, tools, time);
    umask(before);
    let sums = sums?;
    Ok(sums.parent().context("the sums have a folder")?.to_owned())
}

fn compare(first: &Path, second: &Path) -> Result<()> {
    let mut differing = Vec::new();
    for entry in fs::read_dir(first).with_context(|| format!("cannot read the folder {}", first.display()))? {
        let name = entry?.file_name();
        let (one, other) = (
            digest::of_file(&first.join(&name))?,
            digest::of_file(&second.join(&name))?,
        );
        let name = name.to_string_lossy().into_owned();
        println!("{one}  {name}  {}", if one == other { "equal" } else { "DIFFERS" });
        if one != other {
            differing.push(name);
        }
    }
    match differing.as_slice() {
        [] => Ok(()),
        names => bail!(
            "built twice, these differ: {}; compare {} and {}",
            names.join(", "),
            first.display(),
            second.display()
        ),
    }
}

/// A program that runs rustc without libfaketime, under which its allocator waits for itself.
fn rustc_with_true_clock(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("rustc");
    fs::write(&program, "#!/bin/sh\nunset LD_PRELOAD\nexec rustc \"$@\"\n")
        .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", program.display()))?;
    Ok(program)
}

/// A copy of all sources, those not committed yet included, with one time on every file.
fn checkout(project: &Project, folder: &Path, time: SystemTime) -> Result<Project> {
    let mut git = project.command("git");
    let listed = command::read(git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let from = project.path(name);
        // Listed, but removed and not committed yet.
        if !from.is_file() {
            continue;
        }
        let to = folder.join(name);
        crate::natives::place(&from, &to)?;
        File::options()
            .write(true)
            .open(&to)
            .and_then(|file| file.set_modified(time))
            .with_context(|| format!("cannot set the time of {}", to.display()))?;
    }
    Project::at(folder)
}

fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}
