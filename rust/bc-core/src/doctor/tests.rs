//! Each decision in both directions: nothing is found of what is well, and each check finds what is broken for it.

use std::path::{Path, PathBuf};

use super::{
    cluster::{Closed, Cluster, InDatabase, Inside, ReplicationRole, RuleError, SettingError, Upstream},
    facts::{ConfigGit, Disk, Facts, File, FileKind, Here, Other, Process, Silence, Volume, Wrapper},
    *,
};
use crate::{
    basics::{Digest, Fingerprint, Severity},
    database::{
        self,
        finding::Fault,
        look::{Look, Role},
        picture::Picture,
        position::{Position, Told, ToldServer},
    },
    generation,
    keys::Standing,
    node::named_files::{self, Content, NamedFile},
    role::artifacts_folder::{self, ArtifactsFolder},
    settings::Face,
    status::{OwnJar, Phase, Problem, Status, Stranger, Surroundings, SyncStatus, Topic},
};

fn own_key() -> Fingerprint {
    Fingerprint::of_public_key(b"own")
}

/// A primary's PostgreSQL of which all is well.
fn cluster() -> Cluster {
    let settings = [
        ("wal_level", "replica"),
        ("max_wal_senders", "10"),
        ("wal_keep_size", "1024MB"),
        ("max_slot_wal_keep_size", "4096MB"),
        ("wal_log_hints", "on"),
        ("ssl", "on"),
    ];
    Cluster {
        name: "15/main".to_owned(),
        major: 15,
        port: 5432,
        data: "/data".to_owned(),
        mode: 0o40700,
        free: Some(2 << 30),
        is_running: true,
        is_standby: false,
        start: "systemctl start postgresql@15-main".to_owned(),
        restart: "systemctl restart postgresql@15-main".to_owned(),
        inside: Ok(Inside {
            admits_replication: true,
            roles: Some(vec![ReplicationRole {
                name: "gocd_replication".to_owned(),
                limit: 4,
            }]),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            gocd: Some(InDatabase {
                name: "gocd".to_owned(),
                owner: "gocd".to_owned(),
                may_promote: Some(true),
            }),
            look: Some(look(Role::Primary)),
            ..Inside::default()
        }),
    }
}

/// All the same with another cluster.
fn with_cluster(change: impl FnOnce(&mut Cluster)) -> Facts {
    let mut changed = cluster();
    change(&mut changed);
    but(|facts| facts.clusters = Some(Ok(vec![changed])))
}

/// The same with something wrong that the node says of its database.
fn with_fault(fault: Fault) -> Facts {
    but(|facts| {
        let picture = status(facts).database.as_mut().expect("one");
        picture.findings = vec![database::finding::Finding::critical(
            fault,
            "it is wrong; run `select 1` there",
        )];
    })
}

/// A server of this role, at one moment.
fn look(role: Role) -> Look {
    let is_standby = role == Role::Standby;
    Look {
        version: 150_018,
        role,
        system: "7".to_owned().try_into().expect("a number"),
        timeline: Some(1),
        written: (!is_standby).then(|| "0/5".parse().expect("a position")),
        received: None,
        replayed: is_standby.then(|| "0/5".parse().expect("a position")),
        is_paused: false,
        receiver: is_standby.then_some(7),
        has_archive: false,
    }
}

/// What the host of a database with these facts about its server sees, which has no GoCD.
fn on_database_host(role: Role, facts_of_server: &str) -> Facts {
    let mut changed = cluster();
    let is_standby = role == Role::Standby;
    changed.is_standby = is_standby;
    let inside = changed.inside.as_mut().expect("it is known");
    inside.facts = database::facts::Facts::of(facts_of_server);
    inside.look = Some(look(role));
    Facts {
        clusters: Some(Ok(vec![changed])),
        ..Facts::default()
    }
}

/// What the host of a standby's database sees of one that receives nothing from a server that says this of itself.
fn following(told: Option<Told>, reason: Option<&str>) -> Facts {
    let mut facts = on_database_host(Role::Standby, "{}");
    let clusters = facts.clusters.as_mut().and_then(|clusters| clusters.as_mut().ok());
    let inside = clusters.expect("looked")[0].inside.as_mut().expect("it is known");
    inside.look.as_mut().expect("looked").receiver = None;
    inside.upstream = Some(Upstream {
        told,
        reason: reason.map(str::to_owned),
        ..Upstream::default()
    });
    facts
}

