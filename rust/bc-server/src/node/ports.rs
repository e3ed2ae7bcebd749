//! Keeps the ports of a node bound: the TLS port and the plain one while there is a token, GoCD's own while held.
//!
//! A port that is in use is a problem on the board and is tried again; nothing else of the node waits for it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    error::Error,
    status::{Severity, Status, StatusBoard},
};
use rustls::ServerConfig;
use tokio::{runtime::Runtime, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Assembly;
use crate::{context::Context, held, listener, routes, tls};

/// Wait before a port that is in use is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Starts keeping the node's ports; `holds_gocd` adds GoCD's own. The tasks end when the node closes, once their
/// ports refuse and their connections are closed.
pub(crate) fn start(
    assembly: &Assembly,
    runtime: &Runtime,
    context: &Context,
    holds_gocd: bool,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let keeper = Keeper {
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        context: context.clone(),
        stop: assembly.stop.clone(),
    };
    // What is malformed opens nothing; the board says so already, with all other mistakes.
    if holds_gocd && let Some(address) = assembly.settings.gocd_listen {
        tasks.push(runtime.spawn(keeper.clone().keep_gocd_port(address)));
    }
    if let Some(address) = assembly.settings.listen_plain {
        tasks.push(runtime.spawn(keeper.clone().keep("bc.listen.plain", address, None, |_, _| {})));
    }
    let show = |status: &mut Status, address: Option<SocketAddr>| {
        status.listening = address.map(|address| address.to_string());
    };
    if let Some(address) = assembly.settings.listen {
        let config = tls::server::config_of(Arc::clone(&assembly.key), &assembly.identity);
        tasks.push(runtime.spawn(keeper.keep("bc.listen", address, Some(config), show)));
    }
    tasks
}

#[derive(Clone)]
struct Keeper {
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    context: Context,
    stop: CancellationToken,
}

impl Keeper {
    /// Serves our routes while there is a token, until the node closes.
    async fn keep(
        self,
        property: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        show: fn(&mut Status, Option<SocketAddr>),
    ) {
        let mut token = self.context.token.clone();
        while !self.stop.is_cancelled() {
            let closing = self.stop.child_token();
            if token.borrow_and_update().is_some() {
                let Some(bound) = self.bound(property, || listener::bind(address, property)).await else {
                    return;
                };
                let bound = bound.with_rejections(self.context.rejections.clone());
                let at = bound.address();
                info!("the Business Continuity port {at} ({property}) is open");
                self.board.update(|status| show(status, Some(at)));
                let serving = bound.serve(routes::router(self.context.clone()), tls.clone(), closing.clone());
                tokio::pin!(serving);
                loop {
                    tokio::select! {
                        () = &mut serving => break,
                        changed = token.changed(), if !closing.is_cancelled() => {
                            if changed.is_err() || token.borrow_and_update().is_none() {
                                closing.cancel();
                            }
                        }
                    }
                }
                self.board.update(|status| show(status, None));
            } else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    changed = token.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    /// Answers on GoCD's port until the node closes.
    async fn keep_gocd_port(self, address: SocketAddr) {
        let Some(bound) = self.bound("cruise.server.port", || held::bind(address)).await else {
            return;
        };
        info!("GoCD is held; its port {address} says so");
        self.board.update(|status| status.holding = Some(address.to_string()));
        held::serve(bound, self.context.clone(), self.stop.clone()).await;
        self.board.update(|status| status.holding = None);
    }

    /// Binds, again and again until it succeeds; none when the node closes.
    async fn bound<B, F: Future<Output = Result<B, Error>>>(&self, property: &str, bind: impl Fn() -> F) -> Option<B> {
        let topic = format!("port {property}");
        loop {
            match bind().await {
                Ok(bound) => {
                    self.board.clear(&topic);
                    return Some(bound);
                }
                Err(problem) => {
                    error!("{problem}");
                    self.board
                        .raise(&topic, Severity::Critical, problem.to_string(), self.clock.now_ms());
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(RETRY) => {}
            }
        }
    }
}
