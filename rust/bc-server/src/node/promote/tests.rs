//! The steps of a promotion where each of them may fail, with the test in the place of the puller.

use std::collections::BTreeMap;

use bc_core::{
    basics::{Digest, Kind, Properties, SystemClock},
    generation::{Envelope, Epoch, Lineage, ManifestDocument, manifest::FORMAT},
    role::{Recorded, inquiry::Verdict, unacknowledged::Unacknowledged},
    standby::{
        pull::Outcome,
        store::{Permit, disk},
    },
    status::Status,
};
use tokio::sync::mpsc;

use super::{files::MADE_WHOLE, *};
use crate::node::gocd::Note;

struct Held {
    promotion: Arc<Promotion>,
    orders: mpsc::Receiver<PullOrder>,
    _folder: tempfile::TempDir,
}

/// A held standby whose puller is the test.
fn held() -> Held {
    let folder = tempfile::tempdir().expect("folder");
    let state = Arc::new(StateDir::open(folder.path()).expect("opens"));
    let status = Status::new(state.node_id(), Role::Standby, Phase::Holding, 0);
    let (puller, orders) = mpsc::channel(4);
    let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
    let (settings, _) = Settings::parse(&properties, |_| false);
    let board = Arc::new(StatusBoard::new(status, Arc::new(SystemClock)));
    let settings = Arc::new(settings);
    let promotion = Promotion {
        launch: Launch {
            events: Arc::default(),
            note: Note {
                settings: Arc::clone(&settings),
                state: Arc::clone(&state),
                board: Arc::clone(&board),
            },
        },
        board,
        clock: Arc::new(SystemClock),
        run: Arc::new(Run::begin(None, state.path(), 0).expect("a run")),
        state,
        database: Database::of(&settings),
        settings,
        primary: None,
        launcher: None,
        flag: Flag::Property,
        place: Place::Held,
        accept_wait: Duration::from_secs(60),
        puller: Some(puller),
        store: Arc::new(|| Err(Error::new(Kind::File, "the store cannot be opened", ""))),
        serve: None,
        running: AtomicBool::new(false),
        provoked: Arc::default(),
    };
    Held {
        promotion: Arc::new(promotion),
        orders,
        _folder: folder,
    }
}

fn by_order(as_it_is: bool) -> (Begun, mpsc::Receiver<String>) {
    let (progress, steps) = mpsc::channel(64);
    let begun = Begun::ByOrder {
        as_it_is,
        database: None,
        maintenance: false,
        progress,
    };
    (begun, steps)
}

fn by_itself(again: fn() -> Verdict) -> Begun {
    Begun::ByItself {
        reason: "nobody answered".to_owned(),
        highest: None,
        with_database: false,
        ask: Box::new(move || Box::pin(async move { again() })),
    }
}

fn by_itself_with_database() -> Begun {
    match by_itself(silence) {
        Begun::ByItself {
            reason, highest, ask, ..
        } => Begun::ByItself {
            reason,
            highest,
            with_database: true,
            ask,
        },
        ordered => ordered,
    }
}

fn silence() -> Verdict {
    Verdict::Promote {
        silence: "connection refused".to_owned(),
        highest: None,
    }
}

/// A store of a GoCD that has no file yet.
fn store(folder: &std::path::Path) -> Arc<DiskStore> {
    let properties = Properties::from_iter([("user.dir", folder.to_str().expect("UTF-8"))]);
    let (settings, _) = Settings::parse(&properties, |_| false);
    let layout = &settings.layout;
    drop(StateDir::open(layout.state_dir()).expect("opens"));
    let store = DiskStore::open(
        layout.state_dir(),
        layout,
        Arc::new(SystemClock),
        disk::Options::default(),
    );
    Arc::new(store.expect("opens"))
}

/// Whether it makes nothing live: what is offered here it refuses anyway.
fn rests(store: &DiskStore) -> bool {
    let offered = ManifestDocument {
        format: FORMAT,
        generation: Digest::of(b""),
        envelope: Envelope {
            sequence: 1,
            product_version: String::new(),
            ..Envelope::of("primary", Role::Primary)
        },
        files: BTreeMap::new(),
        withheld: Default::default(),
        retained: Default::default(),
        own_jars: BTreeMap::new(),
        lineage: Lineage::default(),
        extra_is_unknown: false,
    };
    let refused = store
        .apply(&offered, Permit::default())
        .expect_err("it has no configuration");
    refused.kind() == Kind::Busy
}

