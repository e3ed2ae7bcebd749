//! A disk that is really full: a small one of its own.

use super::{generations::edited, *};
use crate::basics::mount::private::{Mounts, fill};
use crate::standby::store::{disk::edited::Aside, room};

#[test]
fn a_disk_that_fills_up_is_named_and_no_live_file_changes() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    Mounts::private().disk(&folder, "size=2m");
    let mut store = place.open();
    store.options.free_space = 0;
    Files::usual().apply(&store, 1).expect("applied");
    let document = next().document(2);
    let wanted = store.missing(&document).expect("there is room still");
    let assert_named = |error: Error| {
        assert_eq!(error.kind(), Kind::DiskFull, "{error}");
        let mount = format!("mounted at {}", folder.display());
        assert!(error.to_string().contains(&mount), "{error}");
        assert!(place.is_live(&Files::usual()));
    };
    let filler = fill(&folder);
    // A configuration file takes no room before it is staged.
    let is_jar = |wanted: &&Wanted| matches!(wanted.name, Name::Plugin(_));
    let jar = wanted.iter().find(is_jar).expect("one is new");
    let received = store.receive(jar).and_then(|mut receive| {
        receive.write(next().bytes(&jar.sha256))?;
        receive.finish()
    });
    assert_named(received.expect_err("full while fetching"));
    fs::remove_file(filler).expect("remove");
    next().fetch(&store, &document);
    let filler = fill(&folder);
    assert_named(
        store
            .apply(&document, Permit::default())
            .expect_err("full while staging"),
    );
    fs::remove_file(filler).expect("remove");
    place.assert_tidy();
    store.apply(&document, Permit::default()).expect("there is room again");
    assert!(place.is_live(&next()));
}

/// Makes files until there is no inode for another one.
fn use_up_inodes(folder: &Path) -> PathBuf {
    let filler = folder.join("filler");
    fs::create_dir(&filler).expect("create");
    let full = (0..).find_map(|number| File::create(filler.join(format!("{number}"))).err());
    assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    filler
}

#[test]
fn a_disk_without_inodes_is_named_as_that_and_no_live_file_changes() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    Mounts::private().disk(&folder, "size=16m,nr_inodes=4000");
    let mut store = place.open();
    store.options.free_space = 0;
    Files::usual().apply(&store, 1).expect("applied");
    let said = |store: &DiskStore| store.low_disks().unwrap_or_default();
    assert!(!said(&store).contains("inodes"), "{}", said(&store));
    let document = next().document(2);
    let assert_named = |error: Error| {
        assert_eq!(error.kind(), Kind::DiskFull, "{error}");
        let mount = format!(
            "the disk mounted at {} has no inodes left of 4000, although ",
            folder.display()
        );
        assert!(error.message().contains(&mount), "{error}");
        assert!(
            error.guidance().contains(&format!("df -i {}", folder.display())),
            "{error}"
        );
        assert!(place.is_live(&Files::usual()));
    };
    let filler = use_up_inodes(&folder);
    assert_named(store.missing(&document).expect_err("none for a jar"));
    assert!(said(&store).contains("has no inodes left of 4000"), "{}", said(&store));
    fs::remove_dir_all(filler).expect("remove");
    next().fetch(&store, &document);
    let filler = use_up_inodes(&folder);
    let refused = store.apply(&document, Permit::default());
    assert_named(refused.expect_err("none while staging"));
    fs::remove_dir_all(filler).expect("remove");
    place.assert_tidy();
    store.apply(&document, Permit::default()).expect("there are again");
    assert!(place.is_live(&next()));
}

#[test]
fn few_inodes_are_few_before_there_are_none() {
    let folder = tempfile::tempdir().expect("folder");
    let mount = folder.path().canonicalize().expect("there");
    Mounts::private().disk(&mount, "size=16m,nr_inodes=12");
    let error = room::check(&mount, 1, 0).expect_err("a set needs more");
    assert!(error.message().contains("has only 11 inodes left of 12"), "{error}");
    assert_eq!(room::check(&mount, 0, 0), Ok(()));
}

