//! Going back to a kept generation.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{DiskStore, Options, Place, Watching, failing_at, failing_where, next, no_probe};
use crate::{
    basics::{Digest, Kind, clock::tests::Turned},
    durable::OperatingSystem,
    generation::{Acceptance, Envelope, ManifestDocument, Name, Role},
    standby::store::{
        Permit,
        contract::{
            CONFIG, Files, jar,
            withheld::{denied, withholding},
        },
        generations,
    },
};

#[test]
fn what_is_restored_is_live_and_paused_over_a_restart() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    next().apply(&store, 2).expect("applied");
    assert_eq!(store.paused(), None);
    let restored = store.restore("#1").expect("restored");
    assert_eq!(restored.generation.sequence, 1);
    assert_eq!(restored.applied.written, [jar("a.jar"), Name::CruiseConfig]);
    assert!(place.is_live(&Files::usual()));
    place.assert_tidy();
    drop(store);
    let store = place.open();
    let paused = store.paused().expect("still");
    assert_eq!(paused.generation, Files::usual().document(1).generation);
    assert_eq!(store.position().expect("applied").sequence, 1);
    store.resume().expect("resumed");
    next().apply(&store, 3).expect("applied");
    assert_eq!(place.open().paused(), None);
}

#[test]
fn what_was_here_before_can_be_restored() {
    let place = Place::new();
    let found = Files::default().with(Name::CruiseConfig, b"<cruise/>");
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    fs::write(place.path(&Name::CruiseConfig), b"<cruise/>").expect("write");
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    store.restore("0").expect("restored");
    assert!(place.is_live(&found));
}

#[test]
fn a_crash_while_restoring_ends_in_a_whole_set() {
    for number in 0.. {
        let place = Place::new();
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        next().apply(&store, 2).expect("applied");
        drop(store);
        let (probe, count) = failing_at(number, || panic!("the power fails"));
        let store = place.open_with(probe);
        let crashed = catch_unwind(AssertUnwindSafe(|| store.restore("#1"))).is_err();
        drop(store);
        let store = place.open();
        place.assert_tidy();
        assert!(
            place.is_live(&Files::usual()) || place.is_live(&next()),
            "a mixture after change {number}"
        );
        assert!(
            store.paused().is_some() || place.is_live(&next()),
            "nothing overwrites it before somebody looks"
        );
        if !crashed {
            assert!(count.load(Ordering::Relaxed) <= number);
            break;
        }
    }
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    next().apply(&store, 2).expect("applied");
    let blob = place.state("blobs").join(crate::basics::Digest::of(CONFIG).to_string());
    fs::write(blob, "damaged").expect("write");
    let error = store.restore("#1").expect_err("damaged");
    assert!(
        error.kind() == Kind::File && error.message().contains("cruise-config.xml"),
        "{error}"
    );
    drop(store);
    let store = place.open_with(failing_where(
        super::watching::Change::stages,
        io::ErrorKind::StorageFull,
    ));
    // The same bytes are fetched again.
    let document = Files::usual().document(1);
    Files::usual().fetch(&store, &document);
    let error = store.restore("#1").expect_err("no room");
    assert_eq!(error.kind(), Kind::DiskFull);
    assert!(place.is_live(&next()));
    assert_eq!(store.paused(), None);
    assert_eq!(place.open().paused(), None);
}

/// What a primary says whose GoCD thinks so of the newest configuration.
fn heard(acceptance: Acceptance) -> Envelope {
    Envelope {
        acceptance,
        ..Envelope::of("primary", Role::Primary)
    }
}

/// Applies a generation of which the primary's GoCD thinks so.
fn apply(store: &DiskStore, files: &Files, sequence: u64, acceptance: Acceptance) -> Digest {
    let mut document = files.document(sequence);
    document.envelope.acceptance = acceptance;
    files.fetch(store, &document);
    store.apply(&document, Permit::default()).expect("applied");
    document.generation
}

