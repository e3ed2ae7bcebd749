//! What makes a rename or a removal impossible, on real file systems. These tests need root.

use std::os::unix::fs::{PermissionsExt, chown};

use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, open};

use super::*;
use crate::basics::mount::private::Mounts;

/// A user who is not root and owns nothing.
const NOBODY: u32 = 65534;

/// A place with the usual files on a file system that knows the attributes of chattr(1): the one of temporary files, or
/// one in memory where that has none.
fn usual() -> Place {
    let place = Place::new();
    if set(place.folder.path(), IFlags::NOATIME, true).is_err() {
        Mounts::private().disk(&place.folder.path().canonicalize().expect("there"), "size=16m");
        set(place.folder.path(), IFlags::NOATIME, true).expect("neither disk nor memory has attributes");
    }
    let mut store = place.open();
    store.options.free_space = 0;
    Files::usual().apply(&store, 1).expect("applied");
    place
}

fn set(path: &Path, attribute: IFlags, is_on: bool) -> io::Result<()> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut attributes = ioctl_getflags(&file)?;
    attributes.set(attribute, is_on);
    Ok(ioctl_setflags(&file, attributes)?)
}

/// An attribute that is taken away again however the test ends: nobody could remove the folder else.
struct Attribute<'a>(&'a Path, IFlags);

impl<'a> Attribute<'a> {
    fn of(path: &'a Path, attribute: IFlags) -> Self {
        set(path, attribute, true).expect("root may");
        Self(path, attribute)
    }
}

impl Drop for Attribute<'_> {
    fn drop(&mut self) {
        set(self.0, self.1, false).expect("root may");
    }
}

fn store(place: &Place) -> DiskStore {
    let mut store = place.open();
    store.options.free_space = 0;
    store
}

/// Nothing of the set is live, no step of it was begun, and the error says which file is in the way and what to do.
fn assert_refused(place: &Place, old: &Files, newer: &Files, path: &Path, guidance: &str) {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&begun);
    let mut store = place.open_with(Arc::new(move |change| {
        if change.replaces("journal.json") || change.replaces_live() || change.takes_away() {
            seen.lock().expect("no panic").push(change.clone());
        }
        Ok(())
    }));
    store.options.free_space = 0;
    let error = newer.apply(&store, 2).expect_err("it cannot be done");
    assert!(place.is_live(old), "{error}");
    assert_eq!(*begun.lock().expect("no panic"), [], "{error}");
    assert_eq!(error.kind(), Kind::File, "{error}");
    assert!(error.message().contains(&path.display().to_string()), "{error}");
    assert!(error.guidance().contains(guidance), "{error}");
    place.assert_tidy();
}

#[test]
fn a_file_that_is_immutable_or_append_only_stops_the_set_before_it_begins() {
    for (attribute, letter) in [(IFlags::IMMUTABLE, 'i'), (IFlags::APPEND, 'a')] {
        let place = usual();
        for name in [Name::CruiseConfig, jar("a.jar")] {
            let path = place.path(&name);
            let fixed = Attribute::of(&path, attribute);
            // One is replaced, the other one removed.
            let guidance = format!("chattr -{letter} {}", path.display());
            assert_refused(&place, &Files::usual(), &next(), &path, &guidance);
            // Alone as well.
            let alone = if name == Name::CruiseConfig {
                Files::usual().with(name, EDITED)
            } else {
                Files::usual().with(name, &plugin("a", "2"))
            };
            assert_refused(&place, &Files::usual(), &alone, &path, &guidance);
            drop(fixed);
        }
        next().apply(&store(&place), 3).expect("nothing is in the way");
        assert!(place.is_live(&next()));
    }
}

#[test]
fn a_folder_that_is_immutable_or_append_only_stops_the_set_before_it_begins() {
    for (attribute, letter) in [(IFlags::IMMUTABLE, 'i'), (IFlags::APPEND, 'a')] {
        let place = usual();
        let plugins = place.layout.plugins_external();
        let fixed = Attribute::of(plugins, attribute);
        let guidance = format!("chattr -{letter} {}", plugins.display());
        assert_refused(&place, &Files::usual(), &next(), plugins, &guidance);
        drop(fixed);
        let config = place.layout.cruise_config_dir();
        let fixed = Attribute::of(config, attribute);
        // jetty.xml is new there.
        assert_refused(&place, &Files::usual(), &next(), config, &format!("chattr -{letter}"));
        // What is there can be written where it is.
        let edited = Files::usual().with(Name::CruiseConfig, EDITED);
        edited.apply(&store(&place), 2).expect("applied");
        assert!(place.is_live(&edited));
        drop(fixed);
        next().apply(&store(&place), 3).expect("nothing is in the way");
        assert!(place.is_live(&next()));
        place.assert_tidy();
    }
}

#[test]
fn a_local_jar_that_cannot_be_moved_stops_the_set_before_it_begins() {
    let place = usual();
    let local = place.path(&jar("local.jar"));
    fs::write(&local, plugin("B", "0.9")).expect("write");
    let old = Files::usual().with(jar("local.jar"), &plugin("B", "0.9"));
    let fixed = Attribute::of(&local, IFlags::IMMUTABLE);
    assert_refused(&place, &old, &next(), &local, "chattr -i");
    drop(fixed);
    let aside = place.state("aside");
    fs::create_dir_all(&aside).expect("folder");
    let fixed = Attribute::of(&aside, IFlags::APPEND);
    assert_refused(&place, &old, &next(), &aside, "chattr -a");
    drop(fixed);
    next().apply(&store(&place), 3).expect("nothing is in the way");
    assert!(place.is_live(&next()));
}

