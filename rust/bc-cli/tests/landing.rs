//! What a promoted server says of what GoCD had in its hands, as whole nodes beside a real PostgreSQL.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::fs;

use bc_testkit::postgres::Postgres;
use pair::{STANDBY_STATE, pair, status, wait_for};
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

fn on_standby(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &["--state-dir", STANDBY_STATE]].concat())
}

fn properties(place: &Place, node: &str, server: &Postgres) {
    place.folder(node, NOBODY);
    place.folder(&format!("{node}/config"), NOBODY);
    place.file(&format!("{node}/config/db.properties"), &server.properties(), NOBODY);
}

fn promote(place: &Place) {
    let promoted = on_standby(place, &["promote", "--without-database", "--wait", "60"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
}

/// What `gocd-bc landing` says once it has this part.
fn said(place: &Place, part: &str) -> String {
    wait_for(part, || {
        let said = on_standby(place, &["landing"]).stdout;
        said.contains(part).then_some(said)
    })
}

#[test]
fn a_promoted_server_says_what_gocd_had_in_its_hands_until_a_person_has_seen_it() {
    let place = Place::new();
    let first = Postgres::primary();
    first.make_gocd_tables();
    first.run_a_pipeline();
    let second = Postgres::standby_of(&first);
    properties(&place, "primary", &first);
    properties(&place, "standby", &second);
    let (node, following, _) = pair(&place);
    assert_eq!(on_standby(&place, &["landing"]).stdout, "", "nothing was promoted");
    node.end();
    second.settle();
    second.promote();
    // A database that answers late keeps nobody from promoting.
    second.stop();
    promote(&place);
    said(&place, "is not known: its database does not say it yet");
    assert!(
        !place.path(STANDBY_STATE).join("landing.json").exists(),
        "it is not over"
    );
    second.start();
    let known = said(&place, "jobs on agents: 4");
    for part in [
        "up/7/build/1/b1 (Building) on builder1",
        "locked pipelines: 2: old, up by 7-up",
        "stages waiting for an agent: 1: down/3/test/2 (2 jobs)",
        "they run twice",
        "artifacts is MISSING",
    ] {
        assert!(known.contains(part), "{part}: {known}");
    }
    let shown = on_standby(&place, &["status"]);
    assert!(
        shown.stdout.contains("After the promotion") && shown.stdout.contains("up by 7-up"),
        "{shown:?}"
    );
    wait_for("it is kept", || {
        place.path(STANDBY_STATE).join("landing.json").exists().then_some(())
    });

    // It outlives the node, also as what the database said then.
    following.end();
    second.stop();
    let offline = on_standby(&place, &["landing", "--json"]);
    assert_eq!(offline.json()["in_hand"]["job_count"], 4, "{offline:?}");
    let node = primary_of_standby(&place);
    assert!(said(&place, "jobs on agents: 4").contains("old, up by 7-up"));
    let done = on_standby(&place, &["landing", "done"]);
    assert_eq!(done.code, 0, "{done:?}");
    let nothing = on_standby(&place, &["landing"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""), "{nothing:?}");
    assert!(nothing.stderr.contains("nothing to show"), "{nothing:?}");
    assert!(status(&place, "standby")["landing"].is_null());
    node.end();
    let _node = primary_of_standby(&place);
    assert!(status(&place, "standby")["landing"].is_null(), "a person has seen it");
    assert!(
        on_standby(&place, &["landing", "done"])
            .stdout
            .contains("nothing to be seen")
    );
}

/// The node of the former standby, as a primary, once it answers.
fn primary_of_standby(place: &Place) -> pair::Foreground {
    let node = pair::primary_in(place, "standby", "127.0.0.1:0", &[]);
    wait_for("it runs", || {
        let status = status(place, "standby");
        (status["role"] == "primary" && status["phase"] == "running").then_some(())
    });
    node
}

#[test]
fn without_postgresql_it_is_said_in_one_line_that_it_is_not_known() {
    let place = Place::new();
    for node in ["primary", "standby"] {
        place.folder(node, NOBODY);
        place.folder(&format!("{node}/config"), NOBODY);
        place.file(&format!("{node}/config/db.properties"), "db.url=jdbc:h2:./db\n", NOBODY);
    }
    let (first, _following, _) = pair(&place);
    first.end();
    place.folder("standby/artifacts", NOBODY);
    promote(&place);
    let text = said(&place, "is not known: its database is H2");
    assert_eq!(
        text.lines().filter(|line| line.contains("not known")).count(),
        1,
        "{text}"
    );
    assert!(text.contains("artifacts is EMPTY"), "{text}");
    let kept = wait_for("it is kept", || {
        fs::read_to_string(place.path(STANDBY_STATE).join("landing.json")).ok()
    });
    assert!(kept.contains("H2"), "{kept}");
}
