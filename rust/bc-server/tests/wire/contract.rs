//! What scripts and monitoring read is what `rust/docs/json.md` says, key by key.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use bc_core::{
    basics::{Digest, Fingerprint, Severity},
    database::{
        self,
        facts::Platform,
        finding::{Fault, Finding},
        following::Following,
        in_hand::{InHand, Job, Locked, Waiting},
        picture::{Picture, ServerPicture},
        position::Position,
    },
    generation::{
        Acceptance, Concern, Epoch, HandoverToken, HandsOver, Highest, Name, PluginIdentity, Reason, Role, Run,
        Withheld,
    },
    gocd::agents::Agents,
    keys::Standing,
    role::{
        artifacts_folder::{ArtifactsFolder, ArtifactsFolderState},
        guard::Said,
        handed_over::HandedOver,
        known_peers,
        landing::{Artifacts, ArtifactsState, Landing},
        preflight::{About, Check, Loss, Preflight, Verdict},
        promotion::{Cause, Journal, Outcome, Step, Taken},
    },
    settings::{Face, Flag},
    status::{
        Counters, Deciding, FORMAT, Fetching, FileState, FileStatus, FileVersion, Generation, GocdState, GocdStatus,
        MissingFile, OldStandby, OwnJar, Paused, PeerStatus, Phase, PrimaryStatus, Problem, Refusal, Rejection,
        ReportedGeneration, ReportedProblem, StandbyStatus, Status, Stranger, Surroundings, SyncError, SyncStatus,
        Topic,
    },
};
use bc_testkit::documented;
use serde_json::Value;

use crate::common::{Kind, Node, PREFIX, jar};

const DOCUMENT: &str = include_str!("../../../docs/json.md");
const OPERATE: &str = include_str!("../../../docs/operate.md");
/// Objects whose keys are names of files.
const BY_NAME: [&str; 3] = ["awaited", "withheld.files", "surroundings.plugin_installs"];

#[test]
fn the_status_is_what_the_document_says() {
    assert_eq!(FORMAT, 1, "the document says so");
    let status = serde_json::to_value(filled(Role::Standby)).expect("plain");
    let mut shape = documented::shape(&status, &BY_NAME);
    for (path, kind) in &mut shape {
        kind.push_str(without(&status, path));
    }
    assert_eq!(documented::kinds(DOCUMENT, "The status"), shape);
}

#[test]
fn each_word_of_the_status_is_in_the_document() {
    /// All values of an enum without fields as their words. It does not compile where one is missing.
    macro_rules! words {
        ($kind:ident: $($value:ident),+) => {{
            let _ = |value: $kind| match value { $($kind::$value => ()),+ };
            [$(serde_json::to_value($kind::$value).expect("plain")),+].map(|word| word.as_str().expect("a word").to_owned()).to_vec()
        }};
    }
    // Nor does this.
    let _ = |reason: Reason| match reason {
        Reason::Denied | Reason::Dangling | Reason::Unmounted | Reason::Stale | Reason::Failing => (),
        Reason::Irregular | Reason::TooLarge | Reason::BeingWritten | Reason::Unfinished => (),
        Reason::Missing | Reason::Outside | Reason::Unknown(_) => (),
    };
    let reasons = [
        Reason::Denied,
        Reason::Dangling,
        Reason::Unmounted,
        Reason::Stale,
        Reason::Failing,
        Reason::Irregular,
        Reason::TooLarge,
        Reason::BeingWritten,
        Reason::Unfinished,
        Reason::Missing,
        Reason::Outside,
    ];
    let rows = documented::rows(DOCUMENT, "The status");
    for (key, words) in [
        ("role", words!(Role: Primary, Standby, Fenced)),
        ("face", words!(Face: Agent, Plugin, Cli)),
        ("phase", words!(Phase: Starting, Holding, Releasing, Running)),
        ("flag", words!(Flag: None, Property, File)),
        ("problems[].severity", words!(Severity: Ok, Warning, Critical)),
        ("generation.acceptance", words!(Acceptance: Accepted, Pending, Unknown)),
        (
            "files[].state",
            words!(FileState: Offered, InSync, Differs, Missing, Withheld, OnlyHere),
        ),
        (
            "withheld.files",
            reasons.iter().map(|reason| reason.code().to_owned()).collect(),
        ),
        (
            "database.servers[].platform",
            words!(Platform: Rds, Aurora, CloudSql, AlloyDb, Azure, CloudNativePg, Patroni),
        ),
        (
            "database.following",
            words!(Following: Streaming, Restoring, Disconnected, Stuck, Paused, Flapping),
        ),
        (
            "promotion.steps[].step",
            words!(Step: Preflight, LastPull, BackToAccepted, MakeWhole, AskOnceMore, ReplayDatabase, BeginEpoch,
                ConfirmHandOver, StopOther, PromoteDatabase, Checkpoint, Note, RecordRole, Release),
        ),
        ("promotion.outcome", words!(Outcome: Complete, Ended, Aborted)),
        (
            "preflight.checks[].about",
            words!(About: OtherPrimary, Database, Lineage, Replay, Lag, Generation, Secrets, GocdVersion, Launcher, Room),
        ),
        ("preflight.checks[].verdict", words!(Verdict: Fine, Warns, Refuses)),
        (
            "strangers[].standing",
            words!(Standing: Trusted, Seen, Unproven, Removed, Foreign),
        ),
    ] {
        let row = rows
            .iter()
            .find(|row| row.names.iter().any(|name| name == key))
            .expect("a row");
        let listed = documented::words(&row.cells[1]);
        for word in words {
            // A stranger that is trusted is a standby.
            let elsewhere = key == "strangers[].standing" && word == "trusted";
            assert!(listed.contains(&word) || elsewhere, "{key}: {word}");
        }
    }
}

