//! Starting, stopping and restarting the server of a cluster, in the way of its layout.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bc_core::basics::{Error, Kind};

use super::{Cluster, Control, debian, postmaster};
use crate::program::Program;

/// As long may a server take to stop or to start: a stop waits for what a standby has not got yet.
const WITHIN: Duration = Duration::from_secs(300);

impl Cluster {
    /// Starts the server of a cluster and waits until that takes connections.
    ///
    /// # Errors
    /// It does not start; what it said is in the error.
    pub fn start(&self) -> Result<(), Error> {
        self.control("start")
    }

    /// Stops the server of a cluster, without waiting for its clients.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&self) -> Result<(), Error> {
        self.control("stop")
    }

    /// Stops the server of a cluster and starts it.
    ///
    /// # Errors
    /// It does not start again; what it said is in the error.
    pub fn restart(&self) -> Result<(), Error> {
        self.control("restart")
    }

    /// What a person would type to start or stop the server of a cluster.
    pub fn control_command(&self, verb: &str) -> String {
        match &self.control {
            Control::Debian { name } if systemd_runs() => format!("systemctl {verb} postgresql@{}-{name}", self.major),
            Control::Debian { name } => format!("pg_ctlcluster {} {name} {verb}", self.major),
            Control::Unit(unit) => format!("systemctl {verb} {unit}"),
            Control::PgCtl => {
                // Without a file a server that starts goes on writing where the command was typed.
                let log = match verb {
                    "stop" => String::new(),
                    _ => format!(" -l {}", self.log().display()),
                };
                format!(
                    "runuser -u {} -- {} -D {}{log} {verb}",
                    self.owner.name,
                    self.programs.join("pg_ctl").display(),
                    self.configuration.display()
                )
            }
            Control::Container => format!("docker {verb} CONTAINER"),
        }
    }

    fn control(&self, verb: &str) -> Result<(), Error> {
        let program = match &self.control {
            Control::Debian { name } if systemd_runs() => {
                Program::new("systemctl").args([verb, &format!("postgresql@{}-{name}", self.major)])
            }
            Control::Debian { name } => {
                let mut program = Program::new("pg_ctlcluster").args([&self.major.to_string(), name, verb]);
                if let Some(folder) = std::env::var_os(debian::CONFIGURATIONS) {
                    program = program.env(debian::CONFIGURATIONS, folder);
                }
                match verb {
                    "start" => program,
                    _ => program.args(["-m", "fast"]),
                }
            }
            Control::Unit(unit) => Program::new("systemctl").args([verb, unit]),
            Control::PgCtl => {
                let program = self.program("pg_ctl").arg("-D").arg(&self.configuration);
                let program = program.args(["-w", "-s", "-t", &WITHIN.as_secs().to_string()]);
                let program = match verb {
                    "stop" => program.args(["-m", "fast"]),
                    _ => program.arg("-l").arg(self.log()),
                };
                program.arg(verb)
            }
            Control::Container => {
                return Err(Error::new(
                    Kind::Refused,
                    "the server is the first process of a container, which ends with it",
                    format!("Do it from outside: {}", self.control_command(verb)),
                ));
            }
        };
        let done = program.within(WITHIN + Duration::from_secs(10)).succeed();
        done.map(drop).map_err(|error| {
            Error::new(
                error.kind(),
                format!("cannot {verb} {}: {}", self.name, error.message()),
                format!("Look at the log of PostgreSQL, then: {}", self.control_command(verb)),
            )
        })
    }

    /// Where the server of a cluster that `pg_ctl` starts writes what it says before its own logging begins: where the
    /// one before did.
    pub(crate) fn log(&self) -> PathBuf {
        let former = postmaster::of(&self.data)
            .and_then(|postmaster| fs::read_link(format!("/proc/{}/fd/2", postmaster.pid)).ok())
            .filter(|path| path.is_file());
        former.unwrap_or_else(|| self.data.join("gocd-bc-start.log"))
    }
}

/// Whether systemd runs this machine, rather than being installed in a container.
fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}
