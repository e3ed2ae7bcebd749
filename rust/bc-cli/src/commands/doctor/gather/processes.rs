//! Processes of this host: the one that has the node open, and GoCD's agents.

#[cfg(target_os = "linux")]
use std::{fs, io};

use std::path::Path;

use bc_core::doctor::facts::{Known, Process};

/// What an agent's command line names.
#[cfg(target_os = "linux")]
const AGENT: [&str; 3] = [
    "agent-bootstrapper.jar",
    "agent-launcher.jar",
    "com.thoughtworks.go.agent.bootstrapper.AgentBootstrapper",
];

/// The process that has the node in `state_dir` open; none where there is none in sight.
#[cfg(target_os = "linux")]
pub(super) fn of_node(state_dir: &Path) -> Known<Option<Process>> {
    use bc_core::role::lock_holder::{Holder, holder};

    match holder(state_dir) {
        Holder::Process(process) => match look(process.id) {
            Ok(process) => Ok(Some(process)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!(
                "cannot look at process {}: {error}; run it as root",
                process.id
            )),
        },
        Holder::Nobody | Holder::NobodyInSight => Ok(None),
        Holder::NotKnown => Err(format!(
            "cannot see who has the lock in {}; run it as root",
            state_dir.display()
        )),
    }
}

#[cfg(target_os = "linux")]
fn look(id: u32) -> io::Result<Process> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let numbers = |key: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.into_iter()
            .flat_map(str::split_whitespace)
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    // The effective ones are second.
    let user = numbers("Uid:").get(1).copied().ok_or(io::ErrorKind::InvalidData)?;
    let own = numbers("Gid:").get(1).copied();
    Ok(Process {
        id,
        user,
        groups: own.into_iter().chain(numbers("Groups:")).collect(),
        arguments: arguments(id)?,
    })
}

#[cfg(target_os = "linux")]
fn arguments(id: u32) -> io::Result<Vec<String>> {
    let text = fs::read(format!("/proc/{id}/cmdline"))?;
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// The agents of GoCD on this host: process and user of each.
#[cfg(target_os = "linux")]
pub(super) fn agents() -> Known<Vec<(u32, u32)>> {
    use std::os::unix::fs::MetadataExt;

    let entries = fs::read_dir("/proc").map_err(|error| format!("cannot list the processes of this host: {error}"))?;
    let ids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_agent = |id: &u32| {
        let words = arguments(*id).unwrap_or_default();
        let names = |word: &String| AGENT.iter().any(|name| word.ends_with(name));
        words.first().is_some_and(|program| program.ends_with("java")) && words.iter().any(names)
    };
    let user = |id: u32| Some((id, fs::metadata(format!("/proc/{id}")).ok()?.uid()));
    Ok(ids.filter(is_agent).filter_map(user).collect())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of_node(_: &Path) -> Known<Option<Process>> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn agents() -> Known<Vec<(u32, u32)>> {
    Ok(Vec::new())
}
