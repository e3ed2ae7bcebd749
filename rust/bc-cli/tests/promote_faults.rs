//! `gocd-bc promote` where something else goes wrong: the primary is frozen, the database crashes, two give the order, whoever
//! gave it is gone; and each way to promote the database, or none.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bc_testkit::postgres::{DATABASE, PASSWORD, Postgres, USER};
use four::{Four, promote_in, rows_of};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pair::{
    Foreground, PRIMARY_STATE, STANDBY_STATE, fenced, knows_its_standby, on_one_database, pair_with, primary_in,
    status, wait_for,
};
use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/four.rs"]
mod four;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// A standby with this misses its primary within seconds.
const MISSED: &str = "primary.server.connection.timeout=2000";
/// How long after it can know a replaced primary may run.
const FENCED_WITHIN: Duration = Duration::from_secs(15);

fn signal(node: &Foreground, signal: Signal) {
    kill(
        Pid::from_raw(i32::try_from(node.id()).expect("process ids are small")),
        signal,
    )
    .expect("it runs");
}

/// Waits until the journal of the standby says that a step has begun.
fn until_begun(place: &Place, step: &str) {
    let (journal, begun) = (
        place.path(STANDBY_STATE).join("promotion.json"),
        format!("\"step\":\"{step}\""),
    );
    wait_for(&format!("{step} to begin"), || {
        fs::read_to_string(&journal).ok()?.contains(&begun).then_some(())
    });
}

#[test]
fn a_primary_that_was_frozen_while_it_was_replaced_asks_first_when_it_wakes() {
    // It keeps its port when it is promoted.
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("bound");
    let mut four = Four::of(15, &[MISSED, &format!("bc.listen={port}")]);
    four.write(10);
    four.until_known();
    knows_its_standby(&four.place);
    let frozen = four.primary.take().expect("it runs");
    signal(&frozen, Signal::SIGSTOP);
    wait_for("the standby to miss it", || {
        (four.standby()["primary"]["connected"] == false).then_some(())
    });
    let promoted = four.promote(&["--yes"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");

    signal(&frozen, Signal::SIGCONT);
    let woken = Instant::now();
    fenced(&four.place, "primary");
    println!("fenced_ms {} after it woke", woken.elapsed().as_millis());
    assert!(woken.elapsed() < FENCED_WITHIN, "{:?}", woken.elapsed());
    let (_, log) = frozen.end();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(at("stood still for a while") < at("GoCD ends here now"), "{log}");
}

#[test]
fn a_promotion_by_a_command_goes_on_whoever_is_killed_meanwhile_and_two_orders_are_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let [script, go, said] = ["promote", "go", "said"].map(|name| folder.path().join(name));
    let setting = format!("bc.db.promote=command:sh {}", script.display());
    let mut four = Four::of(15, &[&setting]);
    // It is told the epoch that has begun.
    let promote = format!(
        "while [ ! -e {} ]; do sleep 0.1; done; echo $GOCD_BC_EPOCH > {}; PGPASSWORD='{PASSWORD}' {}/psql -X -h 127.0.0.1 -p {} \
         -U {USER} -d {DATABASE} -c 'select pg_promote(false)' > {} 2>&1",
        go.display(),
        folder.path().join("epoch").display(),
        four.copy.programs().display(),
        four.copy.port(),
        said.display()
    );
    fs::write(&script, promote).expect("written");
    four.write(500);
    let rows = rows_of(&four.written);
    four.until_known();
    four.lose_the_primary();
    let mut order = four.place.command(&["promote", "--yes", "--state-dir", STANDBY_STATE]);
    let mut order = order
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    until_begun(&four.place, "promote-database");
    order.kill().expect("it runs");
    order.wait().expect("it ends");
    let second = four.promote(&["--yes"]);
    assert!(
        second.code == 1 && second.stderr.contains("a promotion is already running"),
        "{second:?}"
    );
    four.copy.crash();
    four.copy.start();
    fs::write(&go, "").expect("written");
    let after = wait_for("the promotion to end", || {
        let status = four.standby();
        status["promotion"]["outcome"].is_string().then_some(status)
    });
    let said = fs::read_to_string(said).unwrap_or_default();
    assert_eq!(after["promotion"]["outcome"], "complete", "{said}: {after:#}");
    assert_eq!(fs::read_to_string(folder.path().join("epoch")).expect("told"), "2\n");
    assert_eq!(
        (
            four.copy.sql("select pg_is_in_recovery()").as_str(),
            rows_of(&four.copy)
        ),
        ("f", rows)
    );
    wait_for("it runs", || (four.standby()["phase"] == "running").then_some(()));
    let again = four.promote(&["--yes"]);
    assert!(again.code == 1 && again.stderr.contains("is a primary"), "{again:?}");
}

#[test]
fn whoever_promotes_the_database_is_waited_for_where_that_is_asked_for() {
    let mut four = Four::of(15, &["bc.db.promote=wait"]);
    four.write(500);
    let rows = rows_of(&four.written);
    four.until_known();
    four.lose_the_primary();
    let first = thread::scope(|scope| {
        let place = &four.place;
        let ordered = scope.spawn(move || promote_in(place, &["--yes"]));
        until_begun(place, "promote-database");
        four.copy.crash();
        four.copy.start();
        assert_eq!(four.standby()["role"], "standby", "GoCD waits as well");
        four.copy.promote();
        ordered.join().expect("no panic")
    });
    // It crashed before the node had looked at it, or after that.
    let promoted = match first.code {
        0 => first,
        _ => {
            assert!(first.stderr.contains("which goes on from there"), "{first:?}");
            wait_for("the node to see that it is promoted", || {
                (four.standby()["database"]["servers"][0]["role"] == "primary").then_some(())
            });
            four.promote(&["--yes"])
        }
    };
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert_eq!(rows_of(&four.copy), rows);
}

#[test]
fn on_one_shared_database_the_lock_refuses_a_promotion_and_the_row_fences_the_former_primary() {
    let place = Place::new();
    let server = Postgres::primary();
    on_one_database(&place, &server.properties());
    let settings = ["bc.db.promote=none", "bc.guard.wait=1000", MISSED];
    let settings = settings.map(|setting| ["--property", setting]).concat();
    let (first, _following, address) = pair_with(&place, &settings);
    let row = || server.try_sql(DATABASE, "select number from gocd_business_continuity.epoch");
    wait_for("the primary to claim it", || {
        (row().as_deref() == Ok("1")).then_some(())
    });
    signal(&first, Signal::SIGSTOP);
    wait_for("the standby to miss it", || {
        (status(&place, "standby")["primary"]["connected"] == false).then_some(())
    });
    let refused = promote_in(&place, &["--yes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("has the primary's lock"),
        "{refused:?}"
    );
    drop(first);
    let promoted = promote_in(&place, &["--yes"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    wait_for("the new primary to claim it", || {
        (row().as_deref() == Ok("2")).then_some(())
    });
    // Nobody tells it but the database.
    drop(fs::remove_file(place.path(PRIMARY_STATE).join("known-peers.json")));
    let _again = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
}

#[test]
fn a_server_with_h2_is_promoted_without_its_database_alone() {
    let place = Place::new();
    let (first, _following, _) = pair_with(&place, &["--property", "bc.db.watch="]);
    wait_for("the standby to know that it has H2", || {
        status(&place, "standby")["database"]["not_covered"].as_str().map(drop)
    });
    first.end();
    let refused = promote_in(&place, &["--yes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("H2") && refused.stderr.contains("--without-database"),
        "{refused:?}"
    );
    let promoted = promote_in(&place, &["--without-database"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
}
