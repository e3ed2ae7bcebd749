//! Follows the primary while held.

use std::sync::Arc;

use bc_core::{
    error::{Error, Kind},
    peers::PeersFile,
    primary_url::PrimaryUrl,
    pull::{
        Options, PullOrder, Puller,
        history::History,
        reporter::{Accepts, OwnUrl, Reporter, ReporterOptions},
    },
    status::{PrimaryStatus, Severity, SyncStatus},
    store::disk::{self, DiskStore},
    trust::{Judge, Trust},
};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::{JoinHandle, spawn_blocking},
};
use tracing::error;

use super::{
    Assembly, PullerOrders,
    keeper::Keeper,
    live_watch, peers_file,
    supervisor::{Part, Supervisor},
};
use crate::{client::HttpTransport, context::Context, off_worker, tls::client::TrustSource};

/// Opens the store, which finishes what a crash interrupted, and starts pulling. None when there is nothing to
/// pull from or nothing to write to; the board says why. What is returned besides ends with the node.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    context: &Context,
) -> Option<(PullerOrders, JoinHandle<()>)> {
    // A missing or malformed address is on the board already, with all other mistakes.
    let url = assembly.settings.primary_url.clone()?;
    let trust = trust_source(assembly);
    show_primary(assembly, &url, &trust().trust);
    let store = match DiskStore::open(
        assembly.state.path(),
        &assembly.settings.layout,
        Arc::clone(&assembly.clock),
        disk::Options {
            generations_keep: assembly.settings.generations_keep,
            free_space: assembly.settings.free_space,
            gocd_version: assembly.gocd_version.clone(),
            adopts_server_ids: assembly.settings.adopts_server_ids,
        },
    ) {
        Ok(store) => Arc::new(store),
        Err(problem) => {
            error!("{problem}");
            assembly.raise("store", Severity::Critical, problem.to_string());
            return None;
        }
    };
    let transport = HttpTransport::of_node(
        &url,
        &assembly.key,
        Arc::clone(&trust),
        context.token.clone(),
        assembly.settings.connection_timeout,
    );
    let transport = match transport {
        Ok(transport) => Arc::new(transport),
        Err(problem) => {
            error!("{problem}");
            assembly.raise("client", Severity::Critical, problem.to_string());
            return None;
        }
    };
    let (orders, taken) = mpsc::channel(4);
    report(assembly, supervisor, &transport, &url, trust, orders.clone());
    let touched = Arc::new(Notify::new());
    let watching = live_watch::start(assembly, supervisor, &touched);
    let keeper = Keeper {
        store: Arc::clone(&store),
        puller: orders.clone(),
        touched,
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        reverify: assembly.settings.reverify_interval,
        rehash: assembly.settings.rehash_interval,
    };
    let (part, stop) = (
        Part {
            name: "keeper",
            does: "looks whether the live files are what they should be",
        },
        assembly.stop.clone(),
    );
    supervisor.keep(part, move || keeper.clone().run(stop.clone()));
    pull(assembly, supervisor, transport, store, taken);
    Some((orders, watching))
}

fn report(
    assembly: &Assembly,
    supervisor: &Supervisor,
    transport: &Arc<HttpTransport>,
    url: &PrimaryUrl,
    trust: TrustSource,
    orders: PullerOrders,
) {
    let transport = Arc::clone(transport);
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    let (own_url, accepts) = (own_url(assembly), accepts(url, trust));
    let (own, peers) = (Arc::clone(&assembly.own), PeersFile::of(&assembly.settings.layout));
    // A full queue has an order in it that ends the present request as well.
    let on_removal = Arc::new(move || drop(orders.try_send(PullOrder::Now)));
    let stop = assembly.stop.clone();
    let part = Part {
        name: "reporter",
        does: "tells the primary how far it is",
    };
    supervisor.keep(part, move || {
        let options = ReporterOptions {
            own: Arc::clone(&own),
            url: Arc::clone(&own_url),
            peers: peers.clone(),
            accepts: Arc::clone(&accepts),
            on_removal: on_removal.clone(),
        };
        Reporter::new(Arc::clone(&transport), Arc::clone(&board), Arc::clone(&clock), options).run(stop.clone())
    });
}

fn pull(
    assembly: &Assembly,
    supervisor: &Supervisor,
    transport: Arc<HttpTransport>,
    store: Arc<DiskStore>,
    orders: mpsc::Receiver<PullOrder>,
) {
    let options = Options {
        node_id: assembly.state.node_id().to_owned(),
        gocd_version: assembly.gocd_version.clone(),
        long_poll_wait: assembly.settings.long_poll_wait(),
        check_interval: assembly.settings.primary_check_interval,
        refusal_critical: assembly.settings.refusal_critical,
        accept_wait: assembly.settings.accept_wait,
        history: History::of(Arc::clone(&assembly.state)),
    };
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    let stop = assembly.stop.clone();
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
            Arc::clone(&clock),
            options.clone(),
        );
        let (orders, stop) = (Arc::clone(&orders), stop.clone());
        async move { puller.run(&mut *orders.lock().await, stop).await }
    };
    supervisor.keep_with(part, start, move || refuse(Arc::clone(&waiting), Arc::clone(&doubted)));
}

/// Answers what is ordered while nobody follows the primary: a promotion, for one, goes on with what is here. Files that
/// were to be mended are found by the next look.
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

/// How others reach this node: as the administrator says, else by the name of this host and our port.
fn own_url(assembly: &Assembly) -> OwnUrl {
    let external = assembly.settings.external_url.clone();
    let host = host_name();
    Arc::new(move |status| {
        external.clone().or_else(|| {
            let port = status.listening.as_ref()?.rsplit(':').next()?;
            let url: PrimaryUrl = format!("https://{}:{port}", host.as_ref()?).parse().ok()?;
            Some(url.base())
        })
    })
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Which keys the primary may show us. In the clear to loopback no key is ever looked at.
fn accepts(url: &PrimaryUrl, trust: TrustSource) -> Accepts {
    let is_secure = url.is_secure();
    Arc::new(move |key| !is_secure || trust().accepts(key))
}

/// Judged anew at each connection: the peers file may change while we run. One that cannot be read trusts nobody.
fn trust_source(assembly: &Assembly) -> TrustSource {
    let (settings, own) = (Arc::clone(&assembly.settings), Arc::clone(&assembly.own));
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    let file = PeersFile::of(&settings.layout);
    Arc::new(move || {
        // In the middle of a handshake, on whatever thread that is.
        let peers = off_worker::run(|| peers_file::read(&file, &board, &*clock));
        Judge::of(&settings, peers, &own)
    })
}

fn show_primary(assembly: &Assembly, url: &PrimaryUrl, trust: &Trust) {
    assembly.board.update(|status| {
        status.sync = Some(SyncStatus::default());
        status.primary = Some(PrimaryStatus::new(
            &url.base(),
            trust.description(),
            assembly.clock.now_ms(),
        ));
    });
}
