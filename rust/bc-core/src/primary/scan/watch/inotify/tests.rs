//! The real kernel, and one that fails.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    thread,
};

use super::*;
use crate::basics::Properties;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

struct Place {
    folder: tempfile::TempDir,
    layout: Layout,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("folder");
    let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
    let layout = Layout::from_properties(&properties);
    fs::create_dir_all(layout.cruise_config_dir()).expect("folder");
    fs::write(layout.cruise_config(), "<cruise/>").expect("write");
    Place { folder, layout }
}

fn watcher(place: &Place) -> Watcher {
    let watcher = Watcher::new(&place.layout);
    assert_eq!(watcher.problem(), None);
    watcher
}

#[test]
fn a_kernel_that_fails_is_said_and_asked_anew() {
    let place = place();
    let mut watcher = watcher(&place);
    watcher.fail(Errno::EIO);
    assert!(watcher.problem().expect("it is said").contains("no longer tells"));
    let begun = Instant::now();
    watcher.poll(SHORT);
    assert!(begun.elapsed() >= SHORT, "it waits, and does not ask again and again");
    assert_eq!(watcher.wait(LONG), Hint::Changed, "something may have been missed");
    assert_eq!(watcher.problem(), None);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    fs::write(place.layout.cruise_config(), "<cruise></cruise>").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
    watcher.fail(Errno::EIO);
    assert_eq!(
        watcher.wait(SHORT),
        Hint::Quiet,
        "one that goes on failing is no reason to read again and again"
    );
    assert!(watcher.problem().is_some(), "it is said meanwhile");
}

/// As one that the kernel refuses at its start.
fn refused(place: &Place) -> Watcher {
    let mut watcher = watcher(place);
    watcher.kernel = None;
    watcher.problem = Some(limits::no_instance(Errno::EMFILE));
    watcher
}

#[test]
fn a_kernel_that_refuses_is_asked_again_in_the_middle_of_a_long_wait() {
    let place = place();
    let begun = Instant::now();
    let mut watcher = refused(&place);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet, "not at once");
    assert!(
        watcher
            .problem()
            .expect("it is said")
            .contains("fs.inotify.max_user_instances")
    );
    assert_eq!(watcher.wait(6 * LONG), Hint::Changed, "something may have been missed");
    assert!((AGAIN..6 * LONG).contains(&begun.elapsed()));
    assert_eq!(watcher.problem(), None);
    fs::write(place.layout.cruise_config(), "<cruise></cruise>").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
}

#[test]
fn a_folder_that_could_not_be_watched_is_tried_again_in_the_middle_of_a_long_wait() {
    let place = place();
    let plugins = place.layout.plugins_external();
    fs::create_dir_all(plugins.parent().expect("a folder")).expect("folder");
    std::os::unix::fs::symlink(plugins, plugins).expect("link");
    let mut watcher = Watcher::new(&place.layout);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    let problem = watcher.problem().expect("a link that leads to itself");
    assert!(
        problem.starts_with("changes in ") && problem.contains("tried again by itself"),
        "{problem}"
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            fs::remove_file(plugins).expect("ours");
            fs::create_dir(plugins).expect("folder");
        });
        assert_eq!(watcher.wait(6 * LONG), Hint::Changed);
    });
    assert_eq!(watcher.problem(), None);
}

#[test]
fn a_waker_ends_a_wait_without_the_kernel_as_well() {
    let place = place();
    let mut watcher = refused(&place);
    let waker = watcher.waker();
    waker.wake();
    assert_eq!(watcher.wait(LONG), Hint::Woken, "before it waits");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            waker.wake();
        });
        assert_eq!(watcher.wait(LONG), Hint::Woken);
    });
    assert_eq!(watcher.wait(Duration::ZERO), Hint::Quiet);
}

#[test]
fn a_closed_writer_is_a_hint_and_an_open_one_only_later() {
    let place = place();
    let mut watcher = watcher(&place);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    fs::write(place.layout.cruise_config(), "<cruise></cruise>").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    let mut open = OpenOptions::new()
        .append(true)
        .open(place.layout.cruise_config())
        .expect("open");
    open.write_all(b"<!-- -->").expect("write");
    let begun = Instant::now();
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    assert_eq!(watcher.wait(LONG), Hint::Changed);
    assert!(begun.elapsed() >= WRITER_AT_WORK, "a writer is at work");
    drop(open);
    assert_eq!(watcher.wait(LONG), Hint::Changed);
}

