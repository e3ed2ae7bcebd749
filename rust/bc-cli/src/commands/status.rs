//! `gocd-bc status`: the picture of the node, or what its files tell when it does not answer.

use bc_core::{
    settings::{Face, Flag},
    status::{FileState, Phase, PrimaryStatus, Severity, StandbyStatus, Status, SyncStatus},
    words::size,
};
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, Colours, ago, span, table},
};

mod files;

use files::Files;

/// Shows the status and ends as it is.
pub(crate) fn run(search: &Search, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Unknown)?;
    let asked = client::status(&node.state_dir).map_err(|failure| failure.with_exit(ExitCode::Unknown))?;
    match asked {
        Some(status) => {
            if json {
                output::print_json(&Source::Node { status: &status })?;
            } else {
                output::print(&render(&status, Colours::of_stdout()))?;
            }
            Ok(status.severity().into())
        }
        None => {
            let files = Files::read(&node.state_dir);
            if json {
                output::print_json(&Source::Files { files: &files })?;
            } else {
                output::print(&files.render())?;
            }
            Ok(ExitCode::Unknown)
        }
    }
}

/// The JSON form: where it comes from, and what it is.
#[derive(Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
enum Source<'a> {
    Node { status: &'a Status },
    Files { files: &'a Files },
}

fn render(status: &Status, colours: Colours) -> String {
    let mut text = format!(
        "{}  {}\n",
        colours.severity(status.severity()),
        colours.strong(&status.headline())
    );
    for problem in &status.problems {
        if problem.severity > Severity::Ok {
            text.push_str(&format!(
                "\n{}  {}\n  for {}\n",
                colours.severity(problem.severity),
                problem.message,
                span(status.now_ms, problem.since_ms)
            ));
        }
    }
    if let Some(line) = status.awaited_line() {
        text.push_str(&format!("\n{line}\n"));
    }
    text.push('\n');
    text.push_str(&table(&about(status)));
    if let Some(sync) = &status.sync {
        for error in &sync.errors {
            text.push_str(&format!("\n{}: {}\n", ago(status.now_ms, error.at_ms), error.message));
        }
    }
    if !status.standbys.is_empty() {
        text.push('\n');
        text.push_str(&table(&standbys(status)));
        for standby in &status.standbys {
            text.push_str(&remarks(status, standby));
        }
    }
    if let Some(line) = status.strangers_line() {
        text.push_str(&format!("\n{line}\n"));
    }
    if !status.files.is_empty() {
        text.push('\n');
        text.push_str(&table(&files(status)));
    }
    text
}

fn about(status: &Status) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("node", format!("{} ({})", status.node_id, doing(status)));
    if let Some(fingerprint) = status.fingerprint {
        row("key", fingerprint.to_string());
    }
    row(
        "version",
        match &status.gocd_version {
            Some(gocd) => format!("{}, GoCD {gocd}", status.product_version),
            None => status.product_version.clone(),
        },
    );
    row("open", format!("for {}", span(status.now_ms, status.opened_ms)));
    row(
        "listening",
        match (&status.listening, &status.holding) {
            (Some(ours), Some(gocd)) => format!("{ours} (TLS), {gocd} (GoCD's port, held)"),
            (Some(ours), None) => format!("{ours} (TLS)"),
            (None, Some(gocd)) => format!("{gocd} (GoCD's port, held); the TLS port is closed"),
            (None, None) => "nowhere".to_owned(),
        },
    );
    if let Some(socket) = &status.socket {
        row("socket", socket.clone());
    }
    if let Some(url) = &status.external_url {
        row(
            "dashboard",
            format!("{url}/go/add-on/business-continuity/admin/dashboard"),
        );
    }
    if let Some(primary) = &status.primary {
        row("primary", where_primary(status, primary));
        row("trust", primary.trust.clone());
    }
    if let Some(sync) = &status.sync {
        row("sync", how_sync(status, sync));
    }
    if let Some(generation) = &status.generation {
        row(
            "generation",
            format!(
                "{:.12} (sequence {}, {})",
                generation.id,
                generation.sequence,
                size(generation.total_size)
            ),
        );
    }
    if let Some(scanned) = status.scanned_ms {
        row("folders", format!("read {}", ago(status.now_ms, scanned)));
    }
    row("counted", counted(status));
    rows
}

