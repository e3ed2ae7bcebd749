use std::sync::Arc;

use super::*;
use crate::{
    basics::Properties,
    database::{
        configured::{self, Configured},
        facts::Platform,
        following::Following,
        look::tests::system,
        refusal::Refusal,
    },
};

fn login_to(url: &str) -> Login {
    let file = format!("db.url=jdbc:postgresql:{url}\ndb.user=gocd");
    match configured::read(Some(file.as_bytes()), &Properties::default(), None).expect("plain") {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    }
}

fn login() -> Login {
    login_to("//db/cruise")
}

fn lsn(position: u32) -> Lsn {
    format!("0/{position:X}").parse().expect("a position")
}

fn look(role: Role, position: u32) -> Look {
    let is_standby = role == Role::Standby;
    Look {
        version: 150_018,
        role,
        system: system(7),
        timeline: Some(1),
        written: (!is_standby).then(|| lsn(position)),
        received: None,
        replayed: is_standby.then(|| lsn(position)),
        is_paused: false,
        receiver: is_standby.then_some(11),
        has_archive: false,
    }
}

fn position(written: u32) -> Position {
    Position {
        system: system(7),
        timeline: Some(1),
        written: lsn(written),
    }
}

fn told(written: u32) -> Told {
    Told {
        position: position(written),
        server: None,
    }
}

