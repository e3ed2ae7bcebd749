//! A pair of nodes beside two databases that the commands have made a pair: broken by each fault, and set right by what
//! `gocd-bc status` says to type, and the doctor on the host of the database where that refers to it.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    process::{Command, Stdio},
};

use bc_testkit::{
    mounts::Mounts,
    postgres::{PASSWORD, Postgres, for_majors},
    wait::until,
};
use databases::{LONG, Pair, ROLE};
use pair::{Foreground, pair as start_nodes, status};
use support::NOBODY;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/databases.rs"]
mod databases;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const PRIMARY: &str = "primary";
const STANDBY: &str = "standby";

/// Two databases, and a node beside each.
struct Site {
    _nodes: (Foreground, Foreground, String),
    pair: Pair,
}

/// What a node says of its database.
#[derive(Debug)]
struct Said {
    node: &'static str,
    fault: String,
    message: String,
}

impl Site {
    fn start(major: u32) -> Self {
        Self::of(Pair::bare(major))
    }

    fn of(pair: Pair) -> Self {
        pair.become_one();
        for (node, server) in [(PRIMARY, &pair.primary), (STANDBY, &pair.standby)] {
            pair.place.folder(node, NOBODY);
            pair.place.folder(&format!("{node}/config"), NOBODY);
            write_properties(&pair, node, server);
        }
        let site = Self {
            _nodes: start_nodes(&pair.place),
            pair,
        };
        site.is_well("nothing yet", "streaming");
        site
    }

    /// Everything that is wrong, as both nodes say it.
    fn said(&self) -> Vec<Said> {
        let mut all = Vec::new();
        for node in [PRIMARY, STANDBY] {
            let status = status(&self.pair.place, node);
            let findings = status["database"]["findings"].as_array().into_iter().flatten();
            all.extend(findings.map(|finding| Said {
                node,
                fault: finding["name"].as_str().expect("a text").to_owned(),
                message: finding["message"].as_str().expect("a text").to_owned(),
            }));
        }
        all
    }

    /// Waits until a node names this fault, and returns its words.
    fn names(&self, fault: &str) -> Said {
        self.forgets();
        self.says(fault)
    }

    fn says(&self, fault: &str) -> Said {
        until(&format!("{}: {fault} to be named", self.major()), LONG, || {
            let said = self.said().into_iter().find(|said| said.fault == fault)?;
            assert!(!said.message.contains(PASSWORD), "{said:?}");
            // Whoever reads the command's text is told the same.
            let state = format!("{}/db/business-continuity", said.node);
            let shown = self.pair.place.run(&["status", "--state-dir", &state]).stdout;
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let begin: String = words(&said.message).chars().take(60).collect();
            words(&shown).contains(&begin).then_some(said)
        })
    }

    /// Waits until nobody names this fault any more.
    fn ends(&self, fault: &str) {
        self.forgets();
        until(&format!("{}: {fault} to end", self.major()), LONG, || {
            self.said().iter().all(|said| said.fault != fault).then_some(())
        });
    }

    /// Waits until neither node finds anything wrong, and the standby follows in this way.
    fn is_well(&self, fault: &str, following: &str) {
        self.forgets();
        until(&format!("{}, {fault}: all to be well", self.major()), LONG, || {
            let follows = status(&self.pair.place, STANDBY)["database"]["following"] == following;
            (self.said().is_empty() && follows).then_some(())
        });
    }

    /// Breaks it, and types what is said on the host of the database that it is said of.
    fn is_mended(&self, fault: &str, breaks: impl FnOnce(&Pair)) {
        breaks(&self.pair);
        self.types(&self.names(fault));
        self.is_well(fault, "streaming");
        self.pair.follows();
    }

    fn types(&self, said: &Said) {
        let at = match said.node {
            PRIMARY => &self.pair.primary,
            _ => &self.pair.standby,
        };
        println!("{}: {said:?}", self.major());
        assert!(self.pair.types_on(at, &said.message) > 0, "nothing to type in {said:?}");
    }

    /// Ends the sessions of the nodes: whoever logs in anew asks at once what is asked seldom else.
    fn forgets(&self) {
        for server in [&self.pair.primary, &self.pair.standby] {
            if server.runs() {
                let ends =
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'gocd-bc%'";
                drop(server.try_sql("postgres", ends));
            }
        }
    }

