//! A plugin folder that does not tell upper from lower case and knows files by short names too: NTFS, as Windows has it.
//! These tests mount, so they need root, and `lowntfs-3g` of the Debian package ntfs-3g.

use std::{path::Path, process::Command};

use super::*;
use crate::basics::mount::private::Mounts;
use crate::generation::own_files::{OWN_JAR, OWN_PLUGIN_ID};

/// A disk in a file, as long as this is there.
struct Ntfs {
    at: PathBuf,
}

impl Ntfs {
    fn mounted(at: &Path, image: &Path) -> Self {
        Mounts::private();
        let file = File::create(image).expect("create");
        file.set_len(16 << 20).expect("sparse");
        let run = |command: &mut Command| {
            let output = command.output().expect("this test needs the Debian package ntfs-3g");
            assert!(output.status.success(), "{output:?}");
        };
        run(Command::new("mkntfs").args(["-F", "-q", "-Q"]).arg(image));
        run(Command::new("lowntfs-3g")
            .args(["-o", "ignore_case"])
            .arg(image)
            .arg(at));
        Self { at: at.to_owned() }
    }

    /// Gives a file the short name that Windows gives it by itself.
    fn shorten(&self, name: &str, short: &str) {
        use rustix::fs::{XattrFlags, setxattr};
        let path = self.at.join(name);
        setxattr(path, "system.ntfs_dos_name", short.as_bytes(), XattrFlags::empty()).expect("named");
        assert!(self.at.join(short).exists(), "{short} is {name}");
    }
}

impl Drop for Ntfs {
    /// What serves the disk ends with its mount.
    fn drop(&mut self) {
        nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
    }
}

fn folding() -> (Place, Ntfs) {
    let place = Place::new();
    let plugins = place.layout.plugins_external();
    fs::create_dir_all(plugins).expect("folder");
    let disk = Ntfs::mounted(plugins, &place.folder.path().join("image"));
    (place, disk)
}

fn open(place: &Place) -> DiskStore {
    let mut store = place.open();
    store.options.free_space = 0;
    store
}

fn listed(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.layout.plugins_external()).expect("readable");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn no_spelling_of_our_own_jar_replaces_it() {
    let (place, disk) = folding();
    let own = plugin(OWN_PLUGIN_ID, "1");
    for (name, short) in [(OWN_JAR, "GOCD-B~1.JAR"), ("renamed-by-somebody.jar", "RENAME~1.JAR")] {
        fs::write(disk.at.join(name), &own).expect("write");
        disk.shorten(name, short);
    }
    let store = open(&place);
    Files::usual().apply(&store, 1).expect("applied");
    for name in [
        "gocd-business-continuity.jar",
        "GoCD-Business-Continuity.jar",
        "GOCD-B~1.jar",
        "gocd-b~1.jar",
        "Renamed-by-SOMEBODY.jar",
        "RENAME~1.jar",
    ] {
        let hostile = next().with(jar(name), &plugin("hostile", "1"));
        let document = hostile.document(2);
        let error = store
            .missing(&document)
            .expect_err("refused before anything is fetched");
        assert_eq!(error.kind(), Kind::Refused, "{name}: {error}");
        assert!(
            error.message().contains(name) && error.message().contains("our own jar"),
            "{error}"
        );
        let error = store.apply(&document, Permit::default()).expect_err("nor planned");
        assert_eq!(error.kind(), Kind::Refused, "{name}: {error}");
        for name in [OWN_JAR, "renamed-by-somebody.jar"] {
            assert_eq!(fs::read(disk.at.join(name)).expect("there"), own, "{name}");
        }
    }
    next().apply(&store, 2).expect("others are no matter");
    assert_eq!(listed(&place), ["b.jar", "c.jar", OWN_JAR, "renamed-by-somebody.jar"]);
}

#[test]
fn two_jars_that_would_be_one_file_are_refused_here_and_carried_where_they_are_two() {
    let two = Files::usual()
        .with(jar("Tool.jar"), &plugin("one", "1"))
        .with(jar("tool.jar"), &plugin("other", "1"));
    let (place, _disk) = folding();
    let store = open(&place);
    let assert_refused = || {
        let error = store.missing(&two.document(2)).expect_err("one of both would be lost");
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.message().contains("Tool.jar and tool.jar") || error.message().contains("tool.jar and Tool.jar"));
    };
    assert_refused();
    assert_eq!(listed(&place), Vec::<String>::new());
    let one = two.clone().without(&jar("tool.jar"));
    one.apply(&store, 1).expect("applied");
    assert_refused();
    // Names that Windows could have made are tried, and are two.
    let doubtful = one.with(jar("TOOL~1.jar"), &plugin("short", "1"));
    doubtful.apply(&store, 2).expect("applied");
    assert_eq!(listed(&place), ["a.jar", "tool.jar", "tool~1.jar"]);
    place.assert_tidy();

    let place = Place::new();
    two.apply(&place.open(), 1).expect("applied");
    assert!(place.is_live(&two));
    place.assert_tidy();
}

#[test]
fn a_jar_that_is_spelled_in_another_way_is_the_same_jar() {
    let (place, disk) = folding();
    let mut store = open(&place);
    let tool = |name: &str, version| Files::usual().with(jar(name), &plugin("tool", version));
    tool("Tool.jar", "1").apply(&store, 1).expect("applied");
    for _ in 0..2 {
        // This disk lists all names in lower case.
        assert_eq!(listed(&place), ["a.jar", "tool.jar"]);
        assert_eq!(store.altered(), Ok(Vec::new()));
        assert!(store.live().expect("readable")[&jar("Tool.jar")].ours);
        assert_eq!(
            store.make_whole(false).expect("as applied").mended,
            Vec::<String>::new()
        );
        let applied = tool("Tool.jar", "1").apply(&store, 1).expect("nothing to do");
        assert_eq!(applied, Applied::default());
        drop(store);
        store = open(&place);
    }
    // The primary changes only the case, then the bytes.
    let applied = tool("TOOL.jar", "1").apply(&store, 2).expect("applied");
    assert_eq!((applied.written, applied.removed), (vec![], vec![]));
    assert!(place.is_live(&tool("TOOL.jar", "1")));
    let applied = tool("tOOl.jar", "2").apply(&store, 3).expect("applied");
    assert_eq!((applied.written, applied.removed), (vec![jar("tOOl.jar")], vec![]));
    assert!(place.is_live(&tool("tOOl.jar", "2")));
    fs::remove_file(disk.at.join("tool.jar")).expect("remove");
    store.repair(&[]).expect("repaired");
    assert!(place.is_live(&tool("tOOl.jar", "2")));
    let applied = Files::usual().apply(&store, 4).expect("applied");
    assert_eq!(applied.removed, [jar("tOOl.jar")]);
    assert_eq!(listed(&place), ["a.jar"]);
}
