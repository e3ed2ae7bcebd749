//! `gocd-bc status`: the picture of the node, or what its files tell when it does not answer.

use bc_core::{
    basics::{Severity, words::size},
    database::picture::{Picture, ServerPicture},
    generation::Role,
    settings::{Face, Flag},
    status::{Phase, PrimaryStatus, StandbyStatus, Status, SyncStatus},
};
use serde::Serialize;

use super::landing;
use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, Colours, ago, span, table},
};

mod files;

use files::Files;

/// Runs `gocd-bc status`: shows the status of the node, and ends as it is.
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
            Ok(files.exit_code())
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

/// Shows the status of a node, for people.
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
    if let Some(database) = &status.database
        && !database.servers.is_empty()
    {
        text.push('\n');
        text.push_str(&table(&databases(database)));
    }
    if let Some(landing) = &status.landing {
        text.push_str(&format!("\n{}\n", colours.strong("After the promotion")));
        text.push_str(&landing::render(landing, status.agents.as_ref(), status.now_ms));
        text.push_str("`gocd-bc landing done` takes this away.\n");
    }
    if !status.standbys.is_empty() {
        text.push('\n');
        text.push_str(&table(&standbys(status)));
        for standby in &status.standbys {
            text.push_str(&remarks(status, standby));
        }
    }
    for line in [status.strangers_line(), status.old_standbys_line()]
        .into_iter()
        .flatten()
    {
        text.push_str(&format!("\n{line}\n"));
    }
    if !status.files.is_empty() {
        text.push('\n');
        text.push_str(&table(&files(status)));
    }
    text
}

/// Makes the rows of the status about the node itself.
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
    if let Some(gocd) = &status.gocd {
        row(
            "gocd",
            format!("{}, for {}", gocd.line(), span(status.now_ms, gocd.since_ms)),
        );
    }
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
    if let Some(database) = &status.database {
        row("database", database.line());
        if let Some(loss) = database.loss_line() {
            row("promotion", format!("now {loss}"));
        }
    }
    if let Some(line) = status.hands_over_line() {
        row("hand-over", line);
    }
    if let Some(preflight) = status.preflight.as_ref().filter(|_| status.role == Role::Standby) {
        row("promote", preflight.line());
    }
    if let Some(promotion) = &status.promotion {
        row("promoted", promotion.line());
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

/// Makes the table of the database servers in the status.
fn databases(database: &Picture) -> Vec<Vec<String>> {
    let heading = ["DATABASE", "ROLE", "VERSION", "SYSTEM", "TIMELINE", "POSITION"].map(str::to_owned);
    let row = |server: &ServerPicture| {
        let name = match (database.servers.len(), server.is_own) {
            (2.., true) => format!("{} (this server's)", server.address),
            _ => server.address.clone(),
        };
        let is = match (server.role, server.platform) {
            (Some(role), Some(platform)) => format!("{role} by {platform}"),
            (Some(role), None) => role.to_string(),
            (None, _) => "does not answer".to_owned(),
        };
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            name,
            is,
            known(server.version.clone()),
            known(server.system.map(|system| system.to_string())),
            known(server.timeline.map(|timeline| timeline.to_string())),
            known(server.position.map(|position| position.to_string())),
        ]
    };
    std::iter::once(heading.to_vec())
        .chain(database.servers.iter().map(row))
        .collect()
}

/// Says in the status how many files went, in which direction, and what was not granted.
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

/// Says in the status what the node is and does.
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

/// Says in a standby's status where its primary is, and whether it is connected.
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

/// Says in a standby's status whether it is in sync, and when it applied something last.
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

/// Makes the table of standbys in the status.
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
            match standby.behind_since_ms.filter(|_| !standby.silent) {
                Some(since) => format!("{} for {}", standby.state(), span(status.now_ms, since)),
                None => standby.state().to_owned(),
            },
        ]
    });
    std::iter::once(heading).chain(rows).collect()
}

/// Says in the status what does not fit into a standby's row.
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

/// Makes the table of files in the status.
fn files(status: &Status) -> Vec<Vec<String>> {
    let heading = ["FILE", "STATE", "SIZE", "WRITTEN", "SHA-256", "PLUGIN"]
        .map(str::to_owned)
        .to_vec();
    let rows = status.files.iter().map(|file| {
        let here = file.standby.as_ref().or(file.primary.as_ref());
        let plugin = file.plugin.as_ref().map(ToString::to_string);
        vec![
            file.name.to_string(),
            file.state.to_string(),
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
    use bc_core::{
        generation::Role,
        status::{Problem, ReportedProblem, Topic},
    };

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
                topic: Topic::Primary,
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
    fn the_database_is_shown_whole() {
        let database: Picture = serde_json::from_value(serde_json::json!({
            "servers": [
                {"address": "primarydb:5432", "role": "primary", "version": "15.18", "system": "7", "timeline": 1,
                 "position": "0/3000060", "platform": "rds"},
                {"address": "standbydb:5432", "role": "standby", "version": "15.18", "system": "7", "timeline": 1,
                 "position": "0/3000000", "is_own": true},
                {"address": "third:5432", "error": "it does not answer"},
            ],
            "following": "streaming", "behind_bytes": 96, "behind_s": 3, "loss_bytes": 0, "loss_s": 0,
        }))
        .expect("a picture");
        let text = render(
            &Status {
                database: Some(database),
                ..status()
            },
            Colours::none(),
        );
        let expected = "\
database   streaming, 96 bytes and 3 s behind
promotion  now loses nothing that the primary is known to have written
counted    0 files received (0 B), 0 connections or requests turned away

DATABASE                        ROLE                   VERSION  SYSTEM  TIMELINE  POSITION
primarydb:5432                  primary by Amazon RDS  15.18    7       1         0/3000060
standbydb:5432 (this server's)  standby                15.18    7       1         0/3000000
third:5432                      does not answer        -        -       -         -
";
        assert!(text.ends_with(expected), "{text}");
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
