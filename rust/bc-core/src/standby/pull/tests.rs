//! The puller against a primary in memory and a store on a disk.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Cursor,
    path::PathBuf,
    sync::{Mutex, atomic::AtomicBool},
};

use bytes::Bytes;

use super::*;
use crate::{
    basics::{Clock, Digests, SystemClock},
    files::{Jar, descriptor::tests::plugin},
    generation::{
        Acceptance, Concern, Entry, Layout, Manifest, Name, Reason, Role, delta, manifest::FORMAT, run::tests::run,
        withheld,
    },
    role::StateDir,
    standby::{
        store::{contract::layout_in, disk},
        transport::PeerKey,
    },
    status::{Behind, KEPT_ERRORS, Phase, PrimaryStatus, Refusal, Status, SyncStatus},
};

const OWN_ID: &str = "0123456789abcdef0123456789abcdef";

/// A primary that answers from memory and can be made to fail.
struct Fake {
    document: Mutex<ManifestDocument>,
    blobs: Mutex<HashMap<Digest, Vec<u8>>>,
    failures: Mutex<Vec<Error>>,
    /// Whether no manifest comes any more.
    hangs: AtomicBool,
    /// Whether no bytes come any more.
    stuck: AtomicBool,
    /// Whether the line breaks as soon as bytes are asked for.
    breaks: AtomicBool,
    asked: AtomicU64,
    /// What it answers to whoever asks for a delta.
    delta: Mutex<Option<Result<Vec<u8>, Error>>>,
    /// How often bytes were asked for.
    whole: AtomicU64,
}

impl Fake {
    fn new(content: &[u8]) -> Arc<Self> {
        let fake = Self {
            document: Mutex::new(document(content)),
            blobs: Mutex::default(),
            failures: Mutex::default(),
            hangs: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            breaks: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            delta: Mutex::default(),
            whole: AtomicU64::new(0),
        };
        fake.keep(&xml(content));
        Arc::new(fake)
    }

    fn change(&self, content: &[u8]) {
        let next = self.document.lock().unwrap().envelope.sequence + 1;
        self.change_to(content, next);
    }

    fn change_to(&self, content: &[u8], sequence: u64) {
        self.keep(&xml(content));
        let mut changed = document(content);
        changed.envelope.sequence = sequence;
        *self.document.lock().unwrap() = changed;
    }

    fn keep(&self, bytes: &[u8]) {
        self.blobs.lock().unwrap().insert(Digest::of(bytes), bytes.to_vec());
    }

    /// Offers a plugin too.
    fn add(&self, name: &Name, bytes: &[u8]) {
        self.keep(bytes);
        let plugin = Jar::inspect(Cursor::new(bytes)).identity().cloned();
        let mut document = self.document.lock().unwrap();
        document
            .files
            .insert(name.clone(), Entry::new(Digests::of(bytes), 0, plugin));
        let manifest = Manifest {
            files: document.files.clone(),
            ..Manifest::default()
        };
        document.generation = manifest.generation();
    }
}

/// A configuration with this content, or this one.
fn xml(content: &[u8]) -> Vec<u8> {
    if content.starts_with(b"<") {
        return content.to_vec();
    }
    let content = String::from_utf8_lossy(content);
    format!("<cruise schemaVersion=\"139\"><server serverId=\"one\"/><!-- {content} --></cruise>").into_bytes()
}

async fn wait_while(flag: &AtomicBool) {
    while flag.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(100)).await;
    }
}

fn document(content: &[u8]) -> ManifestDocument {
    let entry = Entry::new(Digests::of(&xml(content)), 0, None);
    let manifest = Manifest {
        files: BTreeMap::from([(Name::CruiseConfig, entry)]),
        ..Manifest::default()
    };
    ManifestDocument {
        format: FORMAT,
        generation: manifest.generation(),
        envelope: Envelope {
            sequence: 1,
            gocd_version: Some("26.1.0".to_owned()),
            scanned_ms: SystemClock.now_ms(),
            now_ms: SystemClock.now_ms(),
            file_check_interval_ms: 60_000,
            ..Envelope::of(&"a".repeat(32), Role::Primary)
        },
        files: manifest.files,
        withheld: Default::default(),
        retained: Default::default(),
        own_jars: BTreeMap::new(),
        lineage: Default::default(),
        extra_is_unknown: false,
    }
}

