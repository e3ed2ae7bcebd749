//! The folders of a server on a third one, beside a pair: whole nodes without a JVM.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, net::TcpListener, process::Command};

use pair::{
    PRIMARY_STATE, fenced, folders, knows_its_standby, pair, pair_with, primary, primary_in, promote, status, wait_for,
};
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
    knows_its_standby(&place);
    first.end();
    copy(&place, "primary", "third");
    promote(&place);

    // Neither the server itself nor its copy at another place starts beside the one that took over.
    let _former = primary_in(&place, "primary", &address, &[]);
    let third = primary_in(&place, "third", "127.0.0.1:0", &[]);
    for node in ["primary", "third"] {
        let shown = fenced(&place, node);
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

#[test]
fn a_copy_of_the_primary_on_a_third_server_is_held_beside_it_until_it_has_an_identity_of_its_own() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    wait_for("the primary notes where it is, and whom it asks", || {
        let text = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/known-peers.json"))).ok()?;
        (text.contains("\"place\"") && text.contains("\"node_id\"")).then_some(())
    });
    copy(&place, "primary", "third");
    let third = primary_in(&place, "third", "127.0.0.1:0", &[]);
    let said = wait_for("it is held, and says beside whom", || {
        let status = status(&place, "third");
        let held = status["phase"] == "holding";
        held.then(|| status["problems"].to_string())
    });
    let folder = place
        .path(PRIMARY_STATE)
        .canonicalize()
        .expect("there")
        .display()
        .to_string();
    assert!(
        said.contains("identity of this one") && said.contains(&folder),
        "{said}"
    );
    for typed in [
        "`gocd-bc identity new`",
        "`gocd-bc setup standby --primary https://127.0.0.1:",
        "`gocd-bc guard ignore ",
    ] {
        assert!(said.contains(typed), "{said}");
    }
    let running = status(&place, "primary");
    assert_eq!(
        (&running["role"], &running["phase"]),
        (&"primary".into(), &"running".into())
    );

    // With an identity of its own it is another node, and still no second primary.
    third.end();
    let renewed = place.run(&["identity", "new", "--state-dir", THIRD_STATE]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    let _third = primary_in(&place, "third", "127.0.0.1:0", &[]);
    wait_for("it sees the primary at the place that it was copied from", || {
        let status = status(&place, "third");
        let said = status["problems"].to_string();
        (status["phase"] == "holding" && said.contains("claims to be the primary as well")).then_some(())
    });
}

#[test]
fn a_primary_that_was_moved_starts_where_its_former_place_is_left_or_somebody_elses() {
    let place = Place::new();
    folders(&place);
    let runs = |node: &'static str| {
        wait_for("it runs, and notes where", || {
            let running = status(&place, node)["phase"] == "running";
            let text =
                fs::read_to_string(place.path(&format!("{node}/db/business-continuity/known-peers.json"))).ok()?;
            let (_, noted) = text.split_once("https://")?;
            running.then(|| noted.split('"').next().expect("one").to_owned())
        })
    };
    let first = primary(&place, "127.0.0.1:0");
    let former = runs("primary");
    first.end();
    // Another node has that place now, with another key.
    copy(&place, "standby", "other");
    let other = primary_in(&place, "other", &former, &[]);
    assert_eq!(runs("other"), former);
    let moved = primary_in(&place, "primary", "127.0.0.1:0", &[]);
    wait_for("it runs at another place", || {
        let now = runs("primary");
        (now != former).then_some(())
    });
    let now = runs("primary");
    moved.end();
    other.end();
    // Nobody is there: it does not wait either, unless it is to.
    let strict = primary_in(&place, "primary", "127.0.0.1:0", &["--property", "bc.guard=strict"]);
    let said = wait_for("it is held", || {
        let status = status(&place, "primary");
        (status["phase"] == "holding").then(|| status["problems"].to_string())
    });
    assert!(
        said.contains(&format!("`gocd-bc guard ignore https://{now}`")),
        "{said}"
    );
    strict.end();
    let _moved = primary_in(&place, "primary", "127.0.0.1:0", &[]);
    wait_for("it runs", || (runs("primary") != now).then_some(()));
}

#[test]
fn a_copy_that_started_while_its_original_was_off_ends_once_that_one_runs_and_starts_no_more_beside_it() {
    let place = Place::new();
    let noted = |node: &str, address: &str| {
        wait_for("it runs, and notes where", || {
            let running = status(&place, node)["phase"] == "running";
            let known = place.path(&format!("{node}/db/business-continuity/known-peers.json"));
            let is_noted = fs::read_to_string(known)
                .ok()?
                .contains(&format!("\"place\":\"https://{address}\""));
            (running && is_noted).then_some(())
        });
    };
    let (original, _standby, address) = pair(&place);
    noted("primary", &address);
    original.end();
    copy(&place, "primary", "third");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let elsewhere = listener.local_addr().expect("bound").to_string();
    drop(listener);
    // It knows where it is from after it has run elsewhere, too.
    for _ in 0..2 {
        let third = primary_in(&place, "third", &elsewhere, &[]);
        noted("third", &elsewhere);
        third.end();
    }
    let third = primary_in(&place, "third", &elsewhere, &[]);
    noted("third", &elsewhere);

    let is_held_beside = || {
        wait_for("the copy is held, and says beside whom", || {
            let status = status(&place, "third");
            let said = status["problems"].to_string();
            let is_held = status["phase"] == "holding" && said.contains("with its identity answers there");
            (is_held && said.contains(&format!("`gocd-bc guard ignore https://{address}`"))).then_some(())
        });
        let running = status(&place, "primary");
        assert_eq!(
            (&running["role"], &running["phase"]),
            (&"primary".into(), &"running".into())
        );
    };
    let _original = primary_in(&place, "primary", &address, &[]);
    noted("primary", &address);
    is_held_beside();
    let (_, log) = third.end();
    assert!(
        log.contains("CRITICAL this server must not run as the primary"),
        "{log}"
    );
    let _third = primary_in(&place, "third", &elsewhere, &[]);
    is_held_beside();
}