#[test]
fn each_thing_that_may_be_wrong_with_the_database_is_in_the_document() {
    let rows = documented::rows(DOCUMENT, "What may be wrong with the database");
    let names: Vec<&str> = rows.iter().map(|row| row.names[0].as_str()).collect();
    assert_eq!(names, Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>());
}

#[tokio::test]
async fn dashboard_json_is_what_the_document_says() {
    let node = Node::start(Kind::Held).await;
    let seen = |json: &Value| {
        let mut json = json.clone();
        json["status"] = serde_json::json!({"is": "elsewhere"});
        let mut shape = documented::shape(&json, &[]);
        shape.remove("status.is");
        shape
    };
    node.context.status.update(|status| {
        *status = filled(Role::Standby);
        status.primary.as_mut().expect("a standby").connected = false;
    });
    let whole = seen(&node.get(&format!("{PREFIX}/admin/dashboard.json"), "").await.json());
    let said = documented::kinds(DOCUMENT, "`dashboard.json`");
    let without_end = |kind: &String| {
        kind.trim_end_matches(" or null")
            .trim_end_matches(" or absent")
            .to_owned()
    };
    assert_eq!(
        said.iter()
            .map(|(key, kind)| (key.clone(), without_end(kind)))
            .collect::<BTreeMap<_, _>>(),
        whole
    );

    // Where there is least to say, what is left is what the document does not call absent.
    node.context.status.update(|status| {
        *status = Status::new(&status.node_id, Role::Standby, Phase::Holding, 0);
        status.user = Some("user".to_owned());
        status.sync = Some(SyncStatus {
            errors: filled(Role::Standby).sync.expect("a standby").errors,
            ..SyncStatus::default()
        });
        status.primary = Some(PrimaryStatus::new("https://primarygo:8155", "", 0));
    });
    let least = seen(&node.get(&format!("{PREFIX}/admin/dashboard.json"), "").await.json());
    let always = said
        .iter()
        .filter(|(key, kind)| !key.contains('.') && !kind.ends_with("absent"));
    assert_eq!(
        always.map(|(key, _)| key).collect::<Vec<_>>(),
        least.keys().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn the_metrics_are_what_the_document_says() {
    let mut seen: BTreeMap<String, (String, BTreeSet<String>, BTreeSet<&str>)> = BTreeMap::new();
    for (kind, role, on) in [
        (Kind::Held, Role::Standby, "standby"),
        (Kind::Primary, Role::Primary, "primary"),
    ] {
        let node = Node::start(kind).await;
        node.context.status.update(|status| {
            *status = filled(role);
            if role == Role::Primary {
                (status.primary, status.sync) = (None, None);
            }
        });
        let answer = node.get(&format!("{PREFIX}/metrics"), "").await;
        let text = String::from_utf8(answer.body().to_vec()).expect("text");
        let mut kind = "";
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                kind = described.rsplit(' ').next().expect("a type");
            } else if !line.starts_with('#') {
                let (name, labels) = labels(line);
                let metric = seen
                    .entry(name)
                    .or_insert_with(|| (kind.to_owned(), labels, BTreeSet::new()));
                metric.2.insert(on);
            }
        }
    }
    let said: BTreeMap<_, _> = documented::rows(DOCUMENT, "Metrics")
        .into_iter()
        .map(|row| {
            let on = match row.cells[2].as_str() {
                "both" => BTreeSet::from(["primary", "standby"]),
                "primary" => BTreeSet::from(["primary"]),
                "standby" => BTreeSet::from(["standby"]),
                other => panic!("{other}"),
            };
            let labels = documented::words(&row.cells[1]).into_iter().collect();
            (row.names[0].clone(), (row.cells[0].clone(), labels, on))
        })
        .collect();
    assert_eq!(said, seen);

    let reasons = documented::rows(DOCUMENT, "Metrics");
    let reasons = reasons
        .iter()
        .find(|row| row.names[0] == "gocd_bc_rejections_total")
        .expect("a row");
    assert_eq!(
        documented::words(&reasons.cells[3]),
        Rejection::ALL.map(Rejection::name)
    );
    for row in documented::rows(OPERATE, "Watch it") {
        for name in row.names {
            assert!(seen.contains_key(&labels(&name).0), "{name}");
        }
    }
}

