//! Child processes that end with their test and whose output can be waited for.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{secrets, wait};

/// A running child. Killed when dropped; its output is printed then if the test is failing.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("piped"), Arc::clone(&lines));
        collect(child.stderr.take().expect("piped"), Arc::clone(&lines));
        secrets::seen_of_process(name, child.id());
        Self {
            name: name.to_owned(),
            child,
            lines,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed so far, both streams.
    pub fn output(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits until it has printed a line with `text`.
    ///
    /// # Panics
    /// It did not within `limit`.
    pub fn wait_for(&self, text: &str, limit: Duration) {
        wait::until(&format!("{} prints `{text}`", self.name), limit, || {
            self.output().contains(text).then_some(())
        });
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// The operating system does not know it.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It still runs after `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), limit, || {
            self.child.try_wait().expect("a child of ours")
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        secrets::seen_of_process(&self.name, self.id());
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
        secrets::said(&self.name, self.output().as_bytes());
        if thread::panicking() {
            eprintln!("---- output of {} ----\n{}\n----", self.name, self.output());
        }
    }
}

fn collect(stream: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
