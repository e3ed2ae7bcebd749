//! What happens to servers.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DATABASE, LONG, Postgres, USER};
use crate::wait::until;

/// Sessions that do nothing and take up room. They end when this is dropped.
#[derive(Debug)]
pub struct Sessions(Vec<Child>);

impl Postgres {
    /// Stops or continues every process of it, as when its machine is paused.
    ///
    /// # Panics
    /// It does not run.
    pub fn freeze(&self, freezes: bool) {
        self.signal(if freezes { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Changes a byte in the middle of the first page of one of its files, as a disk does that fails. It must not run.
    ///
    /// # Panics
    /// There is no such file.
    pub fn damage(&self, file: &str) {
        let path = self.data().join(file);
        let mut bytes = fs::read(&path).expect("it is there");
        bytes[8000] ^= 0xff;
        fs::write(path, bytes).expect("written");
    }

    /// Ends it at once, as a crash does.
    ///
    /// # Panics
    /// It does not run.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Kills every process of it, and waits until they are gone: what it leaves is what a power cut leaves.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&self) {
        let postmaster = self.pid();
        self.signal(Signal::SIGKILL);
        until("the server to be gone", LONG, || {
            kill(Pid::from_raw(postmaster), None).is_err().then_some(())
        });
    }

    /// Opens sessions of GoCD's user until there is no room for another one.
    ///
    /// # Panics
    /// There always is.
    pub fn fill(&self) -> Sessions {
        let room: usize = self.sql("show max_connections").parse().expect("a number");
        // Those that find no room end by themselves.
        let mut sessions = Sessions((0..room).map(|_| self.session()).collect());
        until("the server to be full", LONG, || {
            let is_refused = !self.psql(&["-U", USER, "-d", DATABASE], "select 1").status.success();
            if !is_refused {
                // That look may have taken the room of one of them.
                sessions.0.push(self.session());
            }
            is_refused.then_some(())
        });
        sessions
    }

    fn session(&self) -> Child {
        self.program("psql")
            .args(["-h", &self.path().display().to_string(), "-p", &self.port.to_string()])
            .args(["-U", USER, "-d", DATABASE, "-X", "-q"])
            // Nothing comes through it: a session that is idle ends with its client.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts")
    }

    fn signal(&self, signal: Signal) {
        let postmaster = self.pid();
        let children = Command::new("pgrep").args(["-P", &postmaster.to_string()]).output();
        let children = String::from_utf8(children.expect("pgrep runs").stdout).expect("numbers");
        // It may have died just now, and then its file is what it left.
        let _ = kill(Pid::from_raw(postmaster), signal);
        for child in children.split_whitespace() {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(child.parse().expect("a number")), signal);
        }
    }

    fn pid(&self) -> i32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        file.lines()
            .next()
            .and_then(|line| line.parse().ok())
            .expect("a number")
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        for session in &mut self.0 {
            drop(session.kill());
            drop(session.wait());
        }
    }
}
