//! What was ordered of a node is written down, with who ordered it, and `gocd-bc history` tells it.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use pair::{STANDBY_STATE, pair, status, wait_for};
use serde_json::Value;
use support::{Answer, NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
mod support;

const IN: [&str; 2] = ["--state-dir", STANDBY_STATE];

fn on_standby(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &IN].concat())
}

fn audit(place: &Place) -> PathBuf {
    place.path(STANDBY_STATE).join("audit.jsonl")
}

/// The lines of a file of the audit, once it has so many.
fn lines(path: &std::path::Path, count: usize) -> Vec<Value> {
    wait_for("the line is durable", || {
        let text = fs::read_to_string(path).ok()?;
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        (lines.len() == count).then_some(lines)
    })
}

#[test]
fn each_order_is_written_down_and_history_tells_it_with_and_without_a_node() {
    let place = Place::new();
    let (first, following, _) = pair(&place);
    let answer = on_standby(&place, &["history"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, ""), "{answer:?}");
    assert_eq!(on_standby(&place, &["sync"]).code, 0);
    assert_eq!(on_standby(&place, &["generations", "restore", "#77"]).code, 1);
    first.end();
    let promoted = on_standby(&place, &["promote", "--without-database", "--wait", "60"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");

    let written = lines(&audit(&place), 3);
    let told: Vec<_> = written
        .iter()
        .map(|line| {
            (
                line["order"]["order"].as_str(),
                line["outcome"].as_str(),
                line["epoch"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("sync"), Some("done"), Some(1)),
            (Some("restore"), Some("failed"), Some(1)),
            (Some("promote"), Some("done"), Some(2)),
        ]
    );
    let mode = fs::metadata(audit(&place)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if is_root() {
        assert_eq!(
            (&written[2]["who"]["uid"], &written[2]["who"]["user"]),
            (&0.into(), &"root".into())
        );
    }

    let check = |answer: &Answer| {
        assert_eq!(answer.code, 0, "{answer:?}");
        let orders = &answer.json()["orders"];
        let verbs: Vec<_> = (0..2).map(|at| orders[at]["order"]["order"].as_str()).collect();
        assert_eq!(verbs, [Some("promote"), Some("restore")], "newest first: {orders}");
        assert!(orders[2].is_null(), "a sync is no history: {orders}");
        assert!(orders[1]["result"].as_str().expect("text").contains("#77"), "{orders}");
    };
    let answer = on_standby(&place, &["history", "--json"]);
    assert_eq!(answer.stderr, "");
    check(&answer);
    let newest = on_standby(&place, &["history", "-n", "1"]);
    assert!(
        newest.stdout.contains("promote without-database  done") && !newest.stdout.contains("restore"),
        "{newest:?}"
    );
    following.end();
    let answer = on_standby(&place, &["history", "--json"]);
    assert!(answer.stderr.contains("this is what its files say"), "{answer:?}");
    check(&answer);

    let text = fs::read_to_string(audit(&place)).expect("text");
    fs::write(audit(&place), text.replacen("\"restore\"", "\"promote\"", 1)).expect("write");
    let answer = on_standby(&place, &["history"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(
        answer.stderr.contains("line 2") && answer.stdout.contains("done"),
        "{answer:?}"
    );
}

#[test]
fn who_may_not_order_is_written_down_where_he_pushes_nobody_out() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let (_first, _following, _) = pair(&place);
    // The nodes run as root here, so this is a user like any other.
    let refused = place.run_as(NOBODY, &[&["promote", "--without-database"][..], &IN].concat());
    assert_eq!(refused.code, 1, "{refused:?}");
    let written = lines(&place.path(STANDBY_STATE).join("audit-refused.jsonl"), 1);
    assert_eq!(
        (
            &written[0]["outcome"],
            &written[0]["who"]["uid"],
            &written[0]["who"]["user"]
        ),
        (&"refused".into(), &NOBODY.into(), &"nobody".into())
    );
    assert!(!audit(&place).exists());
    let answer = on_standby(&place, &["history"]);
    assert!(
        answer.stdout.contains("nobody") && answer.stdout.contains("refused"),
        "{answer:?}"
    );
}

#[test]
fn an_order_that_cannot_be_written_down_is_carried_out_and_that_is_said() {
    let place = Place::new();
    let (_first, _following, _) = pair(&place);
    fs::create_dir(audit(&place)).expect("a folder in its place");
    assert_eq!(on_standby(&place, &["sync"]).code, 0);
    let said = |place: &Place| {
        let problems = status(place, "standby")["problems"].take();
        let problems = problems.as_array().expect("a list").clone();
        problems.into_iter().find(|problem| problem["topic"] == "audit")
    };
    let problem = wait_for("it is said", || said(&place));
    assert_eq!(problem["severity"], "WARNING");
    let message = problem["message"].as_str().expect("text");
    assert!(
        message.contains("`sync`") && message.contains("audit.jsonl"),
        "{message}"
    );

    fs::remove_dir(audit(&place)).expect("remove");
    assert_eq!(on_standby(&place, &["sync"]).code, 0);
    wait_for("it is over", || said(&place).is_none().then_some(()));
    lines(&audit(&place), 1);
}
