//! `gocd-bc promote` with the database, beside real pairs of PostgreSQL.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::time::Instant;

use bc_testkit::postgres::{DATABASE, Postgres, USER};
use pair::{Foreground, STANDBY_STATE, pair_with, status, wait_for};
use serde_json::Value;
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// Both GoCD servers and both databases.
struct Four {
    place: Place,
    primary: Option<Foreground>,
    _standby: Foreground,
    written: Postgres,
    copy: Postgres,
}

impl Four {
    /// All of them, in sync.
    fn of(major: u32, settings: &[&str]) -> Self {
        Self::with(major, &[], settings)
    }

    /// The same, with further settings of recovery.
    fn with(major: u32, recovery: &[(&str, &str)], settings: &[&str]) -> Self {
        let written = Postgres::primary_of(major);
        if major > 11 {
            written.sql_in(
                DATABASE,
                &format!("grant execute on function pg_promote(boolean,integer) to {USER}"),
            );
        }
        let conninfo = format!(
            "host=127.0.0.1 port={} user=postgres application_name=standby",
            written.port()
        );
        let copy = Postgres::standby_with(&written, &[&[("primary_conninfo", &*conninfo)], recovery].concat());
        let place = Place::new();
        for (node, server) in [("primary", &written), ("standby", &copy)] {
            place.folder(node, NOBODY);
            place.folder(&format!("{node}/config"), NOBODY);
            place.file(&format!("{node}/config/db.properties"), &server.properties(), NOBODY);
        }
        let (primary, standby, _) = pair_with(&place, settings);
        let four = Self {
            place,
            primary: Some(primary),
            _standby: standby,
            written,
            copy,
        };
        four.write(1);
        four.until_known();
        four
    }

    /// So many rows on the primary's database.
    fn write(&self, rows: u32) {
        self.written.sql_in(
            DATABASE,
            &format!("create table if not exists jobs (id int); insert into jobs select generate_series(1, {rows})"),
        );
    }

    /// Waits until the standby knows that nothing would be lost.
    fn until_known(&self) {
        self.copy.catch_up_with(&self.written);
        wait_for("the standby to know how far its database is", || {
            let database = &self.standby()["database"];
            let is_known =
                database["loss_bytes"] == 0 && database["behind_bytes"] == 0 && !database["heard_s"].is_null();
            is_known.then_some(())
        });
    }

    fn standby(&self) -> Value {
        status(&self.place, "standby")
    }

    fn promote(&self, more: &[&str]) -> Answer {
        let words = [&["promote", "--state-dir", STANDBY_STATE, "--wait", "60"], more].concat();
        self.place.run(&words)
    }

    /// The primary's machine is gone.
    fn lose_the_primary(&mut self) {
        self.lose_its_node();
        self.written.crash();
    }

    fn lose_its_node(&mut self) {
        self.primary.take().expect("it runs").end();
    }

    fn rows_of(server: &Postgres) -> String {
        server.sql_in(DATABASE, "select count(*) from jobs")
    }
}

/// When a step of the last promotion began, and how long it took.
fn step(status: &Value, name: &str) -> (i64, i64) {
    let steps = status["promotion"]["steps"].as_array().expect("steps");
    let step = steps
        .iter()
        .find(|step| step["step"] == name)
        .unwrap_or_else(|| panic!("{name}: {status:#}"));
    (
        step["began_ms"].as_i64().expect("a time"),
        step["took_ms"].as_i64().expect("it ended"),
    )
}

#[test]
fn one_command_promotes_database_and_server_and_loses_nothing() {
    for major in [15, 18] {
        let mut four = Four::of(major, &[]);
        four.write(1000);
        let rows = Four::rows_of(&four.written);
        four.until_known();
        four.lose_the_primary();
        let dry = four.promote(&["--dry-run"]);
        assert_eq!(dry.code, 0, "{major}: {dry:?}");
        assert!(dry.stdout.contains("promoted by pg_promote()"), "{dry:?}");
        assert_eq!(four.standby()["role"], "standby", "a dry run changes nothing");
        let begun = Instant::now();
        let promoted = four.promote(&["--yes"]);
        let took = begun.elapsed();
        assert_eq!(promoted.code, 0, "{major}: {promoted:?}");
        assert_eq!(four.copy.sql("select pg_is_in_recovery()"), "f");
        assert_eq!(Four::rows_of(&four.copy), rows);
        let after = four.standby();
        assert_eq!(
            (&after["role"], &after["epoch"]["number"]),
            (&"primary".into(), &2.into())
        );
        assert_eq!(after["promotion"]["outcome"], "complete", "{after:#}");
        assert_eq!(after["promotion"]["timeline"], 2);
        let (began, _) = step(&after, "preflight");
        let (released, _) = step(&after, "release");
        println!(
            "{major}: decision to release {} ms, the command {} ms",
            released - began,
            took.as_millis()
        );
        assert!(released - began < 20_000, "{after:#}");
    }
}