/// The name of a sample, and those of its labels.
fn labels(line: &str) -> (String, BTreeSet<String>) {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let labels = rest.split("=\"").filter_map(|part| {
        let begin = part.rfind(|c: char| !c.is_ascii_lowercase() && c != '_')?;
        Some(part[begin + 1..].to_owned()).filter(|label| !label.is_empty())
    });
    (name.to_owned(), labels.collect())
}

/// What the document says of a key that may be null or left out: both are tried.
fn without(status: &Value, path: &str) -> &'static str {
    let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/"));
    let read = |value: Value| {
        let mut changed = status.clone();
        *changed.pointer_mut(&pointer).expect("it is filled") = value;
        let read: Status = serde_json::from_value(changed).ok()?;
        Some(serde_json::to_value(read).expect("plain"))
    };
    let (parent, _) = pointer.rsplit_once('/').expect("a path");
    // One whose parent is not understood then is not left out.
    let has_parent = |read: &Value| read.pointer(parent).is_some_and(|parent| !parent.is_null());
    let is_left_out = |read: &Value| has_parent(read) && read.pointer(&pointer).is_none();
    let mut empty = status.pointer(&pointer).expect("it is filled").clone();
    match &mut empty {
        Value::Array(members) => members.clear(),
        Value::Object(members) => members.clear(),
        _ => {}
    }
    match (read(Value::Null), read(empty)) {
        (Some(read), _) if read.pointer(&pointer) == Some(&Value::Null) => " or null",
        (Some(read), _) | (_, Some(read)) if is_left_out(&read) => " or absent",
        _ => "",
    }
}

fn position() -> Position {
    Position {
        system: "1".to_owned().try_into().expect("a number"),
        timeline: Some(1),
        written: "0/1".parse().expect("a position"),
    }
}

/// A status with something in each of its fields: a new field does not compile before it is here.
fn landing() -> Landing {
    let word = || "word".to_owned();
    let artifacts = Artifacts {
        path: Some(word()),
        state: ArtifactsState::Filled,
        mount: Some(word()),
    };
    let mut landing = Landing::begin(1, 2, true, artifacts);
    let in_hand = InHand {
        jobs: vec![Job {
            job: word(),
            state: word(),
            agent: Some(word()),
        }],
        job_count: 1,
        locked: vec![Locked {
            pipeline: word(),
            label: Some(word()),
        }],
        locked_count: 1,
        waiting: vec![Waiting { stage: word(), jobs: 1 }],
        waiting_count: 1,
    };
    landing.hear(Ok(in_hand), 3);
    landing.unknown = Some(word());
    landing
}

