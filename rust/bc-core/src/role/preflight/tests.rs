use super::*;
use crate::{
    basics::Digest,
    database::finding::{Fault, Finding},
    generation::{Epoch, HandoverToken, HandsOver, Role},
    role::inquiry::Heard,
};

const FOLLOWED: &str = "0123456789abcdef";
const HERE: &str = "https://primarygo:8155";

/// A standby's database that lacks nothing.
fn picture() -> Picture {
    serde_json::from_value(serde_json::json!({
        "servers": [{"address": "db:5432", "is_own": true, "role": "standby", "version": "15.18", "system": "7",
            "timeline": 1, "may_promote": true}],
        "following": "streaming", "behind_bytes": 0, "behind_s": 1, "loss_bytes": 0, "loss_s": 1, "heard_s": 1,
        "primary_written": "0/5",
    }))
    .expect("a picture")
}

/// All is well, and the primary is gone.
fn facts() -> Facts {
    Facts {
        at_ms: 1,
        followed: Some((FOLLOWED.to_owned(), Epoch::default())),
        heard: vec![(HERE.to_owned(), Heard::Silence("Connection refused".to_owned()))],
        site: Some(("https://ci".to_owned(), Site::Not("no answer".to_owned()))),
        locks: vec![
            ("db:5432".to_owned(), Holder::Nobody),
            ("db:5432".to_owned(), Holder::Stranger),
        ],
        database: Some(picture()),
        user: "gocd".to_owned(),
        trigger: None,
        way: Some(Way::Auto),
        resumes: false,
        max_lag: MaxLag::default(),
        accepts_loss: false,
        forces: false,
        applied: Some(12),
        newest: Some(12),
        has_newest: true,
        secrets: Secrets::Read {
            open: 3,
            shut: Vec::new(),
        },
        gocd: Some("26.1.0".to_owned()),
        files_gocd: Some("26.1.0".to_owned()),
        launcher: Launcher::Same,
        free: Some(10 << 30),
        wanted_free: 256 << 20,
    }
}

fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts();
    change(&mut facts);
    facts
}

fn with_database(change: impl FnOnce(&mut Picture)) -> Facts {
    with(|facts| change(facts.database.as_mut().expect("one")))
}

fn with_finding(name: Fault) -> Facts {
    with_database(|picture| picture.findings = vec![Finding::critical(name, format!("it is {name}."))])
}

fn node(role: Role) -> Heard {
    Heard::Node {
        node_id: FOLLOWED.to_owned(),
        role,
        waits: false,
        after_fence: None,
        hands_over: None,
        epoch: Epoch::default(),
        highest: None,
        run: None,
    }
}

/// The primary that is followed, which hands over.
fn hands_over(token: Option<HandoverToken>) -> Heard {
    let waits_for = token.is_none().then(|| "its sessions".to_owned());
    let Heard::Node {
        node_id,
        role,
        epoch,
        highest,
        run,
        ..
    } = node(Role::Primary)
    else {
        unreachable!("a node")
    };
    Heard::Node {
        waits: true,
        after_fence: None,
        hands_over: Some(Box::new(HandsOver {
            id: "a".repeat(32),
            ordered_ms: 1,
            token,
            waits_for,
        })),
        node_id,
        role,
        epoch,
        highest,
        run,
    }
}

/// The token of that primary, with its database at this position.
fn token(written: Option<&str>) -> HandoverToken {
    HandoverToken {
        node_id: FOLLOWED.to_owned(),
        epoch: Epoch::default(),
        generation: Digest::of(b"set"),
        sequence: 12,
        database: written.map(|written| {
            serde_json::from_value(serde_json::json!({"system": "7", "timeline": 1, "written": written})).expect("one")
        }),
    }
}

fn hears(heard: Heard) -> Facts {
    with(|facts| facts.heard = vec![(HERE.to_owned(), heard)])
}

