//! What is read and mended before GoCD starts on the live files.

use super::*;
use crate::standby::store::MadeWhole;

/// A node with the usual files applied.
fn applied() -> (Place, DiskStore) {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    (place, store)
}

/// Changes bytes as a failing disk does: neither size nor times tell.
fn rot(path: &Path) {
    let times = fs::metadata(path).expect("there");
    let mut bytes = fs::read(path).expect("readable");
    bytes[0] ^= 1;
    fs::write(path, bytes).expect("write");
    let file = fs::File::options().write(true).open(path).expect("open");
    file.set_modified(times.modified().expect("has one")).expect("set");
}

/// Puts another file in the place of a jar, as a copy that broke off does: the blob keeps its bytes.
fn replace(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("other");
    fs::write(&other, bytes).expect("write");
    fs::rename(other, path).expect("rename");
}

fn kept_aside(place: &Place) -> Vec<Vec<u8>> {
    let files = fs::read_dir(place.state("aside/edited"))
        .into_iter()
        .flatten()
        .flatten();
    files.map(|file| fs::read(file.path()).expect("readable")).collect()
}

#[test]
fn a_store_that_rests_makes_nothing_live_but_mends() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    store.rest(true);
    let document = next().document(2);
    next().fetch(&store, &document);
    let refused = store.apply(&document, Permit::default()).expect_err("it rests");
    assert_eq!(refused.kind(), Kind::Busy);
    assert!(store.restore("#1").is_err(), "nor is anything gone back to");
    fs::write(place.path(&Name::CruiseConfig), "edited").expect("write");
    store.make_whole(false).expect("mended");
    assert!(place.is_live(&Files::usual()));
    // Somebody else began to want it, and the first one comes to his end.
    store.rest(true);
    store.rest(false);
    assert!(store.apply(&document, Permit::default()).is_err(), "it rests still");
    store.rest(false);
    store.apply(&document, Permit::default()).expect("applied");
}

#[test]
fn what_is_right_is_read_and_nothing_changes() {
    let (place, store) = applied();
    let made = store.make_whole(false).expect("whole");
    assert_eq!(
        made,
        MadeWhole {
            right: 3,
            ..MadeWhole::default()
        }
    );
    assert!(place.is_live(&Files::usual()));
    assert!(!place.state("aside/edited").exists());
}

