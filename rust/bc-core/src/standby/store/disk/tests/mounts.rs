//! A set beside what is mounted where its files belong.

use super::*;
use crate::basics::mount::private::Mounts;

/// A place that has the usual files.
fn usual() -> Place {
    let place = Place::new();
    Files::usual().apply(&place.open(), 1).expect("applied");
    place
}

/// The next generation is refused with an error that names the mount, and no live file has changed.
fn assert_untouched(place: &Place, mount: &Path, next: &Files) {
    let store = place.open();
    let error = next.apply(&store, 2).expect_err("it cannot be written");
    assert!(place.is_live(&Files::usual()), "{error}");
    place.assert_tidy();
    let named = format!("What is mounted at {} is read-only", mount.display());
    assert_eq!(error.kind(), Kind::File, "{error}");
    assert!(error.guidance().contains(&named), "{error}");
    assert_eq!(store.position().expect("applied").sequence, 1);
}

fn assert_goes_on(place: &Place, files: &Files, sequence: u64) {
    files.apply(&place.open(), sequence).expect("applied");
    assert!(place.is_live(files));
    place.assert_tidy();
}

#[test]
fn a_read_only_configuration_folder_is_named_and_no_plugin_goes_before_it() {
    let mounts = Mounts::private();
    let place = usual();
    let config = place.layout.cruise_config_dir();
    mounts.read_only(config);
    assert_untouched(&place, config, &next());
    // Also where a file only goes.
    let fewer = Files::usual()
        .without(&Name::CipherAes)
        .with(jar("b.jar"), &plugin("b", "1"));
    assert_untouched(&place, config, &fewer);
    mounts.undo(config);
    assert_goes_on(&place, &next(), 3);
}

#[test]
fn a_read_only_plugin_folder_is_named() {
    let mounts = Mounts::private();
    let place = usual();
    let plugins = place.layout.plugins_external();
    mounts.read_only(plugins);
    assert_untouched(&place, plugins, &next());
    assert_untouched(&place, plugins, &Files::usual().with(jar("b.jar"), &plugin("b", "1")));
    mounts.undo(plugins);
    assert_goes_on(&place, &next(), 3);
}

#[test]
fn a_file_that_is_a_read_only_mount_is_named() {
    let mounts = Mounts::private();
    let place = usual();
    let config = place.path(&Name::CruiseConfig);
    mounts.read_only(&config);
    assert_untouched(&place, &config, &next());
    mounts.undo(&config);
    assert_goes_on(&place, &next(), 3);
}

#[test]
fn a_file_that_is_a_mount_is_written_in_place_also_after_a_crash_in_the_middle() {
    let mounts = Mounts::private();
    let place = usual();
    let config = place.path(&Name::CruiseConfig);
    let volume = place.folder.path().join("volume.xml");
    fs::write(&volume, CONFIG).expect("write");
    mounts.bind(&volume, &config);
    let edited = Files::usual().with(Name::CruiseConfig, EDITED);
    assert_goes_on(&place, &edited, 2);
    assert_eq!(fs::read(&volume).expect("read"), EDITED);

    let torn = config.clone();
    let store = place.open_with(Arc::new(move |change| {
        if change.writes_in_place() {
            fs::write(&torn, "<cruise schema").expect("write");
            panic!("the power fails");
        }
        Ok(())
    }));
    let back = next().with(Name::CruiseConfig, CONFIG);
    let document = back.document(3);
    back.fetch(&store, &document);
    let crashed = catch_unwind(AssertUnwindSafe(|| store.apply(&document, Permit::default())));
    assert!(crashed.is_err());
    drop(store);
    let store = place.open();
    assert!(place.is_live(&back));
    place.assert_tidy();
    assert_eq!(store.position().expect("applied").sequence, 3);
    assert_eq!(fs::read(&volume).expect("read"), CONFIG);
}

#[test]
fn a_file_that_is_a_mount_in_a_read_only_folder_is_written_in_place() {
    let mounts = Mounts::private();
    let place = usual();
    let config = place.path(&Name::CruiseConfig);
    let volume = place.folder.path().join("volume.xml");
    fs::write(&volume, CONFIG).expect("write");
    mounts.read_only(place.layout.cruise_config_dir());
    mounts.bind(&volume, &config);
    assert_goes_on(&place, &Files::usual().with(Name::CruiseConfig, EDITED), 2);
    assert_eq!(fs::read(&volume).expect("read"), EDITED);
}

#[test]
fn a_mount_that_should_go_is_named_and_nothing_changes() {
    let mounts = Mounts::private();
    let place = usual();
    let key = place.path(&Name::CipherAes);
    mounts.bind(&key, &key);
    let store = place.open();
    let error = next()
        .without(&Name::CipherAes)
        .apply(&store, 2)
        .expect_err("it cannot go");
    assert!(place.is_live(&Files::usual()), "{error}");
    place.assert_tidy();
    assert!(
        error.message().contains("cipher.aes") && error.guidance().contains("mounted"),
        "{error}"
    );
}

#[test]
fn folders_on_other_disks_are_followed_set_aside_and_restored() {
    let mounts = Mounts::private();
    let place = Place::new();
    for folder in [place.layout.cruise_config_dir(), place.layout.plugins_external()] {
        fs::create_dir_all(folder).expect("made");
        mounts.disk(folder, "size=4m");
    }
    let mut store = place.open();
    store.options.free_space = 0;
    Files::usual().apply(&store, 1).expect("applied");
    let local = plugin("B", "0.9");
    fs::write(place.path(&jar("local.jar")), &local).expect("write");
    let applied = next().apply(&store, 2).expect("applied");
    assert!(applied.warnings[0].contains("local.jar was kept aside"), "{applied:?}");
    assert!(place.is_live(&next()));
    let aside = fs::read_dir(place.state("aside")).expect("made").next().expect("one");
    assert_eq!(fs::read(aside.expect("readable").path()).expect("read"), local);
    store.restore("#1").expect("restored");
    assert!(place.is_live(&Files::usual()));
    place.assert_tidy();
}
