//! One running node: settings in, events out.
//!
//! | module | does |
//! |---|---|
//! | `primary` | reads the folders and offers what it finds |
//! | `scan_watch` | says so when that comes to nothing for long |
//! | `standby` | follows the primary |
//! | `standbys` | what the primary knows of those that follow it |
//! | `keeper` | looks after the store of a standby, and whether its live files are what they should be |
//! | `live_watch` | hears when these are touched |
//! | `hints` | says why nothing is heard of changed files |
//! | `certificate` | the certificate that an administrator gives the node |
//! | `rotation` | gives a primary another key |
//! | `ports` | keeps the TLS port, the plain port and, while held, GoCD's own port bound |
//! | `sync` | a pull that an administrator orders |
//! | `hold` | says that GoCD must wait, for as long as it must |
//! | `promote` | lets GoCD run |
//! | `question` | asks the primary where the flag of a standby is gone |
//! | `demote` | makes it a standby from its next start on, or forgets what it was |
//! | `retention` | lets go, in its time, of what a standby had kept before it was promoted |
//! | `reopen` | opens the node again where GoCD runs already and it is to serve |
//! | `orders` | answers the local socket |
//! | `generations` | what is asked there about kept generations |
//! | `health` | GoCD's health messages |
//! | `unprotected` | says so when GoCD runs although a standby was asked for |
//! | `waiting` | opens a plugin's node later, where its state folder is still locked or something else cannot be had |
//! | `log` | log lines as events |
//! | `threads` | has the threads of all of these, or says why not |
//! | `supervisor` | starts all of these, and starts again what has failed |
//!
//! [`Node::open`] decides the role and returns at once: it waits neither for the network nor for a lock. Everything that
//! runs afterwards belongs to two tokio runtimes, one thread for hearing of changed files and one that says that GoCD must
//! wait; [`Node::close`] joins them all.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, mpsc},
    time::Duration,
};

use bc_core::{
    clock::{Clock, SystemClock},
    error::{Error, Kind},
    event::{Event, Events},
    gocd_version,
    identity::Identity,
    layout::{self, Layout},
    manifest::Role,
    own_keys::OwnKeys,
    peers::PeersFile,
    properties::Properties,
    pull::both::Newest,
    role::{self, Recorded, Source, Start, promotion::Place, signpost, unacknowledged},
    run::Run,
    scan::watch,
    settings::{Face, Flag, Mistake, Settings},
    state_dir::StateDir,
    status::{Phase, Severity, Status, StatusBoard},
    store::disk,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, error, info, warn};

use self::{
    promote::Promotion,
    supervisor::{PartThreads, Patience, Supervisor},
    threads::Threads,
};
use crate::{
    context::Context,
    md5s::Md5Desk,
    rejection_log::RejectionLog,
    tls::node_key::{NodeKey, Shown},
};

mod certificate;
mod demote;
mod generations;
mod health;
mod hints;
mod hold;
mod keeper;
mod live_watch;
pub(crate) mod log;
mod orders;
mod peers_file;
mod ports;
mod primary;
mod promote;
mod question;
mod reopen;
mod retention;
mod rotation;
mod scan_watch;
mod standby;
mod standbys;
mod supervisor;
mod sync;
mod threads;
mod token_watch;
mod unprotected;
mod waiting;

/// Longest wait for our threads when a node closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Threads that may wait for disks: one for each part for as long as it runs, and some for what peers ask.
const THREADS_OF_FILES: usize = 32;
/// Those of the local socket alone. They are not for everybody: who may only look has four of them, and as many orders as
/// the socket takes at once find one each.
const THREADS_OF_ORDERS: usize = 64;

/// A node. Dropping it closes it.
pub struct Node {
    events: Arc<Events>,
    dispatch: Dispatch,
    life: Arc<Mutex<Life>>,
    reopener: Mutex<Option<reopen::Reopener>>,
}

/// How far a node has come.
enum Life {
    Waiting(waiting::Waiting),
    Open(Box<Parts>),
    Closed,
}

/// Everything that has to be ended.
struct Parts {
    stop: CancellationToken,
    hold: Option<hold::Renewal>,
    /// For everything that may touch files.
    runtime: Option<Threads>,
    /// Those of its parts.
    threads: Arc<PartThreads>,
    /// For what must answer whatever the disks do.
    answers: Option<Threads>,
    /// What has to be over before the node is closed.
    ending: Vec<JoinHandle<()>>,
    /// Says that this node is to be opened again, as a primary in a GoCD that runs already.
    serve: Option<mpsc::Receiver<()>>,
    // Held until the end: the lock of the state folder.
    _state: Arc<StateDir>,
}