fn told_by(server: ToldServer) -> Told {
    Told {
        server: Some(ToldServer {
            version: 150_018,
            ..server
        }),
        ..told(100)
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn answer(login: &Login, look: Look) -> Answer {
    Answer::of(login.url.hosts[0].clone(), Ok(look))
}

fn with(login: &Login, look: Look, json: &str) -> Answer {
    Answer {
        facts: Some(Arc::new(Facts::of(json).expect(json))),
        ..answer(login, look)
    }
}

/// The names of what is wrong, with how bad it is.
fn names(picture: &Picture) -> Vec<(Fault, Severity)> {
    let names = picture.findings.iter();
    names.map(|finding| (finding.name, finding.severity)).collect()
}

/// What one look says, after the primary was heard of a second before.
fn noted(answer: Answer, primary: Option<Option<&Told>>) -> Picture {
    let mut watch = Watch::default();
    if let Some(Some(told)) = primary {
        watch.hear(&told.position, s(0));
    }
    watch.note(&login(), &[answer], primary, s(1))
}

/// The only thing that is wrong with a standby.
fn fault(answer: Answer, told: &Told) -> (Fault, Severity, String) {
    let picture = noted(answer, Some(Some(told)));
    let [finding] = picture.findings.as_slice() else {
        panic!("{:?}", picture.findings);
    };
    (finding.name, finding.severity, finding.message.clone())
}

#[test]
fn a_standby_that_streams_is_well_and_says_how_far_it_is() {
    let of = |position, primary| noted(answer(&login(), look(Role::Standby, position)), Some(primary));
    let (now, before) = (told(100), told(60));
    for (position, told, line) in [
        (100, Some(&now), "streaming, 0 bytes and 1 s behind"),
        (60, Some(&now), "streaming, 40 bytes and at least 1 s behind"),
        (60, Some(&before), "streaming, 0 bytes and 1 s behind"),
        (60, None, "streaming; how far behind is not known yet"),
    ] {
        let picture = of(position, told);
        assert_eq!((picture.line().as_str(), picture.findings.len()), (line, 0));
    }
}

#[test]
fn a_primary_that_never_said_where_its_database_is_is_named_once_it_had_time() {
    let login = login();
    let mut watch = Watch::default();
    let mut line = |second| {
        let answers = [answer(&login, look(Role::Standby, 60))];
        watch.note(&login, &answers, Some(None), s(second)).line()
    };
    assert_eq!(line(1), "streaming; how far behind is not known yet");
    assert_eq!(
        line(6),
        "streaming; how far behind is not known: nobody says where the primary's is"
    );
}

#[test]
fn what_a_promotion_would_lose_is_what_was_never_received() {
    let login = login();
    let mut watch = Watch::default();
    let mut round = |written: Option<u32>, received: Option<u32>, replayed: u32, second: u64| {
        let told = written.map(told);
        if let Some(told) = &told {
            watch.hear(&told.position, s(second));
        }
        let look = Look {
            received: received.map(lsn),
            ..look(Role::Standby, replayed)
        };
        let picture = watch.note(&login, &[answer(&login, look)], Some(told.as_ref()), s(second));
        let losses = (picture.loss_bytes, picture.loss_s, picture.is_unheard);
        (losses, picture.loss_line().unwrap_or_default(), picture.line())
    };
    let nothing = "loses nothing that the primary is known to have written";
    let (losses, line, _) = round(Some(100), Some(100), 100, 0);
    assert_eq!((losses, line.as_str()), ((Some(0), Some(0), false), nothing));
    // What was received counts, whatever is replayed of it yet.
    let (losses, line, _) = round(Some(200), Some(200), 100, 1);
    assert_eq!((losses, line.as_str()), ((Some(0), Some(0), false), nothing));
    let (losses, line, _) = round(Some(300), Some(200), 100, 4);
    assert_eq!(losses, (Some(100), Some(3), false));
    assert_eq!(line, "loses 100 B of the log, which the primary wrote in the last 3 s");
    // One that takes files from an archive has received nothing, or less than it has replayed.
    let (losses, _, _) = round(Some(300), None, 300, 5);
    assert_eq!(losses, (Some(0), Some(0), false));
    let (losses, _, _) = round(Some(300), Some(200), 300, 6);
    assert_eq!(losses, (Some(0), Some(0), false));
    // A primary that says nothing may have written more: never 0 s, and never nothing.
    assert_eq!(round(None, Some(300), 300, 10).0, (Some(0), Some(4), false));
    let (losses, line, database) = round(None, Some(300), 300, 70);
    assert_eq!(losses, (Some(0), Some(64), true));
    assert_eq!(
        line,
        "loses what the primary has written in the last 64 s, which is not known"
    );
    assert_eq!(
        database,
        "streaming, 0 bytes and at least 64 s behind; the primary does not say where its own is"
    );
    assert_eq!(round(Some(300), Some(300), 300, 71).0, (Some(0), Some(0), false));
}

#[test]
fn how_far_two_are_apart_that_went_different_ways_is_not_said() {
    let login = login();
    let mut watch = Watch::default();
    let mut picture = Picture::default();
    for second in 0..20 {
        let told = told(100);
        watch.hear(&told.position, s(second));
        let answers = [answer(&login, look(Role::Standby, 900))];
        picture = watch.note(&login, &answers, Some(Some(&told)), s(second));
    }
    assert_eq!(names(&picture), [(Fault::Ahead, Severity::Critical)]);
    assert_eq!(
        (picture.behind_bytes, picture.loss_bytes, picture.loss_line()),
        (None, None, None)
    );
}

#[test]
fn a_standby_that_is_none_is_critical_and_says_what_it_is() {
    let login = login();
    let started = r#"{"started":"42"}"#;
    let same = told_by(ToldServer {
        started: "42".to_owned(),
        ..ToldServer::default()
    });
    let other_system = Told {
        position: Position {
            system: system(8),
            ..position(100)
        },
        ..same.clone()
    };
    let other_major = Told {
        server: Some(ToldServer {
            version: 160_011,
            ..ToldServer::default()
        }),
        ..other_system.clone()
    };
    let primary = || with(&login, look(Role::Primary, 100), started);
    let standby = || with(&login, look(Role::Standby, 100), started);
    for (answer, told, name, words) in [
        (primary(), &same, Fault::SameServer, "very server that the primary uses"),
        (primary(), &other_system, Fault::TakesWrites, "takes writes"),
        (primary(), &told(100), Fault::TakesWrites, "takes writes"),
        (
            answer(&login, look(Role::ReadOnly, 100)),
            &same,
            Fault::Fenced,
            "default_transaction_read_only",
        ),
        (standby(), &other_system, Fault::OtherSystem, "a copy of another one"),
        (
            standby(),
            &other_major,
            Fault::OtherMajor,
            "PostgreSQL 15 and the primary's is 16",
        ),
    ] {
        let (found, severity, message) = fault(answer, told);
        assert_eq!((found, severity), (name, Severity::Critical), "{message}");
        assert!(message.contains(words) && message.contains("db:5432"), "{message}");
    }
}

#[test]
fn a_standby_that_does_not_follow_says_why_and_what_to_type() {
    let login = login();
    let standing = || look(Role::Standby, 100);
    let alone = || Look {
        receiver: None,
        ..standing()
    };
    let paused = || Look {
        is_paused: true,
        ..standing()
    };
    let slots = |slots: &[&str]| {
        told_by(ToldServer {
            slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
            limits: BTreeMap::from([("max_connections".to_owned(), 150)]),
            ..ToldServer::default()
        })
    };
    let wants = r#"{"slot":"gocd_bc","limits":{"max_connections":150}}"#;
    let lower = r#"{"slot":"","limits":{"max_connections":100}}"#;
    let critical = Severity::Critical;
    for (answer, told, name, severity, words) in [
        (
            answer(&login, alone()),
            told(100),
            Fault::Disconnected,
            critical,
            "primary_conninfo",
        ),
        (
            with(&login, alone(), wants),
            slots(&["other"]),
            Fault::SlotMissing,
            critical,
            "pg_create_physical_replication_slot('gocd_bc', true)",
        ),
        (
            with(&login, alone(), wants),
            slots(&["gocd_bc"]),
            Fault::Disconnected,
            critical,
            "is not receiving",
        ),
        (
            with(&login, paused(), wants),
            slots(&["gocd_bc"]),
            Fault::Paused,
            critical,
            "select pg_wal_replay_resume()",
        ),
        (
            with(&login, paused(), lower),
            slots(&[]),
            Fault::LowerSettings,
            critical,
            "max_connections is 100, on the primary 150",
        ),
        (
            with(&login, standing(), lower),
            slots(&[]),
            Fault::LowerSettings,
            Severity::Warning,
            "max_connections is 100, on the primary 150",
        ),
        (
            with(&login, standing(), r#"{"synchronous":"*"}"#),
            told(100),
            Fault::SynchronousNames,
            Severity::Warning,
            "alter system reset synchronous_standby_names",
        ),
        (
            with(&login, standing(), r#"{"collations_differ":true}"#),
            told(100),
            Fault::Collations,
            Severity::Warning,
            "reindex database",
        ),
        (
            with(&login, standing(), r#"{"missing_extensions":["citext"]}"#),
            told(100),
            Fault::MissingExtensions,
            Severity::Warning,
            "postgresql-contrib",
        ),
    ] {
        let (found, how_bad, message) = fault(answer, &told);
        assert_eq!((found, how_bad), (name, severity), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn what_a_provider_does_is_not_offered_by_us() {
    let login = login();
    let rds = r#"{"roles":["rds_superuser"]}"#;
    let (_, _, message) = fault(with(&login, look(Role::Primary, 100), rds), &told(100));
    assert!(
        message.contains("by means of Amazon RDS") && !message.contains("--reseed"),
        "{message}"
    );
    let picture = noted(with(&login, look(Role::Standby, 100), rds), None);
    assert!(
        picture.findings[0].message.contains("aws rds promote-read-replica"),
        "{picture:?}"
    );
}

/// Nothing on the server of a provider can be changed from here, whatever is wrong there.
#[test]
fn nothing_is_typed_on_a_server_that_somebody_runs_for_others() {
    let login = login();
    let facts =
        |more: &str| format!(r#"{{"roles":["rds_superuser"],"slot":"s","limits":{{"max_connections":100}}{more}}}"#);
    let theirs = told_by(ToldServer {
        limits: BTreeMap::from([("max_connections".to_owned(), 150)]),
        slots: vec!["other".to_owned()],
        ..ToldServer::default()
    });
    let on_standby = |look: Look, more: &str| noted(with(&login, look, &facts(more)), Some(Some(&theirs)));
    let on_primary = |more: &str| noted(with(&login, look(Role::Primary, 100), &facts(more)), None);
    let standing = || look(Role::Standby, 100);
    let slot = |state: &str| {
        format!(
            r#","slots":[{{"name":"s","is_active":false,"state":"{state}","kept":{}}}]"#,
            3_u64 << 30
        )
    };
    let alone = Look {
        receiver: None,
        ..standing()
    };
    let paused = Look {
        is_paused: true,
        ..standing()
    };
    let pictures = [
        on_standby(alone, ""),
        on_standby(paused, ""),
        on_standby(standing(), r#","synchronous":"*""#),
        on_primary(r#","synchronous":"*""#),
        on_primary(r#","archiver_fails":true"#),
        on_primary(&slot("lost")),
        on_primary(&slot("unreserved")),
        on_primary(&slot("extended")),
    ];
    for picture in pictures {
        assert!(!picture.findings.is_empty());
        for Finding { name, message, .. } in picture.findings {
            assert!(message.contains("Amazon RDS runs it"), "{name}: {message}");
            assert!(!message.contains('`'), "{name}: {message}");
        }
    }
}

#[test]
fn one_that_shows_nothing_of_its_log_is_there_all_the_same() {
    let login = login();
    let mut watch = Watch::default();
    let mut picture = Picture::default();
    for second in 0..200 {
        let managed = Err(Refusal::Managed(Platform::Aurora));
        let answers = [Answer::of(login.url.hosts[0].clone(), managed)];
        picture = watch.note(&login, &answers, Some(None), s(second));
    }
    assert_eq!(names(&picture), [(Fault::Managed, Severity::Warning)]);
    assert!(
        picture.findings[0].message.contains("aws rds failover-db-cluster"),
        "{picture:?}"
    );
    assert_eq!(picture.in_short(), None, "nothing is claimed of it");
}

#[test]
fn the_commands_of_what_is_lower_and_of_what_is_sorted_otherwise_can_be_typed() {
    let login = login();
    let theirs = told_by(ToldServer {
        limits: BTreeMap::from([("max_connections".to_owned(), 150), ("max_wal_senders".to_owned(), 5)]),
        ..ToldServer::default()
    });
    let lower = r#"{"limits":{"max_connections":100,"max_wal_senders":10}}"#;
    let (_, _, message) = fault(with(&login, look(Role::Standby, 100), lower), &theirs);
    assert!(
        message.contains("`alter system set max_connections = 150`."),
        "{message}"
    );
    let sorted = |version| {
        let look = Look {
            version,
            ..look(Role::Primary, 100)
        };
        let picture = noted(with(&login, look, r#"{"collations_differ":true}"#), None);
        picture.findings[0].message.clone()
    };
    let refresh = "`alter database \"cruise\" refresh collation version`";
    assert!(sorted(150_018).contains("`reindex database \"cruise\"`"));
    assert!(sorted(150_018).contains(refresh) && !sorted(140_020).contains("refresh"));
}

#[test]
fn one_that_has_more_than_its_primary_went_another_way() {
    let login = login();
    let mut watch = Watch::default();
    let mut second = 0;
    let mut round = |written: u32, replayed: u32| {
        second += 1;
        let told = told(written);
        watch.hear(&told.position, s(second));
        let answers = [answer(&login, look(Role::Standby, replayed))];
        names(&watch.note(&login, &answers, Some(Some(&told)), s(second)))
    };
    // It may have heard of more since the primary told where it is, as long as that goes on.
    for written in 1..60 {
        assert_eq!(round(written * 10, written * 10 + 25), []);
    }
    let mut found = Vec::new();
    for _ in 0..20 {
        found = round(600, 700);
    }
    assert_eq!(found, [(Fault::Ahead, Severity::Critical)]);
}

#[test]
fn another_timeline_is_one_that_is_not_followed() {
    let login = login();
    let told = Told {
        position: Position {
            timeline: Some(2),
            ..position(100)
        },
        server: None,
    };
    let mut watch = Watch::default();
    let mut round = |timeline: u32, receiver: Option<u32>, second: u64| {
        watch.hear(&told.position, s(second));
        let look = Look {
            timeline: Some(timeline),
            receiver,
            ..look(Role::Standby, 100)
        };
        names(&watch.note(&login, &[answer(&login, look)], Some(Some(&told)), s(second)))
    };
    // The control file tells of the new one only when the replay gets so far.
    for second in 0..60 {
        assert_eq!(round(1, Some(11), second), [], "{second}");
    }
    assert_eq!(round(1, None, 60), [(Fault::Disconnected, Severity::Critical)]);
    assert_eq!(round(1, None, 70), [(Fault::OtherTimeline, Severity::Critical)]);
    assert_eq!(round(2, Some(12), 71), []);
    // One that is further than the primary's never comes back to it.
    assert_eq!(round(3, Some(12), 72), []);
    assert_eq!(round(3, Some(12), 82), [(Fault::OtherTimeline, Severity::Critical)]);
}

#[test]
fn a_primary_whose_database_cannot_be_written_says_so() {
    let picture = noted(answer(&login(), look(Role::Primary, 100)), None);
    assert_eq!((names(&picture), picture.written()), (Vec::new(), Some(position(100))));
    for (role, name) in [(Role::Standby, Fault::IsStandby), (Role::ReadOnly, Fault::Fenced)] {
        let picture = noted(answer(&login(), look(role, 100)), None);
        assert_eq!(picture.written(), None);
        assert_eq!(names(&picture), [(name, Severity::Critical)]);
    }
}

#[test]
fn a_primary_names_what_would_harm_its_standby() {
    let login = login();
    let slot = |state: &str, kept: u64, is_active: bool| {
        format!(r#"{{"slots":[{{"name":"gocd_bc","is_active":{is_active},"state":{state},"kept":{kept}}}]}}"#)
    };
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    for (json, expected, words) in [
        (slot("\"reserved\"", 5, true), vec![], ""),
        // A burst that somebody reads.
        (slot("\"extended\"", 3 << 30, true), vec![], ""),
        (
            slot("null", 3 << 30, false),
            vec![(Fault::SlotFills, warning)],
            "until the disk is full",
        ),
        (
            slot("\"extended\"", 3 << 30, false),
            vec![(Fault::SlotFills, warning)],
            "more than 3.0 GiB",
        ),
        (
            slot("\"unreserved\"", 3 << 30, false),
            vec![(Fault::SlotFills, critical)],
            "max_slot_wal_keep_size",
        ),
        (
            slot("\"lost\"", 0, false),
            vec![(Fault::SlotLost, critical)],
            "pg_drop_replication_slot('gocd_bc')",
        ),
        (
            r#"{"archiver_fails":true}"#.to_owned(),
            vec![(Fault::ArchiverFails, warning)],
            "mounted",
        ),
        (
            r#"{"synchronous":"a"}"#.to_owned(),
            vec![(Fault::CommitsWait, critical)],
            "alter system reset",
        ),
        (r#"{"synchronous":"a","senders":1}"#.to_owned(), vec![], ""),
    ] {
        let picture = noted(with(&login, look(Role::Primary, 100), &json), None);
        assert_eq!(names(&picture), expected, "{json}");
        assert!(
            picture.findings.iter().all(|finding| finding.message.contains(words)),
            "{picture:?}"
        );
    }
}

#[test]
fn a_slot_without_a_receiver_is_said_after_a_minute() {
    let login = login();
    let mut watch = Watch::default();
    let mut round = |is_active: bool, second: u64| {
        let json = format!(r#"{{"slots":[{{"name":"gocd_bc","is_active":{is_active},"kept":5}}]}}"#);
        let answers = [with(&login, look(Role::Primary, 100), &json)];
        names(&watch.note(&login, &answers, None, s(second)))
    };
    assert_eq!(round(false, 0), []);
    assert_eq!(round(false, 59), []);
    assert_eq!(round(false, 60), [(Fault::SlotInactive, Severity::Warning)]);
    assert_eq!(round(true, 61), []);
    assert_eq!(round(false, 62), []);
}

#[test]
fn what_the_standby_is_told_is_what_it_compares() {
    let json = r#"{"started":"42","limits":{"max_connections":100},"slots":[{"name":"gocd_bc"}]}"#;
    let picture = noted(with(&login(), look(Role::Primary, 100), json), None);
    let told = picture.told().expect("it takes writes");
    let json = serde_json::to_value(&told).expect("plain");
    assert_eq!(json["written"], "0/64");
    assert_eq!(json["server"]["slots"][0], "gocd_bc");
    assert_eq!(serde_json::from_value::<Told>(json.clone()).expect("the same"), told);
    // As the version before understands it, and as it says it.
    assert_eq!(
        serde_json::from_value::<Position>(json.clone()).expect("plain"),
        told.position
    );
    let before = serde_json::to_value(&told.position).expect("plain");
    assert_eq!(serde_json::from_value::<Told>(before).expect("plain").server, None);
    let mut odd = json;
    odd["server"] = "later".into();
    assert_eq!(serde_json::from_value::<Told>(odd).expect("plain").server, None);
}

#[test]
fn one_look_that_fails_is_no_outage_and_one_that_is_busy_is_there() {
    let login = login();
    let mut watch = Watch::default();
    let mut missed = |refusal: Refusal, primary: Option<Option<&Told>>, second: u64| {
        let answers = [Answer::of(login.url.hosts[0].clone(), Err(refusal))];
        let picture = watch.note(&login, &answers, primary, s(second));
        assert!(picture.line().contains("does not answer"), "{}", picture.line());
        names(&picture)
    };
    assert_eq!(missed(Refusal::Silent, Some(None), 1), []);
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    for (refusal, primary, second, expected) in [
        (Refusal::Silent, Some(None), 2, (Fault::Frozen, critical)),
        (Refusal::Silent, None, 3, (Fault::Frozen, warning)),
        (Refusal::NotReady, Some(None), 30, (Fault::NotReady, warning)),
        (Refusal::NotReady, Some(None), 61, (Fault::NotReady, critical)),
        (Refusal::Full, Some(None), 500, (Fault::Full, warning)),
        (Refusal::NoSuchHost, Some(None), 501, (Fault::NoSuchHost, critical)),
    ] {
        assert_eq!(missed(refusal, primary, second), [expected]);
    }
}

#[test]
fn the_lock_of_a_migration_is_said_once_it_lasts() {
    let login = login();
    let mut watch = Watch::default();
    let mut round = |is_held: bool, second: u64| {
        let lock = Lock {
            holder: Some("primarygo\n(10.0.0.5)".to_owned()),
        };
        let answer = Answer {
            lock: is_held.then_some(lock),
            ..answer(&login, look(Role::Primary, 100))
        };
        watch.note(&login, &[answer], None, s(second))
    };
    assert_eq!(names(&round(true, 0)), []);
    assert_eq!(names(&round(true, 299)), []);
    let picture = round(true, 300);
    assert_eq!(names(&picture), [(Fault::Locked, Severity::Warning)]);
    let message = &picture.findings[0].message;
    assert!(message.contains("primarygo") && !message.contains('\n'), "{message}");
    assert_eq!(names(&round(false, 301)), []);
    assert_eq!(names(&round(true, 302)), []);
}

#[test]
fn a_name_of_several_machines_and_a_pooler_are_said() {
    let login = login();
    let at = |addresses: &[&str]| {
        let parsed = addresses.iter().map(|address| address.parse().expect("an address"));
        let answer = Answer {
            addresses: parsed.collect(),
            ..answer(&login, look(Role::Primary, 100))
        };
        names(&noted(answer, None))
    };
    assert_eq!(at(&["10.0.0.5", "10.0.0.5", "2001:db8::5"]), []);
    assert_eq!(at(&["127.0.0.1", "127.0.1.1", "::1"]), []);
    let several = [(Fault::SeveralMachines, Severity::Warning)];
    assert_eq!(at(&["10.0.0.5", "10.0.0.6"]), several);
    assert_eq!(at(&["2001:db8::5", "2001:db8::6"]), several);
    let pooled = Answer {
        is_pooled: true,
        ..answer(&login, look(Role::Primary, 100))
    };
    assert_eq!(names(&noted(pooled, None)), [(Fault::Pooled, Severity::Warning)]);
}

#[test]
fn of_several_servers_each_is_seen_and_one_is_ours() {
    let follows = login_to("//a,b/cruise?targetServerType=primary");
    let (primary, standby) = (look(Role::Primary, 100), look(Role::Standby, 100));
    let answers = |login: &Login, looks: [Result<Look, Refusal>; 2]| -> Vec<Answer> {
        let hosts = login.url.hosts.iter().cloned();
        hosts.zip(looks).map(|(host, look)| Answer::of(host, look)).collect()
    };
    let named = |url: &str, host: &str| {
        let mut login = login_to(url);
        login.local_host = LocalHost::Named(host.to_owned());
        login
    };
    let told = told(100);
    // A database that fails over by itself: whichever is the standby, nothing is wrong on either node.
    for (looks, ours) in [
        ([Ok(primary.clone()), Ok(standby.clone())], "b"),
        ([Ok(standby.clone()), Ok(primary.clone())], "b"),
    ] {
        let login = named("//a,b/cruise?targetServerType=primary", ours);
        for login in [&login, &follows] {
            let answers = answers(login, looks.clone());
            let picture = Watch::default().note(login, &answers, Some(Some(&told)), s(0));
            assert_eq!(
                (names(&picture), picture.following),
                (vec![], Some(Following::Streaming))
            );
            assert_eq!(names(&Watch::default().note(login, &answers, None, s(0))), []);
        }
    }
    let critical = Severity::Critical;
    for (login, looks, expected) in [
        // Without that word each node's own is what counts.
        (
            named("//a,b/cruise", "a:5432"),
            [Ok(primary.clone()), Ok(standby.clone())],
            vec![(Fault::TakesWrites, critical), (Fault::OddUrl, Severity::Warning)],
        ),
        (
            named("//a,b/cruise?targetServerType=primary", "c"),
            [Ok(primary.clone()), Ok(standby.clone())],
            vec![(Fault::LocalHost, critical)],
        ),
        (
            login_to("//a,b/cruise?targetServerType=primary"),
            [Ok(primary.clone()), Ok(primary)],
            vec![(Fault::NoStandby, Severity::Warning)],
        ),
        (
            named("//a,b/cruise?targetServerType=primary", "a"),
            [Err(Refusal::Silent), Ok(standby.clone())],
            vec![(Fault::Frozen, critical)],
        ),
        (
            named("//a,b/cruise?targetServerType=primary", "b"),
            [Err(Refusal::Silent), Ok(standby)],
            vec![(Fault::Frozen, Severity::Warning)],
        ),
    ] {
        let mut watch = Watch::default();
        let answers = answers(&login, looks);
        watch.note(&login, &answers, Some(Some(&told)), s(0));
        assert_eq!(names(&watch.note(&login, &answers, Some(Some(&told)), s(1))), expected);
    }
    // The only one that is on this machine is this node's.
    let login = login_to("//a,b/cruise");
    let mut local = answers(&login, [Ok(look(Role::Standby, 100)), Ok(look(Role::Primary, 100))]);
    local[1].is_local = true;
    let picture = Watch::default().note(&login, &local, Some(Some(&told)), s(0));
    assert_eq!(picture.findings[0].name, Fault::TakesWrites);
}
