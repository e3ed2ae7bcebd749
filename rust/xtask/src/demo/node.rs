//! One GoCD server of the demo with our node in it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    command,
    demo::{Stop, folders::GocdFolder, http, jvm::Jvm},
    project::Project,
};

/// GoCD's own health route.
pub(crate) const HEALTH: &str = "/go/api/v1/health";

/// The ports of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// GoCD's own.
    pub(crate) gocd: u16,
    /// Our TLS port.
    pub(crate) sync: u16,
}

/// A server that was started.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) folder: GocdFolder,
    pub(crate) ports: Ports,
    pub(crate) jvm: Jvm,
    /// What the JVM prints.
    pub(crate) log: PathBuf,
    pub(crate) start: Start,
}

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    /// `java`, or the wrapper.
    pub(crate) program: PathBuf,
    pub(crate) words: Vec<String>,
    /// Where the wrapper writes the id of its JVM's process; none without a wrapper.
    pub(crate) pid_file: Option<PathBuf>,
}

impl Start {
    /// Starts a server in its folder for the first time.
    pub(crate) fn node(self, folder: GocdFolder, ports: Ports, log: PathBuf) -> Result<Node> {
        let jvm = self.run(&folder, &log)?;
        Ok(Node {
            folder,
            ports,
            jvm,
            log,
            start: self,
        })
    }

    /// Starts a server in its folder.
    fn run(&self, folder: &GocdFolder, log: &Path) -> Result<Jvm> {
        Jvm::start(self.name, &self.program, &self.words, folder.root(), log)
    }
}

impl Node {
    /// Where our TLS port is, without a path.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.sync)
    }

    /// Where people look.
    pub(crate) fn dashboard(&self) -> String {
        format!("{}/go/add-on/business-continuity/admin/dashboard", self.url())
    }

    /// Whether GoCD itself answers that it is well; false while nothing listens.
    pub(crate) fn gocd_is_healthy(&self) -> bool {
        let answer = http::get(self.ports.gocd, HEALTH, "*/*");
        answer.is_ok_and(|answer| answer.is_some_and(|answer| answer.status == 200 && answer.body.contains("OK")))
    }

    /// What our node says of itself, through `gocd-bc status --json`; null while it does not answer.
    pub(crate) fn status(&self, project: &Project) -> Result<Value> {
        // The exit code tells how well the node is, so it is no error here.
        let output = self
            .companion(project, &["status", "--json"])
            .output()
            .with_context(|| format!("cannot start {}", project.companion().display()))?;
        let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        // Without a running node the command reads files, which say nothing about a process.
        let is_of_node = answer["source"] == "node";
        Ok(if is_of_node {
            answer["status"].take()
        } else {
            Value::Null
        })
    }

    /// Whether our node, in a JVM that must run, says that GoCD is healthy: for as long as it wants it to be, so that one
    /// that is killed after this is not said to have failed.
    pub(crate) fn is_said_to_be_healthy(&mut self, project: &Project) -> Result<bool> {
        self.jvm.must_run()?;
        Ok(self.status(project)?["gocd"]["state"] == "healthy")
    }

    /// Whether its GoCD is held, since another node took over.
    pub(crate) fn is_fenced(&self, project: &Project) -> Result<bool> {
        let status = self.status(project)?;
        Ok(status["role"] == "fenced" && status["phase"] == "holding")
    }

    /// Orders it to hand over, and waits until it says what. It is started again once it has ended, as its service does.
    pub(crate) fn hand_over(&mut self, project: &Project, stop: &Stop, limit: Duration) -> Result<()> {
        let mut order = self.companion(project, &["demote", "--handover", "--wait", "0"]);
        command::run(&mut order).context("gocd-bc demote --handover")?;
        stop.wait_until("the server says what it hands over", limit, || {
            if self.jvm.must_run().is_err() {
                self.start_again()?;
            }
            let status = self.status(project)?;
            Ok(status["phase"] == "holding" && status["hands_over"]["token"].is_object())
        })
    }

    /// Lets a held node go on and become the server.
    pub(crate) fn promote(&self, project: &Project) -> Result<()> {
        command::run(&mut self.companion(project, &["promote", "--without-database"]))
    }

    /// The id of the process of the JVM that the wrapper started last; none while there is none.
    pub(crate) fn jvm_of_wrapper(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.start.pid_file.as_ref()?).ok()?;
        text.trim().parse().ok().map(Pid::from_raw)
    }

    /// Ends it at once, as a machine that loses its power does: the wrapper, and the JVM that it does not start again then.
    pub(crate) fn lose(&mut self) -> Result<()> {
        let jvm = self.jvm_of_wrapper();
        self.jvm.kill()?;
        if let Some(pid) = jvm {
            kill(pid, Signal::SIGKILL).context("cannot kill the JVM of the wrapper")?;
            // It keeps its ports until it is gone; a process that nobody reaps has none any more.
            for _ in 0..1000 {
                if kill(pid, None).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Kills the JVM and leaves the wrapper.
    pub(crate) fn kill_jvm_of_wrapper(&self) -> Result<()> {
        let pid = self.jvm_of_wrapper().context("the wrapper runs no JVM")?;
        kill(pid, Signal::SIGKILL).context("cannot kill the JVM of the wrapper")
    }

    /// Starts it once more, as it was started first; nothing of it runs.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.jvm = self.start.run(&self.folder, &self.log)?;
        Ok(())
    }

    /// A command to this node.
    pub(crate) fn companion(&self, project: &Project, words: &[&str]) -> std::process::Command {
        let mut command = project.command(project.companion());
        command.args(words).arg("--state-dir").arg(self.folder.state());
        command
    }
}
