//! Generations that are kept, and what is cleaned up behind them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
};

use super::{
    Place, next,
    watching::{Probe, failing_at, failing_where, no_probe},
};
use crate::{
    basics::Digest,
    durable::OperatingSystem,
    files::descriptor::tests::plugin,
    generation::Name,
    standby::store::{
        Permit,
        contract::{
            EDITED, Files, jar,
            withheld::{denied, withholding},
        },
        disk::{DiskStore, Options, drop_kept, forget_applied, keeps_anything, release},
        generations::{self, KeptGeneration},
    },
};
use std::{fs, io, sync::Arc};

/// A configuration that differs from all others.
pub(super) fn edited(number: u64) -> Files {
    Files::usual().with(
        Name::CruiseConfig,
        format!("<cruise schemaVersion=\"{number}\"><server serverId=\"one\"/></cruise>").as_bytes(),
    )
}

impl Place {
    fn keeping(&self, generations_keep: usize, probe: Probe) -> DiskStore {
        let options = Options {
            generations_keep,
            ..Options::default()
        };
        self.open_on(Arc::new(OperatingSystem), probe, options).expect("open")
    }

    pub(super) fn kept(&self) -> Vec<KeptGeneration> {
        generations::list(self.layout.state_dir()).expect("readable")
    }

    pub(super) fn sequences(&self) -> Vec<u64> {
        self.kept().iter().map(|kept| kept.sequence).collect()
    }

    fn has_blob(&self, bytes: &[u8]) -> bool {
        let blob = self.state("blobs").join(Digest::of(bytes).to_string());
        fs::read(blob).is_ok_and(|found| found == bytes)
    }

    /// Every generation that is listed has all its bytes.
    fn assert_whole(&self, known: &[&Files]) {
        for kept in self.kept() {
            let files = known
                .iter()
                .find(|files| files.document(0).generation == kept.id)
                .expect("one of those that were applied");
            for (name, bytes) in &files.0 {
                assert!(self.has_blob(bytes), "{name} of {kept}");
            }
        }
    }

    fn blobs(&self) -> usize {
        fs::read_dir(self.state("blobs")).expect("readable").count()
    }
}

#[test]
fn the_newest_generations_are_kept_and_the_bytes_of_others_go() {
    let place = Place::new();
    let store = place.keeping(3, no_probe());
    for number in 1..=5 {
        edited(number).apply(&store, number).expect("applied");
        store.tidy().expect("tidy");
    }
    assert_eq!(place.sequences(), [5, 4, 3]);
    let kept = place.kept();
    assert!(kept[0].is_applied && !kept[1].is_applied);
    assert_eq!(kept[0].id, edited(5).document(5).generation);
    // The key, the plugin and three configurations.
    assert_eq!(place.blobs(), 5);
    place.assert_whole(&[&edited(3), &edited(4), &edited(5)]);
    drop(store);
    let store = place.keeping(2, no_probe());
    edited(5).fetch(&store, &edited(5).document(5));
    assert_eq!(store.tidy(), Ok(()));
    assert_eq!(place.sequences(), [5, 4]);
}

#[test]
fn what_is_only_withheld_pushes_out_no_edit() {
    let place = Place::new();
    let store = place.keeping(4, no_probe());
    for number in 1..=3 {
        edited(number).apply(&store, number).expect("applied");
    }
    // Plugins that are copied one after the other, with nothing else.
    for sequence in 4..=12 {
        let name = jar(&format!("{sequence}.jar"));
        let writing = withholding(&edited(3), denied(&[name]), sequence);
        store.apply(&writing, Permit::default()).expect("applied");
        store.tidy().expect("tidy");
    }
    assert_eq!(place.sequences(), [12, 11, 2, 1]);
    drop(store);
    let store = place.keeping(4, no_probe());
    edited(13).apply(&store, 13).expect("applied");
    store.tidy().expect("tidy");
    assert_eq!(place.sequences(), [13, 12, 2, 1], "one of each that has other files");
    edited(14).apply(&store, 14).expect("applied");
    store.tidy().expect("tidy");
    assert_eq!(place.sequences(), [14, 13, 12, 2], "then the oldest goes");
    store.restore("#2").expect("it is kept");
    assert!(place.is_live(&edited(2)));
}

#[test]
fn what_was_here_before_the_first_apply_is_generation_0_and_stays() {
    let place = Place::new();
    let found = Files::default()
        .with(Name::CruiseConfig, EDITED)
        .with(jar("old.jar"), &plugin("old", "1"))
        // Equal on the primary, and so never fetched.
        .with(jar("a.jar"), &plugin("a", "1"));
    fs::create_dir_all(place.layout.plugins_external()).expect("folder");
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    for (name, bytes) in &found.0 {
        fs::write(place.path(name), bytes).expect("write");
    }
    let store = place.keeping(1, no_probe());
    for number in 1..=3 {
        edited(number).apply(&store, number).expect("applied");
        store.tidy().expect("tidy");
    }
    assert_eq!(place.sequences(), [3, 0]);
    let first = place.kept().pop().expect("kept");
    assert!(first.is_first && !first.is_applied);
    assert_eq!(first.id, found.document(0).generation);
    place.assert_whole(&[&found, &edited(3)]);
    // Written into in place, as GoCD does: the kept copy is another file.
    fs::write(place.path(&Name::CruiseConfig), "torn").expect("write");
    place.assert_whole(&[&found, &edited(3)]);
}

