//! What a round sees, and what it sees in time although it looked before.

use super::{generations::edited, *};

/// A round with the next generation, of which all is here, that has looked at the live files.
fn looked(store: &DiskStore) -> Round {
    let mut round = Round::begin(store, Arc::new(next().document(2))).expect("begun");
    next().fetch(store, &next().document(2));
    round.look(store).expect("looked at");
    round
}

#[test]
fn what_was_edited_after_the_look_of_a_round_is_kept_aside_too() {
    for name in [Name::CruiseConfig, jar("a.jar")] {
        let place = Place::new();
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        let mut round = looked(&store);
        fs::write(place.path(&name), "<cruise>mine</cruise>").expect("write");
        let applied = round.apply(&store, Permit::default()).expect("applied");
        assert_eq!(applied.drift.len(), 1, "{applied:?}");
        assert!(place.is_live(&next()));
    }
}

#[test]
fn a_jar_that_came_after_the_look_of_a_round_is_seen_by_it() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    let mut round = looked(&store);
    fs::write(place.path(&jar("local.jar")), plugin("B", "0.9")).expect("write");
    let applied = round.apply(&store, Permit::default()).expect("applied");
    assert!(applied.warnings[0].contains("local.jar was kept aside"), "{applied:?}");
    assert!(place.is_live(&next()));
}

#[test]
fn a_round_ends_with_what_another_look_would_show() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    fs::write(place.path(&jar("local.jar")), plugin("B", "0.9")).expect("write");
    fs::write(place.path(&jar("other.jar")), "only here").expect("write");
    let mut round = looked(&store);
    round.apply(&store, Permit::default()).expect("applied");
    assert_eq!(round.end(&store), store.look());
}

#[test]
fn a_round_goes_on_after_no_other_that_has_changed_the_live_files() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    let mut round = looked(&store);
    edited(3).apply(&store, 3).expect("applied");
    let error = round.apply(&store, Permit::default()).expect_err("it is of before");
    assert_eq!(error.kind(), Kind::Superseded);
    assert!(place.is_live(&edited(3)));
}

#[test]
fn bytes_that_went_since_the_last_apply_are_missed_once_a_round_has_looked() {
    let place = Place::new();
    let store = place.open();
    let before = Files::usual();
    before.apply(&store, 1).expect("applied");
    // Another name of a jar is its blob: both go, as if somebody had overwritten it.
    let name = jar("a.jar");
    let digest = before.document(1).files[&name].sha256;
    fs::remove_file(place.path(&name)).expect("removed");
    fs::remove_file(place.state("blobs").join(digest.to_string())).expect("removed");
    let edited = before.with(Name::CruiseConfig, EDITED);
    let mut round = Round::begin(&store, Arc::new(edited.document(2))).expect("begun");
    let wanted = |round: &Round| -> Vec<Name> {
        let missing = round.missing(&store).expect("readable");
        missing.into_iter().map(|wanted| wanted.name).collect()
    };
    assert_eq!(wanted(&round), [Name::CruiseConfig]);
    round.look(&store).expect("looked at");
    assert_eq!(wanted(&round), [Name::CruiseConfig, name]);
    let error = round.apply(&store, Permit::default()).expect_err("nothing was fetched");
    assert_eq!(error.kind(), Kind::Superseded);
    edited.apply(&store, 2).expect("applied");
    assert!(place.is_live(&edited));
}