/// What the host of a standby's database sees of one that receives, from a server that does not answer otherwise.
fn streaming(reason: &str) -> Facts {
    let mut facts = following(None, Some(reason));
    let clusters = facts.clusters.as_mut().and_then(|clusters| clusters.as_mut().ok());
    let inside = clusters.expect("looked")[0].inside.as_mut().expect("it is known");
    inside.look.as_mut().expect("looked").receiver = Some(7);
    facts
}

/// What a server of this system and version says to the role that replicates.
fn told(system: &str, version: u32) -> Told {
    Told {
        position: Position {
            system: system.to_owned().try_into().expect("a number"),
            timeline: Some(1),
            written: "0/5".parse().expect("a position"),
        },
        server: Some(ToldServer {
            version,
            ..ToldServer::default()
        }),
    }
}

/// The same with a cluster into which nobody sees.
fn closed(why: Closed) -> Facts {
    with_cluster(|cluster| cluster.inside = Err(why))
}

/// The same with another look inside.
fn with_inside(change: impl FnOnce(&mut Inside)) -> Facts {
    with_cluster(|cluster| change(cluster.inside.as_mut().expect("it is known")))
}

const AGENT: &str = "-javaagent:plugins/external/ours.jar";

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn file(path: &str, kind: FileKind, user: u32, mode: u32) -> File {
    File {
        path: path.to_owned(),
        kind,
        user,
        group: 50,
        mode,
        is_in_open_folder: true,
    }
}

fn disk(free: u64) -> Disk {
    Disk {
        folder: "/state".to_owned(),
        free,
    }
}

fn volume(file_system: &str) -> Volume {
    Volume {
        file_system: file_system.to_owned(),
        mounted_at: "/".to_owned(),
    }
}

fn named_file(content: Content) -> NamedFile {
    NamedFile {
        path: "/etc/go/users".to_owned(),
        property: "PasswordFilePath".to_owned(),
        name: Digest::of(b"/etc/go/users"),
        content,
    }
}

/// The same where the other node tells this of the file that the configuration names.
fn named_there(content: Content) -> Facts {
    but(|facts| facts.others[0].named_files = Some(Ok(named_files::Told::of(&[named_file(content)]))))
}

fn config_git(broken: Option<&str>) -> ConfigGit {
    ConfigGit {
        path: "/db/config.git".to_owned(),
        broken: broken.map(str::to_owned),
    }
}

fn jar(name: &str) -> OwnJar {
    OwnJar {
        name: name.to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    }
}

/// A standby of which all is well, as seen from itself.
fn well() -> Facts {
    let node = |id: &str, role, phase| Status {
        gocd_version: Some("26.1.0-1".to_owned()),
        face: Face::Agent,
        sync: (role == generation::Role::Standby).then(SyncStatus::default),
        own_jars: vec![jar("ours.jar")],
        database: Some(Picture::default()),
        artifacts: Some(artifacts(true)),
        surroundings: Some(Surroundings {
            java_version: Some("25.0.1".to_owned()),
            agent: true,
            plugin_installs: [("GOCD_PLUGIN_INSTALL_x".to_owned(), Digest::of(b"x"))].into(),
        }),
        ..Status::new(&id.repeat(16), role, phase, 0)
    };
    Facts {
        here: Some(Here {
            state_dir: "/state".to_owned(),
            node: Ok(Some(Status {
                fingerprint: Some(own_key()),
                ..node("ab", generation::Role::Standby, Phase::Holding)
            })),
            token: Ok(Some("user".to_owned())),
            config_dir: Some("/etc/go".to_owned()),
            plugins_dir: Some("/plugins".to_owned()),
            flag: Ok(Some(true)),
            wrapper: Some(Wrapper {
                file: "/wrapper-properties.conf".to_owned(),
                arguments: arguments(&[AGENT, "-Dgo.server.mode=standby", "-Xmx1g"]),
                agent_jar: Some(("/plugins/ours.jar".to_owned(), true)),
            }),
            process: Ok(Some(Process {
                id: 7,
                user: 1000,
                groups: vec![1000, 50],
                arguments: arguments(&["java", AGENT, "-Dgo.server.mode=standby", "-Dwrapper.key=secret"]),
            })),
            files: Ok(vec![
                file("/etc/go/cruise-config.xml", FileKind::Written, 1000, 0o640),
                file("/etc/go/cipher.aes", FileKind::Secret, 1000, 0o600),
                file("/plugins/other.jar", FileKind::Read, 0, 0o644),
                file("/plugins", FileKind::Folder, 1000, 0o750),
            ]),
            named_files: Ok(vec![named_file(Content::Of(Digest::of(b"x")))]),
            disks: Ok(vec![disk(2 << 30)]),
            agents: Ok(vec![(9, 1001)]),
            volume: Ok(Some(volume("ext4"))),
            config_git: Ok(Some(config_git(None))),
            helm_waits: Some(false),
            old_ports: Vec::new(),
        }),
        others: vec![Other {
            url: "https://primarygo:8155".to_owned(),
            node: Ok(node("cd", generation::Role::Primary, Phase::Running)),
            named_files: Some(Ok(named_files::Told::of(&[named_file(Content::Of(Digest::of(b"x")))]))),
            clock_ahead_ms: Some(-200),
        }],
        database: None,
        clusters: Some(Ok(vec![cluster()])),
    }
}