/// What all parts of a node share while it is being put together.
pub(crate) struct Assembly {
    pub(crate) settings: Arc<Settings>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<Events>,
    pub(crate) state: Arc<StateDir>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) key: Arc<NodeKey>,
    pub(crate) own: Arc<OwnKeys>,
    /// Which run of the node this is.
    pub(crate) run: Arc<Run>,
    pub(crate) gocd_version: Option<String>,
    pub(crate) stop: CancellationToken,
    pub(crate) dispatch: Dispatch,
    /// How long is waited before a part that has failed is started again.
    pub(crate) patience: Patience,
    /// Where hints of changed files come from.
    pub(crate) hints: HintsOf,
    /// Whether the operating system has the threads and descriptors that a node needs.
    pub(crate) room: fn() -> Result<(), Error>,
    #[cfg(test)]
    pub(crate) provoked: Arc<supervisor::provoke::Provoked>,
}

/// Makes a source of hints for the files of a layout.
pub(crate) type HintsOf = fn(&Layout) -> Box<dyn watch::Hints>;

impl Node {
    /// Opens a node from the text of a `java.util.Properties`.
    ///
    /// # Errors
    /// As [`Node::open`], and when the text is malformed.
    pub fn open_text(settings: &str) -> Result<Self, Error> {
        Self::open(&Properties::parse(settings.as_bytes(), "the settings of the node")?)
    }

    /// Opens a node: decides its role, records the decision, and starts what the role needs. Mistakes in the
    /// settings do not fail it; they are problems on its status. A plugin's node whose state folder is still open
    /// elsewhere, or for which there are not enough threads or descriptors, is no error: it opens once they can be had.
    ///
    /// # Errors
    /// The state folder cannot be used: not writable, damaged, or open in another process. [`Kind::Exhausted`] where the
    /// operating system has not the threads or descriptors that a node needs.
    pub fn open(properties: &Properties) -> Result<Self, Error> {
        Self::open_as(properties, |_| {})
    }

    /// The same; `change` may put other things in the place of what a node is made of.
    fn open_as(properties: &Properties, change: impl FnOnce(&mut Assembly)) -> Result<Self, Error> {
        let (settings, mistakes) = Settings::parse(properties, layout::may_be_there);
        let events = Arc::new(Events::default());
        let dispatch = log::dispatch(Arc::clone(&events), settings.log_level);
        let mut serve = None;
        let life = match Parts::open(&settings, &mistakes, &events, &dispatch, change) {
            Ok(mut parts) => {
                serve = parts.serve.take();
                Life::Open(Box::new(parts))
            }
            Err(error) if settings.face == Face::Plugin && matches!(error.kind(), Kind::Busy | Kind::Exhausted) => {
                let (of_node, adopted) = (Arc::clone(&events), dispatch.clone());
                let open = move || Parts::open(&settings, &mistakes, &of_node, &adopted, |_| {});
                Life::Waiting(waiting::start(open, error, Arc::clone(&events), dispatch.clone())?)
            }
            Err(error) => return Err(error),
        };
        let life = Arc::new(Mutex::new(life));
        let reopener = serve.map(|serve| {
            let (properties, of_node, adopted) = (properties.clone(), Arc::clone(&events), dispatch.clone());
            let open = move || {
                let (settings, mistakes) = Settings::parse(&properties, layout::may_be_there);
                Parts::open(&settings, &mistakes, &of_node, &adopted, |_| {})
            };
            reopen::start(Arc::clone(&life), serve, open, dispatch.clone())
        });
        let node = Self {
            events,
            dispatch,
            life,
            reopener: Mutex::default(),
        };
        // Where it has failed, the node closes again.
        *node.reopener.lock().unwrap_or_else(PoisonError::into_inner) = reopener.transpose()?;
        Ok(node)
    }

    /// The next event; none when nothing came within `wait` or the node is closed.
    pub fn next_event(&self, wait: Duration) -> Option<Event> {
        self.events.next(wait)
    }

    /// Gives back an event that could not be delivered.
    pub fn put_back(&self, event: Event) {
        self.events.put_back(event);
    }