#[test]
fn a_plugin_that_is_gone_stays_for_the_generations_that_had_it() {
    let place = Place::new();
    let store = place.keeping(2, no_probe());
    Files::usual().apply(&store, 1).expect("applied");
    store.tidy().expect("tidy");
    // As if nobody had ever fetched it.
    let blob = place.state("blobs").join(Digest::of(&plugin("a", "1")).to_string());
    fs::remove_file(blob).expect("remove");
    next().apply(&store, 2).expect("applied");
    store.tidy().expect("tidy");
    assert!(!place.path(&jar("a.jar")).exists());
    place.assert_whole(&[&Files::usual(), &next()]);
    edited(3).without(&jar("a.jar")).apply(&store, 3).expect("applied");
    store.tidy().expect("tidy");
    assert!(!place.has_blob(&plugin("a", "1")));
}

#[test]
fn a_crash_while_cleaning_loses_nothing_that_is_listed() {
    let mut dropped = 0;
    for number in 0.. {
        let place = Place::new();
        let store = place.keeping(1, no_probe());
        Files::usual().apply(&store, 1).expect("applied");
        next().apply(&store, 2).expect("applied");
        edited(3).apply(&store, 3).expect("applied");
        drop(store);
        let (probe, count) = failing_at(number, || panic!("the power fails"));
        let store = place.keeping(1, probe);
        edited(3).fetch(&store, &edited(3).document(3));
        assert_eq!(count.load(Ordering::Relaxed), 0, "nothing is missing");
        let crashed = catch_unwind(AssertUnwindSafe(|| store.tidy())).is_err();
        drop(store);
        let reopened = place.keeping(1, no_probe());
        place.assert_whole(&[&Files::usual(), &next(), &edited(3)]);
        assert!(place.is_live(&edited(3)), "change {number}");
        edited(3).fetch(&reopened, &edited(3).document(3));
        reopened.tidy().expect("tidy in the end");
        assert_eq!((place.sequences(), place.blobs()), (vec![3], 3), "change {number}");
        if !crashed {
            assert!(count.load(Ordering::Relaxed) <= number);
            break;
        }
        dropped += 1;
    }
    // Two generations, their folder, and the blobs that only they had.
    assert!(dropped >= 6, "{dropped}");
}

#[test]
fn bytes_on_their_way_are_never_cleaned_away() {
    let place = Place::new();
    let store = place.keeping(1, no_probe());
    Files::usual().apply(&store, 1).expect("applied");
    let document = next().document(2);
    let missing = store.missing(&document).expect("readable");
    let (jars, others): (Vec<_>, Vec<_>) = missing
        .iter()
        .partition(|wanted| matches!(wanted.name, Name::Plugin(_)));
    let (whole, half) = (jars[0], others[0]);
    let mut receive = store.receive(whole).expect("room");
    receive.write(next().bytes(&whole.sha256)).expect("written");
    receive.finish().expect("right");
    let mut receive = store.receive(half).expect("room");
    receive.write(&next().bytes(&half.sha256)[..3]).expect("written");
    drop(receive);
    store.tidy().expect("tidy");
    drop(store);
    // After a restart it is not known yet what they were for.
    let store = place.keeping(1, no_probe());
    store.tidy().expect("tidy");
    assert!(place.has_blob(next().bytes(&whole.sha256)));
    assert_eq!(store.receive(half).expect("room").received(), 3);
}

#[test]
fn a_generation_that_cannot_be_kept_is_live_all_the_same() {
    let place = Place::new();
    let kept = format!("generations/{}.json", Files::usual().document(1).generation);
    let probe = failing_where(move |change| change.replaces(&kept), io::ErrorKind::StorageFull);
    let applied = Files::usual().apply(&place.open_with(probe), 1).expect("applied");
    assert!(applied.warnings[0].contains("cannot be kept"), "{:?}", applied.warnings);
    assert!(place.is_live(&Files::usual()));
    assert_eq!(place.kept(), []);
    // The next round keeps it.
    let store = place.open();
    store
        .apply(&Files::usual().document(1), Permit::default())
        .expect("nothing to do");
    assert_eq!(place.sequences(), [1]);
    place.assert_whole(&[&Files::usual()]);
}