/// The same after a change.
fn but(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = well();
    change(&mut facts);
    facts
}

fn status(facts: &mut Facts) -> &mut Status {
    let here = facts.here.as_mut().expect("a node here");
    here.node.as_mut().expect("it is known").as_mut().expect("it answers")
}

fn other(facts: &mut Facts) -> &mut Status {
    facts.others[0].node.as_mut().expect("it answers")
}

/// The same with another fact about the host.
fn here(change: impl FnOnce(&mut Here)) -> Facts {
    but(|facts| change(facts.here.as_mut().expect("a GoCD here")))
}

fn runs_in(status: &mut Status) -> &mut Surroundings {
    status.surroundings.as_mut().expect("it says")
}

/// A folder of artifacts on a share, or on the disk of its server.
fn artifacts(is_apart: bool) -> ArtifactsFolder {
    let mount = PathBuf::from("/mnt");
    let (disk, folder) = (artifacts_folder::Disk { mount, is_apart }, Path::new("/go"));
    ArtifactsFolder::judge(Ok("/mnt/artifacts"), folder, Some(&disk), None, None)
}

/// The same with a problem that the node here says.
fn saying(topic: Topic, message: &str) -> Facts {
    but(|facts| status(facts).problems = vec![problem(topic, message)])
}

fn problem(topic: Topic, message: &str) -> Problem {
    Problem {
        topic,
        severity: Severity::Critical,
        message: message.to_owned(),
        since_ms: 0,
    }
}

fn silent(silence: Silence) -> Facts {
    but(|facts| facts.others[0].node = Err(silence))
}