#[test]
fn what_gocd_has_rejected_is_left_at_once() {
    let place = Place::new();
    let store = place.open();
    let apply = |files: &Files, sequence, acceptance| apply(&store, files, sequence, acceptance);
    apply(&Files::usual(), 1, Acceptance::Accepted);
    let newest = apply(&next(), 2, Acceptance::Pending);
    let back = || store.back_to_accepted(Duration::from_secs(3600)).expect("whole");
    assert_eq!(back(), None, "GoCD has not looked yet");
    let rejected = Envelope {
        rejected: true,
        ..heard(Acceptance::Pending)
    };
    store.note_acceptance(&newest, &rejected).expect("noted");
    drop(store);
    let store = place.open();
    assert!(store.applied().expect("live").rejected, "it survives a restart");
    let restored = store.back_to_accepted(Duration::from_secs(3600)).expect("whole");
    assert_eq!(restored.expect("it is rejected").generation.sequence, 1);
    let listed = generations::list(&place.state("")).expect("listed");
    assert!(
        listed.iter().any(|kept| kept.id == newest && kept.rejected),
        "{listed:?}"
    );
}

#[test]
fn a_clock_that_is_set_by_a_day_makes_nothing_overdue() {
    let place = Place::new();
    let clock = Arc::new(Turned::default());
    let system = Watching::on(Arc::new(OperatingSystem), no_probe());
    let state = place.layout.state_dir();
    let store = DiskStore::open_on(
        system,
        state,
        &place.layout,
        Arc::clone(&clock) as _,
        Options::default(),
    );
    let store = store.expect("open");
    for (files, sequence, acceptance) in [
        (Files::usual(), 1, Acceptance::Accepted),
        (next(), 2, Acceptance::Pending),
    ] {
        clock.to(1_000_000_000 * i64::try_from(sequence).expect("small"));
        apply(&store, &files, sequence, acceptance);
    }
    clock.to(2_000_000_000 + 86_400_000);
    let back = |wait| store.back_to_accepted(wait).expect("whole");
    assert_eq!(back(Duration::from_secs(3600)), None);
    clock.to(2_000_000_000 - 86_400_000);
    let restored = back(Duration::ZERO).expect("it is pending");
    assert_eq!(restored.generation.sequence, 1);
}

#[test]
fn only_what_gocd_has_not_accepted_for_long_is_left() {
    let place = Place::new();
    let store = place.open();
    let apply = |files: &Files, sequence, acceptance| apply(&store, files, sequence, acceptance);
    let back = |wait| store.back_to_accepted(wait).expect("whole");
    let third = Files::usual().with(
        Name::CruiseConfig,
        b"<cruise schemaVersion=\"141\"><server serverId=\"one\"/></cruise>",
    );
    apply(&Files::usual(), 1, Acceptance::Pending);
    let error = store.back_to_accepted(Duration::ZERO).expect_err("none is accepted");
    assert_eq!(error.kind(), Kind::Refused);
    let first = Files::usual().document(1).generation;
    store
        .note_acceptance(&first, &heard(Acceptance::Accepted))
        .expect("noted");
    assert_eq!(back(Duration::ZERO), None);
    apply(&next(), 2, Acceptance::Pending);
    apply(&third, 3, Acceptance::Pending);
    assert_eq!(back(Duration::from_secs(3600)), None, "GoCD may accept it yet");
    let restored = back(Duration::ZERO).expect("it is pending");
    assert_eq!(restored.generation.sequence, 1);
    assert!(place.is_live(&Files::usual()));
    assert_eq!(store.paused(), None);
    assert_eq!(back(Duration::ZERO), None);
}

#[test]
fn a_primary_that_cannot_read_its_configuration_since_its_start_makes_none_accepted() {
    let place = Place::new();
    let store = place.open();
    let apply = |files: &Files, document: &ManifestDocument| {
        files.fetch(&store, document);
        store.apply(document, Permit::default()).expect("applied");
    };
    let mut document = Files::usual().document(1);
    document.envelope.acceptance = Acceptance::Accepted;
    apply(&Files::usual(), &document);
    let mut document = next().document(2);
    document.envelope.acceptance = Acceptance::Pending;
    apply(&next(), &document);
    let left = next().without(&Name::CruiseConfig);
    let withheld = withholding(&left, denied(&[Name::CruiseConfig]), 3);
    assert_eq!(withheld.envelope.acceptance, Acceptance::Unknown);
    apply(&left, &withheld);
    store
        .note_acceptance(&withheld.generation, &heard(Acceptance::Unknown))
        .expect("noted");
    let store = place.open();
    assert_eq!(store.applied().expect("live").acceptance, Acceptance::Pending);
    let restored = store
        .back_to_accepted(Duration::ZERO)
        .expect("whole")
        .expect("it is pending");
    assert_eq!(restored.generation.sequence, 1);
    assert!(place.is_live(&Files::usual()));
}
