//! The terminal as what a set-up speaks to.

use std::io::{self, BufRead, IsTerminal};

use bc_core::basics::{Error, Kind, words};
use bc_setup::console::Console;
use zeroize::Zeroizing;

use crate::output::{self, LiveLine};

/// How wide the bar of what takes its time is, in characters.
const BAR: u64 = 30;

/// Data to stdout, talk to stderr, questions to whoever sits there.
pub(crate) struct Terminal {
    line: Option<LiveLine>,
}

impl Terminal {
    /// Makes the console of this process.
    pub(crate) fn new() -> Self {
        Self { line: None }
    }
}

impl Console for Terminal {
    fn show(&mut self, text: &str) -> Result<(), Error> {
        self.line = None;
        output::print(text).map_err(|failure| Error::new(Kind::File, failure.message(), ""))
    }

    fn say(&mut self, text: &str) {
        self.line = None;
        output::say(&format!("{text}\n"));
    }

    fn progress(&mut self, what: &str, done: u64, total: Option<u64>) {
        let line = self.line.get_or_insert_with(LiveLine::new);
        line.show(&bar(what, done, total));
    }

    fn ask(&mut self, question: &str) -> Option<bool> {
        self.line = None;
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        output::say(&format!("{question} [y/N] "));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Asks for something that the terminal does not show while it is typed. None where nobody is there to answer.
pub(crate) fn secret(question: &str) -> Option<Zeroizing<String>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    output::say(question);
    let mut answer = Zeroizing::new(String::new());
    let read = without_echo(|| io::stdin().lock().read_line(&mut answer));
    output::say("\n");
    read.ok().filter(|length| *length > 0).map(|_| answer)
}

/// Does `read` while the terminal does not show what is typed.
#[cfg(unix)]
fn without_echo<T>(read: impl FnOnce() -> T) -> T {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

    let stdin = io::stdin();
    let before = tcgetattr(&stdin);
    if let Ok(mut quiet) = before.clone() {
        quiet.local_flags.remove(LocalFlags::ECHO);
        // Where it is refused, what is typed is seen by whoever types it.
        _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet);
    }
    let read = read();
    if let Ok(before) = before {
        _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &before);
    }
    read
}

/// Does `read` as it is: what is typed cannot be hidden here.
#[cfg(not(unix))]
fn without_echo<T>(read: impl FnOnce() -> T) -> T {
    read()
}

/// `base backup  [######          ]  1.2 of 4.0 GiB`.
fn bar(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => {
            let filled = usize::try_from((done.min(total) * BAR).div_euclid(total)).unwrap_or_default();
            let width = usize::try_from(BAR).unwrap_or_default();
            format!(
                "{what}  [{:width$}]  {} of {}",
                "#".repeat(filled),
                words::size(done),
                words::size(total)
            )
        }
        _ => format!("{what}  {}", words::size(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        let half = bar("backup", 512, Some(1024));
        assert!(
            half.contains(&format!("[{}{}]", "#".repeat(15), " ".repeat(15))),
            "{half}"
        );
        assert!(bar("backup", 9, Some(3)).contains(&"#".repeat(30)));
        assert!(!bar("backup", 9, None).contains('['));
    }
}