/// What is broken so that a check finds it. It does not compile where a check has nothing.
fn broken(check: Check) -> Vec<Facts> {
    match check {
        Check::NodeAnswers => vec![but(|facts| facts.here.as_mut().expect("here").node = Ok(None))],
        Check::NodeSays => vec![saying(Topic::Threads, "no thread; run `ulimit -u 1000`")],
        Check::OtherNode => vec![
            silent(Silence::Unreachable(
                "https://primarygo:8155 does not answer".to_owned(),
            )),
            but(|facts| facts.others.clear()),
        ],
        Check::OtherNodeSays => vec![but(|facts| {
            other(facts).problems = vec![problem(Topic::Scan, "it cannot read a file")];
        })],
        Check::Trust => vec![
            silent(Silence::Untrusted(
                "another key; run `gocd-bc trust KEY` here".to_owned(),
            )),
            saying(Topic::PeersFile, "cannot read the peers file"),
            but(|facts| {
                other(facts).strangers = vec![Stranger {
                    node_id: "ab".repeat(16).parse().expect("an id"),
                    fingerprint: Some(own_key()),
                    standing: Standing::Seen,
                    address: None,
                    reported_ms: 0,
                }];
            }),
        ],
        Check::Token => vec![
            silent(Silence::TokenRefused("it refuses ours".to_owned())),
            but(|facts| facts.here.as_mut().expect("here").token = Ok(None)),
            saying(Topic::Token, "two lines in business-continuity-token"),
        ],
        Check::GocdVersion => vec![
            but(|facts| other(facts).gocd_version = Some("25.4.0-1".to_owned())),
            but(|facts| other(facts).gocd_version = Some("26.2.0-1".to_owned())),
        ],
        Check::PluginVersion => vec![but(|facts| other(facts).product_version = "0.0.9".to_owned())],
        Check::JavaVersion => vec![but(|facts| {
            runs_in(other(facts)).java_version = Some("17.0.9+1".to_owned())
        })],
        Check::OneJar => vec![
            but(|facts| status(facts).own_jars.push(jar("old.jar"))),
            but(|facts| {
                status(facts).own_jars.clear();
                status(facts).scanned_ms = Some(1);
            }),
        ],
        Check::Agent => vec![
            but(|facts| runs_in(status(facts)).agent = false),
            but(|facts| runs_in(other(facts)).agent = false),
            here(|here| here.wrapper.as_mut().expect("one").agent_jar = None),
            here(|here| here.wrapper.as_mut().expect("one").agent_jar = Some(("/gone.jar".to_owned(), false))),
            saying(Topic::Unprotected, "GoCD runs although a standby was asked for"),
        ],
        Check::Flag => vec![
            here(|here| here.flag = Ok(Some(false))),
            but(|facts| status(facts).role = generation::Role::Primary),
            but(|facts| other(facts).role = generation::Role::Standby),
            saying(Topic::NextStart, "its next start will promote it"),
        ],
        Check::Restart => vec![
            here(|here| {
                let wrapper = here.wrapper.as_mut().expect("one");
                wrapper.arguments.push("-Dbc.listen=secret".to_owned());
            }),
            here(|here| {
                let process = here.process.as_mut().expect("known").as_mut().expect("one");
                process.arguments.push("-Dbc.primary.url=https://secret".to_owned());
            }),
            but(|facts| status(facts).own_jars[0].version = Some("9.9".to_owned())),
        ],
        Check::SyncedFiles => [
            file("/x", FileKind::Written, 1000, 0o400),
            file("/x", FileKind::Read, 0, 0o600),
            file("/x", FileKind::Secret, 0, 0o604),
            file("/x", FileKind::Folder, 0, 0o755),
        ]
        .map(|file| here(|here| here.files = Ok(vec![file])))
        .into(),
        Check::SecretFiles => vec![here(|here| {
            here.files = Ok(vec![file("/etc/go/cipher.aes", FileKind::Secret, 1000, 0o644)]);
        })],
        Check::NamedFiles => vec![
            saying(Topic::MissingFiles, "password.properties is not here"),
            here(|here| here.named_files = Ok(vec![named_file(Content::Missing)])),
            named_there(Content::Missing),
            named_there(Content::Of(Digest::of(b"y"))),
        ],
        Check::ConfigGit => vec![here(|here| {
            here.config_git = Ok(Some(config_git(Some("it has no HEAD"))))
        })],
        Check::Artifacts => vec![saying(Topic::Artifacts, "artifactsDir is a relative path")],
        Check::FreeSpace => vec![
            here(|here| here.disks = Ok(vec![disk(500_000_000)])),
            saying(Topic::Disk, "the disk is nearly full"),
        ],
        Check::Clocks => vec![
            but(|facts| facts.others[0].clock_ahead_ms = Some(31_000)),
            but(|facts| facts.others[0].clock_ahead_ms = Some(-31_000)),
            saying(Topic::Clocks, "the primary's clock is behind"),
        ],
        Check::AgentUser => vec![here(|here| here.agents = Ok(vec![(9, 1000)]))],
        Check::StateVolume => vec![here(|here| here.volume = Ok(Some(volume("overlay"))))],
        Check::PluginInstalls => vec![
            but(|facts| runs_in(other(facts)).plugin_installs.clear()),
            but(|facts| {
                let installs = &mut runs_in(other(facts)).plugin_installs;
                installs.insert("GOCD_PLUGIN_INSTALL_x".to_owned(), Digest::of(b"y"));
            }),
        ],
        Check::HelmScript => vec![here(|here| here.helm_waits = Some(true))],
        Check::OldGocd => vec![
            but(|facts| status(facts).gocd_version = Some("21.2.0-1".to_owned())),
            but(|facts| other(facts).gocd_version = Some("20.6.0-1".to_owned())),
            saying(Topic::GocdGivesAway, "GoCD gives cipher.aes to whoever asks"),
        ],
        Check::DatabaseSettings => vec![with_fault(Fault::Settings), with_fault(Fault::OddUrl)],
        Check::DatabaseCovered => vec![with_fault(Fault::NotCovered)],
        Check::DatabaseHost => vec![with_fault(Fault::NoSuchHost), with_fault(Fault::SeveralMachines)],
        Check::DatabaseAnswers => vec![
            with_fault(Fault::Frozen),
            with_fault(Fault::Password),
            saying(Topic::Database, "the database does not answer"),
            streaming("no packet comes back from primarydb:5432 within 3 s"),
        ],
        Check::DatabaseRole => vec![with_fault(Fault::TakesWrites), with_fault(Fault::SameServer)],
        Check::DatabaseMajor => vec![with_fault(Fault::OtherMajor), following(Some(told("7", 160_000)), None)],
        Check::DatabaseCopy => vec![
            with_fault(Fault::OtherSystem),
            with_fault(Fault::Ahead),
            following(Some(told("8", 150_000)), None),
        ],
        Check::Replication => vec![
            with_fault(Fault::Disconnected),
            with_fault(Fault::Paused),
            following(None, Some("the slot is gone")),
        ],
        Check::SlotLost => vec![
            with_fault(Fault::SlotLost),
            on_database_host(Role::Primary, r#"{"slots":[{"name":"gocd_bc","state":"lost"}]}"#),
        ],
        Check::SlotFills => vec![
            with_fault(Fault::SlotFills),
            with_fault(Fault::SlotInactive),
            on_database_host(
                Role::Primary,
                r#"{"slots":[{"name":"gocd_bc","is_active":false,"kept":5}]}"#,
            ),
        ],
        Check::Archiver => vec![
            with_fault(Fault::ArchiverFails),
            on_database_host(Role::Primary, r#"{"archiver_fails":true}"#),
        ],
        Check::Synchronous => vec![
            with_fault(Fault::SynchronousNames),
            on_database_host(Role::Standby, r#"{"synchronous":"a_standby"}"#),
        ],
        Check::Collations => vec![
            with_fault(Fault::Collations),
            on_database_host(Role::Standby, r#"{"collations_differ":true}"#),
        ],
        Check::Extensions => vec![
            with_fault(Fault::MissingExtensions),
            on_database_host(Role::Standby, r#"{"missing_extensions":["citext"]}"#),
        ],
        Check::MigrationLock => vec![with_fault(Fault::Locked)],
        Check::Pooler => vec![with_fault(Fault::Pooled)],
        Check::DamagedPages => vec![with_fault(Fault::DamagedPages)],
        Check::ClusterRuns => vec![
            with_cluster(|cluster| cluster.is_running = false),
            closed(Closed::Silent(5)),
            closed(Closed::NotReady("the database system is starting up".to_owned())),
        ],
        Check::ClusterRules => vec![with_inside(|inside| {
            inside.rule_errors = Some(vec![RuleError {
                line: 7,
                error: "invalid IP mask".to_owned(),
            }]);
        })],
        Check::ClusterSettings => vec![
            with_inside(|inside| inside.pending = Some(vec!["wal_level".to_owned()])),
            with_inside(|inside| {
                inside.setting_errors = Some(vec![SettingError {
                    name: "wal_keep_segments".to_owned(),
                    error: "unrecognized configuration parameter".to_owned(),
                }]);
            }),
        ],
        Check::Followable => vec![
            with_inside(|inside| drop(inside.settings.insert("wal_level".to_owned(), "minimal".to_owned()))),
            with_inside(|inside| inside.admits_replication = false),
            with_inside(|inside| inside.roles = None),
            with_inside(|inside| {
                let listens = ("listen_addresses".to_owned(), "localhost, ::1".to_owned());
                inside.settings.extend([listens]);
            }),
            with_inside(|inside| inside.roles.as_mut().expect("one")[0].limit = 1),
        ],
        Check::PromoteGrant => vec![
            with_inside(|inside| inside.gocd.as_mut().expect("one").may_promote = Some(false)),
            but(|facts| {
                facts.clusters = None;
                let server = r#"{"address":"db:5432","role":"standby","version":"15.18","may_promote":false}"#;
                let picture = status(facts).database.as_mut().expect("one");
                picture.servers = vec![serde_json::from_str(server).expect("a server")];
            }),
        ],
        Check::DataFolder => vec![with_cluster(|cluster| cluster.mode = 0o40755)],
        Check::DataSpace => vec![with_cluster(|cluster| cluster.free = Some(50_000_000))],
        Check::ClusterAccess => vec![closed(Closed::Refused {
            why: "PostgreSQL does not let postgres in as superuser".to_owned(),
            commands: vec!["systemctl reload postgresql@15-main".to_owned()],
        })],
    }
}

#[test]
fn nothing_is_found_of_what_is_well_and_each_check_finds_what_is_broken_for_it() {
    assert_eq!(examine(&well()).findings, []);
    for check in Check::ALL {
        assert_eq!(judge(*check, &well()), Verdict::Well, "{check}");
        for facts in broken(*check) {
            let Verdict::Wrong(seen) = judge(*check, &facts) else {
                panic!("{check} finds nothing in {facts:?}");
            };
            assert!(seen.iter().all(|seen| !seen.what.is_empty()), "{check}: {seen:?}");
            let diagnosis = examine(&facts);
            let of_check = diagnosis.findings.iter().filter(|finding| finding.name == check.name());
            assert_eq!(of_check.count(), seen.len(), "{check}");
            assert!(diagnosis.worst() > Some(Level::Unknown), "{check}");
        }
    }
}

#[test]
fn what_cannot_be_found_out_is_never_well() {
    let facts = silent(Silence::Unreachable("it does not answer".to_owned()));
    for check in [
        Check::Trust,
        Check::Token,
        Check::GocdVersion,
        Check::PluginVersion,
        Check::OtherNodeSays,
        Check::NamedFiles,
    ] {
        assert!(matches!(judge(check, &facts), Verdict::Unknown(_)), "{check}");
    }
    let facts = but(|facts| facts.here.as_mut().expect("here").node = Err("too many others ask it".to_owned()));
    assert!(matches!(judge(Check::NodeAnswers, &facts), Verdict::Unknown(_)));
    assert_eq!(examine(&facts).worst(), Some(Level::Unknown));
    assert_eq!(examine(&Facts::default()).checks, 0);
}

#[test]
fn a_host_that_tells_nothing_is_not_well() {
    let why = || "run it as root".to_owned();
    let facts = here(|here| {
        here.flag = Err(why());
        here.process = Err(why());
        here.files = Err(why());
        here.disks = Err(why());
        here.agents = Err(why());
        here.volume = Err(why());
        here.config_git = Err(why());
        here.named_files = Err(why());
    });
    for check in [
        Check::Flag,
        Check::Restart,
        Check::SyncedFiles,
        Check::SecretFiles,
        Check::FreeSpace,
        Check::AgentUser,
        Check::StateVolume,
        Check::ConfigGit,
        Check::NamedFiles,
    ] {
        assert_eq!(judge(check, &facts), Verdict::Unknown(why()), "{check}");
    }
    let facts = but(|facts| facts.others[0].clock_ahead_ms = None);
    assert!(matches!(judge(Check::Clocks, &facts), Verdict::Unknown(_)));
    let facts = but(|facts| other(facts).surroundings = None);
    assert!(matches!(judge(Check::Agent, &facts), Verdict::Unknown(_)));
}

#[test]
fn artifacts_are_well_only_where_the_node_has_seen_them_to_be() {
    let of = |folder: Option<ArtifactsFolder>| judge(Check::Artifacts, &but(|facts| status(facts).artifacts = folder));
    assert_eq!(of(Some(artifacts(true))), Verdict::Well);
    assert_eq!(of(None), Verdict::Elsewhere, "a version before, or no JVM");
    let unseen = ArtifactsFolder::unseen("it does not answer");
    assert_eq!(of(Some(unseen)), Verdict::Unknown("it does not answer".to_owned()));
    let said = artifacts(false).warning().expect("it is not apart");
    let Verdict::Wrong(seen) = judge(Check::Artifacts, &saying(Topic::Artifacts, &said)) else {
        panic!("it is wrong");
    };
    assert_eq!(seen[0].commands, ["gocd-bc explain artifacts"]);
}

#[test]
fn a_cluster_that_tells_nothing_is_not_well() {
    let why = || "run it as root".to_owned();
    let facts = closed(Closed::Unknown(why()));
    for check in [
        Check::ClusterRules,
        Check::ClusterSettings,
        Check::Followable,
        Check::PromoteGrant,
    ] {
        assert_eq!(judge(check, &facts), Verdict::Unknown(why()), "{check}");
    }
    let facts = but(|facts| facts.clusters = Some(Err(why())));
    assert_eq!(judge(Check::ClusterRuns, &facts), Verdict::Unknown(why()));
    let facts = but(|facts| facts.clusters = Some(Ok(Vec::new())));
    assert_eq!(judge(Check::ClusterRuns, &facts), Verdict::Elsewhere);
}

#[test]
fn a_database_that_does_not_answer_is_not_well() {
    let mut facts = with_fault(Fault::Frozen);
    let silent = r#"{"address":"db:5432","error":"it is silent"}"#;
    let picture = status(&mut facts).database.as_mut().expect("one");
    picture.servers = vec![serde_json::from_str(silent).expect("a server")];
    facts.clusters = None;
    for check in [
        Check::DatabaseRole,
        Check::DatabaseCopy,
        Check::Replication,
        Check::Collations,
    ] {
        assert!(matches!(judge(check, &facts), Verdict::Unknown(_)), "{check}");
    }
    // Nobody can look at what is no PostgreSQL, or was left to somebody else.
    let not_covered = with_fault(Fault::NotCovered);
    let left = but(|facts| status(facts).database = None);
    for facts in [not_covered, left] {
        assert_eq!(judge(Check::Replication, &facts), Verdict::Elsewhere);
    }
}

#[test]
fn an_old_gocd_is_critical_where_it_answers() {
    let worst = |gives| {
        let mut facts = but(|facts| status(facts).gocd_version = Some("21.2.0-1".to_owned()));
        facts.here.as_mut().expect("here").old_ports = vec![("localhost:8153".to_owned(), gives)];
        let findings = examine(&facts).findings;
        findings
            .iter()
            .find(|finding| finding.name == "old-gocd")
            .map(|finding| finding.level)
    };
    assert_eq!(
        (worst(true), worst(false)),
        (Some(Level::Critical), Some(Level::Warning))
    );
    let mut facts = saying(Topic::GocdGivesAway, "GoCD gives cipher.aes to whoever asks");
    status(&mut facts).gocd_version = Some("21.2.0-1".to_owned());
    let findings = examine(&facts).findings;
    let of_check: Vec<_> = findings.iter().filter(|finding| finding.name == "old-gocd").collect();
    assert!(
        matches!(&of_check[..], [one] if one.level == Level::Critical && one.seen.contains("to whoever asks")),
        "said once, in the words of the node: {of_check:?}"
    );
}

#[test]
fn no_value_of_an_argument_is_said() {
    for facts in broken(Check::Restart) {
        let said = format!("{:?}", examine(&facts).findings);
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn commands_that_a_node_names_are_those_to_type() {
    let facts = saying(
        Topic::Threads,
        "no thread; run `ulimit -u 1000`, or `ulimit -u 1000` of `root`",
    );
    assert_eq!(examine(&facts).findings[0].commands, ["ulimit -u 1000"]);
}

#[test]
fn named_files_are_compared_where_both_can_be_read_and_named() {
    let unread = || Content::Unread("cannot read /etc/go/users".to_owned());
    for facts in [
        named_there(unread()),
        here(|here| here.named_files = Ok(vec![named_file(unread())])),
        but(|facts| facts.others[0].named_files = Some(Err("it does not say".to_owned()))),
    ] {
        assert!(matches!(judge(Check::NamedFiles, &facts), Verdict::Unknown(_)));
    }
    let named = |name: &[u8]| NamedFile {
        name: Digest::of(name),
        ..named_file(Content::Missing)
    };
    for facts in [
        // The version before, a change on its way, and a configuration that names none.
        but(|facts| facts.others[0].named_files = None),
        but(|facts| facts.others[0].named_files = Some(Ok(named_files::Told::of(&[named(b"another")])))),
        here(|here| here.named_files = Ok(Vec::new())),
    ] {
        assert_eq!(judge(Check::NamedFiles, &facts), Verdict::Well);
    }
}

#[test]
fn a_file_is_copied_from_the_primary_and_no_shell_reads_its_name() {
    let commands = |path: &str, is_standby: bool| {
        let mut facts = named_there(Content::Missing);
        let own = facts.here.as_mut().expect("here").named_files.as_mut().expect("known");
        own[0].path = path.to_owned();
        status(&mut facts).sync = is_standby.then(SyncStatus::default);
        let findings = examine(&facts).findings;
        let found = findings.into_iter().find(|finding| finding.name == "named-files");
        found.expect("it differs").commands
    };
    let page = "gocd-bc explain named-files";
    let from_the_primary = "scp primarygo:/etc/go/users /etc/go/users";
    assert_eq!(commands("/etc/go/users", true), [from_the_primary, page]);
    assert_eq!(
        commands("/etc/go/users", false),
        ["scp /etc/go/users primarygo:/etc/go/users", page]
    );
    for odd in ["/a;reboot", "/a b", "/$(reboot)", "/a'b", "-oProxyCommand=x", "/a\nb"] {
        assert_eq!(commands(odd, true), [page], "{odd}");
    }
}

#[test]
fn where_the_node_is_silent_its_database_is_judged_by_a_look_of_our_own() {
    let silent = |server: &str, fault: Option<Fault>| {
        let mut facts = but(|facts| facts.here.as_mut().expect("here").node = Ok(None));
        facts.clusters = None;
        facts.database = Some(Picture {
            servers: vec![serde_json::from_str(server).expect("a server")],
            findings: fault
                .map(|fault| database::finding::Finding::critical(fault, "it is wrong"))
                .into_iter()
                .collect(),
            ..Picture::default()
        });
        facts
    };
    let primary = r#"{"address":"db:5432","role":"primary","version":"15.18"}"#;
    let standby = r#"{"address":"db:5432","role":"standby","version":"15.18"}"#;
    let dead = r#"{"address":"db:5432","error":"it is silent"}"#;
    for (server, check, verdict) in [
        (primary, Check::DatabaseAnswers, Verdict::Well),
        (primary, Check::SlotLost, Verdict::Well),
        (primary, Check::Replication, Verdict::Elsewhere),
        (standby, Check::Replication, Verdict::Well),
        (standby, Check::SlotLost, Verdict::Elsewhere),
    ] {
        assert_eq!(judge(check, &silent(server, None)), verdict, "{server} {check}");
    }
    let frozen = silent(dead, Some(Fault::Frozen));
    assert!(matches!(judge(Check::DatabaseAnswers, &frozen), Verdict::Wrong(_)));
    assert!(matches!(judge(Check::Collations, &frozen), Verdict::Unknown(_)));
    let lines = describe_host(&silent(standby, None));
    assert!(
        lines.iter().any(|line| line.starts_with("GoCD's database: ")),
        "{lines:?}"
    );
}

#[test]
fn loopback_is_enough_for_a_pair_on_one_host() {
    let listens = |inside: &mut Inside| {
        let setting = ("listen_addresses".to_owned(), "127.0.0.1".to_owned());
        inside.settings.extend([setting]);
    };
    assert!(matches!(
        judge(Check::Followable, &with_inside(listens)),
        Verdict::Wrong(_)
    ));
    let followed = with_inside(|inside| {
        listens(inside);
        inside.facts = database::facts::Facts::of(r#"{"senders":1}"#);
    });
    let follows = with_inside(|inside| {
        listens(inside);
        inside.upstream = Some(Upstream {
            is_here: true,
            ..Upstream::default()
        });
    });
    for facts in [followed, follows] {
        assert_eq!(judge(Check::Followable, &facts), Verdict::Well);
    }
}