    /// What is written now reaches the standby, in a file of the log that has ended.
    fn comes_by_share(&self) {
        self.pair.primary.switch_log();
        let rows = "select count(*) from written";
        let written = self.pair.primary.sql(rows);
        until(&format!("{}: the share to bring it", self.major()), LONG, || {
            (self.pair.standby.try_sql("postgres", rows).as_ref() == Ok(&written)).then_some(())
        });
    }

    fn major(&self) -> u32 {
        self.pair.primary.major()
    }
}

fn write_properties(pair: &Pair, node: &str, server: &Postgres) {
    let file = format!("{node}/config/db.properties");
    pair.place.file(&file, &server.properties(), NOBODY);
}

/// Faults of the way from one to the other.
#[test]
fn a_stream_that_ends_is_named_and_goes_on_by_what_is_said() {
    for_majors(&[11, 18], |major| {
        let site = Site::start(major);
        site.is_mended("disconnected", Pair::remove_lines);
        site.is_mended("disconnected", |pair| {
            let primary = &pair.primary;
            primary.sql(&format!("alter role {ROLE} password 'a password that nobody knows'"));
            pair.cut();
        });
        site.is_mended("disconnected", |pair| {
            pair.standby_follows("host=127.0.0.1 port=1 user=nobody");
        });
        site.is_mended("paused", |pair| pair.standby.pause_replay(true));
        // Version 11 does not say that it wants one.
        let fault = if major > 11 { "slot-missing" } else { "disconnected" };
        site.is_mended(fault, |pair| {
            pair.standby.stop();
            pair.primary.sql("select pg_drop_replication_slot('gocd_bc')");
            pair.standby.start();
        });
        site.is_mended("unreachable", |pair| pair.primary.stop());
    });
}

#[test]
fn servers_that_are_frozen_full_or_wait_are_named_and_set_right_by_what_is_said() {
    for_majors(&[11, 15], |major| {
        let pair = Pair::bare(major);
        pair.primary.sql("alter system set max_connections = 20");
        let site = Site::of(pair);
        let pair = &site.pair;
        let (primary, standby) = (&pair.primary, &pair.standby);

        standby.freeze(true);
        let said = site.says("frozen");
        assert!(said.message.contains("`kill -CONT PID`"), "{said:?}");
        let stopped = stopped_processes(&said.message);
        assert!(stopped.contains(&process_of(standby)), "{stopped:?}");
        // Other tests may have stopped others.
        standby.freeze(false);
        site.is_well("frozen", "streaming");

        standby.stop();
        primary.sql("alter system set synchronous_standby_names = '*'");
        primary.sql("select pg_reload_conf()");
        site.types(&site.names("commits-wait"));
        site.ends("commits-wait");
        standby.start();

        site.is_mended("synchronous-names", |pair| {
            pair.standby.sql("alter system set synchronous_standby_names = '*'");
            pair.standby.sql("select pg_reload_conf()");
        });

        // The room that the node leaves is somebody else's before it comes back.
        let sessions = until("no room for the node", LONG, || {
            let most = primary.fill();
            site.forgets();
            let rest = primary.fill();
            let count = "select count(*) from pg_stat_activity where application_name like 'gocd-bc%'";
            (primary.sql(count) == "0").then_some((most, rest))
        });
        let said = site.says("full");
        assert!(said.message.contains("on the standby's database first"), "{said:?}");
        // A standby takes the limits of roles from its primary.
        let (raises, _) = said.message.split_once(" Or it is").expect("the limit of a role");
        for server in [standby, primary] {
            pair.types_on(server, raises);
            server.restart();
        }
        drop(sessions);
        site.is_well("full", "streaming");
        pair.follows();
    });
}

