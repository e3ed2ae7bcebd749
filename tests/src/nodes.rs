//! A primary and a standby as two `gocd-bc` processes: TLS and token as in a JVM, but started within milliseconds.

use std::{
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bc_testkit::{artefacts, gocd_dir::GocdDir, process::Process};

/// How long a node may take until it listens.
const STARTS: Duration = Duration::from_secs(30);

/// Two GoCD folders with the same configuration, and what the standby needs to know of the primary.
#[derive(Debug)]
pub struct Nodes {
    /// The primary's folder.
    pub primary: GocdDir,
    /// The standby's folder.
    pub standby: GocdDir,
    fingerprint: String,
}

impl Nodes {
    /// Makes both folders and the primary's key; starts nothing.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn new() -> Result<Self> {
        let primary = GocdDir::new();
        let standby = GocdDir::new();
        let mut nodes = Self {
            primary,
            standby,
            fingerprint: String::new(),
        };
        // The first start makes the key.
        drop(nodes.start_primary()?);
        let shown = nodes.primary.cli(&["identity", "show", "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).context("identity show prints JSON")?;
        nodes.fingerprint = shown["fingerprint"]
            .as_str()
            .context("identity show prints a fingerprint")?
            .to_owned();
        Ok(nodes)
    }

    /// Starts the primary and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub fn start_primary(&self) -> Result<Process> {
        start("primary", &self.primary, command("primary", &self.primary))
    }

    /// The standby, not started yet.
    pub fn standby_command(&self) -> Command {
        let mut command = command("standby", &self.standby);
        command
            .arg("--primary-url")
            .arg(format!("https://127.0.0.1:{}", self.primary.port))
            .arg("--property")
            .arg(format!("bc.primary.fingerprint={}", self.fingerprint));
        command
    }

    /// Starts the standby and waits until it listens: by then it has finished what a crash left half done.
    ///
    /// # Errors
    /// It does not.
    pub fn start_standby(&self) -> Result<Process> {
        start("standby", &self.standby, self.standby_command())
    }

    /// Keeps both folders for somebody to look at, and says where they are.
    pub fn keep(self) -> String {
        format!(
            "primary {}, standby {}",
            self.primary.keep().display(),
            self.standby.keep().display()
        )
    }
}

fn command(role: &str, folder: &GocdDir) -> Command {
    let mut command = Command::new(artefacts::cli());
    command
        .arg(role)
        .arg("--working-dir")
        .arg(folder.path())
        .arg("--listen")
        .arg(format!("127.0.0.1:{}", folder.port))
        .current_dir(folder.path())
        .env_remove("BC_STATE_DIR")
        .stdin(Stdio::null());
    command
}

fn start(name: &str, folder: &GocdDir, mut command: Command) -> Result<Process> {
    let mut process = Process::start(name, &mut command);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", folder.port)).is_err() {
        ensure!(process.is_running(), "the {name} ended: {}", process.output());
        ensure!(
            started.elapsed() < STARTS,
            "the {name} does not listen after {STARTS:?}: {}",
            process.output()
        );
        sleep(Duration::from_millis(2));
    }
    Ok(process)
}

/// Resident memory of a process in bytes, from `/proc`.
///
/// # Errors
/// It ended.
pub fn resident_bytes(process: &Process) -> Result<u64> {
    let path = format!("/proc/{}/status", process.id());
    let status = std::fs::read_to_string(Path::new(&path)).with_context(|| format!("cannot read {path}"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
