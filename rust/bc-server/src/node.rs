//! One running node: settings in, events out.
//!
//! | module | does |
//! |---|---|
//! | this one | opens a node, and closes it |
//! | `beginning` | takes the role, and leaves the state folder as that role needs it, before anything runs |
//! | `primary` | reads the folders of a primary and offers what it finds |
//! | `scan_watch` | says so when the primary's folders have not been read for long |
//! | `standby` | follows the primary |
//! | `standby_watch` | shows what a primary knows of its standbys |
//! | `store_keeper` | looks after the store of a standby, and whether its live files are what they should be |
//! | `live_watch` | hears when the live files of a standby are touched |
//! | `hints` | says why nothing is heard of changed files |
//! | `certificate_watch` | shows the certificate that an administrator gives the node, and watches its files |
//! | `token_watch` | reads the token, and watches its file |
//! | `peers_file` | reads and writes the peers file, and says where it cannot |
//! | `rotation` | gives a primary another key |
//! | `ports` | keeps the TLS port, the plain port and, while held, GoCD's own port bound; reports ports nobody can connect to |
//! | `sync_order` | carries out a pull that an administrator orders |
//! | `hold` | says that GoCD must wait, for as long as it must |
//! | `promote` | promotes the node: lets GoCD run |
//! | `peer_book` | keeps the list of the other nodes, and makes the connections to them |
//! | `guard` | asks them before a server that is to be the primary starts |
//! | `peer_watch` | asks them again and again while a primary runs |
//! | `epochs` | goes by what else says it where the file of epochs is damaged |
//! | `fence` | writes down and says that another node has a higher epoch |
//! | `take_over` | makes a fenced or held server the primary again, by a person's order; takes a hand-over back |
//! | `hand_over` | orders a running primary to hand over |
//! | `handing_over` | tells what a held primary hands over |
//! | `question` | asks the primary where the flag of a standby is gone |
//! | `database` | watches GoCD's database |
//! | `demote` | makes this server a standby from its next start on, or forgets what it was; also ends the question, and the note of a promotion by itself, when a person decides |
//! | `landing` | looks at what GoCD had in its hands when this server was promoted |
//! | `artifacts` | looks whether artifacts of earlier runs will be there after a promotion |
//! | `agents` | asks a promoted GoCD which of its agents are back |
//! | `retention` | lets go of what a standby had kept before it was promoted: in its time, or when a person orders it |
//! | `reopen` | opens the node again where GoCD runs already and it is to serve |
//! | `orders` | answers the local socket |
//! | `audit_writer` | writes down what was ordered |
//! | `generation_orders` | answers what the local socket is asked about kept generations, and goes back to one |
//! | `gocd` | lets GoCD run, and asks it whether it does |
//! | `going_back` | goes back from a configuration on which a promoted GoCD ended |
//! | `health` | keeps GoCD's health messages up to date |
//! | `unprotected` | says so when GoCD runs although a standby was asked for |
//! | `waiting` | opens a node later: a plugin's where its state folder is still locked or something else cannot be had, an agent's where it cannot be opened at all |
//! | `log` | makes log lines events |
//! | `threads` | has the threads of all of these, or says why not |
//! | `supervisor` | starts all of these, and starts again what has failed |
//!
//! [`Node::open`] decides the role and returns at once: it waits neither for the network nor for a lock. Everything
//! that runs afterwards belongs to two tokio runtimes, one thread for hearing of changed files and one that says that
//! GoCD must wait; [`Node::close`] joins them all.

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc},
    time::Duration,
};

use bc_core::{
    basics::{Clock, Error, Kind, NodeId, Properties, Severity, SystemClock, lock},
    generation::{Epoch, Highest, Layout, Role, Run, layout},
    gocd::version,
    keys::{Identity, OwnKeys},
    node::{Event, Events, audit::Audit},
    primary::scan::watch,
    role::{
        self, Ledger, Plan, Recorded, StateDir, memory::Memory, promotion::Place, ticks::StoodStill, unacknowledged,
    },
    settings::{Face, Mistake, Settings},
    standby::pull::newest::Newest,
    status::{Phase, Status, StatusBoard, Surroundings, Topic},
};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, error, info, warn};

