//! Two bare clusters of each version: made a pair by the two commands, broken by one fault after the other, and each time
//! set right by nothing but what the command says to type. What the versions do not differ in is tried on one of each kind.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use bc_testkit::{
    postgres::{for_every_major, for_majors},
    wait::until,
};
use databases::{LONG, Pair, ROLE};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/databases.rs"]
mod databases;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

#[test]
fn two_bare_clusters_become_a_pair_and_what_breaks_it_is_mended_by_what_is_said() {
    for_every_major(|major| {
        let pair = Pair::bare(major);
        pair.become_one();
        let primary = &pair.primary;

        pair.standby.stop();
        primary.sql("select pg_drop_replication_slot('gocd_bc')");
        pair.types_until_well("no slot");

        primary.sql("alter system set max_connections = 151");
        primary.restart();
        pair.types_until_well("a setting that is lower");

        pair.lose_the_log();
        pair.types_until_well("a log that is gone");
    });
}

/// What reads the settings of recovery and where it has them changed with 12 and 13.
#[test]
fn a_pair_that_was_cut_is_mended_by_what_is_said() {
    for_majors(&[12, 16], |major| {
        let pair = Pair::bare(major);
        pair.become_one();
        let primary = &pair.primary;

        pair.remove_lines();
        pair.types_until_well("no line of pg_hba.conf");

        primary.sql(&format!("alter role {ROLE} noreplication"));
        pair.cut();
        pair.types_until_well("no attribute REPLICATION");

        primary.sql(&format!("alter role {ROLE} password 'a password that nobody knows'"));
        pair.cut();
        pair.types_until_well("another password");

        pair.standby.pause_replay(true);
        primary.switch_log();
        pair.types_until_well("a replay that is paused");

        pair.standby_follows("host=127.0.0.1 port=1 user=nobody");
        pair.types_until_well("another primary_conninfo");
    });
}

/// Nothing but the files of the share comes from the primary any more.
#[test]
fn a_pair_with_a_share_goes_on_by_the_share_alone() {
    for_majors(&[11, 13], |major| {
        let mut pair = Pair::bare(major);
        pair.share = Some(pair.primary.folder_of("share"));
        pair.become_one();
        pair.remove_lines();
        pair.primary.switch_log();
        let rows = pair.primary.sql("select count(*) from written");
        until("the share to bring it", LONG, || {
            let there = pair.standby.try_sql("postgres", "select count(*) from written");
            (there.as_ref() == Ok(&rows)).then_some(())
        });
        assert_eq!(pair.standby.sql("select count(*) from pg_stat_wal_receiver"), "0");
        pair.types_until_well("no line of pg_hba.conf");
    });
}
