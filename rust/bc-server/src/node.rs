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
//! | `certificate` | the certificate that an administrator gives the node |
//! | `rotation` | gives a primary another key |
//! | `ports` | keeps the TLS port, the plain port and, while held, GoCD's own port bound |
//! | `sync` | a pull that an administrator orders |
//! | `hold` | says that GoCD must wait, for as long as it must |
//! | `promote` | lets GoCD run |
//! | `orders` | answers the local socket |
//! | `generations` | what is asked there about kept generations |
//! | `health` | GoCD's health messages |
//! | `unprotected` | says so when GoCD runs although a standby was asked for |
//! | `waiting` | opens a plugin's node later, where its state folder is still locked |
//! | `log` | log lines as events |
//! | `supervisor` | starts all of these, and starts again what has failed |
//!
//! [`Node::open`] decides the role and returns at once: it waits neither for the network nor for a lock. Everything that
//! runs afterwards belongs to two tokio runtimes, one thread for hearing of changed files and one that says that GoCD must
//! wait; [`Node::close`] joins them all.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
    role::{self, Recorded, Start},
    scan::watch,
    settings::{Face, Mistake, Settings},
    state_dir::StateDir,
    status::{Phase, Severity, Status, StatusBoard},
    store::disk,
};
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, info, warn};

use self::supervisor::{Patience, Supervisor};
use crate::{
    context::Context,
    rejection_log::RejectionLog,
    tls::node_key::{NodeKey, Shown},
};

mod certificate;
mod generations;
mod health;
mod hold;
mod keeper;
mod live_watch;
pub(crate) mod log;
mod orders;
mod peers_file;
mod ports;
mod primary;
mod promote;
mod rotation;
mod scan_watch;
mod standby;
mod standbys;
mod supervisor;
mod sync;
mod token_watch;
mod unprotected;
mod waiting;

/// Longest wait for our threads when a node closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Threads that may wait for disks: one for each part, and some for what peers ask.
const THREADS_OF_FILES: usize = 32;
/// Those of the local socket alone. They are not for everybody: who may only look has four of them, and as many orders as
/// the socket takes at once find one each.
const THREADS_OF_ORDERS: usize = 64;

/// A node. Dropping it closes it.
pub struct Node {
    events: Arc<Events>,
    dispatch: Dispatch,
    life: Mutex<Life>,
}

/// How far a node has come.
enum Life {
    Waiting(waiting::Waiting),
    Open(Parts),
    Closed,
}

/// Everything that has to be ended.
struct Parts {
    stop: CancellationToken,
    hold: Option<hold::Renewal>,
    /// For everything that may touch files.
    runtime: Option<Runtime>,
    /// For what must answer whatever the disks do.
    answers: Option<Runtime>,
    /// What has to be over before the node is closed.
    ending: Vec<JoinHandle<()>>,
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
    pub(crate) gocd_version: Option<String>,
    pub(crate) stop: CancellationToken,
    pub(crate) dispatch: Dispatch,
    /// How long is waited before a part that has failed is started again.
    pub(crate) patience: Patience,
    /// Where hints of changed files come from.
    pub(crate) hints: HintsOf,
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
    /// elsewhere is no error: it opens once the folder is free.
    ///
    /// # Errors
    /// The state folder cannot be used: not writable, damaged, or open in another process.
    pub fn open(properties: &Properties) -> Result<Self, Error> {
        Self::open_as(properties, |_| {})
    }

