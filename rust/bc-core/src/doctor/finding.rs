//! What came of a check, and of all of them.

use serde::Serialize;

use super::{check::Check, level::Level};
use crate::basics::{Severity, words};

/// What the facts mean for one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not a matter of this host.
    Elsewhere,
    /// All is well.
    Well,
    /// Something is wrong.
    Wrong(Vec<Seen>),
    /// It could not be found out, and why.
    Unknown(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How bad, where that is not what the table says.
    pub(super) level: Option<Level>,
    /// What was seen.
    pub(super) what: String,
    /// What to type, with real values.
    pub(super) commands: Vec<String>,
}

impl Seen {
    /// Something that is as bad as the table says.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            level: None,
            what: what.into(),
            commands: Vec::new(),
        }
    }

    /// The same, with a line to type.
    pub(super) fn mend(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    /// The same, as bad as this.
    pub(super) fn level(self, level: Level) -> Self {
        Self {
            level: Some(level),
            ..self
        }
    }

    /// What a node says of itself: its message, and the commands that it names.
    pub(super) fn said(severity: Severity, message: &str) -> Self {
        let named = message.split('`').skip(1).step_by(2);
        let mut seen = Self::new(message).level(match severity {
            Severity::Critical => Level::Critical,
            Severity::Ok | Severity::Warning => Level::Warning,
        });
        for command in named.filter(|command| command.contains(' ')).map(typed) {
            if !seen.commands.contains(&command) {
                seen.commands.push(command);
            }
        }
        seen
    }
}

/// A command as it is typed into a shell: a statement of SQL goes through psql.
fn typed(command: &str) -> String {
    let is_statement = ["select ", "alter ", "update ", "reindex "]
        .iter()
        .any(|verb| command.starts_with(verb));
    match is_statement && !command.contains(['"', '$', '\\']) {
        true => format!("psql -c \"{command}\""),
        false => command.to_owned(),
    }
}

impl Verdict {
    /// The verdict of these: all is well where there are none.
    pub(super) fn of(seen: Vec<Seen>) -> Self {
        match seen.is_empty() {
            true => Verdict::Well,
            false => Verdict::Wrong(seen),
        }
    }

    /// Something that is wrong.
    pub(super) fn wrong(seen: Seen) -> Self {
        Verdict::Wrong(vec![seen])
    }
}

/// A check that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its number.
    pub number: String,
    /// Its name.
    pub name: &'static str,
    /// How bad.
    pub level: Level,
    /// What was seen, or why it could not be.
    pub seen: String,
    /// What to type.
    pub commands: Vec<String>,
}

/// What came of all checks on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Checks that are a matter of this host.
    pub checks: usize,
    /// What is wrong or not known, the worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    pub(super) fn new(verdicts: impl Iterator<Item = (Check, Verdict)>) -> Self {
        let mut diagnosis = Self {
            checks: 0,
            findings: Vec::new(),
        };
        for (check, verdict) in verdicts {
            let seen = match verdict {
                Verdict::Elsewhere => continue,
                Verdict::Well => Vec::new(),
                Verdict::Wrong(seen) => seen,
                Verdict::Unknown(why) => {
                    let command = match why.contains("as root") {
                        true => "sudo gocd-bc doctor".to_owned(),
                        false => format!("gocd-bc explain {}", check.name()),
                    };
                    let unknown = Seen::new(format!("not known: {why}"));
                    vec![unknown.level(Level::Unknown).mend(command)]
                }
            };
            diagnosis.checks += 1;
            diagnosis.findings.extend(seen.into_iter().map(|seen| {
                Finding {
                    number: check.number(),
                    name: check.name(),
                    level: seen.level.unwrap_or(check.level()),
                    seen: words::shown(&seen.what, words::LONGEST_MESSAGE * 2),
                    commands: seen
                        .commands
                        .iter()
                        .map(|line| words::shown(line, words::LONGEST_MESSAGE))
                        .collect(),
                }
            }));
        }
        // Of equally bad ones the order of the table stays.
        diagnosis
            .findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.level));
        diagnosis
    }

    /// How bad the worst finding is; none where there is none.
    pub fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }
}
