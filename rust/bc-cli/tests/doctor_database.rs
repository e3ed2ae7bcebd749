//! The doctor on the host of a database, beside real servers of every version.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bc_testkit::{
    postgres::{DATABASE, PASSWORD, Postgres, USER, for_every_major},
    wait::until,
};
use serde_json::Value;
use support::{Answer, NOBODY, Place, is_root};

const LONG: Duration = Duration::from_secs(120);

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

fn doctor(place: &Place, server: &Postgres) -> Answer {
    let data = server.data();
    place.run(&["doctor", "--json", "--pgdata", data.to_str().expect("text")])
}

/// What is found by one check.
fn found(answer: &Answer, name: &str) -> Vec<Value> {
    let findings = answer.json()["findings"].as_array().cloned().unwrap_or_default();
    findings.into_iter().filter(|finding| finding["name"] == name).collect()
}

/// What a finding says to type into `psql`.
fn statement(finding: &Value) -> String {
    let command = finding["commands"][0].as_str().expect("a text");
    let begin = command.find('\'').expect("a statement") + 1;
    command[begin..].split('\'').next().expect("its end").to_owned()
}

#[test]
fn a_cluster_of_each_version_is_looked_into_and_mended() {
    for_every_major(|major| {
        let place = Place::new();
        let server = Postgres::primary_of(major);
        server.sql_in(
            DATABASE,
            &format!("set role {USER}; create schema gocd; create table gocd.databasechangeloglock (id int)"),
        );
        server.sql("create role rep replication login connection limit 1");
        // What every package has.
        server.rewrite(
            "pg_hba.conf",
            "local all all trust\nhost replication all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        );
        let answer = doctor(&place, &server);
        assert_eq!(answer.code, 2, "{major}: {answer:?}");
        let said = found(&answer, "followable");
        let about = |words: &str| {
            said.iter()
                .find(|finding| finding["seen"].as_str().is_some_and(|seen| seen.contains(words)))
        };
        assert!(about("lets a standby in").is_some(), "{major}: {answer:?}");
        let keeps = if major <= 12 {
            "wal_keep_segments"
        } else {
            "wal_keep_size"
        };
        assert!(about(keeps).is_some(), "{major}: {answer:?}");
        server.sql(&statement(about("may have 1 connections").expect("said")));
        for grant in found(&answer, "promote-grant") {
            server.sql_in(DATABASE, &statement(&grant));
        }
        assert_eq!(
            found(&answer, "promote-grant").len(),
            usize::from(major >= 12),
            "{major}: {answer:?}"
        );

        server.configure("postgresql.conf", "max_connections = 123");
        server.configure("pg_hba.conf", "host all all 10.0.0.6 scram-sha-256");
        server.sql("select pg_reload_conf()");
        let answer = doctor(&place, &server);
        assert_eq!(found(&answer, "promote-grant"), [Value::Null; 0], "{major}: {answer:?}");
        assert!(!answer.stdout.contains("may have 1 connections"), "{major}: {answer:?}");
        let rules = found(&answer, "cluster-rules");
        assert!(
            rules[0]["seen"].as_str().is_some_and(|seen| seen.contains("line 4")),
            "{major}: {answer:?}"
        );
        assert!(!answer.stdout.contains(PASSWORD), "{answer:?}");
        let whole = fs::read_to_string(server.data().join("pg_hba.conf")).expect("it is there");
        server.rewrite("pg_hba.conf", &whole.replace("10.0.0.6 ", "10.0.0.6/32 "));
        server.stop();
        let answer = doctor(&place, &server);
        let stopped = found(&answer, "cluster-runs");
        assert_eq!(stopped[0]["level"], "CRITICAL", "{major}: {answer:?}");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(stopped[0]["commands"][0].as_str().expect("a text"));
        // Not through pipes, which a server that starts would keep open.
        let started = shell.current_dir(server.path()).stdout(Stdio::null()).status();
        assert!(started.expect("sh runs").success(), "{major}: {answer:?}");
        assert_eq!(
            found(&doctor(&place, &server), "cluster-runs"),
            [Value::Null; 0],
            "{major}"
        );
    });
}

/// The newest version that Debian has, whose `psql` is there.
fn pair_of_servers() -> (Postgres, Postgres) {
    let primary = Postgres::primary();
    let standby = Postgres::standby_by_slot(&primary, SLOT);
    (primary, standby)
}

const SLOT: &str = "gocd_bc";

/// Lets the standby of the tests in, or nobody.
fn admit(server: &Postgres, admits: bool) {
    let method = if admits { "trust" } else { "reject" };
    server.rewrite(
        "pg_hba.conf",
        &format!("local all all trust\nhost replication postgres 127.0.0.1/32 {method}\n"),
    );
    server.sql("select pg_terminate_backend(pid) from pg_stat_replication");
}

/// What is said of why a standby receives nothing, and what to type; once `words` are among it.
fn reason(place: &Place, standby: &Postgres, words: &str) -> Value {
    until(&format!("the doctor to say `{words}`"), LONG, || {
        let answer = doctor(place, standby);
        let found = found(&answer, "replication").into_iter().next()?;
        assert_eq!(answer.code, 2, "{answer:?}");
        found["seen"]
            .as_str()
            .is_some_and(|seen| seen.contains(words))
            .then_some(found)
    })
}

/// Waits until the standby streams and nothing is found of that.
fn streams_again(place: &Place, standby: &Postgres) {
    until("the standby to stream again", LONG, || {
        let answer = doctor(place, standby);
        let streams = answer.stdout.contains("a standby, streaming");
        (streams && found(&answer, "replication").is_empty()).then_some(())
    });
}

#[test]
fn the_host_of_a_standby_says_why_nothing_comes_and_what_it_says_mends_that() {
    let place = Place::new();
    let (primary, standby) = pair_of_servers();
    streams_again(&place, &standby);
    let begun = Instant::now();
    let answer = doctor(&place, &standby);
    println!(
        "doctor_ms {} (on the host of a standby's database)",
        begun.elapsed().as_millis()
    );
    // 5 s are meant, on a machine that has nothing else to do.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    for check in [
        "database-answers",
        "database-copy",
        "database-major",
        "replication",
        "cluster-access",
    ] {
        assert_eq!(found(&answer, check), [Value::Null; 0], "{check}: {answer:?}");
    }
    let there = doctor(&place, &primary);
    assert!(there.stdout.contains("from which one standby receives"), "{there:?}");

    standby.pause_replay(true);
    let said = reason(&place, &standby, "is paused");
    standby.sql(&statement_in_quotes(&said));
    streams_again(&place, &standby);

    admit(&primary, false);
    let said = reason(&place, &standby, "rejects postgres from 127.0.0.1");
    assert!(
        said["commands"]
            .to_string()
            .contains("setup database-primary --standby 127.0.0.1"),
        "{said}"
    );
    admit(&primary, true);
    streams_again(&place, &standby);

    primary.sql(&format!(
        "select pg_terminate_backend(active_pid) from pg_replication_slots; select pg_sleep(0.2); \
         select pg_drop_replication_slot('{SLOT}')"
    ));
    let said = reason(&place, &standby, &format!("the slot {SLOT} is not there"));
    primary.sql(&statement_in_quotes(&said));
    streams_again(&place, &standby);

    primary.crash();
    reason(&place, &standby, "nothing listens at 127.0.0.1");
    primary.start();
    streams_again(&place, &standby);

    // A passfile is named from the data folder.
    primary.sql(
        "set password_encryption = 'scram-sha-256'; create role rep replication login password 'a secret of its own'",
    );
    primary.rewrite(
        "pg_hba.conf",
        "local all all trust\nhost replication rep 127.0.0.1/32 scram-sha-256\n",
    );
    standby.rewrite("the.pgpass", "*:*:replication:rep:a secret of its own\n");
    let passfile = standby.data().join("the.pgpass");
    fs::set_permissions(passfile, fs::Permissions::from_mode(0o600)).expect("mode");
    let port = primary.port();
    standby.follow_otherwise(
        "primary_conninfo",
        &format!("host=127.0.0.1 port={port} user=rep passfile=the.pgpass"),
    );
    streams_again(&place, &standby);
    assert_eq!(found(&doctor(&place, &standby), "database-answers"), [Value::Null; 0]);

    let other = Postgres::primary();
    standby.follow_otherwise(
        "primary_conninfo",
        &format!(
            "host=127.0.0.1 port={} user=postgres password='a secret of its own'",
            other.port()
        ),
    );
    let answer = until("another database to be found", LONG, || {
        let answer = doctor(&place, &standby);
        (!found(&answer, "database-copy").is_empty()).then_some(answer)
    });
    assert!(!answer.stdout.contains("a secret of its own"), "{answer:?}");
}