#[test]
fn a_log_that_piles_up_or_is_given_up_is_named_and_set_right_by_what_is_said() {
    for_majors(&[13, 18], |major| {
        let site = Site::start(major);
        let (primary, standby) = (&site.pair.primary, &site.pair.standby);
        standby.stop();
        primary.sql("alter system set max_slot_wal_keep_size = '16MB'");
        primary.sql("alter system set wal_keep_size = 0");
        primary.sql("select pg_reload_conf()");
        until("the slot to keep too much", LONG, || {
            primary.switch_log();
            (primary.sql("select wal_status from pg_replication_slots") == "unreserved").then_some(())
        });
        site.types(&site.names("slot-fills"));
        site.ends("slot-fills");
        primary.sql("checkpoint");
        standby.start();
        site.is_well("slot-fills", "streaming");

        site.pair.lose_the_log();
        site.types(&site.names("slot-lost"));
        site.is_well("slot-lost", "streaming");
        site.pair.follows();
    });
}

/// Databases that are no copy of the primary's.
#[test]
fn a_standby_that_is_none_is_named_and_made_one_by_what_is_said() {
    let mut site = Site::start(15);
    site.is_mended("takes-writes", |pair| pair.standby.promote());
    // As a base backup that nobody told that it is one: of the same system and timeline.
    site.is_mended("takes-writes", |pair| {
        pair.standby.stop();
        fs::remove_file(pair.standby.data().join("standby.signal")).expect("it is there");
        pair.standby.start();
    });
    site.is_mended("other-system", |pair| {
        let stranger = Postgres::standby_of(&Postgres::primary_of(15));
        stranger.stop();
        pair.standby.stop();
        let aside = pair.standby.path().join("somebody's");
        fs::rename(pair.standby.data(), aside).expect("one file system");
        fs::rename(stranger.data(), pair.standby.data()).expect("one file system");
        pair.standby.settle();
        pair.standby.start();
    });

    // Another standby took over, and nobody told this one.
    let third = Postgres::standby_of(&site.pair.primary);
    third.catch_up_with(&site.pair.primary);
    site.pair.primary.crash();
    third.promote();
    write_properties(&site.pair, PRIMARY, &third);
    site.pair.takes_over(third);
    site.is_mended("other-timeline", |_| {});
}

/// In a mount namespace of each, since mounting is what it is about.
#[test]
fn a_share_that_is_not_mounted_is_named_and_what_it_brings_goes_on_with_it() {
    for_majors(&[11, 18], |major| {
        let mounts = Mounts::private();
        let mut pair = Pair::bare(major);
        let (disk, share) = (pair.primary.folder_of("disk"), pair.primary.path().join("share"));
        fs::create_dir(&share).expect("made");
        mounts.bind(&disk, &share);
        pair.share = Some(share.clone());
        let site = Site::of(pair);
        let (primary, standby) = (&site.pair.primary, &site.pair.standby);
        // By the share alone there is no slot.
        if major > 11 {
            standby.sql("alter system set primary_slot_name = ''");
            standby.sql("select pg_reload_conf()");
        }
        site.pair.remove_lines();
        until("the slot to be free", LONG, || {
            let drops = "select pg_drop_replication_slot('gocd_bc')";
            primary.try_sql("postgres", drops).ok()
        });
        site.comes_by_share();
        site.is_well("by the share alone", "restoring");

        mounts.undo(&share);
        primary.switch_log();
        let said = site.names("archiver-fails");
        assert!(said.message.contains("whether the share is mounted"), "{said:?}");
        let said = site.says("stuck");
        assert!(said.message.contains("whether the share is mounted"), "{said:?}");
        mounts.bind(&disk, &share);
        // It would try again by itself each minute.
        site.comes_by_share();
        site.is_well("a share that was not mounted", "restoring");
    });
}

/// What the command between backticks in a message that lists processes shows of those that are stopped.
fn stopped_processes(message: &str) -> Vec<String> {
    let command = message
        .split('`')
        .find(|part| part.starts_with("ps "))
        .expect("it says how");
    let listed = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output();
    let listed = String::from_utf8(listed.expect("sh runs").stdout).expect("text");
    let columns = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let stopped = columns.filter(|columns| columns.get(1).is_some_and(|state| state.starts_with('T')));
    stopped.map(|columns| columns[0].to_owned()).collect()
}

/// The number of a server's process.
fn process_of(server: &Postgres) -> String {
    let file = fs::read_to_string(server.data().join("postmaster.pid")).expect("it runs");
    file.lines().next().expect("a number").to_owned()
}
