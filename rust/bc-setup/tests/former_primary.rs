//! A former primary comes back, on real servers: by itself, rewound, or copied anew.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "tests arrange files")]

use std::{fs, path::PathBuf, time::Duration};

use bc_core::{
    basics::{Error, Kind},
    database::url::{Server, TlsMode},
};
use bc_setup::{
    cluster::Which,
    console::Console,
    database_standby::{Wish, reseed},
};
use bc_testkit::{
    postgres::{self, Postgres},
    wait::until,
};

const ROLE: &str = "gocd_replication";
const ROLES_PASSWORD: &str = "the password of the one who replicates";
const SLOT: &str = "gocd_bc";
const LONG: Duration = Duration::from_secs(120);

/// Keeps what it is told.
#[derive(Default)]
struct Heard(String);

impl Console for Heard {
    fn show(&mut self, text: &str) -> Result<(), Error> {
        self.0.push_str(text);
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn progress(&mut self, _: &str, _: u64, _: Option<u64>) {}

    fn ask(&mut self, _: &str) -> Option<bool> {
        None
    }
}

/// A primary as `gocd-bc setup database-primary` leaves it, where `hints` are on.
fn primary(hints: &str) -> Postgres {
    primary_of(postgres::programs::newest_of_debian(), hints, "256MB")
}

fn primary_of(major: u32, hints: &str, kept: &str) -> Postgres {
    let primary = Postgres::primary_of(major);
    primary.sql(&format!(
        "set password_encryption = 'scram-sha-256'; create role {ROLE} replication login password '{ROLES_PASSWORD}'"
    ));
    for function in bc_core::database::reseed::FUNCTIONS_OF_REWIND {
        primary.sql(&format!("grant execute on function {function} to {ROLE}"));
    }
    primary.configure(
        "pg_hba.conf",
        &format!("host replication {ROLE} 127.0.0.1/32 scram-sha-256"),
    );
    primary.configure(
        "postgresql.conf",
        &format!("wal_log_hints = {hints}\nwal_keep_size = {kept}"),
    );
    primary.restart();
    primary.sql("create table t (who text)");
    primary
}

fn follow(old: &Postgres, new: &Postgres, writes: bool) -> (Result<(), Error>, String) {
    let file = old.path().join("password");
    fs::write(&file, ROLES_PASSWORD).expect("written");
    let wish = Wish {
        primary: Server {
            host: "127.0.0.1".to_owned(),
            port: new.port(),
        },
        cluster: Which::Data(old.data()),
        gocd: Vec::new(),
        user: ROLE.to_owned(),
        password_file: Some(file),
        slot: SLOT.to_owned(),
        tls: TlsMode::Prefer,
        root_certificates: None,
        share: None,
        trigger_file: None,
        tablespaces: Vec::new(),
        starts: true,
        anew: false,
        writes,
    };
    let mut heard = Heard::default();
    let done = reseed::run(&wish, &mut heard);
    assert!(!heard.0.contains(ROLES_PASSWORD), "{}", heard.0);
    (done, heard.0)
}

/// It does, and says this.
#[track_caller]
fn follows(old: &Postgres, new: &Postgres, says: &str) -> String {
    let (done, heard) = follow(old, new, true);
    assert_eq!(done, Ok(()), "{heard}\n{}", log(old));
    assert!(heard.contains(says), "{heard}");
    heard
}

fn log(server: &Postgres) -> String {
    fs::read_to_string(server.data().join("gocd-bc-start.log")).unwrap_or_default()
}

fn rows(server: &Postgres) -> String {
    server.sql("select string_agg(who, ' ' order by who) from t")
}

fn kept(server: &Postgres) -> Vec<PathBuf> {
    let beside = fs::read_dir(server.path())
        .expect("listed")
        .map(|entry| entry.expect("one").path());
    beside
        .filter(|path| path.display().to_string().contains(".before-gocd-bc-"))
        .collect()
}

/// What is written on the new primary arrives.
#[track_caller]
fn is_standby_of(old: &Postgres, new: &Postgres) {
    new.sql("insert into t values ('late')");
    until("the row to arrive", LONG, || rows(old).contains("late").then_some(()));
    assert_eq!(old.sql("select pg_is_in_recovery()"), "t");
    assert_eq!(
        new.sql(&format!(
            "select active from pg_replication_slots where slot_name = '{SLOT}'"
        )),
        "t"
    );
    let (done, heard) = follow(old, new, true);
    assert_eq!(done, Ok(()), "{heard}");
    assert!(heard.contains("none is needed"), "{heard}");
}

#[test]
fn one_that_was_stopped_in_order_rejoins_as_it_is() {
    let old = primary("off");
    old.sql(&format!("select pg_create_physical_replication_slot('{SLOT}', true)"));
    old.sql("select pg_create_physical_replication_slot('of_somebody', true)");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    old.stop();
    new.promote();
    new.sql("insert into t values ('new')");
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()));
    assert!(
        heard.contains("plain rejoin") && heard.contains("Nothing was changed"),
        "{heard}"
    );
    assert!(!old.data().join("standby.signal").exists());
    let heard = follows(&old, &new, "streaming from 127.0.0.1");
    assert!(heard.contains(&format!("Dropped the slot {SLOT} here")), "{heard}");
    assert!(heard.contains("pg_drop_replication_slot('of_somebody')"), "{heard}");
    assert_eq!(rows(&old), "early new");
    assert_eq!(kept(&old), Vec::<PathBuf>::new());
    is_standby_of(&old, &new);
}

