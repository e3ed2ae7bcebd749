//! A disk that is really full: a small one of its own.

use super::{mounts::Mounts, *};

/// Writes to the disk of a folder until nothing fits any more.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut filler = File::create(&path).expect("create");
    let full = io::copy(&mut io::repeat(0), &mut filler).expect_err("it is small");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    path
}

#[test]
fn a_disk_that_fills_up_is_named_and_no_live_file_changes() {
    let place = Place::new();
    let folder = place.folder.path().canonicalize().expect("there");
    Mounts::private().disk(&folder, "2m");
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
    let filler = fill(&folder);
    // A configuration file takes no room before it is staged.
    let is_jar = |wanted: &&Wanted| matches!(wanted.name, Name::Plugin(_));
    let jar = wanted.iter().find(is_jar).expect("one is new");
    let received = store.receive(jar).and_then(|mut receive| {
        receive.write(next().bytes(&jar.sha256))?;
        receive.finish()
    });
    assert_named(received.expect_err("full while fetching"));
    fs::remove_file(filler).expect("remove");
    next().fetch(&store, &document);
    let filler = fill(&folder);
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
