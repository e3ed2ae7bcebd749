//! `gocd-bc promote` with the database, beside real pairs of PostgreSQL.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bc_testkit::postgres::for_majors;
use four::{Four, Wish, ordered_in, promote_in, rows_of};
use pair::{STANDBY_STATE, primary, wait_for};
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/four.rs"]
mod four;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// Longest time from the decision to the release, on a machine that has other work: 5 s are meant where it has none.
const RELEASED_WITHIN_MS: i64 = 20_000;

/// When a step of the last promotion began, and how long it took.
fn step(status: &Value, name: &str) -> (i64, i64) {
    let steps = status["promotion"]["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["step"] == name);
    let step = step.unwrap_or_else(|| panic!("{name}: {status:#}"));
    let number = |key: &str| {
        step[key]
            .as_i64()
            .unwrap_or_else(|| panic!("{key} of {name}: {status:#}"))
    };
    (number("began_ms"), number("took_ms"))
}

/// A folder that everybody writes to.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    folder
}

#[test]
fn one_command_promotes_database_and_server_and_loses_nothing() {
    let took = for_majors(&[11, 15, 18], |major| {
        let folder = open_folder();
        let trigger = folder.path().join("promote").display().to_string();
        let setting = format!("bc.db.promote=trigger:{trigger}");
        let (recovery, settings) = match major {
            11 => (vec![("trigger_file", trigger.as_str())], vec![setting.as_str()]),
            _ => Default::default(),
        };
        let mut four = Four::with(
            major,
            &Wish {
                recovery: &recovery,
                settings: &settings,
                is_not_granted: false,
            },
        );
        four.write(1000);
        let rows = rows_of(&four.written);
        four.until_known();
        four.lose_the_primary();
        let dry = four.promote(&["--dry-run"]);
        assert_eq!(dry.code, 0, "{dry:?}");
        let how = if major == 11 { trigger.as_str() } else { "pg_promote()" };
        assert!(
            dry.stdout.contains("promoted by ") && dry.stdout.contains(how),
            "{dry:?}"
        );
        assert_eq!(four.standby()["role"], "standby", "a dry run changes nothing");
        let promoted = four.promote(&["--yes"]);
        assert_eq!(promoted.code, 0, "{promoted:?}");
        assert_eq!(four.copy.sql("select pg_is_in_recovery()"), "f");
        assert_eq!(rows_of(&four.copy), rows);
        let after = four.standby();
        assert_eq!(
            (&after["role"], &after["epoch"]["number"]),
            (&"primary".into(), &2.into())
        );
        assert_eq!(after["promotion"]["outcome"], "complete", "{after:#}");
        assert_eq!(after["promotion"]["timeline"], 2);
        let took = step(&after, "release").0 - step(&after, "preflight").0;
        assert!(took < RELEASED_WITHIN_MS, "{after:#}");
        // It is nobody's order any more.
        let again = four.promote(&["--yes"]);
        assert!(again.code == 1 && again.stderr.contains("is a primary"), "{again:?}");
        let shown = four.place.run(&["status", "--state-dir", STANDBY_STATE]);
        assert!(
            shown.stdout.contains("promoted") && shown.stdout.contains("complete, "),
            "{shown:?}"
        );
        took
    });
    println!("decision to release: {took:?} ms on 11 (trigger file), 15 and 18");
}

