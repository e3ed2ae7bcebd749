//! One server of the demo, a JVM or the wrapper around one, ended when it is dropped.

use std::{
    fs::OpenOptions,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a JVM may take to end by itself: GoCD's shutdown hooks and ours.
const GRACE: Duration = Duration::from_secs(10);

/// A running child.
#[derive(Debug)]
pub(crate) struct Jvm {
    name: &'static str,
    child: Child,
}

impl Jvm {
    /// Starts a program with these words in `folder`; everything it prints goes to the end of `log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        words: &[String],
        folder: &Path,
        log: &Path,
    ) -> Result<Self> {
        let log_file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let same_file = log_file.try_clone().context("cannot share the log file")?;
        let child = Command::new(program)
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(same_file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name, child })
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill a server")?;
        self.child.wait().context("cannot wait for a server")?;
        Ok(())
    }

    /// Ends it as a service is stopped.
    pub(crate) fn end(&mut self) {
        // Not reaped yet, so the id is still this child's.
        if self.wait(Duration::ZERO).is_none() {
            let _ = kill(self.process_id(), Signal::SIGTERM);
            if self.wait(GRACE).is_none() {
                let _ = self.kill();
            }
        }
    }

    fn process_id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// The JVM has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a child")? {
            None => Ok(()),
            Some(status) => bail!("the JVM of the {} has ended: {status}", self.name),
        }
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
                _ => return None,
            }
        }
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        self.end();
    }
}
