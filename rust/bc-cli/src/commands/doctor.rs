//! `gocd-bc doctor`: everything that can be wrong with this installation, and what to type.
//!
//! What is seen is gathered in `gather`, at once and each with a deadline, so that nobody who does not answer makes it
//! longer; what it means is decided by `bc_core::doctor`.

use std::path::PathBuf;

use bc_core::doctor::{self, Diagnosis, Finding, Level};
use serde::Serialize;

use crate::{
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, Colours},
};

mod gather;

/// The version of the JSON form.
const FORMAT: u32 = 1;

/// The JSON form of what the doctor found.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    /// What kind of host this is, and what was looked at.
    host: &'a [String],
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Runs `gocd-bc doctor`: says what is wrong, and ends as the worst of it.
pub(crate) fn run(search: &Search, json: bool, pgdata: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let facts = gather::facts(search, pgdata)?;
    let diagnosis = doctor::examine(&facts);
    let host = doctor::describe_host(&facts);
    if json {
        output::print_json(&Report {
            format: FORMAT,
            host: &host,
            diagnosis: &diagnosis,
        })?;
    } else {
        output::print(&render(&host, &diagnosis, Colours::of_stdout()))?;
    }
    Ok(match diagnosis.worst() {
        None if diagnosis.checks == 0 => ExitCode::Unknown,
        None => ExitCode::Ok,
        Some(Level::Warning) => ExitCode::Warning,
        Some(Level::Critical) => ExitCode::Critical,
        Some(Level::Unknown) => ExitCode::Unknown,
    })
}

/// Shows what the doctor found, for people.
fn render(host: &[String], diagnosis: &Diagnosis, colours: Colours) -> String {
    let mut text: String = host.iter().map(|line| format!("{line}\n")).collect();
    if !diagnosis.findings.is_empty() {
        text.push('\n');
    }
    let mut rest = diagnosis.findings.as_slice();
    while let Some(first) = rest.first() {
        // What cannot be found out for one reason is one line.
        let is_alike = |finding: &&Finding| finding.level == Level::Unknown && finding.seen == first.seen;
        let (alike, others) = rest.split_at(rest.iter().take_while(is_alike).count().max(1));
        text.push_str(&lines(alike, colours));
        rest = others;
    }
    let findings = match diagnosis.findings.len() {
        0 => "no finding".to_owned(),
        1 => "1 finding; `gocd-bc explain NUMBER` has a page on each".to_owned(),
        findings => format!("{findings} findings; `gocd-bc explain NUMBER` has a page on each"),
    };
    text.push_str(&format!("\n{} checks, {findings}\n", diagnosis.checks));
    text
}

/// The line of findings that are alike, and those to type.
fn lines(alike: &[Finding], colours: Colours) -> String {
    let Some(first) = alike.first() else {
        return String::new();
    };
    let names: Vec<String> = alike
        .iter()
        .map(|finding| format!("{} {}", finding.number, finding.name))
        .collect();
    let mut text = format!("{}  {}  {}\n", colours.level(first.level), names.join(", "), first.seen);
    for command in &first.commands {
        text.push_str(&format!("    {command}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use bc_testkit::documented;

    use super::*;

    fn diagnosis() -> Diagnosis {
        let finding = |level, commands: &[&str]| Finding {
            number: "BC113".to_owned(),
            name: "token",
            level,
            seen: "it refuses ours".to_owned(),
            commands: commands.iter().map(|line| (*line).to_owned()).collect(),
        };
        Diagnosis {
            checks: 7,
            findings: vec![
                finding(Level::Critical, &["one", "other"]),
                finding(Level::Unknown, &[]),
                Finding {
                    number: "BC120".to_owned(),
                    name: "gocd-version",
                    ..finding(Level::Unknown, &[])
                },
            ],
        }
    }

    #[test]
    fn what_a_person_reads() {
        assert_eq!(
            render(&["Standby: in sync (/state)".to_owned()], &diagnosis(), Colours::none()),
            "Standby: in sync (/state)\n\n\
             CRITICAL  BC113 token  it refuses ours\n    one\n    other\n\
             UNKNOWN  BC113 token, BC120 gocd-version  it refuses ours\n\n\
             7 checks, 3 findings; `gocd-bc explain NUMBER` has a page on each\n"
        );
    }

    #[test]
    fn the_json_is_what_the_document_says() {
        let report = Report {
            format: FORMAT,
            host: &["a host".to_owned()],
            diagnosis: &diagnosis(),
        };
        let json = serde_json::to_value(report).expect("plain");
        let said = documented::kinds(include_str!("../../../docs/json.md"), "`gocd-bc doctor --json`");
        assert_eq!(said, documented::shape(&json, &[]));
    }
}
