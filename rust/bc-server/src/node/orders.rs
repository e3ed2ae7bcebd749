//! Answers the local socket.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bc_core::{
    basics::{Clock, Error, Fingerprint, Kind, Severity},
    database::way_back::way_back,
    generation::Role,
    keys::{OwnKeys, PeersFile},
    node::{
        Order, Reply,
        audit::{Ordered, Who},
    },
    primary::Standbys,
    settings::Settings,
    standby::pull::PullOrder,
    status::{Phase, StatusBoard, Topic},
};
use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking, time::timeout};
use tracing::{error, info};

use super::{
    Assembly, PullerOrders,
    audit_writer::AuditWriter,
    database::look_at_database,
    demote::{self, Demotion},
    generation_orders,
    guard::Guarding,
    landing,
    promote::{self, Begun, Promotion, WithDatabase},
    retention,
    rotation::{self, Rotation},
    supervisor::{Part, Supervisor},
    sync_order,
    take_over::TakeOver,
};
use crate::{
    context::Context,
    control::{ControlHandler, ControlServer, Rights, Tell},
};

/// How long one look at the database may take.
const LOOKED_WITHIN: Duration = Duration::from_secs(10);

/// Listens for orders on the local socket for as long as the node lives, on the runtime of `answering`.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    answering: &Supervisor,
    context: &Context,
    promotion: &Arc<Promotion>,
    (guard, take_over): (Option<Arc<Guarding>>, TakeOver),
) {
    let orders = Arc::new(Orders {
        state_dir: assembly.state.path().to_owned(),
        settings: Arc::clone(&assembly.settings),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        own: Arc::clone(&assembly.own),
        standbys: context.standbys.clone(),
        rotation: context
            .standbys
            .as_ref()
            .zip(context.offer.as_ref())
            .map(|(standbys, offer)| rotation::start(assembly, supervisor, standbys, offer)),
        puller: promotion.puller.clone(),
        promotion: Arc::clone(promotion),
        audit: assembly.audit.clone(),
        guard,
        take_over,
    });
    let rights = Rights {
        operator_group: assembly.settings.operator_group.clone(),
        operator_is_owner: assembly.settings.operator_is_owner,
    };
    let state_dir = assembly.state.path().to_owned();
    let told = told_to(Arc::clone(&assembly.board));
    let stop = assembly.stop.clone();
    let listen = move || {
        let (rights, orders, told) = (rights.clone(), Arc::clone(&orders), Arc::clone(&told));
        ControlServer::start(&state_dir, rights, orders, told, stop.clone())
    };
    let _entered = answering.runtime().enter();
    // Whoever finds that the node is open finds its socket.
    let mut first = Some(listen());
    let part = Part {
        name: "local socket",
        does: "answers on the local socket",
    };
    answering.supervise(part, move || {
        let (first, listen) = (first.take(), listen.clone());
        async move {
            let listening = match first {
                Some(listening) => Ok(listening),
                // It touches files.
                None => spawn_blocking(listen).await,
            };
            match listening {
                Ok(listening) => listening.ended().await,
                Err(failed) => error!("the local socket: {failed}"),
            }
        }
    });
}

/// Says on the board where the local socket is, or why there is none. On a node that holds GoCD nobody could let it go
/// then.
fn told_to(board: Arc<StatusBoard>) -> Tell {
    Arc::new(move |socket| {
        let at = socket.ok().map(|path| path.display().to_string());
        board.update(|status| status.socket = at);
        let Err(problem) = socket else {
            return board.clear(&Topic::LocalSocket);
        };
        let holds = board.look(|status| matches!(status.phase, Phase::Holding | Phase::Starting));
        let (severity, meaning) = if holds {
            (Severity::Critical, "Until then nobody can promote this server.")
        } else {
            (Severity::Warning, "Until then `gocd-bc` finds no node here.")
        };
        board.raise(&Topic::LocalSocket, severity, format!("{problem} {meaning}"));
    })
}

struct Orders {
    state_dir: PathBuf,
    settings: Arc<Settings>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    own: Arc<OwnKeys>,
    standbys: Option<Arc<Standbys>>,
    rotation: Option<Arc<Rotation>>,
    puller: Option<PullerOrders>,
    promotion: Arc<Promotion>,
    audit: AuditWriter,
    guard: Option<Arc<Guarding>>,
    take_over: TakeOver,
}