pub use self::standby::host_name;

use self::{
    audit_writer::AuditWriter,
    promote::Promotion,
    supervisor::{PartThreads, RestartWaits, Supervisor},
    take_over::TakeOver,
    threads::Threads,
};
use crate::{
    client::HttpTransport,
    context::Context,
    md5s::Md5Desk,
    rejection_log::RejectionLog,
    tls::node_key::{NodeKey, Shown},
};

mod agents;
mod artifacts;
mod audit_writer;
mod beginning;
mod certificate_watch;
mod database;
mod demote;
mod epochs;
mod fence;
mod generation_orders;
mod gocd;
mod going_back;
mod guard;
mod hand_over;
mod handing_over;
mod health;
mod hints;
mod hold;
mod landing;
mod live_watch;
pub(crate) mod log;
mod orders;
mod peer_book;
mod peer_watch;
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
mod standby_watch;
mod store_keeper;
mod supervisor;
mod sync_order;
mod take_over;
mod threads;
mod token_watch;
mod unprotected;
mod waiting;

pub use self::database::look_at_database;

/// Longest wait for our threads when a node closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Threads that may wait for disks: one for each part for as long as it runs, and some for what peers ask.
const THREADS_OF_FILES: usize = 32;
/// Those of the local socket alone. They are not for everybody: who may only look has four of them, and as many orders
/// as the socket takes at once find one each.
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