/// Lets the two orders of a promotion go unanswered, as a puller that has failed does.
async fn no_puller(held: &mut Held) {
    drop(held.orders.recv().await);
    drop(held.orders.recv().await);
}

#[tokio::test]
async fn a_store_rests_for_good_only_once_the_role_is_recorded() {
    let mut held = held();
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path());
    let given = Arc::clone(&store);
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").store = Arc::new(move || Ok(Arc::clone(&given)));
    let record = held.promotion.state.path().join(bc_core::role::FILE);
    std::fs::create_dir_all(record.join("in the way")).expect("folder");
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(by_order(true).0));
    no_puller(&mut held).await;
    let reply = begin.await.expect("no panic");
    assert!(matches!(reply, Reply::Refused { .. }), "{reply:?}");
    assert!(
        matches!(held.orders.recv().await, Some(PullOrder::Now)),
        "it follows on"
    );
    while Arc::strong_count(&store) > 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!rests(&store), "the standby goes on");

    std::fs::remove_dir_all(&record).expect("remove");
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(by_order(true).0));
    no_puller(&mut held).await;
    let reply = begin.await.expect("no panic");
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    assert!(rests(&store), "nothing changes under a GoCD that starts");
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_took_too_long_leaves_no_store_at_rest() {
    let mut held = held();
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path());
    let given = Arc::clone(&store);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (unstuck, stuck) = std::sync::mpsc::channel::<()>();
    let stuck = std::sync::Mutex::new(stuck);
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").store = Arc::new(move || {
        let opened = Arc::clone(&given);
        begun.send(()).expect("waited for");
        stuck.lock().expect("one at a time").recv().expect("sent");
        Ok(opened)
    });
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(by_order(true).0));
    no_puller(&mut held).await;
    while has_begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(MADE_WHOLE + Duration::from_secs(1)).await;
    let reply = begin.await.expect("no panic");
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message.contains("has not ended for 900 s")),
        "{reply:?}"
    );
    assert_still_a_standby(&held);
    unstuck.send(()).expect("waited for");
    while Arc::strong_count(&store) > 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!rests(&store), "the standby goes on");
}

#[tokio::test(start_paused = true)]
async fn a_puller_whose_queue_is_full_follows_on_once_it_is_not_stuck() {
    let mut held = held();
    let puller = held.promotion.puller.clone().expect("there");
    for _ in 0..3 {
        puller.try_send(PullOrder::Repair(Vec::new())).expect("room for four");
    }
    let reply = Arc::clone(&held.promotion).begin(by_order(false).0).await;
    assert!(matches!(reply, Reply::Refused { .. }), "{reply:?}");
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(held.orders.recv().await);
    }
    assert!(matches!(orders[3], Some(PullOrder::Last(_))), "{orders:?}");
    assert!(matches!(orders[4], Some(PullOrder::Now)), "{orders:?}");
}

#[tokio::test]
async fn a_promotion_that_panics_can_be_ordered_anew() {
    let mut held = held();
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").puller = None;
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").place = Place::Running;
    let (serve, _serving) = std::sync::mpsc::channel();
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").serve = Some(serve);
    held.promotion.board.update(|status| status.phase = Phase::Running);
    let begun = by_itself(|| panic!("a mistake of ours"));
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(begun));
    begin.await.expect_err("it panics");
    assert!(!held.promotion.is_running());
    let reply = Arc::clone(&held.promotion).begin(by_order(false).0).await;
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
}

#[tokio::test]
async fn a_standby_in_a_gocd_that_runs_is_not_sent_to_the_standby() {
    let mut held = held();
    Arc::get_mut(&mut held.promotion).expect("nobody else has it").place = Place::Running;
    held.promotion.board.update(|status| status.phase = Phase::Running);
    let reply = Arc::clone(&held.promotion).begin(by_order(true).0).await;
    assert!(
        matches!(&reply, Reply::Refused { guidance, .. } if guidance.contains("`gocd-bc status` says what to do")),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_primary_that_came_meanwhile_ends_a_promotion_that_nobody_ordered() {
    let mut held = held();
    let promotion = Arc::get_mut(&mut held.promotion).expect("nobody else has it");
    let (serve, serving) = std::sync::mpsc::channel();
    (promotion.place, promotion.serve) = (Place::Running, Some(serve));
    promotion.board.update(|status| status.phase = Phase::Running);
    let reply = Arc::clone(&held.promotion)
        .begin(by_itself(|| Verdict::Hold("it answers as the primary".to_owned())))
        .await;
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message == "it answers as the primary"),
        "{reply:?}"
    );
    assert_eq!(Recorded::load(held.promotion.state.path()), Ok(None));
    assert_eq!(held.promotion.state.ledger().expect("readable").epoch, Epoch::default());

    let reply = Arc::clone(&held.promotion).begin(by_itself(silence)).await;
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    serving
        .recv_timeout(Duration::from_secs(0))
        .expect_err("not before the answer has travelled");
    assert!(matches!(Recorded::load(held.promotion.state.path()), Ok(Some(one)) if one.role == Role::Primary));
}

