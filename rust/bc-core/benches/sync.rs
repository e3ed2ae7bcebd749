//! What one change costs without network and disk cache misses: a configuration of 2 MB and 200 jars.
//!
//! `cargo bench -p bc-core --bench sync` runs all; a part of a name, such as `scan/`, selects.

#![expect(clippy::disallowed_methods, reason = "files are arranged from outside")]

use std::{cell::Cell, fmt::Write as _, fs, hint::black_box, path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{Digest, Digests, Properties, SystemClock},
    generation::{Envelope, Layout, ManifestDocument, Role, manifest::FORMAT},
    gocd::xml::Outline,
    primary::scan::{Options, Reading, Scanner, snapshot::Snapshot, watch::Interval},
    standby::store::{Permit, disk},
};
use criterion::{BatchSize, Criterion, Throughput};

const JARS: usize = 200;
const CONFIG_SIZE: usize = 2_000_000;

/// A cruise-config.xml of about 2 MB; each revision is another text.
fn config(revision: u64) -> Vec<u8> {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cruise schemaVersion=\"139\">\n  <server serverId=\"one\"/>\n  \
         <pipelines group=\"g{revision:09}\">\n"
    );
    let mut number = 0;
    while text.len() < CONFIG_SIZE {
        number += 1;
        write!(
            text,
            "    <pipeline name=\"service-{number}\">\n      <environmentvariables>\n        <variable name=\"STAGE\">\
             <value>{number:x}</value></variable>\n      </environmentvariables>\n      <materials>\
             <git url=\"https://git.example.com/team/service-{number}.git\" branch=\"main\"/></materials>\n      \
             <stage name=\"build\"><jobs><job name=\"build\"><tasks><exec command=\"make\"><arg>all</arg></exec>\
             </tasks></job></jobs></stage>\n    </pipeline>\n"
        )
        .expect("memory does not fail");
    }
    text.push_str("  </pipelines>\n</cruise>\n");
    text.into_bytes()
}

/// A GoCD folder with a configuration and jars that are no zip files: their content does not matter here.
struct Place {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().to_str().expect("UTF-8");
        let layout = Layout::from_properties(&Properties::from_iter([("user.dir", root)]));
        fs::create_dir_all(layout.cruise_config_dir()).expect("folder");
        fs::create_dir_all(layout.plugins_external()).expect("folder");
        Self { folder, layout }
    }

    fn filled() -> Self {
        let place = Self::new();
        place.write_config(&config(0));
        fs::write(place.layout.cipher_aes(), "0123456789abcdef0123456789abcdef").expect("write");
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        for number in 0..JARS {
            let path = place.layout.plugins_external().join(format!("plugin-{number:03}.jar"));
            fs::write(&path, format!("content of jar {number}")).expect("write");
            let file = fs::File::options().write(true).open(&path).expect("open");
            // Older than the patience with files that are no jars yet.
            file.set_modified(long_ago).expect("date back");
        }
        place
    }

    fn write_config(&self, text: &[u8]) {
        fs::write(self.layout.cruise_config(), text).expect("write");
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.layout.clone(), Options::default(), Arc::new(SystemClock))
    }
}

