use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, sleep},
    time::Duration,
};

use super::*;
#[cfg(unix)]
mod compared;
mod failing_disk;
#[cfg(unix)]
mod folders;
#[cfg(target_os = "linux")]
mod folding;
#[cfg(target_os = "linux")]
mod full_disk;
mod generations;
mod hostile;
mod live_since;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod obstacles;
mod power_cut;
mod repair;
mod restore;
mod round;
#[cfg(unix)]
mod take_back;
mod unreadable;
mod watching;
mod whole;
mod withheld;

use self::{
    failing_disk::fetch_and_apply,
    watching::{Change, Probe, Watching, crashing_where, failing_at, failing_where, no_probe, recorder},
};
use crate::{
    basics::{Kind, SystemClock},
    durable::atomic,
    files::descriptor::tests::plugin,
    standby::store::contract::{CONFIG, EDITED, Files, jar, layout_in},
};

struct Place {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let layout = layout_in(&folder.path().canonicalize().expect("there"));
        Self { folder, layout }
    }

    fn open(&self) -> DiskStore {
        self.open_with(no_probe())
    }

    fn open_with(&self, probe: Probe) -> DiskStore {
        self.open_on(Arc::new(OperatingSystem), probe, Options::default())
            .expect("open")
    }

    fn open_on(&self, system: Arc<dyn FileSystem>, probe: Probe, options: Options) -> Result<DiskStore, Error> {
        DiskStore::open_on(
            Watching::on(system, probe),
            self.layout.state_dir(),
            &self.layout,
            Arc::new(SystemClock),
            options,
        )
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.layout.path_of(name)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.layout.state_dir().join(name)
    }

    fn is_live(&self, files: &Files) -> bool {
        let jars = fs::read_dir(self.layout.plugins_external())
            .into_iter()
            .flatten()
            .count();
        jars == files.0.keys().filter(|name| matches!(name, Name::Plugin(_))).count()
            && Name::CONFIG
                .iter()
                .all(|name| fs::exists(self.path(name)).expect("readable") == files.0.contains_key(name))
            && files
                .0
                .iter()
                .all(|(name, bytes)| fs::read(self.path(name)).is_ok_and(|live| live == *bytes))
    }

    /// Nothing of an apply is left beside the live files.
    fn assert_tidy(&self) {
        for folder in [
            self.layout.cruise_config_dir(),
            self.layout.plugins_external(),
            self.layout.state_dir(),
        ] {
            for entry in fs::read_dir(folder).expect("readable") {
                let name = entry.expect("readable").file_name();
                assert!(
                    !name.to_string_lossy().ends_with(".tmp"),
                    "{name:?} in {}",
                    folder.display()
                );
            }
        }
        assert!(!self.state("journal.json").exists());
    }
}

/// A generation after [`Files::usual`] that writes, replaces and removes plugins and configuration files.
fn next() -> Files {
    Files::usual()
        .without(&jar("a.jar"))
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(jar("c.jar"), b"opaque")
        .with(Name::JettyXml, b"<Configure/>")
        .with(Name::CruiseConfig, EDITED)
}

/// What a recorder has seen, in words.
fn told(changes: &Mutex<Vec<Change>>) -> Vec<String> {
    let changes = changes.lock().expect("no panic");
    changes.iter().map(|change| format!("{change:?}")).collect()
}

#[test]
fn a_file_that_the_configuration_mentions_is_missed_until_it_is_there() {
    let place = Place::new();
    let config = b"<cruise schemaVersion=\"139\"><server serverId=\"one\"><security><authConfigs><authConfig id=\"p\" \
        pluginId=\"cd.go.authentication.passwordfile\"><property><key>PasswordFilePath</key>\
        <value>config/password.properties</value></property></authConfig></authConfigs></security></server></cruise>";
    let store = place.open();
    Files::usual()
        .with(Name::CruiseConfig, config)
        .apply(&store, 1)
        .expect("applied");
    let missing = store.look().expect("readable").missing_files;
    let said = crate::standby::pull::compare::missing(&missing).expect("one is missing");
    assert!(said.contains("config/password.properties (PasswordFilePath)"), "{said}");
    assert!(said.ends_with("name it in bc.sync.extra on both servers"), "{said}");
    fs::write(place.layout.cruise_config_dir().join("password.properties"), "admin=x").expect("write");
    assert_eq!(store.look().expect("readable").missing_files, Vec::new());
}