/// The direction in which files go, and what was not granted.
fn counted(status: &Status) -> String {
    let counters = &status.counters;
    let (files, done) = match &status.sync {
        Some(_) => (&counters.received, "received"),
        None => (&counters.sent, "sent"),
    };
    format!(
        "{} files {done} ({}), {} connections or requests turned away",
        files.files,
        size(files.bytes),
        counters.rejections.total()
    )
}

fn doing(status: &Status) -> String {
    let phase = match status.phase {
        Phase::Starting => "starting",
        Phase::Holding => "holding GoCD",
        Phase::Releasing => "letting GoCD run",
        Phase::Running => "running",
    };
    let face = match status.face {
        Face::Agent => "agent",
        Face::Plugin => "plugin",
        Face::Cli => "without a JVM",
    };
    match status.flag {
        Flag::None => format!("{}, {phase}, {face}", status.role),
        Flag::Property => format!("{}, {phase}, {face}; go.server.mode asks for a standby", status.role),
        Flag::File => format!(
            "{}, {phase}, {face}; the file start.in.standby asks for a standby",
            status.role
        ),
    }
}

fn where_primary(status: &Status, primary: &PrimaryStatus) -> String {
    let span = span(status.now_ms, primary.since_ms);
    let state = match (primary.connected, primary.last_exchange_ms) {
        (true, _) => format!("connected for {span}"),
        (false, Some(last)) => format!("not connected for {span}, last exchange {}", ago(status.now_ms, last)),
        (false, None) => format!("not connected for {span}, never was"),
    };
    let gocd = primary
        .gocd_version
        .as_ref()
        .map(|version| format!(", GoCD {version}"))
        .unwrap_or_default();
    format!("{}: {state}{gocd}", primary.url)
}

fn how_sync(status: &Status, sync: &SyncStatus) -> String {
    let state = match (sync.in_sync, sync.in_sync_since_ms) {
        (true, Some(since)) => format!("in sync for {}", span(status.now_ms, since)),
        (true, None) => "in sync".to_owned(),
        (false, _) => "not in sync".to_owned(),
    };
    let applied = match (sync.applied_ms, sync.applied_age_ms(status.now_ms)) {
        (Some(applied), Some(_)) => format!("last applied {}", ago(status.now_ms, applied)),
        (Some(_), None) => "last applied at a time that this server's clock has yet to reach".to_owned(),
        (None, _) => "nothing applied yet".to_owned(),
    };
    match &sync.fetching {
        Some(fetching) => format!(
            "{state}, {applied}; fetching {} files, {} of {}",
            fetching.files_left,
            size(fetching.bytes_done),
            size(fetching.bytes_total)
        ),
        None => format!("{state}, {applied}"),
    }
}

fn standbys(status: &Status) -> Vec<Vec<String>> {
    let heading = ["STANDBY", "REPORTED", "GENERATION", "APPLIED", "FOLLOWS"]
        .map(str::to_owned)
        .to_vec();
    let rows = status.standbys.iter().map(|standby| {
        let generation = standby.generation.as_ref();
        vec![
            standby.name(),
            ago(status.now_ms, standby.reported_ms),
            generation.map_or("none".to_owned(), |generation| {
                format!("{:.12} ({})", generation.id, generation.sequence)
            }),
            standby
                .applied_ms
                .map_or("never".to_owned(), |applied| ago(status.now_ms, applied)),
            match (standby.silent, standby.behind_since_ms, standby.says_in_sync) {
                (true, _, _) => "silent".to_owned(),
                (false, Some(since), _) => format!("behind for {}", span(status.now_ms, since)),
                (false, None, _) if standby.in_sync => "in sync".to_owned(),
                (false, None, Some(_)) => "not in sync".to_owned(),
                (false, None, None) => "not known".to_owned(),
            },
        ]
    });
    std::iter::once(heading).chain(rows).collect()
}

/// What does not fit into a standby's row.
fn remarks(status: &Status, standby: &StandbyStatus) -> String {
    let mut text = String::new();
    let name = standby.name();
    match (&standby.problem, &standby.error) {
        (Some(problem), _) => text.push_str(&format!("\n{name} says, {}: {}\n", problem.severity, problem.message)),
        (None, Some(error)) => text.push_str(&format!(
            "\n{name} said {}: {error}\n",
            ago(status.now_ms, standby.reported_ms)
        )),
        (None, None) => {}
    }
    text
}

