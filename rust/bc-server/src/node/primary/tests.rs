//! The reading thread beside hints that overflow, fail or never come, folders that are replaced, and clocks that
//! jump: what changed is on offer within the interval, whatever happens.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU32},
    },
    thread,
    time::Instant,
};

use bc_core::{
    basics::{Clock, Digest, Properties, SystemClock},
    generation::{Layout, Name, Role},
    primary::scan::watch::{Hint, Interval, Waker},
    role::StateDir,
    status::{Phase, Status},
};

use super::*;

/// How often the files are read here.
const INTERVAL: Duration = Duration::from_millis(60);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// The machine's clock, but for what a test adds.
#[derive(Default)]
struct TurnedClock(AtomicI64);

impl Clock for TurnedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::Relaxed)
    }
}

/// What a test's source of hints does.
#[derive(Clone, Copy)]
enum Manner {
    /// Hears nothing, ever.
    Silent,
    /// Says a hundred times in a row that it has lost count, then nothing any more.
    Overflows,
    /// Cannot watch any more.
    Fails,
}

struct BadHints {
    manner: Manner,
    waits: AtomicU32,
    interval: Interval,
    asked: Arc<Mutex<Vec<Duration>>>,
}

impl Hints for BadHints {
    fn wait(&mut self, timeout: Duration) -> Hint {
        self.asked.lock().expect("no panic").push(timeout);
        let number = self.waits.fetch_add(1, Ordering::Relaxed);
        if matches!(self.manner, Manner::Overflows) && number < 100 {
            return Hint::Changed;
        }
        self.interval.wait(timeout)
    }

    fn waker(&self) -> Waker {
        self.interval.waker()
    }

    fn problem(&self) -> Option<String> {
        // The limit of watches is met later on, when a folder is made.
        let has_failed = matches!(self.manner, Manner::Fails) && self.waits.load(Ordering::Relaxed) > 2;
        has_failed.then(|| "no watches left".to_owned())
    }
}

/// A GoCD folder and the thread that reads it.
struct Scene {
    folder: tempfile::TempDir,
    layout: Layout,
    offer: Arc<Offer>,
    board: Arc<StatusBoard>,
    clock: Arc<TurnedClock>,
    stop: CancellationToken,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
    asked: Arc<Mutex<Vec<Duration>>>,
}

impl Scene {
    fn start(manner: Manner) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
        let layout = Layout::from_properties(&properties);
        fs::create_dir_all(layout.plugins_external()).expect("folder");
        fs::create_dir_all(layout.cruise_config_dir()).expect("folder");
        fs::write(layout.cruise_config(), config(0)).expect("write");
        let state = Arc::new(StateDir::open(layout.state_dir()).expect("state"));
        let offer = Arc::new(Offer::new(state, None, 60_000).expect("offer"));
        let status = Status::new("primary", Role::Primary, Phase::Running, 0);
        let clock = Arc::<TurnedClock>::default();
        let board = Arc::new(StatusBoard::new(status, clock.clone()));
        let asked = Arc::<Mutex<Vec<Duration>>>::default();
        let hints = BadHints {
            manner,
            waits: AtomicU32::new(0),
            interval: Interval::default(),
            asked: Arc::clone(&asked),
        };
        let (waker, stop) = (hints.waker(), CancellationToken::new());
        let scan_loop = ScanLoop {
            scanner: Scanner::new(layout.clone(), Options::default(), Arc::clone(&clock) as Arc<dyn Clock>),
            hints: Box::new(hints),
            interval: INTERVAL,
            accept_wait: Duration::from_secs(60),
            offer: Arc::clone(&offer),
            board: Arc::clone(&board),
            stop: stop.clone(),
        };
        let scene = Self {
            folder,
            layout,
            offer,
            board,
            clock,
            stop,
            waker,
            thread: Some(thread::spawn(move || scan_loop.run())),
            asked,
        };
        scene.until_offered(config(0));
        scene
    }

    fn save(&self, number: u32) {
        fs::write(self.layout.cruise_config(), config(number)).expect("write");
        self.until_offered(config(number));
    }

    fn until_offered(&self, config: String) {
        let digest = Digest::of(config.as_bytes());
        let begun = Instant::now();
        while self.offered(&Name::CruiseConfig) != Some(digest) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{config} is not on offer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where nobody tells who writes, a jar has to stand still for a while first.
    fn until_there(&self, name: &Name) {
        let begun = Instant::now();
        while self.offered(name).is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name} is not on offer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn offered(&self, name: &Name) -> Option<Digest> {
        let offered = self.offer.current()?;
        Some(offered.snapshot.manifest.files.get(name)?.sha256)
    }

    fn replace(&self, folder: &Path) {
        let name = folder.file_name().expect("below the temporary one");
        let old = self.folder.path().join("old").join(name);
        fs::create_dir_all(old.parent().expect("just joined")).expect("folder");
        fs::rename(folder, old).expect("rename");
        fs::create_dir_all(folder).expect("folder");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        self.waker.wake();
        let ended = self.thread.take().expect("until now").join();
        assert!(thread::panicking() || ended.is_ok(), "the reading thread panicked");
    }
}

/// Texts of one length.
fn config(number: u32) -> String {
    format!("<cruise><!-- {number:04} --></cruise>")
}

#[test]
fn without_any_hint_the_regular_reading_finds_every_change() {
    let scene = Scene::start(Manner::Silent);
    for number in 1..6 {
        scene.save(number);
    }
    let jar = scene.layout.plugins_external().join("a.jar");
    bc_testkit::gocd_dir::write_plugin_jar(&jar, "a", "1");
    let name = Name::Plugin("a.jar".parse().expect("a name"));
    scene.until_there(&name);
}

#[test]
fn hints_that_overflow_only_mean_to_read_again() {
    let scene = Scene::start(Manner::Overflows);
    scene.save(1);
    let waits = || scene.asked.lock().expect("no panic").clone();
    let begun = Instant::now();
    while waits().len() <= 100 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the storm is not over");
        thread::sleep(Duration::from_millis(5));
    }
    scene.save(2);
    assert!(waits().iter().all(|wait| *wait <= AFTER_ERROR));
}

#[test]
fn hints_that_fail_later_on_are_shown() {
    let scene = Scene::start(Manner::Fails);
    let begun = Instant::now();
    let shown = || {
        let problems = scene.board.picture().problems;
        problems.iter().any(|problem| problem.message == "no watches left")
    };
    while !shown() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(5));
    }
    scene.save(1);
}

#[test]
fn folders_that_are_replaced_are_read_where_they_are_now() {
    let scene = Scene::start(Manner::Silent);
    scene.replace(scene.layout.cruise_config_dir());
    scene.save(1);
    scene.replace(scene.layout.plugins_external());
    let jar = scene.layout.plugins_external().join("b.jar");
    bc_testkit::gocd_dir::write_plugin_jar(&jar, "b", "1");
    scene.save(2);
    scene.until_there(&Name::Plugin("b.jar".parse().expect("a name")));
}

#[test]
fn a_clock_that_jumps_hides_no_change() {
    let scene = Scene::start(Manner::Silent);
    let mut number = 0;
    for jump_ms in [365 * DAY_MS, -366 * DAY_MS, DAY_MS, -DAY_MS, 3_600_000] {
        scene.clock.0.fetch_add(jump_ms, Ordering::Relaxed);
        for _ in 0..3 {
            number += 1;
            scene.save(number);
        }
    }
}
