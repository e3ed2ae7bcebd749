//! Running other programs: what is run is shown, what they print goes to stderr, failures name the command.
//!
//! Standard output belongs to xtask alone, since `demo --json` prints one line of JSON there.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

/// How many lines are shown of what a command printed that failed.
const LAST_LINES: usize = 40;

/// Runs a command and waits for it.
///
/// # Errors
/// It cannot be started or did not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    run_printing(command.stdout(Stdio::from(std::io::stderr())))
}

/// Runs a command whose standard output is ours.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_printing(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command that prints into `file` on both streams.
///
/// # Errors
/// As [`run`], or the file cannot be written.
pub(crate) fn run_into(command: &mut Command, file: &Path) -> Result<()> {
    let status = status_into(command, file)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command that prints into `file` on both streams, to whatever end.
///
/// # Errors
/// It cannot be started, or the file cannot be written.
pub(crate) fn status_into(command: &mut Command, file: &Path) -> Result<ExitStatus> {
    let cannot_write = || format!("cannot write {}", file.display());
    let stdout = File::create(file).with_context(cannot_write)?;
    let stderr = stdout.try_clone().with_context(cannot_write)?;
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))
}

/// The end of what a command printed, as much as is shown of one that failed.
pub(crate) fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Runs a command quietly and returns what it printed.
///
/// # Errors
/// As [`run`], with the command's standard error in the message.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// Whether a command can be started and succeeds. What it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The program of this name in the folders of `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The cargo that runs us.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// `PATH` with a folder put first.
pub(crate) fn path_with(first: &Path) -> Result<std::ffi::OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(env::split_paths(&rest));
    env::join_paths(folders).context("cannot put a folder into PATH")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