/// What a finding says to run, between backquotes.
fn statement_in_quotes(finding: &Value) -> String {
    let commands = finding["commands"].as_array().expect("a list");
    let statement = commands
        .iter()
        .filter_map(Value::as_str)
        .find_map(|command| command.strip_prefix("psql -c \"")?.strip_suffix('"'));
    statement
        .unwrap_or_else(|| panic!("no statement in {finding}"))
        .to_owned()
}

#[test]
fn the_host_of_a_primary_says_what_would_harm_its_standby() {
    let place = Place::new();
    let (primary, standby) = pair_of_servers();
    streams_again(&place, &standby);
    let findings = |check: &str| found(&doctor(&place, &primary), check);
    let wait_for = |check: &str, level: &str| {
        until(&format!("{check} to be {level}"), LONG, || {
            findings(check).into_iter().find(|finding| finding["level"] == level)
        })
    };
    assert_eq!(findings("slot-fills"), [Value::Null; 0]);
    standby.stop();
    wait_for("slot-fills", "WARNING");
    primary.configure("postgresql.conf", "synchronous_standby_names = 'nobody'");
    wait_for("synchronous", "CRITICAL");
    primary.configure("postgresql.conf", "synchronous_standby_names = ''");
    primary.configure("postgresql.conf", "max_slot_wal_keep_size = '16MB'");
    for _ in 0..4 {
        primary.switch_log();
    }
    primary.sql("checkpoint");
    let lost = wait_for("slot-lost", "CRITICAL");
    primary.sql(&statement_in_quotes(&lost));
    assert_eq!(findings("slot-lost"), [Value::Null; 0]);

    primary.archive_to(&primary.path().join("a share that is not mounted"));
    primary.switch_log();
    wait_for("archiver", "WARNING");
    primary.sql("update pg_extension set extversion = '9.9' where extname = 'plpgsql'");
    primary.sql("update pg_database set datcollversion = '0' where datname = 'postgres'");
    wait_for("extensions", "WARNING");
    wait_for("collations", "WARNING");
}

#[test]
fn who_does_not_let_its_own_user_in_says_so_and_who_is_not_root_is_told() {
    let place = Place::new();
    let server = Postgres::primary();
    server.rewrite("pg_hba.conf", "local all all scram-sha-256\n");
    let answer = doctor(&place, &server);
    assert_eq!(answer.code, 1, "{answer:?}");
    for command in found(&answer, "cluster-access")[0]["commands"]
        .as_array()
        .expect("a list")
    {
        let command = command.as_str().expect("a text");
        let done = Command::new("sh").args(["-c", command]).status().expect("a shell");
        assert!(done.success(), "{command}");
    }
    until("it to be let in", LONG, || {
        found(&doctor(&place, &server), "cluster-access")
            .is_empty()
            .then_some(())
    });
    if is_root() {
        let data = server.data();
        let answer = place.run_as(NOBODY, &["doctor", "--pgdata", data.to_str().expect("text")]);
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(
            answer.stdout.contains("run it as root\n    sudo gocd-bc doctor\n"),
            "{answer:?}"
        );
    }
}
