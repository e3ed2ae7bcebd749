//! `gocd-bc verify`: reads all live files and kept bytes of a standby now.

use bc_core::{
    basics::Severity,
    node::{Order, Reply},
    standby::store::verify::{Verified, VerifiedState},
};

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, Colours, LiveLine, table},
};

/// Runs `gocd-bc verify`: has the node read everything, and ends as what it found.
pub(crate) fn run(search: &Search, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Unknown)?;
    let asked = {
        let line = LiveLine::new();
        client::ask(&node.state_dir, &Order::Verify, |step| line.show(step))
    };
    let unknown = |failure: Failure| failure.with_exit(ExitCode::Unknown);
    let verified = match asked.map_err(unknown)? {
        Some(Reply::Verified { verified }) => *verified,
        Some(other) => return Err(unknown(client::unexpected(&other))),
        None => return Err(unknown(client::nobody_answers(&node.state_dir))),
    };
    if json {
        output::print_json(&verified)?;
    } else {
        output::print(&render(&verified, Colours::of_stdout()))?;
    }
    Ok(verified.severity().into())
}

/// Shows what `gocd-bc verify` found, for people.
fn render(verified: &Verified, colours: Colours) -> String {
    let wrong = verified
        .files
        .iter()
        .filter(|file| file.state != VerifiedState::Ok)
        .count();
    let summary = match verified.severity() {
        Severity::Ok => format!(
            "{} live files and {} kept ones are what they should be",
            verified.files.len(),
            verified.kept
        ),
        _ => format!("{wrong} files are not what they should be"),
    };
    let mut rows = vec![["FILE", "EXPECTED", "FOUND", "STATE"].map(str::to_owned).to_vec()];
    rows.extend(verified.files.iter().map(|file| {
        let found = file.found.map(|found| format!("{found:.12}"));
        vec![
            file.name.to_string(),
            format!("{:.12}", file.expected),
            found.unwrap_or_else(|| "nothing".to_owned()),
            in_words(file.state).to_owned(),
        ]
    }));
    format!(
        "{}  {summary} (generation {})\n\n{}",
        colours.severity(verified.severity()),
        verified.generation,
        table(&rows)
    )
}

/// The verified state of a file in words.
fn in_words(state: VerifiedState) -> &'static str {
    match state {
        VerifiedState::Ok => "ok",
        VerifiedState::Differs => "differs",
        VerifiedState::Missing => "missing",
        VerifiedState::KeptDamaged => "kept bytes damaged",
        VerifiedState::KeptLost => "kept bytes lost",
    }
}
