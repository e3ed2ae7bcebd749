//! Further files in folders of the configuration folder.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::generation::ExtraName;

const CA: &str = "ldap/ca.pem";
const DEEP: &str = "ldap/more/deep.properties";

fn place() -> Place {
    let mut place = Place::new();
    let extra = ExtraName::list(&format!("{CA},{DEEP}")).expect("allowed");
    place.layout = place.layout.clone().with_extra(extra);
    place
}

fn name(text: &str) -> Name {
    text.parse().expect("allowed")
}

fn files() -> Files {
    Files::usual().with(name(CA), b"a certificate").with(name(DEEP), b"x=1")
}

#[test]
fn they_come_change_go_and_come_back_as_any_other() {
    let place = place();
    let store = place.open();
    files().apply(&store, 1).expect("applied");
    assert_eq!(
        fs::read(place.layout.cruise_config_dir().join("ldap/ca.pem")).expect("there"),
        b"a certificate"
    );
    assert!(place.is_live(&files()));
    let changed = files().with(name(CA), b"another").without(&name(DEEP));
    let applied = changed.apply(&store, 2).expect("applied");
    assert_eq!((applied.written, applied.removed), (vec![name(CA)], vec![name(DEEP)]));
    assert!(place.is_live(&changed) && !place.path(&name(DEEP)).exists());
    fs::write(place.path(&name(CA)), "edited here").expect("write");
    assert_eq!(store.altered(), Ok(vec![name(CA)]));
    store.repair(&[]).expect("mended");
    assert!(place.is_live(&changed));
    store.restore("#1").expect("restored");
    assert!(place.is_live(&files()));
    fs::remove_dir_all(place.layout.cruise_config_dir().join("ldap")).expect("removed");
    assert_eq!(store.make_whole(false).expect("whole").mended.len(), 2);
    assert!(place.is_live(&files()));
    place.assert_tidy();
    let left = fs::read_dir(place.layout.cruise_config_dir().join("ldap"))
        .expect("readable")
        .count();
    assert_eq!(left, 2, "the file and the folder");
}

#[test]
fn a_new_folder_belongs_to_whom_the_configuration_belongs_and_is_no_wider() {
    for (mode, expected) in [(0o700, 0o700), (0o755, 0o750), (0o770, 0o750)] {
        let place = place();
        let above = place.layout.cruise_config_dir();
        fs::create_dir_all(above).expect("folder");
        fs::set_permissions(above, fs::Permissions::from_mode(mode)).expect("mode");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(above, Some(4711), Some(4712)).expect("owner");
        }
        files().apply(&place.open(), 1).expect("applied");
        let owner = fs::metadata(above).expect("there");
        for folder in ["ldap", "ldap/more"] {
            let made = fs::metadata(above.join(folder)).expect("there");
            assert_eq!(made.mode() & 0o777, expected, "{folder}");
            assert_eq!((made.uid(), made.gid()), (owner.uid(), owner.gid()), "{folder}");
        }
    }
}

#[test]
fn nothing_is_written_read_or_removed_through_a_link_that_leads_out() {
    let place = place();
    let elsewhere = place.folder.path().canonicalize().expect("there").join("etc");
    fs::create_dir(&elsewhere).expect("folder");
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    let link = place.layout.cruise_config_dir().join("ldap");
    symlink(&elsewhere, &link).expect("link");
    let store = place.open();
    let error = files().apply(&store, 1).expect_err("it leads out");
    assert!(
        error.message().contains("leads out of the configuration folder"),
        "{error}"
    );
    assert!(
        error.message().contains("ca.pem") || error.message().contains("deep.properties"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&elsewhere).expect("readable").count(), 0);
    assert!(!place.path(&Name::CruiseConfig).exists(), "all or nothing");

    fs::remove_file(&link).expect("removed");
    files().apply(&store, 1).expect("applied");
    fs::rename(&link, elsewhere.join("ldap")).expect("moved");
    symlink(elsewhere.join("ldap"), &link).expect("link");
    let gone = Files::usual().with(Name::CruiseConfig, EDITED);
    gone.apply(&store, 2).expect("applied");
    assert_eq!(
        fs::read(elsewhere.join("ldap/ca.pem")).expect("it is somebody else's"),
        b"a certificate"
    );
}

#[test]
fn a_link_that_stays_inside_is_followed() {
    let place = place();
    fs::create_dir_all(place.layout.cruise_config_dir().join("real")).expect("folder");
    symlink("real", place.layout.cruise_config_dir().join("ldap")).expect("link");
    files().apply(&place.open(), 1).expect("applied");
    assert_eq!(
        fs::read(place.layout.cruise_config_dir().join("real/ca.pem")).expect("there"),
        b"a certificate"
    );
}

#[test]
fn a_file_in_the_place_of_the_folder_is_named_and_nothing_changes() {
    let place = place();
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    fs::write(place.layout.cruise_config_dir().join("ldap"), "a file").expect("write");
    let error = files().apply(&place.open(), 1).expect_err("no folder");
    assert!(error.message().contains("ldap"), "{error}");
    assert!(!place.path(&Name::CruiseConfig).exists());
    assert_eq!(
        fs::read(place.layout.cruise_config_dir().join("ldap")).expect("there"),
        b"a file"
    );
}
