//! What the watch says of real PostgreSQL servers of every version: each state by its name, with the command that ends it.

use std::{sync::Arc, thread, time::Duration};

use bc_core::{
    basics::{Properties, Severity},
    database::{
        answer::Answer,
        configured::{self, Configured, Login},
        finding::Fault,
        following::Following,
        look::Role,
        picture::Picture,
        position::Told,
        watch::Watch,
    },
};
use bc_server::database::Connection;
use bc_testkit::{
    postgres::{DATABASE, PASSWORD, Postgres, USER, for_every_major, for_majors},
    wait::until,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

const LONG: Duration = Duration::from_secs(180);

fn login(text: &str) -> Login {
    match configured::read(Some(text.as_bytes()), &Properties::default(), None).expect(text) {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    }
}

/// All that a node asks of the server of `login`, over one connection.
async fn asked(login: &Login) -> Answer {
    let server = login.url.hosts[0].clone();
    let all = async {
        let connection = Connection::open(login, &server).await?;
        let look = connection.look().await?;
        let facts = connection
            .facts(look.version)
            .await?
            .expect("each version knows all of it");
        let lock = match &facts.lock_table {
            Some(table) => connection.lock(table).await?,
            None => None,
        };
        // The connection goes on, whatever was asked over it.
        connection.look().await?;
        Ok((look, facts, lock))
    };
    match all.await {
        Ok((look, facts, lock)) => Answer {
            facts: Some(Arc::new(facts)),
            lock,
            ..Answer::of(server, Ok(look))
        },
        Err(refusal) => Answer::of(server, Err(refusal)),
    }
}

/// Both nodes of a pair, as their watches see it.
struct Pair {
    runtime: Runtime,
    primary: Login,
    standby: Login,
    watches: [Watch; 2],
    begin: Instant,
}

impl Pair {
    fn of(primary: &Postgres, standby: &Postgres) -> Self {
        Self::at(&primary.properties(), &standby.properties())
    }

    fn at(primary: &str, standby: &str) -> Self {
        Self {
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
            primary: login(primary),
            standby: login(standby),
            watches: [Watch::default(), Watch::default()],
            begin: Instant::now(),
        }
    }

    fn ask(&self, login: &Login) -> Answer {
        self.runtime.block_on(asked(login))
    }

    /// One round of both nodes.
    fn look(&mut self) -> [Picture; 2] {
        let [first, second] = &mut self.watches;
        let on_primary = self.runtime.block_on(asked(&self.primary));
        let there = first.note(&self.primary, &[on_primary], None, self.begin.elapsed());
        let told: Option<Told> = there.told();
        if let Some(told) = &told {
            second.hear(&told.position, self.begin.elapsed());
        }
        let on_standby = self.runtime.block_on(asked(&self.standby));
        let here = second.note(&self.standby, &[on_standby], Some(told.as_ref()), self.begin.elapsed());
        [there, here]
    }

    /// Waits until one of the nodes says this, and returns with which words.
    fn wait_for(&mut self, fault: Fault) -> String {
        let what = format!("{fault}, {}", of_whom());
        until(&what, LONG, || {
            let pictures = self.look();
            let mut findings = pictures.iter().flat_map(|picture| &picture.findings);
            let message = findings.find(|finding| finding.name == fault)?.message.clone();
            assert!(!message.contains(PASSWORD), "{message}");
            Some(message)
        })
    }

    /// Waits until nothing is wrong on either of them.
    fn wait_until_well(&mut self) -> [Picture; 2] {
        let what = format!("all to be well, {}", of_whom());
        until(&what, LONG, || {
            let pictures = self.look();
            let is_well = pictures.iter().all(|picture| picture.findings.is_empty());
            is_well.then_some(pictures)
        })
    }
}

/// The version that a thread is about.
fn of_whom() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Runs what a message says to type, as SQL: each text between backticks that is some.
fn type_in(server: &Postgres, message: &str) {
    let quoted = message.split('`').skip(1).step_by(2);
    let is_sql = |text: &&str| text.starts_with("select ") || text.starts_with("alter ");
    let commands: Vec<&str> = quoted.filter(is_sql).collect();
    assert!(!commands.is_empty(), "{message}");
    for command in commands {
        server.sql(command);
    }
}

/// As GoCD's plain owner, as a member of `pg_monitor` and as superuser: nothing that is decided needs more than the first.
#[test]
fn every_kind_of_user_of_every_version_is_told_the_same() {
    for_every_major(|major| {
        let primary = Postgres::primary_of(major);
        for (user, rights) in [("monitor", "in role pg_monitor"), ("root", "superuser")] {
            primary.sql(&format!(
                "set password_encryption = 'scram-sha-256'; create role {user} login password '{PASSWORD}' {rights}"
            ));
        }
        let standby = Postgres::standby_of(&primary);
        for user in [USER, "monitor", "root"] {
            let of = |server: &Postgres| server.properties_as(user, PASSWORD);
            let mut pair = Pair::at(&of(&primary), &of(&standby));
            let [there, here] = pair.wait_until_well();
            let who = format!("{user} of {major}");
            assert_eq!(there.servers[0].role, Some(Role::Primary), "{who}");
            let may_promote = there.servers[0].may_promote;
            assert_eq!(may_promote, Some(user == "root" && major > 11), "{who}");
            assert_eq!((there.servers[0].platform, here.servers[0].platform), (None, None));
            assert!(here.line().starts_with("streaming, "), "{who}: {}", here.line());
            let told = there.told().and_then(|told| told.server).expect("it answers");
            assert_eq!(told.limits.len(), 5, "{who}");
            let facts = pair.ask(&pair.primary).facts.expect("it answers");
            assert_eq!((facts.may_monitor, facts.senders), (user != USER, 1), "{who}");
        }
    });
}

#[test]
fn what_a_message_says_to_type_mends_it() {
    for_every_major(|major| {
        let primary = Postgres::primary_of(major);
        let standby = Postgres::standby_of(&primary);
        let mut pair = Pair::of(&primary, &standby);
        pair.wait_until_well();

        standby.pause_replay(true);
        let message = pair.wait_for(Fault::Paused);
        type_in(&standby, &message);
        pair.wait_until_well();

        // A setting that a base backup brings along.
        standby.sql("alter system set synchronous_standby_names = '*'");
        standby.sql("select pg_reload_conf()");
        let message = pair.wait_for(Fault::SynchronousNames);
        type_in(&standby, &message);
        pair.wait_until_well();

        // A slot that the standby wants and the primary has not. Version 11 does not say that it wants one.
        standby.follow_otherwise("primary_slot_name", "gocd_bc");
        if major > 11 {
            let message = pair.wait_for(Fault::SlotMissing);
            type_in(&primary, &message);
        } else {
            pair.wait_for(Fault::Disconnected);
            primary.sql("select pg_create_physical_replication_slot('gocd_bc', true)");
        }
        pair.wait_until_well();

        // Commits wait once the only standby is gone.
        primary.sql("alter system set synchronous_standby_names = '*'");
        primary.sql("select pg_reload_conf()");
        standby.crash();
        let message = pair.wait_for(Fault::CommitsWait);
        type_in(&primary, &message);
        standby.start();
        pair.wait_until_well();
    });
}

#[test]
fn what_is_in_gocds_database_is_read_and_waited_for_no_longer_than_it_takes() {
    let server = Postgres::primary();
    let pair = Pair::of(&server, &server);
    let lock = || pair.ask(&pair.primary).lock;
    assert_eq!(lock(), None);
    server.sql_in(
        DATABASE,
        &format!(
            "create table databasechangeloglock (id int primary key, locked boolean, lockgranted timestamp, lockedby text); \
             insert into databasechangeloglock values (1, true, now(), 'primarygo (10.0.0.5)'); \
             alter table databasechangeloglock owner to {USER}"
        ),
    );
    let holder = lock().expect("it is held").holder;
    assert_eq!(holder.as_deref(), Some("primarygo (10.0.0.5)"));
    // Migrations end within minutes: one that lasts is somebody's who was killed.
    let mut watch = Watch::default();
    let mut note = |second| {
        let answer = pair.ask(&pair.primary);
        watch.note(&pair.primary, &[answer], None, Duration::from_secs(second))
    };
    assert!(note(0).findings.is_empty());
    let findings = note(300).findings;
    assert_eq!(findings[0].name, Fault::Locked, "{findings:?}");
    let typed = findings[0].message.split('`').find(|part| part.starts_with("update "));
    server.sql_in(DATABASE, typed.expect("what takes it back"));
    assert!(note(301).findings.is_empty());
    assert_eq!(lock(), None);
    // As on a machine with another glibc than the one that made the indexes.
    let differ = || pair.ask(&pair.primary).facts.expect("it answers").collations_differ;
    assert_ne!(differ(), Some(true));
    server.sql_in(
        DATABASE,
        "update pg_database set datcollversion = '1' where datname = current_database()",
    );
    assert_eq!(differ(), Some(true));
    // One who changes the table: the connection is of use afterwards, which `asked` looks at.
    thread::scope(|scope| {
        let hold = "begin; lock table databasechangeloglock; select pg_sleep(600)";
        scope.spawn(|| server.try_sql(DATABASE, hold));
        until("the table to be held", LONG, || {
            let held = server.sql("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted");
            (held != "0").then_some(())
        });
        let answer = pair.ask(&pair.primary);
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%sleep(600)' and pid <> \
                   pg_backend_pid()";
        server.sql(end);
        assert!(answer.look.is_ok() && answer.lock.is_none(), "{answer:?}");
    });
}

#[test]
fn a_copy_that_is_none_is_told_from_one() {
    for_majors(&[11, 14, 18], |major| {
        let primary = Postgres::primary_of(major);
        let other = Postgres::primary_of(major);
        let standby = Postgres::standby_of(&primary);
        let of_other = Postgres::standby_of(&other);
        Pair::of(&primary, &standby).wait_until_well();
        for (there, here, fault) in [
            (&primary, &primary, Fault::SameServer),
            (&primary, &other, Fault::TakesWrites),
            (&primary, &of_other, Fault::OtherSystem),
            (&standby, &standby, Fault::IsStandby),
        ] {
            Pair::of(there, here).wait_for(fault);
        }
        other.configure("postgresql.conf", "default_transaction_read_only = on");
        Pair::of(&primary, &other).wait_for(Fault::Fenced);

        // The other standby takes over, and nobody told this one.
        let third = Postgres::standby_of(&primary);
        Pair::of(&primary, &third).wait_until_well();
        primary.crash();
        third.promote();
        Pair::of(&third, &standby).wait_for(Fault::OtherTimeline);
    });
}

#[test]
fn two_majors_are_no_pair() {
    let (older, newer) = (Postgres::primary_of(15), Postgres::primary_of(16));
    let standby = Postgres::standby_of(&older);
    let message = Pair::of(&newer, &standby).wait_for(Fault::OtherMajor);
    assert!(message.contains("PostgreSQL 15 and the primary's is 16"), "{message}");
}

#[test]
fn a_standby_by_an_archive_alone_is_well_while_it_gets_on() {
    for_majors(&[11, 12, 18], |major| {
        let primary = Postgres::primary_of(major);
        let share = primary.folder_of("share");
        primary.archive_to(&share);
        let standby = Postgres::archive_standby_of(&primary, &share);
        let mut pair = Pair::of(&primary, &standby);
        for _ in 0..3 {
            primary.switch_log();
            let written = primary.position().parse().expect("a position");
            until("the archive to be replayed", LONG, || {
                let [there, here] = pair.look();
                assert_eq!((&there.findings, &here.findings), (&vec![], &vec![]), "{major}");
                assert_eq!(here.following, Some(Following::Restoring), "{major}");
                (here.servers[0].position >= Some(written)).then_some(())
            });
        }
    });
}

#[test]
fn slots_and_archives_of_a_primary_are_looked_after() {
    for_majors(&[11, 13, 16, 18], |major| {
        let primary = Postgres::primary_of(major);
        let standby = Postgres::standby_of(&primary);
        let mut pair = Pair::of(&primary, &standby);
        pair.wait_until_well();
        primary.sql("select pg_create_physical_replication_slot('gocd_bc', true)");
        let seen = pair.ask(&pair.primary).facts.expect("it answers");
        let slot = &seen.slots()[0];
        let state = (major > 12).then_some("reserved");
        assert_eq!((slot.is_active, slot.state.as_deref()), (false, state), "{major}");
        assert!(slot.kept.is_some(), "{major}");
        if major > 12 {
            // Nobody receives through it, and it keeps more than it may.
            primary.sql("alter system set max_slot_wal_keep_size = '1MB'");
            primary.sql("alter system set max_wal_size = '32MB'");
            primary.sql("select pg_reload_conf()");
            for _ in 0..5 {
                primary.switch_log();
            }
            // The standby has no slot: what it lacks, the checkpoint would take away.
            standby.catch_up_with(&primary);
            primary.sql("checkpoint");
            let message = pair.wait_for(Fault::SlotLost);
            type_in(&primary, &message);
            pair.wait_until_well();
        }
        primary.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots");
        primary.configure("postgresql.conf", "archive_mode = on\narchive_command = 'false'");
        primary.restart();
        primary.switch_log();
        pair.wait_for(Fault::ArchiverFails);
        primary.configure("postgresql.conf", "archive_command = 'true'");
        pair.wait_until_well();
    });
}

/// A disk that changes what is on it, of which PostgreSQL tells as soon as somebody reads that.
#[test]
fn pages_of_a_standby_that_are_damaged_are_said() {
    for_majors(&[12, 18], |major| {
        let primary = Postgres::checked_primary_of(major);
        primary.sql_in(
            DATABASE,
            "create table pipelines as select generate_series(1, 1000) as id",
        );
        let standby = Postgres::standby_of(&primary);
        standby.catch_up_with(&primary);
        let mut pair = Pair::of(&primary, &standby);
        pair.wait_until_well();
        let file = standby.sql_in(DATABASE, "select pg_relation_filepath('pipelines')");
        standby.stop();
        standby.damage(&file);
        standby.start();
        let read = standby.try_sql(DATABASE, "select count(*) from pipelines");
        assert!(read.is_err(), "{major}: {read:?}");
        let message = pair.wait_for(Fault::DamagedPages);
        let anew = "gocd-bc setup database-standby --primary HOST --anew --write";
        assert!(message.contains(anew), "{message}");
    });
}

#[test]
fn a_limit_that_is_lower_than_the_primarys_pauses_the_replay() {
    for major in [14, 18] {
        let primary = Postgres::primary_of(major);
        let standby = Postgres::standby_of(&primary);
        let mut pair = Pair::of(&primary, &standby);
        pair.wait_until_well();
        primary.configure("postgresql.conf", "max_connections = 150");
        primary.restart();
        let message = until("a pause", LONG, || {
            let [_, here] = pair.look();
            let finding = here.findings.first()?;
            (finding.severity == Severity::Critical && finding.name == Fault::LowerSettings)
                .then(|| finding.message.clone())
        });
        assert!(
            message.contains("max_connections is 100, on the primary 150"),
            "{message}"
        );
        type_in(&standby, &message);
        standby.restart();
        pair.wait_until_well();
    }
}
