//! What a standby has under names that the primary withholds is looked after as the rest.

use super::*;
use crate::{
    store::{
        contract::withheld::{denied, withholding},
        verify::{VerifiedState, verify},
    },
    withheld::{Reason, Withheld},
};

/// So many generations later nothing else names the file that is withheld.
const LATER: u64 = 25;

/// A primary that edits its configuration and cannot read `a.jar` any more.
fn edited(round: u64) -> Files {
    let config = format!("<cruise schemaVersion=\"139\"><server serverId=\"one\"/><!-- {round} --></cruise>");
    Files::usual()
        .without(&jar("a.jar"))
        .with(Name::CruiseConfig, config.as_bytes())
}

fn apply(store: &DiskStore, files: &Files, withheld: Withheld, sequence: u64) {
    let document = withholding(files, withheld, sequence);
    files.fetch(store, &document);
    store.apply(&document, Allowed::default()).expect("applied");
}

/// A standby whose primary has withheld `a.jar` for many generations.
fn long_after() -> (Place, DiskStore) {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    for round in 2..=LATER {
        apply(&store, &edited(round), denied(&[jar("a.jar")]), round);
        store.tidy().expect("tidied");
    }
    (place, store)
}

fn whole() -> Files {
    edited(LATER).with(jar("a.jar"), &plugin("a", "1"))
}

/// Puts another file in the place of a jar: the blob keeps its bytes.
fn replace(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("other");
    fs::write(&other, bytes).expect("write");
    fs::rename(other, path).expect("rename");
}

#[test]
fn it_is_verified_and_mended_however_long_ago_it_came() {
    let (place, store) = long_after();
    assert!(place.is_live(&whole()));
    assert_eq!(store.altered(), Ok(Vec::new()));
    let verified = verify(place.layout.state_dir(), &place.layout, |_, _| {}).expect("readable");
    let states = verified.files.iter().map(|file| (&file.name, file.state));
    assert!(
        states.clone().all(|(_, state)| state == VerifiedState::Ok),
        "{verified:?}"
    );
    assert!(states.clone().any(|(name, _)| *name == jar("a.jar")), "{verified:?}");
    drop(store);

    let store = place.open();
    replace(&place.path(&jar("a.jar")), b"edited");
    assert_eq!(store.altered(), Ok(vec![jar("a.jar")]));
    let repaired = store.repair(&[]).expect("mended");
    assert_eq!(repaired.lost, []);
    assert_eq!(repaired.drift.len(), 1, "{repaired:?}");
    assert!(place.is_live(&whole()));
    fs::remove_file(place.path(&jar("a.jar"))).expect("removed");
    store.repair(&[]).expect("mended");
    assert!(place.is_live(&whole()));
}

#[test]
fn a_promotion_reads_and_mends_it_and_says_what_was_not_offered() {
    let (place, store) = long_after();
    replace(&place.path(&jar("a.jar")), b"rotten");
    let made = store.make_whole(false).expect("whole");
    assert_eq!((made.right, made.mended.len()), (3, 1), "{made:?}");
    assert!(
        made.left[0].contains("a.jar is what the primary could offer last"),
        "{made:?}"
    );
    assert!(place.is_live(&whole()));
    // What is lost on both ways is no reason to start without it.
    replace(&place.path(&jar("a.jar")), b"rotten");
    let digest = Digest::of(&plugin("a", "1"));
    fs::remove_file(place.state("blobs").join(digest.to_string())).expect("there");
    let refused = store.make_whole(false).expect_err("it is not what was verified");
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.message().contains("a.jar differs"), "{refused}");
}

#[test]
fn lost_bytes_of_it_hold_up_nothing_and_are_not_taken_for_right() {
    let (place, store) = long_after();
    let digest = Digest::of(&plugin("a", "1"));
    fs::remove_file(place.state("blobs").join(digest.to_string())).expect("there");
    drop(store);
    let store = place.open();
    replace(&place.path(&jar("a.jar")), b"edited");
    let next = withholding(&edited(LATER + 1), denied(&[jar("a.jar")]), LATER + 1);
    let missing = store.missing(&next).expect("readable");
    assert!(
        missing.iter().all(|wanted| wanted.name == Name::CruiseConfig),
        "the primary has it not: {missing:?}"
    );
    apply(&store, &edited(LATER + 1), denied(&[jar("a.jar")]), LATER + 1);
    assert_eq!(
        fs::read(place.path(&Name::CruiseConfig)).ok(),
        edited(LATER + 1).0.remove(&Name::CruiseConfig)
    );
    assert_eq!(store.altered(), Ok(vec![jar("a.jar")]));
    let back = edited(LATER + 2).with(jar("a.jar"), &plugin("a", "2"));
    back.apply(&store, LATER + 2).expect("applied");
    assert!(place.is_live(&back));
    assert_eq!(store.altered(), Ok(Vec::new()));
}

#[test]
fn a_restored_generation_has_it_too() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    apply(&store, &edited(2), denied(&[jar("a.jar")]), 2);
    let newer = edited(3).with(jar("a.jar"), &plugin("a", "2"));
    newer.apply(&store, 3).expect("applied");
    store.restore("#2").expect("restored");
    assert!(place.is_live(&edited(2).with(jar("a.jar"), &plugin("a", "1"))));
    assert_eq!(store.altered(), Ok(Vec::new()));
    drop(store);
    let store = place.open();
    assert_eq!(store.position().expect("applied").sequence, 2);
    assert_eq!(
        store.altered(),
        Ok(Vec::new()),
        "its file says the same after a restart"
    );
}

#[test]
fn a_crash_at_any_instant_loses_none_of_it() {
    for number in 0.. {
        let place = Place::new();
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        drop(store);
        let (probe, count) = failing_at(number, || panic!("the power fails"));
        let store = place.open_with(probe);
        let files = edited(2)
            .without(&Name::CipherAes)
            .with(jar("b.jar"), &plugin("b", "1"));
        let withheld = Withheld {
            plugins: Some(Reason::Stale),
            ..denied(&[Name::CipherAes])
        };
        let crashed = catch_unwind(AssertUnwindSafe(|| apply(&store, &files, withheld, 2))).is_err();
        drop(store);
        let store = place.open();
        for name in [jar("a.jar"), Name::CipherAes] {
            assert_eq!(
                fs::read(place.path(&name)).ok(),
                Files::usual().0.remove(&name),
                "{name} after {number}"
            );
            assert!(store.live().expect("readable")[&name].ours, "{name} after {number}");
        }
        if !crashed {
            assert!(count.load(Ordering::Relaxed) <= number);
            break;
        }
    }
}