#[test]
fn a_further_file_comes_only_where_this_node_names_it_too() {
    let mut place = Place::new();
    let name: Name = "password.properties".parse().expect("valid");
    let files = Files::usual().with(name.clone(), b"admin=x");
    let applied = files.apply(&place.open(), 1).expect("applied");
    assert!(!place.layout.cruise_config_dir().join("password.properties").exists());
    assert!(applied.warnings[0].contains("bc.sync.extra"), "{:?}", applied.warnings);
    place.layout = place
        .layout
        .clone()
        .with_extra(vec!["password.properties".parse().expect("valid")]);
    let applied = files.apply(&place.open(), 1).expect("applied");
    assert_eq!((applied.written, applied.warnings), (vec![name.clone()], vec![]));
    assert_eq!(fs::read(place.path(&name)).expect("read"), b"admin=x");
}

#[test]
fn a_wrong_list_of_further_files_removes_none() {
    let mut place = Place::new();
    let name: Name = "password.properties".parse().expect("valid");
    place.layout = place
        .layout
        .clone()
        .with_extra(vec!["password.properties".parse().expect("valid")]);
    let store = place.open();
    Files::usual()
        .with(name.clone(), b"admin=x")
        .apply(&store, 1)
        .expect("applied");
    let wrong_there = |sequence| ManifestDocument {
        extra_is_unknown: true,
        ..Files::usual().document(sequence)
    };
    for sequence in 2..4 {
        let applied = store.apply(&wrong_there(sequence), Permit::default()).expect("applied");
        assert_eq!(applied.removed, []);
        assert!(
            applied.warnings[0].contains("bc.sync.extra of the primary"),
            "{:?}",
            applied.warnings
        );
    }
    assert_eq!(fs::read(place.path(&name)).expect("it stayed"), b"admin=x");

    // A list of this node's own that is wrong removes none either.
    let right = place.layout.clone();
    place.layout = right.clone().with_unknown_extra();
    drop(store);
    let applied = Files::usual().apply(&place.open(), 4).expect("applied");
    assert_eq!(applied.removed, []);
    place.layout = right;
    assert_eq!(fs::read(place.path(&name)).expect("it stayed"), b"admin=x");

    let store = place.open();
    let listed = Files::usual().with(name.clone(), b"admin=x");
    listed.apply(&store, 5).expect("applied");
    let removed = Files::usual().apply(&store, 6).expect("applied").removed;
    assert_eq!(removed, [name], "one that is really gone there goes here too");
}

#[test]
fn one_changed_file_waits_for_the_disk_once_before_it_is_live() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let (probe, changes) = recorder();
    let store = place.open_with(probe);
    let edited = Files::usual().with(Name::CruiseConfig, EDITED);
    edited.fetch(&store, &edited.document(2));
    changes.lock().expect("no panic").clear();
    edited.apply(&store, 2).expect("applied");
    assert_eq!(
        told(&changes),
        [
            "remove config/*.tmp",
            "create config/*.tmp",
            "sync config/*.tmp",
            "rename config/*.tmp to config/cruise-config.xml",
            "sync the names in config",
            "create business-continuity/*.tmp",
            "sync business-continuity/*.tmp",
            "rename business-continuity/*.tmp to business-continuity/applied.json",
            "sync the names in business-continuity",
            "create blobs/*.tmp",
            "rename blobs/*.tmp to blobs/*",
            "create generations/*.tmp",
            "rename generations/*.tmp to generations/*",
        ]
    );
}

