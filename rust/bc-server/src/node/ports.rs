//! Keeps the ports of a node bound: the TLS port and the plain one while there is a token, GoCD's own while held.
//!
//! A port that is in use is a problem on the board and is tried again; nothing else of the node waits for it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, Severity},
    status::{Phase, Status, StatusBoard, Topic},
};
use rustls::ServerConfig;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};
use crate::{accepting::Tell, context::Context, held, listener, routes, tls};

/// Wait before a port that is in use is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the parts that keep the node's ports bound; `holds_gocd` adds GoCD's own. The tasks end when the node closes,
/// once their ports refuse and their connections are closed.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    context: &Context,
    holds_gocd: bool,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let ports = Ports {
        board: Arc::clone(&assembly.board),
        context: context.clone(),
        stop: assembly.stop.clone(),
    };
    // What is malformed opens nothing; the board says so already, with all other mistakes.
    if holds_gocd && let Some(address) = assembly.settings.gocd_listen {
        let ports = ports.clone();
        let part = Part {
            name: "held port",
            does: "answers on GoCD's port",
        };
        tasks.push(supervisor.supervise(part, move || ports.clone().serve_gocd_port(address)));
    }
    if let Some(address) = assembly.settings.listen_plain {
        let ports = ports.clone();
        let part = Part {
            name: "plain port",
            does: "answers on the port of bc.listen.plain",
        };
        tasks.push(supervisor.supervise(part, move || {
            ports
                .clone()
                .serve_while_token("bc.listen.plain", address, None, |_, _| {})
        }));
    }
    let show = |status: &mut Status, address: Option<SocketAddr>| {
        status.listening = address.map(|address| address.to_string());
    };
    if let Some(address) = assembly.settings.listen {
        let config = tls::server::config_of(Arc::clone(&assembly.key), &assembly.identity);
        let part = Part {
            name: "port",
            does: "answers on the port of bc.listen",
        };
        tasks.push(supervisor.supervise(part, move || {
            ports
                .clone()
                .serve_while_token("bc.listen", address, Some(Arc::clone(&config)), show)
        }));
    }
    tasks
}

/// Shows an address on the board until it is dropped, also where the part that answers there fails.
struct ShownAddress<'a> {
    board: &'a StatusBoard,
    show: fn(&mut Status, Option<SocketAddr>),
}

impl<'a> ShownAddress<'a> {
    /// Shows on the board at which address a port answers.
    fn new(board: &'a StatusBoard, at: Option<SocketAddr>, show: fn(&mut Status, Option<SocketAddr>)) -> Self {
        board.update(|status| show(status, at));
        Self { board, show }
    }
}

impl Drop for ShownAddress<'_> {
    fn drop(&mut self) {
        self.board.update(|status| (self.show)(status, None));
    }
}

#[derive(Clone)]
struct Ports {
    board: Arc<StatusBoard>,
    context: Context,
    stop: CancellationToken,
}

impl Ports {
    /// Keeps a port of our own bound at `address` and answers there while there is a token, until the node closes.
    /// Where nobody watches the token any more, the port closes and this ends: an old token would count here for ever.
    async fn serve_while_token(
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
                let bound = bound
                    .with_rejections(self.context.rejections.clone())
                    .knowing(self.context.token.clone())
                    .telling(self.tell_of(property));
                let at = bound.address();
                info!("the Business Continuity port {at} ({property}) is open");
                let _shown = ShownAddress::new(&self.board, Some(at), show);
                let mut is_watched = true;
                let serving = bound.serve(routes::router(self.context.clone()), tls.clone(), closing.clone());
                tokio::pin!(serving);
                loop {
                    tokio::select! {
                        () = &mut serving => break,
                        changed = token.changed(), if !closing.is_cancelled() => {
                            is_watched = changed.is_ok();
                            if !is_watched || token.borrow_and_update().is_none() {
                                closing.cancel();
                            }
                        }
                    }
                }
                if !is_watched {
                    return;
                }
            } else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    changed = token.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    /// Keeps GoCD's own port bound and answers there until the node closes. While it is not decided whether GoCD is held,
    /// the port stays closed.
    async fn serve_gocd_port(self, address: SocketAddr) {
        let mut changes = self.board.changes();
        while self.board.look(|status| status.phase != Phase::Holding) {
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
        let property = "cruise.server.port";
        let Some(bound) = self.bound(property, || held::bind(address)).await else {
            return;
        };
        let bound = bound.telling(self.tell_of(property));
        info!("GoCD is held; its port {address} says so");
        let _shown = ShownAddress::new(&self.board, Some(address), |status, address| {
            status.holding = address.map(|address| address.to_string());
        });
        held::serve(bound, self.context.clone(), self.stop.clone()).await;
    }

    /// Makes what says on the board that nobody can connect to a port, and that it is over.
    fn tell_of(&self, property: &str) -> Tell {
        let board = Arc::clone(&self.board);
        let topic = Topic::Connections(property.to_owned());
        Box::new(move |problem| board.set(&topic, Severity::Critical, problem.map(Error::to_string)))
    }

    /// Binds a port again and again until that succeeds, and says on the board why it does not; none when the node
    /// closes.
    async fn bound<B, F: Future<Output = Result<B, Error>>>(&self, property: &str, bind: impl Fn() -> F) -> Option<B> {
        let topic = Topic::Port(property.to_owned());
        loop {
            match bind().await {
                Ok(bound) => {
                    self.board.clear(&topic);
                    return Some(bound);
                }
                Err(problem) => {
                    error!("{problem}");
                    self.board.raise(&topic, Severity::Critical, problem.to_string());
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(RETRY) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{
        basics::{Properties, SystemClock},
        generation::{Role, Run},
        keys::Token,
        settings::Settings,
    };
    use tokio::{sync::watch, time::timeout};

    use super::*;
    use crate::{md5s::Md5Desk, rejection_log::RejectionLog};

    #[tokio::test]
    async fn a_port_closes_and_does_not_spin_where_nobody_watches_the_token() {
        let token = Token::parse(b"user = pass", std::path::Path::new("token")).expect("valid");
        let board = Arc::new(StatusBoard::new(
            Status::new("node", Role::Primary, Phase::Running, 0),
            Arc::new(SystemClock),
        ));
        for known in [Some(token), None] {
            let (sender, receiver) = watch::channel(known);
            let context = Context {
                settings: Arc::new(Settings::parse(&Properties::default(), |_| false).0),
                status: Arc::clone(&board),
                token: receiver,
                offer: None,
                rejections: RejectionLog::new(Arc::clone(&board)),
                standbys: None,
                run: Arc::new(Run::begin(None, std::path::Path::new("state"), 0).expect("random")),
                files: tokio::runtime::Handle::current(),
                replaced: Arc::default(),
                still: Arc::default(),
                md5s: Md5Desk::default(),
            };
            let ports = Ports {
                board: Arc::clone(&board),
                context,
                stop: CancellationToken::new(),
            };
            let show = |status: &mut Status, address: Option<SocketAddr>| {
                status.listening = address.map(|address| address.to_string());
            };
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let serving = tokio::spawn(ports.serve_while_token("bc.listen.plain", address, None, show));
            sleep(Duration::from_millis(200)).await;
            drop(sender);
            timeout(Duration::from_secs(20), serving)
                .await
                .expect("it does not go on")
                .expect("it does not fail");
            assert_eq!(board.look(|status| status.listening.clone()), None);
        }
    }
}
