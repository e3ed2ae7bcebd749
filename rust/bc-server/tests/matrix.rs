//! PostgreSQL 11 to 18, as a connection of ours sees them: a pair of each version, by every kind of user, from streaming
//! over all that goes wrong to the promotion.

use std::time::Duration;

use bc_core::{
    basics::Properties,
    database::{
        configured::{self, Configured, Login},
        following::{Following, History},
        look::{Look, Role},
        lsn::Lsn,
        refusal::Refusal,
    },
};
use bc_server::database::Connection;
use bc_testkit::{
    postgres::{PASSWORD, Postgres, for_every_major},
    wait::until,
};
use tokio::runtime::{Builder, Runtime};

/// Eight pairs start at once on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(120);
/// The owner of GoCD's database with no right besides, one who may see statistics, and one who may all.
const USERS: [&str; 3] = ["gocd", "watcher", "almighty"];

/// A pair of one version.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    runtime: Runtime,
}

impl Pair {
    fn start(major: u32) -> Self {
        let primary = Postgres::primary_of(major);
        // There is room for few sessions, so that it is soon taken.
        primary.configure("postgresql.conf", "max_connections = 20");
        primary.restart();
        primary.sql(&format!(
            "set password_encryption = 'scram-sha-256'; create role watcher login password '{PASSWORD}'; \
             grant pg_monitor to watcher; grant connect on database cruise to watcher; \
             create role almighty superuser login password '{PASSWORD}'"
        ));
        let standby = Postgres::standby_by_slot(&primary, "matrix");
        Self {
            primary,
            standby,
            runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
        }
    }

    fn look_as(&self, user: &str, server: &Postgres) -> Result<Look, Refusal> {
        let login = login(&server.properties_as(user, PASSWORD));
        let looking = async { Connection::open(&login, &login.url.hosts[0]).await?.look().await };
        self.runtime.block_on(looking)
    }

    fn look(&self, server: &Postgres) -> Look {
        self.look_as(USERS[0], server).expect("it answers")
    }

    /// Waits until the standby has all that the primary has written, and says how both are.
    fn level(&self) -> (Look, Look) {
        until("the standby to have it all", LONG, || {
            let there = self.look(&self.primary);
            let here = self.look(&self.standby);
            (here.receiver.is_some() && here.replayed >= there.written).then_some((there, here))
        })
    }
}

fn login(text: &str) -> Login {
    match configured::read(Some(text.as_bytes()), &Properties::default(), None).expect(text) {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    }
}

#[test]
fn every_version_is_understood_whatever_happens_to_it() {
    for_every_major(|major| {
        let pair = Pair::start(major);
        streams(&pair);
        is_paused(&pair);
        is_full(&pair);
        is_starting(&pair);
        is_cut_off(&pair);
        is_promoted(&pair);
    });
}

/// The one statement tells every user the same, on both roles, and bytes behind come back to none.
fn streams(pair: &Pair) {
    let major = pair.primary.major();
    let (there, here) = pair.level();
    for user in USERS {
        let primary = pair.look_as(user, &pair.primary).expect("it answers");
        let standby = pair.look_as(user, &pair.standby).expect("it answers");
        assert_eq!(
            (primary.role, standby.role),
            (Role::Primary, Role::Standby),
            "{user} of {major}"
        );
        assert_eq!(
            (primary.version / 10_000, standby.version),
            (major, primary.version),
            "{user}"
        );
        assert_eq!(
            (primary.system, standby.system),
            (there.system, there.system),
            "{user} of {major}"
        );
        assert_eq!(
            (primary.timeline, primary.replayed, primary.receiver),
            (Some(1), None, None),
            "{user} of {major}"
        );
        assert!(
            primary.written >= there.written && standby.written.is_none(),
            "{user} of {major}"
        );
        assert!(
            standby.replayed >= here.replayed && standby.received.is_some(),
            "{user} of {major}"
        );
        assert_eq!(standby.receiver, here.receiver, "{user} of {major}");
        assert!(!standby.is_paused && !standby.has_archive, "{user} of {major}");
    }
    let mut history = History::default();
    assert_eq!(history.note(&here, there.written, Duration::ZERO), Following::Streaming);
    pair.primary
        .sql_in("cruise", "create table runs as select generate_series(1, 10000) as id");
    let written = pair.look(&pair.primary).written.expect("a primary writes");
    assert!(
        written.bytes_since(there.written.expect("a primary writes")) > 100_000,
        "{major}"
    );
    let (_, here) = pair.level();
    assert_eq!(written.bytes_since(here.replayed.expect("it replays")), 0, "{major}");
}

