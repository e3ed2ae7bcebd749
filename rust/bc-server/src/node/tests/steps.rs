//! Promotions that are held up in each of their steps, while a line heals or the database is killed.

use std::{collections::BTreeSet, thread};

use bc_core::role::promotion::{Outcome, Step};
use bc_testkit::postgres::{DATABASE, Postgres, USER};

use super::{
    lines::{Pair, Wish, promote},
    *,
};

/// Those that a promotion takes which a person orders, where nothing is handed over.
const STEPS: [Step; 11] = [
    Step::Preflight,
    Step::LastPull,
    Step::BackToAccepted,
    Step::MakeWhole,
    Step::ReplayDatabase,
    Step::BeginEpoch,
    Step::PromoteDatabase,
    Step::Checkpoint,
    Step::Note,
    Step::RecordRole,
    Step::Release,
];

/// The step in which a promotion is now, once it has begun one.
fn step_of(status: &Status) -> Option<Step> {
    let taken = status.promotion.as_ref()?.steps.last()?;
    taken.took_ms.is_none().then_some(taken.step)
}

/// A primary's database that GoCD's user may promote a copy of.
fn grants() -> Postgres {
    let written = Postgres::primary();
    let grant = format!("grant execute on function pg_promote(boolean,integer) to {USER}");
    written.sql_in(DATABASE, &grant);
    written
}

fn knows_its_database(standby: &Scene) {
    standby.until("it knows its database", |status| {
        let servers = status.database.iter().flat_map(|picture| &picture.servers);
        servers.clone().any(|server| server.role.is_some())
    });
}

/// Cuts the line, promotes, and heals it while the promotion is in that step.
fn heals_in(step: Step, database: Option<&Postgres>) {
    let with_database = Wish {
        database: database.map(Postgres::properties),
        ..Wish::default()
    };
    let pair = Pair::open(&Wish::default(), &with_database);
    let (primary, standby) = (&pair.primary, &pair.standby);
    if database.is_some() {
        knows_its_database(standby);
    }
    pair.is_heard();
    pair.cut();
    standby.provoked.hang(step.name(), true);
    let reply = thread::scope(|scope| {
        let ordered = scope.spawn(|| standby.order(&promote(database.is_some())));
        standby.until(step.name(), |status| step_of(status) == Some(step));
        let (role, epoch) = primary.board.look(|status| (status.role, status.epoch.number));
        assert_eq!((role, epoch), (Role::Primary, 1), "{step:?}: nothing tells it");
        pair.heal();
        standby.provoked.hang(step.name(), false);
        let is_released = wait::until("the promotion to end", SOON, || {
            let event = standby.node.next_event(Duration::from_millis(20));
            let is_released = matches!(event, Some(Event::Release(_)));
            (is_released || step == Step::Preflight && ordered.is_finished()).then_some(is_released)
        });
        let role = primary.board.look(|status| status.role);
        assert!(
            !is_released || role == Role::Fenced,
            "GoCD starts beside it, healed in {step:?}"
        );
        ordered.join().expect("no panic")
    });
    if step == Step::Preflight {
        assert!(
            matches!(&reply, Reply::Refused { message, .. } if message.contains("answers as the primary")),
            "{reply:?}"
        );
        standby.until("it follows on", |status| {
            is_in_sync(status) && status.role == Role::Standby
        });
        assert_eq!(primary.board.look(|status| status.role), Role::Primary);
        return;
    }
    assert!(matches!(&reply, Reply::Done { .. }), "{step:?}: {reply:?}");
    pair.is_fenced(2);
    assert_eq!(
        standby.board.look(|status| (status.role, status.epoch.number)),
        (Role::Primary, 2)
    );
}

#[test]
fn in_whatever_step_of_a_promotion_the_line_heals_gocd_starts_beside_no_primary() {
    let written = grants();
    let of_database = [
        Step::Preflight,
        Step::ReplayDatabase,
        Step::PromoteDatabase,
        Step::Checkpoint,
    ];
    let copies = of_database.map(|_| Postgres::standby_of(&written));
    thread::scope(|scope| {
        for step in STEPS {
            let copy = of_database.iter().position(|one| *one == step).map(|at| &copies[at]);
            scope.spawn(move || heals_in(step, copy));
        }
    });
}

#[test]
fn in_whatever_step_of_a_promotion_the_database_is_killed_the_same_command_goes_on() {
    let written = grants();
    let copy = Postgres::standby_of(&written);
    let with_database = Wish {
        database: Some(copy.properties()),
        ..Wish::default()
    };
    let pair = Pair::open(&Wish::default(), &with_database);
    written.sql_in(
        DATABASE,
        "create table jobs (id int); insert into jobs select generate_series(1, 500)",
    );
    copy.catch_up_with(&written);
    pair.primary.node.close();
    written.kill();
    let standby = &pair.standby;
    let mut left: BTreeSet<_> = STEPS.into();
    for step in STEPS {
        standby.provoked.hang(step.name(), true);
    }
    let mut ended = 0;
    let done = loop {
        knows_its_database(standby);
        let reply = thread::scope(|scope| {
            let ordered = scope.spawn(|| standby.order(&promote(true)));
            while !ordered.is_finished() {
                let now = standby.board.look(step_of);
                if let Some(step) = now.filter(|step| left.remove(step)) {
                    copy.kill();
                    standby.provoked.hang(step.name(), false);
                    copy.start();
                }
                thread::yield_now();
            }
            ordered.join().expect("no panic")
        });
        match reply {
            Reply::Done { .. } => break reply,
            Reply::Refused { .. } => ended += 1,
            other => panic!("{other:?}"),
        }
        assert!(ended < STEPS.len(), "it never ends well");
        let (role, journal) = standby.board.look(|status| (status.role, status.promotion.clone()));
        let journal = journal.expect("written down");
        assert_eq!(
            (role, journal.outcome),
            (Role::Standby, Some(Outcome::Ended)),
            "{journal:?}"
        );
        println!("ended: {}", journal.reason.unwrap_or_default());
    };
    assert!(left.is_empty(), "{done:?}: never in {left:?}");
    assert_eq!(copy.sql("select pg_is_in_recovery()"), "f");
    assert_eq!(copy.sql_in(DATABASE, "select count(*) from jobs"), "500");
    assert_eq!(standby.board.look(|status| status.role), Role::Primary);
    println!("it was ordered {} times", ended + 1);
}