#[test]
fn a_set_is_staged_and_journaled_before_the_first_file_is_live() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let (probe, changes) = recorder();
    let store = place.open_with(probe);
    next().fetch(&store, &next().document(2));
    changes.lock().expect("no panic").clear();
    next().apply(&store, 2).expect("applied");
    assert_eq!(
        told(&changes),
        [
            "remove external/*.tmp",
            "link external/*.tmp",
            "remove external/*.tmp",
            "link external/*.tmp",
            "remove config/*.tmp",
            "create config/*.tmp",
            "sync config/*.tmp",
            "remove config/*.tmp",
            "create config/*.tmp",
            "sync config/*.tmp",
            "create blobs/*.tmp",
            "rename blobs/*.tmp to blobs/*",
            "sync blobs/*",
            "sync the names in blobs",
            "create business-continuity/*.tmp",
            "sync business-continuity/*.tmp",
            "rename business-continuity/*.tmp to business-continuity/journal.json",
            "sync the names in business-continuity",
            "rename external/*.tmp to external/b.jar",
            "rename external/*.tmp to external/c.jar",
            "rename external/a.jar to external/*.tmp",
            "rename config/*.tmp to config/jetty.xml",
            "rename config/*.tmp to config/cruise-config.xml",
            "sync the names in config",
            "sync the names in external",
            "create business-continuity/*.tmp",
            "sync business-continuity/*.tmp",
            "rename business-continuity/*.tmp to business-continuity/applied.json",
            "sync the names in business-continuity",
            "remove external/*.tmp",
            "remove business-continuity/journal.json",
            "create generations/*.tmp",
            "rename generations/*.tmp to generations/*",
        ]
    );
    place.assert_tidy();
}

#[test]
fn kept_jars_stay_kept_across_a_restart_and_a_crash() {
    let full = Files::usual()
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(jar("c.jar"), b"opaque")
        .with(jar("d.jar"), &plugin("d", "1"));
    // Too few to be many by themselves.
    let partly = full.clone().without(&jar("b.jar")).without(&jar("c.jar"));
    let emptied = Files::usual()
        .with(Name::JettyXml, b"<Configure/>")
        .with(Name::CruiseConfig, EDITED);
    for number in 0.. {
        let place = Place::new();
        full.apply(&place.open(), 1).expect("applied");
        let (probe, _) = failing_at(number, || panic!("the power fails"));
        let store = place.open_with(probe);
        let crashed = catch_unwind(AssertUnwindSafe(|| emptied.apply(&store, 2))).is_err();
        drop(store);
        let applied = emptied.apply(&place.open(), 2).expect("applied");
        assert_eq!(applied.removed, []);
        assert_eq!(applied.kept, [jar("b.jar"), jar("c.jar"), jar("d.jar")]);
        let applied = partly.apply(&place.open(), 3).expect("applied");
        assert_eq!(applied.kept, [jar("b.jar"), jar("c.jar")]);
        let applied = full.apply(&place.open(), 4).expect("applied");
        assert_eq!((applied.removed, applied.kept), (vec![], vec![]));
        assert!(place.is_live(&full));
        if !crashed {
            break;
        }
    }
}

#[test]
fn a_crash_at_any_moment_ends_in_the_whole_old_or_the_whole_new_set() {
    let (mut olds, mut news) = (0, 0);
    for number in 0.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let local = plugin("B", "0.9");
        fs::write(place.path(&jar("local.jar")), &local).expect("write");
        // Unwinding stands for the crash: nothing of ours cleans up on the way.
        let (probe, count) = failing_at(number, || panic!("the power fails"));
        let store = place.open_with(probe);
        let document = next().document(2);
        let crashed = catch_unwind(AssertUnwindSafe(|| next().apply(&store, 2))).is_err();
        drop(store);
        let reopened = place.open();
        place.assert_tidy();
        if place.is_live(&next()) {
            news += 1;
        } else {
            fs::remove_file(place.path(&jar("local.jar"))).expect("not set aside in the old set");
            assert!(place.is_live(&Files::usual()), "a mixture after change {number}");
            olds += 1;
        }
        next().apply(&reopened, 2).expect("applied in the end");
        place.assert_tidy();
        let record = reopened.position().expect("applied");
        assert_eq!((record.generation, record.sequence), (document.generation, 2));
        if !crashed {
            assert!(count.load(Ordering::Relaxed) <= number);
            break;
        }
    }
    assert!(olds >= 5 && news >= 10, "{olds} {news}");
}

