//! Whole nodes without a JVM: `gocd-bc primary` and `gocd-bc standby`, and what the command says to them.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pair::{
    CONFIG, PRIMARY_STATE, STANDBY_STATE, config, gocd, key_of_primary, pair, primary, promote, status, wait_for,
};
use serde_json::Value;
use support::{NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
mod support;

/// glibc takes it from the environment of a program alone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_node_has_one_heap_unless_somebody_says_otherwise() {
    let place = Place::new();
    gocd(&place, "primary");
    let run = |given: Option<&str>| {
        let words = ["primary", "--working-dir", "primary", "--listen", "127.0.0.1:0"];
        let mut command = place.command(&words);
        command.env_remove("GLIBC_TUNABLES");
        if let Some(given) = given {
            command.env("GLIBC_TUNABLES", given);
        }
        let mut node = command.spawn().expect("the command starts");
        wait_for("it runs", || {
            (status(&place, "primary")["phase"] == "running").then_some(())
        });
        let of_process = |what: &str| {
            let bytes = fs::read(format!("/proc/{}/{what}", node.id())).expect("it runs");
            String::from_utf8(bytes).expect("text")
        };
        let words_now: Vec<String> = of_process("cmdline").split('\0').map(str::to_owned).collect();
        assert_eq!(words_now[1..=words.len()], words, "it was started with the same words");
        assert_eq!(of_process("comm"), "gocd-bc\n");
        let environment = of_process("environ");
        let id = i32::try_from(node.id()).expect("process ids are small");
        kill(Pid::from_raw(id), Signal::SIGTERM).expect("it runs");
        assert!(node.wait().expect("it ends").success());
        let value = environment
            .split('\0')
            .find_map(|line| line.strip_prefix("GLIBC_TUNABLES="));
        value.map(str::to_owned)
    };
    // glibc cuts the text up where it reads it.
    let own = run(None).expect("it is set");
    assert!(own.starts_with("glibc.malloc.arena_max=1"), "{own}");
    assert_eq!(
        run(Some("glibc.malloc.arena_max=2")).as_deref(),
        Some("glibc.malloc.arena_max=2")
    );
}

#[test]
fn a_standby_follows_and_is_promoted() {
    let place = Place::new();
    let (primary, standby, _) = pair(&place);
    let key = key_of_primary(&place);
    if is_root() {
        let made = fs::metadata(place.path("primary/db/business-continuity/identity.pem")).expect("stat");
        assert_eq!(made.uid(), NOBODY, "the node runs as the owner of the configuration");
    }
    assert_eq!(config(&place, "standby"), config(&place, "primary"));

    let state = ["--state-dir", PRIMARY_STATE];
    let order = [&["trust", &key], &state[..]].concat();
    let of_owner = if is_root() {
        place.run_as(NOBODY, &order)
    } else {
        place.run(&order)
    };
    assert_eq!(of_owner.code, 1, "{of_owner:?}");
    assert!(
        of_owner
            .stderr
            .contains("the user that GoCD runs as may not give orders"),
        "{of_owner:?}"
    );
    if is_root() {
        assert_eq!(place.run(&order).code, 0);
    }

    let synced = place.run(&["sync", "--state-dir", STANDBY_STATE]);
    assert_eq!(synced.code, 0, "{synced:?}");
    assert!(
        synced.stdout.starts_with("in sync with the primary: sequence 1 "),
        "{synced:?}"
    );

    let kept = || {
        place
            .run(&["generations", "list", "--json", "--state-dir", STANDBY_STATE])
            .json()
    };
    assert_eq!(
        (&kept()[0]["is_applied"], &kept()[0]["sequence"]),
        (&true.into(), &1.into())
    );
    let shown = place.run(&["generations", "show", "#1", "--state-dir", STANDBY_STATE]);
    assert!(shown.stdout.contains("cruise-config.xml"), "{shown:?}");

    let (code, log) = primary.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(" INFO  asked to end"), "{log}");
    let promoted = promote(&place);
    assert!(
        promoted.stderr.contains("the last pull failed, going on"),
        "the primary is gone: {promoted:?}"
    );
    assert!(promoted.stdout.contains("goes on as the primary"), "{promoted:?}");
    let after = status(&place, "standby");
    assert_eq!(
        (&after["role"], &after["phase"]),
        (&"primary".into(), &"running".into())
    );
    assert_eq!(after["epoch"]["number"], 2, "a promotion begins an epoch");
    let sequence = after["generation"]["sequence"].as_u64();
    assert!(sequence.is_some_and(|sequence| sequence >= 1), "{after}");
    assert!(
        promoted.stderr.contains("GoCD starts on 3 verified files"),
        "{promoted:?}"
    );
    let still = kept();
    assert_eq!(
        still.as_array().map(Vec::len),
        Some(1),
        "what it kept stays after a promotion: {still}"
    );
    assert_eq!(still[0]["is_applied"], false, "what is live now is its own");
    let dropped = place.run(&["generations", "drop", "--all", "--state-dir", STANDBY_STATE]);
    assert_eq!(dropped.code, 0, "{dropped:?}");
    assert_eq!(kept(), Value::Array(Vec::new()));
    let (code, log) = standby.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_restored_snapshot_of_the_primary_overwrites_nothing_until_it_is_accepted() {
    let place = Place::new();
    let (first, _standby, address) = pair(&place);
    let before = config(&place, "primary");
    first.end();
    copy(&place.path("primary"), &place.path("snapshot"));

    let second = primary(&place, &address);
    let newer = before.replace("<cruise", "<!-- newer --><cruise");
    place.file(&format!("primary/{CONFIG}"), &newer, NOBODY);
    wait_for("the newer configuration is live", || {
        (config(&place, "standby") == newer).then_some(())
    });
    second.end();
    fs::remove_dir_all(place.path("primary")).expect("remove");
    copy(&place.path("snapshot"), &place.path("primary"));

    let _restored = primary(&place, &address);
    let refusal = wait_for("a refusal", || {
        status(&place, "standby")["sync"]["refusal"]["message"]
            .as_str()
            .map(str::to_owned)
    });
    assert!(refusal.contains("went back in time"), "{refusal}");
    // Its history is another one, however far it goes on.
    for number in 0..3 {
        let other = before.replace("<cruise", &format!("<!-- other {number} --><cruise"));
        place.file(&format!("primary/{CONFIG}"), &other, NOBODY);
        wait_for("the primary offers it", || {
            (status(&place, "primary")["generation"]["sequence"].as_u64()? > number + 1).then_some(())
        });
        let refused = place.run(&["sync", "--state-dir", STANDBY_STATE]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("gocd-bc sync --accept-rollback"), "{refused:?}");
        assert_eq!(config(&place, "standby"), newer);
    }
    assert_eq!(place.run(&["status", "--state-dir", STANDBY_STATE]).code, 1);
    let accepted = place.run(&["sync", "--accept-rollback", "--state-dir", STANDBY_STATE]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(config(&place, "standby"), config(&place, "primary"));
}

/// Copies a folder with owners and modes.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(done.success());
}

#[test]
fn wrong_settings_are_told_together() {
    let place = Place::new();
    gocd(&place, "standby");
    let answer = place.run(&["standby", "--working-dir", "standby", "--listen", "nowhere"]);
    assert_eq!(answer.code, 64, "{answer:?}");
    assert!(
        answer.stderr.contains("bc.listen") && answer.stderr.contains("bc.primary.url"),
        "{answer:?}"
    );
}