impl Transport for Fake {
    async fn manifest(&self, known: Option<Digest>, wait: Duration) -> Result<ManifestReply, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        wait_while(&self.hangs).await;
        let failure = self.failures.lock().unwrap().pop();
        if let Some(error) = failure {
            return Err(error);
        }
        let deadline = Instant::now() + wait;
        loop {
            let document = self.document.lock().unwrap().clone();
            if known != Some(document.generation) {
                return Ok(ManifestReply::Changed(document));
            }
            if Instant::now() >= deadline {
                return Ok(ManifestReply::Unchanged(document.envelope));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn blob(
        &self,
        digest: Digest,
        offset: u64,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        self.whole.fetch_add(1, Ordering::Relaxed);
        wait_while(&self.stuck).await;
        if self.breaks.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Unreachable, "the line broke", ""));
        }
        let bytes = self.blobs.lock().unwrap().get(&digest).cloned();
        let bytes = bytes.ok_or_else(|| Error::new(Kind::Superseded, "gone", ""))?;
        let offset = usize::try_from(offset).unwrap();
        if offset > 0 && offset == bytes.len() {
            return Err(Error::new(Kind::Protocol, "range not satisfiable", ""));
        }
        sink(&bytes[offset..])
    }

    async fn delta(&self, _digest: Digest, _former: Digest) -> Result<Option<Bytes>, Error> {
        let delta = self.delta.lock().unwrap().clone();
        delta.transpose().map(|delta| delta.map(Bytes::from))
    }

    fn peer_key(&self) -> PeerKey {
        PeerKey {
            is_proven: true,
            ..PeerKey::default()
        }
    }
}

/// The disk of a standby.
struct Node {
    _folder: tempfile::TempDir,
    layout: Layout,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout_in(&folder.path().canonicalize().unwrap());
        Self {
            _folder: folder,
            layout,
        }
    }

    /// With a configuration of its own.
    fn with(config: &[u8]) -> Self {
        let node = Self::new();
        fs::create_dir_all(node.layout.cruise_config_dir()).unwrap();
        fs::write(node.config(), config).unwrap();
        node
    }

    fn config(&self) -> PathBuf {
        self.layout.path_of(&Name::CruiseConfig)
    }

    fn has(&self, content: &[u8]) -> bool {
        fs::read(self.config()).is_ok_and(|live| live == xml(content))
    }

    /// What came of these bytes before a transfer broke off.
    fn partial(&self, bytes: &[u8]) -> PathBuf {
        let blobs = self.layout.state_dir().join("blobs");
        blobs.join(format!("{}.partial", Digest::of(bytes)))
    }

    fn open(&self, clock: Arc<dyn Clock>) -> DiskStore {
        DiskStore::open(self.layout.state_dir(), &self.layout, clock, disk::Options::default()).unwrap()
    }
}

fn board(clock: Arc<dyn Clock>) -> Arc<StatusBoard> {
    let status = Status {
        primary: Some(PrimaryStatus::new("", "", 0)),
        sync: Some(SyncStatus::default()),
        ..Status::new("standby", Role::Standby, Phase::Holding, 0)
    };
    Arc::new(StatusBoard::new(status, clock))
}