#[test]
fn an_error_at_any_moment_leaves_the_old_set_and_the_next_call_goes_on() {
    for number in 0.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let (probe, count) = failing_at(number, || Err(io::ErrorKind::StorageFull.into()));
        let store = place.open_with(probe);
        let document = next().document(2);
        match fetch_and_apply(&store, &next(), &document) {
            Ok(_) if count.load(Ordering::Relaxed) <= number => break,
            // Either there is another way, or it is live by then.
            Ok(_) => {
                store.sweep();
                assert!(place.is_live(&next()), "change {number}");
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::DiskFull, "{error}");
                // The set is live where only the journal's removal failed.
                if !place.is_live(&next()) {
                    assert!(place.is_live(&Files::usual()), "change {number}");
                    place.assert_tidy();
                }
                next().apply(&store, 2).expect("the disk has room again");
                assert!(place.is_live(&next()), "change {number}");
                place.assert_tidy();
            }
        }
    }
}

/// As after a mistake of ours: the part that applies is started again, and the store goes on with what it holds.
#[test]
fn a_panic_at_any_moment_hides_nothing_and_is_mended_by_the_next_call() {
    for number in 0.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let (probe, count) = failing_at(number, || panic!("a mistake of ours"));
        let store = place.open_with(probe);
        if catch_unwind(AssertUnwindSafe(|| next().apply(&store, 2))).is_ok() {
            assert!(number >= 30 && count.load(Ordering::Relaxed) <= number, "{number}");
            break;
        }
        if store.altered() == Ok(Vec::new()) {
            // What was staged is nobody's live file, and goes with the next start at the latest.
            store.sweep();
            assert!(
                place.is_live(&Files::usual()) || place.is_live(&next()),
                "a mixture counts as right after change {number}"
            );
        }
        next().apply(&store, 2).expect("the locks are taken over");
        store.sweep();
        assert!(place.is_live(&next()), "change {number}");
        assert_eq!(store.altered(), Ok(Vec::new()), "change {number}");
        assert!(!place.state("journal.json").exists());
    }
}

/// The power fails at a moment of an apply of a node that has the usual files.
fn crashed_at(is_it: impl Fn(&Change) -> bool + Send + Sync + 'static, files: &Files) -> Place {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let store = place.open_with(crashing_where(is_it));
    let document = files.document(2);
    files.fetch(&store, &document);
    catch_unwind(AssertUnwindSafe(|| store.apply(&document, Permit::default()))).expect_err("crashed");
    drop(store);
    assert!(place.state("journal.json").exists());
    place
}

fn lose_blobs(place: &Place) {
    for blob in fs::read_dir(place.state("blobs")).expect("readable") {
        fs::remove_file(blob.expect("readable").path()).expect("remove");
    }
}

#[test]
fn lost_staged_files_are_made_anew_from_their_blobs() {
    let place = crashed_at(Change::replaces_live, &next());
    for folder in [place.layout.cruise_config_dir(), place.layout.plugins_external()] {
        atomic::sweep(folder).expect("sweep");
    }
    let reopened = place.open();
    assert!(place.is_live(&next()));
    assert!(reopened.position().is_some());
    place.assert_tidy();
}

#[test]
fn a_set_of_which_bytes_are_lost_is_taken_back() {
    let place = crashed_at(|change| change.replaces("cruise-config.xml"), &next());
    atomic::sweep(place.layout.cruise_config_dir()).expect("sweep");
    lose_blobs(&place);
    let reopened = place.open();
    assert!(place.is_live(&Files::usual()));
    assert_eq!(reopened.position().map(|at| at.sequence), Some(1));
    assert_eq!(reopened.half_live(), None);
    place.assert_tidy();
}

#[test]
fn a_set_of_which_new_and_old_bytes_are_lost_is_not_called_applied() {
    let both = next().with(Name::CipherAes, b"fedcba9876543210fedcba9876543210");
    let place = crashed_at(|change| change.replaces("cruise-config.xml"), &both);
    atomic::sweep(place.layout.cruise_config_dir()).expect("sweep");
    lose_blobs(&place);
    let reopened = place.open();
    assert!(reopened.position().is_none());
    both.apply(&reopened, 2).expect("applied");
    assert!(place.is_live(&both));
}

