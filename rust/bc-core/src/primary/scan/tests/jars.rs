//! Jars that are written while they are read: they come when they are whole, and hold nothing up.

use std::{io::Cursor, time::SystemTime};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::primary::scan::unfinished::{ONCE_MORE_MS, SHORT_LIVES, STILL_MS};

/// A jar that is not packed, so that all of its versions have one length: more than 4000 bytes before the list.
fn large(version: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("a/B.class", stored).expect("a new file");
    writer.write_all(version.repeat(4_000).as_bytes()).expect("memory");
    writer.finish().expect("memory").into_inner()
}

#[test]
fn what_is_no_whole_jar_is_carried_after_a_while_and_what_becomes_of_it_once_it_is_whole() {
    let (whole, name) = (large("1"), jar("b.jar"));
    for writer in [Writer::Done, Writer::Unknown, Writer::AtWork] {
        let mut scene = Scene::new(writer);
        scene.place.write(&name, &whole[..1_000]);
        assert!(!scene.is_offered(&name, &whole[..1_000]));
        scene.pass(PATIENCE_MS - 1_000);
        assert!(!scene.is_offered(&name, &whole[..1_000]));
        scene.pass(2_000);
        let snapshot = scene.read();
        assert_eq!(snapshot.manifest.files[&name].sha256, Digest::of(&whole[..1_000]));
        assert!(snapshot.warnings[0].contains("b.jar"), "{:?}", snapshot.warnings);
        // It grows, with pauses that are as long: what was sent of it is not sent again and again.
        for length in [2_000, 3_000] {
            scene.place.write(&name, &whole[..length]);
            scene.read();
            scene.pass(2 * PATIENCE_MS);
            assert!(!scene.is_offered(&name, &whole[..length]));
        }
        scene.place.write(&name, &whole);
        scene.read();
        scene.pass(PATIENCE_MS);
        assert!(scene.is_offered(&name, &whole));
    }
}

#[test]
fn what_is_no_whole_jar_for_long_is_carried_once_more() {
    let (whole, name) = (large("1"), jar("b.jar"));
    let mut scene = Scene::new(Writer::Done);
    scene.place.write(&name, "");
    scene.read();
    scene.pass(PATIENCE_MS);
    assert!(scene.is_offered(&name, b""));
    scene.place.write(&name, &whole[..1_000]);
    scene.read();
    scene.pass(ONCE_MORE_MS - 60_000);
    assert!(!scene.is_offered(&name, &whole[..1_000]));
    scene.pass(61_000);
    assert!(scene.is_offered(&name, &whole[..1_000]));
}

#[test]
fn without_anybody_who_tells_a_jar_comes_once_it_has_stood_still() {
    let (versions, name) = (["1", "2"].map(large), jar("b.jar"));
    let mut scene = Scene::new(Writer::Unknown);
    for version in &versions {
        scene.place.write(&name, version);
        assert!(!scene.is_offered(&name, version));
        scene.pass(STILL_MS);
        assert!(scene.is_offered(&name, version));
        scene.pass(-STILL_MS);
    }
    // Whoever only touches it changes nothing.
    scene.place.write(&name, &versions[1]);
    assert!(scene.is_offered(&name, &versions[1]));
}

#[test]
fn a_jar_whose_times_are_of_another_clock_comes_once_it_has_stood_still() {
    let (whole, name) = (large("1"), jar("b.jar"));
    let mut scene = Scene::new(Writer::Unknown);
    scene.place.write(&name, &whole);
    let file = fs::File::options().write(true).open(scene.place.layout.path_of(&name));
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    file.expect("open").set_modified(tomorrow).expect("dated forward");
    assert!(!scene.is_offered(&name, &whole));
    scene.pass(STILL_MS);
    assert!(scene.is_offered(&name, &whole));
}

/// On a network disk whose server has another idea of the time.
#[test]
fn a_jar_whose_times_are_long_past_does_not_stand_still_for_that() {
    let (whole, name) = (large("1"), jar("b.jar"));
    let mut scene = Scene::new(Writer::Unknown);
    let path = scene.place.layout.path_of(&name);
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("write");
        let file = fs::File::options().write(true).open(&path).expect("open");
        let behind = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(behind).expect("dated back");
    };
    for part in 1..5 {
        let part = &whole[..whole.len() * part / 5];
        write(part);
        assert!(!scene.is_offered(&name, part), "it grows");
        scene.pass(STILL_MS);
    }
    write(&whole);
    assert!(!scene.is_offered(&name, &whole));
    scene.pass(STILL_MS);
    assert!(scene.is_offered(&name, &whole));

    // After a start nothing else tells, and what was there for long need not wait.
    let mut started = scene.place.scanner();
    let manifest = match started.scan(&mut Says(Writer::Unknown)).expect("readable") {
        Reading::Ready(snapshot) => snapshot.manifest,
        Reading::Unstable { name, reason } => panic!("{name} {reason}"),
    };
    assert_eq!(manifest.files[&name].sha256, Digest::of(&whole));
}

#[test]
fn a_jar_in_somebodys_hands_comes_when_it_is_closed_or_after_a_while() {
    let (whole, name) = (large("1"), jar("b.jar"));
    let mut scene = Scene::new(Writer::AtWork);
    scene.place.write(&name, &whole);
    scene.pass(2 * STILL_MS);
    assert!(!scene.is_offered(&name, &whole));
    scene.says = closed();
    assert!(scene.is_offered(&name, &whole), "at once");
    scene.says = Says(Writer::AtWork);
    let longer = large("2");
    scene.place.write(&name, &longer);
    scene.pass(-2 * STILL_MS);
    assert!(!scene.is_offered(&name, &longer));
    scene.pass(PATIENCE_MS);
    assert!(scene.is_offered(&name, &longer), "it may be kept open for ever");
}

