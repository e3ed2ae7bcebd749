//! `gocd-bc setup database-primary` against real servers of every version, in both layouts.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bc_testkit::{
    free_port,
    mounts::Mounts,
    postgres::{DATABASE, Postgres, USER, for_every_major},
    secrets,
    wait::until,
};
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// A primary with GoCD's tables, as far as they are looked for.
fn primary_of(major: u32) -> Postgres {
    let server = Postgres::primary_of(major);
    server.sql_in(
        DATABASE,
        &format!("set role {USER}; create schema gocd; create table gocd.databasechangelog (id text); create table gocd.pipelines (id int)"),
    );
    server
}

fn setup(place: &Place, server: &Postgres, more: &[&str]) -> Answer {
    let (data, password_file) = (server.data(), password_file(server));
    let mut arguments = vec!["setup", "database-primary", "--standby", "127.0.0.1", "--pgdata"];
    arguments.extend([
        data.to_str().expect("text"),
        "--password-file",
        password_file.to_str().expect("text"),
    ]);
    let answer = place.run(&[&arguments, more].concat());
    no_password_in(&answer, &password_file);
    answer
}

fn password_file(server: &Postgres) -> PathBuf {
    server.path().join("replication.pgpass")
}

/// The password in the file that was made.
fn password(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let password = text.trim().rsplit(':').next()?.to_owned();
    secrets::register("password of the replication role", password.as_bytes());
    Some(password)
}

fn no_password_in(answer: &Answer, file: &Path) {
    if let Some(password) = password(file) {
        assert_eq!(password.len(), 32);
        assert!(!answer.stdout.contains(&password) && !answer.stderr.contains(&password));
    }
    assert!(!answer.stdout.contains("SCRAM-SHA-256$"), "{answer:?}");
}

/// All that the command may change of a server's files.
fn files(server: &Postgres) -> Vec<(String, Vec<u8>)> {
    let names = [
        "pg_hba.conf",
        "postgresql.conf",
        "postgresql.auto.conf",
        "server.crt",
        "server.key",
    ];
    let mut files: Vec<_> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), fs::read(server.data().join(name)).ok()?)))
        .collect();
    files.extend(
        fs::read(password_file(server))
            .ok()
            .map(|bytes| ("password".to_owned(), bytes)),
    );
    files
}

#[test]
fn every_version_becomes_ready_and_a_second_run_changes_nothing() {
    for_every_major(|major| {
        let place = Place::new();
        let server = primary_of(major);
        let before = files(&server);

        let shown = setup(&place, &server, &[]);
        assert_eq!(shown.code, 0, "{major}: {shown:?}");
        assert!(shown.stdout.contains("Nothing has been changed"), "{major}: {shown:?}");
        assert_eq!(files(&server), before, "{major}");
        assert_eq!(server.sql("select count(*) from pg_replication_slots"), "0");

        let done = setup(&place, &server, &["--write", "--restart"]);
        assert_eq!(done.code, 0, "{major}: {done:?}");
        assert!(
            done.stdout
                .contains("Proved: gocd_replication can replicate from 127.0.0.1"),
            "{major}: {done:?}"
        );
        assert!(
            done.stdout
                .contains("gocd-bc setup database-standby --primary 127.0.0.1:"),
            "{major}: {done:?}"
        );
        assert_eq!(
            server.sql("select slot_name, slot_type, restart_lsn is not null from pg_replication_slots"),
            "gocd_bc|physical|t"
        );
        assert_eq!(
            server.sql("select rolreplication, rolconnlimit, left(rolpassword, 14) from pg_authid where rolname = 'gocd_replication'"),
            "t|4|SCRAM-SHA-256$"
        );
        assert_eq!(
            server.sql(&format!("select pg_has_role('{USER}', 'pg_monitor', 'member')")),
            "t"
        );
        if major >= 12 {
            let may = format!("select has_function_privilege('{USER}', 'pg_promote(boolean,integer)', 'execute')");
            assert_eq!(server.sql_in(DATABASE, &may), "t");
        }
        let log_hints = "select current_setting('wal_log_hints') = 'on' or current_setting('data_checksums') = 'on'";
        assert_eq!(server.sql(log_hints), "t", "{major}");
        assert!(
            !server.log().contains("gocd_replication password"),
            "{major}: {}",
            server.log()
        );
        assert!(!server.log().contains("SCRAM"), "{major}: {}", server.log());

        let after = files(&server);
        let again = setup(&place, &server, &["--write", "--restart"]);
        assert_eq!(again.code, 0, "{major}: {again:?}");
        assert!(again.stdout.contains("Nothing to change."), "{major}: {again:?}");
        assert!(
            !again.stdout.contains(" -> ") && again.stdout.contains("Proved:"),
            "{major}: {again:?}"
        );
        assert_eq!(files(&server), after, "{major}");
        // One copy of what was there before, and no temporary file.
        let copies = fs::read_dir(server.data()).expect("list");
        let copies: Vec<_> = copies
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .filter(|name| name.contains("gocd-bc"))
            .collect();
        assert_eq!(copies.len(), 1, "{major}: {copies:?}");
        assert!(
            copies[0].starts_with("pg_hba.conf.before-gocd-bc-"),
            "{major}: {copies:?}"
        );
    });
}

