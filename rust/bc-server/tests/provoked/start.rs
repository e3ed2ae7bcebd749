//! What a server says that does not start, and what the tools say that make one.

use std::{fs, os::unix::fs::PermissionsExt, thread};

use bc_core::database::messages::Meaning;
use bc_testkit::{
    mounts::Mounts,
    postgres::{MAJORS, Postgres, for_every_major, programs},
    wait,
};

use crate::{LONG, Primary, logs, said, statements, type_commands, typed};

#[test]
fn what_a_server_says_that_does_not_start_is_known_and_mended() {
    for_every_major(|major| {
        let primary = Primary::start(major);
        is_copied(&primary);
        let stopped = &primary.server;
        stopped.stop();
        keeps_its_folder_to_itself(&primary);
        has_a_port(&primary);
        knows_its_settings(&primary);
        belongs_to_its_version(&primary);
        writes_what_a_standby_needs(&primary);
        ships_its_log(&primary);
    });
}

/// Has the server of `primary` try to start, and returns what is to be done, by its name.
fn fails(primary: &Primary, name: &str) -> Meaning {
    let server = &primary.server;
    let before = server.log().len();
    let meaning = logs(server, &primary.names, name, || server.start_anyway());
    wait::until("it to give up", LONG, || (!server.runs()).then_some(()));
    // Whoever has the log alone, all of it, comes to the same.
    primary.means(&server.log()[before..], name);
    meaning
}

fn is_copied(primary: &Primary) {
    let server = &primary.server;
    let place = Postgres::place_of(server.major());
    let copied = |programs: &std::path::Path, folder: &std::path::Path| {
        let mut backup = place.as_postgres(programs.join("pg_basebackup"));
        backup.args([
            "-h",
            "127.0.0.1",
            "-p",
            &server.port().to_string(),
            "-U",
            "postgres",
            "-w",
            "-c",
            "fast",
        ]);
        said(backup.arg("-D").arg(folder))
    };
    let own = server.programs();
    let folder = place.folder_of("base");
    fs::write(folder.join("something"), "").expect("written");
    let meaning = primary.means(&copied(&own, &folder).expect_err("it is not empty"), "folder-not-empty");
    type_commands(&place, &first_move(meaning));
    assert!(copied(&own, &folder).is_ok());
    assert!(folder.with_extension("aside").join("something").exists());

    let small = place.folder_of("small");
    let full = thread::scope(|scope| {
        let outcome = scope.spawn(|| {
            let mounts = Mounts::private();
            mounts.disk(&small, "size=6m");
            let owned = std::process::Command::new("chown")
                .arg("postgres:")
                .arg(&small)
                .status();
            assert!(owned.expect("chown runs").success());
            copied(&own, &small.join("base"))
        });
        outcome.join().expect("it ends")
    });
    primary.means(&full.expect_err("6 MiB hold no database"), "disk-full");
    if server.major() > 15 && programs::newest_of_debian() < 16 {
        let older = copied(&programs::of(15), &place.path().join("older"));
        primary.means(&older.expect_err("15 knows nothing of it"), "incompatible-server");
    }
}

fn keeps_its_folder_to_itself(primary: &Primary) {
    let server = &primary.server;
    fs::set_permissions(server.data(), fs::Permissions::from_mode(0o755)).expect("ours");
    type_commands(server, &fails(primary, "folder-permissions"));
    server.start();
    server.stop();
}

fn has_a_port(primary: &Primary) {
    let server = &primary.server;
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("a port").port();
    append(server, &format!("port = {taken}"));
    fails(primary, "port-in-use");
    append(server, &format!("port = {}", server.port()));
    append(server, "listen_addresses = '192.0.2.7'");
    let meaning = fails(primary, "address-not-here");
    assert!(meaning.cause.contains("192.0.2.7"), "{meaning:?}");
    append(server, "listen_addresses = '127.0.0.1'");
    server.start();
    server.stop();
}

fn knows_its_settings(primary: &Primary) {
    let (server, major) = (&primary.server, primary.server.major());
    let configuration = fs::read_to_string(server.data().join("postgresql.conf")).expect("it is there");
    let foreign = match major {
        11 | 12 => "wal_keep_size",
        13..=15 => "wal_keep_segments",
        _ => "promote_trigger_file",
    };
    append(server, &format!("{foreign} = 1"));
    let meaning = fails(primary, "setting-unknown");
    assert!(
        meaning.mend.starts_with(&format!("Take {foreign} out of")),
        "{meaning:?}"
    );
    server.rewrite("postgresql.conf", &configuration);
    if major > 11 {
        server.rewrite("recovery.conf", "standby_mode = on\n");
        let meaning = fails(primary, "recovery-conf");
        type_commands(server, &first_move(meaning));
    }
    server.start();
    server.stop();
}

/// The one command among what is to be typed: the rest is the name of a file, or for some alone.
fn first_move(mut meaning: Meaning) -> Meaning {
    let command = typed(&meaning).into_iter().find(|text| text.starts_with("mv "));
    meaning.mend = format!("`{}`", command.expect("something is to be moved"));
    meaning
}

fn belongs_to_its_version(primary: &Primary) {
    let server = &primary.server;
    let other = MAJORS
        .into_iter()
        .find(|major| *major != server.major())
        .expect("another one");
    let mut start = server.as_postgres(programs::of(other).join("postgres"));
    // With no settings: it would know none of a newer one.
    let none = server.path().join("none.conf");
    fs::write(&none, "").expect("written");
    start
        .arg("-D")
        .arg(server.data())
        .args(["-c", &format!("config_file={}", none.display())]);
    let refused = said(&mut start).expect_err("it is of another version");
    let meaning = primary.means(&refused, "incompatible-files");
    assert!(meaning.mend.contains("PG_VERSION"), "{meaning:?}");
}

fn writes_what_a_standby_needs(primary: &Primary) {
    let server = &primary.server;
    server.start();
    server.sql("select pg_create_physical_replication_slot('needed')");
    server.stop();
    let configuration = fs::read_to_string(server.data().join("postgresql.conf")).expect("it is there");
    for senders in [10, 0] {
        server.rewrite(
            "postgresql.conf",
            &format!("{configuration}wal_level = minimal\nmax_wal_senders = {senders}\n"),
        );
        let meaning = fails(primary, "wal-level");
        // The server that it would be typed at does not run.
        assert!(statements(&meaning).is_empty(), "{meaning:?}");
        assert!(meaning.mend.contains("wal_level = replica"), "{meaning:?}");
    }
    server.rewrite("postgresql.conf", &configuration);
    server.start();
}

/// Into a share that is not there until somebody has looked.
fn ships_its_log(primary: &Primary) {
    let server = &primary.server;
    let share = server.path().join("share");
    let meaning = logs(server, &primary.names, "archive-fails", || {
        server.archive_to(&share);
        server.switch_log();
    });
    assert!(meaning.mend.contains("the share"), "{meaning:?}");
    server.folder_of("share");
    // It tries again by itself; a reload has it try at once.
    server.sql("select pg_reload_conf()");
    wait::until("the file to be shipped", LONG, || {
        (server.sql("select last_archived_wal is not null from pg_stat_archiver") == "t").then_some(())
    });
}

fn append(server: &Postgres, line: &str) {
    let file = server.data().join("postgresql.conf");
    let text = fs::read_to_string(&file).expect("it is there");
    server.rewrite("postgresql.conf", &format!("{text}{line}\n"));
}