#[test]
fn a_jar_that_is_overwritten_from_its_beginning_is_not_taken_for_whole() {
    let (versions, name) = (["1", "2"].map(large), jar("b.jar"));
    assert_eq!(versions[0].len(), versions[1].len());
    let mut scene = Scene::new(Writer::Done);
    scene.place.write(&name, &versions[0]);
    assert!(scene.is_offered(&name, &versions[0]));
    for length in [100, 2_000, 3_900] {
        let mixed = [&versions[1][..length], &versions[0][length..]].concat();
        scene.place.write(&name, &mixed);
        assert!(!scene.is_offered(&name, &mixed), "{length}");
    }
    scene.place.write(&name, &versions[1]);
    assert!(scene.is_offered(&name, &versions[1]));
}

#[test]
fn a_jar_that_is_written_again_and_again_has_to_rest() {
    let name = jar("b.jar");
    let mut scene = Scene::new(Writer::Done);
    let versions: Vec<_> = (0..9).map(|version| large(&version.to_string())).collect();
    let (first, later) = versions.split_at(SHORT_LIVES as usize);
    for version in first {
        scene.place.write(&name, version);
        assert!(scene.is_offered(&name, version), "somebody may correct himself");
    }
    for version in later {
        scene.place.write(&name, version);
        assert!(!scene.is_offered(&name, version));
    }
    let last = &later[later.len() - 1];
    scene.pass(STILL_MS);
    assert!(scene.is_offered(&name, last));
    scene.pass(10 * STILL_MS);
    scene.place.write(&name, &first[0]);
    assert!(scene.is_offered(&name, &first[0]), "it has rested");
}

#[test]
fn when_to_look_again_is_said() {
    let mut scene = Scene::new(Writer::Done);
    assert_eq!(scene.read().read_again, None);
    scene.says = Says(Writer::Unknown);
    scene.place.write(&jar("b.jar"), large("1"));
    let again = scene.read().read_again.expect("nobody tells");
    assert!(again <= Duration::from_millis(STILL_MS.unsigned_abs()), "{again:?}");
}

/// Somebody who brings a plugin and the configuration that needs it while the jars are being read.
struct Administrator<F>(Option<F>);

impl<F: FnOnce() + Send> Hints for Administrator<F> {
    fn wait(&mut self, _timeout: Duration) -> Hint {
        Hint::Quiet
    }

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }

    fn problem(&self) -> Option<String> {
        None
    }

    fn writer(&mut self, _jar: &Path) -> Writer {
        if let Some(act) = self.0.take() {
            act();
        }
        Writer::Done
    }
}

#[test]
fn a_configuration_and_the_plugin_that_came_before_it_are_offered_together() {
    let place = Place::new();
    let mut scanner = place.scanner();
    ready(&mut scanner);
    let edited = CONFIG.replace("one", "needs b");
    place.write(&jar("a.jar"), plugin("a", "2"));
    // The folder has been listed when somebody is asked about a.jar.
    let mut administrator = Administrator(Some(|| {
        place.write(&jar("b.jar"), plugin("b", "1"));
        place.write(&Name::CruiseConfig, &edited);
    }));
    let Ok(Reading::Ready(snapshot)) = scanner.scan(&mut administrator) else {
        panic!("nothing is unfinished");
    };
    assert_eq!(
        snapshot.manifest.files[&Name::CruiseConfig].sha256,
        Digest::of(edited.as_bytes())
    );
    assert!(snapshot.manifest.files.contains_key(&jar("b.jar")));
}

#[test]
fn what_is_left_of_our_own_jar_is_named_and_neither_synced_nor_withheld() {
    let (own, other) = (plugin(OWN_PLUGIN_ID, "0.2.0"), plugin("b", "1"));
    for file in [
        crate::generation::own_files::OWN_JAR,
        "GoCD-Business-Continuity.jar",
        "ours.jar",
    ] {
        for writer in [Writer::Done, Writer::Unknown, Writer::AtWork] {
            let mut scene = Scene::new(writer);
            let name = jar(file);
            for part in [&own[..own.len() / 2], b"".as_slice()] {
                scene.place.write(&name, part);
                for _ in 0..3 {
                    let manifest = scene.read().manifest;
                    assert!(!manifest.files.contains_key(&name), "every standby would refuse it");
                    assert_eq!(manifest.withheld.reason(&name), None);
                    scene.pass(ONCE_MORE_MS);
                }
                let warnings = scene.read().warnings;
                let is_named = |warning: &String| warning.starts_with(&format!("{name} is the jar of this plugin"));
                assert!(warnings.iter().any(is_named), "{file} {writer:?} {warnings:?}");
            }
            scene.place.write(&name, &own);
            scene.pass(PATIENCE_MS);
            let whole = scene.read();
            assert_eq!(whole.warnings, Vec::<String>::new());
            assert_eq!(whole.manifest.withheld.reason(&name), None);
            assert!(whole.own_jars.contains_key(&file.parse().expect("a safe name")));
        }
    }
    let mut scene = Scene::new(Writer::Done);
    let (ours, elsewhere) = (jar(crate::generation::own_files::OWN_JAR), jar("ours.jar"));
    scene.place.write(&ours, &other);
    scene.place.write(&elsewhere, &other);
    assert!(scene.is_offered(&elsewhere, &other), "our own jar went to another name");
    let snapshot = scene.read();
    assert!(!snapshot.manifest.files.contains_key(&ours) && snapshot.manifest.withheld.reason(&ours).is_none());
    assert!(
        snapshot.warnings[0].contains("is another one"),
        "{:?}",
        snapshot.warnings
    );
}
