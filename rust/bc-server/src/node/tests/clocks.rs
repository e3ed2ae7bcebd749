//! Nodes whose clocks are set back or forward by a day, or of which one stands still for a minute.

use std::{sync::atomic::AtomicI64, thread};

use bc_core::basics::Clock;
use bc_testkit::{gocd_dir::TOKEN, http};

use super::{
    lines::{Pair, Wish, promote},
    *,
};

const DAY_MS: i64 = 86_400_000;

/// The machine's clock, set by so much.
#[derive(Default)]
struct Set(AtomicI64);

impl Clock for Set {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

/// What a node says is wrong, but for what it says from the beginning.
fn new_problems(scene: &Scene, before: &[Topic]) -> Vec<(Topic, Severity)> {
    let problems = scene.board.look(|status| status.problems.clone());
    let new = problems.into_iter().filter(|problem| !before.contains(&problem.topic));
    new.map(|problem| (problem.topic, problem.severity)).collect()
}

/// Sets the clock of one node while both run, has one promoted beside the other, and boots both.
fn day_apart(on_primary: bool, by_ms: i64) {
    let clocks = [Arc::<Set>::default(), Arc::default()];
    let [of_primary, of_standby] = clocks.each_ref().map(|clock| Wish {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Wish::default()
    });
    let case = format!("the primary's {on_primary}, by {by_ms} ms");
    let pair = Pair::open(&of_primary, &of_standby);
    pair.is_heard();
    let (primary, standby) = (&pair.primary, &pair.standby);
    let before = [primary, standby].map(|scene| {
        scene.board.look(|status| {
            status
                .problems
                .iter()
                .map(|problem| problem.topic.clone())
                .collect::<Vec<_>>()
        })
    });
    let heard_ms = || primary.board.look(|status| status.peers[0].heard_ms).expect("heard");
    let heard = heard_ms();
    clocks[usize::from(!on_primary)].0.store(by_ms, Ordering::SeqCst);

    // Files go on, and nobody is taken to be late or silent by the other's clock.
    let edited = fs::read_to_string(primary.dir.path().join(CONFIG))
        .expect("read")
        .replace("up42", "up43");
    primary.dir.rewrite_config(&edited);
    wait::until("the edit is on the standby", SOON, || {
        (fs::read(standby.dir.path().join(CONFIG)).ok()? == edited.as_bytes()).then_some(())
    });
    standby.until("in sync", is_in_sync);
    primary.until("the primary knows", |status| {
        status.standbys.iter().any(|one| one.in_sync)
    });
    standby.until("it says that the clocks differ", |status| {
        status.problem(&Topic::Clocks).is_some()
    });
    assert_eq!(
        new_problems(standby, &before[1]),
        [(Topic::Clocks, Severity::Warning)],
        "{case}"
    );
    assert_eq!(new_problems(primary, &before[0]), [], "{case}");
    // Its standby is none that was promoted, which a primary asks at once.
    if on_primary {
        wait::until("the primary asks again", SOON, || {
            (heard_ms() - heard != 0).then_some(())
        });
    }
    assert_eq!(primary.board.look(|status| status.role), Role::Primary, "{case}");

    pair.cut();
    let reply = standby.order(&promote(false));
    assert!(matches!(&reply, Reply::Done { .. }), "{case}: {reply:?}");
    assert_eq!(standby.board.look(|status| status.epoch.number), 2);
    assert_eq!(
        primary.board.look(|status| status.role),
        Role::Primary,
        "nothing tells it"
    );
    pair.heal();
    pair.is_fenced(2);

    // Both boot, by clocks that were put right meanwhile: what they wrote down is of another day.
    clocks.iter().for_each(|clock| clock.0.store(0, Ordering::SeqCst));
    let (primary, standby, _lines) = pair.boot(&of_primary, &of_standby);
    primary.until("the former primary is held", |status| {
        status.role == Role::Fenced && status.phase == Phase::Holding
    });
    standby.until("it is let go", |status| {
        status.role == Role::Primary && status.phase == Phase::Releasing && status.epoch.number == 2
    });
}

#[test]
fn a_clock_that_is_set_by_a_day_changes_no_decision_on_either_node() {
    thread::scope(|scope| {
        for on_primary in [true, false] {
            for by_ms in [-DAY_MS, DAY_MS] {
                scope.spawn(move || day_apart(on_primary, by_ms));
            }
        }
    });
}

/// What the primary answers who asks for its files.
fn asked_for_files(primary: &Scene) -> u16 {
    let url = format!(
        "https://127.0.0.1:{}/go/add-on/business-continuity/api/v2/manifest",
        primary.dir.port
    );
    let asked = http::tls_client().get(url).basic_auth(TOKEN.0, Some(TOKEN.1)).send();
    asked.expect("it answers").status().as_u16()
}

/// As after a pause of its machine, whose clock is put right when it goes on. A process that is stopped (SIGSTOP) sees the
/// other clock jump instead: `whoever_stood_still_for_a_minute_has_to_ask_before_anything_else` has both, and
/// `a_primary_that_was_frozen_while_it_was_replaced_asks_first_when_it_wakes` a process that is really stopped.
#[test]
fn a_primary_that_stood_still_for_a_minute_while_it_was_replaced_gives_out_no_file_when_it_goes_on() {
    let clock = Arc::<Set>::default();
    let of_primary = Wish {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..Wish::default()
    };
    let pair = Pair::open(&of_primary, &Wish::default());
    pair.is_heard();
    assert_eq!(asked_for_files(&pair.primary), 200);
    // Nobody is replaced: it asks, and goes on.
    clock.0.store(60_000, Ordering::SeqCst);
    assert_eq!(asked_for_files(&pair.primary), 503);
    wait::until("it has asked", SOON, || {
        (asked_for_files(&pair.primary) == 200).then_some(())
    });

    pair.cut();
    let reply = pair.standby.order(&promote(false));
    assert!(matches!(&reply, Reply::Done { .. }), "{reply:?}");
    pair.heal();
    clock.0.store(120_000, Ordering::SeqCst);
    let answered = asked_for_files(&pair.primary);
    assert!(matches!(answered, 503 | 409), "{answered}");
    pair.is_fenced(2);
    assert_eq!(asked_for_files(&pair.primary), 409);
}