    /// Answers one of GoCD's plugin requests: the HTTP-like code, a newline, and the body.
    pub fn request(&self, name: &str, _body: &str) -> String {
        match name {
            // The map must be there, the list may be empty: then GoCD never sends us anything
            // (NotificationPluginRegistrar).
            "notifications-interested-in" => "200\n{\"notifications\":[]}".to_owned(),
            _ => "404\n".to_owned(),
        }
    }

    /// Ends everything: ports refuse, connections are closed, threads joined. Bounded to a few seconds;
    /// a second call does nothing.
    pub fn close(&self) {
        let life = std::mem::replace(
            &mut *self.life.lock().unwrap_or_else(PoisonError::into_inner),
            Life::Closed,
        );
        let parts = match life {
            Life::Closed => return,
            Life::Open(parts) => Some(*parts),
            Life::Waiting(waiting) => waiting.end(),
        };
        if let Some(parts) = parts {
            tracing::dispatcher::with_default(&self.dispatch, || parts.close());
        }
        let reopener = self.reopener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reopener) = reopener {
            reopener.join();
        }
        self.events.close();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

impl Parts {
    /// Puts the parts of a node together, with all mistakes in its settings on its status.
    fn open(
        settings: &Settings,
        mistakes: &[Mistake],
        events: &Arc<Events>,
        dispatch: &Dispatch,
        change: impl FnOnce(&mut Assembly),
    ) -> Result<Self, Error> {
        tracing::dispatcher::with_default(dispatch, || {
            let (mut assembly, recorded) =
                Assembly::new(settings.clone(), mistakes, Arc::clone(events), dispatch.clone())?;
            change(&mut assembly);
            for mistake in mistakes {
                warn!("{mistake}");
                assembly.raise(
                    &format!("setting {}", mistake.property),
                    Severity::Critical,
                    mistake.to_string(),
                );
            }
            for (number, notice) in assembly.settings.notices.iter().enumerate() {
                warn!("{notice}");
                assembly.raise(&format!("notice {number}"), Severity::Warning, notice.clone());
            }
            assembly.start(recorded)
        })
    }

    fn close(mut self) {
        self.stop.cancel();
        if let Some(hold) = self.hold.take() {
            hold.end();
        }
        if let Some(runtime) = self.runtime.take() {
            // Long polls get their last answer, GoCD must find its port free, and threads have to be joined.
            let ending = std::mem::take(&mut self.ending);
            runtime.block_on(async {
                let all = async {
                    for part in ending {
                        // Whatever became of it, it is over.
                        drop(part.await);
                    }
                };
                drop(timeout(CLOSE_WITHIN, all).await);
            });
            if let Some(answers) = self.answers.take() {
                // Only a disk that hangs keeps its threads, and then those of the other one as well.
                answers.end(CLOSE_WITHIN / 3);
            }
            runtime.end(CLOSE_WITHIN);
            self.threads.join(CLOSE_WITHIN);
        }
    }
}

impl Assembly {
    /// With what is recorded of the node, or why that cannot be read.
    fn new(
        settings: Settings,
        mistakes: &[Mistake],
        events: Arc<Events>,
        dispatch: Dispatch,
    ) -> Result<(Self, RoleFile), Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = Arc::new(StateDir::open(settings.layout.state_dir())?);
        let recorded = Recorded::load(state.path());
        let settings = completed(settings, mistakes, &recorded);
        let identity = Arc::new(Identity::load_or_create(state.path())?);
        let key = NodeKey::new(Shown::identity(&identity)?);
        let own = Arc::new(OwnKeys::new(state.node_id(), identity.fingerprint()));
        let ledger = state.ledger()?;
        let now_ms = clock.now_ms();
        let run = Arc::new(Run::begin(standby::host_name(), state.path(), now_ms)?);
        let board = StatusBoard::new(Status {
            fingerprint: Some(identity.fingerprint()),
            face: settings.face,
            flag: settings.flag,
            epoch: ledger.epoch,
            external_url: settings.external_url.clone(),
            file_check_interval_ms: settings.file_check_interval.as_millis() as u64,
            primary_check_interval_ms: settings.primary_check_interval.as_millis() as u64,
            ..Status::new(state.node_id(), Role::Primary, Phase::Starting, now_ms)
        });
        let gocd_version = settings.launcher_jar.as_deref().map(gocd_version::of_jar);
        let gocd_version = match gocd_version.transpose() {
            Ok(version) => version.flatten(),
            Err(error) => {
                warn!("{error}");
                board.raise("GoCD version", Severity::Warning, error.to_string(), now_ms);
                None
            }
        };
        board.update(|status| status.gocd_version = gocd_version.clone());
        let assembly = Self {
            settings: Arc::new(settings),
            board: Arc::new(board),
            clock,
            events,
            state,
            identity,
            key,
            own,
            run,
            gocd_version,
            stop: CancellationToken::new(),
            dispatch,
            patience: Patience::default(),
            hints: watch::watch,
            room: threads::room,
            #[cfg(test)]
            provoked: Arc::default(),
        };
        Ok((assembly, recorded))
    }