/// What an open node consists of, all of which ends with it.
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
    /// Which epochs it knew when it opened.
    pub(crate) memory: Memory,
    pub(crate) identity: Arc<Identity>,
    pub(crate) key: Arc<NodeKey>,
    pub(crate) own: Arc<OwnKeys>,
    /// Which run of the node this is.
    pub(crate) run: Arc<Run>,
    pub(crate) gocd_version: Option<String>,
    pub(crate) stop: CancellationToken,
    pub(crate) dispatch: Dispatch,
    /// Where all that is ordered is written down.
    pub(crate) audit: AuditWriter,
    /// How long the supervisor waits before it starts a failed part again.
    pub(crate) restart_waits: RestartWaits,
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

    /// Opens a node from its settings: decides its role, records the decision, and starts what the role needs. Mistakes
    /// in the settings do not fail it; they are problems on its status. A plugin's node whose state folder is still
    /// open elsewhere, or for which there are not enough threads or descriptors, is no error: it opens once they can be
    /// had. Nor is it one of an agent's node, unless nothing says that its server was ever more than a plain GoCD: it says
    /// that GoCD must wait, and tries again.
    ///
    /// # Errors
    /// The state folder cannot be used: not writable, damaged, or open in another process. [`Kind::Exhausted`] where
    /// the operating system has not the threads or descriptors that a node needs.
    pub fn open(properties: &Properties) -> Result<Self, Error> {
        Self::open_as(properties, |_| {})
    }

    /// Opens a node as [`Node::open`] does, after `change` has replaced in the assembly what a test wants replaced.
    fn open_as(properties: &Properties, change: impl FnOnce(&mut Assembly)) -> Result<Self, Error> {
        let (settings, mistakes) = Settings::parse(properties, layout::may_be_there);
        let events = Arc::new(Events::default());
        let dispatch = log::dispatch(Arc::clone(&events), settings.log_level);
        let mut serve = None;
        let is_agent = settings.face == Face::Agent;
        let opened = if is_agent {
            // What the JVM is told of a panic would let a primary go.
            panic::catch_unwind(AssertUnwindSafe(|| {
                Parts::open(&settings, &mistakes, &events, &dispatch, change)
            }))
            .unwrap_or_else(|_| Err(waiting::failed()))
        } else {
            Parts::open(&settings, &mistakes, &events, &dispatch, change)
        };
        let life = match opened {
            Ok(mut parts) => {
                serve = parts.serve.take();
                Life::Open(Box::new(parts))
            }
            Err(error) if waits_after(&error, &settings) => {
                let (of_node, adopted) = (Arc::clone(&events), dispatch.clone());
                let face = settings.face;
                let open = move || Parts::open(&settings, &mistakes, &of_node, &adopted, |_| {});
                let waiting = waiting::start(open, face, error, Arc::clone(&events), dispatch.clone());
                match waiting {
                    Ok(waiting) => Life::Waiting(waiting),
                    // It was said that GoCD must wait, and nobody is left to say anything else.
                    Err(_) if is_agent => Life::Closed,
                    Err(error) => return Err(error),
                }
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
        *lock(&node.reopener) = reopener.transpose()?;
        Ok(node)
    }

    /// The next event of the node; none when nothing came within `wait` or the node is closed.
    pub fn next_event(&self, wait: Duration) -> Option<Event> {
        self.events.next(wait)
    }

    /// Gives an event back to the node that could not be delivered.
    pub fn put_back(&self, event: Event) {
        self.events.put_back(event);
    }

    /// Closes the node: ports refuse, connections are closed, threads joined. Bounded to a few seconds; a second call
    /// does nothing.
    pub fn close(&self) {
        let life = std::mem::replace(&mut *lock(&self.life), Life::Closed);
        let parts = match life {
            Life::Closed => return,
            Life::Open(parts) => Some(*parts),
            Life::Waiting(waiting) => waiting.end(),
        };
        if let Some(parts) = parts {
            tracing::dispatcher::with_default(&self.dispatch, || parts.close());
        }
        let reopener = lock(&self.reopener).take();
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
    /// Puts the running parts of a node together, with all mistakes in its settings on its status.
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
                let topic = Topic::Setting(mistake.property.clone());
                let message = Some(mistake.to_string());
                assembly.board.warn(&topic, Severity::Critical, message);
            }
            for (number, notice) in assembly.settings.notices.iter().enumerate() {
                let topic = Topic::Notice(number);
                assembly.board.warn(&topic, Severity::Warning, Some(notice.clone()));
            }
            assembly.start(recorded)
        })
    }

    /// Ends the running parts of a node: tells them, waits for them, and joins their threads.
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
    /// Makes what the parts of a node are made from, with what is recorded of the node, or why that cannot be read.
    fn new(
        mut settings: Settings,
        mistakes: &[Mistake],
        events: Arc<Events>,
        dispatch: Dispatch,
    ) -> Result<(Self, RoleFile), Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = Arc::new(StateDir::open(settings.layout.state_dir())?);
        let recorded = Recorded::load(state.path());
        if let Ok(Some(recorded)) = &recorded {
            recorded.complete(&mut settings, mistakes);
        }
        let identity = Arc::new(Identity::load_or_create(state.path())?);
        let key = NodeKey::new(Shown::identity(&identity)?);
        let own = Arc::new(OwnKeys::new(state.node_id().clone(), identity.fingerprint()));
        let memory = epochs::remember(&state, &recorded);
        let now_ms = clock.now_ms();
        let run = Arc::new(Run::begin(standby::host_name(), state.path(), now_ms)?);
        let status = Status {
            fingerprint: Some(identity.fingerprint()),
            face: settings.face,
            flag: settings.flag,
            gocd: gocd::unasked(&settings, now_ms),
            surroundings: Some(surroundings(&settings)),
            highest_epoch: Some(Highest {
                node_id: whose(&memory.ledger, state.node_id()),
                epoch: memory.highest.clone(),
            }),
            epoch: memory.ledger.epoch.clone(),
            external_url: settings.external_url.clone(),
            file_check_interval_ms: settings.file_check_interval.as_millis() as u64,
            primary_check_interval_ms: settings.primary_check_interval.as_millis() as u64,
            ..Status::new(state.node_id(), Role::Primary, Phase::Starting, now_ms)
        };
        let board = StatusBoard::new(status, Arc::clone(&clock));
        let gocd_version = settings.launcher_jar.as_deref().map(version::of_jar);
        let gocd_version = match gocd_version.transpose() {
            Ok(version) => version.flatten(),
            Err(error) => {
                warn!("{error}");
                board.raise(&Topic::GocdVersion, Severity::Warning, error.to_string());
                None
            }
        };
        board.update(|status| status.gocd_version = gocd_version.clone());
        let board = Arc::new(board);
        let audit = Audit::new(Arc::clone(&state));
        let assembly = Self {
            settings: Arc::new(settings),
            audit: AuditWriter::new(audit, Arc::clone(&board), Arc::clone(&clock)),
            board,
            clock,
            events,
            state,
            memory,
            identity,
            key,
            own,
            run,
            gocd_version,
            stop: CancellationToken::new(),
            dispatch,
            restart_waits: RestartWaits::default(),
            hints: watch::watch,
            room: threads::room,
            #[cfg(test)]
            provoked: Arc::default(),
        };
        Ok((assembly, recorded))
    }

    /// Puts a problem on the status board of the node.
    pub(crate) fn raise(&self, topic: &Topic, severity: Severity, message: String) {
        self.board.raise(topic, severity, message);
    }

    /// Starts the parts that a node of this role needs.
    fn run(
        self,
        plan: Plan,
        certificate: Option<certificate_watch::CertificateWatch>,
        recorded: RoleFile,
        promoted_ms: Option<i64>,
        book: Arc<peer_book::PeerBook>,
    ) -> Result<Parts, Error> {
        let Plan { role, phase, .. } = plan;
        let holds = matches!(phase, Phase::Holding | Phase::Starting);
        // Before anything else, so that nothing that takes its time is taken for silence.
        let hold = (holds && self.settings.face == Face::Agent)
            .then(|| hold::start(&self))
            .flatten();
        (self.room)()?;
        let board = Some(Arc::clone(&self.board));
        let runtime = Threads::start("bc-node", THREADS_OF_FILES, &self.dispatch, board)?;
        let supervisor = Supervisor::new(&self, runtime.handle());
        let answers = Threads::start("bc-answer", THREADS_OF_ORDERS, &self.dispatch, None)?;
        let answering = supervisor.of_answers(answers.handle());
        let mut ending = Vec::new();
        let token = token_watch::start(&self, &supervisor);
        if let Some(certificate) = certificate {
            certificate.start(&supervisor);
        }
        let runs = role == Role::Primary && phase == Phase::Running;
        let offers = runs || plan.hands_over;
        let replaced = database::Replaced::new(None);
        let told = Arc::<Notify>::default();
        let still = Arc::<StoodStill>::default();
        hand_over::show_last(&self.state, &self.board);
        if role == Role::Fenced {
            // What is said does not wait for a disk.
            let found = fence::Fenced::of(&self, &book).found_at_open(recorded.clone());
            runtime.handle().spawn(found);
        }
        let handing_over = plan
            .hands_over
            .then(|| handing_over::HandingOver::of(&self, runtime.handle()));
        if offers {
            database::start(&self, &answering, runtime.handle(), None, Some(&replaced));
        }
        let offer = if offers {
            let (offer, reading) = primary::start(&self, &supervisor)?;
            ending.push(reading);
            scan_watch::start(&self, &supervisor);
            peer_watch::start(
                &self,
                &supervisor,
                &token,
                &book,
                (&replaced, &told),
                &still,
                handing_over.as_ref(),
            );
            Some(offer)
        } else {
            None
        };
        if let (Some(handing_over), Some(offer)) = (&handing_over, &offer) {
            handing_over.start(&answering, offer);
        }
        let store = standby::SharedStore::of(&self);
        let newest = Newest::default();
        let nodes = plan.follows.then(|| store.both_nodes(&newest));
        let context = Context {
            settings: Arc::clone(&self.settings),
            status: Arc::clone(&self.board),
            token: token.clone(),
            offer,
            rejections: RejectionLog::new(Arc::clone(&self.board)),
            standbys: offers.then(|| standby_watch::start(&self, &supervisor, &book)),
            run: Arc::clone(&self.run),
            files: runtime.handle().clone(),
            replaced: told,
            still,
            md5s: Md5Desk::new(nodes, self.stop.clone()),
        };
        let following = plan
            .follows
            .then(|| standby::start(&self, (&supervisor, &answering), &context, store.clone(), newest));
        let (puller, primary, watching) = match following.flatten() {
            Some((puller, primary, watching)) => (Some(puller), Some(primary), Some(watching)),
            None => (None, None, None),
        };
        ending.extend(watching);
        ending.extend(ports::start(
            &self,
            &answering,
            &context,
            holds && self.settings.face == Face::Agent,
        ));
        let place = if holds { Place::Held } else { Place::Running };
        let (serving, serve) = plan.may_serve.then(mpsc::channel).unzip();
        let promotion = Arc::new(self.promotion(place, (puller, primary), store, serving));
        promotion.show_last();
        if runs {
            promote::hook::start(&supervisor, &promotion);
        }
        if holds && plan.follows && self.settings.watches_database {
            promote::preflight::start(&answering, &promotion);
        }
        let guard = plan.guards.then(|| {
            let own = self.memory.own.clone();
            guard::start_asking(&self, &supervisor, &token, Arc::clone(&book), recorded.clone(), own)
        });
        let take_over = TakeOver::of(&self, &token, &book, handing_over);
        orders::start(&self, &supervisor, &answering, &context, &promotion, (guard, take_over));
        if offers {
            let epoch = self.board.look(|status| status.epoch.clone());
            if let Some(message) = unacknowledged::message(self.state.path(), &epoch) {
                error!("CRITICAL {message}");
                self.raise(&Topic::UnorderedPromotion, Severity::Critical, message);
            }
            if let Some(promoted_ms) = promoted_ms.filter(|_| runs) {
                retention::start(&self, &supervisor, promoted_ms);
                landing::start(&self, &answering, runtime.handle(), promoted_ms);
                agents::start(&self, &answering, runtime.handle());
            }
        }
        if let Some(recorded) = recorded.ok().flatten().filter(|_| plan.asks) {
            question::start(&self, &supervisor, &token, promotion, recorded);
        }
        if self.settings.face == Face::Plugin {
            health::start(&self, &supervisor);
            gocd::start(&self, &answering, runtime.handle());
            if role != Role::Primary && !plan.asks {
                unprotected::start(&self, &supervisor);
            }
        }
        artifacts::start(&self, &answering, runtime.handle());
        let headline = self.board.picture().headline();
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

    /// Makes what a node needs to be promoted.
    fn promotion(
        &self,
        place: Place,
        (puller, primary): (Option<PullerOrders>, Option<Arc<HttpTransport>>),
        store: standby::SharedStore,
        serve: Option<mpsc::Sender<()>>,
    ) -> Promotion {
        Promotion {
            board: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            settings: Arc::clone(&self.settings),
            state: Arc::clone(&self.state),
            run: Arc::clone(&self.run),
            flag: self.settings.flag,
            place,
            accept_wait: self.settings.accept_wait,
            launch: gocd::Launch::of(self),
            puller,
            primary,
            database: promote::Database::of(&self.settings),
            launcher: self.settings.launcher_jar.as_ref().and_then(|path| {
                let waits = self.settings.face == Face::Agent;
                Some((path.clone(), promote::Stamp::of(path).filter(|_| waits)?))
            }),
            store: Arc::new(move || store.open()),
            serve,
            running: AtomicBool::new(false),
            #[cfg(test)]
            provoked: Arc::clone(&self.provoked),
        }
    }
}

