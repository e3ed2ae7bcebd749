//! A disk that fails with `EIO` from one change on, wherever that is: while files come, are staged, made live or kept.

use std::sync::atomic::AtomicUsize;

use super::*;

/// The errno of a device that cannot read or write.
const EIO: i32 = 5;

/// Does as many changes as it is told, then none.
#[derive(Debug)]
struct Failing {
    left: AtomicUsize,
}

impl Failing {
    fn allow(&self, changes: usize) {
        self.left.store(changes, Ordering::Relaxed);
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn next(&self) -> io::Result<()> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match taken {
            Ok(1) | Err(_) => Err(io::Error::from_raw_os_error(EIO)),
            Ok(_) => Ok(()),
        }
    }
}

impl FileSystem for Failing {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.next()?;
        OperatingSystem.create(path, mode)
    }

    fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.next()?;
        OperatingSystem.open(path, mode)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.rename(from, to)
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.hard_link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        OperatingSystem.sync_folder(path)
    }
}

fn fetch_and_apply(store: &DiskStore, files: &Files, document: &ManifestDocument) -> Result<Applied, Error> {
    for wanted in store.missing(document)? {
        let mut receive = store.receive(&wanted)?;
        receive.write(&files.bytes(&wanted.sha256)[usize::try_from(receive.received()).expect("small")..])?;
        receive.finish()?;
    }
    store.apply(document, Allowed::default())
}

#[test]
fn a_disk_that_fails_at_any_change_leaves_a_whole_set_and_is_named() {
    let (mut olds, mut opened) = (0, 0);
    for changes in 1.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let disk = Arc::new(Failing {
            left: AtomicUsize::new(usize::MAX),
        });
        let store = DiskStore::open_on(
            Arc::clone(&disk) as Arc<dyn FileSystem>,
            place.layout.state_dir(),
            &place.layout,
            Arc::new(SystemClock),
            Options::default(),
            Arc::new(|_| Ok(())),
        )
        .expect("open");
        let document = next().document(2);
        disk.allow(changes);
        let applied = fetch_and_apply(&store, &next(), &document);
        let is_open = place.state("journal.json").exists();
        match &applied {
            Ok(_) if !disk.has_failed() => break,
            // What comes after the last file is live is a warning.
            Ok(_) => assert!(place.is_live(&next()), "change {changes}"),
            Err(error) => {
                assert!(error.guidance().contains("fails"), "change {changes}: {error}");
                if !is_open {
                    olds += 1;
                    // What was staged could not be removed either.
                    for folder in [place.layout.pair_dir(), place.layout.plugins_external()] {
                        atomic::sweep(folder).expect("sweep");
                    }
                    assert!(place.is_live(&Files::usual()), "change {changes}: {error}");
                }
            }
        }
        drop(store);
        let store = place.open();
        opened += usize::from(is_open);
        let is_whole = place.is_live(&next()) || (!is_open && place.is_live(&Files::usual()));
        assert!(is_whole, "change {changes}, {applied:?}");
        next().apply(&store, 3).expect("the disk works again");
        assert!(place.is_live(&next()), "change {changes}");
        place.assert_tidy();
    }
    assert!(olds >= 5 && opened >= 3, "{olds} {opened}");
}