#[test]
fn a_torn_file_of_a_generation_counts_as_none() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=2 {
        edited(number).apply(&store, number).expect("applied");
    }
    drop(store);
    let file = format!("generations/{}.json", edited(1).document(1).generation);
    let text = fs::read(place.state(&file)).expect("readable");
    fs::write(place.state(&file), &text[..text.len() / 2]).expect("write");
    let store = place.open();
    assert_eq!(place.sequences(), [2]);
    assert!(!place.state(&file).exists());
    let aside = place.state(&file).with_extension("damaged");
    assert_eq!(
        fs::read(aside).expect("for somebody to look at"),
        &text[..text.len() / 2]
    );
    edited(2).fetch(&store, &edited(2).document(2));
    store.tidy().expect("tidy");
    place.assert_whole(&[&edited(2)]);
    assert_eq!(place.blobs(), 3);
}

#[test]
fn a_person_names_a_generation_in_three_ways() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=2 {
        edited(number).apply(&store, number).expect("applied");
    }
    let show = |id: &str| generations::show(place.layout.state_dir(), id).map(|(kept, _)| kept.sequence);
    let id = edited(1).document(1).generation.to_string();
    assert_eq!(show("#2"), Ok(2));
    assert_eq!(show(&id), Ok(1));
    assert_eq!(show(&id[..8]), Ok(1));
    for (wrong, why) in [
        ("", "no generation"),
        ("0", "no generation"),
        ("#3", "no generation"),
        ("#x", "no sequence"),
    ] {
        let error = show(wrong).expect_err(wrong);
        assert!(error.message().contains(why), "{error}");
    }
}

#[test]
fn what_was_live_before_a_promotion_is_kept_and_no_longer_taken_for_what_is_live() {
    let place = Place::new();
    let state = place.layout.state_dir();
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    fs::write(place.path(&Name::JettyXml), "<Configure/>").expect("write");
    assert!(!keeps_anything(state));
    Files::usual().apply(&place.open(), 1).expect("applied");
    forget_applied(state).expect("noted");
    forget_applied(state).expect("nothing to do");
    assert!(keeps_anything(state));
    assert!(place.kept().iter().all(|kept| !kept.is_applied), "{:?}", place.kept());
    let before: Vec<_> = place.kept().iter().map(|kept| kept.id).collect();

    // GoCD writes its files itself, and this node is a standby again.
    fs::write(place.path(&Name::CruiseConfig), EDITED).expect("write");
    let store = place.open();
    assert_eq!(store.position(), None);
    assert_eq!(
        store.altered(),
        Ok(vec![]),
        "nobody takes that for an edit on a standby"
    );
    assert!(
        store
            .repair(&[Name::CruiseConfig])
            .expect("nothing to mend")
            .drift
            .is_empty()
    );
    assert_eq!(fs::read(place.path(&Name::CruiseConfig)).expect("read"), EDITED);

    edited(2).apply(&store, 2).expect("applied");
    let kept = place.kept();
    let first = kept.last().expect("kept");
    assert!(
        first.is_first && !before.contains(&first.id),
        "what it had as a primary"
    );
    assert!(
        before
            .iter()
            .all(|id| kept.iter().any(|kept| kept.id == *id && !kept.is_first)),
        "{kept:?}"
    );
    let restored = place.open().restore("0").expect("restored");
    assert!(restored.applied.written.contains(&Name::CruiseConfig));
    assert_eq!(fs::read(place.path(&Name::CruiseConfig)).expect("read"), EDITED);
}

#[test]
fn one_kept_generation_is_let_go_with_the_bytes_that_no_other_has() {
    let place = Place::new();
    let state = place.layout.state_dir();
    let store = place.open();
    for number in 1..=3 {
        edited(number).apply(&store, number).expect("applied");
    }
    drop(store);
    forget_applied(state).expect("noted");
    let bytes = |number: u64| edited(number).0[&Name::CruiseConfig].clone();
    let dropped = drop_kept(state, "#2").expect("dropped");
    assert_eq!(dropped.sequence, 2);
    assert!(!place.has_blob(&bytes(2)) && place.has_blob(&bytes(1)) && place.has_blob(&bytes(3)));
    drop_kept(state, "#2").expect_err("it is gone");
    // Of one that cannot be read nobody knows what it needs.
    let torn = fs::read_dir(place.state("generations")).expect("list").flatten().next();
    let torn = torn.expect("one is left").path();
    fs::write(&torn, "{").expect("tear");
    let whole = place
        .kept()
        .first()
        .map(|kept| kept.id.to_string())
        .expect("one is whole");
    drop_kept(state, &whole).expect("dropped");
    assert!(place.has_blob(&bytes(1)) && place.has_blob(&bytes(3)), "no byte went");
    release(state).expect("all");
    assert!(!keeps_anything(state) && place.kept().is_empty());
}

#[test]
fn a_released_node_keeps_no_generation() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    release(place.layout.state_dir()).expect("released");
    release(place.layout.state_dir()).expect("nothing to do");
    assert!(!place.state("blobs").exists() && !place.state("generations").exists());
    assert!(place.is_live(&Files::usual()));
    // Once it is a standby again, what it had as a primary is generation 0.
    edited(2).apply(&place.open(), 2).expect("applied");
    let first = place.kept().pop().expect("kept");
    assert!(first.is_first);
    assert_eq!(first.id, Files::usual().document(1).generation);
}
