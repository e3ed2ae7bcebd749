//! The puller against a primary and a store in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, atomic::AtomicBool},
};

use bytes::Bytes;

use super::*;
use crate::{
    clock::SystemClock,
    concern::Concern,
    delta,
    digest::Digests,
    manifest::{Acceptance, Entry, Epoch, FORMAT, Manifest, Name, Role},
    run::tests::run,
    status::{Behind, KEPT_ERRORS, Phase, PrimaryStatus, Refusal, Status, SyncStatus},
    store::{Allowed, Applied, LiveFile, Position, Receive, Repaired, Wanted},
    transport::PeerKey,
    withheld::{self, Reason},
};

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
        fake.blobs.lock().unwrap().insert(Digest::of(content), content.to_vec());
        Arc::new(fake)
    }

    fn change(&self, content: &[u8]) {
        let next = self.document.lock().unwrap().envelope.sequence + 1;
        self.change_to(content, next);
    }

    fn change_to(&self, content: &[u8], sequence: u64) {
        self.blobs.lock().unwrap().insert(Digest::of(content), content.to_vec());
        let mut changed = document(content);
        changed.envelope.sequence = sequence;
        *self.document.lock().unwrap() = changed;
    }
}

async fn wait_while(flag: &AtomicBool) {
    while flag.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(100)).await;
    }
}

fn document(content: &[u8]) -> ManifestDocument {
    let entry = Entry::new(Digests::of(content), 0, None);
    let manifest = Manifest {
        files: BTreeMap::from([(Name::CruiseConfig, entry)]),
        ..Manifest::default()
    };
    ManifestDocument {
        format: FORMAT,
        generation: manifest.generation(),
        envelope: Envelope {
            node_id: "a".repeat(32),
            role: Role::Primary,
            epoch: Epoch::default(),
            sequence: 1,
            gocd_version: Some("26.1.0".to_owned()),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: None,
            server_id: None,
            wal_location: None,
            acceptance: Acceptance::Unknown,
            generated_ms: 0,
            scanned_ms: SystemClock.now_ms(),
            now_ms: SystemClock.now_ms(),
            file_check_interval_ms: 60_000,
            next_fingerprint: None,
            concerns: Vec::new(),
            run: None,
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

/// A store that keeps what it was given.
struct Memory {
    /// What it says of its live files.
    altered: Mutex<Result<Vec<Name>, Error>>,
    /// What it was asked to mend.
    mended: Mutex<Vec<Vec<Name>>>,
    received: Arc<Mutex<HashMap<Digest, Vec<u8>>>>,
    /// What a transfer left that broke off.
    partial: Mutex<HashMap<Digest, Vec<u8>>>,
    applied: Mutex<Vec<ManifestDocument>>,
    /// So many generations are refused.
    refusals: Mutex<u32>,
    /// Jars that it keeps beside each generation.
    kept: Mutex<Vec<Name>>,
    settled: AtomicU64,
    /// What it has instead of what it lacks.
    former: Option<Vec<u8>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            altered: Mutex::new(Ok(Vec::new())),
            mended: Mutex::default(),
            received: Arc::default(),
            partial: Mutex::default(),
            applied: Mutex::default(),
            refusals: Mutex::default(),
            kept: Mutex::default(),
            settled: AtomicU64::default(),
            former: None,
        }
    }
}

struct Receiving {
    into: Arc<Mutex<HashMap<Digest, Vec<u8>>>>,
    wanted: Digest,
    bytes: Vec<u8>,
}

impl Receive for Receiving {
    fn received(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        if Digest::of(&self.bytes) != self.wanted {
            return Err(Error::new(Kind::Protocol, "other bytes than announced", ""));
        }
        self.into.lock().unwrap().insert(self.wanted, self.bytes);
        Ok(())
    }
}

impl Store for Memory {
    fn missing(&self, generation: &ManifestDocument) -> Result<Vec<Wanted>, Error> {
        let received = self.received.lock().unwrap();
        let missing = generation
            .files
            .iter()
            .filter(|(_, entry)| !received.contains_key(&entry.sha256));
        Ok(missing
            .map(|(name, entry)| Wanted {
                sha256: entry.sha256,
                size: entry.size,
                name: name.clone(),
                former: self.former.as_deref().map(Digest::of),
            })
            .collect())
    }

    fn receive(&self, wanted: &Wanted) -> Result<Box<dyn Receive>, Error> {
        Ok(Box::new(Receiving {
            into: Arc::clone(&self.received),
            wanted: wanted.sha256,
            bytes: self.partial.lock().unwrap().remove(&wanted.sha256).unwrap_or_default(),
        }))
    }

    fn former(&self, _wanted: &Wanted) -> Option<Bytes> {
        self.former.clone().map(Bytes::from)
    }

    fn apply(&self, generation: &ManifestDocument, _allowed: Allowed) -> Result<Applied, Error> {
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Error::new(Kind::Refused, "a rule of the set", ""));
        }
        self.applied.lock().unwrap().push(generation.clone());
        Ok(Applied {
            written: generation.files.keys().cloned().collect(),
            kept: self.kept.lock().unwrap().clone(),
            ..Applied::default()
        })
    }

    fn position(&self) -> Option<Position> {
        let applied = self.applied.lock().unwrap();
        applied.last().map(|document| Position {
            generation: document.generation,
            epoch: document.envelope.epoch.clone(),
            sequence: document.envelope.sequence,
            applied_ms: applied_ms(&applied),
        })
    }

    fn altered(&self) -> Result<Vec<Name>, Error> {
        self.altered.lock().unwrap().clone()
    }

    fn repair(&self, suspects: &[Name]) -> Result<Repaired, Error> {
        self.mended.lock().unwrap().push(suspects.to_vec());
        Ok(Repaired::default())
    }

    fn settle(&self) -> Result<(), Error> {
        self.settled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn live(&self) -> Result<BTreeMap<Name, LiveFile>, Error> {
        let applied = self.applied.lock().unwrap();
        let files = applied
            .last()
            .map(|document| document.files.clone())
            .unwrap_or_default();
        Ok(files
            .into_iter()
            .map(|(name, entry)| (name, LiveFile { entry, ours: true }))
            .collect())
    }
}

