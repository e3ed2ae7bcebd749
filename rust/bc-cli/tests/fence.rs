//! A server that was replaced cannot come back by itself: two whole nodes without a JVM. `gocd-bc primary` in the folder
//! of the old primary is its reboot.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use pair::{Foreground, PRIMARY_STATE, STANDBY_STATE, pair, pair_with, primary_in, status, wait_for};
use serde_json::Value;
use support::{Answer, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The list of peers of the primary, once it names the standby.
fn knows_its_standby(place: &Place) -> String {
    wait_for("the primary knows where its standby is", || {
        let text = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/known-peers.json"))).ok()?;
        text.contains("https://127.0.0.1:").then_some(text)
    })
}

fn promote(place: &Place) -> Answer {
    let promoted = place.run(&[
        "promote",
        "--without-database",
        "--wait",
        "60",
        "--state-dir",
        STANDBY_STATE,
    ]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    promoted
}

fn problem(status: &Value, topic: &str) -> Option<(String, String)> {
    let found = status["problems"]
        .as_array()?
        .iter()
        .find(|problem| problem["topic"] == topic)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some((text("severity"), text("message")))
}

/// The status of a node that holds and is fenced.
fn fenced(place: &Place, node: &str) -> Value {
    wait_for("it is fenced", || {
        let status = status(place, node);
        (status["role"] == "fenced" && status["phase"] == "holding").then_some(status)
    })
}

fn runs(place: &Place, node: &str) -> Value {
    wait_for("it runs as the primary", || {
        let status = status(place, node);
        (status["role"] == "primary" && status["phase"] == "running").then_some(status)
    })
}

/// A pair whose standby keeps its port when it is promoted.
fn steady_pair(place: &Place) -> (Foreground, Foreground, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("bc.listen={}", listener.local_addr().expect("bound"));
    drop(listener);
    pair_with(place, &["--property", &listen])
}

/// A pair whose standby was promoted while its primary was down, and the address of that one.
fn replaced(place: &Place) -> (Foreground, String) {
    let (first, following, address) = steady_pair(place);
    knows_its_standby(place);
    let (_, log) = first.end();
    assert!(log.contains("primary"), "{log}");
    promote(place);
    runs(place, "standby");
    (following, address)
}

#[test]
fn an_old_primary_that_boots_again_is_fenced_and_says_who_took_over_and_what_to_do() {
    let place = Place::new();
    let (_winner, address) = replaced(&place);
    let begun = Instant::now();
    let old = primary_in(&place, "primary", &address, &[]);
    let shown = fenced(&place, "primary");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let (severity, message) = problem(&shown, "fenced").expect("said");
    assert_eq!(severity, "CRITICAL");
    let winner = status(&place, "standby");
    for part in [
        &format!("node {:.8}", winner["node_id"].as_str().expect("an id")),
        "took over with epoch 2",
        &format!("at https://{}", winner["listening"].as_str().expect("listens")),
        "seen at 20",
        "`gocd-bc demote`",
        "`gocd-bc promote --take-over --accept-loss`",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(shown["fenced_by"]["epoch"]["number"], 2, "{shown}");
    let record = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/role"))).expect("read");
    assert!(
        record.contains("role=fenced") && record.contains("hold=yes"),
        "{record}"
    );
    let (_, log) = old.end();
    assert!(log.contains("CRITICAL this server is fenced"), "{log}");

    // The other one gone too: it stays what it is.
    let _again = primary_in(&place, "primary", &address, &[]);
    assert_eq!(
        problem(&fenced(&place, "primary"), "fenced").map(|(_, message)| message),
        Some(message)
    );
    runs(&place, "standby");
}

#[test]
fn where_peers_answer_a_start_takes_less_than_a_second_more_and_where_none_does_it_takes_the_wait() {
    let place = Place::new();
    let (first, following, address) = pair(&place);
    knows_its_standby(&place);
    let (_, log) = first.end();
    assert!(!log.contains("GoCD waits"), "nobody was known: {log}");
    let again = primary_in(&place, "primary", &address, &[]);
    runs(&place, "primary");
    let (_, log) = again.end();
    let at = |text: &str| {
        let line = log
            .lines()
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}: {log}"));
        let seconds = line
            .get(17..23)
            .and_then(|text| text.parse::<f64>().ok())
            .expect("a time");
        seconds
            + 60.0
                * line
                    .get(14..16)
                    .and_then(|text| text.parse::<f64>().ok())
                    .expect("a time")
    };
    let took = at("this node goes on as the primary") - at("GoCD waits");
    assert!((0.0..1.0).contains(&took), "{took} s: {log}");
    following.end();
    let begun = Instant::now();
    let alone = primary_in(&place, "primary", &address, &[]);
    let waiting = wait_for("it says what it waits for", || {
        let status = status(&place, "primary");
        (status["phase"] == "starting").then_some(status)
    });
    assert!(
        waiting["deciding"]["peers"][0]
            .as_str()
            .is_some_and(|url| url.contains("127.0.0.1")),
        "{waiting}"
    );
    runs(&place, "primary");
    assert!(begun.elapsed() >= Duration::from_millis(2400), "{:?}", begun.elapsed());
    let (_, log) = alone.end();
    assert!(log.contains("could be asked whether they were promoted"), "{log}");
}

#[test]
fn both_boot_and_exactly_the_one_with_the_higher_epoch_runs_in_either_order() {
    let place = Place::new();
    let (winner, address) = replaced(&place);
    let of_winner = status(&place, "standby")["listening"]
        .as_str()
        .expect("listens")
        .to_owned();
    winner.end();
    for first in ["primary", "standby"] {
        let wait = ["--property", "bc.guard.wait=30000"];
        let start = |node: &str| match node {
            "primary" => primary_in(&place, "primary", &address, &wait),
            _ => primary_in(&place, "standby", &of_winner, &wait),
        };
        let other = if first == "primary" { "standby" } else { "primary" };
        let nodes = [start(first), start(other)];
        fenced(&place, "primary");
        assert_eq!(runs(&place, "standby")["epoch"]["number"], 2);
        assert_eq!(status(&place, "primary")["role"], "fenced");
        for node in nodes {
            node.end();
        }
        // As it was before it learnt of the other one.
        let state = place.path(PRIMARY_STATE);
        fs::write(state.join("role"), "role=primary\nflag=none\nhold=no\n").expect("write");
        fs::remove_file(state.join("ledger.json")).expect("remove");
    }
}
