//! The command as a process, and folders for it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use bc_testkit::secrets;
use tempfile::TempDir;

/// The user and group number of nobody, who owns nothing.
pub const NOBODY: u32 = 65_534;

/// A folder that every user may enter, with a copy of the command in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        let (built, copy) = (env!("CARGO_BIN_EXE_gocd-bc"), folder.path().join("gocd-bc"));
        // The checkout may lie where other users cannot go.
        fs::hard_link(built, &copy)
            .or_else(|_| fs::copy(built, &copy).map(drop))
            .expect("copy the command");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder of this user.
    pub fn folder(&self, name: &str, user: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("folder");
        give(&path, user);
        path
    }

    /// Makes a file of this user.
    pub fn file(&self, name: &str, text: &str, user: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("write");
        give(&path, user);
        path
    }

    /// The command, not started yet: without terminal, without our own environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("gocd-bc"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("BC_STATE_DIR")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output())
    }

    /// Runs the command as another user; we must be root.
    pub fn run_as(&self, user: u32, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).uid(user).gid(user).output())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        secrets::leave(self.folder.path());
    }
}

fn give(path: &Path, user: u32) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root may give files away");
    }
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    pub fn of(output: std::io::Result<Output>) -> Self {
        let output = output.expect("the command starts");
        secrets::said("gocd-bc", &[output.stdout.as_slice(), &output.stderr].concat());
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