#[test]
fn what_rotted_was_edited_cut_short_or_removed_is_mended_and_what_was_there_is_named() {
    let (place, store) = applied();
    let files = Files::usual()
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(Name::JettyXml, b"<Configure/>");
    files.apply(&store, 2).expect("applied");
    let key = fs::read(place.path(&Name::CipherAes)).expect("readable");
    rot(&place.path(&Name::CipherAes));
    replace(&place.path(&jar("a.jar")), &plugin("a", "1")[..20]);
    fs::remove_file(place.path(&jar("b.jar"))).expect("remove");
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    let made = store.make_whole(false).expect("mended");
    assert!(place.is_live(&files));
    place.assert_tidy();
    assert_eq!((made.right, made.mended.len(), made.left.len()), (5, 4, 0), "{made:?}");
    let said = made.mended.join("\n");
    for expected in [
        "plugins/external/b.jar was missing",
        "plugins/external/a.jar was not what was applied last; what was there is kept as",
        "cipher.aes was not",
        "cruise-config.xml was not",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let aside = kept_aside(&place);
    let mut rotten = key;
    rotten[0] ^= 1;
    for bytes in [rotten.as_slice(), b"<cruise>mine</cruise>", &plugin("a", "1")[..20]] {
        assert!(aside.iter().any(|kept| kept == bytes), "{aside:?}");
    }
    assert_eq!(store.position().map(|at| at.sequence), Some(2));
    assert_eq!(store.make_whole(false).expect("again").mended, Vec::<String>::new());
    // Also for those who look after it and for the next start.
    assert_eq!(place.open().altered(), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_mended_is_refused_by_name_and_left_only_where_somebody_says_so() {
    let (place, store) = applied();
    // The jar is one file with its blob, so both have rotted.
    rot(&place.path(&jar("a.jar")));
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    let error = store.make_whole(false).expect_err("it cannot be mended");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error.message().contains("plugins/external/a.jar differs")
            && error
                .guidance()
                .contains("`gocd-bc promote --without-database --as-it-is`"),
        "{error}"
    );
    let edited = fs::read(place.path(&Name::CruiseConfig)).expect("readable");
    assert_eq!(edited, b"<cruise>mine</cruise>", "nothing has changed");
    let made = store.make_whole(true).expect("ordered");
    assert_eq!((made.right, made.mended.len(), made.left.len()), (2, 1, 1), "{made:?}");
    assert!(made.left[0].contains("a.jar differs"), "{made:?}");
    assert_eq!(fs::read(place.path(&Name::CruiseConfig)).expect("readable"), CONFIG);
}

#[test]
fn kept_bytes_that_rotted_mend_nothing() {
    let (place, store) = applied();
    rot(&place.state("blobs").join(Digest::of(CONFIG).to_string()));
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    let error = store.make_whole(false).expect_err("no right bytes are left");
    assert!(error.message().contains("lost or damaged"), "{error}");
}

#[test]
fn where_nothing_was_applied_gocd_starts_only_where_somebody_says_so() {
    let place = Place::new();
    let store = place.open();
    let error = store.make_whole(false).expect_err("nothing is known of the files");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.message().contains("nothing was ever applied here"), "{error}");
    let made = store.make_whole(true).expect("ordered");
    assert_eq!(made.left, ["nothing was ever applied here"]);
}

#[test]
fn a_generation_whose_manifest_is_lost_is_not_taken_for_right() {
    let (place, store) = applied();
    next().apply(&store, 2).expect("applied");
    drop(store);
    let id = next().document(2).generation;
    fs::write(place.state(&format!("generations/{id}.json")), "torn").expect("write");
    let error = place
        .open()
        .make_whole(false)
        .expect_err("nobody knows what was applied");
    assert!(error.message().contains("it is lost"), "{error}");
    assert!(error.guidance().contains("generations restore"), "{error}");
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_not_called_different() {
    use std::os::unix::fs::symlink;

    let (place, store) = applied();
    let key = place.path(&Name::CipherAes);
    fs::remove_file(&key).expect("remove");
    symlink(&key, &key).expect("a link that leads to itself");
    let error = store.make_whole(false).expect_err("unreadable");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error.message().contains("cipher.aes cannot be read") && !error.message().contains("differs"),
        "{error}"
    );
    assert!(key.is_symlink(), "it is left");
    fs::remove_file(&key).expect("remove");
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).expect("a pipe, which nobody ever writes to");
    let error = store.make_whole(false).expect_err("no file");
    assert!(error.message().contains("no regular file"), "{error}");
    let made = store.make_whole(true).expect("ordered");
    assert!(made.left[0].contains("cipher.aes"), "{made:?}");
}

#[test]
fn a_half_live_set_is_finished_first_and_its_generation_is_known_then() {
    let (place, store) = applied();
    drop(store);
    let store = place.open_with(crashing_where(|change| change.replaces("cruise-config.xml")));
    let document = next().document(2);
    next().fetch(&store, &document);
    catch_unwind(AssertUnwindSafe(|| store.apply(&document, Permit::default()))).expect_err("crashed");
    assert!(place.state("journal.json").exists() && !place.is_live(&next()));
    // The store that was open, and one that opens on it.
    let made = store.make_whole(false).expect("finished");
    assert!(made.finished_interrupted && made.mended.is_empty(), "{made:?}");
    assert!(place.is_live(&next()));
    drop(store);
    let store = place.open();
    assert_eq!(store.applied().map(|applied| applied.sequence), Some(2));
    fs::remove_file(place.path(&Name::JettyXml)).expect("remove");
    assert_eq!(
        store.make_whole(false).expect("mended").mended,
        ["jetty.xml was missing"]
    );
    assert!(place.is_live(&next()));
}

#[test]
fn a_crash_or_an_error_at_any_moment_of_mending_is_gone_on_from() {
    for fail in [|| panic!("the power fails"), || Err(io::Error::other("the disk fails"))] {
        let mut failed = 0;
        for number in 0.. {
            let (place, store) = applied();
            drop(store);
            let old = b"<cruise>mine</cruise>";
            fs::write(place.path(&Name::CruiseConfig), old).expect("write");
            fs::remove_file(place.path(&jar("a.jar"))).expect("remove");
            rot(&place.path(&Name::CipherAes));
            let (probe, count) = failing_at(number, fail);
            let store = place.open_with(probe);
            let made = catch_unwind(AssertUnwindSafe(|| store.make_whole(false)));
            let is_over = count.load(Ordering::Relaxed) <= number;
            // What only helps to go back later may fail.
            let is_whole = matches!(&made, Ok(Ok(_)));
            assert!(is_whole || !is_over, "change {number}: {made:?}");
            assert!(!is_whole || place.is_live(&Files::usual()), "change {number}");
            if let Ok(Err(error)) = &made {
                assert_eq!(error.kind(), Kind::Refused, "{error}");
            }
            drop(store);
            let store = place.open();
            store.make_whole(false).expect("the disk works again");
            assert!(place.is_live(&Files::usual()), "change {number}");
            place.assert_tidy();
            assert!(kept_aside(&place).iter().any(|kept| kept == old), "change {number}");
            assert_eq!(store.position().map(|at| at.sequence), Some(1));
            if is_over {
                break;
            }
            failed += 1;
        }
        assert!(failed >= 8, "{failed}");
    }
}

