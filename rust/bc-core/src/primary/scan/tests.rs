use std::{
    collections::HashSet,
    fs,
    io::{Read, Write},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::Instant,
};

use super::*;
use crate::{
    basics::{Properties, SystemClock},
    files::descriptor::tests::plugin,
    generation::{Acceptance, Reason, own_files::OWN_PLUGIN_ID},
    primary::scan::{
        amiss::PATIENCE_MS,
        configs::{MISSING_MS, MOMENT_MS, UNTOUCHED_MS},
        watch::{Hint, Waker, Writer},
    },
};

mod configs;
#[cfg(target_os = "linux")]
mod denied;
mod jars;
#[cfg(target_os = "linux")]
mod restarted;
mod withheld;

const CONFIG: &str =
    "<?xml version=\"1.0\"?>\n<cruise schemaVersion=\"139\">\n  <server serverId=\"one\"/>\n</cruise>\n";

/// The machine's clock, but for what a test adds.
#[derive(Default)]
struct TurnedClock {
    by_ms: AtomicI64,
}

impl Clock for TurnedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.by_ms.load(Ordering::Relaxed)
    }
}

/// Hints that say the same of every jar.
struct Says(Writer);

impl Hints for Says {
    fn wait(&mut self, _timeout: Duration) -> Hint {
        Hint::Quiet
    }

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }

    fn problem(&self) -> Option<String> {
        None
    }

    fn writer(&mut self, _jar: &Path) -> Writer {
        self.0
    }
}

/// Everything was closed by whoever wrote it.
fn closed() -> Says {
    Says(Writer::Done)
}

struct Place {
    folder: tempfile::TempDir,
    layout: Layout,
    clock: Arc<TurnedClock>,
}

