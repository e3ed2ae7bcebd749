//! Files of the store that are there and cannot be read for a while: nothing is decided on what they may hold, and when
//! they can be read again all is as it was.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    sync::atomic::{AtomicBool, AtomicUsize},
};

use super::*;
use crate::standby::store::{generations, verify};

/// Of a device, of a process and a system that have too many files open, of no memory, of no right, of a folder, of a
/// link that goes in a circle, and of NFS. `EINTR` never comes here: the standard library reads on.
const ERRORS: [i32; 8] = [5, 24, 23, 12, 13, 21, 40, 116];

/// The operating system's, but for reading what `is_it` says, or the reading with the number.
struct Unreadable {
    is_it: Box<dyn Fn(&Path) -> bool + Send + Sync>,
    number: usize,
    readings: AtomicUsize,
    errno: i32,
    is_over: AtomicBool,
}

impl Unreadable {
    /// What cannot be read is this file or folder.
    fn path(path: &Path, errno: i32) -> Arc<Self> {
        let path = path.to_owned();
        Self::new(Box::new(move |other| *other == path), usize::MAX, errno)
    }

    /// The reading with this number fails, whatever it reads.
    fn number(number: usize, errno: i32) -> Arc<Self> {
        Self::new(Box::new(|_| false), number, errno)
    }

    fn new(is_it: Box<dyn Fn(&Path) -> bool + Send + Sync>, number: usize, errno: i32) -> Arc<Self> {
        Arc::new(Self {
            is_it,
            number,
            readings: AtomicUsize::new(0),
            errno,
            is_over: AtomicBool::new(false),
        })
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn next(&self, path: &Path) -> io::Result<()> {
        let number = self.readings.fetch_add(1, Ordering::Relaxed);
        if !self.is_over.load(Ordering::Relaxed) && ((self.is_it)(path) || number == self.number) {
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unreadable")
    }
}

impl FileSystem for Unreadable {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        OperatingSystem.create(path, mode)
    }

    fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        OperatingSystem.open(path, mode)
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        OperatingSystem.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OperatingSystem.rename(from, to)
    }

    fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
        OperatingSystem.hard_link(file, name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        OperatingSystem.sync_folder(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.next(path)?;
        OperatingSystem.read(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<File> {
        self.next(path)?;
        OperatingSystem.open_to_read(path)
    }

    fn look(&self, path: &Path) -> io::Result<Metadata> {
        self.next(path)?;
        OperatingSystem.look(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.next(folder)?;
        OperatingSystem.list(folder)
    }
}

fn config(number: u64) -> Files {
    let text = format!("<cruise schemaVersion=\"{number}\"><server serverId=\"one\"/></cruise>");
    Files::usual().with(Name::CruiseConfig, text.as_bytes())
}

/// A standby that found files, has applied three generations and was told to hold the last one.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
    fs::write(place.path(&Name::CruiseConfig), "<cruise/>").expect("write");
    let store = place.open();
    for number in 1..=3 {
        config(number).apply(&store, number).expect("applied");
    }
    store.tidy().expect("tidy");
    store.restore("#3").expect("restored");
    place
}

/// The state folder without the cache, and the live files.
fn picture(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![
        place.layout.state_dir().to_owned(),
        place.layout.cruise_config_dir().to_owned(),
        place.layout.plugins_external().to_owned(),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("live-cache.json") {
                files.insert(path.clone(), fs::read(&path).expect("readable"));
            }
        }
    }
    files
}

fn open_on(place: &Place, system: Arc<Unreadable>) -> Result<DiskStore, Error> {
    DiskStore::open_on(
        system,
        place.layout.state_dir(),
        &place.layout,
        Arc::new(SystemClock),
        Options::default(),
    )
}

/// All that a standby does by itself while its primary has nothing new, and what it says.
fn live_on(store: &DiskStore, files: &Files) -> Vec<Error> {
    let mut said = Vec::new();
    let mut hear = |error: Option<Error>| said.extend(error);
    hear(store.tidy().err());
    hear(store.altered().err());
    hear(store.repair(&[]).err());
    hear(store.finish_interrupted().err());
    match store.items() {
        Ok(items) => items.iter().for_each(|item| hear(store.rehash(item).err())),
        Err(error) => hear(Some(error)),
    }
    hear(store.missing(&files.document(3)).err());
    hear(store.apply(&files.document(3), Permit::default()).err());
    said
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_is_decided_without_it() {
    let blob = |files: &Files| format!("blobs/{}", Digest::of(&files.0[&Name::CruiseConfig]));
    let kept = |number| format!("generations/{}.json", config(number).document(number).generation);
    for file in [
        "applied.json".to_owned(),
        "paused.json".to_owned(),
        "journal.json".to_owned(),
        "generations".to_owned(),
        "generations/0.json".to_owned(),
        kept(1),
        kept(3),
        "blobs".to_owned(),
        blob(&config(1)),
        blob(&config(3)),
    ] {
        for errno in ERRORS {
            let place = place();
            // What nobody needs goes while all is known, and stays while it is not.
            fs::write(place.state("blobs").join(Digest::of(b"?").to_string()), "?").expect("write");
            let before = picture(&place);
            let path = place.state(&file);
            let system = Unreadable::path(&path, errno);
            let said = match open_on(&place, Arc::clone(&system)) {
                Ok(store) => {
                    let said = live_on(&store, &config(3));
                    assert_eq!(
                        store.paused().map(|paused| paused.generation),
                        store.position().map(|it| it.generation)
                    );
                    system.end();
                    store.tidy().expect("it can be read again");
                    assert_eq!(store.altered(), Ok(Vec::new()), "{file}");
                    said
                }
                Err(error) => vec![error],
            };
            let is_named = said
                .iter()
                .any(|error| error.message().contains(&*path.display().to_string()));
            assert!(is_named, "{file}, {errno}: {said:?}");
            let mut after = picture(&place);
            let unneeded = place.state("blobs").join(Digest::of(b"?").to_string());
            after.entry(unneeded).or_insert_with(|| b"?".to_vec());
            assert_eq!(after, before, "{file}, {errno}");
            let store = place.open();
            assert_eq!(store.position().expect("applied").sequence, 3);
            assert!(store.paused().is_some());
            store.restore("#1").expect("all its bytes are here");
            assert!(place.is_live(&config(1)));
            store.restore("0").expect("all its bytes are here");
        }
    }
}

#[test]
fn no_byte_goes_while_a_generation_cannot_be_read() {
    let place = place();
    let unread = place.state(&format!("generations/{}.json", config(1).document(1).generation));
    let system = Unreadable::path(&unread, 5);
    let mut store = open_on(&place, Arc::clone(&system)).expect("open");
    store.options.generations_keep = 1;
    for number in 4..=6 {
        config(number).apply(&store, number).expect("it goes on");
        let error = store.tidy().expect_err("what is needed is not known");
        assert!(error.message().contains(&*unread.display().to_string()), "{error}");
    }
    let blob = place
        .state("blobs")
        .join(Digest::of(&config(1).0[&Name::CruiseConfig]).to_string());
    assert!(blob.exists());
    let listed = generations::list(place.layout.state_dir()).expect("readable");
    assert_eq!(listed.len(), 7);
    // Without opening the store, the same is said beside a node that runs.
    let aside = unread.with_extension("aside");
    fs::rename(&unread, &aside).expect("rename");
    fs::create_dir(&unread).expect("a folder in its place");
    let listed = generations::list(place.layout.state_dir()).expect("readable");
    let said = listed
        .iter()
        .find_map(|kept| kept.unread.clone())
        .expect("stays listed");
    assert!(said.contains(&*unread.display().to_string()), "{said}");
    for id in ["#1", &config(1).document(1).generation.to_string()[..9]] {
        let error = generations::show(place.layout.state_dir(), id).expect_err("cannot be read");
        assert_eq!(error.kind(), Kind::File, "{error}");
    }
    generations::show(place.layout.state_dir(), "#5").expect("another one");
    let error = verify::verify(place.layout.state_dir(), &place.layout, |_, _| {}).expect_err("not all was read");
    assert_eq!(error.kind(), Kind::File, "{error}");
    fs::remove_dir(&unread).expect("remove");
    fs::rename(&aside, &unread).expect("rename");
    system.end();
    store.tidy().expect("tidy");
    assert!(!blob.exists() && !unread.exists(), "it was one too many");
}

#[test]
fn one_reading_that_fails_costs_nothing() {
    let mut failed = 0;
    for number in 0.. {
        let place = place();
        let before = picture(&place);
        let system = Unreadable::number(number, 5);
        let store = open_on(&place, Arc::clone(&system));
        let said = match &store {
            Ok(store) => {
                let mut said = live_on(store, &config(3));
                said.extend(next().apply_or_not(store).err());
                // Now it is known what is on its way, so that the rest may go.
                said.extend(store.tidy().err());
                said
            }
            Err(error) => vec![error.clone()],
        };
        drop(store);
        failed += usize::from(!said.is_empty());
        let after = picture(&place);
        let is_kept =
            |path: &Path| path.starts_with(place.state("generations")) || path.starts_with(place.state("blobs"));
        for (path, bytes) in before.iter().filter(|(path, _)| is_kept(path)) {
            assert_eq!(
                after.get(path),
                Some(bytes),
                "{} after reading {number}: {said:?}",
                path.display()
            );
        }
        let store = place.open();
        assert!(
            place.is_live(&next()) || place.is_live(&config(3)),
            "{number}: {said:?}"
        );
        store.restore("#1").expect("all its bytes are here");
        store.restore("0").expect("all its bytes are here");
        if system.readings.load(Ordering::Relaxed) <= number {
            break;
        }
    }
    assert!(failed >= 20, "{failed}");
}

impl Files {
    fn apply_or_not(&self, store: &DiskStore) -> Result<(), Error> {
        let document = self.document(4);
        for wanted in store.missing(&document)? {
            let mut receive = store.receive(&wanted)?;
            receive.write(self.bytes(&wanted.sha256))?;
            receive.finish()?;
        }
        store.apply(&document, Permit::default()).map(drop)
    }
}

#[test]
fn a_blob_is_damaged_only_by_two_readings_that_agree() {
    let place = place();
    let store = place.open();
    let bytes = config(1).0[&Name::CruiseConfig].clone();
    let digest = Digest::of(&bytes);
    let blob = place.state("blobs").join(digest.to_string());
    // Somebody names our bytes with a size that they never had.
    let size = bytes.len() as u64;
    assert_eq!(store.blobs.has(&digest, size + 1), Ok(false));
    assert_eq!(store.blobs.has(&digest, size), Ok(true));
    store.blobs.forget(&digest);
    assert_eq!(store.blobs.has(&digest, size + 1), Ok(false));
    assert_eq!(fs::read(&blob).expect("there"), bytes);
    // A disk that gives something else each time.
    let readings = AtomicUsize::new(0);
    let system = Unreadable::new(
        Box::new({
            let blob = blob.clone();
            move |path| {
                if *path == blob {
                    let number = readings.fetch_add(1, Ordering::Relaxed);
                    fs::write(&blob, format!("reading {number}")).expect("write");
                }
                false
            }
        }),
        usize::MAX,
        0,
    );
    drop(store);
    let store = open_on(&place, system).expect("open");
    let error = store.rehash(&Item::Blob(digest)).expect_err("it is not known");
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert!(blob.exists());
    drop(store);
    assert_eq!(place.open().rehash(&Item::Blob(digest)), Ok(Vec::new()));
    assert!(!blob.exists());
}