/// Reads until every file counts.
fn read(scanner: &mut Scanner) -> Snapshot {
    loop {
        match scanner.scan(&mut Interval::default()).expect("readable") {
            Reading::Ready(snapshot) => return *snapshot,
            Reading::Unstable { .. } => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn document(snapshot: &Snapshot, sequence: u64) -> ManifestDocument {
    ManifestDocument {
        format: FORMAT,
        generation: snapshot.generation,
        envelope: Envelope {
            sequence,
            generated_ms: 1,
            scanned_ms: 1,
            now_ms: 1,
            file_check_interval_ms: 60_000,
            ..Envelope::of(&"0".repeat(32), Role::Primary)
        },
        files: snapshot.manifest.files.clone(),
        withheld: Default::default(),
        retained: Default::default(),
        own_jars: Default::default(),
        lineage: Default::default(),
        extra_is_unknown: false,
    }
}

/// Begins a round and brings everything that the store lacks.
fn fetch(store: &disk::DiskStore, snapshot: &Snapshot, document: &Arc<ManifestDocument>) -> disk::Round {
    let round = begin(store, document);
    for wanted in round.missing(store).expect("readable") {
        let mut blob = snapshot.open(&wanted.sha256).expect("on offer").expect("readable");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut blob, &mut bytes).expect("readable");
        let mut receive = store.receive(&wanted).expect("begin");
        receive.write(&bytes).expect("write");
        receive.finish().expect("right");
    }
    round
}

fn begin(store: &disk::DiskStore, document: &Arc<ManifestDocument>) -> disk::Round {
    disk::Round::begin(store, Arc::clone(document)).expect("readable")
}

fn hash(criterion: &mut Criterion) {
    let text = config(0);
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("sha256 of the configuration", |bencher| {
        bencher.iter(|| Digests::of(black_box(&text)));
    });
    group.bench_function("skim the configuration", |bencher| {
        bencher.iter(|| Outline::skim(black_box(&text)).expect("whole"));
    });
    group.bench_function("read through the configuration", |bencher| {
        bencher.iter(|| Outline::read(black_box(&text)).expect("whole"));
    });
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    let place = Place::filled();
    let mut scanner = place.scanner();
    read(&mut scanner);
    let mut group = criterion.benchmark_group("scan");
    group.bench_function("nothing changed", |bencher| bencher.iter(|| read(&mut scanner)));
    let revision = Cell::new(0);
    group.bench_function("the configuration changed", |bencher| {
        bencher.iter_batched(
            || {
                revision.set(revision.get() + 1);
                place.write_config(&config(revision.get()));
            },
            |()| read(&mut scanner),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn plan(criterion: &mut Criterion) {
    let place = Place::filled();
    let snapshot = read(&mut place.scanner());
    let document = Arc::new(document(&snapshot, 1));
    let json = serde_json::to_vec(&*document).expect("plain");
    let standby = Place::new();
    let store = open(&standby);
    let mut round = fetch(&store, &snapshot, &document);
    round.apply(&store, Permit::default()).expect("applied");
    let mut other = ManifestDocument::clone(&document);
    other.files.values_mut().last().expect("files").sha256 = Digest::of(b"another one");
    let other = Arc::new(other);
    let mut group = criterion.benchmark_group("plan");
    group.bench_function("write the manifest", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&*document)).expect("plain"));
    });
    group.bench_function("read the manifest", |bencher| {
        bencher.iter(|| ManifestDocument::parse(black_box(&json)).expect("a manifest"));
    });
    group.bench_function("what is missing", |bencher| {
        bencher.iter(|| assert_eq!(begin(&store, &other).missing(&store).expect("readable").len(), 1));
    });
    group.finish();
}

fn apply(criterion: &mut Criterion) {
    let place = Place::filled();
    let mut scanner = place.scanner();
    let standby = Place::new();
    let store = open(&standby);
    let sequence = Cell::new(0);
    let next = |scanner: &mut Scanner| {
        sequence.set(sequence.get() + 1);
        place.write_config(&config(sequence.get()));
        let snapshot = read(scanner);
        fetch(&store, &snapshot, &Arc::new(document(&snapshot, sequence.get())))
    };
    next(&mut scanner).apply(&store, Permit::default()).expect("applied");
    let mut group = criterion.benchmark_group("apply");
    group.bench_function("a changed configuration", |bencher| {
        bencher.iter_batched(
            || next(&mut scanner),
            |mut round| round.apply(&store, Permit::default()).expect("applied"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn open(place: &Place) -> disk::DiskStore {
    let state: &Path = &place.folder.path().join("state");
    disk::DiskStore::open(state, &place.layout, Arc::new(SystemClock), disk::Options::default()).expect("a store")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for part in [hash, scan, plan, apply] {
        part(&mut criterion);
    }
    criterion.final_summary();
}
