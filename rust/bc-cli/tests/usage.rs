//! The command line itself: help, wrong use, and manners towards pipes.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, io::Read, process::Stdio};

use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The help of every command, in one file: what scripts and people rely on does not change by accident.
#[test]
fn help_is_what_the_file_says() {
    let place = Place::new();
    let commands: &[&[&str]] = &[
        &[],
        &["status"],
        &["doctor"],
        &["explain"],
        &["token"],
        &["token", "generate"],
        &["token", "check"],
        &["identity", "show"],
        &["identity", "rotate"],
        &["trust"],
        &["sync"],
        &["verify"],
        &["generations", "list"],
        &["generations", "show"],
        &["generations", "diff"],
        &["generations", "drop"],
        &["generations", "restore"],
        &["setup"],
        &["setup", "database-primary"],
        &["setup", "database-standby"],
        &["setup", "primary"],
        &["setup", "standby"],
        &["promote"],
        &["demote"],
        &["acknowledge"],
        &["landing"],
        &["history"],
        &["guard"],
        &["guard", "ignore"],
        &["primary"],
        &["standby"],
        &["completions"],
    ];
    let mut text = String::new();
    for command in commands {
        let answer = place.run(&[*command, &["--help"]].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(answer.stderr, "");
        text.push_str(&format!(
            "==== {} ====\n{}\n",
            [&["gocd-bc"], *command].concat().join(" "),
            answer.stdout
        ));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");
    if std::env::var_os("BC_UPDATE").is_some() {
        fs::write(file, &text).expect("write");
    }
    let expected = fs::read_to_string(file).expect("the file is in the repository");
    assert!(
        text == expected,
        "help has changed; if on purpose, run with BC_UPDATE=1. It is now:\n{text}"
    );
}

#[test]
fn the_version_is_the_products() {
    let answer = Place::new().run(&["--version"]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (0, concat!("gocd-bc ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn wrong_use_ends_with_64() {
    let place = Place::new();
    let wrong: [&[&str]; 9] = [
        &[],
        &["dance"],
        &["status", "--jason"],
        &["trust", "abc"],
        &["trust", "--remove"],
        &["promote", "--wait", "long"],
        &["standby", "--property", "novalue"],
        &["completions", "dosh"],
        &["status", "--state-dir"],
    ];
    for arguments in wrong {
        let answer = place.run(arguments);
        assert_eq!(answer.code, 64, "{arguments:?}: {answer:?}");
        assert_eq!(answer.stdout, "", "{arguments:?}");
        assert!(!answer.stderr.is_empty(), "{arguments:?}");
    }
    let answer = place.run(&["trust", "abc"]);
    assert!(answer.stderr.contains("SHA-256 fingerprint"), "{answer:?}");
}

#[test]
fn no_node_is_unknown_to_monitoring_and_wrong_use_to_the_rest() {
    let place = Place::new();
    for (arguments, code) in [
        (&["status"][..], 3),
        (&["status", "--json"], 3),
        (&["identity", "show"], 64),
        (&["promote", "--without-database"], 64),
    ] {
        let answer = place.run(&[arguments, &["--state-dir", "nowhere"]].concat());
        assert_eq!(answer.code, code, "{arguments:?}: {answer:?}");
        assert!(
            answer.stderr.starts_with("error: there is no node in nowhere"),
            "{answer:?}"
        );
        assert!(answer.stderr.contains("\n\nhint: "), "{answer:?}");
    }
    let mut by_environment = place.command(&["status"]);
    let output = by_environment
        .env("BC_STATE_DIR", "elsewhere")
        .output()
        .expect("the command starts");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no node in elsewhere"),
        "{output:?}"
    );
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = Place::new()
        .command(&["completions", "bash"])
        .stdout(full)
        .output()
        .expect("the command starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"),
        "{output:?}"
    );
}