/// Of a store that has applied these: its clock advances with each.
fn applied_ms(applied: &[ManifestDocument]) -> i64 {
    let live = applied.last().map(|live| live.generation);
    let before = applied.iter().rposition(|one| Some(one.generation) != live);
    1_000 + before.map_or(0, |before| i64::try_from(before).unwrap() + 1)
}

fn board() -> Arc<StatusBoard> {
    Arc::new(StatusBoard::new(Status {
        primary: Some(PrimaryStatus::new("", "", 0)),
        sync: Some(SyncStatus::default()),
        ..Status::new("standby", Role::Standby, Phase::Holding, 0)
    }))
}

struct Scene {
    fake: Arc<Fake>,
    store: Arc<Memory>,
    board: Arc<StatusBoard>,
    orders: mpsc::Sender<PullOrder>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(fake: Arc<Fake>) -> Scene {
    start_with(fake, Memory::default())
}

fn start_with(fake: Arc<Fake>, store: Memory) -> Scene {
    start_at(fake, store, Arc::new(SystemClock))
}

fn start_at(fake: Arc<Fake>, store: Memory, clock: Arc<dyn Clock>) -> Scene {
    let (store, board, stop) = (Arc::new(store), board(), CancellationToken::new());
    let options = Options {
        node_id: "standby".to_owned(),
        gocd_version: Some("26.1.0".to_owned()),
        long_poll_wait: Duration::from_secs(25),
        check_interval: Duration::from_secs(60),
        refusal_critical: Duration::from_secs(600),
        accept_wait: Duration::from_secs(60),
        history: History::volatile(),
        newest: both::Newest::default(),
        run: None,
        primaries: Arc::default(),
    };
    let puller = Puller::new(
        Arc::clone(&fake),
        Arc::clone(&store),
        Arc::clone(&board),
        clock,
        options,
    );
    let (orders, mut taken) = mpsc::channel(4);
    let stopped = stop.clone();
    let task = tokio::spawn(async move { puller.run(&mut taken, stopped).await });
    Scene {
        fake,
        store,
        board,
        orders,
        stop,
        task,
    }
}

impl Scene {
    async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) {
        for _ in 0..6000 {
            if holds(&self.board.picture(0)) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain: {what}; {:#?}", self.board.picture(0));
    }

    async fn last(&self) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let order = PullOrder::Last(answer);
        self.orders.send(order).await.expect("the puller runs");
        answered.await.expect("an answer")
    }

    fn applied(&self) -> usize {
        self.store.applied.lock().unwrap().len()
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
    let picture = scene.board.picture(0);
    assert!(picture.problems.is_empty(), "{:?}", picture.problems);
    let counters = picture.counters;
    assert_eq!((counters.received.files, counters.received.bytes), (2, 6));
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
    let store = Memory::default();
    store.applied.lock().unwrap().push(document(b"one"));
    let scene = start_with(fake, store);
    scene
        .until("it says so before the primary answers", |status| {
            applied(status) == Some(1_000)
        })
        .await;
    assert!(scene.board.picture(0).generation.is_none());
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
    let looks = scene.applied();
    assert!(looks > 2, "{looks}");
    assert_eq!(applied(&scene.board.picture(0)), Some(1_000));
    scene.fake.change(b"two");
    let changed = 1_000 + i64::try_from(looks).unwrap();
    scene
        .until("the change is live", |status| applied(status) == Some(changed))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_never_applied_anything_says_no_time() {
    let fake = Fake::new(b"one");
    fake.hangs.store(true, Ordering::Relaxed);
    let scene = start(fake);
    sleep(Duration::from_secs(100)).await;
    let picture = scene.board.picture(0);
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
    let picture = scene.board.picture(0);
    assert_eq!(picture.counters.failed_rounds, 7);
    assert!(picture.sync.expect("syncing").errors.is_empty());
    assert!(picture.problems.is_empty(), "{:?}", picture.problems);
}

#[tokio::test]
async fn refuses_itself_and_a_node_that_is_no_primary() {
    for (node_id, role, text) in [
        ("standby", Role::Primary, "this node itself"),
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
    fake.blobs.lock().unwrap().insert(Digest::of(b"one"), b"eno".to_vec());
    let scene = start(fake);
    scene
        .until("an error", |status| {
            status.sync.as_ref().is_some_and(|sync| !sync.errors.is_empty())
        })
        .await;
    assert_eq!(scene.applied(), 0);
    assert!(scene.board.picture(0).counters.received.broken > 0);
    scene.fake.change(b"two");
    scene.orders.send(PullOrder::Now).await.expect("the puller runs");
    scene.until("in sync", in_sync).await;
}

#[tokio::test]
async fn a_standby_is_behind_since_the_last_answer_of_a_primary_that_fell_silent() {
    let clock = Arc::new(Turned(AtomicU64::new(1_000)));
    let scene = start_at(
        Fake::new(b"one"),
        Memory::default(),
        Arc::clone(&clock) as Arc<dyn Clock>,
    );
    scene.until("in sync", in_sync).await;
    assert_eq!(scene.board.picture(1_000).behind(), Some(Behind { bytes: 0, ms: 0 }));
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
    assert_eq!(scene.board.picture(61_000).behind(), Some(Behind { bytes: 0, ms: 0 }));
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

#[tokio::test(start_paused = true)]
async fn live_files_that_differ_or_cannot_be_seen_are_not_in_sync_although_the_generation_is_the_newest() {
    let scene = start(Fake::new(b"one"));
    scene.until("in sync", in_sync).await;
    *scene.store.altered.lock().unwrap() = Ok(vec![Name::CruiseConfig]);
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
    *scene.store.altered.lock().unwrap() = Ok(Vec::new());
    scene
        .until("mended", |status| in_sync(status) && status.problems.is_empty())
        .await;
    *scene.store.altered.lock().unwrap() = Err(Error::new(Kind::File, "input/output error", ""));
    scene.until("nobody knows", |status| !in_sync(status)).await;
    *scene.store.altered.lock().unwrap() = Ok(Vec::new());
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
    let order = PullOrder::Repair(vec![Name::CipherAes]);
    scene.orders.send(order).await.expect("the puller runs");
    sleep(Duration::from_secs(1)).await;
    scene.fake.stuck.store(false, Ordering::Relaxed);
    scene.until("in sync", in_sync).await;
    assert_eq!(*scene.store.mended.lock().unwrap(), [vec![Name::CipherAes]]);
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
    let begun = Instant::now();
    let error = scene.last().await.expect_err("nothing comes");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(scene.store.settled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_file_that_had_all_its_bytes_when_a_crash_came_is_not_asked_for_again() {
    let store = Memory::default();
    store
        .partial
        .lock()
        .unwrap()
        .insert(Digest::of(b"one"), b"one".to_vec());
    let scene = start_with(Fake::new(b"one"), store);
    scene.until("in sync", in_sync).await;
}

impl Scene {
    async fn sync(&self, permit: Permit) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let order = PullOrder::Sync(SyncOrder { permit, answer });
        self.orders.send(order).await.expect("the puller runs");
        answered.await.expect("an answer")
    }
}

fn refusal(status: &Status) -> Option<&Refusal> {
    status.sync.as_ref()?.refusal.as_ref()
}

#[tokio::test(start_paused = true)]
async fn a_refused_generation_is_judged_again_and_another_one_at_once() {
    let store = Memory::default();
    *store.refusals.lock().unwrap() = 1;
    let scene = start_with(Fake::new(b"one"), store);
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    let picture = scene.board.picture(0);
    assert_eq!(picture.severity(), Severity::Warning);
    assert!(!in_sync(&picture));
    scene.until("mended on this node", in_sync).await;
    assert_eq!(refusal(&scene.board.picture(0)), None);
    *scene.store.refusals.lock().unwrap() = 1;
    scene.fake.change(b"two");
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
    let store = Memory::default();
    *store.kept.lock().unwrap() = vec![jar];
    let scene = start_with(Fake::new(b"one"), store);
    scene.until("kept", |status| in_sync(status) && kept(status) == 1).await;
    let picture = scene.board.picture(0);
    assert_eq!(picture.severity(), Severity::Warning);
    let message = &picture.problems[0].message;
    for part in ["plugins/external/a.jar", "mounted", "gocd-bc sync --allow-deletions"] {
        assert!(message.contains(part), "{message}");
    }
    scene.store.kept.lock().unwrap().clear();
    scene.fake.change(b"two");
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
    let store = Memory::default();
    *store.refusals.lock().unwrap() = u32::MAX;
    let clock = Arc::new(Turned::default());
    let scene = start_at(Fake::new(b"one"), store, Arc::clone(&clock) as Arc<dyn Clock>);
    scene.until("a refusal", |status| refusal(status).is_some()).await;
    clock.0.store(600_000, Ordering::Relaxed);
    scene
        .until("critical", |status| status.severity() == Severity::Critical)
        .await;
    assert_eq!(
        refusal(&scene.board.picture(0)).map(|refusal| refusal.since_ms),
        Some(0)
    );
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
        problems.any(|problem| problem.topic == TOPIC_WITHHELD && problem.message.contains("slow.jar has been written"))
    };
    let scene = start_at(fake, Memory::default(), Arc::clone(&clock) as Arc<dyn Clock>);
    scene
        .until("it is applied", |status| {
            status.awaited.contains_key(&jar) && status.generation.is_some()
        })
        .await;
    assert!(!said(&scene.board.picture(0)));
    clock.0.store(withheld::LONG_MS.unsigned_abs(), Ordering::Relaxed);
    scene.until("a warning", said).await;
    assert_eq!(scene.applied(), 1, "no other generation");
    scene.fake.change(b"two");
    scene.until("the jar has come", in_sync).await;
    assert!(!said(&scene.board.picture(0)));
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
    let sync = PullOrder::Sync(SyncOrder {
        permit: Permit::default(),
        answer,
    });
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
        broken(&scene.board.picture(0)).map(|problem| problem.severity),
        Some(Severity::Warning)
    );
    let is_critical = |status: &Status| broken(status).is_some_and(|problem| problem.severity == Severity::Critical);
    for _ in 0..10 {
        sleep(Duration::from_secs(5)).await;
    }
    scene.until("critical", is_critical).await;
    assert!(scene.board.picture(0).primary.expect("a standby has one").connected);
    scene.fake.breaks.store(false, Ordering::Relaxed);
    scene.until("in sync", in_sync).await;
    assert_eq!(scene.board.picture(0).problems, []);
}

/// What is live on the standby, what the primary has, and what leads from one to the other.
fn an_edit() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let line = |number: u32| format!("<pipeline name=\"service-{number}\"/>\n");
    let former: String = (0..2_000).map(line).collect();
    let new = former.replace("service-7\"", "service-seven\"");
    let delta = delta::encode(former.as_bytes(), new.as_bytes()).expect("short");
    (former.into_bytes(), new.into_bytes(), delta)
}

async fn fetched_with(former: Vec<u8>, new: &[u8], delta: Option<Result<Vec<u8>, Error>>) -> (Scene, u64) {
    let fake = Fake::new(new);
    *fake.delta.lock().unwrap() = delta;
    let store = Memory {
        former: Some(former),
        ..Memory::default()
    };
    let scene = start_with(fake, store);
    scene.until("in sync", in_sync).await;
    assert_eq!(
        scene
            .store
            .received
            .lock()
            .unwrap()
            .get(&Digest::of(new))
            .map(Vec::as_slice),
        Some(new)
    );
    let received = scene.board.picture(0).counters.received.bytes;
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
    let edited_here = [b"<!-- edited on the standby -->", &former[30..]].concat();
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
            scene.store.partial.lock().unwrap().is_empty(),
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
        let status = scene.board.picture(0);
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
    assert!(scene.board.picture(0).problems.is_empty());
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
        let order = PullOrder::Sync(SyncOrder { permit, answer });
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