fn filled(role: Role) -> Status {
    let generation = Generation {
        id: Digest::of(b"generation"),
        sequence: 17,
        generated_ms: 1,
        acceptance: Acceptance::Accepted,
        total_size: 2,
    };
    let key = Fingerprint::of_public_key(b"key");
    let word = || Some("word".to_owned());
    let follows = role == Role::Standby;
    Status {
        format: FORMAT,
        product_version: "0.1.0".to_owned(),
        node_id: "0123456789abcdef0123456789abcdef".to_owned(),
        fingerprint: Some(key),
        role,
        face: Face::Agent,
        phase: Phase::Holding,
        flag: Flag::Property,
        epoch: Epoch {
            number: 1,
            promotion: "promotion".to_owned(),
        },
        hands_over: Some(hands_over()),
        handed_over: Some(HandedOver::taken_over(
            Some(token()),
            Some(Highest {
                epoch: Epoch::default(),
                node_id: word(),
            }),
            1,
        )),
        highest_epoch: Some(Highest {
            epoch: Epoch::default(),
            node_id: word(),
        }),
        fenced_by: Some(known_peers::Highest {
            epoch: Epoch::default(),
            node_id: word(),
            address: "address".to_owned(),
            is_there: true,
            heard_ms: 1,
        }),
        deciding: Some(Deciding {
            peers: vec!["peer".to_owned()],
            until_ms: 1,
        }),
        peers: vec![PeerStatus {
            url: "url".to_owned(),
            said: Some(Said::Agrees),
            how: "how".to_owned(),
            node_id: word(),
            role: Some(Role::Standby),
            epoch: Some(Epoch::default()),
            heard_ms: Some(1),
        }],
        opened_ms: 1,
        now_ms: 2,
        gocd_version: word(),
        asks: word(),
        surroundings: Some(Surroundings {
            java_version: Some("17.0.1".to_owned()),
            agent: true,
            plugin_installs: BTreeMap::from([("GOCD_PLUGIN_INSTALL_x".to_owned(), Digest::of(b"x"))]),
        }),
        listening: word(),
        holding: word(),
        socket: word(),
        external_url: word(),
        user: word(),
        problems: vec![Problem {
            topic: Topic::from("topic".to_owned()),
            severity: Severity::Warning,
            message: "message".to_owned(),
            since_ms: 1,
        }],
        generation: Some(generation.clone()),
        files: files(),
        withheld: Withheld {
            files: BTreeMap::from([(Name::JettyXml, Reason::Denied)]),
            plugins: Some(Reason::Stale),
        },
        awaited: BTreeMap::from([(Name::JettyXml, 1)]),
        missing_files: vec![MissingFile {
            path: "path".to_owned(),
            property: "PasswordFilePath".to_owned(),
            can_be_synced: true,
        }],
        own_jars: vec![OwnJar {
            name: "own.jar".to_owned(),
            version: word(),
        }],
        database: Some(Picture {
            not_covered: word(),
            servers: vec![ServerPicture {
                address: "db:5432".to_owned(),
                resolved: vec![IpAddr::from([10, 0, 0, 5])],
                role: Some(database::look::Role::Standby),
                version: word(),
                system: Some(position().system),
                timeline: Some(1),
                position: Some(position().written),
                received: Some(position().written),
                is_own: true,
                platform: Some(Platform::Rds),
                may_promote: Some(true),
                error: word(),
            }],
            following: follows.then_some(Following::Streaming),
            behind_bytes: follows.then_some(1),
            behind_s: follows.then_some(1),
            is_at_least: true,
            loss_bytes: follows.then_some(1),
            loss_s: follows.then_some(1),
            is_unheard: true,
            primary_written: follows.then(|| position().written),
            heard_s: follows.then_some(1),
            findings: vec![Finding::warning(Fault::Pooled, "message")],
            told: None,
        }),
        promotion: Some(Journal {
            epoch: Some(Epoch::default()),
            timeline: Some(2),
            steps: vec![Taken {
                step: Step::Preflight,
                began_ms: 1,
                took_ms: Some(1),
                said: "said".to_owned(),
            }],
            outcome: Some(Outcome::Ended),
            reason: word(),
            hook: word(),
            handed_over: Some(token()),
            ..Journal::begin(
                &Cause::Order {
                    as_it_is: false,
                    with_database: true,
                },
                None,
                1,
            )
        }),
        preflight: Some(Preflight {
            stops: None,
            at_ms: 1,
            checks: vec![Check {
                about: About::Database,
                verdict: Verdict::Refuses,
                seen: "seen".to_owned(),
                way: "way".to_owned(),
            }],
            loss: Loss {
                bytes: Some(1),
                seconds: Some(1),
                edits: Some(0),
            },
            handed_over: Some(token()),
        }),
        gocd: Some(GocdStatus {
            state: GocdState::Starting,
            since_ms: 1,
            url: word(),
            said: word(),
            log: "log".to_owned(),
            maintenance: true,
        }),
        artifacts: Some(ArtifactsFolder {
            configured: word(),
            in_use: word(),
            edited: Some(true),
            mount: word(),
            state: ArtifactsFolderState::Relative,
            unknown: word(),
        }),
        landing: Some(landing()),
        agents: Some(Agents {
            asked_ms: 1,
            back: 1,
            missing_count: 1,
            missing: vec!["host".to_owned()],
            unknown: word(),
        }),
        scanned_ms: Some(1),
        primary: Some(PrimaryStatus {
            url: "https://primarygo:8155".to_owned(),
            address: word(),
            trust: "trust".to_owned(),
            trusted: true,
            seen_fingerprint: Some(key),
            connected: true,
            since_ms: 1,
            last_exchange_ms: Some(1),
            node_id: word(),
            gocd_version: word(),
            product_version: word(),
            scanned_ms: Some(1),
            file_check_interval_ms: Some(1),
            generation: Some(generation.clone()),
            wal_location: word(),
            database: Some(position()),
            next_fingerprint: Some(key),
            hands_over: Some(hands_over()),
            concerns: vec![Concern {
                topic: "scan".to_owned(),
                severity: Severity::Warning,
                message: "message".to_owned(),
                is_stale: true,
            }],
        }),
        sync: Some(SyncStatus {
            in_sync: false,
            has_newest: true,
            altered: vec![Name::CruiseConfig],
            unseen: word(),
            in_sync_since_ms: Some(1),
            behind_since_ms: Some(1),
            refusal: Some(Refusal {
                message: "message".to_owned(),
                since_ms: 1,
            }),
            kept: vec![jar("kept.jar")],
            paused: Some(Paused {
                generation: generation.id,
                since_ms: 1,
            }),
            applied_ms: Some(1),
            errors: vec![SyncError {
                at_ms: 1,
                message: "message".to_owned(),
            }],
            fetching: Some(Fetching {
                files_left: 1,
                bytes_total: 2,
                bytes_done: 1,
            }),
        }),
        standbys: vec![standby(key)],
        strangers: vec![Stranger {
            node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
            fingerprint: Some(key),
            standing: Standing::Seen,
            address: Some(IpAddr::from([10, 0, 0, 7])),
            reported_ms: 1,
        }],
        old_standbys: vec![OldStandby {
            address: IpAddr::from([10, 0, 0, 8]),
            asked_ms: 1,
        }],
        file_check_interval_ms: 1,
        primary_check_interval_ms: 1,
        failed_parts: vec!["keeper".to_owned()],
        counters: Counters::default(),
    }
}

