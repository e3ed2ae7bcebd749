//! What a standby says that does not follow.

use bc_testkit::{
    postgres::{Postgres, for_majors},
    wait::until,
};

use crate::{LONG, Primary, logs, type_statements};

/// One of each wording.
const MAJORS: [u32; 5] = [11, 13, 14, 16, 18];

#[test]
fn what_a_standby_says_that_does_not_follow_is_known_and_mended() {
    for_majors(&MAJORS, |major| {
        let primary = Primary::start(major);
        let standby = Postgres::standby_of(&primary.server);
        follows(&primary, &standby);
        // Each where the other ones are not in its way.
        is_told_the_right_thing(&primary, &standby);
        hangs_at_its_start(&primary, &standby);
        loses_its_primary(&primary, &standby);
        has_lower_settings(&primary, &standby);
        misses_what_is_gone(&primary, &standby);
        drop(standby);
        is_no_copy(&primary);
        went_another_way(&primary);
    });
}

/// The words by which a standby here finds its primary.
fn conninfo(primary: &Primary) -> String {
    format!(
        "host=127.0.0.1 port={} user=postgres application_name=standby",
        primary.server.port()
    )
}

fn follows(primary: &Primary, standby: &Postgres) {
    until("the standby to follow", LONG, || {
        let written = primary.server.position();
        let behind = format!(
            "select '{written}'::pg_lsn <= pg_last_wal_replay_lsn() and exists (select 1 from pg_stat_wal_receiver)"
        );
        (standby.try_sql("postgres", &behind).ok()? == "t").then_some(())
    });
}

fn is_told_the_right_thing(primary: &Primary, standby: &Postgres) {
    if standby.major() < 17 {
        let newer = format!("{} sslnegotiation=postgres", conninfo(primary));
        logs(standby, &primary.names, "conninfo-keyword", || {
            standby.follow_otherwise("primary_conninfo", &newer)
        });
        standby.follow_otherwise("primary_conninfo", &conninfo(primary));
        follows(primary, standby);
    }
    let meaning = logs(standby, &primary.names, "slot-missing", || {
        standby.follow_otherwise("primary_slot_name", "provoked");
        // Whoever receives already does so without a slot.
        standby.restart();
    });
    type_statements(&primary.server, &meaning);
    follows(primary, standby);
    match standby.major() {
        // It takes no empty name there.
        11 => standby.follow(&[("primary_conninfo", &conninfo(primary))]),
        _ => standby.append_recovery("primary_slot_name", ""),
    }
    standby.restart();
    primary.server.sql("select pg_drop_replication_slot('provoked')");
    follows(primary, standby);
}

fn hangs_at_its_start(primary: &Primary, standby: &Postgres) {
    let hangs = standby.folder_of("hangs");
    standby.stop();
    let command = format!("while test -e {}; do sleep 0.1; done; false", hangs.display());
    standby.append_recovery("restore_command", &command);
    standby.start_anyway();
    let starting = until("the start to hang", LONG, || {
        let asked = standby.try_sql("postgres", "select 1");
        asked.err().filter(|said| said.contains("database system"))
    });
    primary.means(&starting, "starting");
    std::fs::remove_dir(&hangs).expect("it is empty");
    follows(primary, standby);
}

fn loses_its_primary(primary: &Primary, standby: &Postgres) {
    logs(standby, &primary.names, "broke", || primary.server.crash());
    primary.server.start();
    follows(primary, standby);
    standby.configure("postgresql.conf", "wal_receiver_timeout = '2s'");
    logs(standby, &primary.names, "receiver-timeout", || {
        primary.server.freeze(true)
    });
    primary.server.freeze(false);
    standby.configure("postgresql.conf", "wal_receiver_timeout = '60s'");
    follows(primary, standby);
}

fn has_lower_settings(primary: &Primary, standby: &Postgres) {
    primary.server.sql("alter system set max_connections = 150");
    let before = standby.log().len();
    let meaning = logs(standby, &primary.names, "setting-lower", || primary.server.restart());
    if standby.major() < 14 {
        until("it to end", LONG, || (!standby.runs()).then_some(()));
    } else {
        until("it to pause", LONG, || {
            (standby.sql("select pg_is_wal_replay_paused()") == "t").then_some(())
        });
        // Whoever restarts it first is told once more, and it does not start.
        standby.stop();
        logs(standby, &primary.names, "setting-lower", || standby.start_anyway());
        until("it to give up", LONG, || (!standby.runs()).then_some(()));
    }
    let whole = primary.means(&standby.log()[before..], "setting-lower");
    assert!(
        meaning.mend.contains("max_connections") || whole.mend.contains("max_connections"),
        "{whole:?}"
    );
    standby.append_recovery("max_connections", "150");
    standby.start();
    follows(primary, standby);
}

/// The primary keeps nothing for it, or less than it needs.
fn misses_what_is_gone(primary: &Primary, standby: &Postgres) {
    let (server, major) = (&primary.server, primary.server.major());
    let by_slot = (major > 12).then(|| {
        let keep = "alter system set max_slot_wal_keep_size = '16MB'";
        server.sql(keep);
        server.sql("select pg_reload_conf()");
        Postgres::standby_by_slot(server, "provoked")
    });
    if let Some(by_slot) = &by_slot {
        follows(primary, by_slot);
        by_slot.stop();
    }
    standby.stop();
    // What it needs next, or what comes after that.
    server.switch_log();
    let first = server.sql("select pg_walfile_name(pg_current_wal_lsn())");
    let kept = format!("select count(*) from pg_ls_waldir() where name = '{first}'");
    until("the file to be gone", LONG, || {
        server.switch_log();
        server.sql("checkpoint");
        (server.sql(&kept) == "0").then_some(())
    });
    logs(standby, &primary.names, "wal-removed", || standby.start_anyway());
    if let Some(by_slot) = by_slot {
        let name = if major < 18 { "wal-removed" } else { "slot-lost" };
        let meaning = logs(&by_slot, &primary.names, name, || by_slot.start_anyway());
        by_slot.stop();
        match major {
            18 => type_statements(server, &meaning),
            _ => drop(server.sql("select pg_drop_replication_slot('provoked')")),
        }
        assert_eq!(server.sql("select count(*) from pg_replication_slots"), "0");
    }
}

fn is_no_copy(primary: &Primary) {
    let stranger = Postgres::cluster_of(primary.server.major());
    stranger.follow(&[("primary_conninfo", &conninfo(primary))]);
    logs(&stranger, &primary.names, "another-system", || stranger.start_anyway());
}

/// A former primary that went on after its standby was promoted.
fn went_another_way(primary: &Primary) {
    let old = &primary.server;
    let new = Postgres::standby_of(old);
    follows(primary, &new);
    new.promote();
    old.switch_log();
    old.stop();
    let upstream = format!("host=127.0.0.1 port={} user=postgres", new.port());
    old.follow(&[("primary_conninfo", &upstream)]);
    let names = primary.names.clone().with("primary", "the new one");
    let meaning = logs(old, &names, "diverged", || old.start_anyway());
    assert!(meaning.mend.contains("--reseed"), "{meaning:?}");
    // Restarted, it finds the history of the new timeline here, and does not start any more.
    old.stop();
    logs(old, &names, "timeline-not-reached", || old.start_anyway());
}
