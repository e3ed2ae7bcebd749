//! A disk that is really full: a small one of its own, mounted for the test, which therefore needs root.

use std::process::Command;

use super::*;

/// A disk in memory.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(at)
            .output()
            .expect("the command mount is there");
        assert!(
            mounted.status.success(),
            "this test mounts a disk and has to run as root: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(at)
    }

    /// Writes until nothing fits any more.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = File::create(&path).expect("create");
        let full = io::copy(&mut io::repeat(0), &mut filler).expect_err("it is small");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: a test that fails may have files open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_is_named_and_no_live_file_changes() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    let disk = SmallDisk::mount(&folder);
    let mut store = place.open();
    store.options.free_space = 0;
    Files::usual().apply(&store, 1).expect("applied");
    let document = next().document(2);
    let wanted = store.missing(&document).expect("there is room still");
    let assert_named = |error: Error| {
        assert_eq!(error.kind(), Kind::DiskFull, "{error}");
        let mount = format!("mounted at {}", folder.display());
        assert!(error.to_string().contains(&mount), "{error}");
        assert!(place.is_live(&Files::usual()));
    };
    let filler = disk.fill();
    let received = store.receive(&wanted[0]).and_then(|mut receive| {
        receive.write(next().bytes(&wanted[0].sha256))?;
        receive.finish()
    });
    assert_named(received.expect_err("full while fetching"));
    fs::remove_file(filler).expect("remove");
    next().fetch(&store, &document);
    let filler = disk.fill();
    assert_named(
        store
            .apply(&document, Allowed::default())
            .expect_err("full while staging"),
    );
    fs::remove_file(filler).expect("remove");
    place.assert_tidy();
    store.apply(&document, Allowed::default()).expect("there is room again");
    assert!(place.is_live(&next()));
}