impl Orders {
    /// What `demote` needs to carry out an order.
    fn demotion(&self) -> Demotion<'_> {
        Demotion {
            settings: &self.settings,
            state: &self.promotion.state,
            board: &self.board,
            promotion: &self.promotion,
        }
    }

    /// What the database of a fenced server needs before it is a standby again, by one look at it; none where that is
    /// somebody else's matter.
    async fn way_back(&self) -> Option<String> {
        let is_fenced = self.board.look(|status| status.role) == Role::Fenced;
        if !is_fenced || !self.settings.watches_database {
            return None;
        }
        let (source, here) = (self.settings.database.clone(), Handle::current());
        let looking = spawn_blocking(move || here.clone().block_on(look_at_database(&source, &here, true)));
        let picture = timeout(LOOKED_WITHIN, looking).await.ok()?.ok()?;
        Some(way_back(&picture))
    }

    /// Carries out the order to trust a key, or not to trust it any more.
    fn trust(&self, fingerprint: Fingerprint, remove: bool) -> Result<String, Error> {
        if remove && self.own.has(&fingerprint) {
            return Err(Error::new(
                Kind::Refused,
                format!("{fingerprint} is this node's own key"),
                "Where it may have been stolen, give a primary another one with `gocd-bc identity rotate --now`: the \
                 former one is removed then. A standby's key is removed on the primary.",
            ));
        }
        let mut said = match &self.standbys {
            Some(standbys) if remove => standbys.remove(fingerprint)?,
            Some(standbys) => standbys.trust(fingerprint)?,
            None => PeersFile::of(&self.settings.layout).change_key(fingerprint, remove)?,
        };
        if remove && self.is_primarys(&fingerprint) {
            said.push_str(
                ". It is the key of the primary that this node follows: nothing is pulled from it any more, and \
                 `gocd-bc status` turns CRITICAL, until it shows another key that is trusted here",
            );
        }
        info!("{said}");
        if let Some(puller) = &self.puller {
            // A full queue has an order to pull in it already.
            drop(puller.try_send(PullOrder::Trust));
        }
        Ok(said)
    }

    /// Whether the primary that this node follows has shown this key last.
    fn is_primarys(&self, fingerprint: &Fingerprint) -> bool {
        self.board.look(|status| {
            let primary = status.primary.as_ref();
            primary.is_some_and(|primary| primary.trusted && primary.seen_fingerprint.as_ref() == Some(fingerprint))
        })
    }
}

impl ControlHandler for Orders {
    /// Writes an order from the local socket into the audit of the node.
    fn note(&self, who: BoxFuture<'static, Who>, ordered: Ordered) -> BoxFuture<'static, ()> {
        let audit = self.audit.clone();
        Box::pin(async move { audit.write(Some(who.await), ordered).await })
    }

    /// Gives each order from the local socket to the part of the node that carries it out.
    async fn handle(&self, order: Order, progress: mpsc::Sender<String>) -> Reply {
        match order {
            Order::Status => Reply::Status {
                status: Box::new(self.board.picture()),
            },
            Order::Generations => generation_orders::list(&self.state_dir).await,
            Order::Generation { id } => generation_orders::show(&self.state_dir, id).await,
            Order::History { newest } => generation_orders::history(&self.state_dir, newest).await,
            Order::Diff { from, to } => {
                generation_orders::diff(&self.state_dir, &self.settings.layout, &self.clock, from, to).await
            }
            Order::RotateIdentity { now } => match &self.rotation {
                Some(rotation) => rotation.order(now, &progress).await,
                None => Reply::refused(
                    "this node is not a primary, so it has no standbys that must learn its next key",
                    "Run the command on the primary. To give this node another key, stop it, remove identity.pem in \
                     its state folder, start it, and trust the new key on the primary.",
                ),
            },
            Order::Trust { fingerprint, remove } => match self.trust(fingerprint, remove) {
                Ok(message) => Reply::Done { message },
                Err(error) => error.into(),
            },
            Order::Sync(permit) => sync_order::order(self.puller.as_ref(), &self.board, permit, &progress).await,
            Order::Verify => {
                generation_orders::verify(&self.state_dir, &self.settings.layout, self.puller.as_ref(), &progress).await
            }
            Order::Restore { id } => generation_orders::restore(self.puller.as_ref(), &self.board, id).await,
            Order::Promote {
                without_database,
                as_it_is,
                accept_loss,
                force,
                maintenance,
                replay_within_s,
            } => {
                let with = WithDatabase {
                    accepts_loss: accept_loss,
                    forces: force,
                    replay_within: replay_within_s.map_or(promote::REPLAYED_WITHIN, Duration::from_secs),
                };
                let begun = Begun::ByOrder {
                    as_it_is,
                    database: (!without_database).then_some(with),
                    maintenance,
                    progress,
                };
                Arc::clone(&self.promotion).begin(begun).await
            }
            Order::Preflight { accept_loss, force } => self.promotion.answer_preflight(accept_loss, force).await,
            Order::AbortPromotion => self.promotion.abort().await,
            Order::TakeOver { accept_loss } => self.take_over.order(accept_loss).await,
            Order::Demote { forget: false } => {
                let database = self.way_back().await;
                self.demotion().demote(database)
            }
            Order::Demote { forget: true } => self.demotion().forget(),
            Order::HandOver => self.demotion().hand_over(&self.promotion.launch.events).await,
            Order::TakeBack if self.board.look(|status| status.phase == Phase::Running) => {
                self.demotion().forget_hand_over().await
            }
            Order::TakeBack => self.take_over.take_back().await,
            Order::IgnorePeer { peer } => match &self.guard {
                Some(guard) => guard.ignore(&peer),
                None => Reply::refused(
                    "this server waits for no peer",
                    "The command is for a server that is to be the primary and is held, since a peer does not prove who it \
                     is: `gocd-bc status`.",
                ),
            },
            Order::Acknowledge => demote::acknowledge(&self.promotion.state, &self.board),
            Order::LandingDone => landing::done(&self.promotion.state, &self.board),
            Order::DropGenerations { id } => retention::let_go(&self.promotion.state, &self.board, id).await,
        }
    }
}
