//! One change, many standbys: how long until each of them has received and verified it, and what an idle standby costs
//! the primary.
//!
//! The primary is `gocd-bc primary`, a process of its own (`BC_CLI` names the binary). The standbys are real pullers
//! with real TLS connections and stores on a disk in memory, all in this process. Prints one line of JSON.
//!
//! `cargo bench -p bc-server --bench standbys -- [--standbys N] [--changes N]`

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bc_core::{
    basics::{Digest, Fingerprint, Properties, SystemClock},
    generation::{Layout, Name, Role},
    keys::{PeersFile, Token, Trust},
    role::StateDir,
    standby::{
        pull::{Options, Puller, history::History},
        store::disk::{self, DiskStore},
    },
    status::{Phase, PrimaryStatus, Status, StatusBoard, SyncStatus},
};
use bc_server::client::HttpTransport;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Time for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until a standby is idle: its connections of the first sync are closed after 5 s, the primary would do it after 10.
const SETTLE: Duration = Duration::from_secs(12);
const TOKEN: &[u8] = b"standby = 0123456789abcdef";

fn main() {
    let mut arguments: BTreeMap<String, usize> = BTreeMap::new();
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.windows(2) {
        if let (Some(name), Ok(value)) = (pair[0].strip_prefix("--"), pair[1].parse()) {
            arguments.insert(name.to_owned(), value);
        }
    }
    let value = |name: &str, default| arguments.get(name).copied().unwrap_or(default);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "{}",
        runtime.block_on(measure(value("standbys", 100), value("changes", 20)))
    );
}

async fn measure(standbys: usize, changes: usize) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("folder");
    let primary = Primary::start(folder.path());
    // The disk is not what is measured.
    let memory = Path::new("/dev/shm");
    let disks = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let disks = disks.expect("folder");
    let (applied, mut arrivals) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    // One standby alone: what the first of them costs is no part of what each costs.
    let mut stores = vec![follow(&primary, disks.path(), 0, &applied, &stop)];
    let mut revision = 0;
    arrive(&mut arrivals, 1, &primary.digest()).await;
    tokio::time::sleep(SETTLE).await;
    let memory_of_one = primary.resident_kib();
    for index in 1..standbys {
        stores.push(follow(&primary, disks.path(), index, &applied, &stop));
    }
    arrive(&mut arrivals, standbys - 1, &primary.digest()).await;
    tokio::time::sleep(SETTLE).await;
    let memory_of_all = primary.resident_kib();

    let mut latencies = Vec::new();
    let mut slowest = Vec::new();
    for _ in 0..changes {
        revision += 1;
        let closed = primary.change(revision);
        let times = arrive(&mut arrivals, standbys, &primary.digest()).await;
        let mut milliseconds: Vec<f64> = times
            .iter()
            .map(|time| time.saturating_duration_since(closed).as_secs_f64() * 1000.0)
            .collect();
        milliseconds.sort_by(f64::total_cmp);
        slowest.push(*milliseconds.last().expect("standbys"));
        latencies.extend(milliseconds);
        stores = tidied(stores).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let memory_after = primary.resident_kib();
    stop.cancel();
    latencies.sort_by(f64::total_cmp);
    slowest.sort_by(f64::total_cmp);
    let per_standby = (memory_of_all as f64 - memory_of_one as f64) / (standbys as f64 - 1.0);
    serde_json::json!({
        "standbys": standbys,
        "changes": changes,
        "p50_ms": at(&latencies, 0.5),
        "p99_ms": at(&latencies, 0.99),
        "last_p50_ms": at(&slowest, 0.5),
        "last_max_ms": slowest.last(),
        "primary_kib_with_one": memory_of_one,
        "primary_kib_with_all": memory_of_all,
        "primary_kib_after": memory_after,
        "primary_kib_per_standby": per_standby,
    })
}

/// Nearest rank.
fn at(sorted: &[f64], rank: f64) -> f64 {
    let index = (sorted.len() as f64 * rank).ceil() as usize;
    sorted[index.clamp(1, sorted.len()) - 1]
}

/// A standby that made a generation live.
struct Arrival {
    config: Digest,
    at: Instant,
}

/// When each of so many standbys had the configuration with this digest.
async fn arrive(arrivals: &mut mpsc::UnboundedReceiver<Arrival>, count: usize, config: &Digest) -> Vec<Instant> {
    let mut times = Vec::new();
    while times.len() < count {
        let arrival = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
        let arrival = arrival.expect("every standby follows").expect("standbys run");
        if arrival.config == *config {
            times.push(arrival.at);
        }
    }
    times
}

/// Has each store drop what is too much.
async fn tidied(stores: Vec<Arc<DiskStore>>) -> Vec<Arc<DiskStore>> {
    let tidy = move || {
        stores.iter().for_each(|store| store.tidy().expect("tidy"));
        stores
    };
    tokio::task::spawn_blocking(tidy).await.expect("tidy")
}

