//! One PostgreSQL server of the demo, in a temporary folder of its own and ended when it is dropped.
//!
//! It never runs as root: started by root, it runs as the user `postgres`. It listens on loopback, and on a socket in its
//! folder, by which its superuser needs no password. All that it is told is in the files of its data folder, so that the
//! commands of the product that start it anew find the same.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{command, demo::session::Session};

/// As whom it runs where root starts it.
const USER: &str = "postgres";
/// What it says, below its data folder.
const LOG: &str = "log/postgresql.log";

/// A server, running or not.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    /// Named as the user it runs as, which is how the commands of the product log in.
    superuser: String,
    port: u16,
    /// Where what it said is kept beyond its end.
    log: PathBuf,
}

impl Postgres {
    /// Makes a cluster as `initdb` leaves it, with a port, and starts it. When it is dropped, what it said goes to `log`.
    pub(crate) fn start(programs: &Path, port: u16, log: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("gocd-bc-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
        let server = Self {
            folder,
            programs: programs.to_owned(),
            superuser: runs_as()?,
            port,
            log,
        };
        if nix::unistd::geteuid().is_root() {
            command::read(Command::new("chown").arg(USER).arg(server.folder.path()))?;
        }
        let mut initdb = server.program("initdb");
        initdb
            .args([
                "-U",
                &server.superuser,
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
            ])
            .args(["-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(server.data());
        command::read(&mut initdb)?;
        server.configure()?;
        server.start_again()?;
        Ok(server)
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A file beside the data folder that its user may write.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it listens on loopback.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a machine that loses its power does.
    pub(crate) fn crash(&self) -> Result<()> {
        command::read(&mut self.control(&["-w", "-m", "immediate", "stop"])).map(drop)
    }

    /// Starts it once more.
    pub(crate) fn start_again(&self) -> Result<()> {
        // Without a log it would keep our pipe open.
        let log = self.folder.path().join("start.log");
        command::read(self.control(&["-w", "start"]).arg("-l").arg(log)).map(drop)
    }

    /// A superuser's session.
    pub(crate) fn session(&self, database: &str) -> Result<Session> {
        let mut psql = self.program("psql");
        psql.arg("-h").arg(self.folder.path()).args([
            "-p",
            &self.port.to_string(),
            "-U",
            &self.superuser,
            "-d",
            database,
        ]);
        Session::start(psql)
    }

    fn configure(&self) -> Result<()> {
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let own = format!(
            "{text}\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             logging_collector = on\nlog_filename = 'postgresql.log'\n",
            self.port,
            self.folder.path().display()
        );
        // In place, so that it stays whose it is.
        fs::write(&file, own).with_context(|| format!("cannot write {}", file.display()))
    }

    fn control(&self, words: &[&str]) -> Command {
        let mut control = self.program("pg_ctl");
        control.arg("-D").arg(self.data()).args(words);
        control
    }

    /// A program of PostgreSQL, as the server's user.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", USER, "--regid", USER, "--init-groups", "--"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command
    }
}

/// The user that a server runs as.
fn runs_as() -> Result<String> {
    let us = nix::unistd::geteuid();
    if us.is_root() {
        return Ok(USER.to_owned());
    }
    let user = nix::unistd::User::from_uid(us).context("cannot look up who we are")?;
    Ok(user.context("who we are has no name")?.name)
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing that it holds is of use to anybody.
        if self.data().join("postmaster.pid").exists() {
            let stopped = command::read(&mut self.control(&["-w", "-m", "immediate", "stop"]));
            if let Err(error) = stopped {
                eprintln!("a PostgreSQL of the demo may still run: {error:#}");
            }
        }
        // Where it was never started there is none.
        let _ = fs::copy(self.data().join(LOG), &self.log);
    }
}