#[test]
fn a_gocd_on_another_host_is_let_in_and_stays_so_when_it_is_not_named_again() {
    let place = Place::new();
    let server = primary_of(bc_testkit::postgres::programs::newest_of_debian());
    let done = setup(&place, &server, &["--write", "--restart", "--gocd-host", "10.98.0.8"]);
    assert_eq!(done.code, 0, "{done:?}");
    let rules =
        "select count(*) from pg_hba_file_rules where address = '10.98.0.8' and user_name = '{all}' and error is null";
    assert_eq!(server.sql(rules), "1", "{done:?}");
    let before = files(&server);
    for again in [&["--write"][..], &["--write", "--gocd-host", "10.98.0.8"]] {
        let answer = setup(&place, &server, again);
        assert!(
            answer.code == 0 && answer.stdout.contains("Nothing to change."),
            "{answer:?}"
        );
        assert_eq!(files(&server), before);
    }
    let refused = setup(&place, &server, &["--gocd-host", "localhost"]);
    assert_eq!(refused.code, 64, "{refused:?}");
    assert!(
        refused.stderr.contains("Name the host of GoCD by its address"),
        "{refused:?}"
    );
}

#[test]
fn a_restart_is_named_and_waited_for() {
    let place = Place::new();
    let server = primary_of(15);
    let done = setup(&place, &server, &["--write"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stdout.contains("this takes effect: wal_log_hints"), "{done:?}");
    assert!(done.stdout.contains("pg_ctl"), "{done:?}");
    let again = setup(&place, &server, &[]);
    assert!(
        again.stdout.contains("written already, waits for a restart"),
        "{again:?}"
    );
    server.restart();
    let done = setup(&place, &server, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stdout.contains("Nothing to change.") && done.stdout.contains("Proved:"),
        "{done:?}"
    );
}

#[test]
fn a_password_that_went_to_the_standby_is_not_asked_for_and_another_one_can_be_made() {
    let place = Place::new();
    let server = primary_of(15);
    assert_eq!(setup(&place, &server, &["--write", "--restart"]).code, 0);
    let first = password(&password_file(&server)).expect("made");
    fs::remove_file(password_file(&server)).expect("removed");
    let away = setup(&place, &server, &["--write"]);
    assert_eq!(away.code, 0, "{away:?}");
    assert!(away.stdout.contains("set; the file with it is not here"), "{away:?}");
    assert!(
        away.stdout.contains("--new-password") && !away.stdout.contains("Proved"),
        "{away:?}"
    );
    let renewed = setup(&place, &server, &["--write", "--new-password"]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    assert!(renewed.stdout.contains("Proved:"), "{renewed:?}");
    assert_ne!(password(&password_file(&server)), Some(first));
}

#[test]
fn what_the_original_instructions_made_is_brought_up_to_date() {
    let place = Place::new();
    let server = primary_of(11);
    server.sql("set password_encryption = 'md5'; create user rep replication login connection limit 1 encrypted password 'the password rep'");
    server.configure("postgresql.conf", "max_wal_senders = 1\nwal_keep_segments = 30");
    server.restart();
    server.configure("pg_hba.conf", "host  replication  rep  127.0.0.1/32  md5");
    let done = setup(
        &place,
        &server,
        &["--user", "rep", "--database", DATABASE, "--write", "--restart"],
    );
    assert_eq!(done.code, 0, "{done:?}");
    for words in [
        "connection limit 4",
        "1 -> 10",
        "30 -> 64",
        "MD5",
        "Proved: rep can",
        "--user rep",
    ] {
        assert!(done.stdout.contains(words), "{words}: {done:?}");
    }
    let hba = fs::read_to_string(server.data().join("pg_hba.conf")).expect("text");
    let (ours, theirs) = (
        hba.find("hostssl replication,postgres rep 127.0.0.1/32"),
        hba.find("host  replication  rep"),
    );
    assert!(ours < theirs, "{hba}");
}

#[test]
fn the_log_is_shipped_whole() {
    let place = Place::new();
    let server = primary_of(15);
    let share = server.folder_of("the share");
    let words = share.to_str().expect("text").to_owned();
    let done = setup(&place, &server, &["--share", &words, "--write", "--restart"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains(&format!("--share {words}")), "{done:?}");
    server.sql("create table something as select 1");
    let name = server.sql("select pg_walfile_name(pg_switch_wal())");
    until("the log to be shipped", Duration::from_secs(300), || {
        share.join(&name).exists().then_some(())
    });
    assert_eq!(fs::metadata(share.join(&name)).expect("there").len(), 16 << 20);
    let again = setup(&place, &server, &["--share", &words, "--write"]);
    assert!(again.stdout.contains("Nothing to change."), "{again:?}");

    let other = setup(&place, &server, &["--share", "/nowhere/at/all", "--write"]);
    assert_eq!(other.code, 64, "{other:?}");
    assert!(other.stderr.contains("is no folder on this host"), "{other:?}");
    server.sql("alter system set archive_command = 'pgbackrest archive-push %p'");
    server.sql("select pg_reload_conf()");
    let other = setup(&place, &server, &["--share", &words, "--write"]);
    assert!(
        other.stderr.contains("ships its log already, by `pgbackrest"),
        "{other:?}"
    );
}

#[test]
fn mistakes_that_are_there_already_are_named_and_nothing_is_changed() {
    let place = Place::new();
    let server = primary_of(15);
    let hba = server.data().join("pg_hba.conf");
    let good = fs::read_to_string(&hba).expect("text");
    server.rewrite(
        "pg_hba.conf",
        &format!("{good}host replication rep 10.0.0.6 scram-sha-256\n"),
    );
    let before = files(&server);
    let refused = setup(&place, &server, &["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("pg_hba.conf, line 4, has a mistake already"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("scram-sha-256"), "{refused:?}");
    assert_eq!(files(&server), before);
    server.rewrite("pg_hba.conf", &good);

    let conf = fs::read_to_string(server.data().join("postgresql.conf")).expect("text");
    server.rewrite("postgresql.conf", &format!("{conf}wal_keep_segments = 30\n"));
    let refused = setup(&place, &server, &["--write"]);
    assert!(
        refused
            .stderr
            .contains("wal_keep_segments unrecognized configuration parameter"),
        "{refused:?}"
    );
    server.rewrite("postgresql.conf", &conf);
    assert_eq!(server.sql("select count(*) from pg_replication_slots"), "0");
}

#[test]
fn a_server_that_does_not_start_with_it_is_started_as_it_was() {
    let place = Place::new();
    let server = primary_of(15);
    server.make_certificate("/CN=db", "subjectAltName=IP:127.0.0.1");
    let key = server.data().join("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("mode");
    let auto_conf = fs::read(server.data().join("postgresql.auto.conf")).expect("bytes");
    let refused = setup(&place, &server, &["--write", "--restart"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("the settings were put back, and it runs as before"),
        "{refused:?}"
    );
    assert_eq!(server.sql("show ssl"), "off");
    assert_eq!(
        fs::read(server.data().join("postgresql.auto.conf")).expect("bytes"),
        auto_conf
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("mode");
    let done = setup(&place, &server, &["--write", "--restart"]);
    assert!(done.stdout.contains("Proved:"), "{done:?}");
}

#[test]
fn postgresqls_user_may_run_it_and_others_may_not() {
    let place = Place::new();
    let server = primary_of(15);
    let (data, password_file) = (server.data(), password_file(&server));
    let arguments = [
        "setup",
        "database-primary",
        "--standby",
        "127.0.0.1",
        "--pgdata",
        data.to_str().expect("text"),
    ];
    let more = [
        "--password-file",
        password_file.to_str().expect("text"),
        "--write",
        "--restart",
    ];
    let arguments = [&arguments[..], &more].concat();
    let owner = fs::metadata(&data).expect("it is there").uid();
    let done = place.run_as(owner, &arguments);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("Proved:"), "{done:?}");
    no_password_in(&done, &password_file);
    let other = place.run_as(NOBODY, &arguments);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains(&data.display().to_string()), "{other:?}");
    // What a package knows is not seen by everybody either.
    let nothing = place.folder("nothing", NOBODY);
    let mut command = place.command(&arguments[..4]);
    command.env("PG_CLUSTER_CONF_ROOT", nothing).uid(NOBODY).gid(NOBODY);
    let unseen = Answer::of(command.output());
    assert_eq!(unseen.code, 64, "{unseen:?}");
    assert!(
        unseen
            .stderr
            .contains("Run this as root, or as the user that PostgreSQL runs as"),
        "{unseen:?}"
    );
}

#[test]
fn a_superuser_of_another_name_is_named_and_a_frozen_server_is_not_waited_for() {
    let place = Place::new();
    let server = primary_of(15);
    server.sql("create role boss superuser login; alter role postgres nosuperuser");
    let refused = setup(&place, &server, &[]);
    assert!(
        refused.stderr.contains("postgres is no superuser") && refused.stderr.contains("PGUSER=NAME"),
        "{refused:?}"
    );
    let data = server.data();
    let arguments = [
        "setup",
        "database-primary",
        "--standby",
        "127.0.0.1",
        "--pgdata",
        data.to_str().expect("text"),
    ];
    let shown = Answer::of(place.command(&arguments).env("PGUSER", "boss").output());
    assert_eq!(shown.code, 0, "{shown:?}");
    server.freeze(true);
    let frozen = Answer::of(place.command(&arguments).env("PGUSER", "boss").output());
    server.freeze(false);
    assert_eq!(frozen.code, 1, "{frozen:?}");
    assert!(frozen.stderr.contains("does not answer"), "{frozen:?}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::new();
    let server = primary_of(15);
    let data = server.data();
    let of = |more: &[&str]| {
        let arguments = ["setup", "database-primary", "--pgdata", data.to_str().expect("text")];
        place.run(&[&arguments, more].concat())
    };
    for (more, code, words) in [
        (&["--standby", "no-such-host.invalid"][..], 64, "leads nowhere"),
        (&["--standby", "localhost"], 64, "this host itself"),
        (
            &["--standby", "127.0.0.1", "--database", "nodb"],
            64,
            "has no database nodb",
        ),
        (
            &["--standby", "127.0.0.1", "--slot", "bc-standby"],
            64,
            "no name of a slot",
        ),
        (&["--standby", "127.0.0.1", "--restart"], 64, "--write"),
        (&[], 64, "--standby"),
    ] {
        let answer = of(more);
        assert_eq!(answer.code, code, "{more:?}: {answer:?}");
        assert!(answer.stderr.contains(words), "{more:?}: {answer:?}");
    }
    server.stop();
    let log = server.path().join("log");
    let words = [
        "-o",
        "-c wal_keep_size=0",
        "-w",
        "-s",
        "-l",
        log.to_str().expect("text"),
        "-D",
    ];
    let mut by_hand = server.tool("pg_ctl").expect("it is there");
    let started = by_hand.args(words).arg(&data).arg("start").status().expect("it runs");
    assert!(started.success());
    let refused = of(&["--standby", "127.0.0.1"]);
    assert!(
        refused.stderr.contains("wal_keep_size is set on the command line"),
        "{refused:?}"
    );
    server.restart();
    let standby = Postgres::standby_of(&server);
    let refused = setup(&place, &standby, &["--write"]);
    assert!(refused.stderr.contains("is a standby"), "{refused:?}");
    fs::write(server.data().join("patroni.dynamic.json"), "{}").expect("write");
    let refused = setup(&place, &server, &["--write"]);
    assert!(refused.stderr.contains("Patroni runs"), "{refused:?}");
    standby.stop();
    let stopped = setup(&place, &standby, &["--write"]);
    assert!(stopped.stderr.contains("does not run"), "{stopped:?}");
}

/// A cluster in Debian's layout, elsewhere than in /etc.
struct Debian {
    place: Place,
    names: Vec<&'static str>,
}

impl Debian {
    fn new(names: &[&'static str]) -> Self {
        let debian = Self {
            place: Place::new(),
            names: names.to_vec(),
        };
        let root = debian.place.folder("pg", 0);
        for name in names {
            let folder = |kind: &str| root.join(format!("{kind}-{name}")).display().to_string();
            let port = free_port().to_string();
            let (data, sockets, log) = (folder("data"), folder("sockets"), folder("log"));
            debian.postgres(&["install", "-d", "-o", "postgres", "-m", "0755", &sockets]);
            debian.postgres(&[
                "pg_createcluster",
                "15",
                name,
                "-p",
                &port,
                "-d",
                &data,
                "-s",
                &sockets,
                "-l",
                &log,
            ]);
        }
        debian
    }

    fn postgres(&self, words: &[&str]) -> String {
        let output = Command::new(words[0])
            .args(&words[1..])
            .env("PG_CLUSTER_CONF_ROOT", self.configurations())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file of settings of the cluster `two`.
    fn settings(&self, name: &str) -> PathBuf {
        self.configurations().join(format!("15/two/conf.d/{name}.conf"))
    }

    fn configurations(&self) -> PathBuf {
        self.place.path("pg/etc")
    }

    fn setup(&self, more: &[&str]) -> Answer {
        let password_file = self.place.path("pg/replication.pgpass");
        let arguments = ["setup", "database-primary", "--standby", "127.0.0.1", "--password-file"];
        let mut command = self
            .place
            .command(&[&arguments[..], &[password_file.to_str().expect("text")], more].concat());
        let answer = Answer::of(command.env("PG_CLUSTER_CONF_ROOT", self.configurations()).output());
        no_password_in(&answer, &password_file);
        answer
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        for name in &self.names {
            let stopped = Command::new("pg_ctlcluster")
                .args(["15", name, "stop", "-m", "immediate"])
                .env("PG_CLUSTER_CONF_ROOT", self.configurations())
                .output();
            drop(stopped);
        }
    }
}

#[test]
fn in_debians_layout_the_settings_are_in_a_file_of_their_own() {
    let debian = Debian::new(&["one", "two"]);
    let several = debian.setup(&["--write"]);
    assert_eq!(several.code, 64, "{several:?}");
    assert!(
        several.stderr.contains("15/one (port ") && several.stderr.contains("--cluster 15/one"),
        "{several:?}"
    );
    let stopped = debian.setup(&["--cluster", "15/two"]);
    assert!(
        stopped.stderr.contains("15/two does not run") && stopped.stderr.contains("15 two start"),
        "{stopped:?}"
    );

    debian.postgres(&["pg_ctlcluster", "15", "two", "start"]);
    debian.postgres(&["chown", "postgres", debian.place.path("pg").to_str().expect("text")]);
    let two = ["--cluster", "15/two", "--address", "127.0.0.2", "--write", "--restart"];
    let (ours, theirs) = (debian.settings("50-gocd-bc"), debian.settings("99-local"));
    fs::write(&theirs, "wal_keep_size = 0\n").expect("write");
    let refused = debian.setup(&two);
    assert_eq!(refused.code, 1, "{refused:?}");
    let words = format!(
        "wal_keep_size is also set in {}, line 1, which comes after ours",
        theirs.display()
    );
    assert!(refused.stderr.contains(&words) && !ours.exists(), "{refused:?}");
    fs::remove_file(theirs).expect("removed");

    let done = debian.setup(&two);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stdout
            .contains("Proved: gocd_replication can replicate from 127.0.0.2"),
        "{done:?}"
    );
    assert!(
        done.stdout.contains("restart  listen_addresses        localhost -> *"),
        "{done:?}"
    );
    let file = fs::read_to_string(ours).expect("made");
    assert!(
        file.contains("wal_keep_size = '1GB'") && file.contains("wal_log_hints = 'on'"),
        "{file}"
    );
    let auto_conf = fs::read_to_string(debian.place.path("pg/data-two/postgresql.auto.conf")).expect("text");
    assert!(!auto_conf.contains("wal_keep_size"), "{auto_conf}");
    let again = debian.setup(&two);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("Nothing to change."), "{again:?}");
}

#[test]
fn a_configuration_folder_that_is_read_only_changes_nothing() {
    // The server sees the same mounts.
    let mounts = Mounts::private();
    let debian = Debian::new(&["ro"]);
    debian.postgres(&["pg_ctlcluster", "15", "ro", "start"]);
    debian.postgres(&["chown", "postgres", debian.place.path("pg").to_str().expect("text")]);
    mounts.read_only(&debian.configurations());
    let refused = debian.setup(&["--write", "--cluster", "15/ro"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("is read-only: mount it writable"),
        "{refused:?}"
    );
    assert!(!debian.place.path("pg/replication.pgpass").exists());
    mounts.undo(&debian.configurations());

    // Where only pg_hba.conf cannot be written, the settings are put back.
    let folder = debian.configurations().join("15/ro");
    mounts.read_only(&folder);
    mounts.bind(&debian.place.folder("writable", 101), &folder.join("conf.d"));
    debian.postgres(&["chown", "postgres", folder.join("conf.d").to_str().expect("text")]);
    let refused = debian.setup(&["--write", "--cluster", "15/ro"]);
    assert!(
        refused.stderr.contains("pg_hba.conf") && refused.stderr.contains("read-only"),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(folder.join("conf.d")).expect("list").count(), 0);
}
