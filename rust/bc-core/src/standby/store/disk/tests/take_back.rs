//! Sets of which a step fails while they become live.

use super::{failing_disk::fetch_and_apply, *};
use crate::{
    basics::lock,
    durable::seal,
    standby::store::{journal::Journal, record::Read},
};

/// A set after the usual files and a local jar, which has every sort of step.
fn newer() -> Files {
    next().with(Name::CipherAes, b"fedcba9876543210fedcba9876543210")
}

/// A node with the usual files, and a local jar that the set has moved out of GoCD's sight.
fn before() -> (Place, Files) {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    fs::write(place.path(&jar("local.jar")), plugin("B", "0.9")).expect("write");
    (place, Files::usual().with(jar("local.jar"), &plugin("B", "0.9")))
}

/// Every name that changes from the journal to the record, and every wait for names.
fn changes() -> Vec<Change> {
    let (place, _) = before();
    let (probe, changes) = recorder();
    newer().apply(&place.open_with(probe), 2).expect("applied");
    let mut changes = changes.lock().expect("no panic").clone();
    let is = |name: &str| {
        changes
            .iter()
            .position(|change| change.replaces(name))
            .expect("happens")
    };
    let all = is("journal.json")..=is("applied.json");
    changes.truncate(all.end() + 1);
    changes.drain(..*all.start());
    // The journal's own folder is waited for at other times too.
    changes.retain(|change| match change {
        Change::SyncFolder(path) => path.file_name() != Some("business-continuity".as_ref()),
        _ => matches!(change, Change::Rename(..)),
    });
    changes
}

#[test]
fn whatever_step_keeps_failing_the_old_set_is_whole_and_the_error_says_so() {
    let changes = changes();
    assert!(changes.len() >= 11, "{changes:?}");
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        for failing in &changes {
            let (place, old) = before();
            let it = format!("{failing:?}");
            let store = place.open_with(failing_where(move |change| format!("{change:?}") == it, kind));
            for _ in 0..2 {
                let applied = fetch_and_apply(&store, &newer(), &newer().document(2));
                let error = applied.expect_err("a step fails");
                assert!(place.is_live(&old), "{failing:?}: {error}");
                assert_eq!(store.position().map(|at| at.sequence), Some(1));
                let said = match failing {
                    _ if failing.replaces("journal.json") => "journal.json",
                    // Only writing down what is applied fails.
                    _ if failing.replaces("applied.json") => {
                        "the old set is whole again, but that cannot be written down"
                    }
                    Change::SyncFolder(_) => "cannot sync the folder",
                    _ => "nothing of the new set is live, the old one is whole again",
                };
                assert!(error.message().contains(said), "{failing:?}: {error}");
                let is_open = failing.replaces("applied.json") || said == "cannot sync the folder";
                assert_eq!(place.state("journal.json").exists(), is_open, "{failing:?}");
            }
            drop(store);
            let store = place.open();
            assert_eq!(store.half_live(), None);
            assert!(place.is_live(&old), "{failing:?}");
            newer().apply(&store, 2).expect("the disk works again");
            assert!(place.is_live(&newer()), "{failing:?}");
            place.assert_tidy();
        }
    }
}

#[test]
fn a_crash_at_any_moment_of_taking_back_ends_in_the_old_set() {
    let mut crashed = 0;
    for number in 0.. {
        let (place, old) = before();
        let back = Arc::new(Mutex::new(None::<Vec<Change>>));
        let done = Arc::clone(&back);
        let store = place.open_with(Arc::new(move |change| {
            let mut back = lock(&done);
            if change.replaces("cruise-config.xml") {
                back.get_or_insert_default();
                return Err(io::Error::other("this one cannot be renamed"));
            }
            if let Some(done) = &mut *back {
                assert_ne!(done.len(), number, "the power fails");
                done.push(change.clone());
            }
            Ok(())
        }));
        let document = newer().document(2);
        newer().fetch(&store, &document);
        let applied = catch_unwind(AssertUnwindSafe(|| store.apply(&document, Permit::default())));
        drop(store);
        let store = place.open();
        // Before it is turned a journal goes forward.
        let done = lock(&back);
        let is_new = !done.iter().flatten().any(|change| change.replaces("journal.json"));
        let live = if is_new { newer() } else { old };
        assert!(place.is_live(&live), "change {number}: {applied:?}");
        let sequence = if is_new { 2 } else { 1 };
        assert_eq!(store.position().map(|at| at.sequence), Some(sequence));
        assert_eq!(store.applied().map(|applied| applied.sequence), Some(sequence));
        assert_eq!(store.half_live(), None);
        place.assert_tidy();
        if applied.is_ok() {
            break;
        }
        crashed += 1;
    }
    assert!(crashed >= 20, "{crashed}");
}