#[test]
fn nothing_that_was_kept_aside_earlier_goes_for_it() {
    let (place, store) = applied();
    for number in 0..20 {
        fs::write(place.path(&Name::CruiseConfig), format!("<cruise>{number}</cruise>")).expect("write");
        store.repair(&[]).expect("repaired");
    }
    fs::write(place.path(&Name::CruiseConfig), "<cruise>last</cruise>").expect("write");
    let made = store.make_whole(false).expect("mended");
    assert_eq!(kept_aside(&place).len(), 21, "{made:?}");
}

#[test]
fn a_file_that_cannot_be_kept_aside_is_not_overwritten() {
    let (place, mut store) = applied();
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    store.options.free_space = u64::MAX;
    let error = store.make_whole(false).expect_err("no room for it");
    assert!(error.message().contains("cannot be kept aside"), "{error}");
    let made = store.make_whole(true).expect("ordered");
    assert!(made.left[0].contains("cruise-config.xml"), "{made:?}");
    let live = fs::read(place.path(&Name::CruiseConfig)).expect("readable");
    assert_eq!(live, b"<cruise>mine</cruise>");
}

#[test]
fn a_local_jar_that_doubles_a_plugin_is_moved_out_of_gocds_sight_and_others_stay() {
    let (place, store) = applied();
    fs::write(place.path(&jar("a-0.9.jar")), plugin("A", "0.9")).expect("write");
    fs::write(place.path(&jar("local.jar")), plugin("local", "1")).expect("write");
    fs::write(place.path(&Name::JettyXml), "<Configure/>").expect("write");
    let made = store.make_whole(false).expect("mended");
    assert_eq!(made.mended.len(), 1, "{made:?}");
    assert!(made.mended[0].contains("a-0.9.jar was kept aside"), "{made:?}");
    let only_here: Vec<_> = made.left.iter().filter(|line| line.contains("is only here")).collect();
    assert_eq!((made.left.len(), only_here.len()), (2, 2), "{made:?}");
    for name in ["jetty.xml", "local.jar"] {
        assert!(only_here.iter().any(|line| line.contains(name)), "{made:?}");
    }
    let files = Files::usual().with(jar("local.jar"), &plugin("local", "1"));
    assert!(place.is_live(&files.with(Name::JettyXml, b"<Configure/>")));
}

#[test]
fn jars_that_wait_for_a_yes_are_read_and_mended_too() {
    let place = Place::new();
    let store = place.open();
    let full = Files::usual()
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(jar("c.jar"), &plugin("c", "1"))
        .with(jar("d.jar"), &plugin("d", "1"));
    full.apply(&store, 1).expect("applied");
    let applied = Files::usual().apply(&store, 2).expect("applied");
    assert_eq!(applied.kept.len(), 3);
    replace(&place.path(&jar("c.jar")), b"half");
    let made = store.make_whole(false).expect("mended");
    assert_eq!((made.right, made.mended.len(), made.left.len()), (6, 1, 0), "{made:?}");
    assert!(place.is_live(&full));
}

#[test]
fn another_gocd_that_came_meanwhile_stops_no_mending() {
    let (place, store) = applied();
    let mut document = Files::usual().document(2);
    document.envelope.gocd_version = Some("26.1.0-1".to_owned());
    store.apply(&document, Permit::default()).expect("applied");
    drop(store);
    let mut store = place.open();
    store.rules = Rules::new(Some("25.4.0-1".to_owned()), false);
    store
        .apply(&document, Permit::default())
        .expect_err("it would not come in today");
    fs::write(place.path(&Name::CruiseConfig), "<cruise>mine</cruise>").expect("write");
    store.make_whole(false).expect("mended");
    assert!(place.is_live(&Files::usual()));
}