fn files(status: &Status) -> Vec<Vec<String>> {
    let heading = ["FILE", "STATE", "SIZE", "WRITTEN", "SHA-256", "PLUGIN"]
        .map(str::to_owned)
        .to_vec();
    let rows = status.files.iter().map(|file| {
        let state = match file.state {
            FileState::Offered => "offered",
            FileState::InSync => "in sync",
            FileState::Differs => "differs",
            FileState::Missing => "missing here",
            FileState::Withheld => "not offered",
            FileState::OnlyHere => "only here",
        };
        let here = file.standby.as_ref().or(file.primary.as_ref());
        let plugin = file.plugin.as_ref().map(ToString::to_string);
        vec![
            file.name.to_string(),
            state.to_owned(),
            here.map(|version| size(version.size)).unwrap_or_default(),
            here.map(|version| ago(status.now_ms, version.modified_ms))
                .unwrap_or_default(),
            here.map(|version| format!("{:.12}", version.sha256))
                .unwrap_or_default(),
            plugin.unwrap_or_default(),
        ]
    });
    std::iter::once(heading).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use bc_core::{manifest::Role, report::ReportedProblem, status::Problem};

    use super::*;

    fn status() -> Status {
        Status {
            product_version: "0.1.0".to_owned(),
            face: Face::Agent,
            flag: Flag::Property,
            now_ms: 300_000,
            gocd_version: Some("26.1.0".to_owned()),
            listening: Some("0.0.0.0:8155".to_owned()),
            holding: Some("0.0.0.0:8153".to_owned()),
            problems: vec![Problem {
                topic: "primary".to_owned(),
                severity: Severity::Critical,
                message: "the primary does not answer".to_owned(),
                since_ms: 240_000,
            }],
            primary: Some(PrimaryStatus {
                trusted: true,
                last_exchange_ms: Some(239_000),
                ..PrimaryStatus::new("https://primarygo:8155", "by the peers file", 240_000)
            }),
            sync: Some(SyncStatus::default()),
            ..Status::new(&"ab".repeat(16), Role::Standby, Phase::Holding, 0)
        }
    }

    #[test]
    fn what_a_person_reads() {
        let text = render(&status(), Colours::none());
        let expected = "\
CRITICAL  Standby: not in sync, GoCD is held

CRITICAL  the primary does not answer
  for 60 s

node       abababababababababababababababab (standby, holding GoCD, agent; go.server.mode asks for a standby)
version    0.1.0, GoCD 26.1.0
open       for 5 min
listening  0.0.0.0:8155 (TLS), 0.0.0.0:8153 (GoCD's port, held)
primary    https://primarygo:8155: not connected for 60 s, last exchange 61 s ago
trust      by the peers file
sync       not in sync, nothing applied yet
counted    0 files received (0 B), 0 connections or requests turned away
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_standby_says_is_called_its_word() {
        let mut standby: StandbyStatus = serde_json::from_value(serde_json::json!({
            "node_id": "ab".repeat(16), "fingerprint": null, "standing": "trusted", "url": "https://standbygo:8155",
            "product_version": "0.1.0", "gocd_version": null, "generation": null, "applied_ms": null,
            "behind_since_ms": null, "reported_ms": 240_000, "silent": false, "error": "it broke off",
            "problem": null, "confirms": []
        }))
        .expect("a standby");
        assert_eq!(
            remarks(&status(), &standby),
            "\nstandbygo:8155 said 60 s ago: it broke off\n"
        );
        standby.problem = Some(ReportedProblem {
            severity: Severity::Warning,
            message: "it is refused".to_owned(),
        });
        assert_eq!(
            remarks(&status(), &standby),
            "\nstandbygo:8155 says, WARNING: it is refused\n"
        );
    }

    #[test]
    fn what_a_script_reads() {
        let json = serde_json::to_value(Source::Node { status: &status() }).expect("plain");
        assert_eq!(json["source"], "node");
        assert_eq!(json["status"]["role"], "standby");
        assert_eq!(json["status"]["face"], "agent");
        assert_eq!(json["status"]["phase"], "holding");
        assert_eq!(json["status"]["counters"]["rejections"]["slow"], 0);
    }
}
