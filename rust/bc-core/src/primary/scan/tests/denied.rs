//! What another user than root may not read.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use nix::unistd::{Uid, setfsuid};

use super::{
    withheld::{all, assert_withheld, with_folder},
    *,
};

/// The first reading of a process that runs as a user who owns nothing of a place.
fn as_another_user(place: &Place) -> Snapshot {
    let read = || {
        // Of this thread and those that it starts alone; with it root's rights over files go.
        let nobody = Uid::from_raw(65_534);
        setfsuid(nobody);
        assert_eq!(
            setfsuid(nobody),
            nobody,
            "this test changes its user and has to run as root"
        );
        ready(&mut place.scanner())
    };
    thread::scope(|scope| scope.spawn(read).join().expect("it reads"))
}

/// Changes the mode of something until it is read, and returns what was read.
fn with_mode(place: &Place, path: &Path, mode: u32) -> Snapshot {
    let usual = fs::metadata(path).expect("there").permissions();
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("root may");
    let snapshot = as_another_user(place);
    fs::set_permissions(path, usual).expect("root may");
    snapshot
}

#[test]
fn what_is_there_without_the_right_to_read_it_is_withheld_and_the_rest_goes_on() {
    let (place, further, folder) = with_folder();
    fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).expect("root may");
    let all = all(&place);
    assert_eq!(as_another_user(&place).manifest, all.manifest);

    let files = [
        jar("a.jar"),
        Name::CruiseConfig,
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
        further.clone(),
    ];
    for name in files {
        let snapshot = with_mode(&place, &place.layout.path_of(&name), 0o600);
        assert_withheld(&snapshot, &all, &[(name.clone(), Reason::Denied)]);
        let line = &snapshot.withheld_lines[0];
        assert!(line.contains("Permission denied"), "{line}");
    }

    // Folders that list what is in them and let nobody look at it, and some that do not even list it.
    for mode in [0o744, 0o700] {
        let snapshot = with_mode(&place, &folder, mode);
        assert_withheld(&snapshot, &all, &[(further.clone(), Reason::Denied)]);
        let configs = all.manifest.files.keys().filter(|name| !is_jar(name));
        let configs: Vec<_> = configs.map(|name| (name.clone(), Reason::Denied)).collect();
        assert_withheld(
            &with_mode(&place, place.layout.cruise_config_dir(), mode),
            &all,
            &configs,
        );
    }
    let plugins = place.layout.plugins_external();
    let unseen = with_mode(&place, plugins, 0o744).manifest.withheld;
    assert_eq!(unseen.reason(&jar("a.jar")), Some(&Reason::Denied));
    assert_eq!(
        unseen.reason(&jar("ours.jar")),
        Some(&Reason::Denied),
        "nobody can tell that it is ours"
    );
    let unlisted = with_mode(&place, plugins, 0o711).manifest;
    assert_eq!(unlisted.withheld.plugins, Some(Reason::Denied));
    assert_eq!(unlisted.plugins().count(), 0);
    assert_eq!(as_another_user(&place).manifest, all.manifest);
}