#[test]
fn reading_and_temporary_files_are_no_hints() {
    let place = place();
    let mut watcher = watcher(&place);
    fs::read(place.layout.cruise_config()).expect("read");
    fs::write(place.layout.cruise_config_dir().join(".gocd-bc-1.tmp"), "x").expect("write");
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
}

#[test]
fn folders_that_appear_or_are_replaced_are_watched_anew() {
    let place = place();
    let mut watcher = watcher(&place);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    let plugins = place.layout.plugins_external();
    fs::create_dir_all(plugins).expect("folder");
    assert_eq!(watcher.wait(SHORT), Hint::Changed);
    fs::write(plugins.join("a.jar"), "x").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
    fs::rename(plugins, place.folder.path().join("old")).expect("rename");
    fs::create_dir(plugins).expect("folder");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    fs::write(plugins.join("b.jar"), "x").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
}

#[test]
fn the_target_of_a_link_is_watched_but_not_its_neighbours() {
    let place = place();
    let elsewhere = place.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("folder");
    let target = elsewhere.join("config.xml");
    fs::rename(place.layout.cruise_config(), &target).expect("rename");
    std::os::unix::fs::symlink(&target, place.layout.cruise_config()).expect("link");
    let mut watcher = watcher(&place);
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    fs::write(elsewhere.join("neighbour"), "x").expect("write");
    assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    fs::write(&target, "<cruise></cruise>").expect("write");
    assert_eq!(watcher.wait(LONG), Hint::Changed);
}

#[test]
fn a_waker_ends_a_wait() {
    let place = place();
    let mut watcher = watcher(&place);
    let waker = watcher.waker();
    thread::scope(|scope| {
        scope.spawn(|| waker.wake());
        assert_eq!(watcher.wait(LONG), Hint::Woken);
    });
    assert_eq!(watcher.wait(Duration::ZERO), Hint::Quiet);
}

#[test]
fn who_writes_a_jar_is_told() {
    let place = place();
    let plugins = place.layout.plugins_external();
    fs::create_dir_all(plugins).expect("folder");
    let (jar, target) = (plugins.join("a.jar"), place.folder.path().join("elsewhere.bin"));
    fs::write(&jar, "there before").expect("write");
    fs::write(&target, "a jar").expect("write");
    std::os::unix::fs::symlink(&target, plugins.join("link.jar")).expect("link");
    let mut watcher = watcher(&place);
    assert_eq!(watcher.writer(&jar), Writer::Unknown);
    for path in [&jar, &target] {
        let jar = if path == &target {
            plugins.join("link.jar")
        } else {
            jar.clone()
        };
        let heard = watcher.heard_of_jars().expect("it is watched");
        assert_eq!(watcher.heard_of_jars(), Some(heard));
        let mut open = OpenOptions::new().append(true).open(path).expect("open");
        assert_eq!(watcher.writer(&jar), Writer::Unknown);
        open.write_all(b"more").expect("write");
        assert_eq!(watcher.writer(&jar), Writer::AtWork);
        assert_ne!(watcher.heard_of_jars(), Some(heard));
        drop(open);
        assert_eq!(watcher.writer(&jar), Writer::Done);
    }
    assert_eq!(
        watcher.wait(LONG),
        Hint::Changed,
        "what was told is a hint all the same"
    );
    fs::remove_file(&jar).expect("remove");
    assert_eq!(watcher.writer(&jar), Writer::Unknown);
    fs::write(plugins.join(".a.jar.Xy12"), "moved in").expect("write");
    fs::rename(plugins.join(".a.jar.Xy12"), &jar).expect("rename");
    assert_eq!(watcher.writer(&jar), Writer::Done);
    watcher.fail(Errno::EIO);
    assert_eq!((watcher.writer(&jar), watcher.heard_of_jars()), (Writer::Unknown, None));
}