/// A node on a small disk of its own, with four generations. The second has a plugin of a mebibyte that only it has, the
/// third another one.
fn four_generations() -> (Place, DiskStore) {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    Mounts::private().disk(&folder, "size=8m");
    let mut store = place.open();
    store.options.free_space = 0;
    let large = |byte: u8| vec![byte; 1 << 20];
    edited(1).apply(&store, 1).expect("applied");
    let second = edited(2).with(jar("x.jar"), &large(1));
    second.apply(&store, 2).expect("applied");
    let third = edited(3).with(jar("y.jar"), &large(2));
    third.apply(&store, 3).expect("applied");
    edited(4).apply(&store, 4).expect("applied");
    store.tidy().expect("tidy");
    assert_eq!(place.sequences(), [4, 3, 2, 1]);
    (place, store)
}

/// A generation with a plugin that needs so many bytes more than the disk has free.
fn too_large_by(place: &Place, bytes: u64) -> Files {
    let most = u64::MAX / 2;
    let free = most - room::shortage(place.layout.state_dir(), most, 0);
    let size = usize::try_from(free + bytes).expect("small");
    edited(5).with(jar("z.jar"), &vec![3; size])
}

#[test]
fn no_generation_goes_where_dropping_all_would_not_make_enough_room() {
    let (place, store) = four_generations();
    let next = too_large_by(&place, 3 << 20);
    for _ in 0..2 {
        let error = store.missing(&next.document(5)).expect_err("it does not fit");
        assert_eq!(error.kind(), Kind::DiskFull, "{error}");
        assert!(error.message().contains("none is dropped"), "{error}");
        assert_eq!(place.sequences(), [4, 3, 2, 1]);
    }
    store.tidy().expect("tidy");
    store.restore("#2").expect("all its bytes are there");
    let second = edited(2).with(jar("x.jar"), &[1; 1 << 20]);
    assert!(place.is_live(&second));
}

#[test]
fn a_plugin_that_is_live_too_frees_nothing() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    Mounts::private().disk(&folder, "size=8m");
    let mut store = place.open();
    store.options.free_space = 0;
    let large = vec![1; 4 << 20];
    for number in 1..=4 {
        let files = edited(number).with(jar("x.jar"), &large);
        files.apply(&store, number).expect("applied");
    }
    let next = too_large_by(&place, 1 << 20);
    let error = store.missing(&next.document(5)).expect_err("it does not fit");
    assert_eq!(error.kind(), Kind::DiskFull, "{error}");
    assert_eq!(place.sequences(), [4, 3, 2, 1]);
}

#[test]
fn as_few_generations_go_as_make_enough_room() {
    let (place, store) = four_generations();
    // The oldest one would free a few kilobytes.
    let next = too_large_by(&place, 600 << 10);
    store.missing(&next.document(5)).expect("there is room for it now");
    assert_eq!(place.sequences(), [4, 3, 1]);
    let (place, store) = four_generations();
    let next = too_large_by(&place, 1500 << 10);
    store.missing(&next.document(5)).expect("there is room for it now");
    assert_eq!(place.sequences(), [4, 1]);
    assert!(place.is_live(&edited(4)));
}

#[test]
fn what_is_kept_aside_does_not_go_for_a_file_that_does_not_fit() {
    let (place, mut store) = four_generations();
    for number in 0..20 {
        fs::write(place.path(&Name::CruiseConfig), format!("<cruise>{number}</cruise>")).expect("write");
        store.repair(&[]).expect("repaired");
    }
    let count = || fs::read_dir(place.state("aside/edited")).expect("made").count();
    assert_eq!(count(), 20);
    store.options.free_space = u64::MAX;
    let error = store.keep_aside(&Name::CruiseConfig, 1, Aside::Bounded);
    assert_eq!(error.expect_err("no room").kind(), Kind::DiskFull);
    assert_eq!(count(), 20);
    store.options.free_space = 0;
    store
        .keep_aside(&Name::CruiseConfig, 1, Aside::Bounded)
        .expect("there is room again");
    assert_eq!(count(), 20);
}