#[tokio::test]
async fn one_that_nobody_ordered_is_held_by_what_speaks_against_it_and_by_any_loss() {
    let held = held();
    // Nobody knows what the database is.
    assert!(held.promotion.has_database().await);
    let reply = Arc::clone(&held.promotion).begin(by_itself_with_database()).await;
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message.contains("database is not watched")),
        "{reply:?}"
    );
    assert_still_a_standby(&held);
    // One that is not covered is left alone, as before.
    let of_h2 = Picture {
        not_covered: Some("H2".to_owned()),
        ..Picture::default()
    };
    held.promotion
        .board
        .update(|status| status.database = Some(of_h2.clone()));
    assert!(!held.promotion.has_database().await);
}

fn assert_still_a_standby(held: &Held) {
    let promotion = &held.promotion;
    assert_eq!(Recorded::load(promotion.state.path()), Ok(None));
    assert_eq!(promotion.state.ledger().expect("readable").epoch, Epoch::default());
    assert_eq!(
        promotion.board.look(|status| (status.role, status.phase)),
        (Role::Standby, Phase::Holding)
    );
    assert_eq!(promotion.launch.events.next(Duration::ZERO), None);
    assert!(!promotion.is_running(), "it can be tried again");
}

#[tokio::test(start_paused = true)]
async fn gocd_is_never_released_under_an_apply_that_does_not_end() {
    let mut held = held();
    // Also where somebody takes the files as they are.
    let (begun, mut steps) = by_order(true);
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(begun));
    let last = held.orders.recv().await.expect("ordered");
    assert!(matches!(last, PullOrder::Last(_)), "{last:?}");
    let reply = begin.await.expect("no panic");
    let Reply::Refused { message, guidance } = reply else {
        panic!("{reply:?}")
    };
    assert!(message.contains("GoCD must not start"), "{message}");
    assert!(guidance.contains("Nothing has been released"), "{guidance}");
    assert_still_a_standby(&held);
    let mut said = Vec::new();
    while let Ok(step) = steps.try_recv() {
        said.push(step);
    }
    assert!(
        said.iter().any(|step| step.ends_with("still")),
        "the caller hears of it: {said:?}"
    );
    drop(last);
    assert!(
        matches!(held.orders.recv().await, Some(PullOrder::Now)),
        "it follows on"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_released_on_only_as_it_is() {
    let mut held = held();
    let (begun, _steps) = by_order(false);
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(begun));
    drop(held.orders.recv().await);
    drop(held.orders.recv().await);
    let reply = begin.await.expect("no panic");
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message.contains("cannot be opened")),
        "{reply:?}"
    );
    assert_still_a_standby(&held);

    assert!(matches!(held.orders.recv().await, Some(PullOrder::Now)));
    let (begun, _steps) = by_order(true);
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(begun));
    drop(held.orders.recv().await);
    drop(held.orders.recv().await);
    let reply = begin.await.expect("no panic");
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    let recorded = Recorded::load(held.promotion.state.path())
        .expect("readable")
        .expect("recorded");
    assert_eq!((recorded.role, recorded.flag), (Role::Primary, Flag::Property));
    assert!(recorded.promoted_ms.is_some());
}

#[tokio::test]
async fn a_primary_that_answers_the_last_pull_ends_a_promotion_that_nobody_ordered() {
    let mut held = held();
    let begin = tokio::spawn(Arc::clone(&held.promotion).begin(by_itself(silence)));
    let Some(PullOrder::Last(answer)) = held.orders.recv().await else {
        panic!("a last pull")
    };
    answer.send(Ok(Outcome::Unchanged)).expect("waited for");
    let reply = begin.await.expect("no panic");
    assert!(
        matches!(&reply, Reply::Refused { message, .. } if message.contains("answers after all")),
        "{reply:?}"
    );
    assert_still_a_standby(&held);
    assert_eq!(Unacknowledged::load(held.promotion.state.path()), Ok(None));
}
