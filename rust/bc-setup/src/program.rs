//! Running a program of others: as whom it belongs to, with a deadline, with nothing of our environment.
//!
//! Everybody on a machine sees the words of a command line, and the user itself the environment of its processes: a
//! secret reaches a program by its input or by a file.

#![cfg_attr(
    not(test),
    expect(clippy::disallowed_types, reason = "every program is started here")
)]

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use bc_core::basics::{Error, Kind};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use zeroize::Zeroizing;

use crate::os_user::OsUser;

/// Where programs are looked for that have no path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As long may a program run where nobody says otherwise.
const USUAL_DEADLINE: Duration = Duration::from_secs(60);
/// As much is kept of what a program says, in bytes.
const LONGEST_OUTPUT: usize = 4 << 20;
/// Becomes another user with all that user's groups, which the standard library cannot.
const SETPRIV: &str = "/usr/bin/setpriv";
/// What it is told for a program that ends with us.
const DIES_WITH_US: [&str; 2] = ["--pdeathsig", "KILL"];

/// A program that is to run.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    user: OsUser,
    input: Option<Zeroizing<Vec<u8>>>,
    held: Option<File>,
    dies_with_us: bool,
    deadline: Duration,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Program {
    /// A program to run as ourselves: a path, or a name that is looked for where systems have their programs.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            user: OsUser::ourselves(),
            input: None,
            held: None,
            dies_with_us: false,
            deadline: USUAL_DEADLINE,
        }
    }

    /// The same program to be run once more, without a file that it keeps open.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            path: self.path.clone(),
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            user: self.user.clone(),
            input: self.input.clone(),
            held: None,
            dies_with_us: self.dies_with_us,
            deadline: self.deadline,
        }
    }

    /// Adds a word to the command line of a program. Everybody sees it.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.arguments.push(word.as_ref().to_owned());
        self
    }

    /// Adds words to the command line of a program. Everybody sees them.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.arguments
            .extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Gives a program a variable. Other processes of its user see that.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Has a program run as another user.
    #[must_use]
    pub fn as_user(mut self, user: &OsUser) -> Self {
        self.user = user.clone();
        self
    }

    /// What a program reads from its standard input, up to the 64 KiB that a pipe holds. Nobody else sees that.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(Zeroizing::new(bytes.into()));
        self
    }

    /// What a program holds open as long as it runs, such as a lock; it has no input then.
    #[must_use]
    pub fn holding(mut self, file: File) -> Self {
        self.held = Some(file);
        self
    }

    /// Ends a program when we end, however that is; where the system has no program for that, it goes on.
    #[must_use]
    pub fn dying_with_us(mut self) -> Self {
        self.dies_with_us = true;
        self
    }

    /// How long a program may run.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs a program to its end, however it ends.
    ///
    /// # Errors
    /// It cannot be started, or did not end in time; then it was killed.
    pub fn run(self) -> Result<Output, Error> {
        let deadline = self.deadline;
        self.run_watched(deadline, &mut |_| true)
    }

    /// Runs a program to its end, and calls `tick` again and again meanwhile.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_ticking(self, every: Duration, tick: &mut dyn FnMut()) -> Result<Output, Error> {
        self.run_watched(every, &mut |_| {
            tick();
            true
        })
    }

    /// Runs a program to its end, and again and again shows `watch` meanwhile what it has written to its standard
    /// error; it is killed once `watch` says no.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_watched(mut self, every: Duration, watch: &mut dyn FnMut(&str) -> bool) -> Result<Output, Error> {
        let name = self.name();
        let failed = |error: io::Error| {
            Error::new(
                Kind::File,
                format!("cannot run {}: {error}", self.path.display()),
                "Check that it is installed.",
            )
        };
        // A server that the program leaves behind keeps its output open: a pipe would never end.
        let (stdout, stderr) = (
            tempfile::tempfile().map_err(failed)?,
            tempfile::tempfile().map_err(failed)?,
        );
        let mut child = self
            .command()?
            .stdin(match (self.held.take(), &self.input) {
                (Some(file), _) => file.into(),
                (None, Some(_)) => Stdio::piped(),
                (None, None) => Stdio::null(),
            })
            .stdout(stdout.try_clone().map_err(failed)?)
            .stderr(stderr.try_clone().map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        if let (Some(bytes), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            // One that ends without reading says why by how it ends.
            drop(pipe.write_all(&bytes));
        }
        let pid = Pid::from_raw(child.id().cast_signed());
        let (send, ended) = mpsc::channel();
        let waiting = thread::spawn(move || drop(send.send(child.wait())));
        let begin = Instant::now();
        let mut is_late = false;
        let status: Option<ExitStatus> = loop {
            let left = self.deadline.saturating_sub(begin.elapsed());
            match ended.recv_timeout(every.min(left)) {
                Ok(status) => break Some(status.map_err(failed)?),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {
                    if !watch(&text(&stderr)) {
                        // It is waited for, so that the number is still its own.
                        let _ = kill(pid, Signal::SIGKILL);
                        break ended.recv().ok().transpose().map_err(failed)?;
                    }
                }
                Err(_) => {
                    is_late = true;
                    let _ = kill(pid, Signal::SIGKILL);
                    break None;
                }
            }
        };
        drop(waiting.join());
        let Some(status) = status.filter(|_| !is_late) else {
            return Err(Error::new(
                Kind::Unreachable,
                format!("{name} did not end within {} s", self.deadline.as_secs()),
                format!("It said: {}", last_lines(&text(&stderr))),
            ));
        };
        Ok(Output {
            code: status.code(),
            stdout: text(&stdout),
            stderr: text(&stderr),
        })
    }

    /// Runs a program, and fails where it does.
    ///
    /// # Errors
    /// As [`Program::run`], or it ended with another code than 0: what it said last is in the error.
    pub fn succeed(self) -> Result<Output, Error> {
        let name = self.name();
        let output = self.run()?;
        output.checked(&name)
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().display().to_string()
    }

    fn command(&self) -> Result<Command, Error> {
        let mut command = if self.user.is_us() && self.dies_with_us && Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            command.args(DIES_WITH_US).arg("--").arg(&self.path);
            command
        } else if self.user.is_us() {
            Command::new(&self.path)
        } else if !OsUser::ourselves().is_root() {
            return Err(self.user.not_us(&io::ErrorKind::PermissionDenied.into()));
        } else if Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            command
                .arg(format!("--reuid={}", self.user.uid))
                .arg(format!("--regid={}", self.user.gid))
                .arg("--init-groups")
                .args(DIES_WITH_US.iter().filter(|_| self.dies_with_us))
                .arg("--")
                .arg(&self.path);
            command
        } else {
            let mut command = Command::new(&self.path);
            command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw());
            command
        };
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", &self.user.home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Ours may be where that user cannot go.
            .current_dir("/");
        Ok(command)
    }
}

