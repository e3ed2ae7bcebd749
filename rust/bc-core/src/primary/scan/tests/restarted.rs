//! A server that starts without one of its disks takes nothing on it for removed.

use super::{
    withheld::{all, assert_withheld, with_folder},
    *,
};
use crate::basics::mount::private::Mounts;

/// A place with a plugin folder and a folder of further files on disks of their own, and what it offers.
struct Server {
    mounts: Mounts,
    place: Place,
    further: Name,
    all: Snapshot,
    /// Where each of the disks is seen, and where its files are all the time.
    disks: [(PathBuf, PathBuf); 2],
}

impl Server {
    fn new() -> Self {
        let mounts = Mounts::private();
        let (place, further, folder) = with_folder();
        let plugins = place.layout.plugins_external().to_owned();
        let disks = [plugins, folder].map(|at| (at.clone(), at.with_file_name("disk")));
        for (at, disk) in &disks {
            fs::rename(at, disk).expect("moved");
            fs::create_dir(at).expect("folder");
            mounts.bind(disk, at);
        }
        let all = all(&place);
        Self {
            mounts,
            place,
            further,
            all,
            disks,
        }
    }

    /// The scanner of a process that starts.
    fn start(&self) -> Scanner {
        self.place.scanner_with(Options {
            mounts_file: Some(self.mounts_file()),
            ..Options::default()
        })
    }

    fn mounts_file(&self) -> PathBuf {
        self.place.folder.path().join("mounts.json")
    }

    fn lose(&self) {
        for (at, _) in &self.disks {
            self.mounts.undo(at);
        }
    }

    fn mount(&self) {
        for (at, disk) in &self.disks {
            self.mounts.bind(disk, at);
        }
    }

    fn unmounted(&self) -> [(Name, Reason); 2] {
        [jar("a.jar"), self.further.clone()].map(|name| (name, Reason::Unmounted))
    }
}

#[test]
fn what_was_on_a_disk_that_is_not_mounted_at_the_start_is_withheld() {
    let server = Server::new();
    ready(&mut server.start());
    server.lose();
    // However often it starts without them.
    for _ in 0..2 {
        let mut scanner = server.start();
        for _ in 0..2 {
            assert_withheld(&ready(&mut scanner), &server.all, &server.unmounted());
        }
    }
    fs::remove_dir(&server.disks[1].0).expect("a folder that went with its disk");
    assert_withheld(&ready(&mut server.start()), &server.all, &server.unmounted());
    fs::create_dir(&server.disks[1].0).expect("folder");
    server.mount();
    assert_eq!(ready(&mut server.start()).manifest, server.all.manifest);

    // What went while the server was down, and its disk is there, is known to be gone.
    server.place.remove(&jar("a.jar"));
    server.place.remove(&server.further);
    let without = ready(&mut server.start());
    assert!(without.manifest.withheld.is_empty() && without.manifest.plugins().count() == 0);
    assert!(!without.manifest.files.contains_key(&server.further));
    server.lose();
    let without = ready(&mut server.start());
    assert!(without.manifest.withheld.is_empty(), "they went before their disks did");
}

#[test]
fn what_was_moved_from_its_disk_for_good_goes_when_it_is_removed_there() {
    let server = Server::new();
    ready(&mut server.start());
    server.lose();
    assert_withheld(&ready(&mut server.start()), &server.all, &server.unmounted());
    // An empty file of that name is enough to say that it is seen there from now on.
    server.place.write(&jar("a.jar"), "");
    server.place.write(&server.further, "");
    server.place.turn_clock(PATIENCE_MS);
    assert!(
        ready(&mut server.start())
            .manifest
            .withheld
            .reason(&server.further)
            .is_none()
    );
    server.place.remove(&jar("a.jar"));
    server.place.remove(&server.further);
    let without = ready(&mut server.start());
    assert!(without.manifest.withheld.is_empty(), "{:?}", without.manifest.withheld);
    assert!(!without.manifest.files.contains_key(&server.further));
}

#[test]
fn what_is_written_down_of_mounts_may_be_lost_damaged_or_of_another_installation() {
    let server = Server::new();
    ready(&mut server.start());
    let file = server.mounts_file();
    let written = fs::read(&file).expect("written");
    fs::write(&file, &written[..written.len() / 2]).expect("damaged");
    assert_eq!(ready(&mut server.start()).manifest, server.all.manifest);
    assert_eq!(fs::read(&file).expect("written anew"), written);
    ready(&mut server.start());
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("nothing can be written there");
    assert_eq!(ready(&mut server.start()).manifest, server.all.manifest);
    fs::remove_dir(&file).expect("removed");

    // The folders of another installation say nothing about those of this one.
    let elsewhere = String::from_utf8(written).expect("JSON");
    let root = server.place.folder.path().to_str().expect("UTF-8");
    fs::write(&file, elsewhere.replace(root, "/somewhere/else")).expect("written");
    server.lose();
    assert!(ready(&mut server.start()).manifest.withheld.is_empty());
}