fn token() -> HandoverToken {
    HandoverToken {
        node_id: "0123456789abcdef0123456789abcdef".to_owned(),
        epoch: Epoch::default(),
        generation: Digest::of(b"generation"),
        sequence: 17,
        database: Some(position()),
    }
}

fn hands_over() -> HandsOver {
    HandsOver {
        id: "ab".repeat(16),
        ordered_ms: 1,
        token: Some(token()),
        waits_for: Some("sessions".to_owned()),
    }
}

fn standby(key: Fingerprint) -> StandbyStatus {
    StandbyStatus {
        node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
        fingerprint: Some(key),
        standing: Standing::Trusted,
        url: Some("https://standbygo:8155".to_owned()),
        product_version: "0.1.0".to_owned(),
        gocd_version: Some("26.1.0".to_owned()),
        generation: Some(ReportedGeneration {
            id: Digest::of(b"generation"),
            sequence: 17,
        }),
        applied_ms: Some(1),
        says_in_sync: Some(true),
        in_sync: true,
        behind_since_ms: Some(1),
        reported_ms: 1,
        silent: false,
        error: Some("error".to_owned()),
        problem: Some(ReportedProblem {
            severity: Severity::Warning,
            message: "message".to_owned(),
        }),
        confirms: vec![key],
        run: Some(Run {
            id: "ab".repeat(16).try_into().expect("32 hex digits"),
            host: Some("standbygo".to_owned()),
            state_dir: Some("/state".to_owned()),
            began_ms: 1,
            address: Some(IpAddr::from([10, 0, 0, 7])),
        }),
        doubled: true,
    }
}

/// The files that the original product knows, and a plugin; the first one has all that a file can have.
fn files() -> Arc<[FileStatus]> {
    let names = [
        jar("a.jar"),
        Name::CruiseConfig,
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
    ];
    let version = |side: &str, name: &Name| FileVersion {
        sha256: Digest::of(format!("{side} {name}").as_bytes()),
        size: 1,
        modified_ms: 1,
    };
    let file = |name: Name| FileStatus {
        plugin: Some(PluginIdentity {
            id: "id".to_owned(),
            version: Some("1".to_owned()),
        }),
        primary: Some(version("primary", &name)),
        standby: Some(version("standby", &name)),
        state: FileState::Differs,
        name,
    };
    names.map(file).into()
}