    /// The same; `change` may put other things in the place of what a node is made of.
    fn open_as(properties: &Properties, change: impl FnOnce(&mut Assembly)) -> Result<Self, Error> {
        let (settings, mistakes) = Settings::parse(properties, layout::may_be_there);
        let events = Arc::new(Events::default());
        let dispatch = log::dispatch(Arc::clone(&events), settings.log_level);
        let life = match Parts::open(&settings, &mistakes, &events, &dispatch, change) {
            Ok(parts) => Life::Open(parts),
            Err(error) if settings.face == Face::Plugin && error.kind() == Kind::Busy => {
                let (of_node, adopted) = (Arc::clone(&events), dispatch.clone());
                let open = move || Parts::open(&settings, &mistakes, &of_node, &adopted, |_| {});
                Life::Waiting(waiting::start(open, error, Arc::clone(&events), dispatch.clone())?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            events,
            dispatch,
            life: Mutex::new(life),
        })
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
            Life::Open(parts) => Some(parts),
            Life::Waiting(waiting) => waiting.end(),
        };
        if let Some(parts) = parts {
            tracing::dispatcher::with_default(&self.dispatch, || parts.close());
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
    fn open(
        settings: &Settings,
        mistakes: &[Mistake],
        events: &Arc<Events>,
        dispatch: &Dispatch,
        change: impl FnOnce(&mut Assembly),
    ) -> Result<Self, Error> {
        tracing::dispatcher::with_default(dispatch, || {
            let mut assembly = Assembly::new(settings.clone(), Arc::clone(events), dispatch.clone())?;
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
            assembly.start()
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
                answers.shutdown_timeout(CLOSE_WITHIN / 3);
            }
            runtime.shutdown_timeout(CLOSE_WITHIN);
        }
    }
}

impl Assembly {
    fn new(settings: Settings, events: Arc<Events>, dispatch: Dispatch) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let state = Arc::new(StateDir::open(settings.layout.state_dir())?);
        let identity = Arc::new(Identity::load_or_create(state.path())?);
        let key = NodeKey::new(Shown::identity(&identity)?);
        let own = Arc::new(OwnKeys::new(state.node_id(), identity.fingerprint()));
        let ledger = state.ledger()?;
        let now_ms = clock.now_ms();
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
        Ok(Self {
            settings: Arc::new(settings),
            board: Arc::new(board),
            clock,
            events,
            state,
            identity,
            key,
            own,
            gocd_version,
            stop: CancellationToken::new(),
            dispatch,
            patience: Patience::default(),
            hints: watch::watch,
            #[cfg(test)]
            provoked: Arc::default(),
        })
    }

    /// Puts a problem on the board.
    pub(crate) fn raise(&self, topic: &str, severity: Severity, message: String) {
        self.board.raise(topic, severity, message, self.clock.now_ms());
    }

    /// Decides the role and starts its parts.
    fn start(self) -> Result<Parts, Error> {
        let recorded = Recorded::load(self.state.path())?;
        let decision = role::start(self.settings.flag, recorded);
        let (role, phase) = match (decision, self.settings.face) {
            (Start::Release, Face::Agent) => (Role::Primary, Phase::Releasing),
            (Start::Release, Face::Plugin | Face::Cli) => (Role::Primary, Phase::Running),
            (Start::HoldStandby, Face::Plugin) => (Role::Standby, Phase::Running),
            (Start::HoldStandby, Face::Agent | Face::Cli) => (Role::Standby, Phase::Holding),
            (Start::HoldFenced, Face::Plugin) => (Role::Fenced, Phase::Running),
            (Start::HoldFenced, Face::Agent | Face::Cli) => (Role::Fenced, Phase::Holding),
        };
        self.board.update(|status| {
            status.role = role;
            status.phase = phase;
        });
        let record = Recorded {
            role,
            flag: self.settings.flag,
        };
        if recorded != Some(record) {
            record.save(self.state.path())?;
        }
        let certificate = certificate::first(&self);
        self.join_peers();
        if role == Role::Primary {
            self.settle(phase);
        }
        if phase == Phase::Releasing {
            // The plugin's node does the work; this one only lets GoCD go on.
            self.events
                .push(Event::Release(promote::release_properties(self.settings.flag)));
            return Ok(Parts {
                stop: self.stop,
                hold: None,
                runtime: None,
                answers: None,
                ending: Vec::new(),
                _state: self.state,
            });
        }
        self.run(role, phase, certificate)
    }

    fn run(self, role: Role, phase: Phase, certificate: Option<certificate::Keeper>) -> Result<Parts, Error> {
        let holds = phase == Phase::Holding;
        // Before anything else, so that nothing that takes its time is taken for silence.
        let hold = (holds && self.settings.face == Face::Agent)
            .then(|| hold::start(&self))
            .flatten();
        let runtime = self.runtime("bc-node", THREADS_OF_FILES)?;
        let supervisor = Supervisor::new(&self, runtime.handle());
        let answers = self.runtime("bc-answer", THREADS_OF_ORDERS)?;
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
        let context = Context {
            settings: Arc::clone(&self.settings),
            status: Arc::clone(&self.board),
            clock: Arc::clone(&self.clock),
            token,
            offer,
            rejections: RejectionLog::new(Arc::clone(&self.board)),
            standbys: offers.then(|| standbys::start(&self, &supervisor)),
            files: runtime.handle().clone(),
        };
        let puller = if role == Role::Standby && holds {
            standby::start(&self, &supervisor, &context).map(|(orders, watching)| {
                ending.push(watching);
                orders
            })
        } else {
            None
        };
        ending.extend(ports::start(
            &self,
            &answering,
            &context,
            holds && self.settings.face == Face::Agent,
        ));
        orders::start(&self, &supervisor, &answering, &context, puller);
        if self.settings.face == Face::Plugin {
            health::start(&self, &supervisor);
            if role != Role::Primary {
                unprotected::start(&self, &supervisor);
            }
        }
        let headline = self.board.picture(self.clock.now_ms()).headline();
        info!("{headline} (node {}, key {})", self.state.node_id(), self.own.shown());
        Ok(Parts {
            stop: self.stop,
            hold,
            runtime: Some(runtime),
            answers: Some(answers),
            ending,
            _state: self.state,
        })
    }

    /// Threads for a part of this node; `files` of them at most may wait for disks at once.
    fn runtime(&self, name: &str, files: usize) -> Result<Runtime, Error> {
        let dispatch = self.dispatch.clone();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(files)
            .thread_name(name)
            .on_thread_start(move || log::adopt(&dispatch))
            .enable_all()
            .build()
            .map_err(|error| Error::io("start threads for the node in", self.state.path(), &error))
    }

    /// What an apply left half live while this node was a standby: finished while GoCD does not run yet, forgotten
    /// where it may, and with it all that only a standby keeps. GoCD starts in any case.
    fn settle(&self, phase: Phase) {
        let settled = if phase == Phase::Releasing {
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
        if let Err(error) = settled {
            warn!("{error}");
            self.raise("store", Severity::Critical, error.to_string());
        }
        if phase == Phase::Running
            && let Err(error) = disk::release(self.state.path())
        {
            warn!("{error}");
            self.raise("generations", Severity::Warning, error.to_string());
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

#[cfg(test)]
mod tests;

/// The channel on which a puller takes orders.
pub(crate) type PullerOrders = mpsc::Sender<bc_core::pull::PullOrder>;