    /// Puts a problem on the board.
    pub(crate) fn raise(&self, topic: &str, severity: Severity, message: String) {
        self.board.raise(topic, severity, message, self.clock.now_ms());
    }

    /// Decides the role and starts its parts.
    fn start(self, recorded: RoleFile) -> Result<Parts, Error> {
        let decision = role::start(self.settings.flag, &recorded);
        let plan = Plan::of(decision, self.settings.face);
        self.board.update(|status| {
            status.role = plan.role;
            status.phase = plan.phase;
        });
        let before = match &recorded {
            Ok(before) => before.clone(),
            Err(problem) => {
                error!("CRITICAL {problem}");
                self.raise("role", Severity::Critical, problem.to_string());
                None
            }
        };
        // One that asks stays what it was until it is promoted, and of one that is not understood nothing is lost.
        let promoted_ms = if matches!(decision, Start::Ask | Start::HoldUnknown) {
            None
        } else {
            self.record(before.as_ref(), plan.role)?
        };
        let certificate = certificate::first(&self);
        self.join_peers();
        let plan = if plan.role == Role::Primary {
            self.settle(plan)
        } else {
            self.leave_primary(before.as_ref());
            plan
        };
        if plan.phase == Phase::Releasing {
            // The plugin's node does the work; this one only lets GoCD go on.
            self.events
                .push(Event::Release(promote::release_properties(self.settings.flag)));
            return Ok(Parts {
                stop: self.stop,
                hold: None,
                runtime: None,
                threads: Arc::default(),
                answers: None,
                ending: Vec::new(),
                serve: None,
                _state: self.state,
            });
        }
        self.run(plan, certificate, before, promoted_ms)
    }

    /// Writes down what is decided, where that is news. Returns when this node was promoted, where it is a primary that
    /// was a standby.
    fn record(&self, before: Option<&Recorded>, role: Role) -> Result<Option<i64>, Error> {
        let now_ms = self.clock.now_ms();
        let mut record = Recorded::next(before, role, self.settings.flag, Source::of(&self.settings), now_ms);
        if role == Role::Primary && record.promoted_ms.is_none() && disk::keeps_anything(self.state.path()) {
            // It was a standby once; the version that promoted it did not write down when.
            record.promoted_ms = Some(now_ms);
        }
        if before != Some(&record) {
            record.save(self.state.path())?;
        }
        // A node without a JVM is told its folders by whoever starts it.
        if self.settings.face != Face::Cli {
            let changed = match role {
                Role::Primary => signpost::take_away(&self.settings.layout),
                Role::Standby | Role::Fenced => signpost::leave(&self.settings.layout),
            };
            if let Err(error) = changed {
                warn!("{error}");
                self.raise("signpost", Severity::Warning, error.to_string());
            }
        }
        Ok(record.promoted_ms)
    }