/// For each check what it refuses, and a part of the way on.
fn refused(about: About) -> Vec<(Facts, &'static str)> {
    match about {
        About::OtherPrimary => vec![
            (hears(node(Role::Primary)), "demote --handover` there first"),
            (hears(hands_over(None)), "again in a moment"),
            (
                with(|facts| facts.site = Some(("https://ci".to_owned(), Site::Runs))),
                "Stop it there first",
            ),
            (
                with(|facts| facts.site = Some(("bc.site.url".to_owned(), Site::Malformed))),
                "Correct it",
            ),
            (
                with(|facts| {
                    facts.locks = vec![(
                        "db:5432".to_owned(),
                        Holder::Other("ab".repeat(16).parse().expect("an id")),
                    )]
                }),
                "pg_terminate_backend",
            ),
            (hears(Heard::Unproven("another key".to_owned())), "--without-database"),
        ],
        About::Database => vec![
            (with(|facts| facts.database = None), "bc.db.watch=off"),
            (
                with_database(|picture| picture.not_covered = Some("H2".to_owned())),
                "--without-database",
            ),
            (
                with_database(|picture| picture.servers[0].role = None),
                "gocd-bc doctor",
            ),
            (with_database(|picture| picture.servers.clear()), "bc.db.local.host"),
            (
                with_database(|picture| {
                    picture.servers.clear();
                    picture.findings = vec![Finding::critical(Fault::OtherMajor, "it cannot be asked.")];
                }),
                "promote the database yourself",
            ),
            (
                with_database(|picture| picture.servers[0].role = Some(crate::database::look::Role::Primary)),
                "--without-database",
            ),
            (
                with_database(|picture| picture.servers[0].may_promote = Some(false)),
                "grant execute on function pg_promote",
            ),
            (with(|facts| facts.way = None), "bc.db.promote"),
        ],
        About::Lineage => [
            Fault::OtherMajor,
            Fault::OtherSystem,
            Fault::OtherTimeline,
            Fault::Ahead,
        ]
        .map(|fault| (with_finding(fault), "other data"))
        .into(),
        About::Replay => vec![(
            with_database(|picture| picture.following = Some(crate::database::following::Following::Paused)),
            "version 11 and 12",
        )],
        About::Lag => vec![
            (
                with_database(|picture| picture.loss_bytes = Some(17 << 20)),
                "--accept-loss",
            ),
            (
                with_database(|picture| (picture.loss_bytes, picture.loss_s) = (Some(1), Some(62))),
                "--accept-loss",
            ),
            (with_database(|picture| picture.loss_bytes = None), "--accept-loss"),
            (with_database(|picture| picture.heard_s = None), "--accept-loss"),
        ],
        About::Generation => vec![(with(|facts| facts.applied = None), "follow its primary first")],
        About::Secrets => vec![
            (
                with(|facts| facts.secrets = Secrets::Unread("there is none".to_owned())),
                "gocd-bc verify",
            ),
            (
                with(|facts| {
                    facts.secrets = Secrets::Read {
                        open: 0,
                        shut: vec!["pipeline".to_owned()],
                    };
                }),
                "cipher.aes",
            ),
        ],
        About::GocdVersion => vec![(
            with(|facts| facts.gocd = Some("25.4.0".to_owned())),
            "Install GoCD 26.1.0",
        )],
        About::Launcher => vec![(with(|facts| facts.launcher = Launcher::Replaced), "Restart this server")],
        About::Room => vec![(with(|facts| facts.free = Some(1 << 20)), "bc.free.space")],
    }
}

#[test]
fn a_newer_gocd_is_an_upgrade_and_says_that_there_is_no_way_back() {
    let facts = with(|facts| facts.gocd = Some("26.10.0".to_owned()));
    let checks = super::files::checks(&facts);
    let check = checks
        .iter()
        .find(|check| check.about == About::GocdVersion)
        .expect("a line");
    assert_eq!(check.verdict, Verdict::Warns);
    assert!(check.seen.contains("no way back to 26.1.0"), "{}", check.seen);
}

