//! The folders of a server on a third one, beside a pair: whole nodes without a JVM.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, net::TcpListener, process::Command};

use pair::{PRIMARY_STATE, STANDBY_STATE, pair_with, primary_in, status, wait_for};
use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const THIRD_STATE: &str = "third/db/business-continuity";

/// Copies all that a server has.
fn copy(place: &Place, from: &str, to: &str) {
    let copied = Command::new("cp")
        .args(["-a", from, to])
        .current_dir(place.path(""))
        .status();
    assert!(copied.expect("cp runs").success());
}

#[test]
fn a_copy_of_a_former_primary_on_a_third_server_is_fenced_too_and_follows_after_one_command() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("bc.listen={}", listener.local_addr().expect("bound"));
    drop(listener);
    let (first, _winner, address) = pair_with(&place, &["--property", &listen]);
    wait_for("the primary knows where its standby is", || {
        let text = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/known-peers.json"))).ok()?;
        text.contains("https://127.0.0.1:").then_some(())
    });
    first.end();
    copy(&place, "primary", "third");
    let promote = [
        "promote",
        "--without-database",
        "--wait",
        "60",
        "--state-dir",
        STANDBY_STATE,
    ];
    let promoted = place.run(&promote);
    assert_eq!(promoted.code, 0, "{promoted:?}");

    // Neither the server itself nor its copy at another place starts beside the one that took over.
    let _former = primary_in(&place, "primary", &address, &[]);
    let third = primary_in(&place, "third", "127.0.0.1:0", &[]);
    for node in ["primary", "third"] {
        let shown = wait_for("it is fenced", || {
            let status = status(&place, node);
            (status["role"] == "fenced" && status["phase"] == "holding").then_some(status)
        });
        assert_eq!(shown["fenced_by"]["epoch"]["number"], 2, "{node}: {shown}");
        let problems = shown["problems"].to_string();
        assert!(
            problems.contains("run `gocd-bc demote` and restart"),
            "{node}: {problems}"
        );
    }
    let demoted = place.run(&["demote", "--state-dir", THIRD_STATE]);
    assert_eq!(demoted.code, 0, "{demoted:?}");
    third.end();
    let _third = primary_in(&place, "third", "127.0.0.1:0", &[]);
    wait_for("it follows", || {
        (status(&place, "third")["sync"]["in_sync"] == true).then_some(())
    });
    assert_eq!(status(&place, "standby")["role"], "primary");
    assert_eq!(status(&place, "primary")["role"], "fenced");
}
