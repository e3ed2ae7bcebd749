//! What goes to the terminal: data to stdout, talk to stderr.
//!
//! Whoever reads stdout may stop reading: that is no failure. Colour is an addition, never the message: none
//! without a terminal or with `NO_COLOR`.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use bc_core::{
    basics::{Severity, words},
    doctor::Level,
};

use crate::{exit_code::ExitCode, failure::Failure};

/// Writes what was asked for to stdout.
///
/// # Errors
/// It cannot be written, for another reason than that nobody reads it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let text = for_terminal(text);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            ExitCode::Failed,
            format!("cannot write to standard output: {error}"),
            "",
        )),
        _ => Ok(()),
    }
}

/// Writes what was asked for to stdout as JSON.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).expect("our own types have only plain fields");
    print(&format!("{text}\n"))
}

/// Writes what is told on the way to stderr. Nothing can be done where that fails.
pub(crate) fn say(text: &str) {
    say_as_it_is(&for_terminal(text));
}

/// Writes the failure of a command to stderr; returns what the process ends with.
pub(crate) fn tell(failure: &Failure) -> ExitCode {
    say(&failure.to_string());
    failure.exit()
}

/// Writes a text to stderr as it is.
fn say_as_it_is(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Leaves in a text our own colours, and nothing else that a terminal obeys: files and other programs' messages may
/// hold anything. What a node says is one line each already ([`crate::client`]).
fn for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find(ESCAPE).map(|at| rest.split_at(at)) {
        shown.push_str(&words::printable(before));
        let colour = COLOURS.iter().copied().find(|colour| from.starts_with(colour));
        shown.push_str(colour.unwrap_or("\u{FFFD}"));
        rest = &from[colour.map_or(ESCAPE.len_utf8(), str::len)..];
    }
    shown.push_str(&words::printable(rest));
    shown
}

/// How what commands a terminal begins.
const ESCAPE: char = '\x1b';
/// What [`Colours`] makes of severities and headings, and its end.
const COLOURS: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];

/// As much of a step is shown, in characters.
const LONGEST_STEP: usize = 300;

/// A line on a terminal that is written over again and again; nothing elsewhere.
pub(crate) struct LiveLine {
    is_terminal: bool,
}

impl LiveLine {
    /// Makes a line on stderr that shows the progress of an order.
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Shows `text` on the line of progress, in the place of what was there.
    pub(crate) fn show(&self, text: &str) {
        if self.is_terminal {
            say_as_it_is(&format!("\r\x1b[K{}", words::shown(text, LONGEST_STEP)));
        }
    }
}

/// Leaves the line empty for what follows.
impl Drop for LiveLine {
    fn drop(&mut self) {
        self.show("");
    }
}

/// Whether and how words are coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Colours {
    enabled: bool,
}

impl Colours {
    /// Makes the colours that stdout and `NO_COLOR` allow.
    pub(crate) fn of_stdout() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            enabled: wanted && io::stdout().is_terminal(),
        }
    }

    /// Makes colours that colour nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { enabled: false }
    }

    /// The word for a severity, in its colour.
    pub(crate) fn severity(self, severity: Severity) -> String {
        let code = match severity {
            Severity::Ok => "32",
            Severity::Warning => "33",
            Severity::Critical => "31",
        };
        self.paint(&severity.to_string(), code)
    }

    /// The word for how bad a finding is, in its colour.
    pub(crate) fn level(self, level: Level) -> String {
        let code = match level {
            Level::Unknown | Level::Warning => "33",
            Level::Critical => "31",
        };
        self.paint(&level.to_string(), code)
    }

    /// A heading in the output, in bold where that is allowed.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(text, "1")
    }

    /// A text in a colour, where colours are allowed.
    fn paint(self, text: &str, code: &str) -> String {
        if self.enabled {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// How long ago `then` was, in words for the output. A clock that was set back makes it lie in the future.
pub(crate) fn ago(now_ms: i64, then_ms: i64) -> String {
    match now_ms.saturating_sub(then_ms) {
        ..0 => "in the future".to_owned(),
        0..1_000 => "just now".to_owned(),
        _ => format!("{} ago", span(now_ms, then_ms)),
    }
}

/// The time from `then` to now, in words for the output.
pub(crate) fn span(now_ms: i64, then_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(then_ms).max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Makes columns of equal width for the output, two blanks between them; the last one is as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_in_words() {
        assert_eq!(ago(10_000, 9_500), "just now");
        assert_eq!(ago(10_000, 7_000), "3 s ago");
        assert_eq!(ago(600_000, 0), "10 min ago");
        assert_eq!(ago(0, 1), "in the future");
        assert_eq!(span(7_200_000, 0), "2 h");
    }

    #[test]
    fn a_terminal_is_commanded_by_our_colours_alone() {
        let colours = Colours { enabled: true };
        let own = format!(
            "{}  {}\n\tx\n",
            colours.severity(Severity::Critical),
            colours.strong("a")
        );
        assert_eq!(for_terminal(&own), own);
        let foreign = "a\x1b[2Jb\x1b]0;title\x07c\rd\u{9b}31me\u{202e}f\x1b";
        assert_eq!(
            for_terminal(foreign),
            "a\u{fffd}[2Jb\u{fffd}]0;title\u{fffd}c\u{fffd}d\u{fffd}31me\u{fffd}f\u{fffd}"
        );
    }

    #[test]
    fn a_table_lines_up() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            table(&[row(&["a", "bb", ""]), row(&["ccc", "d", "e"])]),
            "a    bb\nccc  d   e\n"
        );
    }
}