    fn run(
        self,
        plan: Plan,
        certificate: Option<certificate::Keeper>,
        before: Option<Recorded>,
        promoted_ms: Option<i64>,
    ) -> Result<Parts, Error> {
        let Plan { role, phase, .. } = plan;
        let holds = phase == Phase::Holding;
        // Before anything else, so that nothing that takes its time is taken for silence.
        let hold = (holds && self.settings.face == Face::Agent)
            .then(|| hold::start(&self))
            .flatten();
        (self.room)()?;
        let board = (Arc::clone(&self.board), Arc::clone(&self.clock));
        let runtime = Threads::start("bc-node", THREADS_OF_FILES, &self.dispatch, Some(board))?;
        let supervisor = Supervisor::new(&self, runtime.handle());
        let answers = Threads::start("bc-answer", THREADS_OF_ORDERS, &self.dispatch, None)?;
        let answering = supervisor.of_answers(answers.handle());
        let mut ending = Vec::new();
        let token = token_watch::start(&self, &supervisor);
        if let Some(certificate) = certificate {
            certificate.start(&self, &supervisor);
        }
        let offers = role == Role::Primary && phase == Phase::Running;
        let offer = if offers {
            let (offer, reading) = primary::start(&self, &supervisor)?;
            ending.push(reading);
            scan_watch::start(&self, &supervisor);
            Some(offer)
        } else {
            None
        };
        let store = standby::Place::of(&self);
        let newest = Newest::default();
        let nodes = plan.follows.then(|| store.both_nodes(&newest));
        let context = Context {
            settings: Arc::clone(&self.settings),
            status: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            token: token.clone(),
            offer,
            rejections: RejectionLog::new(Arc::clone(&self.board)),
            standbys: offers.then(|| standbys::start(&self, &supervisor)),
            run: Arc::clone(&self.run),
            files: runtime.handle().clone(),
            md5s: Md5Desk::new(nodes, self.stop.clone()),
        };
        let following = plan
            .follows
            .then(|| standby::start(&self, &supervisor, &context, store.clone(), newest));
        let (puller, watching) = following.flatten().unzip();
        ending.extend(watching);
        ending.extend(ports::start(
            &self,
            &answering,
            &context,
            holds && self.settings.face == Face::Agent,
        ));
        let place = if holds { Place::Held } else { Place::Running };
        let (serving, serve) = plan.may_serve.then(mpsc::channel).unzip();
        let promotion = Arc::new(self.promotion(place, puller, store, serving));
        orders::start(&self, &supervisor, &answering, &context, &promotion);
        if offers {
            let epoch = self.board.look(|status| status.epoch.clone());
            if let Some(message) = unacknowledged::message(self.state.path(), &epoch) {
                error!("CRITICAL {message}");
                self.raise(demote::TOPIC_UNACKNOWLEDGED, Severity::Critical, message);
            }
            if let Some(promoted_ms) = promoted_ms {
                retention::start(&self, &supervisor, promoted_ms);
            }
        }
        if let Some(recorded) = before.filter(|_| plan.asks) {
            question::start(&self, &supervisor, &token, promotion, recorded);
        }
        if self.settings.face == Face::Plugin {
            health::start(&self, &supervisor);
            if role != Role::Primary && !plan.asks {
                unprotected::start(&self, &supervisor);
            }
        }
        let headline = self.board.picture(self.clock.now_ms()).headline();
        info!("{headline} (node {}, key {})", self.state.node_id(), self.own.shown());
        Ok(Parts {
            stop: self.stop,
            hold,
            runtime: Some(runtime),
            threads: supervisor.threads(),
            answers: Some(answers),
            ending,
            serve,
            _state: self.state,
        })
    }

    fn promotion(
        &self,
        place: Place,
        puller: Option<PullerOrders>,
        store: standby::Place,
        serve: Option<mpsc::Sender<()>>,
    ) -> Promotion {
        Promotion {
            board: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            state: Arc::clone(&self.state),
            flag: self.settings.flag,
            place,
            accept_wait: self.settings.accept_wait,
            events: Arc::clone(&self.events),
            puller,
            store: Arc::new(move || store.open()),
            serve,
            running: AtomicBool::new(false),
        }
    }

    /// What an apply left half live while this node was a standby, and what its record says of what is live. A promotion
    /// records its role only once the set is whole, so there is something left only of an older version's, or where
    /// somebody put files of the state folder back.
    ///
    /// While GoCD does not run yet it is finished, and where that is impossible GoCD does not start: it stays held until
    /// a person promotes this node anew. Where GoCD runs it is given up, since carried out later it would put old files in
    /// the place of newer ones. What is live from now on is GoCD's own, and no generation any more.
    fn settle(&self, plan: Plan) -> Plan {
        let settled = if plan.phase == Phase::Releasing {
            disk::settle(self.state.path(), &self.settings.layout, Arc::clone(&self.clock))
        } else {
            disk::abandon(self.state.path()).map(|was_there| {
                if was_there {
                    warn!(
                        "a sync of this node's time as a standby was interrupted and is not finished, since GoCD may \
                         run: check that configuration and plugins belong together"
                    );
                }
            })
        };
        if let Err(problem) = settled {
            if plan.phase == Phase::Releasing {
                let message = format!(
                    "a sync of this server's time as a standby was interrupted and cannot be finished, so GoCD would \
                     start on a part of one set and a part of another: {problem}. Mend that and restart this server, or \
                     run `gocd-bc promote --without-database`, with `--as-it-is` if it is to start all the same."
                );
                error!("CRITICAL {message}");
                self.raise("store", Severity::Critical, message);
                let plan = Plan::unknown(self.settings.face);
                self.board.update(|status| {
                    status.role = plan.role;
                    status.phase = plan.phase;
                });
                return plan;
            }
            warn!("{problem}");
            self.raise("store", Severity::Critical, problem.to_string());
        }
        self.forget_applied();
        plan
    }