#[test]
fn a_journal_that_came_back_is_not_carried_out_again() {
    let place = Place::new();
    let journal = place.state("journal.json");
    let kept = Arc::new(Mutex::new(Vec::new()));
    let copy = Arc::clone(&kept);
    let from = journal.clone();
    let store = place.open_with(Arc::new(move |change| {
        if *change == Change::Remove(from.clone()) {
            *copy.lock().expect("no panic") = fs::read(&from).expect("open");
        }
        Ok(())
    }));
    Files::usual().apply(&store, 1).expect("applied");
    let first = kept.lock().expect("no panic").clone();
    next().apply(&store, 2).expect("applied");
    drop(store);
    fs::write(&journal, first).expect("write");
    place.open();
    assert!(place.is_live(&next()));
    place.assert_tidy();
}

#[test]
fn a_half_live_set_is_finished_before_gocd_starts_and_forgotten_while_it_runs() {
    let half_live = || crashed_at(|change| change.replaces("cruise-config.xml"), &next());
    let folder = |place: &Place| place.state("journal.json").parent().expect("has one").to_owned();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    let released = half_live();
    finish_interrupted(&folder(&released), &released.layout, Arc::clone(&clock)).expect("finished");
    assert!(released.is_live(&next()));
    released.assert_tidy();

    let running = half_live();
    assert!(abandon(&folder(&running)).expect("forgotten"));
    assert!(!abandon(&folder(&running)).expect("nothing is there"));
    finish_interrupted(&folder(&running), &running.layout, clock).expect("nothing to do");
    assert!(!running.is_live(&next()));
}

#[test]
fn a_live_store_settles_what_its_own_apply_left() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let failed = AtomicBool::new(false);
    let is_it = move |change: &Change| change.replaces("c.jar") && !failed.swap(true, Ordering::Relaxed);
    let store = place.open_with(failing_where(is_it, io::ErrorKind::Other));
    next().apply(&store, 2).expect_err("the disk fails");
    store.finish_interrupted().expect("finished");
    assert!(!place.state("journal.json").exists());
}

/// A standby that crashed before the first step of an apply, and its journal.
fn begun() -> (Place, Vec<u8>) {
    let place = crashed_at(Change::replaces_live, &next());
    let journal = fs::read(place.state("journal.json")).expect("begun");
    (place, journal)
}

#[test]
fn a_damaged_journal_does_not_stop_the_standby_and_nothing_of_it_is_done() {
    let (place, journal) = begun();
    let text = String::from_utf8(journal).expect("JSON");
    let elsewhere = place.folder.path().join("elsewhere").display().to_string();
    let target = place.path(&Name::CruiseConfig).display().to_string();
    for damaged in [
        text.replace(&target, &elsewhere),
        text.replace("\"write\"", "\"remove\""),
        text[..text.len() / 2].to_owned(),
        String::new(),
    ] {
        assert_ne!(damaged, text);
        fs::write(place.state("journal.json"), &damaged).expect("damage");
        let store = place.open();
        assert!(place.is_live(&Files::usual()), "{damaged}");
        assert_eq!(store.position(), None, "nobody knows how far it came");
        assert_eq!(place.open().position(), None, "also later");
        let aside = place.state("journal.damaged");
        assert_eq!(fs::read_to_string(&aside).expect("kept"), damaged);
        fs::remove_file(aside).expect("remove");
    }
    assert!(!fs::exists(elsewhere).expect("readable"));
    let store = place.open();
    next().apply(&store, 2).expect("applied");
    assert!(place.is_live(&next()) && store.position().is_some());
}

#[test]
fn a_pause_stays_where_its_file_is_damaged() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    fs::write(place.state("paused.json"), "{\"format\":1,\"gen").expect("damage");
    for _ in 0..2 {
        let store = place.open();
        let paused = store.paused().expect("still");
        assert_eq!(
            Some(paused.generation),
            store.position().map(|position| position.generation)
        );
    }
    let store = place.open();
    store.resume().expect("resumed");
    assert_eq!(place.open().paused(), None);
}

#[test]
fn where_nothing_can_be_renamed_the_file_is_written_in_place() {
    for kind in [io::ErrorKind::ResourceBusy, io::ErrorKind::CrossesDevices] {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let store = place.open_with(failing_where(|change| change.replaces("cruise-config.xml"), kind));
        let edited = Files::usual().with(Name::CruiseConfig, EDITED);
        let before = fs::File::open(place.path(&Name::CruiseConfig)).expect("open");
        edited.apply(&store, 2).expect("applied");
        assert!(place.is_live(&edited));
        assert_eq!(
            before.metadata().expect("still there").len(),
            EDITED.len() as u64,
            "the file is the same one"
        );
        place.assert_tidy();
    }
}

