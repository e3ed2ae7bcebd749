//! A primary and a standby as two `gocd-bc` processes: TLS and token as in a JVM, but started within milliseconds.

use std::{
    fs,
    net::TcpStream,
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
        self.standby_command_through(self.primary.port)
    }

    /// The standby, not started yet, which reaches the primary through this port of loopback.
    pub fn standby_command_through(&self, port: u16) -> Command {
        let mut command = command("standby", &self.standby);
        command
            .arg("--primary-url")
            .arg(format!("https://127.0.0.1:{port}"))
            .arg("--property")
            .arg(format!("bc.primary.fingerprint={}", self.fingerprint));
        command
    }

    /// Starts the standby and waits until it listens: by then it has finished what a crash left half done.
    ///
    /// # Errors
    /// It does not.
    pub fn start_standby(&self) -> Result<Process> {
        self.start_standby_through(self.primary.port)
    }

    /// Starts the standby as [`Nodes::start_standby`] does, with the primary behind this port of loopback.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start_standby_through(&self, port: u16) -> Result<Process> {
        start("standby", &self.standby, self.standby_command_through(port))
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

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// Looks into `/proc`.
    ///
    /// # Errors
    /// The process ended.
    pub fn of(process: &Process) -> Result<Self> {
        let path = format!("/proc/{}/status", process.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |name: &str| -> Result<u64> {
            let kilobytes = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|value| value.trim().strip_suffix(" kB"))
                .with_context(|| format!("{path} has no {name}"))?;
            Ok(kilobytes.parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }
}
