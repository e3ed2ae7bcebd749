//! Follows the primary while held.

use std::sync::Arc;

use bc_core::{
    primary_url::PrimaryUrl,
    pull::{
        Options, Puller,
        history::History,
        reporter::{Accepts, OwnUrl, Reporter, ReporterOptions},
    },
    status::{PrimaryStatus, Severity, SyncStatus},
    store::disk::{self, DiskStore},
    trust::Trust,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tracing::error;

use super::{Assembly, PullerOrders, keeper::Keeper, peers_file};
use crate::{client::HttpTransport, context::Context, tls::client::TrustSource};

/// Opens the store, which finishes what a crash interrupted, and starts pulling. None when there is nothing to
/// pull from or nothing to write to; the board says why.
pub(crate) fn start(assembly: &Assembly, runtime: &Runtime, context: &Context) -> Option<PullerOrders> {
    // A missing or malformed address is on the board already, with all other mistakes.
    let url = assembly.settings.primary_url.clone()?;
    let trust = trust_source(assembly);
    show_primary(assembly, &url, &trust());
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
    let reporter = Reporter::new(
        Arc::clone(&transport),
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.clock),
        ReporterOptions {
            node_id: assembly.state.node_id().to_owned(),
            url: own_url(assembly),
            peers: assembly.settings.layout.peers(),
            accepts: accepts(&url, trust),
        },
    );
    runtime.spawn(reporter.run(assembly.stop.clone()));
    let (orders, taken) = mpsc::channel(4);
    let keeper = Keeper {
        store: Arc::clone(&store),
        puller: orders.clone(),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        reverify: assembly.settings.reverify_interval,
        rehash: assembly.settings.rehash_interval,
    };
    runtime.spawn(keeper.run(assembly.stop.clone()));
    let puller = Puller::new(
        transport,
        store,
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.clock),
        Options {
            node_id: assembly.state.node_id().to_owned(),
            gocd_version: assembly.gocd_version.clone(),
            long_poll_wait: assembly.settings.long_poll_wait(),
            check_interval: assembly.settings.primary_check_interval,
            refusal_critical: assembly.settings.refusal_critical,
            accept_wait: assembly.settings.accept_wait,
            history: History::of(Arc::clone(&assembly.state)),
        },
    );
    let pulling = runtime.spawn(puller.run(taken, assembly.stop.clone()));
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    runtime.spawn(async move {
        if pulling.await.is_err_and(|end| end.is_panic()) {
            let message = "this node no longer follows the primary, since its own program failed. Restart it, and \
                           report the lines before this one.";
            error!("{message}");
            board.raise("puller", Severity::Critical, message.to_owned(), clock.now_ms());
        }
    });
    Some(orders)
}

/// How others reach this node: as the administrator says, else by the name of this host and our port.
fn own_url(assembly: &Assembly) -> OwnUrl {
    let external = assembly.settings.external_url.clone();
    let host = host_name();
    Box::new(move |status| {
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
    Arc::new(move || {
        let peers = peers_file::read(&settings.layout.peers(), &board, &*clock);
        Trust::of(&settings, &peers, &own)
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