impl Place {
    /// An installation with one plugin, our own jar and all configuration files.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let layout = Layout::from_properties(&Properties::from_iter([(
            "user.dir",
            folder.path().to_str().expect("UTF-8"),
        )]));
        let place = Self {
            folder,
            layout,
            clock: Arc::default(),
        };
        fs::create_dir_all(place.layout.cruise_config_dir()).expect("folder");
        fs::create_dir_all(place.layout.plugins_external()).expect("folder");
        place.write(&Name::CruiseConfig, CONFIG);
        place.write(&Name::CipherAes, "0123456789abcdef0123456789abcdef");
        place.write(&Name::CipherDes, "0123456789abcdef");
        place.write(&Name::JettyXml, "<!DOCTYPE Configure><Configure/>");
        place.write(&Name::FeatureToggles, "{\"toggles\":[]}");
        place.write(&jar("a.jar"), plugin("a", "1.0"));
        place.write(&jar("ours.jar"), plugin(OWN_PLUGIN_ID, "0.1.0"));
        place
    }

    fn write(&self, name: &Name, content: impl AsRef<[u8]>) {
        fs::write(self.layout.path_of(name), content).expect("write");
    }

    fn remove(&self, name: &Name) {
        fs::remove_file(self.layout.path_of(name)).expect("remove");
    }

    fn scanner(&self) -> Scanner {
        self.scanner_with(Options::default())
    }

    fn scanner_with(&self, options: Options) -> Scanner {
        Scanner::new(self.layout.clone(), options, self.clock.clone())
    }

    fn turn_clock(&self, by_ms: i64) {
        self.clock.by_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

fn jar(name: &str) -> Name {
    Name::Plugin(name.parse().expect("a safe name"))
}

fn ready(scanner: &mut Scanner) -> Snapshot {
    match scanner.scan(&mut closed()).expect("readable") {
        Reading::Ready(snapshot) => *snapshot,
        Reading::Unstable { name, reason } => panic!("{name} {reason}"),
    }
}

fn unstable(scanner: &mut Scanner) -> (Name, String) {
    match scanner.scan(&mut closed()).expect("readable") {
        Reading::Ready(snapshot) => panic!("{:?}", snapshot.manifest),
        Reading::Unstable { name, reason } => (name, reason),
    }
}

/// What a reading leaves to the standbys since somebody is writing it.
fn awaited(scanner: &mut Scanner) -> Vec<Name> {
    let withheld = ready(scanner).manifest.withheld.files.into_iter();
    withheld
        .filter(|(_, reason)| *reason == Reason::BeingWritten)
        .map(|(name, _)| name)
        .collect()
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.manifest.files.keys().map(Name::to_string).collect()
}

/// An installation, and somebody who reads it and is told of jars what a test likes.
struct Scene {
    place: Place,
    scanner: Scanner,
    says: Says,
}

impl Scene {
    fn new(writer: Writer) -> Self {
        let place = Place::new();
        let mut scanner = place.scanner();
        ready(&mut scanner);
        Self {
            place,
            scanner,
            says: Says(writer),
        }
    }

    /// Reads after an edit of the configuration, which nothing may hold up.
    fn read(&mut self) -> Snapshot {
        let edited = CONFIG.replace("one", &self.place.clock.now_ms().to_string());
        self.place.write(&Name::CruiseConfig, &edited);
        match self.scanner.scan(&mut self.says).expect("readable") {
            Reading::Ready(snapshot) => {
                let config = snapshot.manifest.files[&Name::CruiseConfig].sha256;
                assert_eq!(config, Digest::of(edited.as_bytes()));
                *snapshot
            }
            Reading::Unstable { name, reason } => panic!("{name} {reason}"),
        }
    }

    fn is_offered(&mut self, name: &Name, bytes: &[u8]) -> bool {
        let snapshot = self.read();
        let Some(entry) = snapshot.manifest.files.get(name) else {
            let reason = snapshot.manifest.withheld.reason(name);
            assert!(reason.is_some(), "the standby would lose it");
            return false;
        };
        entry.sha256 == Digest::of(bytes)
    }

    fn pass(&self, ms: i64) {
        self.place.turn_clock(ms);
    }
}

#[test]
fn a_reading_names_every_synced_file_and_has_its_bytes() {
    let place = Place::new();
    let snapshot = ready(&mut place.scanner());
    assert_eq!(
        names(&snapshot),
        [
            "plugins/external/a.jar",
            "cipher.aes",
            "jetty.xml",
            "go.feature.toggles",
            "cruise-config.xml"
        ]
    );
    assert_eq!(snapshot.server_id.as_deref(), Some("one"));
    assert_eq!(snapshot.schema_version.as_deref(), Some("139"));
    assert_eq!(snapshot.acceptance, Acceptance::Unknown);
    assert_eq!(snapshot.warnings, Vec::<String>::new());
    assert_eq!(snapshot.own_jars.len(), 1);
    let identity = snapshot.manifest.files[&jar("a.jar")].plugin.clone().expect("a plugin");
    assert_eq!((identity.id.as_str(), identity.version.as_deref()), ("a", Some("1.0")));
    for (name, entry) in &snapshot.manifest.files {
        let mut bytes = Vec::new();
        let blob = snapshot.open(&entry.sha256).expect("listed");
        blob.expect("opens").read_to_end(&mut bytes).expect("reads");
        assert_eq!(bytes, fs::read(place.layout.path_of(name)).expect("there"), "{name}");
    }
    let des = Options {
        include_des_cipher: true,
        ..Options::default()
    };
    assert!(names(&ready(&mut place.scanner_with(des))).contains(&"cipher".to_owned()));
}

#[test]
fn the_same_files_are_the_same_generation_and_other_bytes_another() {
    let place = Place::new();
    let mut scanner = place.scanner();
    let first = ready(&mut scanner);
    assert_eq!(ready(&mut scanner).generation, first.generation);
    place.write(&Name::CruiseConfig, CONFIG.replace("one", "two"));
    let second = ready(&mut scanner);
    assert_ne!(second.generation, first.generation);
    assert_eq!(second.server_id.as_deref(), Some("two"));
    place.remove(&jar("a.jar"));
    assert!(!names(&ready(&mut scanner)).contains(&"plugins/external/a.jar".to_owned()));
}

#[test]
fn a_configuration_or_cipher_that_is_not_whole_holds_everything_up() {
    let place = Place::new();
    let mut scanner = place.scanner();
    for (name, part) in [
        (Name::CruiseConfig, &CONFIG[..40]),
        (Name::CruiseConfig, ""),
        (Name::CipherAes, "\n"),
    ] {
        let whole = fs::read(place.layout.path_of(&name)).expect("there");
        place.write(&name, part);
        assert_eq!(unstable(&mut scanner).0, name);
        place.turn_clock(10 * PATIENCE_MS);
        assert_eq!(unstable(&mut scanner).0, name, "patience does not make it whole");
        place.write(&name, whole);
        ready(&mut scanner);
    }
}

#[test]
fn a_configuration_file_that_is_gone_for_a_moment_is_not_removed() {
    let place = Place::new();
    let mut scanner = place.scanner();
    ready(&mut scanner);
    place.remove(&Name::JettyXml);
    assert_eq!(unstable(&mut scanner).0, Name::JettyXml);
    place.turn_clock(MOMENT_MS);
    assert_eq!(awaited(&mut scanner), [Name::JettyXml]);
    place.turn_clock(MISSING_MS);
    assert!(!names(&ready(&mut scanner)).contains(&"jetty.xml".to_owned()));
    assert_eq!(awaited(&mut scanner), []);
    place.remove(&Name::CipherAes);
    assert_eq!(unstable(&mut scanner).0, Name::CipherAes);
    place.turn_clock(MISSING_MS);
    ready(&mut scanner);
    place.remove(&Name::CruiseConfig);
    place.turn_clock(100 * MISSING_MS);
    assert_eq!(
        unstable(&mut scanner),
        (Name::CruiseConfig, "does not exist".to_owned())
    );
}

#[test]
fn a_clock_that_is_set_back_does_not_make_it_wait() {
    let place = Place::new();
    let mut scanner = place.scanner();
    ready(&mut scanner);
    place.remove(&Name::FeatureToggles);
    unstable(&mut scanner);
    place.turn_clock(-3_600_000);
    unstable(&mut scanner);
    place.turn_clock(MOMENT_MS);
    assert_eq!(awaited(&mut scanner), [Name::FeatureToggles]);
    place.turn_clock(MISSING_MS);
    assert_eq!(awaited(&mut scanner), []);
}

#[test]
fn acceptance_follows_the_configuration_repository() {
    let place = Place::new();
    let accepted = place.layout.accepted_config();
    fs::create_dir_all(accepted.parent().expect("a folder")).expect("folder");
    let mut scanner = place.scanner();
    assert_eq!(ready(&mut scanner).acceptance, Acceptance::Unknown);
    fs::write(&accepted, "<older/>").expect("write");
    assert_eq!(ready(&mut scanner).acceptance, Acceptance::Pending);
    fs::write(&accepted, CONFIG.replace('\n', "\r\n")).expect("write");
    assert_eq!(ready(&mut scanner).acceptance, Acceptance::Accepted);
    fs::write(&accepted, "<a merge/>").expect("write");
    assert_eq!(ready(&mut scanner).acceptance, Acceptance::Accepted);
}

#[cfg(unix)]
#[test]
fn links_are_served_under_their_own_name_and_the_rest_is_skipped() {
    let place = Place::new();
    let plugins = place.layout.plugins_external();
    let target = place.folder.path().join("target.bin");
    fs::write(&target, plugin("linked", "1")).expect("write");
    std::os::unix::fs::symlink(&target, plugins.join("link.jar")).expect("link");
    std::os::unix::fs::symlink("nowhere", plugins.join("dangling.jar")).expect("link");
    std::os::unix::fs::symlink("/dev/zero", plugins.join("device.jar")).expect("link");
    nix::unistd::mkfifo(&plugins.join("pipe.jar"), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    fs::create_dir(plugins.join("folder.jar")).expect("folder");
    fs::write(plugins.join("tab\t.jar"), "x").expect("write");
    let snapshot = ready(&mut place.scanner());
    let entry = &snapshot.manifest.files[&jar("link.jar")];
    assert_eq!(entry.plugin.as_ref().map(|plugin| plugin.id.as_str()), Some("linked"));
    assert!(snapshot.warnings[0].contains("tab\\t.jar"), "{:?}", snapshot.warnings);
    let withheld = &snapshot.manifest.withheld.files;
    for (name, reason) in [
        ("dangling.jar", Reason::Dangling),
        ("device.jar", Reason::Irregular),
        ("pipe.jar", Reason::Irregular),
        ("folder.jar", Reason::Irregular),
    ] {
        assert_eq!(withheld.get(&jar(name)), Some(&reason), "{name}");
    }
    assert_eq!(withheld.len(), 4, "no node could have a file of the other name");
    assert_eq!(snapshot.manifest.plugins().count(), 2);
}

#[test]
fn digests_of_jars_survive_a_restart() {
    let place = Place::new();
    let options = Options {
        cache_file: Some(place.folder.path().join("scan-cache.json")),
        ..Options::default()
    };
    thread::sleep(Duration::from_millis(40));
    let first = ready(&mut place.scanner_with(options.clone()));
    let saved = fs::read_to_string(options.cache_file.as_ref().expect("set")).expect("written");
    assert!(saved.contains("a.jar"));
    let second = ready(&mut place.scanner_with(options));
    assert_eq!(second.manifest, first.manifest);
    assert_eq!(second.own_jars, first.own_jars);
}

#[test]
fn retries_come_soon_and_then_rarely() {
    assert_eq!(retry_after(0), Duration::from_millis(2));
    assert_eq!(retry_after(3), Duration::from_millis(16));
    assert_eq!(retry_after(u32::MAX), Duration::from_millis(500));
    let until_said: Duration = (0..SAY_AFTER).map(retry_after).sum();
    assert!(until_said > Duration::from_secs(3) && until_said < Duration::from_secs(10));
}

/// A writer that truncates, as GoCD does, and pauses in the middle; whoever reads sees only what was written whole.
#[test]
fn a_torn_file_is_never_seen() {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).expect("random bytes");
    let seed = u64::from_le_bytes(seed);
    println!("seed {seed}");
    let place = Place::new();
    let path = place.layout.cruise_config().to_owned();
    let body =
        "  <pipeline name=\"p\"><materials><git url=\"x\"/></materials></pipeline>\n".repeat(2 * 1024 * 1024 / 72);
    let content =
        move |round: u64| format!("<cruise schemaVersion=\"139\"><server serverId=\"{round:08}\"/>\n{body}</cruise>");
    let written = Mutex::new(HashSet::from([Digest::of(CONFIG.as_bytes())]));
    let is_over = AtomicBool::new(false);
    let (mut seen, mut readings, mut unstable_readings) = (HashSet::new(), 0, 0);
    let begun = Instant::now();
    let last = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut random = seed | 1;
            let mut next = move |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let mut last = Digest::of(CONFIG.as_bytes());
            for round in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let text = content(round);
                last = Digest::of(text.as_bytes());
                written.lock().expect("no panic").insert(last);
                let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
                file.set_len(0).expect("truncate");
                let pause_at = next(text.len() as u64) as usize;
                file.write_all(&text.as_bytes()[..pause_at]).expect("write");
                if next(4) == 0 {
                    thread::sleep(Duration::from_millis(next(20)));
                }
                file.write_all(&text.as_bytes()[pause_at..]).expect("write");
                drop(file);
                thread::sleep(Duration::from_millis(next(30)));
            }
            last
        });
        let mut scanner = place.scanner();
        while (readings < 300 || seen.len() < 20) && begun.elapsed() < Duration::from_secs(60) {
            readings += 1;
            match scanner.scan(&mut closed()).expect("readable") {
                Reading::Ready(snapshot) => {
                    let digest = snapshot.manifest.files[&Name::CruiseConfig].sha256;
                    assert!(written.lock().expect("no panic").contains(&digest), "seed {seed}");
                    seen.insert(digest);
                }
                Reading::Unstable { name, .. } => {
                    assert_eq!(name, Name::CruiseConfig);
                    unstable_readings += 1;
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        writer.join().expect("no panic")
    });
    println!(
        "{} contents seen, {unstable_readings} of {readings} readings unstable",
        seen.len()
    );
    assert!(seen.len() >= 20 && unstable_readings > 10);
    let snapshot = ready(&mut place.scanner());
    assert_eq!(snapshot.manifest.files[&Name::CruiseConfig].sha256, last);
}