#[test]
fn where_taking_back_fails_too_it_is_said_until_it_works() {
    let (place, old) = before();
    // What was put in place of an old file cannot be taken away again.
    let is_it = |change: &Change| {
        ["cruise-config.xml", "a.jar", "local.jar"]
            .iter()
            .any(|name| change.replaces(name))
    };
    let store = place.open_with(failing_where(is_it, io::ErrorKind::Other));
    let error = newer().apply(&store, 2).expect_err("neither works");
    assert!(
        error.message().contains("half live") && error.message().contains("cannot be taken back"),
        "{error}"
    );
    assert!(error.guidance().contains("GoCD must not start"), "{error}");
    assert_eq!(store.half_live(), Some(error.to_string()));
    assert!(!place.is_live(&old) && !place.is_live(&newer()));
    let refused = store.make_whole(false).expect_err("GoCD must not start on it");
    assert_eq!(refused.kind(), Kind::Refused);
    drop(store);
    let store = place.open();
    assert_eq!(store.half_live(), None);
    assert!(place.is_live(&old), "what was decided stays");
    place.assert_tidy();
}

#[test]
fn one_file_that_is_torn_while_it_is_written_in_place_comes_back() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let torn = place.path(&Name::CruiseConfig);
    let writes = AtomicUsize::new(0);
    let store = place.open_with(Arc::new(move |change| {
        if change.writes_in_place() && writes.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::write(&torn, &EDITED[..9]).expect("write");
            return Err(io::ErrorKind::StorageFull.into());
        }
        if change.replaces_live() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }));
    let edited = Files::usual().with(Name::CruiseConfig, EDITED);
    let error = edited.apply(&store, 2).expect_err("the disk is full");
    assert_eq!(error.kind(), Kind::DiskFull, "{error}");
    assert!(place.is_live(&Files::usual()), "{error}");
    place.assert_tidy();
    edited.apply(&store, 2).expect("there is room again");
    assert!(place.is_live(&edited));
}

#[test]
fn what_was_edited_here_comes_back_too() {
    let (place, old) = before();
    let edited = old.with(Name::CipherAes, b"edited on the standby");
    fs::write(place.path(&Name::CipherAes), b"edited on the standby").expect("write");
    let is_it = |change: &Change| change.replaces("cruise-config.xml");
    let store = place.open_with(failing_where(is_it, io::ErrorKind::Other));
    newer().apply(&store, 2).expect_err("its last step fails");
    assert!(place.is_live(&edited));
}

#[cfg(unix)]
#[test]
fn a_link_and_a_mode_come_back_as_they_were() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let (place, old) = before();
    let shared = place.folder.path().join("shared.bin");
    fs::rename(place.path(&jar("a.jar")), &shared).expect("rename");
    symlink(&shared, place.path(&jar("a.jar"))).expect("link");
    let mode = fs::Permissions::from_mode(0o604);
    fs::set_permissions(place.path(&Name::CipherAes), mode.clone()).expect("mode");
    let is_it = |change: &Change| change.replaces("cruise-config.xml");
    let store = place.open_with(failing_where(is_it, io::ErrorKind::Other));
    newer().apply(&store, 2).expect_err("its last step fails");
    assert!(place.is_live(&old));
    assert!(place.path(&jar("a.jar")).is_symlink());
    let found = fs::metadata(place.path(&Name::CipherAes)).expect("there");
    assert_eq!(found.permissions().mode() & 0o777, 0o604);
}

#[test]
fn a_journal_of_the_version_before_is_rolled_forward() {
    let (place, journal) = begun();
    let mut journal: serde_json::Value = serde_json::from_slice(&journal).expect("JSON");
    let fields = journal.as_object_mut().expect("an object");
    for newer in ["back", "direction", "document", "sha256"] {
        fields.remove(newer).expect("there");
    }
    let steps = fields["steps"].as_array_mut().expect("steps");
    for step in steps {
        step.as_object_mut().expect("an object").remove("put_off");
    }
    let path = place.state("journal.json");
    fs::write(&path, seal::sealed(&journal).expect("plain")).expect("write");
    let Ok(Read::Whole(read)) = Journal::read(&OperatingSystem, &path) else {
        panic!("it is a journal");
    };
    assert_eq!((read.back, read.steps.len()), (None, 5));
    let store = place.open();
    assert!(place.is_live(&next()));
    assert_eq!(store.position().map(|at| at.sequence), Some(2));
    place.assert_tidy();
}
