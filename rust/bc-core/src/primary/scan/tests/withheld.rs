//! What cannot be read or looked at was not removed.

use super::*;

/// Everything that a place has, in one reading without anything amiss.
pub(super) fn all(place: &Place) -> Snapshot {
    let snapshot = ready(&mut place.scanner());
    assert!(
        snapshot.manifest.withheld.is_empty(),
        "{:?}",
        snapshot.manifest.withheld
    );
    snapshot
}

/// That exactly these names are withheld, that people hear of each, and that everything else is offered.
pub(super) fn assert_withheld(snapshot: &Snapshot, all: &Snapshot, expected: &[(Name, Reason)]) {
    let expected: std::collections::BTreeMap<_, _> = expected.iter().cloned().collect();
    assert_eq!(snapshot.manifest.withheld.files, expected);
    for name in expected.keys() {
        let is_named = |line: &String| line.contains(&name.to_string());
        assert!(
            snapshot.withheld_lines.iter().any(is_named),
            "{:?}",
            snapshot.withheld_lines
        );
    }
    for (name, entry) in &all.manifest.files {
        let offered = snapshot.manifest.files.get(name);
        assert_eq!(offered, (!expected.contains_key(name)).then_some(entry), "{name}");
    }
    assert_ne!(snapshot.generation, all.generation, "a standby must hear of it");
}

#[test]
fn a_folder_that_was_never_there_is_named_and_withholds_nothing() {
    let place = Place::new();
    fs::remove_dir_all(place.layout.plugins_external()).expect("remove");
    let snapshot = ready(&mut place.scanner());
    assert!(snapshot.warnings[0].contains("plugins/external"));
    assert!(snapshot.manifest.withheld.is_empty());
}

#[test]
fn a_plugin_folder_that_is_lost_takes_no_plugin_from_the_standby() {
    let place = Place::new();
    let options = Options {
        cache_file: Some(place.folder.path().join("scan-cache.json")),
        ..Options::default()
    };
    thread::sleep(Duration::from_millis(40));
    let mut scanner = place.scanner_with(options.clone());
    let before = ready(&mut scanner).generation;
    let folder = place.layout.plugins_external();
    let away = folder.with_file_name("away");
    fs::rename(folder, &away).expect("rename");
    // Also over a restart: it is known that there were some.
    for mut scanner in [scanner, place.scanner_with(options)] {
        for _ in 0..2 {
            let snapshot = ready(&mut scanner);
            assert_eq!(snapshot.manifest.withheld.plugins, Some(Reason::Missing));
            assert_eq!(snapshot.manifest.files.len(), 4, "the configuration goes on");
            assert!(snapshot.withheld_lines[0].contains("plugins/external does not exist any more"));
        }
        fs::rename(&away, folder).expect("rename");
        assert_eq!(ready(&mut scanner).generation, before);
        fs::rename(folder, &away).expect("rename");
    }
}

