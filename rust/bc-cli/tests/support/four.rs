//! A pair of nodes beside a pair of PostgreSQL, for tests of `gocd-bc promote` with the database.

use bc_testkit::postgres::{DATABASE, Postgres, USER};
use serde_json::Value;

use crate::{
    pair::{Foreground, STANDBY_STATE, pair_with, standby, status, wait_for},
    support::{Answer, NOBODY, Place},
};

/// A node that starts as the primary waits so long for peers that are gone.
const GUARD: &str = "bc.guard.wait=1000";

/// Both GoCD servers and both databases.
pub struct Four {
    pub place: Place,
    pub primary: Option<Foreground>,
    pub standby: Option<Foreground>,
    pub written: Postgres,
    pub copy: Postgres,
    pub url: String,
    pub settings: Vec<String>,
}

/// How the pair is made.
#[derive(Default)]
pub struct Wish<'a> {
    /// Settings of recovery.
    pub recovery: &'a [(&'a str, &'a str)],
    /// `NAME=VALUE` of the standby.
    pub settings: &'a [&'a str],
    /// Whether GoCD's user may not run `pg_promote`.
    pub is_not_granted: bool,
}

impl Four {
    /// All of them, in sync.
    pub fn of(major: u32, settings: &[&str]) -> Self {
        Self::with(
            major,
            &Wish {
                settings,
                ..Wish::default()
            },
        )
    }

    pub fn with(major: u32, wish: &Wish<'_>) -> Self {
        let written = Postgres::primary_of(major);
        if major > 11 && !wish.is_not_granted {
            let grant = format!("grant execute on function pg_promote(boolean,integer) to {USER}");
            written.sql_in(DATABASE, &grant);
        }
        let conninfo = format!(
            "host=127.0.0.1 port={} user=postgres application_name=standby",
            written.port()
        );
        let recovery = [&[("primary_conninfo", &*conninfo)], wish.recovery].concat();
        let copy = Postgres::standby_with(&written, &recovery);
        let place = Place::new();
        for (node, server) in [("primary", &written), ("standby", &copy)] {
            place.folder(node, NOBODY);
            place.folder(&format!("{node}/config"), NOBODY);
            place.file(&format!("{node}/config/db.properties"), &server.properties(), NOBODY);
        }
        let settings: Vec<String> = [GUARD]
            .iter()
            .chain(wish.settings)
            .flat_map(|setting| ["--property".to_owned(), (*setting).to_owned()])
            .collect();
        let words: Vec<&str> = settings.iter().map(String::as_str).collect();
        let (primary, standby, address) = pair_with(&place, &words);
        let four = Self {
            place,
            primary: Some(primary),
            standby: Some(standby),
            written,
            copy,
            url: format!("https://{address}"),
            settings,
        };
        four.write(1);
        four.until_known();
        four
    }

    /// So many rows on the primary's database.
    pub fn write(&self, rows: u32) {
        self.written.sql_in(
            DATABASE,
            &format!("create table if not exists jobs (id int); insert into jobs select generate_series(1, {rows})"),
        );
    }

    /// Waits until the standby knows that nothing would be lost.
    pub fn until_known(&self) {
        let written = self.written.position();
        wait_for("the standby's database to have received it", || {
            let received = "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())";
            (self.copy.sql(&format!("select ({received}) >= '{written}'")) == "t").then_some(())
        });
        wait_for("the standby to know how far its database is", || {
            let database = &self.standby()["database"];
            let is_known = database["loss_bytes"] == 0 && !database["heard_s"].is_null();
            is_known.then_some(())
        });
    }

    pub fn standby(&self) -> Value {
        status(&self.place, "standby")
    }

    pub fn promote(&self, more: &[&str]) -> Answer {
        promote_in(&self.place, more)
    }

    /// The primary's machine is gone.
    pub fn lose_the_primary(&mut self) {
        self.lose_its_node();
        self.written.crash();
    }

    pub fn lose_its_node(&mut self) {
        self.primary.take().expect("it runs").end();
    }

    /// Ends the standby's node as a power cut does, and starts it again.
    pub fn kill_and_start_the_standby(&mut self) {
        drop(self.standby.take());
        let words: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.standby = Some(standby(&self.place, &self.url, &words));
        wait_for("it answers again, and knows its database", || {
            let role = &self.standby()["database"]["servers"][0]["role"];
            role.as_str().map(drop)
        });
    }

    /// Expects that a promotion is refused, with these words, and changes nothing.
    pub fn is_refused(&self, words: &str) {
        let before = self.standby()["epoch"].clone();
        for how in ["--dry-run", "--yes"] {
            let refused = self.promote(&[how]);
            assert_eq!(refused.code, 1, "{how}: {refused:?}");
            assert!(refused.stderr.contains(words), "{how}: {words}: {refused:?}");
        }
        let after = self.standby();
        assert_eq!((&after["role"], &after["epoch"]), (&"standby".into(), &before));
    }
}

pub fn promote_in(place: &Place, more: &[&str]) -> Answer {
    let words = [&["promote", "--state-dir", STANDBY_STATE, "--wait", "60"], more].concat();
    place.run(&words)
}

/// The order of a node that is going to be killed.
pub fn ordered_in(place: &Place) -> Answer {
    place.run(&["promote", "--yes", "--state-dir", STANDBY_STATE, "--wait", "1"])
}

pub fn rows_of(server: &Postgres) -> String {
    server.sql_in(DATABASE, "select count(*) from jobs")
}
