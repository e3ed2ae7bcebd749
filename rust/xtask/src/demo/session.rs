//! A `psql` that is kept open, so that what is measured through it is the database and not the start of a program.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// A server that does not answer within this time is lost.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A session; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Session {
    /// Starts `psql`, which knows where to connect.
    pub(crate) fn start(mut psql: Command) -> Result<Self> {
        let mut child = psql
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start psql")?;
        let input = child.stdin.take().context("psql has no input")?;
        let output = child.stdout.take().context("psql has no output")?;
        let (sender, answers) = mpsc::channel();
        // Ends with psql.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, input, answers })
    }

    /// Runs a statement that answers with one line, and returns that.
    ///
    /// # Errors
    /// It fails, and psql says why on standard error; or there is no answer in time.
    pub(crate) fn ask(&mut self, statement: &str) -> Result<String> {
        writeln!(self.input, "{statement};").context("psql has ended")?;
        let answer = self.answers.recv_timeout(ANSWERS_WITHIN);
        answer.with_context(|| format!("no answer to `{statement}`"))
    }

    /// Runs statements that answer nothing.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) fn run(&mut self, statements: &[&str]) -> Result<()> {
        for statement in statements {
            writeln!(self.input, "{statement};").context("psql has ended")?;
        }
        self.ask("select 'done'").map(drop)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
