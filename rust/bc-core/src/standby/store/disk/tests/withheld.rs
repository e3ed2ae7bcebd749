//! What a standby has under names that the primary withholds is looked after as the rest.

use super::*;
use crate::{
    generation::{Reason, Withheld},
    standby::store::{
        contract::withheld::{denied, withholding},
        verify::{VerifiedState, verify},
    },
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
    store.apply(&document, Permit::default()).expect("applied");
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

/// A standby whose primary has taken `a.jar` away from its offer twice with the same configuration, before and after a
/// newer one came: the id of the generation is the same, and what is kept under it is not.
fn the_same_id_twice(probe: Probe) -> (Place, ManifestDocument) {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    apply(&store, &edited(2), denied(&[jar("a.jar")]), 2);
    let newer = edited(2).with(jar("a.jar"), &plugin("a", "2"));
    newer.apply(&store, 3).expect("applied");
    drop(store);
    let store = place.open_with(probe);
    apply(&store, &edited(2), denied(&[jar("a.jar")]), 4);
    (place, withholding(&edited(2), denied(&[jar("a.jar")]), 4))
}

#[test]
fn what_is_kept_of_an_earlier_time_under_the_same_id_does_not_come_back() {
    let is_kept =
        |change: &Change| matches!(change, Change::Rename(_, to) if to.iter().any(|name| name == "generations"));
    let not_kept = failing_where(is_kept, io::ErrorKind::Other);
    let newer = edited(2).with(jar("a.jar"), &plugin("a", "2"));
    let (place, document) = the_same_id_twice(not_kept);
    let file = place.state("generations").join(format!("{}.json", document.generation));
    let text = |file: &Path| fs::read_to_string(file).expect("kept");
    let of_the_newer = Digest::of(&plugin("a", "2")).to_string();
    assert!(!text(&file).contains(&of_the_newer), "it is of the earlier time");
    let verified = verify(place.layout.state_dir(), &place.layout, |_, _| {}).expect("readable");
    assert_eq!(verified.severity(), crate::basics::Severity::Ok, "{verified:?}");
    let store = place.open();
    assert!(text(&file).contains(&of_the_newer), "and is written anew");
    assert_eq!(store.altered(), Ok(Vec::new()));
    store.repair(&[jar("a.jar")]).expect("nothing to mend");
    assert!(place.is_live(&newer));
    assert_eq!(store.make_whole(false).expect("whole").mended, Vec::<String>::new());
    apply(&store, &edited(5), denied(&[jar("a.jar")]), 5);
    assert!(place.is_live(&edited(5).with(jar("a.jar"), &plugin("a", "2"))));
}

#[test]
fn where_a_power_cut_loses_the_manifest_it_is_looked_after_all_the_same() {
    for is_retained_already in [true, false] {
        let place = Place::new();
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        if is_retained_already {
            apply(&store, &edited(2), denied(&[jar("a.jar")]), 2);
        } else {
            edited(2)
                .with(jar("a.jar"), &plugin("a", "1"))
                .apply(&store, 2)
                .expect("applied");
        }
        let lost = store.position().expect("applied").generation;
        drop(store);
        fs::remove_file(place.state("generations").join(format!("{lost}.json"))).expect("lost");
        let store = place.open();
        apply(&store, &edited(3), denied(&[jar("a.jar")]), 3);
        assert!(place.is_live(&edited(3).with(jar("a.jar"), &plugin("a", "1"))));
        replace(&place.path(&jar("a.jar")), b"edited");
        assert_eq!(store.altered(), Ok(vec![jar("a.jar")]), "{is_retained_already}");
        let made = store.make_whole(false).expect("whole");
        assert!(
            made.left[0].contains("is what the primary could offer last"),
            "{made:?}"
        );
        assert!(place.is_live(&edited(3).with(jar("a.jar"), &plugin("a", "1"))));
    }
}

#[test]
fn what_came_once_and_is_lost_here_is_not_said_never_to_have_come() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    drop(store);
    for kept in place.kept().iter().filter(|kept| !kept.is_first) {
        fs::remove_file(place.state("generations").join(format!("{}.json", kept.id))).expect("lost");
    }
    let store = place.open();
    let document = withholding(&edited(2), denied(&[jar("a.jar")]), 2);
    edited(2).fetch(&store, &document);
    let applied = store.apply(&document, Permit::default()).expect("applied");
    let warning = applied.warnings.join("; ");
    assert!(
        warning.contains("a.jar stays as it is and was not verified: it came from"),
        "{warning}"
    );
    let made = store.make_whole(false).expect("whole");
    assert!(made.left[0].contains("a.jar came from the primary earlier"), "{made:?}");
    assert!(store.live().expect("readable")[&jar("a.jar")].ours);
}

#[test]
fn a_promotion_says_that_gocd_may_load_either_of_two() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    apply(
        &store,
        &edited(2).with(jar("a-2.jar"), &plugin("a", "2")),
        denied(&[jar("a.jar")]),
        2,
    );
    let left = store.make_whole(false).expect("whole").left;
    assert!(
        left.iter()
            .any(|line| line.contains("a.jar and plugins/external/a-2.jar are both")),
        "{left:?}"
    );
}

#[test]
fn a_generation_is_restored_without_the_bytes_of_what_it_only_withholds() {
    let place = Place::new();
    let store = place.open();
    let left = Files::usual().without(&jar("a.jar"));
    apply(&store, &left, denied(&[jar("a.jar")]), 1);
    let with_it = edited(2).with(jar("a.jar"), &plugin("a", "1"));
    with_it.apply(&store, 2).expect("applied");
    let digest = Digest::of(&plugin("a", "1"));
    fs::remove_file(place.state("blobs").join(digest.to_string())).expect("there");
    replace(&place.path(&jar("a.jar")), b"edited");
    drop(store);
    let store = place.open();
    store.restore("#1").expect("its own bytes are all here");
    assert_eq!(
        fs::read(place.path(&Name::CruiseConfig)).ok(),
        Files::usual().0.remove(&Name::CruiseConfig)
    );
    assert_eq!(fs::read(place.path(&jar("a.jar"))).ok(), Some(b"edited".to_vec()));
    // Of its own, none may be missing.
    let own = Digest::of(&edited(2).0[&Name::CruiseConfig]);
    fs::remove_file(place.state("blobs").join(own.to_string())).expect("there");
    store.restore("#2").expect_err("its bytes are lost");
}

#[test]
fn a_record_of_the_version_before_leaves_what_is_kept_as_it_is() {
    let (place, store) = long_after();
    drop(store);
    let path = place.state("applied.json");
    let mut record = Record::load(&OperatingSystem, &path).expect("readable");
    assert_eq!(record.retained.take().map(|retained| retained.len()), Some(1));
    record.save(&OperatingSystem, &path).expect("written");
    let store = place.open();
    replace(&place.path(&jar("a.jar")), b"edited");
    store.repair(&[]).expect("mended");
    assert!(place.is_live(&whole()));
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