#[test]
fn one_that_went_on_writing_is_rewound_and_keeps_its_own_configuration() {
    let old = primary("on");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    new.promote();
    old.sql("insert into t values ('lost')");
    new.sql("insert into t values ('new')");
    new.configure("postgresql.conf", "cluster_name = 'the other one'");
    let port = old.port().to_string();
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()));
    assert!(heard.contains("rewind") && heard.contains("runs"), "{heard}");
    assert_eq!(rows(&old), "early lost");
    follows(&old, &new, "The way is the rewind");
    assert_eq!(rows(&old), "early new");
    assert_eq!(old.sql("show port"), port);
    assert_eq!(old.sql("show cluster_name"), "");
    let [before] = &kept(&old)[..] else {
        panic!("{:?}", kept(&old));
    };
    assert!(before.join("PG_VERSION").exists());
    is_standby_of(&old, &new);
}

#[test]
fn a_promotion_without_a_checkpoint_is_not_taken_for_the_former_timeline() {
    let old = primary("on");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    // So that the checkpoint of the promotion takes its time: it waits after each page that it writes.
    old.sql("insert into t select 'early' || repeat('x', 1000) from generate_series(1, 5000)");
    until("the rows to arrive", LONG, || {
        (new.sql("select count(*) from t") == "5001").then_some(())
    });
    new.configure(
        "postgresql.conf",
        "checkpoint_completion_target = 0.9\ncheckpoint_timeout = 1d",
    );
    new.promote();
    old.sql("insert into t values ('lost')");
    old.stop();
    assert_eq!(new.sql("select timeline_id from pg_control_checkpoint()"), "1");
    // This is what an administrator is told by the program alone, up to version 15.
    let source = format!(
        "host={} port={} user=postgres dbname=postgres",
        new.path().display(),
        new.port()
    );
    let mut rewind = old.tool("pg_rewind").expect("there is one");
    rewind
        .args(["-n", "-D"])
        .arg(old.data())
        .args(["--source-server", &source]);
    let output = rewind.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && (old.major() > 15 || said.contains("no rewind required")),
        "{said}"
    );
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()), "{heard}");
    assert!(heard.contains("pg_rewind can undo them"), "{heard}");
    assert_eq!(new.sql("select timeline_id from pg_control_checkpoint()"), "2");
    follows(&old, &new, "streaming from");
    assert_eq!(old.sql("select count(*) from t where who = 'lost'"), "0");
    is_standby_of(&old, &new);
}

#[test]
fn one_that_crashed_is_rewound_too() {
    let old = primary("on");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    new.promote();
    old.sql("insert into t values ('lost')");
    old.kill();
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()), "{heard}");
    assert!(heard.contains("has a record that is not there"), "{heard}");
    follows(&old, &new, "The server was not stopped in order");
    assert_eq!(rows(&old), "early");
    is_standby_of(&old, &new);
}

#[test]
fn without_hints_all_is_copied_anew() {
    let old = primary("off");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    new.promote();
    old.sql("insert into t values ('lost')");
    old.stop();
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()));
    assert!(
        heard.contains("base backup") && heard.contains("neither checksums nor wal_log_hints"),
        "{heard}"
    );
    follows(&old, &new, "streaming from");
    assert_eq!(rows(&old), "early");
    assert_eq!(kept(&old).len(), 1);
    is_standby_of(&old, &new);
}

