//! Since when what is live is that: as the record says, whatever else happens.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::standby::store::{
    contract::withheld::{denied, withholding},
    disk::forget_applied,
};

/// A clock that goes as somebody sets it.
struct Set(AtomicI64);

impl Clock for Set {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A standby whose clock can be set.
struct Scene {
    place: Place,
    clock: Arc<Set>,
}

impl Scene {
    fn new() -> Self {
        Self {
            place: Place::new(),
            clock: Arc::new(Set(AtomicI64::new(0))),
        }
    }

    fn at(&self, now_ms: i64) -> &Self {
        self.clock.0.store(now_ms, Ordering::Relaxed);
        self
    }

    fn open(&self) -> DiskStore {
        self.open_with(no_probe())
    }

    fn open_with(&self, probe: Probe) -> DiskStore {
        DiskStore::open_on(
            Watching::on(Arc::new(OperatingSystem), probe),
            self.place.layout.state_dir(),
            &self.place.layout,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Options::default(),
        )
        .expect("open")
    }
}

fn since(store: &DiskStore) -> Option<i64> {
    store.position().map(|position| position.applied_ms)
}

#[test]
fn it_is_when_the_generation_came_and_no_further_look_at_it() {
    let scene = Scene::new();
    let store = scene.at(1_000).open();
    assert_eq!(since(&store), None, "nothing was ever applied");
    Files::usual().apply(&store, 1).expect("applied");
    assert_eq!(since(&store), Some(1_000));
    scene.at(2_000);
    Files::usual().apply(&store, 1).expect("nothing to do");
    assert_eq!(since(&store), Some(1_000), "looked at again");
    scene.at(3_000);
    Files::usual().apply(&store, 7).expect("written down");
    assert_eq!(store.position().expect("applied").sequence, 7);
    assert_eq!(since(&store), Some(1_000), "the primary began to count anew");
    scene.at(4_000);
    fs::write(scene.place.path(&Name::CruiseConfig), EDITED).expect("write");
    store.repair(&[Name::CruiseConfig]).expect("mended");
    assert!(scene.place.is_live(&Files::usual()));
    assert_eq!(since(&store), Some(1_000), "mended");
    drop(store);
    let store = scene.at(5_000).open();
    assert_eq!(since(&store), Some(1_000), "over a restart");
    next().apply(&store, 8).expect("applied");
    assert_eq!(since(&store), Some(5_000));
    scene.at(6_000);
    store.restore("#1").expect_err("its sequence is another by now");
    store.restore("#7").expect("restored");
    assert_eq!(since(&store), Some(6_000), "that one became live again");
}

#[test]
fn what_is_only_withheld_changes_no_file() {
    let scene = Scene::new();
    let store = scene.at(1_000).open();
    Files::usual().apply(&store, 1).expect("applied");
    scene.at(2_000);
    let left = Files::usual().without(&jar("a.jar"));
    let withheld = withholding(&left, denied(&[jar("a.jar")]), 2);
    store.apply(&withheld, Permit::default()).expect("applied");
    assert_eq!(store.position().expect("applied").sequence, 2);
    assert_eq!(since(&store), Some(1_000));
    scene.at(3_000);
    Files::usual().apply(&store, 3).expect("applied");
    assert_eq!(since(&store), Some(1_000), "it is offered again, and is the same");
    scene.at(4_000);
    next().apply(&store, 4).expect("applied");
    assert_eq!(since(&store), Some(4_000));
}

#[test]
fn a_clock_that_is_set_back_changes_nothing_that_was_written_down() {
    let scene = Scene::new();
    let store = scene.at(9_000).open();
    Files::usual().apply(&store, 1).expect("applied");
    scene.at(2_000);
    Files::usual().apply(&store, 2).expect("written down");
    assert_eq!(since(&store), Some(9_000));
    next().apply(&store, 3).expect("applied");
    assert_eq!(since(&store), Some(2_000), "as this clock says");
}

#[test]
fn what_a_crash_interrupted_is_live_since_it_was_finished() {
    let mut finished = 0;
    for number in 0.. {
        let scene = Scene::new();
        Files::usual().apply(&scene.at(1_000).open(), 1).expect("applied");
        let (probe, _) = failing_at(number, || panic!("the power fails"));
        let store = scene.at(2_000).open_with(probe);
        let crashed = catch_unwind(AssertUnwindSafe(|| next().apply(&store, 2))).is_err();
        drop(store);
        let store = scene.at(3_000).open();
        let is_new = scene.place.is_live(&next());
        let since = since(&store).expect("one or the other is live");
        match (is_new, since) {
            (false, 1_000) | (true, 2_000) => {}
            (true, 3_000) => finished += 1,
            other => panic!("change {number}: {other:?}"),
        }
        if !crashed {
            assert_eq!((is_new, since), (true, 2_000));
            break;
        }
    }
    assert!(finished > 0, "no crash left anything to finish");
}

#[test]
fn what_gocd_has_run_on_was_applied_by_nobody() {
    let scene = Scene::new();
    Files::usual().apply(&scene.at(1_000).open(), 1).expect("applied");
    forget_applied(scene.place.layout.state_dir()).expect("written");
    let store = scene.at(2_000).open();
    assert_eq!(since(&store), None);
    Files::usual().apply(&store, 2).expect("applied");
    assert_eq!(
        since(&store),
        Some(2_000),
        "the same files, but they are followed again since now"
    );
}
