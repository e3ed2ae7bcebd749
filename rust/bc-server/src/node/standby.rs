//! Follows the primary while held.

use std::{
    io::{self, Read},
    net::SocketAddr,
    path::PathBuf,
    sync::{self, Arc},
    time::Duration,
};

use bc_core::{
    basics::{Clock, Digest, Error, Kind, Severity, lock},
    generation::{Name, Run},
    keys::{PeersFile, Trust},
    node::both::{BothNodes, Followed},
    settings::{PrimaryUrl, Settings},
    standby::{
        pull::{
            Options, PullOrder, Puller,
            history::History,
            newest::Newest,
            primaries::Primaries,
            reporter::{Accepts, OwnUrl, Reporter, ReporterOptions},
        },
        store::disk::{self, DiskStore},
    },
    status::{FileStatus, PrimaryStatus, StatusBoard, SyncStatus, Topic},
};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    Assembly, PullerOrders, database, live_watch, peers_file,
    store_keeper::StoreKeeper,
    supervisor::{Part, Supervisor, blocking},
};
use crate::{client::HttpTransport, context::Context, tls::client::TrustSource};

/// How long is waited before that is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(10);

/// Opens a standby's store, which finishes what a crash interrupted, and starts pulling; a store that cannot be opened
/// is tried again. None when there is nothing to pull from; the board says why. What is returned besides ends with the
/// node.
pub(crate) fn start(
    assembly: &Assembly,
    (supervisor, answering): (&Supervisor, &Supervisor),
    context: &Context,
    shared: SharedStore,
    newest: Newest,
) -> Option<(PullerOrders, Arc<HttpTransport>, JoinHandle<()>)> {
    // A missing or malformed address is on the board already, with all other mistakes.
    let url = assembly.settings.primary_url.clone()?;
    let trust = peers_file::trust_source(assembly, Arc::clone(&assembly.settings));
    show_primary(assembly, &url, &trust().trust);
    let opened = shared.open();
    if let Err(problem) = &opened {
        error!("{problem}");
        assembly.raise(&Topic::Store, Severity::Critical, problem.to_string());
    }
    let transport = HttpTransport::of_node(
        &url,
        &assembly.key,
        Arc::clone(&trust),
        context.token.clone(),
        assembly.settings.connection_timeout,
    );
    let transport = match transport {
        Ok(transport) => {
            let transport = transport.by(&assembly.run, assembly.state.node_id());
            Arc::new(transport.telling(&assembly.board))
        }
        Err(problem) => {
            error!("{problem}");
            assembly.raise(&Topic::Client, Severity::Critical, problem.to_string());
            return None;
        }
    };
    database::start(assembly, answering, supervisor.runtime(), Some(&transport), None);
    let (orders, taken) = mpsc::channel(4);
    let primaries = Arc::<Primaries>::default();
    report(
        assembly,
        supervisor,
        &transport,
        &url,
        trust,
        (orders.clone(), &primaries),
    );
    let touched = Arc::new(Notify::new());
    let watching = live_watch::start(assembly, supervisor, &touched);
    let to_primary = Arc::clone(&transport);
    let following = Following {
        options: Options {
            node_id: assembly.state.node_id().clone(),
            gocd_version: assembly.gocd_version.clone(),
            long_poll_wait: assembly.settings.long_poll_wait(),
            check_interval: assembly.settings.primary_check_interval,
            refusal_critical: assembly.settings.refusal_critical,
            accept_wait: assembly.settings.accept_wait,
            history: History::of(Arc::clone(&assembly.state)),
            newest,
            run: Some(assembly.run.id.clone()),
            primaries,
        },
        shared,
        board: Arc::clone(&assembly.board),
        stop: assembly.stop.clone(),
        supervisor: supervisor.clone(),
        transport,
        orders: orders.clone(),
        touched,
    };
    match opened {
        Ok(store) => following.begin(store, taken),
        Err(problem) => following.begin_later(problem, taken),
    }
    Some((orders, to_primary, watching))
}

/// The one store of this node, for all who need it; opened by whoever needs it first.
#[derive(Clone)]
pub(crate) struct SharedStore {
    store: Arc<sync::Mutex<Option<Arc<DiskStore>>>>,
    state_dir: PathBuf,
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    gocd_version: Option<String>,
}

impl SharedStore {
    /// The store of this standby, which is opened by the first who needs it.
    pub(crate) fn of(assembly: &Assembly) -> Self {
        Self {
            store: Arc::default(),
            state_dir: assembly.state.path().to_owned(),
            settings: Arc::clone(&assembly.settings),
            clock: Arc::clone(&assembly.clock),
            gocd_version: assembly.gocd_version.clone(),
        }
    }

    /// Makes what reads the files of this standby and of its primary, for those who compare them.
    pub(crate) fn both_nodes(&self, newest: &Newest) -> Arc<dyn BothNodes> {
        Arc::new(Opened {
            shared: self.clone(),
            newest: newest.clone(),
        })
    }

