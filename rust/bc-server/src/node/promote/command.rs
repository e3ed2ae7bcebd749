//! Runs a command that an administrator has set: as the user of this node, in bounded time.
//!
//! What it says goes to the log of the node alone, since it may name anything.

use std::{
    fs::File,
    io::{Read, Seek},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use bc_core::basics::words;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// How long a command may run.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// How often is looked whether it has ended.
const EVERY: Duration = Duration::from_millis(20);
/// As much of what it says is logged, in bytes.
const LONGEST_OUTPUT: u64 = 4096;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this code; none where a signal ended it.
    With(Option<i32>),
    /// It was ended after [`WITHIN`].
    TimedOut,
    /// It did not start: why, in words of the operating system.
    NotStarted(String),
}

impl Ended {
    /// Whether the command did what it was to do, as far as it says.
    pub(super) fn is_well(&self) -> bool {
        *self == Ended::With(Some(0))
    }
}

/// For people, behind "the command".
impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::With(Some(0)) => f.write_str("has ended well"),
            Ended::With(Some(code)) => write!(f, "ended with {code}"),
            Ended::With(None) => f.write_str("was ended by a signal"),
            Ended::TimedOut => write!(f, "had not ended after {} s and was ended", WITHIN.as_secs()),
            Ended::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// Runs a command of an administrator by the shell, with these variables besides the node's own. `name` is the setting
/// that holds it.
pub(super) async fn run(name: &'static str, command: String, variables: Vec<(&'static str, String)>) -> Ended {
    let run = spawn_blocking(move || run_here(name, &command, &variables));
    run.await
        .unwrap_or_else(|_| Ended::NotStarted("its thread failed".to_owned()))
}

/// Runs it on this thread.
fn run_here(name: &str, command: &str, variables: &[(&'static str, String)]) -> Ended {
    // A pipe would be held open by whatever it leaves behind, and fill.
    let output = tempfile();
    let to = |file: &Option<File>| {
        let clone = file.as_ref().and_then(|file| file.try_clone().ok());
        clone.map_or_else(Stdio::null, Stdio::from)
    };
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .stdout(to(&output))
        .stderr(to(&output));
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(error.to_string()),
    };
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ended::With(status.code()),
            // A JVM may have taken its end; what it came to is not known then.
            Err(_) => break Ended::With(None),
            Ok(None) if begun.elapsed() >= WITHIN => {
                drop(child.kill());
                drop(child.wait());
                break Ended::TimedOut;
            }
            Ok(None) => sleep(EVERY),
        }
    };
    let said = output.map(said).unwrap_or_default();
    let said = words::shown(&said, words::LONGEST_MESSAGE);
    match ended.is_well() {
        true => info!("the command of {name} {ended}: {said}"),
        false => warn!("the command of {name} {ended}: {said}"),
    }
    ended
}

/// A file without a name, for what a command says; none where there is no room for one.
fn tempfile() -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::CString;
        let name = CString::new("gocd-bc-command").ok()?;
        let file = nix::sys::memfd::memfd_create(name.as_c_str(), nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
        file.ok().map(File::from)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The beginning of what a command has said.
fn said(mut output: File) -> String {
    let mut text = Vec::new();
    if output.rewind().is_ok() {
        // What cannot be read is not shown.
        drop(output.take(LONGEST_OUTPUT).read_to_end(&mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_what_it_needs_and_its_end_is_known() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("said");
        let command = format!("printf '%s' \"$GOCD_BC_EPOCH\" > {}; exit 3", file.display());
        let ended = run_here("bc.promote.hook", &command, &[("GOCD_BC_EPOCH", "7".to_owned())]);
        assert_eq!(ended, Ended::With(Some(3)));
        assert_eq!(std::fs::read_to_string(file).expect("written"), "7");
        assert!(run_here("bc.promote.hook", "true", &[]).is_well());
        assert_eq!(run_here("bc.promote.hook", "kill -9 $$", &[]), Ended::With(None));
    }
}