    /// GoCD has written its files itself while this node was a primary: what was applied before that is not what is live.
    fn leave_primary(&self, before: Option<&Recorded>) {
        if before.is_some_and(|before| before.role == Role::Primary) {
            self.forget_applied();
        }
    }

    fn forget_applied(&self) {
        if let Err(error) = disk::forget_applied(self.state.path()) {
            warn!("{error}");
            self.raise("store", Severity::Warning, error.to_string());
        }
    }

    /// Adds our own key to the peers file, token or not, so that it comes along when the administrator copies
    /// the configuration folder.
    fn join_peers(&self) {
        let own = self.own.peer(self.own.shown());
        let file = PeersFile::of(&self.settings.layout);
        peers_file::join(&file, own, &self.board, &*self.clock);
    }
}

/// What reading the record gave.
type RoleFile = Result<Option<Recorded>, Error>;

/// What a node is to be and do, by the decision at its start and by who started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    role: Role,
    phase: Phase,
    /// Whether it follows the primary.
    follows: bool,
    /// Whether it asks the primary before it is decided.
    asks: bool,
    /// Whether it may be promoted although GoCD runs: no flag asks for a standby, and only its record keeps it from
    /// serving.
    may_serve: bool,
}

impl Plan {
    fn of(decision: Start, face: Face) -> Self {
        let held = match face {
            Face::Agent | Face::Cli => Phase::Holding,
            // GoCD runs already, and nobody can hold it any more.
            Face::Plugin => Phase::Running,
        };
        let follows = held == Phase::Holding;
        let standby = |follows, asks| Self {
            role: Role::Standby,
            phase: held,
            follows,
            asks,
            may_serve: asks && face == Face::Plugin,
        };
        match decision {
            Start::Release => Self {
                role: Role::Primary,
                phase: if face == Face::Agent {
                    Phase::Releasing
                } else {
                    Phase::Running
                },
                follows: false,
                asks: false,
                may_serve: false,
            },
            Start::HoldStandby => standby(follows, false),
            Start::Ask => standby(follows, true),
            Start::HoldUnknown => Self::unknown(face),
            Start::HoldFenced => Self {
                role: Role::Fenced,
                ..standby(false, false)
            },
        }
    }

    /// Of a node that opens nothing and touches nothing, until a person says what it is.
    fn unknown(face: Face) -> Self {
        Self {
            follows: false,
            may_serve: face == Face::Plugin,
            ..Self::of(Start::HoldStandby, face)
        }
    }
}

/// The settings, with the primary of the record where no flag is left and none is named: whoever replaced the JVM's
/// options took that away as well. A setting that is wrong is not completed.
fn completed(mut settings: Settings, mistakes: &[Mistake], recorded: &RoleFile) -> Settings {
    let Ok(Some(Recorded {
        role: Role::Standby,
        source: Some(source),
        ..
    })) = recorded
    else {
        return settings;
    };
    const OF_THE_PRIMARY: [&str; 3] = ["bc.primary.url", "bc.primary.fingerprint", "bc.tls.ca"];
    let is_wrong = mistakes
        .iter()
        .any(|mistake| OF_THE_PRIMARY.contains(&&*mistake.property));
    if settings.flag == Flag::None && settings.primary_url.is_none() && !is_wrong {
        let (pin, authority) = (settings.primary_fingerprint.clone(), settings.tls_ca.clone());
        source.prove_by(&mut settings);
        if pin.is_set() || authority.is_set() {
            (settings.primary_fingerprint, settings.tls_ca) = (pin, authority);
        }
    }
    settings
}

/// The channel on which a puller takes orders.
pub(crate) type PullerOrders = tokio::sync::mpsc::Sender<bc_core::pull::PullOrder>;

#[cfg(test)]
mod tests;
