//! A disk that fails with `EIO` from one change on, wherever that is: while files come, are staged, made live or kept.

use super::*;

/// The errno of a device that cannot read or write.
const EIO: i32 = 5;

/// Does as many changes as it is told, then none, or not that one again.
#[derive(Debug)]
struct Failing {
    left: AtomicUsize,
    /// Whether everything fails from then on; else only what failed first does, each time.
    is_dead: bool,
    failed: Mutex<Option<String>>,
}

impl Failing {
    fn new(is_dead: bool) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(usize::MAX),
            is_dead,
            failed: Mutex::default(),
        })
    }

    fn allow(&self, changes: usize) {
        self.left.store(changes, Ordering::Relaxed);
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn probe(self: &Arc<Self>) -> Probe {
        let disk = Arc::clone(self);
        Arc::new(move |change| disk.next(format!("{change:?}")))
    }

    fn next(&self, what: String) -> io::Result<()> {
        let broken = || Err(io::Error::from_raw_os_error(EIO));
        let mut failed = self.failed.lock().expect("no panic");
        if failed.as_ref() == Some(&what) {
            return broken();
        }
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match taken {
            Ok(1) => {
                *failed = Some(what);
                broken()
            }
            Err(_) if self.is_dead => broken(),
            _ => Ok(()),
        }
    }
}

/// Brings what is missing and applies; says what fails.
pub(super) fn fetch_and_apply(store: &DiskStore, files: &Files, document: &ManifestDocument) -> Result<Applied, Error> {
    for wanted in store.missing(document)? {
        let mut receive = store.receive(&wanted)?;
        receive.write(&files.bytes(&wanted.sha256)[usize::try_from(receive.received()).expect("small")..])?;
        receive.finish()?;
    }
    store.apply(document, Permit::default())
}

#[test]
fn a_disk_that_fails_at_any_change_leaves_a_whole_set_and_is_named() {
    let (mut olds, mut opened) = (0, 0);
    for changes in 1.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let disk = Failing::new(true);
        let store = place.open_with(disk.probe());
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
                    for folder in [place.layout.cruise_config_dir(), place.layout.plugins_external()] {
                        atomic::sweep(folder).expect("sweep");
                    }
                    assert!(place.is_live(&Files::usual()), "change {changes}: {error}");
                }
            }
        }
        drop(store);
        let store = place.open();
        opened += usize::from(is_open);
        assert_eq!(store.half_live(), None, "change {changes}");
        let is_whole = place.is_live(&next()) || (!is_open && place.is_live(&Files::usual()));
        assert!(is_whole, "change {changes}, {applied:?}");
        next().apply(&store, 3).expect("the disk works again");
        assert!(place.is_live(&next()), "change {changes}");
        place.assert_tidy();
    }
    assert!(olds >= 5 && opened >= 3, "{olds} {opened}");
}

/// Other than above the disk works, but for the one thing that failed: that fails each time.
#[test]
fn whatever_one_change_keeps_failing_a_whole_set_is_live() {
    let newer = next().with(Name::CipherAes, b"fedcba9876543210fedcba9876543210");
    let (mut olds, mut backs) = (0, 0);
    for changes in 1.. {
        let place = Place::new();
        Files::usual().apply(&place.open(), 1).expect("applied");
        let local = plugin("B", "0.9");
        fs::write(place.path(&jar("local.jar")), &local).expect("write");
        let disk = Failing::new(false);
        let store = place.open_with(disk.probe());
        let document = newer.document(2);
        disk.allow(changes);
        let mut is_old = false;
        for _ in 0..2 {
            let applied = fetch_and_apply(&store, &newer, &document);
            is_old = fs::remove_file(place.path(&jar("local.jar"))).is_ok();
            let live = if is_old { Files::usual() } else { newer.clone() };
            // What was staged may not have been removable.
            for folder in [place.layout.cruise_config_dir(), place.layout.plugins_external()] {
                if !place.state("journal.json").exists() {
                    atomic::sweep(folder).expect("sweep");
                }
            }
            let failed = disk.failed.lock().expect("no panic").clone();
            assert!(place.is_live(&live), "change {changes}, {failed:?}: {applied:?}");
            if let Err(error) = &applied {
                olds += usize::from(is_old);
                backs += usize::from(error.message().contains("the old one is whole again"));
            }
            if is_old {
                fs::write(place.path(&jar("local.jar")), &local).expect("write");
            }
        }
        if !disk.has_failed() {
            break;
        }
        drop(store);
        let store = place.open();
        assert_eq!(store.half_live(), None, "change {changes}");
        newer.apply(&store, 3).expect("the disk works again");
        assert!(place.is_live(&newer), "change {changes}, {is_old}");
        place.assert_tidy();
    }
    assert!(olds >= 20 && backs >= 8, "{olds} {backs}");
}