impl Output {
    /// The output of a program, where that `name` ended well.
    ///
    /// # Errors
    /// It did not: what it said last is in the error.
    pub fn checked(self, name: &str) -> Result<Self, Error> {
        match self.code {
            Some(0) => Ok(self),
            _ => Err(Error::new(
                Kind::Refused,
                format!("{name} failed: {}", self.last_words()),
                "",
            )),
        }
    }

    /// What a failed program said last, on one line.
    pub fn last_words(&self) -> String {
        match (last_lines(&self.stderr), last_lines(&self.stdout)) {
            (error, _) if !error.is_empty() => error,
            (_, output) if !output.is_empty() => output,
            _ => format!(
                "it ended with {}, and said nothing",
                self.code.map_or("a signal".to_owned(), |code| code.to_string())
            ),
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

/// What is in a file, which a program may still be writing to at its own place.
fn text(file: &File) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    while let Ok(read @ 1..) = file.read_at(&mut part, bytes.len() as u64) {
        bytes.extend_from_slice(&part[..read]);
        if bytes.len() >= LONGEST_OUTPUT {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_and_how_it_ends_is_known() {
        let output = Program::new("sh")
            .arg("-c")
            .arg("cat; echo no >&2; exit 3")
            .input("yes")
            .run();
        let output = output.expect("it runs");
        assert_eq!(
            (output.code, output.stdout.as_str(), output.stderr.as_str()),
            (Some(3), "yes", "no\n")
        );
        let error = Program::new("sh")
            .args(["-c", "echo why >&2; exit 1"])
            .succeed()
            .expect_err("it fails");
        assert_eq!(error.message(), "sh failed: why");
    }

    #[test]
    fn one_that_does_not_end_is_killed_and_one_that_is_missing_is_named() {
        let program = Program::new("sleep").arg("1000").within(Duration::from_millis(50));
        let error = program.run().expect_err("it sleeps");
        assert!(error.message().starts_with("sleep did not end"), "{error}");
        let error = Program::new("/nowhere/pg_ctl").run().expect_err("it is missing");
        assert!(error.message().starts_with("cannot run /nowhere/pg_ctl"), "{error}");
    }

    #[test]
    fn one_is_watched_by_what_it_says_and_ended_on_request() {
        let program = Program::new("sh").args(["-c", "echo one >&2; sleep 1000"]);
        let mut heard = String::new();
        let output = program
            .run_watched(Duration::from_millis(10), &mut |said| {
                said.clone_into(&mut heard);
                !said.contains("one")
            })
            .expect("it runs");
        assert_eq!(
            (heard.as_str(), output.code, output.stderr.as_str()),
            ("one\n", None, "one\n")
        );
    }

    #[test]
    fn a_server_that_is_left_behind_is_not_waited_for() {
        let begin = Instant::now();
        let output = Program::new("sh")
            .args(["-c", "sleep 20 & echo started"])
            .run()
            .expect("it runs");
        assert_eq!(output.stdout, "started\n");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn nothing_of_our_environment_goes_along() {
        let output = Program::new("env").env("A", "b").run().expect("it runs");
        let mut names: Vec<&str> = output
            .stdout
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["A", "HOME", "LC_ALL", "PATH"]);
    }

    #[test]
    fn another_user_has_its_own_groups() {
        if !OsUser::ourselves().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).expect("root may");
        let nobody = OsUser::owning(folder.path()).expect("it is there");
        let output = Program::new("id").arg("-u").as_user(&nobody).run().expect("it runs");
        assert_eq!(output.stdout, "65534\n");
    }
}