    /// Opens the store of this standby, unless somebody has yet.
    pub(crate) fn open(&self) -> Result<Arc<DiskStore>, Error> {
        let mut known = lock(&self.store);
        if let Some(store) = &*known {
            return Ok(Arc::clone(store));
        }
        let options = disk::Options {
            generations_keep: self.settings.generations_keep,
            free_space: self.settings.free_space,
            gocd_version: self.gocd_version.clone(),
            adopts_server_ids: self.settings.adopts_server_ids,
        };
        let store = DiskStore::open(&self.state_dir, &self.settings.layout, Arc::clone(&self.clock), options)?;
        Ok(Arc::clone(known.insert(Arc::new(store))))
    }
}

/// The live files of this standby beside what its primary has, once the store is open.
struct Opened {
    shared: SharedStore,
    newest: Newest,
}

impl Opened {
    /// The files of this standby and of its primary, where its store is open.
    fn followed(&self) -> Result<Followed, Error> {
        // Whoever opens it may have to wait for a disk, and keeps the lock for so long.
        let store = self.shared.store.try_lock().ok().and_then(|known| known.clone());
        let store = store.ok_or_else(|| Error::new(Kind::Busy, "what this standby keeps is not open yet", ""))?;
        Ok(Followed {
            store,
            newest: self.newest.clone(),
        })
    }
}

impl BothNodes for Opened {
    fn look(&self) -> Result<Vec<FileStatus>, Error> {
        self.followed()?.look()
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        self.followed().map_err(io::Error::other)?.open_live(name)
    }

    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        self.followed().map_err(io::Error::other)?.open_kept(sha256)
    }
}

/// What following the primary needs besides the store.
#[derive(Clone)]
struct Following {
    shared: SharedStore,
    options: Options,
    board: Arc<StatusBoard>,
    stop: CancellationToken,
    supervisor: Supervisor,
    transport: Arc<HttpTransport>,
    orders: PullerOrders,
    touched: Arc<Notify>,
}

impl Following {
    /// Starts keeper and puller of a standby, whose store is open.
    fn begin(self, store: Arc<DiskStore>, taken: mpsc::Receiver<PullOrder>) {
        let keeper = StoreKeeper {
            store: Arc::clone(&store),
            puller: self.orders.clone(),
            touched: Arc::clone(&self.touched),
            board: Arc::clone(&self.board),
            reverify: self.shared.settings.reverify_interval,
            rehash: self.shared.settings.rehash_interval,
        };
        let part = Part {
            name: "keeper",
            does: "looks whether the live files are what they should be",
        };
        self.supervisor.supervise(part, move || keeper.clone().run());
        self.pull(store, taken);
    }

    /// Starts keeper and puller of a standby once its store can be opened: what cannot be read now may be readable in a
    /// while. Orders are refused until then.
    fn begin_later(self, problem: Error, taken: mpsc::Receiver<PullOrder>) {
        let part = Part {
            name: "store",
            does: "opens what this standby keeps",
        };
        let supervisor = self.supervisor.clone();
        let taken = Arc::new(Mutex::new(Some(taken)));
        supervisor.supervise_until_done(part, move || {
            let (following, problem, taken) = (self.clone(), problem.clone(), Arc::clone(&taken));
            async move {
                let mut taken = taken.lock().await;
                // None where it began before something else failed.
                let Some(orders) = &mut *taken else { return };
                if let Some(store) = following.opened(problem, orders).await
                    && let Some(orders) = taken.take()
                {
                    following.board.clear(&Topic::Store);
                    info!("what this standby keeps can be read again");
                    following.begin(store, orders);
                }
            }
        });
    }

    /// Tries to open the store of this standby until it can be; none where the node ends before.
    async fn opened(&self, problem: Error, orders: &mut mpsc::Receiver<PullOrder>) -> Option<Arc<DiskStore>> {
        let mut problem = problem;
        loop {
            let again = Instant::now() + OPEN_AGAIN;
            let shared = self.shared.clone();
            let opening = async {
                sleep_until(again).await;
                blocking(move || shared.open()).await
            };
            tokio::pin!(opening);
            let opened = loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    order = orders.recv() => order?.refuse(problem.clone()),
                }
            };
            match opened {
                Ok(store) => return Some(store),
                Err(error) => problem = error,
            }
            self.board.alarm(&Topic::Store, Some(problem.to_string()));
        }
    }

    /// Starts the puller, the part of a standby that follows the primary.
    fn pull(self, store: Arc<DiskStore>, orders: mpsc::Receiver<PullOrder>) {
        let (board, stop, transport, options) = (self.board, self.stop, self.transport, self.options);
        let part = Part {
            name: "puller",
            does: "follows the primary",
        };
        // It outlives a puller that fails: what is ordered afterwards reaches the next one.
        let orders = Arc::new(Mutex::new(orders));
        let (waiting, doubted) = (Arc::clone(&orders), Arc::clone(&store));
        let start = move || {
            let puller = Puller::new(
                Arc::clone(&transport),
                Arc::clone(&store),
                Arc::clone(&board),
                options.clone(),
            );
            let (orders, stop) = (Arc::clone(&orders), stop.clone());
            async move { puller.run(&mut *orders.lock().await, stop).await }
        };
        self.supervisor
            .supervise_with(part, start, move || refuse(Arc::clone(&waiting), Arc::clone(&doubted)));
    }
}

