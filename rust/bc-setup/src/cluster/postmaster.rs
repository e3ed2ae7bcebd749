//! The server of a data folder that runs now, by `postmaster.pid` in there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// A server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    pub(super) port: u16,
    /// The first folder of its sockets; none where it has none.
    pub(super) sockets: Option<PathBuf>,
}

/// The postmaster that serves a data folder; none where none runs.
pub(super) fn of(data: &Path) -> Option<Postmaster> {
    let postmaster = parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)?;
    // The file outlives a crash, and its number may be another process's after that.
    let is_alive = !matches!(kill(Pid::from_raw(postmaster.pid), None), Err(Errno::ESRCH));
    let name = fs::read_to_string(format!("/proc/{}/comm", postmaster.pid));
    let is_postgres = name.map_or(true, |name| {
        name.starts_with("postgres") || name.starts_with("postmaster")
    });
    (is_alive && is_postgres).then_some(postmaster)
}

/// Lines of the file: process, data folder, start, port, folder of the socket, address.
fn parse(text: &str) -> Option<Postmaster> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    Some(Postmaster {
        pid: lines.first()?.parse().ok().filter(|pid| *pid > 0)?,
        port: lines.get(3)?.parse().ok()?,
        sockets: lines.get(4).filter(|folder| !folder.is_empty()).map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_process_port_and_socket() {
        let text =
            "4711\n/var/lib/postgresql/15/main\n1796069834\n5433\n/var/run/postgresql\nlocalhost\n  1 2\nready   \n";
        let postmaster = parse(text).expect("whole");
        assert_eq!((postmaster.pid, postmaster.port), (4711, 5433));
        assert_eq!(postmaster.sockets, Some(PathBuf::from("/var/run/postgresql")));
        assert_eq!(parse("4711\n/x\n1\n5432\n\n").and_then(|found| found.sockets), None);
        assert_eq!(parse("4711\n/x\n"), None);
        assert_eq!(parse("-1\n/x\n1\n5432\n"), None);
    }

    #[test]
    fn a_file_that_a_crash_left_is_no_server() {
        let folder = tempfile::tempdir().expect("folder");
        let ours = format!("{}\n/x\n1\n5432\n/tmp\n", std::process::id());
        fs::write(folder.path().join("postmaster.pid"), ours).expect("write");
        assert_eq!(of(folder.path()), None);
    }
}