#[test]
fn without_a_grant_a_trigger_file_that_may_be_made_does_and_else_it_is_said_what_to_type() {
    let folder = open_folder();
    let trigger = folder.path().join("promote").display().to_string();
    let mut four = Four::with(
        15,
        &Wish {
            recovery: &[("promote_trigger_file", &trigger)],
            is_not_granted: true,
            ..Wish::default()
        },
    );
    four.lose_the_primary();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    four.is_refused("grant execute on function pg_promote(boolean,integer) to gocd");
    four.is_refused(&format!("touch {trigger}"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let promoted = four.promote(&["--yes"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert!(
        promoted.stderr.contains(&format!("by the trigger file {trigger}")),
        "{promoted:?}"
    );
    assert_eq!(four.copy.sql("select pg_is_in_recovery()"), "f");
}

#[test]
fn what_speaks_against_a_promotion_refuses_it_and_says_how_to_go_on() {
    let mut four = Four::of(15, &["bc.promote.max.lag=1, 3600 s"]);
    four.is_refused("answers as the primary");
    four.is_refused("demote --handover` there first");

    // More than may be lost: nothing comes any more, and the primary writes on.
    four.copy.sql("alter system set primary_conninfo = ''");
    four.copy.sql("select pg_reload_conf()");
    wait_for("nobody to receive", || {
        (four.copy.sql("select count(*) from pg_stat_wal_receiver") == "0").then_some(())
    });
    four.write(1000);
    wait_for("the loss to be known", || {
        four.standby()["database"]["loss_bytes"]
            .as_u64()
            .filter(|bytes| *bytes > 1)
    });
    four.lose_the_primary();
    four.is_refused("bc.promote.max.lag");
    four.is_refused("--accept-loss");

    four.copy.pause_replay(true);
    wait_for("the pause to be seen", || {
        (four.standby()["database"]["following"] == "paused").then_some(())
    });
    four.is_refused("is paused");
    four.copy.pause_replay(false);
    wait_for("it to go on", || {
        (four.standby()["database"]["following"] != "paused").then_some(())
    });

    four.copy.stop();
    wait_for("nobody to answer", || {
        four.standby()["database"]["servers"][0]["role"].is_null().then_some(())
    });
    four.is_refused("cannot be reached");
    four.copy.start();
    wait_for("it to answer", || {
        (four.standby()["database"]["servers"][0]["role"] == "standby").then_some(())
    });

    let accepted = four.promote(&["--yes", "--accept-loss"]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(
        accepted.stderr.contains("of the database's log"),
        "it says what is lost: {accepted:?}"
    );
    assert_eq!(rows_of(&four.copy), "1");
}

#[test]
fn a_database_that_somebody_else_promoted_is_no_standby() {
    let mut four = Four::of(15, &[]);
    four.lose_the_primary();
    four.copy.promote();
    wait_for("it to be seen", || {
        (four.standby()["database"]["servers"][0]["role"] == "primary").then_some(())
    });
    four.is_refused("`gocd-bc promote --without-database`");
    let promoted = four.promote(&["--without-database"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert_eq!(four.standby()["promotion"]["with_database"], false);
}

#[test]
fn what_was_received_is_replayed_before_the_database_is_promoted() {
    let mut four = Four::with(
        15,
        &Wish {
            recovery: &[("recovery_min_apply_delay", "6s")],
            ..Wish::default()
        },
    );
    four.write(1000);
    let rows = rows_of(&four.written);
    four.until_known();
    four.lose_the_primary();
    let early = four.promote(&["--yes", "--replay-wait", "0"]);
    assert_eq!(early.code, 1, "{early:?}");
    assert!(early.stderr.contains("Nothing was changed"), "{early:?}");
    assert_eq!(four.standby()["epoch"]["number"], 1);
    let promoted = four.promote(&["--yes"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert_eq!(rows_of(&four.copy), rows);
    let (_, waited) = step(&four.standby(), "replay-database");
    println!("replayed after {waited} ms");
}

#[test]
fn the_same_command_goes_on_after_the_node_was_killed_in_any_step() {
    let steps = [
        "preflight",
        "make-whole",
        "begin-epoch",
        "promote-database",
        "checkpoint",
        "record-role",
    ];
    for killed_in in steps {
        let mut four = Four::of(15, &[]);
        four.write(500);
        let rows = rows_of(&four.written);
        four.until_known();
        four.lose_the_primary();
        let journal = four.place.path(STANDBY_STATE).join("promotion.json");
        thread::scope(|scope| {
            let place = &four.place;
            let ordered = scope.spawn(move || ordered_in(place));
            until_begun(&journal, killed_in);
            drop(four.standby.take());
            ordered.join().expect("no panic");
        });
        four.kill_and_start_the_standby();
        let left = four.standby();
        println!(
            "killed in {killed_in}, it came to {}",
            left["promotion"]["steps"].as_array().expect("some").len()
        );
        if left["role"] == "standby" {
            if four.copy.sql("select pg_is_in_recovery()") == "f" {
                let problems = left["problems"].to_string();
                assert!(problems.contains("goes on from there"), "{killed_in}: {problems}");
                let aborted = four.promote(&["--abort"]);
                assert!(
                    aborted.code == 1 && aborted.stderr.contains("is not undone"),
                    "{aborted:?}"
                );
            }
            // Nobody told it since it was started where the primary's was.
            let again = four.promote(&["--yes", "--accept-loss"]);
            assert_eq!(again.code, 0, "{killed_in}: {again:?}\n{left:#}");
        }
        wait_for("it is the primary", || {
            (four.standby()["phase"] == "running").then_some(())
        });
        let after = four.standby();
        assert_eq!(after["role"], "primary", "{killed_in}");
        assert!(
            !after["problems"].to_string().contains("goes on from there"),
            "{after:#}"
        );
        assert_eq!(four.copy.sql("select pg_is_in_recovery()"), "f", "{killed_in}");
        assert_eq!(rows_of(&four.copy), rows, "{killed_in}");
    }
}

/// Waits until the journal says that a step has begun.
fn until_begun(journal: &Path, step: &str) {
    let begun = format!("\"step\":\"{step}\"");
    let start = Instant::now();
    while !fs::read_to_string(journal).is_ok_and(|text| text.contains(&begun)) {
        assert!(start.elapsed() < Duration::from_secs(60), "{step} never began");
        thread::yield_now();
    }
}

#[test]
fn a_promotion_that_was_cut_before_it_touched_the_database_is_undone_and_the_primary_followed() {
    let mut four = Four::with(
        15,
        &Wish {
            recovery: &[("recovery_min_apply_delay", "1h")],
            ..Wish::default()
        },
    );
    four.write(10);
    four.until_known();
    four.lose_its_node();
    let journal = four.place.path(STANDBY_STATE).join("promotion.json");
    thread::scope(|scope| {
        let place = &four.place;
        let ordered = scope.spawn(move || ordered_in(place));
        until_begun(&journal, "replay-database");
        let second = promote_in(place, &["--yes"]);
        assert!(
            second.code == 1 && second.stderr.contains("a promotion is already running"),
            "of two operators one is refused: {second:?}"
        );
        drop(four.standby.take());
        ordered.join().expect("no panic");
    });
    four.kill_and_start_the_standby();
    assert!(four.standby()["promotion"]["outcome"].is_null(), "it was broken off");
    let aborted = four.promote(&["--abort"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    assert_eq!(four.standby()["promotion"]["outcome"], "aborted");
    let again = four.promote(&["--abort"]);
    assert_eq!(again.code, 0, "it is undone still: {again:?}");
    let address = four.url.trim_start_matches("https://").to_owned();
    four.primary = Some(primary(&four.place, &address));
    wait_for("it follows on", || {
        (four.standby()["sync"]["in_sync"] == true).then_some(())
    });
    assert_eq!(four.copy.sql("select pg_is_in_recovery()"), "t");
}

#[test]
fn the_hook_is_run_after_the_release_with_what_it_needs() {
    let folder = open_folder();
    let said = folder.path().join("said");
    let hook = format!(
        "bc.promote.hook=echo \"$GOCD_BC_ROLE $GOCD_BC_EPOCH $GOCD_BC_NODE\" >> {}",
        said.display()
    );
    let mut four = Four::of(15, &[&hook]);
    four.lose_the_primary();
    let promoted = four.promote(&["--yes"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    let line = wait_for("the hook to have run", || {
        let text = fs::read_to_string(&said).ok().filter(|text| text.ends_with('\n'));
        text.filter(|_| four.standby()["promotion"]["hook"].is_string())
    });
    let node = four.standby()["node_id"].as_str().expect("an id").to_owned();
    assert_eq!(line, format!("primary 2 {node}\n"));
    four.kill_and_start_the_standby();
    wait_for("it runs again", || (four.standby()["phase"] == "running").then_some(()));
    assert_eq!(four.standby()["promotion"]["hook_is_due"], false);
    assert_eq!(fs::read_to_string(&said).expect("there"), line, "once");
}