/// Starts the reporter, the part of a standby that tells the primary how far it is.
fn report(
    assembly: &Assembly,
    supervisor: &Supervisor,
    transport: &Arc<HttpTransport>,
    url: &PrimaryUrl,
    trust: TrustSource,
    (orders, primaries): (PullerOrders, &Arc<Primaries>),
) {
    let (transport, board) = (Arc::clone(transport), Arc::clone(&assembly.board));
    let options = ReporterOptions {
        own: Arc::clone(&assembly.own),
        url: own_url(assembly),
        peers: PeersFile::of(&assembly.settings.layout),
        accepts: accepts(url, trust),
        // A full queue has an order in it that ends the present request as well.
        on_removal: Arc::new(move || drop(orders.try_send(PullOrder::Trust))),
        run: Run::clone(&assembly.run),
        primaries: Arc::clone(primaries),
    };
    let part = Part {
        name: "reporter",
        does: "tells the primary how far it is",
    };
    supervisor.supervise(part, move || {
        Reporter::new(Arc::clone(&transport), Arc::clone(&board), options.clone()).run()
    });
}

/// Answers the puller's orders while nobody follows the primary: a promotion, for one, goes on with what is here. Files
/// that were to be mended are found by the next look.
async fn refuse(orders: Arc<Mutex<mpsc::Receiver<PullOrder>>>, store: Arc<DiskStore>) {
    let mut orders = orders.lock().await;
    while let Some(order) = orders.recv().await {
        if let PullOrder::Repair(suspects) = &order {
            let (store, suspects) = (Arc::clone(&store), suspects.clone());
            // It only waits for whoever has the store now.
            drop(spawn_blocking(move || store.doubt(&suspects)).await);
        }
        order.refuse(Error::new(
            Kind::Busy,
            "the part of this node that follows the primary has failed and is about to be started again",
            "Look at `gocd-bc status`, and run the command again in a minute.",
        ));
    }
    // Nobody can order any more.
    std::future::pending().await
}

/// Makes what tells others how they reach this node: as the administrator says, else by [`own_address`]. None where no port
/// is open.
pub(crate) fn own_url(assembly: &Assembly) -> OwnUrl {
    let external = assembly.settings.external_url.clone();
    let host = host_name();
    Arc::new(move |status| {
        let listening = || status.listening.as_ref()?.parse().ok();
        external.clone().or_else(|| own_address(listening()?, host.as_deref()))
    })
}

/// Where this node is going to be reached, by its settings alone.
pub(crate) fn own_place(settings: &Settings) -> Option<String> {
    let by_port = || own_address(settings.listen?, host_name().as_deref());
    settings.external_url.clone().or_else(by_port)
}

/// The address of this node for others: the name of this host and the port. A port that this host alone can reach is
/// told by its address: the name would lead others to something else.
fn own_address(listening: SocketAddr, host: Option<&str>) -> Option<String> {
    let address = if listening.ip().to_canonical().is_loopback() {
        format!("https://{listening}")
    } else {
        format!("https://{}:{}", host?, listening.port())
    };
    let url: PrimaryUrl = address.parse().ok()?;
    Some(url.base())
}

/// The name of this host, as it calls itself.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Makes what says which keys the primary may show this standby. In the clear to loopback no key is ever looked at.
fn accepts(url: &PrimaryUrl, trust: TrustSource) -> Accepts {
    let is_secure = url.is_secure();
    Arc::new(move |key| !is_secure || trust().accepts(key))
}

/// Shows on the board which primary this standby follows.
fn show_primary(assembly: &Assembly, url: &PrimaryUrl, trust: &Trust) {
    assembly.board.update(|status| {
        status.sync = Some(SyncStatus::default());
        status.primary = Some(PrimaryStatus::new(&url.base(), trust.description(), status.now_ms));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_an_address_that_leads_to_it() {
        let told = |listening: &str, host| own_address(listening.parse().expect("an address"), host);
        let name = Some("standbygo");
        assert_eq!(told("0.0.0.0:8155", name).as_deref(), Some("https://standbygo:8155"));
        assert_eq!(told("[::]:9000", name).as_deref(), Some("https://standbygo:9000"));
        assert_eq!(told("127.0.0.1:8155", name).as_deref(), Some("https://127.0.0.1:8155"));
        assert_eq!(told("[::1]:8155", None).as_deref(), Some("https://[::1]:8155"));
        assert_eq!(told("10.0.0.7:8155", name).as_deref(), Some("https://standbygo:8155"));
        assert_eq!(told("0.0.0.0:8155", None), None);
        assert_eq!(told("0.0.0.0:8155", Some("no host name")), None);
    }
}