fn follow(
    primary: &Primary,
    disks: &Path,
    index: usize,
    applied: &mpsc::UnboundedSender<Arrival>,
    stop: &CancellationToken,
) -> Arc<DiskStore> {
    let clock = Arc::new(SystemClock);
    let own = Fingerprint::of_public_key(format!("standby {index}").as_bytes());
    let fingerprint = primary.fingerprint;
    let token = watch::Sender::new(Some(Token::parse(TOKEN, Path::new("token")).expect("valid")));
    let transport = HttpTransport::new(
        &primary.url().parse().expect("URL"),
        own,
        Arc::new(move || Trust::Pinned(fingerprint).into()),
        token.subscribe(),
        Duration::from_secs(30),
    )
    .expect("a client");
    let id = format!("{index:032x}");
    let mut status = Status::new(&id, Role::Standby, Phase::Holding, 0);
    status.sync = Some(SyncStatus::default());
    status.primary = Some(PrimaryStatus::new(&primary.url(), "", 0));
    let board = Arc::new(StatusBoard::new(status, clock.clone()));
    let store = Arc::new(open(&disks.join(&id), clock.clone()));
    tokio::spawn(tell(Arc::clone(&board), applied.clone()));
    let puller = Puller::new(
        Arc::new(transport),
        Arc::clone(&store),
        board,
        Options {
            node_id: id.parse().expect("id"),
            gocd_version: None,
            long_poll_wait: Duration::from_secs(25),
            check_interval: Duration::from_secs(60),
            refusal_critical: Duration::from_secs(600),
            accept_wait: Duration::from_secs(60),
            history: History::of(Arc::new(
                StateDir::open(&disks.join(format!("{id}-state"))).expect("a state folder"),
            )),
            newest: Default::default(),
            run: None,
            primaries: Arc::default(),
        },
    );
    let (orders, mut taken) = mpsc::channel(1);
    let stop = stop.clone();
    tokio::spawn(async move {
        puller.run(&mut taken, stop).await;
        drop((orders, token));
    });
    store
}

fn open(folder: &Path, clock: Arc<SystemClock>) -> DiskStore {
    let root = folder.to_str().expect("UTF-8");
    let layout = Layout::from_properties(&Properties::from_iter([("user.dir", root)]));
    let options = disk::Options {
        generations_keep: 1,
        ..disk::Options::default()
    };
    DiskStore::open(layout.state_dir(), &layout, clock, options).expect("a store")
}

/// Says when a generation was verified and applied.
async fn tell(board: Arc<StatusBoard>, applied: mpsc::UnboundedSender<Arrival>) {
    let mut changes = board.changes();
    let (mut live, mut shown, mut at) = (None, None, Instant::now());
    while changes.changed().await.is_ok() {
        let (now, config) = board.look(|status| {
            let mut files = status.files.iter();
            let config = files.find(|file| file.name == Name::CruiseConfig);
            let config = config.and_then(|file| file.standby.as_ref());
            let live = status.generation.as_ref().map(|generation| generation.id);
            (live, config.map(|config| config.sha256))
        });
        if now != live {
            (live, at) = (now, Instant::now());
        }
        // The files are named a moment later.
        if let Some(config) = config.filter(|config| Some(*config) != shown) {
            shown = Some(config);
            // Nobody counts any more at the end.
            let _ = applied.send(Arrival { config, at });
        }
    }
}

/// A primary as a process of its own, with a configuration of 2 MB and ten small plugins.
struct Primary {
    process: Child,
    root: PathBuf,
    port: u16,
    fingerprint: Fingerprint,
}

impl Primary {
    fn start(root: &Path) -> Self {
        let binary = std::env::var("BC_CLI").expect("BC_CLI names the gocd-bc to measure");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        fs::create_dir_all(root.join("config")).expect("folder");
        fs::create_dir_all(root.join("plugins/external")).expect("folder");
        fs::write(root.join("config/business-continuity-token"), TOKEN).expect("write");
        fs::write(root.join("config/cruise-config.xml"), config(0)).expect("write");
        for number in 0..10 {
            let path = root.join(format!("plugins/external/plugin-{number}.jar"));
            let mut jar = zip::ZipWriter::new(fs::File::create(path).expect("create"));
            jar.start_file("content", zip::write::SimpleFileOptions::default())
                .expect("entry");
            jar.write_all(&[number; 10_000]).expect("write");
            jar.finish().expect("finish");
        }
        let process = Command::new(&binary)
            .args(["primary", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--state-dir")
            .arg(root.join("state"))
            .arg("--working-dir")
            .arg(root)
            .args(["--property", "bc.log.level=WARN"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {binary}: {error}"));
        let peers = PeersFile::new(&root.join("config/business-continuity-peers"), None);
        let end = Instant::now() + PATIENCE;
        let fingerprint = loop {
            match peers.load().ok().and_then(|peers| peers.all().first().cloned()) {
                Some(peer) => break peer.fingerprint,
                None => assert!(Instant::now() < end, "the primary made no peers file"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Self {
            process,
            root: root.to_owned(),
            port,
            fingerprint,
        }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn config_file(&self) -> PathBuf {
        self.root.join("config/cruise-config.xml")
    }

    /// Rewrites the configuration as GoCD does, in place (`GoConfigFileWriter`); returns when it was closed.
    fn change(&self, revision: u64) -> Instant {
        fs::write(self.config_file(), config(revision)).expect("write");
        Instant::now()
    }

    fn digest(&self) -> Digest {
        Digest::of(&fs::read(self.config_file()).expect("read"))
    }

    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A cruise-config.xml of about 2 MB.
fn config(revision: u64) -> String {
    let mut text = format!("<cruise schemaVersion=\"139\">\n  <pipelines group=\"g{revision:09}\">\n");
    let mut number = 0;
    while text.len() < 2_000_000 {
        number += 1;
        write!(
            text,
            "    <pipeline name=\"service-{number}\"><materials><git url=\"https://git.example.com/{number}.git\"/>\
             </materials>\n      <stage name=\"build\"><jobs><job name=\"build\"><tasks><exec command=\"make\"/></tasks>\
             </job></jobs></stage>\n    </pipeline>\n"
        )
        .expect("memory does not fail");
    }
    text.push_str("  </pipelines>\n</cruise>\n");
    text
}