#[test]
fn further_files_are_synced_once_nobody_writes_them() {
    let mut place = Place::new();
    let extra: Vec<_> = crate::generation::ExtraName::list("password.properties, missing.xml").expect("valid");
    place.layout = place.layout.clone().with_extra(extra);
    let name: Name = "password.properties".parse().expect("valid");
    place.write(&name, "admin=x");
    let mut scanner = place.scanner();
    let Ok(Reading::Unstable { name: young, .. }) = scanner.scan(&mut closed()) else {
        panic!("a file that was just written may be written on");
    };
    assert_eq!(young, name);
    place.clock.by_ms.fetch_add(UNTOUCHED_MS, Ordering::Relaxed);
    let Ok(Reading::Ready(snapshot)) = scanner.scan(&mut closed()) else {
        panic!("settled");
    };
    assert!(snapshot.manifest.files.contains_key(&name));
    assert!(
        snapshot.warnings.iter().any(|warning| warning.contains("missing.xml")),
        "{:?}",
        snapshot.warnings
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let place = Place::new();
    let pipe = |path: &std::path::Path| {
        fs::remove_file(path).expect("it was there");
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    };
    for name in [Name::CipherAes, Name::JettyXml, Name::FeatureToggles] {
        pipe(&place.layout.path_of(&name));
    }
    let jar = fs::read_dir(place.layout.plugins_external())
        .expect("readable")
        .next()
        .expect("one")
        .expect("readable")
        .path();
    pipe(&jar);
    let accepted = place.layout.accepted_config();
    fs::create_dir_all(accepted.parent().expect("joined")).expect("folder");
    nix::unistd::mkfifo(&accepted, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    pipe(&place.layout.path_of(&Name::CruiseConfig));
    let snapshot = ready(&mut place.scanner());
    let withheld = &snapshot.manifest.withheld.files;
    assert_eq!(withheld.len(), 5, "{withheld:?}");
    assert!(
        withheld.values().all(|reason| *reason == Reason::Irregular),
        "{withheld:?}"
    );
    assert_eq!(snapshot.acceptance, Acceptance::Unknown);
}

#[test]
fn odd_jars_are_offered_as_they_are_beside_everything_else_and_named() {
    use crate::files::descriptor::odd_jars;

    let place = Place::new();
    let odd: Vec<_> = odd_jars::odd().into_iter().chain(odd_jars::broken()).collect();
    for (name, bytes) in odd.iter().chain(&odd_jars::rare()) {
        place.write(&jar(&format!("{name}.jar")), bytes);
    }
    let mut scanner = place.scanner();
    // What is not a whole jar may be on its way, and is waited for once, however many there are.
    assert_eq!(
        ready(&mut scanner).manifest.withheld.files.len(),
        odd_jars::broken().len()
    );
    place.turn_clock(PATIENCE_MS);
    let snapshot = ready(&mut scanner);
    assert_eq!(snapshot.warnings.len(), odd.len(), "{:?}", snapshot.warnings);
    for (name, bytes) in &odd {
        let name = jar(&format!("{name}.jar"));
        let entry = &snapshot.manifest.files[&name];
        assert_eq!(
            (entry.sha256, entry.plugin.as_ref()),
            (Digest::of(bytes), None),
            "{name}"
        );
        assert!(
            snapshot
                .warnings
                .iter()
                .any(|warning| warning.starts_with(&format!("{name} is "))),
            "{name}: {:?}",
            snapshot.warnings
        );
    }
    for (name, _) in odd_jars::rare() {
        let plugin = &snapshot.manifest.files[&jar(&format!("{name}.jar"))].plugin;
        assert_eq!(plugin.as_ref().expect("a plugin").id, "rare");
    }
    assert!(snapshot.manifest.files.contains_key(&jar("a.jar")));
}