/// Whatever the reason, and whoever knows nothing of before: every reading here is the first one of a new process
/// without a cache.
#[cfg(unix)]
#[test]
fn a_plugin_folder_that_cannot_be_listed_withholds_every_jar_also_after_a_restart() {
    use std::os::unix::fs::symlink;

    let place = Place::new();
    let folder = place.layout.plugins_external().to_owned();
    let plugins = folder.parent().expect("plugins").to_owned();
    fs::remove_dir_all(&plugins).expect("remove");
    let withheld = || ready(&mut place.scanner()).manifest.withheld.plugins;

    fs::create_dir(&plugins).expect("folder");
    symlink("/not/mounted", &folder).expect("link");
    assert_eq!(withheld(), Some(Reason::Dangling));
    fs::remove_file(&folder).expect("remove");
    fs::remove_dir(&plugins).expect("remove");
    symlink("/not/mounted", &plugins).expect("link");
    assert_eq!(withheld(), Some(Reason::Dangling), "a link on the way to it");
    fs::remove_file(&plugins).expect("remove");
    fs::create_dir(&plugins).expect("folder");
    fs::write(&folder, "no folder").expect("write");
    assert_eq!(withheld(), Some(Reason::Irregular));
    fs::remove_file(&folder).expect("remove");
    symlink("external", &folder).expect("a link that leads to itself");
    assert_eq!(withheld(), Some(Reason::Failing));
    fs::remove_file(&folder).expect("remove");
    fs::create_dir(&folder).expect("folder");
    assert_eq!(withheld(), None);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_seen_is_withheld_also_after_a_restart_and_offered_once_it_can() {
    use std::os::unix::fs::symlink;

    let place = Place::new();
    let (plugins, volume) = (place.layout.plugins_external(), place.folder.path().join("volume"));
    fs::create_dir(&volume).expect("folder");
    let mut linked = vec![(jar("link.jar"), plugins.join("link.jar"))];
    fs::write(plugins.join("link.jar"), plugin("linked", "1")).expect("write");
    for name in [
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
        Name::CruiseConfig,
    ] {
        linked.push((name.clone(), place.layout.path_of(&name)));
    }
    for (_, path) in &linked {
        let target = volume.join(path.file_name().expect("a name"));
        fs::rename(path, &target).expect("moved");
        symlink(&target, path).expect("link");
    }
    let before = all(&place);
    let mut running = place.scanner();
    ready(&mut running);

    // A volume that is not mounted any more, and a disk that cannot read.
    let elsewhere = place.folder.path().join("elsewhere");
    fs::rename(&volume, &elsewhere).expect("moved");
    fs::rename(plugins.join("a.jar"), place.folder.path().join("a.jar")).expect("moved");
    symlink("/proc/self/mem", plugins.join("a.jar")).expect("link");
    let dangling = linked.iter().map(|(name, _)| (name.clone(), Reason::Dangling));
    let expected: Vec<_> = dangling.chain([(jar("a.jar"), Reason::Failing)]).collect();
    for mut scanner in [running, place.scanner()] {
        assert_withheld(&ready(&mut scanner), &before, &expected);
        let again = ready(&mut scanner);
        assert_withheld(&again, &before, &expected);
        let said = again.withheld_lines.join(" ");
        assert!(
            said.contains("a.jar cannot be read") && said.contains("os error 5"),
            "{said}"
        );

        fs::rename(&elsewhere, &volume).expect("moved");
        fs::remove_file(plugins.join("a.jar")).expect("remove");
        fs::rename(place.folder.path().join("a.jar"), plugins.join("a.jar")).expect("moved");
        assert_eq!(ready(&mut scanner).manifest, before.manifest);
        fs::rename(&volume, &elsewhere).expect("moved");
        fs::rename(plugins.join("a.jar"), place.folder.path().join("a.jar")).expect("moved");
        symlink("/proc/self/mem", plugins.join("a.jar")).expect("link");
    }
}

#[test]
fn what_is_known_to_be_gone_is_not_withheld() {
    let place = Place::new();
    let mut scanner = place.scanner();
    ready(&mut scanner);
    place.remove(&jar("a.jar"));
    place.remove(&Name::JettyXml);
    unstable(&mut scanner);
    place.turn_clock(MISSING_MS);
    let snapshot = ready(&mut scanner);
    assert!(snapshot.manifest.withheld.is_empty());
    assert_eq!(
        names(&snapshot),
        ["cipher.aes", "go.feature.toggles", "cruise-config.xml"]
    );
}

#[test]
fn a_configuration_file_that_is_longer_than_its_kind_may_be_is_withheld_and_the_rest_goes_on() {
    let place = Place::new();
    let all = all(&place);
    for name in [
        Name::CruiseConfig,
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
    ] {
        let path = place.layout.path_of(&name);
        let usual = fs::read(&path).expect("there");
        // Without blocks on the disk: only its length is looked at.
        let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(name.largest() + 1).expect("sparse");
        let snapshot = ready(&mut place.scanner());
        assert_eq!(snapshot.manifest.withheld.reason(&name), Some(&Reason::TooLarge));
        assert_eq!(snapshot.manifest.files.len(), all.manifest.files.len() - 1);
        let said = &snapshot.withheld_lines[0];
        assert!(said.contains(&format!("at most {}", name.largest())), "{said}");
        fs::write(&path, usual).expect("write");
    }
}

#[test]
fn what_gocd_says_of_a_configuration_is_asked_on_while_it_is_withheld() {
    let place = Place::new();
    let working_copy = place.layout.accepted_config();
    fs::create_dir_all(working_copy.parent().expect("a folder")).expect("folder");
    fs::write(&working_copy, "<older/>").expect("write");
    let mut scanner = place.scanner();
    assert_eq!(ready(&mut scanner).acceptance, Acceptance::Pending);
    let path = place.layout.path_of(&Name::CruiseConfig);
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("what is no file");
    let mut withheld = || {
        let snapshot = ready(&mut scanner);
        assert_eq!(
            snapshot.manifest.withheld.reason(&Name::CruiseConfig),
            Some(&Reason::Irregular)
        );
        snapshot.acceptance
    };
    // The standbys keep that text, and none of them may start GoCD on it.
    assert_eq!(withheld(), Acceptance::Pending);
    assert_eq!(withheld(), Acceptance::Pending);
    fs::write(&working_copy, CONFIG).expect("write");
    assert_eq!(withheld(), Acceptance::Accepted);
    assert_eq!(
        ready(&mut place.scanner()).acceptance,
        Acceptance::Unknown,
        "nothing was read"
    );
}

#[cfg(unix)]
#[test]
fn without_their_folder_no_configuration_file_counts_as_removed() {
    let place = Place::new();
    let folder = place.layout.cruise_config_dir().to_owned();
    let withheld = |expected: Reason| {
        let snapshot = ready(&mut place.scanner());
        let withheld = &snapshot.manifest.withheld.files;
        assert!(withheld.values().all(|reason| *reason == expected), "{withheld:?}");
        assert_eq!(withheld.len(), 4, "{withheld:?}");
        assert_eq!(names(&snapshot), ["plugins/external/a.jar"]);
    };
    let away = place.folder.path().join("away");
    fs::rename(&folder, &away).expect("moved");
    withheld(Reason::Missing);
    std::os::unix::fs::symlink("not/mounted", &folder).expect("link");
    withheld(Reason::Dangling);
    fs::remove_file(&folder).expect("remove");
    fs::write(&folder, "a file where the folder should be").expect("write");
    withheld(Reason::Failing);
}

/// A place that syncs a file in a folder.
pub(super) fn with_folder() -> (Place, Name, std::path::PathBuf) {
    let mut place = Place::new();
    let extra = crate::generation::ExtraName::list("ldap/ca.pem").expect("allowed");
    place.layout = place.layout.clone().with_extra(extra);
    let name: Name = "ldap/ca.pem".parse().expect("allowed");
    let folder = place.layout.cruise_config_dir().join("ldap");
    fs::create_dir(&folder).expect("folder");
    place.write(&name, "a certificate");
    place.turn_clock(UNTOUCHED_MS);
    (place, name, folder)
}

#[cfg(unix)]
#[test]
fn a_further_file_in_a_folder_is_read_there_and_not_through_a_link_that_leads_out() {
    use std::os::unix::fs::symlink;

    let (place, name, folder) = with_folder();
    let all = all(&place);
    assert_eq!(all.manifest.files[&name].sha256, Digest::of(b"a certificate"));
    let outside = place.folder.path().join("etc");
    fs::rename(&folder, &outside).expect("moved");
    symlink(&outside, &folder).expect("link");
    assert_withheld(&ready(&mut place.scanner()), &all, &[(name.clone(), Reason::Outside)]);
    fs::remove_file(&folder).expect("removed");
    symlink("not/mounted", &folder).expect("link");
    assert_withheld(&ready(&mut place.scanner()), &all, &[(name.clone(), Reason::Dangling)]);
    fs::remove_file(&folder).expect("removed");
    fs::rename(&outside, folder.with_file_name("real")).expect("moved");
    symlink("real", &folder).expect("link");
    assert_eq!(
        ready(&mut place.scanner()).manifest,
        all.manifest,
        "a link that stays inside"
    );
    // The folder is known to be gone, and the file with it.
    fs::remove_file(&folder).expect("removed");
    let snapshot = ready(&mut place.scanner());
    assert!(snapshot.manifest.withheld.is_empty() && !snapshot.manifest.files.contains_key(&name));
    assert!(snapshot.warnings[0].contains("ldap/ca.pem"), "{:?}", snapshot.warnings);
}

#[test]
fn a_further_file_that_is_too_long_is_left_out_while_the_rest_goes_on() {
    let (place, name, _) = with_folder();
    let all = all(&place);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.layout.path_of(&name))
        .expect("open");
    file.set_len(name.largest() + 1).expect("sparse");
    assert_withheld(&ready(&mut place.scanner()), &all, &[(name, Reason::TooLarge)]);
}