/// Whether a node that did not open for this reason is opened later. Where it is an agent's, GoCD waits for it, unless
/// nothing says that this server was ever one of a pair.
fn waits_after(error: &Error, settings: &Settings) -> bool {
    match settings.face {
        Face::Plugin => matches!(error.kind(), Kind::Busy | Kind::Exhausted),
        Face::Agent => !role::is_plain(settings),
        Face::Cli => false,
    }
}

/// Whose the highest epoch in a ledger is, where it says so.
fn whose(ledger: &Ledger, own: &NodeId) -> Option<String> {
    if ledger.highest_epoch == ledger.epoch {
        return (ledger.epoch != Epoch::default()).then(|| own.to_string());
    }
    let followed = ledger.followed.as_ref();
    followed
        .filter(|followed| followed.epoch == ledger.highest_epoch)
        .map(|followed| followed.node_id.clone())
}

/// What this node runs in.
fn surroundings(settings: &Settings) -> Surroundings {
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Surroundings::new(settings.java_version.clone(), settings.agent_present, variables)
}

/// What reading the record gave.
type RoleFile = Result<Option<Recorded>, Error>;

/// The channel on which a puller takes orders.
pub(crate) type PullerOrders = tokio::sync::mpsc::Sender<bc_core::standby::pull::PullOrder>;

#[cfg(test)]
mod tests;
