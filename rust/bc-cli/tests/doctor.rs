//! The doctor beside real nodes: nothing is found of a healthy pair, and what it says to type mends a broken one.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pair::{Foreground, PRIMARY_STATE, STANDBY_STATE, pair, wait_for};
use serde_json::Value;
use support::{Answer, NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const TOKEN: &str = "config/business-continuity-token";

fn doctor(place: &Place, state_dir: &str) -> Answer {
    place.run(&["doctor", "--json", "--state-dir", state_dir])
}

/// The findings of one check.
fn found(answer: &Answer, name: &str) -> Vec<Value> {
    let findings = answer.json()["findings"].as_array().cloned().unwrap_or_default();
    findings.into_iter().filter(|finding| finding["name"] == name).collect()
}

/// A pair of which nobody else can read the secrets.
fn healthy(place: &Place) -> (Foreground, Foreground, String) {
    let pair = pair(place);
    for node in ["primary", "standby"] {
        for file in ["cipher.aes", "business-continuity-token"] {
            let path = place.path(&format!("{node}/config/{file}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode");
        }
    }
    pair
}

/// Waits until nothing is found any more.
fn wait_until_well(place: &Place, state_dir: &str) {
    wait_for("nothing to be found", || {
        let answer = doctor(place, state_dir);
        (answer.code == 0).then_some(())
    });
}

#[test]
fn nothing_is_found_of_a_healthy_pair() {
    let place = Place::new();
    let (_primary, _standby, _) = healthy(&place);
    for state_dir in [PRIMARY_STATE, STANDBY_STATE] {
        wait_until_well(&place, state_dir);
        let begun = Instant::now();
        let answer = doctor(&place, state_dir);
        let took = begun.elapsed();
        assert_eq!(
            (answer.code, &answer.json()["findings"]),
            (0, &Value::Array(Vec::new())),
            "{answer:?}"
        );
        assert!(took < Duration::from_secs(5), "{took:?}");
        println!("doctor_ms {} ({state_dir})", took.as_millis());
    }
    let shown = place.run(&["doctor", "--state-dir", STANDBY_STATE]);
    assert!(
        shown.stdout.starts_with("Standby: in sync with the primary"),
        "{shown:?}"
    );
    assert!(shown.stdout.contains("checks, no finding"), "{shown:?}");
}

#[test]
fn another_token_is_found_and_the_primarys_mends_it() {
    let place = Place::new();
    let (_primary, _standby, _) = healthy(&place);
    let token = fs::read_to_string(place.path(&format!("primary/{TOKEN}"))).expect("a token");
    place.file(&format!("standby/{TOKEN}"), "user = another one\n", NOBODY);
    let answer = wait_for("the other token to be found", || {
        let answer = doctor(&place, STANDBY_STATE);
        (!found(&answer, "token").is_empty()).then_some(answer)
    });
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(!answer.stdout.contains("another one"), "{answer:?}");
    place.file(&format!("standby/{TOKEN}"), &token, NOBODY);
    wait_until_well(&place, STANDBY_STATE);
}

#[test]
fn what_is_found_of_files_is_mended_by_what_is_said_to_type() {
    let place = Place::new();
    let (_primary, _standby, _) = healthy(&place);
    let cipher = place.path("standby/config/cipher.aes");
    fs::set_permissions(&cipher, fs::Permissions::from_mode(0o604)).expect("mode");
    let config = place.path("standby/config/cruise-config.xml");
    if is_root() {
        std::os::unix::fs::chown(&config, Some(0), Some(0)).expect("root may");
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("mode");
    }
    let answer = doctor(&place, STANDBY_STATE);
    assert_eq!(found(&answer, "secret-files").len(), 1, "{answer:?}");
    assert_eq!(
        found(&answer, "synced-files").len(),
        usize::from(is_root()),
        "{answer:?}"
    );
    for finding in [found(&answer, "secret-files"), found(&answer, "synced-files")].concat() {
        for command in finding["commands"].as_array().expect("a list") {
            let command = command.as_str().expect("a text");
            let done = Command::new("sh").args(["-c", command]).status().expect("a shell");
            assert!(done.success(), "{command}");
        }
    }
    wait_until_well(&place, STANDBY_STATE);
}

#[test]
fn a_file_that_the_configuration_names_is_compared_on_both_nodes_by_digest() {
    const NAMED: &str = "config/password.properties";
    let place = Place::new();
    let (_primary, _standby, _) = healthy(&place);
    let write = |node: &str, text: &str| place.file(&format!("{node}/{NAMED}"), text, NOBODY);
    write("primary", "admin=of-this-year\n");
    write("standby", "admin=of-last-year\n");
    for state_dir in [PRIMARY_STATE, STANDBY_STATE] {
        let answer = wait_for("the other file to be found", || {
            let answer = doctor(&place, state_dir);
            (!found(&answer, "named-files").is_empty()).then_some(answer)
        });
        let seen = found(&answer, "named-files")[0]["seen"].to_string();
        assert!(
            seen.contains("password.properties (PasswordFilePath) is another one at https://"),
            "{seen}"
        );
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(!answer.stdout.contains("-year"), "{answer:?}");
    }
    fs::remove_file(place.path(&format!("standby/{NAMED}"))).expect("remove");
    for (state_dir, what) in [
        (PRIMARY_STATE, "is not at https://"),
        (STANDBY_STATE, "is not on this server"),
    ] {
        wait_for("the missing file to be found", || {
            let answer = doctor(&place, state_dir);
            let found = found(&answer, "named-files");
            let is_said = |finding: &Value| finding["seen"].as_str().is_some_and(|seen| seen.contains(what));
            (found.len() == 1 && is_said(&found[0])).then_some(())
        });
    }
    write("standby", "admin=of-this-year\n");
    wait_until_well(&place, STANDBY_STATE);
    wait_until_well(&place, PRIMARY_STATE);
}

#[test]
fn where_nobody_answers_it_is_said_in_time_and_nothing_is_well() {
    let place = Place::new();
    let (primary, standby, _) = healthy(&place);
    let stop = |node: &Foreground, signal| {
        let id = i32::try_from(node.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).expect("it runs");
    };
    // The primary takes connections and says nothing.
    stop(&primary, Signal::SIGSTOP);
    let begun = Instant::now();
    let answer = doctor(&place, STANDBY_STATE);
    println!("doctor_ms {} (the primary is frozen)", begun.elapsed().as_millis());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(answer.code, 2, "{answer:?}");
    assert_eq!(found(&answer, "other-node")[0]["level"], "CRITICAL", "{answer:?}");
    for check in ["token", "gocd-version", "plugin-version"] {
        assert_eq!(found(&answer, check)[0]["level"], "UNKNOWN", "{check}: {answer:?}");
    }
    // So does the node here.
    stop(&standby, Signal::SIGSTOP);
    let begun = Instant::now();
    let answer = doctor(&place, STANDBY_STATE);
    println!("doctor_ms {} (both are frozen)", begun.elapsed().as_millis());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(found(&answer, "node-answers")[0]["level"], "UNKNOWN", "{answer:?}");
    assert_eq!(answer.code, 3, "{answer:?}");
    stop(&primary, Signal::SIGCONT);
    stop(&standby, Signal::SIGCONT);
    wait_until_well(&place, STANDBY_STATE);
}

#[test]
fn each_check_is_explained_and_none_other() {
    let place = Place::new();
    let list = place.run(&["explain"]);
    assert_eq!(list.code, 0, "{list:?}");
    for line in list.stdout.lines() {
        let mut words = line.split_whitespace();
        for name in [words.next(), words.next()].map(|word| word.expect("number and name")) {
            let page = place.run(&["explain", name]);
            assert_eq!(page.code, 0, "{page:?}");
            assert!(page.stdout.contains("What to type"), "{page:?}");
        }
    }
    assert_eq!(place.run(&["explain", "everything"]).code, 64);
}