#[test]
fn where_the_log_is_gone_all_is_copied_anew() {
    let old = primary_of(postgres::programs::newest_of_debian(), "on", "0");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    new.promote();
    old.sql("insert into t values ('lost')");
    for _ in 0..3 {
        old.sql("select pg_switch_wal()");
        old.sql("checkpoint");
    }
    let heard = follows(&old, &new, "streaming from");
    assert!(heard.contains("its log does not reach back"), "{heard}");
    assert_eq!(rows(&old), "early");
    is_standby_of(&old, &new);
}

#[test]
fn newer_versions_are_rewound_as_well() {
    for major in [16, 18] {
        let old = primary_of(major, "on", "256MB");
        if old.tool("pg_rewind").is_none() {
            println!("skipped: there is no pg_rewind of {major} here");
            continue;
        }
        let new = Postgres::standby_of(&old);
        old.sql("insert into t values ('early')");
        until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
        new.promote();
        old.sql("insert into t values ('lost')");
        let heard = follows(&old, &new, "The way is the rewind");
        assert_eq!(rows(&old), "early", "{major}: {heard}");
        is_standby_of(&old, &new);
    }
}

#[test]
fn back_and_forth_it_comes_back_each_time() {
    let first = primary("on");
    let second = Postgres::standby_of(&first);
    let (mut old, mut new) = (&first, &second);
    for turn in 0..3 {
        old.sql(&format!("insert into t values ('{turn}')"));
        let all = (0..=turn).map(|turn| turn.to_string()).collect::<Vec<_>>().join(" ");
        let arrived =
            |server: &Postgres| server.sql("select string_agg(who, ' ' order by who) from t where who <> 'lost'");
        until("the row to arrive", LONG, || (arrived(new) == all).then_some(()));
        if turn == 1 {
            old.stop();
        }
        new.promote();
        if turn != 1 {
            old.sql("insert into t values ('lost')");
        }
        let says = if turn == 1 {
            "plain rejoin"
        } else {
            "The way is the rewind"
        };
        follows(old, new, says);
        assert_eq!(rows(old), all);
        std::mem::swap(&mut old, &mut new);
    }
    // By now the one is the primary again that was not at first.
    assert_eq!(
        old.sql("select left(pg_walfile_name(pg_current_wal_lsn()), 8)"),
        "00000004"
    );
}

#[test]
fn what_an_interrupted_run_left_is_no_hindrance() {
    let old = primary("on");
    let new = Postgres::standby_of(&old);
    old.sql("insert into t values ('early')");
    until("the row to arrive", LONG, || (rows(&new) == "early").then_some(()));
    new.promote();
    old.sql("insert into t values ('lost')");
    old.stop();
    // Half a copy, and what a crash right after the exchange of both folders leaves.
    for (name, file) in [("data.gocd-bc-partial", "half"), ("data.gocd-bc-whole", "PG_VERSION")] {
        let folder = old.folder_of(name);
        fs::write(folder.join(file), "15").expect("written");
    }
    follows(&old, &new, "streaming from");
    assert_eq!(rows(&old), "early");
    assert_eq!(kept(&old).len(), 2, "{:?}", kept(&old));
    assert!(!old.path().join("data.gocd-bc-partial").exists());
    is_standby_of(&old, &new);
}

#[test]
fn two_that_were_promoted_from_one_point_never_follow_each_other() {
    let first = primary("on");
    let (old, new) = (Postgres::standby_of(&first), Postgres::standby_of(&first));
    first.sql("insert into t values ('early')");
    for standby in [&old, &new] {
        until("the row to arrive", LONG, || (rows(standby) == "early").then_some(()));
    }
    first.stop();
    old.promote();
    new.promote();
    old.sql("checkpoint; insert into t values ('lost')");
    new.sql("checkpoint; insert into t values ('new')");
    old.stop();
    let (done, heard) = follow(&old, &new, false);
    assert_eq!(done, Ok(()), "{heard}");
    assert!(
        heard.contains("base backup: both databases wrote on a timeline of the same number"),
        "{heard}"
    );
    follows(&old, &new, "streaming from");
    assert_eq!(rows(&old), "early new");
    is_standby_of(&old, &new);
}

#[test]
fn another_cluster_a_standby_and_itself_are_refused() {
    let (old, other) = (primary("on"), primary("on"));
    let (done, _) = follow(&old, &other, true);
    let error = done.expect_err("they have nothing in common");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.message().contains("nothing in common"), "{error}");
    let (done, _) = follow(&old, &old, true);
    assert!(done.expect_err("itself").message().contains("this very server"));
    let standby = Postgres::standby_of(&old);
    let (done, _) = follow(&old, &standby, true);
    assert!(done.expect_err("a standby").message().contains("is a standby itself"));
    assert!(old.runs(), "nothing was stopped");
}