/// The receiver goes on, so only the pause itself tells.
fn is_paused(pair: &Pair) {
    pair.standby.pause_replay(true);
    pair.primary
        .sql_in("cruise", "insert into runs select generate_series(1, 1000)");
    let written = pair.look(&pair.primary).written;
    let here = pair.look(&pair.standby);
    assert!(
        here.is_paused && here.receiver.is_some() && here.replayed < written,
        "{here:?}"
    );
    assert_eq!(
        History::default().note(&here, written, Duration::ZERO),
        Following::Paused
    );
    pair.standby.pause_replay(false);
    pair.level();
}

/// It is there, and is not to be taken for one that is gone; a superuser gets in by the reserve.
fn is_full(pair: &Pair) {
    for server in [&pair.primary, &pair.standby] {
        let sessions = server.fill();
        assert_eq!(pair.look_as("gocd", server), Err(Refusal::Full), "{}", server.major());
        assert!(pair.look_as("almighty", server).is_ok(), "{}", server.major());
        drop(sessions);
        until("room to be again", LONG, || pair.look_as("gocd", server).ok());
    }
}

/// Two ways to be there and to answer nothing: a restore that hangs before the standby is consistent, and one that takes no
/// queries.
fn is_starting(pair: &Pair) {
    let standby = &pair.standby;
    let hangs = standby.folder_of("hangs");
    standby.stop();
    let command = format!("while test -e {}; do sleep 0.1; done; false", hangs.display());
    standby.append_recovery("restore_command", &command);
    standby.start_anyway();
    until("the start to hang", LONG, || {
        (pair.look_as("gocd", standby) == Err(Refusal::NotReady)).then_some(())
    });
    std::fs::remove_dir(&hangs).expect("it is empty");
    until("it to be started", LONG, || pair.look_as("gocd", standby).ok());
    // The setting is one of recovery, which 11 shows to nobody.
    assert_eq!(pair.look(standby).has_archive, standby.major() > 11);
    standby.configure("postgresql.conf", "hot_standby = off");
    standby.restart();
    assert_eq!(
        pair.look_as("gocd", standby),
        Err(Refusal::NotReady),
        "{}",
        standby.major()
    );
    standby.stop();
    standby.append_recovery("hot_standby", "on");
    standby.start();
    pair.level();
}

/// No receiver, while the primary is known to have more.
fn is_cut_off(pair: &Pair) {
    let (standby, major) = (&pair.standby, pair.standby.major());
    pair.primary.stop();
    let refusal = pair.look_as("gocd", &pair.primary);
    assert!(matches!(refusal, Err(Refusal::Unreachable(_))), "{refusal:?}");
    let here = until("the receiver to end", LONG, || {
        Some(pair.look(standby)).filter(|look| look.receiver.is_none())
    });
    let more: Lsn = "F/0".parse().expect("a position");
    let mut history = History::default();
    let at = |second| Duration::from_secs(second);
    // The first look sees it get there. Version 11 does not say that it has an archive, and is believed to for a while.
    history.note(&here, Some(more), at(0));
    assert_eq!(history.note(&here, Some(more), at(1)), Following::Restoring, "{major}");
    assert_eq!(
        history.note(&pair.look(standby), Some(more), at(40)),
        Following::Stuck,
        "{major}"
    );
}

/// The timeline is the new one at once, for every user; and soon on a standby that follows, for those who may see what it
/// receives: the control data has it minutes later.
fn is_promoted(pair: &Pair) {
    let follower = Postgres::backup_of(&pair.standby);
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", pair.standby.port());
    follower.follow(&[("primary_conninfo", &conninfo)]);
    if follower.major() >= 12 {
        // It came along from the standby, which has no such slot itself; the file of 11 was made anew.
        follower.append_recovery("primary_slot_name", "");
    }
    follower.start();
    let on_timeline = |user: &str, timeline: u32| {
        until("the follower to receive", LONG, || {
            let look = pair.look_as(user, &follower).ok()?;
            (look.receiver.is_some() && look.timeline == Some(timeline)).then_some(())
        });
    };
    on_timeline("watcher", 1);
    let before = pair.look(&pair.standby);
    pair.standby.promote();
    for user in USERS {
        let look = pair.look_as(user, &pair.standby).expect("it answers");
        assert_eq!(
            (look.role, look.timeline),
            (Role::Primary, Some(2)),
            "{user} of {}",
            pair.standby.major()
        );
        assert_eq!((look.system, look.receiver), (before.system, None), "{user}");
        assert!(look.written >= before.replayed, "{look:?}");
    }
    for user in ["watcher", "almighty"] {
        on_timeline(user, 2);
    }
}
