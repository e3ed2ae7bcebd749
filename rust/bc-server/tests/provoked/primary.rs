//! What a primary says to whoever comes as the replication role.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use bc_testkit::{
    postgres::{DATABASE, Postgres, USER, for_every_major},
    process::Process,
    wait::until,
};

use crate::{LONG, Primary, SECRET, said, statements, type_commands, type_statements, typed};

#[test]
fn what_a_primary_says_to_a_replication_role_is_known_and_mended() {
    for_every_major(|major| {
        let primary = Primary::start(major);
        lets_in(&primary);
        asks_for_a_password(&primary);
        wants_the_attribute(&primary);
        has_slots(&primary);
        has_room(&primary);
        is_reached(&primary);
    });
}

/// Debian brings the words of its version in other languages; those of the others have none.
#[test]
fn a_server_that_speaks_german_is_known_by_the_files_that_it_names() {
    let primary = Primary::of(Postgres::primary());
    let server = &primary.server;
    server.stop();
    server.append_recovery("lc_messages", "C.UTF-8");
    let mut start = server.as_postgres("/usr/bin/env");
    start
        .args(["LANGUAGE=de", "LC_ALL=C.UTF-8"])
        .arg(server.programs().join("pg_ctl"));
    start
        .arg("-D")
        .arg(server.data())
        .arg("-l")
        .arg(server.path().join("log"));
    assert!(
        start.args(["-s", "-w", "start"]).status().expect("it runs").success(),
        "{}",
        server.log()
    );
    let refused = primary.identify("").expect_err("there is no line");
    assert!(refused.contains("kein pg_hba.conf-Eintrag"), "{refused}");
    primary.means(&refused, "hba-missing");
}

fn lets_in(primary: &Primary) {
    let server = &primary.server;
    let refused = primary.identify("").expect_err("there is no line");
    let meaning = primary.means(&refused, "hba-missing");
    let line = typed(&meaning)
        .into_iter()
        .find(|text| text.starts_with("host "))
        .expect("a line");
    assert_eq!(line, "host replication rep 127.0.0.1/32 scram-sha-256");
    let hba = fs::read_to_string(server.data().join("pg_hba.conf")).expect("it is there");
    server.rewrite("pg_hba.conf", &format!("{line}\n{hba}"));
    type_statements(server, &meaning);
    until("the line to count", LONG, || primary.identify("").ok());

    server.rewrite(
        "pg_hba.conf",
        &format!("host all,replication rep 127.0.0.1/32 reject\n{line}\n{hba}"),
    );
    let refused = until("the line to count", LONG, || primary.identify("").err());
    primary.means(&refused, "hba-rejects");
    server.rewrite("pg_hba.conf", &format!("{line}\n{hba}"));
    until("the line to count", LONG, || primary.identify("").ok());
}

fn asks_for_a_password(primary: &Primary) {
    let server = &primary.server;
    let wrong = primary
        .replicate("", "IDENTIFY_SYSTEM", Some("another"))
        .expect_err("wrong");
    primary.means(&wrong, "password-wrong");

    // As whoever wrote the line for scram without setting the password anew.
    let meaning = primary.logs("password-md5", || {
        server.sql(&format!(
            "set password_encryption = 'md5'; alter role rep password '{SECRET}'"
        ));
        let refused = primary.identify("").expect_err("it is of the other kind");
        primary.means(&refused, "password-wrong");
    });
    let set = statements(&meaning);
    server.sql(&format!("{}; alter role rep password '{SECRET}'", set[0]));
    assert!(primary.identify("").is_ok());

    let missing = primary
        .replicate("", "IDENTIFY_SYSTEM", None)
        .expect_err("there is none");
    let meaning = primary.means(&missing, "password-missing");
    let line = typed(&meaning)
        .into_iter()
        .find(|text| text.starts_with("*:"))
        .expect("a line");
    let passfile = server.path().join("passfile");
    let ask = || primary.replicate(&format!("passfile={}", passfile.display()), "IDENTIFY_SYSTEM", None);
    fs::write(&passfile, line.replace("PASSWORD", SECRET)).expect("written");
    fs::set_permissions(&passfile, fs::Permissions::from_mode(0o644)).expect("ours");
    let owned = Command::new("chown").arg("postgres:").arg(&passfile).status();
    assert!(owned.expect("chown runs").success());
    let meaning = primary.means(&ask().expect_err("others may read it"), "password-missing");
    assert!(meaning.mend.contains("0600"), "{meaning:?}");
    let warning = ask().expect_err("others may read it");
    let warning = warning
        .lines()
        .find(|line| line.contains("group or world"))
        .expect("it is said")
        .to_owned();
    type_commands(server, &primary.means(&warning, "passfile-mode"));
    assert!(ask().is_ok(), "{:?}", ask());
}

fn wants_the_attribute(primary: &Primary) {
    primary.server.sql("alter role rep noreplication");
    let refused = primary.identify("").expect_err("it lacks the attribute");
    type_statements(&primary.server, &primary.means(&refused, "role-not-replication"));
    assert!(primary.identify("").is_ok());
}

/// A `pg_receivewal` that receives through a slot until it is dropped.
fn receiver(primary: &Primary, folder: &str, slot: &str) -> Process {
    let mut receive = receive(primary, folder, slot);
    Process::start("pg_receivewal", receive.arg("-v"))
}

