//! Configuration files beside cruise-config.xml that are not whole: an edit of it never waits for them.

use super::*;
use crate::generation::withheld::LONG_MS;

/// A kind of file, a whole one, and what is no whole one.
fn torn() -> Vec<(Name, &'static str, &'static str)> {
    let jetty = "<!DOCTYPE Configure><Configure><Set/></Configure>";
    let toggles = "{\"toggles\":[1]}";
    vec![
        (Name::JettyXml, jetty, &jetty[..40]),
        (Name::JettyXml, jetty, ""),
        (Name::JettyXml, jetty, "<Configure><Set a=1/></Configure>"),
        (Name::FeatureToggles, toggles, &toggles[..8]),
        (Name::FeatureToggles, toggles, ""),
    ]
}

#[test]
fn an_edit_crosses_beside_a_file_that_is_not_whole_and_that_comes_once_it_is() {
    for (name, whole, part) in torn() {
        let mut scene = Scene::new(Writer::Done);
        // However slow this machine is, it was written a moment ago.
        scene.pass(-LONG_MS);
        scene.place.write(&name, part);
        assert_eq!(
            unstable(&mut scene.scanner).0,
            name,
            "it may come with what is saved beside it"
        );
        scene.pass(MOMENT_MS);
        for _ in 0..3 {
            assert!(!scene.is_offered(&name, part.as_bytes()), "{part:?}");
            let snapshot = scene.read();
            assert_eq!(snapshot.manifest.withheld.reason(&name), Some(&Reason::BeingWritten));
            assert_eq!(snapshot.manifest.withheld.files.len(), 1);
            assert_eq!(snapshot.withheld_lines, Vec::<String>::new());
            let again = snapshot.read_again.expect("nobody may tell when it is whole");
            assert!(again <= Duration::from_secs(5), "{again:?}");
            scene.pass(8_000);
        }
        scene.place.write(&name, whole);
        assert!(scene.is_offered(&name, whole.as_bytes()));
        assert!(scene.read().manifest.withheld.is_empty());
    }
}

#[test]
fn a_jetty_xml_that_stays_as_it_is_is_never_offered_and_named_also_after_a_restart() {
    let mut scene = Scene::new(Writer::Done);
    scene.place.write(&Name::JettyXml, "<Configure>");
    scene.pass(MOMENT_MS);
    scene.read();
    scene.pass(LONG_MS);
    // Nothing is known of a version before, and the standby keeps the one that it has.
    let restarted = scene.place.scanner();
    for scanner in [std::mem::replace(&mut scene.scanner, restarted), scene.place.scanner()] {
        scene.scanner = scanner;
        let snapshot = scene.read();
        let withheld = &snapshot.manifest.withheld;
        assert_eq!(withheld.reason(&Name::JettyXml), Some(&Reason::Unfinished));
        let said = &snapshot.withheld_lines[0];
        assert!(
            said.contains("jetty.xml has been written for more than a minute"),
            "{said}"
        );
        assert!(said.contains("not whole yet: it is not whole"), "{said}");
    }
    // Removed while it is written anew, it is not removed from the standby.
    scene.place.remove(&Name::JettyXml);
    unstable(&mut scene.scanner);
    scene.pass(MOMENT_MS);
    assert_eq!(awaited(&mut scene.scanner), [Name::JettyXml]);
    scene.place.write(&Name::JettyXml, "<Configure/>");
    assert!(scene.is_offered(&Name::JettyXml, b"<Configure/>"));
}

#[test]
fn toggles_that_are_no_json_are_carried_after_a_while_as_gocd_tolerates_them() {
    let (name, part) = (Name::FeatureToggles, b"{\"toggles\":");
    let mut scene = Scene::new(Writer::Done);
    scene.pass(-LONG_MS);
    scene.place.write(&name, part);
    unstable(&mut scene.scanner);
    scene.pass(MOMENT_MS);
    assert!(!scene.is_offered(&name, part));
    scene.pass(PATIENCE_MS - 10_000);
    assert!(!scene.is_offered(&name, part));
    scene.pass(10_000);
    assert!(scene.is_offered(&name, part));
    let snapshot = scene.read();
    let warning = &snapshot.warnings[0];
    assert!(warning.contains(&name.to_string()), "{warning}");
    // What was carried once stays carried, however it is edited.
    scene.place.write(&name, "{\"toggles\":[");
    assert!(scene.is_offered(&name, b"{\"toggles\":["));
    // A start later on does not wait for what has been so for long.
    scene.pass(LONG_MS + PATIENCE_MS);
    assert_eq!(ready(&mut scene.place.scanner()).warnings, snapshot.warnings);
}

#[test]
fn an_edit_crosses_beside_a_further_file_that_is_written_again_and_again() {
    let name: Name = "users.txt".parse().expect("allowed");
    let mut place = Place::new();
    let extra = crate::generation::ExtraName::list("users.txt").expect("allowed");
    place.layout = place.layout.clone().with_extra(extra);
    let mut scene = Scene {
        scanner: place.scanner(),
        place,
        says: Says(Writer::Done),
    };
    let begun = Instant::now();
    let is_awaited = |reading: &Reading| match reading {
        Reading::Ready(snapshot) => snapshot.manifest.withheld.reason(&name) == Some(&Reason::BeingWritten),
        Reading::Unstable { .. } => false,
    };
    loop {
        scene.place.write(&name, "written");
        if is_awaited(&scene.scanner.scan(&mut scene.says).expect("readable")) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it holds everything up");
        thread::sleep(Duration::from_millis(10));
    }
    scene.pass(UNTOUCHED_MS);
    assert!(scene.is_offered(&name, b"written"));
}