#[test]
fn a_crash_while_writing_in_place_is_mended_from_the_journal() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let torn = place.path(&Name::CruiseConfig);
    let store = place.open_with(Arc::new(move |change| {
        if change.writes_in_place() {
            fs::write(&torn, &CONFIG[..5]).expect("write");
            panic!("the power fails");
        }
        if change.replaces_live() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(())
    }));
    let edited = Files::usual().with(Name::CruiseConfig, EDITED);
    let document = edited.document(2);
    edited.fetch(&store, &document);
    catch_unwind(AssertUnwindSafe(|| store.apply(&document, Permit::default()))).expect_err("crashed");
    place.open();
    assert!(place.is_live(&edited));
    place.assert_tidy();
}

#[test]
fn a_folder_that_cannot_be_written_takes_files_in_place() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    let is_it = |change: &Change| change.stages() || change.replaces_live();
    let store = place.open_with(failing_where(is_it, io::ErrorKind::PermissionDenied));
    let edited = Files::usual().with(Name::CruiseConfig, EDITED);
    edited.apply(&store, 2).expect("applied");
    assert!(place.is_live(&edited));
    assert_eq!(fs::read_dir(place.state("staged")).expect("made").count(), 0);
}

#[test]
fn what_is_kept_aside_can_be_found_again() {
    let place = Place::new();
    let local = plugin("a", "0.9");
    fs::create_dir_all(place.layout.plugins_external()).expect("folder");
    fs::write(place.path(&jar("a-0.9.jar")), &local).expect("write");
    Files::usual().apply(&place.open(), 1).expect("applied");
    let aside: Vec<_> = fs::read_dir(place.state("aside"))
        .expect("made")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].to_string_lossy().ends_with("-a-0.9.jar"));
    assert_eq!(fs::read(&aside[0]).expect("readable"), local);
}

#[test]
fn no_room_is_said_before_anything_is_fetched() {
    let place = Place::new();
    let mut store = place.open();
    store.options.free_space = u64::MAX;
    let error = store
        .missing(&Files::usual().document(1))
        .expect_err("no disk is so large");
    assert_eq!(error.kind(), Kind::DiskFull);
    assert!(error.message().contains("mounted at"), "{error}");
}

#[test]
fn a_restart_does_not_read_unchanged_jars() {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    sleep(Duration::from_millis(40));
    place.open().live().expect("readable");
    // Bytes that nobody can see in the jar's stamp: were it read, its digest would be another one.
    let cache = place.state("live-cache.json");
    let saved = fs::read_to_string(&cache).expect("saved");
    let digest = Digest::of(&plugin("a", "1")).to_string();
    let other = Digest::of(b"other").to_string();
    assert!(saved.contains(&digest));
    fs::write(&cache, saved.replace(&digest, &other)).expect("write");
    let live = place.open().live().expect("readable");
    assert_eq!(live[&jar("a.jar")].entry.sha256.to_string(), other);
}