/// The rows of the table in the head of the module.
fn rows() -> Vec<About> {
    include_str!("../preflight.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! | check |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("//! | `"))
        .map(|line| {
            let name = line.split('`').next().expect("a name");
            serde_json::from_value(name.into()).expect("a check")
        })
        .collect()
}

#[test]
fn edits_are_counted_by_sequence_where_both_are_known() {
    let edits = |newest, applied, has_newest| {
        let facts = with(|facts| (facts.newest, facts.applied, facts.has_newest) = (newest, applied, has_newest));
        Preflight::of(&facts).loss.edits
    };
    assert_eq!(edits(Some(15), Some(12), false), Some(3));
    assert_eq!(edits(Some(12), Some(12), false), Some(0));
    assert_eq!(edits(None, Some(12), true), Some(0));
    assert_eq!(edits(None, Some(12), false), None);
    assert_eq!(edits(Some(15), None, false), None);
}

#[test]
fn nothing_speaks_against_a_promotion_where_all_is_well() {
    let found = Preflight::of(&facts());
    assert_eq!(found.checks.iter().map(|check| check.about).collect::<Vec<_>>(), rows());
    for check in &found.checks {
        assert_eq!((check.verdict, check.way.as_str()), (Verdict::Fine, ""), "{check:?}");
        assert_eq!(serde_json::to_value(check.about).expect("plain"), check.about.name());
    }
    assert_eq!(found.severity(), Severity::Ok);
    assert_eq!(
        found.line(),
        "would be carried out; it loses nothing of the database that the primary is known to have written, and no edit"
    );
}

#[test]
fn each_row_refuses_what_it_says_and_names_the_way_on() {
    for about in rows() {
        for (facts, way) in refused(about) {
            let found = Preflight::of(&facts);
            let refusals: Vec<_> = found.refusals().collect();
            assert_eq!(refusals.len(), 1, "{about:?}: {refusals:?}");
            assert_eq!(refusals[0].about, about, "{refusals:?}");
            assert!(refusals[0].way.contains(way), "{way}: {refusals:?}");
            assert!(!refusals[0].seen.is_empty());
            assert_eq!(found.severity(), Severity::Critical);
            assert!(found.line().starts_with("would be refused: "), "{}", found.line());
        }
    }
}

#[test]
fn what_is_not_known_of_another_primary_warns() {
    for heard in [Heard::Mute("frozen".to_owned()), Heard::NotAsked("no token".to_owned())] {
        let found = Preflight::of(&hears(heard));
        assert_eq!((found.checks[0].verdict, found.refusals().count()), (Verdict::Warns, 0));
    }
    assert_eq!(
        Preflight::of(&with(|facts| facts.heard.clear())).severity(),
        Severity::Warning
    );
    assert_eq!(Preflight::of(&hears(node(Role::Standby))).severity(), Severity::Ok);
    // Of several addresses the worst one counts.
    let mut facts = hears(Heard::Silence("Connection refused".to_owned()));
    facts
        .heard
        .push(("https://primarygo:443".to_owned(), node(Role::Primary)));
    assert_eq!(Preflight::of(&facts).refusals().count(), 1);
}

#[test]
fn a_loss_that_a_person_accepts_is_none_that_refuses() {
    for (facts, _) in refused(About::Lag) {
        let accepted = Facts {
            accepts_loss: true,
            ..facts
        };
        let found = Preflight::of(&accepted);
        assert_eq!(
            (found.refusals().count(), found.severity()),
            (0, Severity::Warning),
            "{found:?}"
        );
    }
    // Nor does a small one, which is said all the same.
    let small = with_database(|picture| (picture.loss_bytes, picture.loss_s) = (Some(300), Some(5)));
    assert_eq!(Preflight::of(&small).severity(), Severity::Warning);
}

#[test]
fn how_long_the_primary_has_been_gone_is_no_loss() {
    let gone = with_database(|picture| {
        (picture.loss_bytes, picture.loss_s, picture.heard_s) = (Some(300), Some(3605), Some(3600));
        picture.is_unheard = true;
    });
    let found = Preflight::of(&gone);
    assert_eq!(
        (found.refusals().count(), found.loss.seconds),
        (0, Some(5)),
        "{found:?}"
    );
    assert!(
        found.checks.iter().any(|check| check.seen.contains("3600 s ago")),
        "{found:?}"
    );
}

#[test]
fn a_database_that_takes_writes_is_right_where_this_server_or_somebody_else_was_to_promote_it() {
    let promoted = |change: fn(&mut Facts)| {
        let mut facts = with_database(|picture| picture.servers[0].role = Some(crate::database::look::Role::Primary));
        change(&mut facts);
        Preflight::of(&facts).refusals().count()
    };
    assert_eq!(promoted(|facts| facts.resumes = true), 0);
    assert_eq!(promoted(|facts| facts.way = Some(Way::Wait)), 0);
    assert_eq!(promoted(|facts| facts.way = Some(Way::None)), 0);
    assert_eq!(promoted(|_| ()), 1);
}

#[test]
fn commits_that_would_wait_are_said_before() {
    let found = Preflight::of(&with_finding(Fault::SynchronousNames));
    assert_eq!((found.refusals().count(), found.severity()), (0, Severity::Warning));
}

#[test]
fn the_secrets_of_the_live_configuration_are_tried_with_the_live_key() {
    let folder = tempfile::tempdir().expect("folder");
    let properties = crate::basics::Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
    let layout = crate::generation::Layout::from_properties(&properties);
    assert!(matches!(read_secrets(&layout), Secrets::Unread(_)), "there is none");
    let config = folder.path().join("config");
    std::fs::create_dir_all(&config).expect("folder");
    let write = |name: &str, text: &str| std::fs::write(config.join(name), text).expect("write");
    // "p@ssw0rd" under the key below, as in `database::configured`.
    write(
        "cruise-config.xml",
        "<cruise><server><mailhost encryptedPassword=\"AES:c9Uau9icuBlvDvtokvlNaA==:6o0/VJQxfqd5rXljtHICWA==\"/></server>\
         </cruise>",
    );
    let open = |secrets: Secrets| match secrets {
        Secrets::Read { open, shut } => (open, shut.len()),
        Secrets::Unread(why) => panic!("{why}"),
    };
    assert_eq!(open(read_secrets(&layout)), (0, 1), "no key");
    write("cipher.aes", "00000000000000000000000000000000");
    assert_eq!(open(read_secrets(&layout)), (0, 1), "another key");
    write("cipher.aes", "fdf500c4ec6e51172477145db6be63c5");
    assert_eq!(open(read_secrets(&layout)), (1, 0));
    assert!(free(&layout).is_some_and(|bytes| bytes > 0));
}

#[test]
fn where_the_followed_primary_hands_over_nothing_is_lost_and_nothing_refuses() {
    for (written, wanted) in [("0/1", Verdict::Fine), ("0/9", Verdict::Warns)] {
        let mut facts = hears(hands_over(Some(token(Some(written)))));
        // What the watch knows of the primary does not count any more.
        facts.database.as_mut().expect("one").loss_bytes = None;
        facts.database.as_mut().expect("one").servers[0].received = Some("0/5".parse().expect("a position"));
        let found = Preflight::of(&facts);
        assert_eq!(found.refusals().count(), 0, "{found:?}");
        let lag = found
            .checks
            .iter()
            .find(|check| check.about == About::Lag)
            .expect("checked");
        assert_eq!(lag.verdict, wanted, "{lag:?}");
        assert_eq!((found.loss.bytes, found.loss.edits), (Some(0), Some(0)));
        assert!(
            found.line().contains("hands over") && found.handed_over.is_some(),
            "{}",
            found.line()
        );
    }
}

#[test]
fn by_force_a_primary_that_answers_is_ordered_to_stop_and_nothing_else_is_overridden() {
    let by_force = |facts: Facts| Preflight::of(&Facts { forces: true, ..facts });
    let found = by_force(hears(node(Role::Primary)));
    assert_eq!(found.severity(), Severity::Warning, "{found:?}");
    let check = &found.checks[0];
    assert!(
        check.seen.contains("ordered to stop") && check.way.contains("--handover"),
        "{check:?}"
    );
    assert!(found.stops.is_some());
    // Nobody is ordered to where none answers, or all of it hands over.
    assert_eq!(by_force(facts()).stops, None);
    assert_eq!(by_force(hears(hands_over(Some(token(Some("0/1")))))).stops, None);
    for about in rows() {
        for (facts, way) in refused(about) {
            let is_ordered = Preflight::of(&facts).checks[0].seen.contains("answers as the primary");
            let found = by_force(facts);
            let refusals: Vec<_> = found.refusals().map(|check| check.about).collect();
            match is_ordered {
                true => assert!(refusals.is_empty(), "{way}: {refusals:?}"),
                false => assert_eq!(refusals, [about], "{way}"),
            }
            // Nor where a primary answers besides.
            let mut facts = refused(about)
                .into_iter()
                .find(|(_, its)| *its == way)
                .expect("it is there")
                .0;
            if about != About::OtherPrimary {
                facts.heard = vec![(HERE.to_owned(), node(Role::Primary))];
                let found = by_force(facts);
                assert!(found.refusals().any(|check| check.about == about), "{way}: {found:?}");
            }
        }
    }
    // Two are not stopped by one order.
    let mut two = hears(node(Role::Primary));
    two.locks = vec![(
        "db:5432".to_owned(),
        Holder::Other("ab".repeat(16).parse().expect("an id")),
    )];
    let found = by_force(two);
    assert!(
        found.refusals().any(|check| check.way.contains("stop both")),
        "{found:?}"
    );
}

#[test]
fn a_hand_over_of_another_node_another_epoch_another_database_or_of_the_files_alone_is_refused() {
    let refused = |facts: &Facts| {
        let found = Preflight::of(facts);
        found.refusals().map(|check| check.about).collect::<Vec<_>>()
    };
    let facts = hears(hands_over(Some(token(Some("0/1")))));
    let strangers = [
        None,
        Some(("another".to_owned(), Epoch::default())),
        Some((
            FOLLOWED.to_owned(),
            Epoch {
                number: 2,
                promotion: "b".to_owned(),
            },
        )),
    ];
    for followed in strangers {
        let facts = Facts {
            followed,
            ..facts.clone()
        };
        assert_eq!(refused(&facts), [About::OtherPrimary]);
    }
    // A token of somebody else is none.
    let of_another = HandoverToken {
        node_id: "another".to_owned(),
        ..token(Some("0/1"))
    };
    assert_eq!(refused(&hears(hands_over(Some(of_another)))), [About::OtherPrimary]);
    let mut other_timeline = facts.clone();
    other_timeline.database.as_mut().expect("one").servers[0].timeline = Some(3);
    assert_eq!(refused(&other_timeline), [About::Lineage]);
    assert_eq!(refused(&hears(hands_over(Some(token(None))))), [About::Lag]);
}
