//! Live files and blobs that somebody or a disk has changed.

use std::fs;

use super::{Place, next};
use crate::{
    basics::Digest,
    files::descriptor::tests::plugin,
    generation::Name,
    standby::store::{
        Repaired,
        contract::{CONFIG, Files, jar},
        disk::Item,
    },
};

#[test]
fn what_was_edited_or_removed_here_is_found_kept_aside_and_mended() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    assert_eq!(store.altered(), Ok(Vec::new()));
    assert_eq!(store.repair(&[]), Ok(Repaired::default()));
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    fs::remove_file(place.path(&jar("a.jar"))).expect("remove");
    assert_eq!(store.altered(), Ok(vec![jar("a.jar"), Name::CruiseConfig]));
    let repaired = store.repair(&[]).expect("repaired");
    assert_eq!(repaired.lost, []);
    assert_eq!(
        repaired.drift[0],
        "plugins/external/a.jar was removed from this standby"
    );
    assert!(
        repaired.drift[1].starts_with("cruise-config.xml was changed on this standby"),
        "{repaired:?}"
    );
    assert!(place.is_live(&Files::usual()));
    assert_eq!(store.altered(), Ok(Vec::new()));
    let aside: Vec<_> = fs::read_dir(place.state("aside/edited"))
        .expect("made")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(&aside[0]).expect("readable"), b"<cruise>mine</cruise>");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&aside[0]).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may hold secrets");
    }
}

#[test]
fn a_newer_generation_keeps_aside_what_was_edited_too() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    let applied = next().apply(&store, 2).expect("applied");
    assert_eq!(applied.drift.len(), 1, "{applied:?}");
    assert!(place.is_live(&next()));
    assert_eq!(fs::read_dir(place.state("aside/edited")).expect("made").count(), 1);
}

#[test]
fn a_jar_that_was_written_into_is_fetched_again_since_its_blob_is_the_same_file() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    fs::write(place.path(&jar("a.jar")), "no jar").expect("write");
    let repaired = store.repair(&[]).expect("looked at");
    assert_eq!(repaired.lost, [jar("a.jar")]);
    assert_eq!(store.altered(), Ok(vec![jar("a.jar")]));
    let applied = Files::usual().apply(&store, 1).expect("fetched again");
    assert_eq!(applied.written, [jar("a.jar")]);
    assert!(place.is_live(&Files::usual()));
}

/// Which of the newer generation's jars came before a restart was known to nobody who mended a file meanwhile.
#[test]
fn mending_a_live_file_after_a_restart_takes_nothing_from_a_newer_generation_that_is_on_its_way() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    let newer = next().with(jar("b.jar"), &plugin("b", "1"));
    let wanted = store.missing(&newer.document(2)).expect("looked at");
    let wanted = wanted
        .into_iter()
        .find(|wanted| wanted.name == jar("b.jar"))
        .expect("it is new");
    let mut receiving = store.receive(&wanted).expect("begun");
    receiving
        .write(&newer.bytes(&wanted.sha256)[..10])
        .expect("as announced");
    drop(receiving);
    drop(store);
    let store = place.open();
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    assert_eq!(store.repair(&[]).expect("repaired").lost, []);
    store.tidy().expect("tidied");
    assert_eq!(store.receive(&wanted).expect("gone on with").received(), 10);
}

/// Changes bytes as a failing disk does: neither size nor times tell.
fn rot(path: &std::path::Path) {
    let times = fs::metadata(path).expect("there");
    let mut bytes = fs::read(path).expect("readable");
    bytes[0] ^= 1;
    fs::write(path, bytes).expect("write");
    let file = fs::File::options().write(true).open(path).expect("open");
    file.set_modified(times.modified().expect("has one")).expect("set");
}

#[test]
fn reading_all_again_finds_what_no_time_tells() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    let mut items = store.items().expect("readable");
    // Three blobs; the key and the configuration are copies, the jar is not.
    assert_eq!(items.len(), 5, "{items:?}");
    let damaged = Digest::of(CONFIG);
    rot(&place.state("blobs").join(damaged.to_string()));
    rot(&place.path(&Name::CipherAes));
    items.retain(|item| !store.rehash(item).expect("readable").is_empty());
    assert_eq!(items.len(), 2, "{items:?}");
    assert!(items.contains(&Item::Blob(damaged)) && items.contains(&Item::Live(Name::CipherAes)));
    let repaired = store.repair(&[Name::CipherAes, Name::CruiseConfig]).expect("repaired");
    assert_eq!((repaired.lost.len(), repaired.drift.len()), (0, 1), "{repaired:?}");
    assert!(place.is_live(&Files::usual()));
    let blob = fs::read(place.state("blobs").join(damaged.to_string())).expect("made anew from the live file");
    assert_eq!(blob, CONFIG);
}

#[test]
fn edits_without_end_do_not_fill_the_disk() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    for number in 0..25 {
        fs::write(place.path(&Name::CruiseConfig), format!("<cruise>{number}</cruise>")).expect("write");
        store.repair(&[]).expect("repaired");
    }
    let aside = fs::read_dir(place.state("aside/edited")).expect("made").count();
    assert!(aside <= 20, "{aside}");
}

#[test]
fn a_restart_without_any_state_of_its_own_reads_the_disk_and_changes_nothing() {
    let place = Place::new();
    let files = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
    files.apply(&place.open(), 1).expect("applied");
    for name in ["applied.json", "live-cache.json", "generations", "blobs"] {
        for damage in ["{\"format\":1,\"ser", ""] {
            let path = place.state(name);
            if path.is_dir() {
                fs::remove_dir_all(&path).expect("remove");
            } else if damage.is_empty() {
                drop(fs::remove_file(&path));
            } else {
                fs::write(&path, damage).expect("write");
            }
            let store = place.open();
            let document = files.document(1);
            assert_eq!(
                store.missing(&document),
                Ok(Vec::new()),
                "{name}: nothing is fetched again"
            );
            let applied = store
                .apply(&document, crate::standby::store::Permit::default())
                .expect("applied");
            assert_eq!((applied.written, applied.removed), (Vec::new(), Vec::new()), "{name}");
            assert_eq!(store.position().map(|position| position.sequence), Some(1), "{name}");
            assert_eq!(store.altered(), Ok(Vec::new()), "{name}");
            assert!(place.is_live(&files), "{name}");
        }
    }
}