struct Scene {
    fake: Arc<Fake>,
    node: Node,
    store: Arc<DiskStore>,
    board: Arc<StatusBoard>,
    orders: mpsc::Sender<PullOrder>,
    stop: CancellationToken,
    _state: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

fn start(fake: Arc<Fake>) -> Scene {
    start_with(fake, Node::new())
}

fn start_with(fake: Arc<Fake>, node: Node) -> Scene {
    start_at(fake, node, Arc::new(SystemClock))
}

fn start_at(fake: Arc<Fake>, node: Node, clock: Arc<dyn Clock>) -> Scene {
    let (store, board, stop) = (
        Arc::new(node.open(Arc::clone(&clock))),
        board(clock),
        CancellationToken::new(),
    );
    let state = tempfile::tempdir().expect("folder");
    let options = Options {
        node_id: OWN_ID.parse().expect("id"),
        gocd_version: Some("26.1.0".to_owned()),
        long_poll_wait: Duration::from_secs(25),
        check_interval: Duration::from_secs(60),
        refusal_critical: Duration::from_secs(600),
        accept_wait: Duration::from_secs(60),
        history: History::of(Arc::new(StateDir::open(state.path()).expect("state folder"))),
        newest: newest::Newest::default(),
        run: None,
        primaries: Arc::default(),
    };
    let puller = Puller::new(Arc::clone(&fake), Arc::clone(&store), Arc::clone(&board), options);
    let (orders, mut taken) = mpsc::channel(4);
    let stopped = stop.clone();
    let task = tokio::spawn(async move { puller.run(&mut taken, stopped).await });
    Scene {
        fake,
        node,
        store,
        board,
        orders,
        stop,
        task,
        _state: state,
    }
}

impl Scene {
    async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) {
        for _ in 0..6000 {
            if holds(&self.board.picture()) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain: {what}; {:#?}", self.board.picture());
    }

    async fn last(&self) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let order = PullOrder::Last(answer);
        self.orders.send(order).await.expect("the puller runs");
        answered.await.expect("an answer")
    }

    /// How many generations have changed the live files.
    fn applied(&self) -> u64 {
        self.board.picture().counters.applied_generations
    }
}

fn in_sync(status: &Status) -> bool {
    status.sync.as_ref().is_some_and(|sync| sync.in_sync)
}

#[tokio::test]
async fn applies_each_change_once_and_shows_it() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.fake.change(b"two");
    scene
        .until("the change is applied", |status| {
            status
                .generation
                .as_ref()
                .is_some_and(|applied| applied.id == document(b"two").generation)
        })
        .await;
    assert_eq!(scene.applied(), 2);
    let picture = scene.board.picture();
    assert!(picture.problems.is_empty(), "{:?}", picture.problems);
    let counters = picture.counters;
    let bytes = [b"one", b"two"].map(|content| xml(content).len() as u64);
    assert_eq!(
        (counters.received.files, counters.received.bytes),
        (2, bytes.iter().sum())
    );
    assert_eq!((counters.applied_generations, counters.failed_rounds), (2, 0));
    let primary = picture.primary.expect("a standby has a primary");
    assert!(primary.connected && primary.trusted);
    scene.stop.cancel();
    scene.task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn since_when_a_generation_is_live_is_what_the_store_says_before_and_after_every_look() {
    let applied = |status: &Status| status.sync.as_ref().and_then(|sync| sync.applied_ms);
    let fake = Fake::new(b"one");
    fake.hangs.store(true, Ordering::Relaxed);
    let clock = Arc::new(Turned(AtomicU64::new(1_000)));
    let node = Node::with(&xml(b"one"));
    let store = node.open(Arc::clone(&clock) as Arc<dyn Clock>);
    store.apply(&document(b"one"), Permit::default()).unwrap();
    drop(store);
    clock.0.store(2_000, Ordering::Relaxed);
    let scene = start_at(fake, node, Arc::clone(&clock) as Arc<dyn Clock>);
    scene
        .until("it says so before the primary answers", |status| {
            applied(status) == Some(1_000)
        })
        .await;
    assert!(scene.board.picture().generation.is_none());
    scene.fake.hangs.store(false, Ordering::Relaxed);
    scene.until("in sync", in_sync).await;
    // The same generation comes whole, with another mark of GoCD's, and after an error.
    scene.orders.send(PullOrder::Now).await.expect("the puller runs");
    scene.fake.document.lock().unwrap().envelope.acceptance = Acceptance::Accepted;
    sleep(Duration::from_secs(40)).await;
    let failure = Error::new(Kind::Unreachable, "no answer", "");
    scene.fake.failures.lock().unwrap().push(failure);
    sleep(Duration::from_secs(60)).await;
    scene.until("in sync again", in_sync).await;
    assert_eq!(applied(&scene.board.picture()), Some(1_000));
    clock.0.store(3_000, Ordering::Relaxed);
    scene.fake.change(b"two");
    scene
        .until("the change is live", |status| applied(status) == Some(3_000))
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_gocd_accepts_after_it_came_is_shown_as_accepted() {
    let scene = start(Fake::new(b"one"));
    scene.fake.document.lock().unwrap().envelope.acceptance = Acceptance::Pending;
    scene.until("in sync", in_sync).await;
    let shown = |status: &Status| {
        let newest = status.primary.as_ref().and_then(|primary| primary.generation.as_ref());
        [status.generation.as_ref(), newest].map(|shown| shown.map(|shown| shown.acceptance))
    };
    assert_eq!(shown(&scene.board.picture()), [Some(Acceptance::Pending); 2]);
    scene.fake.document.lock().unwrap().envelope.acceptance = Acceptance::Accepted;
    scene
        .until("accepted", |status| shown(status) == [Some(Acceptance::Accepted); 2])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_never_applied_anything_says_no_time() {
    let fake = Fake::new(b"one");
    fake.hangs.store(true, Ordering::Relaxed);
    let scene = start(fake);
    sleep(Duration::from_secs(100)).await;
    let picture = scene.board.picture();
    assert_eq!(picture.sync.expect("a standby has one").applied_ms, None);
}

#[tokio::test(start_paused = true)]
async fn goes_on_after_errors_and_keeps_the_last_ones_until_a_success() {
    let fake = Fake::new(b"one");
    *fake.failures.lock().unwrap() = (0..7)
        .map(|number| Error::new(Kind::Unreachable, format!("no answer {number}"), ""))
        .collect();
    let scene = start(fake);
    scene
        .until("five errors are kept", |status| {
            status
                .sync
                .as_ref()
                .is_some_and(|sync| sync.errors.len() == KEPT_ERRORS)
        })
        .await;
    scene.until("in sync", in_sync).await;
    let picture = scene.board.picture();
    assert_eq!(picture.counters.failed_rounds, 7);
    assert!(picture.sync.expect("syncing").errors.is_empty());
    assert!(picture.problems.is_empty(), "{:?}", picture.problems);
}

#[tokio::test]
async fn refuses_itself_and_a_node_that_is_no_primary() {
    for (node_id, role, text) in [
        (OWN_ID, Role::Primary, "this node itself"),
        ("other", Role::Standby, "role is standby"),
    ] {
        let fake = Fake::new(b"one");
        {
            let mut document = fake.document.lock().unwrap();
            document.envelope.node_id = node_id.to_owned();
            document.envelope.role = role;
        }
        let scene = start(fake);
        scene
            .until("a refusal", |status| {
                status.problems.iter().any(|problem| problem.message.contains(text))
            })
            .await;
        assert_eq!(scene.applied(), 0);
    }
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_are_not_applied() {
    let fake = Fake::new(b"one");
    let right = xml(b"one");
    let wrong = right.iter().rev().copied().collect();
    fake.blobs.lock().unwrap().insert(Digest::of(&right), wrong);
    let scene = start(fake);
    scene
        .until("an error", |status| {
            status.sync.as_ref().is_some_and(|sync| !sync.errors.is_empty())
        })
        .await;
    assert_eq!(scene.applied(), 0);
    assert!(scene.board.picture().counters.received.broken > 0);
    scene.fake.change(b"two");
    scene.orders.send(PullOrder::Now).await.expect("the puller runs");
    scene.until("in sync", in_sync).await;
}

#[tokio::test]
async fn a_standby_is_behind_since_the_last_answer_of_a_primary_that_fell_silent() {
    let clock = Arc::new(Turned(AtomicU64::new(1_000)));
    let scene = start_at(Fake::new(b"one"), Node::new(), Arc::clone(&clock) as Arc<dyn Clock>);
    scene.until("in sync", in_sync).await;
    assert_eq!(scene.board.picture().behind(), Some(Behind { bytes: 0, ms: 0 }));
    clock.0.store(51_000, Ordering::Relaxed);
    scene
        .fake
        .failures
        .lock()
        .unwrap()
        .push(Error::new(Kind::Unreachable, "gone", ""));
    scene.orders.send(PullOrder::Now).await.expect("the puller runs");
    let is_behind = |status: &Status| status.sync.as_ref().and_then(|sync| sync.behind_since_ms) == Some(1_000);
    scene.until("behind since the last answer", is_behind).await;
    scene.until("in sync again", in_sync).await;
    clock.0.store(61_000, Ordering::Relaxed);
    assert_eq!(scene.board.picture().behind(), Some(Behind { bytes: 0, ms: 0 }));
}

#[tokio::test]
async fn a_file_that_was_written_again_meanwhile_is_asked_for_at_once() {
    let fake = Fake::new(b"one");
    fake.blobs.lock().unwrap().clear();
    let scene = start(fake);
    while scene.fake.asked.load(Ordering::Relaxed) < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    scene.fake.change(b"two");
    scene.until("in sync", in_sync).await;
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn live_files_that_differ_or_cannot_be_seen_are_not_in_sync_although_the_generation_is_the_newest() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    fs::write(scene.node.config(), "<cruise>edited here</cruise>").unwrap();
    let is_named = |status: &Status| {
        status
            .problems
            .iter()
            .any(|problem| problem.message.contains("cruise-config.xml"))
    };
    scene
        .until("the next exchange finds it", |status| {
            !in_sync(status) && is_named(status)
        })
        .await;
    fs::write(scene.node.config(), xml(b"one")).unwrap();
    scene
        .until("mended", |status| in_sync(status) && status.problems.is_empty())
        .await;
    // A folder in which nobody can look.
    let plugins = scene.node.layout.plugins_external();
    fs::create_dir_all(plugins.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), plugins).unwrap();
    scene.until("nobody knows", |status| !in_sync(status)).await;
    fs::remove_file(plugins).unwrap();
    scene.until("in sync", in_sync).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_mended_is_mended_after_a_fetch_too() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.fake.stuck.store(true, Ordering::Relaxed);
    scene.fake.change(b"two");
    let fetches = |status: &Status| status.sync.as_ref().is_some_and(|sync| sync.fetching.is_some());
    scene.until("a fetch", fetches).await;
    fs::write(scene.node.config(), "<cruise>edited here</cruise>").unwrap();
    let order = PullOrder::Repair(vec![Name::CruiseConfig]);
    scene.orders.send(order).await.expect("the puller runs");
    sleep(Duration::from_secs(1)).await;
    // The fetch fails, so that nothing else mends it.
    scene.fake.breaks.store(true, Ordering::Relaxed);
    scene.fake.stuck.store(false, Ordering::Relaxed);
    scene.until("mended", |_| scene.node.has(b"one")).await;
    scene.fake.breaks.store(false, Ordering::Relaxed);
    scene.until("in sync", in_sync).await;
    assert!(scene.node.has(b"two"));
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_somebody_who_is_trusted_no_longer_is_not_gone_on_with() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.fake.stuck.store(true, Ordering::Relaxed);
    scene.fake.change(b"two");
    let fetches = |status: &Status| status.sync.as_ref().is_some_and(|sync| sync.fetching.is_some());
    scene.until("a fetch", fetches).await;
    let refusal = Error::new(Kind::Trust, "trusted no longer", "");
    scene.fake.failures.lock().unwrap().extend(vec![refusal; 100]);
    scene.orders.send(PullOrder::Trust).await.expect("the puller runs");
    scene.fake.stuck.store(false, Ordering::Relaxed);
    let refused = |status: &Status| {
        let errors = status.sync.as_ref().map(|sync| &sync.errors);
        errors.is_some_and(|errors| errors.iter().any(|error| error.message.contains("trusted no longer")))
    };
    scene.until("it is asked anew", refused).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.applied(), 1, "the bytes that were on their way did not count");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_in_sync_with_a_primary_that_does_not_read_its_files() {
    let fake = Fake::new(b"one");
    let scene = start(Arc::clone(&fake));
    scene.until("in sync", in_sync).await;
    fake.document.lock().unwrap().envelope.scanned_ms -= 600_000;
    scene.until("not in sync", |status| !in_sync(status)).await;
    fake.document.lock().unwrap().envelope.scanned_ms += 600_000;
    scene.until("in sync", in_sync).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_primary_says_of_its_offer_ends_in_sync_within_one_exchange() {
    let fake = Fake::new(b"one");
    let scene = start(Arc::clone(&fake));
    scene.until("in sync", in_sync).await;
    let concern = |topic: &str, is_stale| Concern {
        topic: topic.to_owned(),
        severity: Severity::Critical,
        message: format!("trouble of {topic}"),
        is_stale,
    };
    let says = |concerns| fake.document.lock().unwrap().envelope.concerns = concerns;
    let is_said = |status: &Status, text: &str, severity| {
        let mut problems = status.problems.iter();
        problems.any(|problem| problem.severity == severity && problem.message.contains(text))
    };
    says(vec![concern("scan", true), concern("ledger", false)]);
    let asked = fake.asked.load(Ordering::Relaxed);
    scene
        .until("not in sync", |status| {
            !in_sync(status)
                && is_said(
                    status,
                    "The primary says: trouble of scan; trouble of ledger",
                    Severity::Critical,
                )
        })
        .await;
    assert!(fake.asked.load(Ordering::Relaxed) <= asked + 2);
    // What is no matter of what is live is said, and no more.
    says(vec![concern("ledger", false)]);
    scene
        .until("in sync", |status| {
            in_sync(status) && is_said(status, "trouble of ledger", Severity::Warning)
        })
        .await;
    // A changed set does not hide it.
    fake.change(b"two");
    says(vec![concern("scan", true)]);
    scene.until("applied, not in sync", |status| !in_sync(status)).await;
    scene
        .until("two is live", |status| {
            status.generation.as_ref().map(|generation| generation.sequence) == Some(2)
        })
        .await;
    assert!(!scene.board.look(in_sync));
    says(Vec::new());
    scene
        .until("in sync", |status| in_sync(status) && status.problems.is_empty())
        .await;
}

#[tokio::test]
async fn the_last_pull_brings_the_newest_generation_and_rests_until_told_to_go_on() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.fake.change(b"two");
    let outcome = scene.last().await.expect("a success");
    assert!(matches!(outcome, Outcome::Applied(generation) if generation.id == document(b"two").generation));
    scene.fake.change(b"three");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.applied(), 2);
    scene.orders.send(PullOrder::Now).await.expect("the puller rests");
    while scene.applied() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_stopped_in_the_middle_of_a_file_does_not_delay_the_last_pull() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    // The manifest gets through, its file does not.
    scene.fake.stuck.store(true, Ordering::Relaxed);
    scene.fake.change(b"two");
    let fetches = |status: &Status| status.sync.as_ref().is_some_and(|sync| sync.fetching.is_some());
    scene.until("a fetch", fetches).await;
    scene.fake.hangs.store(true, Ordering::Relaxed);
    let journal = scene.node.layout.state_dir().join("journal.json");
    fs::write(&journal, "of a set that never came to its end").unwrap();
    let begun = Instant::now();
    let error = scene.last().await.expect_err("nothing comes");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(!journal.exists(), "GoCD starts on no set that is half live");
}

#[tokio::test]
async fn a_file_that_had_all_its_bytes_when_a_crash_came_is_not_asked_for_again() {
    let node = Node::new();
    let partial = node.partial(&xml(b"one"));
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(partial, xml(b"one")).unwrap();
    let scene = start_with(Fake::new(b"one"), node);
    scene.until("in sync", in_sync).await;
}

impl Scene {
    async fn sync(&self, permit: Permit) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let order = PullOrder::Sync(permit, answer);
        self.orders.send(order).await.expect("the puller runs");
        answered.await.expect("an answer")
    }
}

fn refusal(status: &Status) -> Option<&Refusal> {
    status.sync.as_ref()?.refusal.as_ref()
}

#[tokio::test(start_paused = true)]
async fn a_refused_generation_is_judged_again_and_another_one_at_once() {
    let others = b"<cruise><server serverId=\"other\"/><pipelines><pipeline name=\"p\"/></pipelines></cruise>";
    let scene = start_with(Fake::new(b"one"), Node::with(others));
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    let picture = scene.board.picture();
    assert_eq!(picture.severity(), Severity::Warning);
    assert!(!in_sync(&picture));
    fs::write(scene.node.config(), xml(b"our own, of the same server")).unwrap();
    scene.until("mended on this node", in_sync).await;
    assert_eq!(refusal(&scene.board.picture()), None);
    scene.fake.change(b"<no-cruise/>");
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    let begun = Instant::now();
    scene.fake.change(b"three");
    scene.until("another generation", in_sync).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn jars_that_are_kept_are_named_until_they_are_not() {
    let jar: Name = "plugins/external/a.jar".parse().unwrap();
    let kept = |status: &Status| status.sync.as_ref().map_or(0, |sync| sync.kept.len());
    let fake = Fake::new(b"one");
    fake.add(&jar, &plugin("a", "1"));
    let scene = start(fake);
    scene.until("in sync", in_sync).await;
    scene.fake.change(b"two");
    scene.until("kept", |status| in_sync(status) && kept(status) == 1).await;
    let picture = scene.board.picture();
    assert_eq!(picture.severity(), Severity::Warning);
    let message = &picture.problems[0].message;
    for part in ["plugins/external/a.jar", "mounted", "gocd-bc sync --allow-deletions"] {
        assert!(message.contains(part), "{message}");
    }
    scene.fake.change(b"three");
    scene.fake.add(&jar, &plugin("a", "1"));
    scene.until("none kept", |status| kept(status) == 0).await;
    scene.until("no problem", |status| status.problems.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_went_back_is_not_followed_until_it_is_accepted() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.fake.change_to(b"older", 0);
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    let error = scene.sync(Permit::default()).await.expect_err("refused");
    assert!(error.message().contains("back in time"), "{error}");
    assert_eq!(scene.applied(), 1);
    let permit = Permit {
        rollback: true,
        ..Permit::default()
    };
    let outcome = scene.sync(permit).await.expect("accepted");
    assert!(matches!(outcome, Outcome::Applied(generation) if generation.sequence == 0));
    scene.until("in sync", in_sync).await;
    assert_eq!(scene.applied(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_becomes_critical() {
    let clock = Arc::new(Turned::default());
    let fake = Fake::new(b"<no-cruise/>");
    let scene = start_at(fake, Node::new(), Arc::clone(&clock) as Arc<dyn Clock>);
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    clock.0.store(600_000, Ordering::Relaxed);
    scene
        .until("critical", |status| status.severity() == Severity::Critical)
        .await;
    assert_eq!(refusal(&scene.board.picture()).map(|refusal| refusal.since_ms), Some(0));
}

/// A clock that is turned by hand.
#[derive(Default)]
struct Turned(AtomicU64);

impl Clock for Turned {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.0.load(Ordering::Relaxed)).expect("small")
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_for_long_is_said_though_the_primary_has_nothing_new() {
    let clock = Arc::new(Turned::default());
    let jar = Name::Plugin("slow.jar".parse().expect("valid"));
    let fake = Fake::new(b"one");
    {
        let document = &mut *fake.document.lock().unwrap();
        document.withheld.files.insert(jar.clone(), Reason::BeingWritten);
        let manifest = Manifest {
            files: document.files.clone(),
            withheld: document.withheld.clone(),
        };
        document.generation = manifest.generation();
    }
    let said = |status: &Status| {
        let mut problems = status.problems.iter();
        problems
            .any(|problem| problem.topic == Topic::Withheld && problem.message.contains("slow.jar has been written"))
    };
    let scene = start_at(fake, Node::new(), Arc::clone(&clock) as Arc<dyn Clock>);
    scene
        .until("it is applied", |status| {
            status.awaited.contains_key(&jar) && status.generation.is_some()
        })
        .await;
    assert!(!said(&scene.board.picture()));
    clock.0.store(withheld::LONG_MS.unsigned_abs(), Ordering::Relaxed);
    scene.until("a warning", said).await;
    assert_eq!(scene.applied(), 1, "no other generation");
    scene.fake.change(b"two");
    scene.until("the jar has come", in_sync).await;
    assert!(!said(&scene.board.picture()));
    scene.stop.cancel();
    scene.task.await.expect("ends");
}

#[tokio::test]
async fn at_rest_nothing_but_a_promotion_that_failed_wakes_it() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    scene.last().await.expect("unchanged");
    let applied = scene.applied();
    let (answer, answered) = oneshot::channel();
    let sync = PullOrder::Sync(Permit::default(), answer);
    scene.orders.send(sync).await.expect("the puller rests");
    answered.await.expect_err("nothing may change under a GoCD that starts");
    let (answer, answered) = oneshot::channel();
    let back = PullOrder::BackToAccepted(Duration::ZERO, answer);
    scene.orders.send(back).await.expect("the puller rests");
    assert_eq!(answered.await.expect("an answer"), Ok(None));
    scene.fake.change(b"two");
    scene.orders.send(PullOrder::Trust).await.expect("the puller rests");
    let (answer, answered) = oneshot::channel();
    let back = PullOrder::BackToAccepted(Duration::ZERO, answer);
    scene.orders.send(back).await.expect("the puller rests");
    assert_eq!(answered.await.expect("it rests still"), Ok(None));
    assert_eq!(scene.applied(), applied);
    scene.orders.send(PullOrder::Now).await.expect("the puller rests");
    scene
        .until("it follows again", |status| {
            status
                .generation
                .as_ref()
                .is_some_and(|applied| applied.id == document(b"two").generation)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn files_that_never_come_are_critical_although_the_primary_answers() {
    let scene = start(Fake::new(b"one"));
    scene.fake.breaks.store(true, Ordering::Relaxed);
    let broken = |status: &Status| {
        status
            .problems
            .iter()
            .find(|problem| problem.message.contains("broke"))
            .cloned()
    };
    scene.until("a warning", |status| broken(status).is_some()).await;
    assert_eq!(
        broken(&scene.board.picture()).map(|problem| problem.severity),
        Some(Severity::Warning)
    );
    let is_critical = |status: &Status| broken(status).is_some_and(|problem| problem.severity == Severity::Critical);
    for _ in 0..10 {
        sleep(Duration::from_secs(5)).await;
    }
    scene.until("critical", is_critical).await;
    assert!(scene.board.picture().primary.expect("a standby has one").connected);
    scene.fake.breaks.store(false, Ordering::Relaxed);
    scene.until("in sync", in_sync).await;
    assert_eq!(scene.board.picture().problems, []);
}

/// What is live on the standby, what the primary has, and what leads from one to the other.
fn an_edit() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let line = |number: u32| format!("<pipeline name=\"service-{number}\"/>\n");
    let lines: String = (0..2_000).map(line).collect();
    let former = format!("<cruise><server serverId=\"one\"/>\n<pipelines>{lines}</pipelines></cruise>");
    let new = former.replace("service-7\"", "service-seven\"");
    let delta = delta::encode(former.as_bytes(), new.as_bytes()).expect("short");
    (former.into_bytes(), new.into_bytes(), delta)
}

async fn fetched_with(former: Vec<u8>, new: &[u8], delta: Option<Result<Vec<u8>, Error>>) -> (Scene, u64) {
    let fake = Fake::new(new);
    *fake.delta.lock().unwrap() = delta;
    let scene = start_with(fake, Node::with(&former));
    scene.until("in sync", in_sync).await;
    assert!(scene.node.has(new));
    let received = scene.board.picture().counters.received.bytes;
    (scene, received)
}

#[tokio::test]
async fn an_edit_comes_as_what_it_changed() {
    let (former, new, delta) = an_edit();
    let length = delta.len() as u64;
    let (scene, received) = fetched_with(former, &new, Some(Ok(delta))).await;
    assert_eq!(scene.fake.whole.load(Ordering::Relaxed), 0);
    assert_eq!(received, length);
}

#[tokio::test]
async fn where_a_delta_does_not_lead_to_the_file_it_comes_whole() {
    let (former, new, delta) = an_edit();
    let edited_here = [&former[..8], b"<!-- edited on the standby -->", &former[8..]].concat();
    let too_short = delta::encode(&former, &[&former[..40_000], b"x"].concat()).expect("short");
    let odd = Error::new(Kind::Protocol, "500", "");
    for (former, delta) in [
        (former.clone(), None),
        (former.clone(), Some(Err(odd))),
        (former.clone(), Some(Ok(b"no delta".to_vec()))),
        (former, Some(Ok(too_short))),
        (edited_here, Some(Ok(delta))),
    ] {
        let (scene, received) = fetched_with(former, &new, delta).await;
        assert_eq!(scene.fake.whole.load(Ordering::Relaxed), 1);
        assert!(received >= new.len() as u64);
        assert!(
            !scene.node.partial(&new).exists(),
            "nothing of the delta is gone on with"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_servers_that_answer_in_turn_as_one_primary_are_said_and_nothing_is_taken_from_either() {
    let fake = Fake::new(b"one");
    let runs = [run("primarygo"), run("clonego")];
    let by = |number: usize| fake.document.lock().unwrap().envelope.run = Some(runs[number].clone());
    by(0);
    let scene = start(Arc::clone(&fake));
    scene.until("in sync", in_sync).await;
    fake.change(b"two");
    by(1);
    let is_live = |content: &'static [u8]| {
        move |status: &Status| {
            let live = status.generation.as_ref();
            live.is_some_and(|live| live.id == document(content).generation)
        }
    };
    scene.until("as after a restart", is_live(b"two")).await;
    fake.change(b"three");
    by(0);
    let is_said = |status: &Status| {
        status.problems.iter().any(|problem| {
            problem.severity == Severity::Critical
                && ["2 servers answer", "primarygo", "clonego"]
                    .iter()
                    .all(|part| problem.message.contains(part))
        })
    };
    scene.until("it is said", is_said).await;
    sleep(Duration::from_secs(200)).await;
    for number in [1, 0] {
        fake.change(b"four");
        by(number);
        sleep(Duration::from_secs(30)).await;
        let status = scene.board.picture();
        assert!(is_said(&status) && !in_sync(&status), "{:?}", status.problems);
        assert!(
            status.primary.is_some_and(|primary| primary.connected),
            "it is told what is wrong"
        );
    }
    assert_eq!(scene.applied(), 2, "nothing of either");
    sleep(Duration::from_secs(310)).await;
    scene.until("one is alone again", is_live(b"four")).await;
    scene.until("in sync again", in_sync).await;
    assert!(scene.board.picture().problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_person_may_say_that_the_one_of_two_that_answers_now_is_right() {
    let fake = Fake::new(b"one");
    let runs = [run("primarygo"), run("clonego")];
    let by = |number: usize| fake.document.lock().unwrap().envelope.run = Some(runs[number].clone());
    by(0);
    let scene = start(Arc::clone(&fake));
    scene.until("in sync", in_sync).await;
    for number in [1, 0] {
        fake.change(b"two");
        by(number);
        sleep(Duration::from_secs(30)).await;
    }
    fake.change(b"three");
    by(0);
    let sync = async |permit: Permit| {
        let (answer, answered) = oneshot::channel();
        let order = PullOrder::Sync(permit, answer);
        scene.orders.send(order).await.expect("the puller runs");
        answered.await.expect("an answer")
    };
    let refused = sync(Permit::default()).await.expect_err("two are alive");
    assert!(refused.guidance().contains("--accept-rollback"), "{refused}");
    let accepted = Permit {
        rollback: true,
        ..Permit::default()
    };
    sync(accepted).await.expect("a person has said so");
    scene.until("in sync", in_sync).await;
    assert_eq!(
        scene.store.position().map(|live| live.generation),
        Some(document(b"three").generation)
    );
}