fn receive(primary: &Primary, folder: &str, slot: &str) -> Command {
    let server = &primary.server;
    let mut receive = server.tool("pg_receivewal").expect("it is there");
    receive
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &server.port().to_string(),
            "-U",
            "rep",
            "-w",
            "-n",
            "-D",
        ])
        .arg(server.folder_of(folder))
        .args(["-S", slot])
        .env("PGPASSWORD", SECRET);
    receive
}

fn has_slots(primary: &Primary) {
    let server = &primary.server;
    let missing = said(&mut receive(primary, "received", "provoked")).expect_err("there is no slot");
    type_statements(server, &primary.means(&missing, "slot-missing"));
    let first = receiver(primary, "received", "provoked");
    until("it to receive", LONG, || {
        (server.sql("select active from pg_replication_slots where slot_name = 'provoked'") == "t").then_some(())
    });
    let active = said(&mut receive(primary, "other", "provoked")).expect_err("it is in use");
    let meaning = primary.means(&active, "slot-active");
    assert!(meaning.cause.contains("process "), "{meaning:?}");
    drop(first);

    for (slot, allowed) in [("bc-standby", false), ("", false), ("gocd_bc", true)] {
        let made = server.try_sql(
            "postgres",
            &format!("select pg_create_physical_replication_slot('{slot}')"),
        );
        match allowed {
            true => assert!(made.is_ok(), "{made:?}"),
            false => {
                let meaning = primary.means(&made.expect_err("no name"), "slot-name");
                assert!(meaning.mend.contains("gocd_bc"), "{meaning:?}");
            }
        }
    }
    server.sql("select pg_create_physical_replication_slot('more' || n) from generate_series(3, current_setting('max_replication_slots')::int) n");
    let all = server.try_sql("postgres", "select pg_create_physical_replication_slot('one_more')");
    let meaning = primary.means(&all.expect_err("there is no room"), "slots-used-up");
    server.sql(&statements(&meaning)[0].replace("NAME", "more3"));
    server.sql("select pg_create_physical_replication_slot('one_more')");
    server.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active");
}

fn has_room(primary: &Primary) {
    let (server, major) = (&primary.server, primary.server.major());
    // Sessions of people are counted on every version; those of replicas on 11 and 12 alone.
    server.sql("alter role rep connection limit 1");
    server.sql("select pg_create_physical_replication_slot('provoked')");
    let receives = receiver(primary, "received", "provoked");
    until("it to receive", LONG, || {
        (server.sql("select active from pg_replication_slots where slot_name = 'provoked'") == "t").then_some(())
    });
    if major < 13 {
        let limited = primary.identify("").expect_err("one is there");
        type_statements(server, &primary.means(&limited, "connection-limit"));
    }
    assert!(primary.identify("").is_ok());
    drop(receives);

    server.sql("alter system set max_wal_senders = 1");
    server.sql("alter system set max_connections = 20");
    server.restart();
    let receives = receiver(primary, "received", "provoked");
    until("it to receive", LONG, || {
        (server.sql("select active from pg_replication_slots where slot_name = 'provoked'") == "t").then_some(())
    });
    let exceeded = primary.identify("").expect_err("one is there");
    let meaning = primary.means(&exceeded, "senders-used-up");
    drop(receives);
    type_statements(server, &meaning);
    server.restart();
    assert!(primary.identify("").is_ok());

    let sessions = server.fill();
    let reserved = said(&mut as_owner(server)).expect_err("it is full");
    primary.means(&reserved, "server-full");
    drop(sessions);
    until("room to be again", LONG, || said(&mut as_owner(server)).ok());
}

fn as_owner(server: &Postgres) -> Command {
    let mut psql = server.tool("psql").expect("it is there");
    psql.arg("-h").arg(server.path());
    psql.args([
        "-p",
        &server.port().to_string(),
        "-U",
        USER,
        "-d",
        DATABASE,
        "-X",
        "-c",
        "select 1",
    ]);
    psql
}

/// Names, addresses, ports, TLS.
fn is_reached(primary: &Primary) {
    let server = &primary.server;
    let unknown = primary
        .identify("host=nowhere.invalid")
        .expect_err("nobody has that name");
    let meaning = primary.means(&unknown, "name-unknown");
    assert_eq!(typed(&meaning)[0], "getent hosts nowhere.invalid");
    let without = primary.identify("sslmode=require").expect_err("it has no TLS");
    let meaning = primary.means(&without, "no-tls");
    let certificate = server.make_certificate("/CN=elsewhere", "subjectAltName=DNS:elsewhere");
    type_statements(server, &meaning);
    until("it to have TLS", LONG, || primary.identify("sslmode=require").ok());
    let root = server.path().join("root.crt");
    let verified = |mode: &str| primary.identify(&format!("sslmode={mode} sslrootcert={}", root.display()));
    primary.means(
        &verified("verify-ca").expect_err("there is no such file"),
        "certificate",
    );
    fs::write(&root, &certificate).expect("written");
    assert!(verified("verify-ca").is_ok(), "{:?}", verified("verify-ca"));
    primary.means(&verified("verify-full").expect_err("it is another name"), "certificate");
    server.make_certificate("/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1");
    server.sql("select pg_reload_conf()");
    let foreign = until("it to have another certificate", LONG, || verified("verify-ca").err());
    primary.means(&foreign, "certificate");

    server.freeze(true);
    let silent = primary.identify("connect_timeout=2").expect_err("it is frozen");
    server.freeze(false);
    primary.means(&silent, "unreachable");
    server.stop();
    primary.means(&primary.identify("").expect_err("nothing listens"), "refused");
}