#[cfg(target_os = "linux")]
#[test]
fn plugins_of_a_mount_that_is_gone_are_withheld_and_not_removed() {
    let mounts = crate::basics::mount::private::Mounts::private();
    let place = Place::new();
    let folder = place.layout.plugins_external().to_owned();
    let volume = folder.with_file_name("volume");
    fs::rename(&folder, &volume).expect("moved");
    fs::create_dir(&folder).expect("folder");
    // A folder of the same disk, as containers do with volumes: no device tells that it is gone.
    mounts.bind(&volume, &folder);
    place.write(&jar("b.jar"), plugin("b", "1"));
    let all = all(&place);
    let mut scanner = place.scanner();
    ready(&mut scanner);
    mounts.undo(&folder);
    assert_eq!(fs::read_dir(&folder).expect("listed without an error").count(), 0);
    for _ in 0..2 {
        let expected = ["a.jar", "b.jar"].map(|name| (jar(name), Reason::Unmounted));
        assert_withheld(&ready(&mut scanner), &all, &expected);
    }
    mounts.bind(&volume, &folder);
    assert_eq!(ready(&mut scanner).manifest, all.manifest);
    place.remove(&jar("b.jar"));
    let snapshot = ready(&mut scanner);
    assert!(
        snapshot.manifest.withheld.is_empty(),
        "on the mount where it was seen it is known to be gone"
    );
    assert!(!snapshot.manifest.files.contains_key(&jar("b.jar")));

    // Moved for good, they are all in the folder itself.
    mounts.undo(&folder);
    assert_eq!(ready(&mut scanner).manifest.withheld.files.len(), 1);
    fs::copy(volume.join("a.jar"), folder.join("a.jar")).expect("copied");
    assert!(ready(&mut scanner).manifest.withheld.is_empty());
    place.remove(&jar("a.jar"));
    let snapshot = ready(&mut scanner);
    assert!(snapshot.manifest.withheld.is_empty() && snapshot.manifest.plugins().count() == 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_further_file_of_a_mount_that_is_gone_is_withheld_and_not_removed() {
    let mounts = crate::basics::mount::private::Mounts::private();
    let (place, name, folder) = with_folder();
    mounts.disk(&folder, "size=1m");
    place.write(&name, "a certificate");
    place.turn_clock(UNTOUCHED_MS);
    let all = all(&place);
    let mut scanner = place.scanner();
    ready(&mut scanner);
    mounts.undo(&folder);
    fs::remove_file(folder.join("ca.pem")).expect("what was under the mount");
    assert_withheld(&ready(&mut scanner), &all, &[(name.clone(), Reason::Unmounted)]);
    // What is read again is where it is read.
    place.write(&name, "a certificate");
    place.turn_clock(UNTOUCHED_MS);
    assert!(ready(&mut scanner).manifest.withheld.is_empty());
    place.remove(&name);
    unstable(&mut scanner);
    place.turn_clock(MISSING_MS);
    let snapshot = ready(&mut scanner);
    assert!(snapshot.manifest.withheld.is_empty() && !snapshot.manifest.files.contains_key(&name));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_folder_went_with_a_mount_is_withheld_and_not_removed() {
    let mounts = crate::basics::mount::private::Mounts::private();
    let mut place = Place::new();
    let extra = crate::generation::ExtraName::list("ldap/tls/ca.pem,keys/a.pem").expect("allowed");
    let toggles = place.folder.path().join("toggles");
    place.layout = Layout::from_properties(&Properties::from_iter([
        ("user.dir", place.folder.path().to_str().expect("UTF-8")),
        (
            "user.toggles.path",
            toggles.join("on/go.feature.toggles").to_str().expect("UTF-8"),
        ),
    ]))
    .with_extra(extra);
    let [deep, shallow] = ["ldap/tls/ca.pem", "keys/a.pem"].map(|name| name.parse::<Name>().expect("allowed"));
    let cruise_config_dir = place.layout.cruise_config_dir().to_owned();
    let volumes = [
        cruise_config_dir.join("ldap"),
        cruise_config_dir.join("keys"),
        toggles.clone(),
    ];
    for volume in &volumes {
        fs::create_dir(volume).expect("folder");
        mounts.disk(volume, "size=1m");
    }
    let folders = [cruise_config_dir.join("ldap/tls"), toggles.join("on")];
    for folder in &folders {
        fs::create_dir(folder).expect("folder");
    }
    for name in [&deep, &shallow, &Name::FeatureToggles] {
        place.write(name, "{}");
    }
    place.turn_clock(UNTOUCHED_MS);
    let all = all(&place);
    let mut scanner = place.scanner();
    ready(&mut scanner);
    for volume in &volumes {
        mounts.undo(volume);
    }
    // As an automounter does, which makes and removes the folder for its disk.
    fs::remove_dir(cruise_config_dir.join("keys")).expect("removed");
    for _ in 0..2 {
        let expected = [&deep, &shallow, &Name::FeatureToggles].map(|name| (name.clone(), Reason::Unmounted));
        assert_withheld(&ready(&mut scanner), &all, &expected);
        place.turn_clock(MISSING_MS);
    }
    // Where it was seen on the disk that its folder is on now, it goes with its folder.
    fs::create_dir(&folders[0]).expect("folder");
    place.write(&deep, "a certificate");
    place.turn_clock(UNTOUCHED_MS);
    assert!(ready(&mut scanner).manifest.files.contains_key(&deep));
    fs::remove_dir_all(&volumes[0]).expect("removed");
    unstable(&mut scanner);
    place.turn_clock(MISSING_MS);
    let snapshot = ready(&mut scanner);
    let manifest = &snapshot.manifest;
    assert!(!manifest.withheld.files.contains_key(&deep) && !manifest.files.contains_key(&deep));
}