#[test]
fn a_local_jar_with_the_longest_name_is_moved_all_the_same() {
    let place = usual();
    let long = format!("{}.jar", "b".repeat(251));
    fs::write(place.path(&jar(&long)), plugin("B", "0.9")).expect("write");
    next().apply(&store(&place), 2).expect("applied");
    assert!(place.is_live(&next()));
    let aside = fs::read_dir(place.state("aside")).expect("made").flatten().next();
    let aside = aside.expect("one").path();
    assert!(aside.to_string_lossy().ends_with(".jar"));
    assert_eq!(fs::read(aside).expect("readable"), plugin("B", "0.9"));
}

#[test]
fn a_folder_in_the_place_of_a_file_behind_a_link_stops_the_set_before_it_begins() {
    let place = usual();
    let elsewhere = place.folder.path().canonicalize().expect("there").join("elsewhere");
    fs::create_dir(&elsewhere).expect("folder");
    std::os::unix::fs::symlink(&elsewhere, place.path(&Name::JettyXml)).expect("link");
    let error = next().apply(&store(&place), 2).expect_err("a folder is in the way");
    assert!(error.message().contains("elsewhere: it is a folder"), "{error}");
    assert!(!place.path(&jar("b.jar")).exists());
}

/// Does something as another user on a thread of its own.
fn as_nobody(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            work();
        });
        thread.join().expect("no panic");
    });
}

/// Gives all that is under a folder to nobody.
fn give_away(path: &Path) {
    chown(path, Some(NOBODY), None).expect("root may");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable") {
            give_away(&entry.expect("readable").path());
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
}

#[test]
fn somebody_elses_file_in_a_sticky_folder_stops_the_set_before_it_begins() {
    let place = usual();
    give_away(place.folder.path());
    for (folder, name) in [
        (place.layout.plugins_external(), jar("a.jar")),
        (place.layout.cruise_config_dir(), Name::CruiseConfig),
    ] {
        let path = place.path(&name);
        for owned in [folder, &path] {
            chown(owned, Some(0), None).expect("root may");
        }
        set_mode(folder, 0o1777);
        set_mode(&path, 0o644);
        as_nobody(|| assert_refused(&place, &Files::usual(), &next(), &path, "chmod -t"));
        give_away(place.folder.path());
        set_mode(folder, 0o755);
    }
    as_nobody(|| {
        next().apply(&store(&place), 3).expect("nothing is in the way");
    });
    assert!(place.is_live(&next()));
}

#[test]
fn a_folder_that_this_user_may_not_write_stops_the_set_before_it_begins() {
    for is_config in [false, true] {
        let place = usual();
        give_away(place.folder.path());
        let folder = if is_config {
            place.layout.cruise_config_dir()
        } else {
            place.layout.plugins_external()
        };
        chown(folder, Some(0), None).expect("root may");
        set_mode(folder, 0o755);
        as_nobody(|| {
            assert_refused(
                &place,
                &Files::usual(),
                &next(),
                folder,
                "Let the user that runs GoCD access",
            )
        });
        if is_config {
            // A file that is to go and nothing else.
            let gone = Files::usual()
                .without(&Name::CipherAes)
                .with(jar("b.jar"), &plugin("b", "1"));
            let key = place.path(&Name::CipherAes);
            as_nobody(|| {
                assert_refused(
                    &place,
                    &Files::usual(),
                    &gone,
                    &key,
                    "Let the user that runs GoCD access",
                );
            });
        }
        chown(folder, Some(NOBODY), None).expect("root may");
        as_nobody(|| {
            next().apply(&store(&place), 3).expect("nothing is in the way");
        });
        assert!(place.is_live(&next()));
    }
}

#[test]
fn a_set_is_moved_aside_over_a_mount_of_the_same_disk_and_comes_back() {
    let mounts = Mounts::private();
    let place = usual();
    // A rename from one mount to another is refused, be it the same disk.
    let plugins = place.layout.plugins_external();
    mounts.bind(plugins, plugins);
    let local = plugin("B", "0.9");
    fs::write(place.path(&jar("local.jar")), &local).expect("write");
    set_mode(&place.path(&jar("local.jar")), 0o604);
    let old = Files::usual().with(jar("local.jar"), &local);
    let is_it = |change: &Change| change.replaces("cruise-config.xml");
    let mut failing = place.open_with(failing_where(is_it, io::ErrorKind::Other));
    failing.options.free_space = 0;
    next().apply(&failing, 2).expect_err("its last step fails");
    assert!(place.is_live(&old));
    let mode = fs::metadata(place.path(&jar("local.jar")))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o604);
    drop(failing);
    next().apply(&store(&place), 2).expect("applied");
    assert!(place.is_live(&next()));
    place.assert_tidy();
}

#[test]
fn a_file_of_ours_that_has_an_attribute_is_named_with_what_takes_it_away() {
    let place = usual();
    let folder = place.folder.path().join("ours");
    fs::create_dir(&folder).expect("folder");
    let file = folder.join("ledger.json");
    fs::write(&file, "x").expect("write");
    for (path, attribute, letter) in [
        (&file, IFlags::IMMUTABLE, 'i'),
        (&file, IFlags::APPEND, 'a'),
        (&folder, IFlags::IMMUTABLE, 'i'),
        (&folder, IFlags::APPEND, 'a'),
    ] {
        let attribute = Attribute::of(path, attribute);
        let error = atomic::write(&file, b"y", 0o600).expect_err("it cannot be replaced");
        assert!(
            error
                .guidance()
                .contains(&format!("chattr -{letter} {}", path.display())),
            "{error}"
        );
        drop(attribute);
        // What the attempt could not take away again.
        atomic::sweep(&folder).expect("swept");
        assert_eq!(fs::read(&file).expect("read"), b"x");
    }
    atomic::write(&file, b"y", 0o600).expect("nothing is in the way");
}