#[test]
fn a_local_edit_is_seen_and_overwritten_by_the_next_apply() {
    let place = Place::new();
    let store = place.open();
    Files::usual().apply(&store, 1).expect("applied");
    for name in [jar("a.jar"), Name::CruiseConfig] {
        // The jar shares its bytes with its blob, which is therefore wrong from now on as well.
        fs::write(place.path(&name), b"edited here").expect("write");
        let live = store.live().expect("readable");
        assert_eq!(live[&name].entry.sha256, Digest::of(b"edited here"));
        let applied = Files::usual().apply(&store, 1).expect("applied");
        assert_eq!(applied.written, [name]);
        assert!(place.is_live(&Files::usual()));
    }
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let place = Place::new();
        let elsewhere = place.folder.path().join("elsewhere");
        fs::create_dir_all(&elsewhere).expect("folder");
        fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
        fs::write(elsewhere.join("real.xml"), "<cruise/>").expect("write");
        symlink(elsewhere.join("real.xml"), place.path(&Name::CruiseConfig)).expect("link");
        symlink(elsewhere.join("new.aes"), place.path(&Name::CipherAes)).expect("link to nothing yet");
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        assert!(place.path(&Name::CruiseConfig).is_symlink());
        assert!(place.path(&Name::CipherAes).is_symlink());
        assert!(place.is_live(&Files::usual()));
        assert_eq!(fs::read(elsewhere.join("real.xml")).expect("there"), CONFIG);
        fs::write(elsewhere.join(".gocd-bc-9-9.tmp"), "left by a crash").expect("write");
        place.open();
        assert_eq!(fs::read_dir(&elsewhere).expect("readable").count(), 2);
    }

    #[test]
    fn a_jar_that_is_a_link_loses_only_the_link() {
        let place = Place::new();
        let store = place.open();
        let files = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
        files.apply(&store, 1).expect("applied");
        let target = place.folder.path().join("shared.bin");
        fs::rename(place.path(&jar("a.jar")), &target).expect("rename");
        symlink(&target, place.path(&jar("a.jar"))).expect("link");
        files.without(&jar("a.jar")).apply(&store, 2).expect("applied");
        assert!(!place.path(&jar("a.jar")).is_symlink());
        assert!(target.exists());
    }

    #[test]
    fn modes_are_those_of_the_replaced_files_and_keys_are_private() {
        let place = Place::new();
        let store = place.open();
        Files::usual().apply(&store, 1).expect("applied");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&place.path(&Name::CipherAes)), 0o600);
        assert_eq!(mode(&place.path(&Name::CruiseConfig)), 0o640);
        assert_eq!(mode(&place.path(&jar("a.jar"))), 0o644);
        assert_eq!(mode(&place.state("blobs")), 0o700);
        assert_eq!(mode(&place.state("applied.json")), 0o600);
        fs::set_permissions(place.path(&Name::CruiseConfig), fs::Permissions::from_mode(0o664)).expect("mode");
        let edited = Files::usual().with(Name::CruiseConfig, EDITED);
        edited.apply(&store, 2).expect("applied");
        assert_eq!(mode(&place.path(&Name::CruiseConfig)), 0o664);
    }

    #[test]
    fn every_byte_of_a_jar_is_on_the_disk_once() {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let inode = |path: &Path| fs::metadata(path).expect("there").ino();
        let blob = place.state("blobs").join(Digest::of(&plugin("a", "1")).to_string());
        assert_eq!(inode(&blob), inode(&place.path(&jar("a.jar"))));
        let blob = place.state("blobs").join(Digest::of(CONFIG).to_string());
        assert_ne!(inode(&blob), inode(&place.path(&Name::CruiseConfig)));
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let place = Place::new();
        fs::create_dir_all(place.path(&Name::JettyXml)).expect("folder");
        let files = Files::usual().with(Name::JettyXml, b"<Configure/>");
        let error = files.apply(&place.open(), 1).expect_err("a folder is in the way");
        assert!(error.message().contains("jetty.xml"), "{error}");
        assert!(!place.path(&Name::CruiseConfig).exists());
    }
}

#[test]
fn odd_jars_cross_with_everything_else_and_are_named() {
    use crate::files::descriptor::odd_jars;

    let place = Place::new();
    let store = place.open();
    let odd: Vec<_> = odd_jars::odd().into_iter().chain(odd_jars::broken()).collect();
    let files = odd.iter().fold(Files::usual(), |files, (name, bytes)| {
        files.with(jar(&format!("{name}.jar")), bytes)
    });
    let check = |applied: &Applied| {
        assert!(place.is_live(&files));
        for (name, _) in &odd {
            let begin = format!("plugins/external/{name}.jar is ");
            let named = applied.warnings.iter().filter(|warning| warning.starts_with(&begin));
            assert_eq!(named.count(), 1, "{name}: {:?}", applied.warnings);
        }
    };
    check(&files.apply(&store, 1).expect("applied"));
    // Also where they are live already.
    check(&files.apply(&store, 2).expect("applied"));
    check(&files.apply(&place.open(), 3).expect("applied"));
    // An id in one of them counts for nobody: the plugin of that name that is here stays where it is.
    assert_eq!(files.apply(&store, 4).expect("applied").kept, Vec::new());
}
