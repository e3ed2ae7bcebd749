//! Lets GoCD run on what was verified: carries out what `bc_core::role::promotion` says is next.
//!
//! | module | does |
//! |---|---|
//! | this one | takes step after step, and tells the board |
//! | `files` | the steps that touch files: the last pull, the accepted configuration, the reading of all |
//! | `handed_over` | the steps where the primary hands over |
//! | `database` | the steps that touch the database: the replay, the promotion, the checkpoint |
//! | `preflight` | gathers what speaks against a promotion, also while none is on its way |
//! | `command` | runs what an administrator has set |
//! | `hook` | has it run after a promotion |
//! | `stop_other` | the step that waits until a primary has stopped which was ordered to |
//! | `tell` | tells a former primary that still runs |
//! | `rest` | keeps the store from making anything live meanwhile |
//! | `caller` | who began it, and hears of each step |
//!
//! Each step is written down before it is taken and after it ([`Journal`]). A pull that fails never blocks the promotion: the primary is usually down when somebody
//! promotes. An apply that does not end does: GoCD must not start on files that change under it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use bc_core::{
    basics::{Clock, Error, Kind, Severity},
    database::picture::Picture,
    generation::{Role, Run},
    node::Reply,
    role::{
        StateDir,
        preflight::{About, Check, Verdict},
        promotion::{Came, Cause, Course, Journal, Next, Outcome, Place, Step, allow_maintenance},
        stopping::Stopping,
    },
    settings::{Flag, Settings},
    standby::{pull::PullOrder, store::disk::DiskStore},
    status::{Phase, StatusBoard, Topic, peers::fenced_message},
};
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{error, info, warn};

use self::{caller::Caller, rest::Rest};
pub(crate) use self::{
    caller::{AskAgain, Begun, WithDatabase},
    database::{Database, REPLAYED_WITHIN},
    preflight::Stamp,
};
use super::{
    PullerOrders,
    gocd::{How, Launch},
};
use crate::client::HttpTransport;

mod caller;
mod command;
mod database;
mod files;
mod handed_over;
pub(super) mod hook;
pub(super) mod preflight;
mod rest;
mod stop_other;
mod tell;

/// What a node needs to be promoted.
pub(crate) struct Promotion {
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<StateDir>,
    pub(crate) run: Arc<Run>,
    pub(crate) flag: Flag,
    /// Whether GoCD waits for it or runs already.
    pub(crate) place: Place,
    /// Longest time until GoCD has accepted a configuration.
    pub(crate) accept_wait: Duration,
    pub(crate) launch: Launch,
    /// None where there is nothing to pull from.
    pub(crate) puller: Option<PullerOrders>,
    /// The way to the primary that is followed; none where there is none.
    pub(crate) primary: Option<Arc<HttpTransport>>,
    pub(crate) database: Database,
    /// GoCD's launcher as it was when this node opened; none where no JVM waits with it.
    pub(crate) launcher: Option<(PathBuf, Stamp)>,
    /// The store of this node, opened where it is not yet.
    pub(crate) store: Arc<dyn Fn() -> Result<Arc<DiskStore>, Error> + Send + Sync>,
    /// Told where GoCD runs already and this node is to begin to serve; none where it must not.
    pub(crate) serve: Option<Sender<()>>,
    /// Whether a promotion runs or has succeeded: nobody promotes a node twice.
    pub(crate) running: AtomicBool,
    #[cfg(test)]
    pub(crate) provoked: Arc<super::supervisor::provoke::Provoked>,
}

/// Time for the answer to reach the caller before the node closes.
const ANSWER_TRAVELS: Duration = Duration::from_millis(100);

/// How long the watch may take to see the database for the first time.
const WATCHED_WITHIN: Duration = Duration::from_secs(5);

/// What is on its way.
struct Way {
    course: Course,
    caller: Caller,
    journal: Journal,
    accepts_loss: bool,
    forces: bool,
    /// The primary that is to stop, once it is known that one answers.
    stops: Option<Stopping>,
    replay_within: Duration,
    /// Whether GoCD is to start in its maintenance mode.
    maintenance: bool,
    /// Whether the former primary has heard of the epoch; none while nobody told it.
    told: Option<bool>,
    /// Keeps the store from making anything live, once GoCD may start on what is.
    rest: Option<Rest>,
}

/// That one runs. A promotion that ends in any way but well can be ordered anew.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Promotion {
    /// Promotes this node.
    pub(crate) async fn begin(self: Arc<Self>, begun: Begun) -> Reply {
        if self.running.swap(true, Ordering::AcqRel) {
            return Reply::refused("a promotion is already running", "Follow it with `gocd-bc status`.");
        }
        let running = Running(&self.running);
        let reply = self.carry_out(begun).await.unwrap_or_else(Reply::from);
        if !matches!(reply, Reply::Refused { .. }) {
            std::mem::forget(running);
        }
        reply
    }

    /// Answers what a promotion with the database would do now, and shows it.
    pub(crate) async fn answer_preflight(&self, accepts_loss: bool, forces: bool) -> Reply {
        let role = self.board.look(|status| status.role);
        if role == Role::Fenced {
            return replaced(&self.board);
        }
        if role != Role::Standby {
            return Reply::refused(
                format!("this node is a {role}, so there is nothing to promote"),
                "Run the command on the standby.",
            );
        }
        let found = self.preflight(accepts_loss, forces).await;
        self.board.update(|status| status.preflight = Some(found.clone()));
        Reply::Preflight {
            preflight: Box::new(found),
        }
    }

    /// Ends a promotion that came to no end before it touched the database, and has this node follow on.
    pub(crate) async fn abort(&self) -> Reply {
        if self.is_running() {
            return Reply::refused(
                "a promotion is running",
                "Wait for its end, and follow it with `gocd-bc status`.",
            );
        }
        self.undo().await.unwrap_or_else(Reply::from)
    }

    /// Undoes what a promotion left that came to no end.
    async fn undo(&self) -> Result<Reply, Error> {
        let role = self.board.look(|status| status.role);
        let journal = self.last_journal().await?;
        let Some(mut journal) =
            journal.filter(|journal| journal.outcome != Some(Outcome::Complete) && role == Role::Standby)
        else {
            return Err(Error::new(
                Kind::Refused,
                format!("this node is a {role} and has no promotion that came to no end"),
                "To make a promoted server a standby again, run `gocd-bc demote`.",
            ));
        };
        if journal.is_half_way() {
            return Err(Error::new(
                Kind::Refused,
                "that promotion had begun to promote the database, so it is not undone by this node",
                "Run `gocd-bc promote` again, which goes on from there. To go back all the same, make the database a standby \
                 again (`gocd-bc setup database-standby --reseed`), then run `gocd-bc sync --accept-rollback`.",
            ));
        }
        // The epoch that nobody led stays the highest; whom this node followed is right all the same.
        let state = Arc::clone(&self.state);
        let accepted = spawn_blocking(move || {
            state.change_ledger(|ledger| {
                ledger.accepted_epoch = ledger.followed.as_ref().map(|followed| followed.epoch.clone());
            })
        });
        accepted.await.unwrap_or_else(|_| Err(unwritten()))?;
        journal.ends(Outcome::Aborted, None);
        self.write_down(&journal).await?;
        self.go_on_following(None);
        info!("the promotion that came to no end is undone");
        let fences = journal.epoch.map(|epoch| {
            format!(
                ". It had begun epoch {}: a primary that hears of it, now or once a line heals, is fenced: \
                 `gocd-bc promote --take-over --accept-loss` there, where it is held then, makes it the primary again",
                epoch.number
            )
        });
        Ok(Reply::Done {
            message: format!(
                "the promotion is undone, and this node follows the primary as before{}",
                fences.unwrap_or_default()
            ),
        })
    }

    /// Whether a promotion of this node promotes a database as well: where GoCD is held, and the watch has not seen that it
    /// is none that is covered. Waits a moment for the watch to have looked.
    pub(crate) async fn has_database(&self) -> bool {
        if self.place == Place::Running || !self.database.is_watched {
            return false;
        }
        let end = Instant::now() + WATCHED_WITHIN;
        loop {
            let covered = |picture: &Picture| picture.not_covered.is_none();
            match self.board.look(|status| status.database.as_ref().map(covered)) {
                Some(covered) => return covered,
                // Nobody knows that there is none.
                None if Instant::now() >= end => return true,
                None => tokio::time::sleep(ANSWER_TRAVELS).await,
            }
        }
    }

    /// Whether a promotion runs or has succeeded.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Carries out a promotion step by step, as its course says what is next.
    async fn carry_out(self: &Arc<Self>, begun: Begun) -> Result<Reply, Error> {
        let (role, phase) = self.board.look(|status| (status.role, status.phase));
        if role == Role::Fenced {
            return Ok(replaced(&self.board));
        }
        let maintenance = begun.wants_maintenance();
        if maintenance {
            let version = self.board.look(|status| status.gocd_version.clone());
            allow_maintenance(self.place, self.settings.face, version.as_deref())?;
        }
        let (cause, with_database, caller) = begun.parts();
        let course = Course::begin(self.place, cause, role, phase, self.serve.is_some())?;
        match course.cause() {
            Cause::Order { with_database, .. } => {
                let how = if *with_database { "with" } else { "without" };
                info!("promotion {how} the database was ordered");
            }
            Cause::Itself { reason, .. } => error!("CRITICAL this server promotes itself: {reason}"),
        }
        let before = match self.last_journal().await {
            // A person says what it was, or the database is left alone.
            Err(error) if !course.cause().is_with_database() => {
                warn!("{error}");
                None
            }
            before => before?,
        };
        let mut way = Way {
            journal: Journal::begin(course.cause(), before.as_ref(), self.clock.now_ms()),
            course,
            caller,
            accepts_loss: with_database.is_some_and(|with| with.accepts_loss),
            forces: with_database.is_some_and(|with| with.forces),
            stops: None,
            replay_within: with_database.map_or(REPLAYED_WITHIN, |with| with.replay_within),
            maintenance,
            told: None,
            rest: None,
        };
        let ended = self.take_all(&mut way).await;
        let outcome = match &ended {
            Ok(()) => Outcome::Complete,
            Err(_) => Outcome::Ended,
        };
        way.journal.ends(outcome, ended.as_ref().err());
        if let Err(unwritten) = self.write_down(&way.journal).await {
            warn!("{unwritten}");
        }
        if let Err(error) = ended {
            warn!("the promotion ended, and this node is what it was: {error}");
            self.go_on_following(way.rest.take());
            return Err(match way.journal.is_half_way() {
                true => half_way(&error),
                false => error,
            });
        }
        self.release(way.maintenance);
        let maintained = match maintenance {
            true => {
                " in maintenance mode: it schedules nothing and takes no change of its configuration until somebody ends \
                 that at Admin > Server Maintenance Mode, or GoCD is restarted"
            }
            false => "",
        };
        let message = match (self.place, &way.journal.handed_over) {
            (Place::Held, None) => format!("GoCD is being released{maintained}"),
            (Place::Held, Some(token)) => {
                format!(
                    "GoCD is being released{maintained}; the node {:.8} handed over {token}",
                    token.node_id
                )
            }
            (Place::Running, _) => "this node begins to serve as the primary".to_owned(),
        };
        Ok(Reply::Done { message })
    }

    /// Takes all steps of a promotion, each written down before it and after it. What comes after one is written together
    /// with what comes before the next.
    async fn take_all(self: &Arc<Self>, way: &mut Way) -> Result<(), Error> {
        let mut step = way.course.step();
        loop {
            way.journal.step_begins(step, self.clock.now_ms());
            self.write_down(&way.journal).await?;
            #[cfg(test)]
            self.provoked.passes(step.name()).await;
            let begun = Instant::now();
            let came = self.take(step, way).await.unwrap_or_else(Came::Failed);
            if let Came::Began(epoch) = &came {
                way.journal.epoch = Some(epoch.clone());
            }
            let next = way.course.came_to(came);
            if matches!(next, Next::Take(_)) && step == Step::MakeWhole {
                way.caller.say(way.course.files()).await;
            }
            let said = way.caller.take_said();
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            match &next {
                Next::Ended(error) => way.journal.step_ends(took_ms, &error.to_string()),
                Next::Take(_) | Next::Complete => {
                    way.journal.step_ends(took_ms, &said);
                    way.caller.tell(&format!("{} ms: {}", took_ms, step.words())).await;
                }
            }
            match next {
                Next::Take(next) => step = next,
                Next::Ended(error) => return Err(error),
                Next::Complete => return Ok(()),
            }
        }
    }

    /// What is written down of the last promotion of this node.
    async fn last_journal(&self) -> Result<Option<Journal>, Error> {
        let state = Arc::clone(&self.state);
        let read = spawn_blocking(move || Journal::load(state.path())).await;
        read.unwrap_or_else(|_| Err(unwritten()))
    }

    /// Writes down how far a promotion is, and shows it.
    async fn write_down(&self, journal: &Journal) -> Result<(), Error> {
        self.board.update(|status| status.promotion = Some(journal.clone()));
        match journal.half_way_message() {
            Some(message) if !journal.is_interrupted() => {
                self.board.raise(&Topic::HalfPromotion, Severity::Critical, message);
            }
            _ => self.board.clear(&Topic::HalfPromotion),
        }
        let (state, journal) = (Arc::clone(&self.state), journal.clone());
        let written = spawn_blocking(move || journal.save(state.path())).await;
        written.unwrap_or_else(|_| Err(unwritten()))
    }

    /// Shows what an earlier run of this node has written down of its last promotion, and says so where that came half
    /// way.
    pub(crate) fn show_last(&self) {
        match Journal::load(self.state.path()) {
            Ok(Some(journal)) => {
                let is_standby = self.board.look(|status| status.role) == Role::Standby;
                if let Some(message) = journal.half_way_message().filter(|_| is_standby) {
                    error!("CRITICAL {message}");
                    self.board.raise(&Topic::HalfPromotion, Severity::Critical, message);
                }
                self.board.update(|status| status.promotion = Some(journal.clone()));
            }
            Ok(None) => {}
            Err(error) => {
                error!("CRITICAL {error}");
                self.board
                    .raise(&Topic::HalfPromotion, Severity::Critical, error.to_string());
            }
        }
    }

    /// Looks at all that may speak against a promotion, as its first step.
    async fn look_before(&self, way: &mut Way) -> Result<Came, Error> {
        let found = self.preflight(way.accepts_loss, way.forces).await;
        self.board.update(|status| status.preflight = Some(found.clone()));
        // Nobody is at a terminal who could accept a loss.
        let nobody_accepts = matches!(way.course.cause(), Cause::Itself { .. });
        let loses = |check: &&Check| nobody_accepts && check.about == About::Lag && check.verdict == Verdict::Warns;
        let refusals: Vec<_> = found.refusals().chain(found.checks.iter().filter(loses)).collect();
        if refusals.is_empty() {
            if let Some(token) = found.handed_over.clone() {
                way.is_handed(token);
            }
            if let Some(stopping) = found.stops.clone() {
                way.course.order_to_stop();
                way.stops = Some(stopping);
            }
            let loses = format!("nothing speaks against it; it loses {}", found.loss.words());
            way.caller.say(&loses).await;
            return Ok(Came::Done);
        }
        let seen: Vec<&str> = refusals.iter().map(|check| check.seen.trim_end_matches('.')).collect();
        let ways: Vec<&str> = refusals.iter().map(|check| check.way.as_str()).collect();
        Err(Error::new(Kind::Refused, seen.join("; "), ways.join(" ")))
    }

    /// Takes one step of a promotion.
    async fn take(self: &Arc<Self>, step: Step, way: &mut Way) -> Result<Came, Error> {
        match step {
            Step::Preflight => self.look_before(way).await,
            Step::ReplayDatabase => self.replay_database(way).await,
            Step::PromoteDatabase => self.promote_database(way).await,
            Step::Checkpoint => self.checkpoint(way).await,
            Step::LastPull => self.last_pull(way).await,
            Step::ConfirmHandOver => self.confirm_hand_over(way).await,
            Step::BackToAccepted => self.back_to_accepted(&way.caller).await,
            Step::MakeWhole => self.make_whole(way).await,
            Step::AskOnceMore => Ok(way.caller.ask_once_more().await),
            Step::BeginEpoch => {
                let came = self.begin_epoch(&way.course)?;
                if way.stops.is_none() {
                    self.tell_primary(way).await;
                }
                Ok(came)
            }
            Step::StopOther => self.stop_other(way).await,
            Step::Note => self.note(&way.course),
            Step::RecordRole => self.record_role(way).await,
            // What it came to is written down first, and whoever ordered it hears of it.
            Step::Release => {
                self.tell_primary(way).await;
                Ok(Came::Done)
            }
        }
    }

    /// Begins the new epoch of a promotion.
    fn begin_epoch(&self, course: &Course) -> Result<Came, Error> {
        let generation = |generation: &bc_core::status::Generation| generation.sequence;
        let applied = self
            .board
            .look(|status| status.generation.as_ref().map_or(0, generation));
        let epoch = course.begin_epoch(&self.state, applied)?;
        info!(epoch = epoch.number, "a new epoch begins");
        self.board.update(|status| status.epoch = epoch.clone());
        Ok(Came::Began(epoch))
    }

    /// Notes that this node promotes itself, where no person ordered it.
    fn note(&self, course: &Course) -> Result<Came, Error> {
        if let Some(note) = course.note(&self.state, self.clock.now_ms())? {
            error!("CRITICAL {}", note.message());
        }
        Ok(Came::Done)
    }

    /// Records that this node is the primary from now on.
    async fn record_role(&self, way: &mut Way) -> Result<Came, Error> {
        way.course.record_role(&self.state, self.flag, self.clock.now_ms())?;
        if let Some(rest) = way.rest.take() {
            rest.for_good();
        }
        self.board.clear(&Topic::Flag);
        self.board.update(|status| {
            status.role = Role::Primary;
            status.phase = Phase::Releasing;
            status.asks = None;
        });
        let said = match self.place {
            Place::Held => "the role is recorded; giving GoCD's port back",
            Place::Running => "the role is recorded",
        };
        way.caller.say(said).await;
        Ok(Came::Done)
    }

    /// Releases GoCD at the end of a promotion, or has the node reopened where GoCD runs already.
    fn release(self: &Arc<Self>, maintenance: bool) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TRAVELS).await;
            match this.place {
                Place::Held => this.launch.let_run(How::Promoted { maintenance }),
                // Nobody waits any more where the node closes; the next start is that of a primary.
                Place::Running => drop(this.serve.as_ref().map(|serve| serve.send(()))),
            }
        });
    }

    /// Has puller and store go on after a promotion that ended. They rest after the last pull; this node stays a
    /// standby. A puller that is gone has said why.
    fn go_on_following(&self, rest: Option<Rest>) {
        if let Some(rest) = rest {
            // It may have to wait, and nothing here does.
            drop(tokio::task::spawn_blocking(move || drop(rest)));
        }
        if let Some(puller) = self.puller.clone() {
            // Where the queue is full the puller is stuck, and would rest for ever once it is not.
            tokio::spawn(async move { drop(puller.send(PullOrder::Now).await) });
        }
    }
}

/// The refusal of a node that is fenced to be promoted or to take anything back: it says which node took over, and what to type.
pub(super) fn replaced(board: &StatusBoard) -> Reply {
    let said = board.look(|status| Some(status.problem(&Topic::Fenced)?.message.clone()));
    let message = said.unwrap_or_else(|| fenced_message(board.look(|status| status.fenced_by.clone()).as_ref()));
    Reply::refused(message, "")
}

/// The error of a promotion that cannot be written down, since the program failed in it.
fn unwritten() -> Error {
    Error::new(
        Kind::File,
        "the promotion could not be written down: the program failed",
        "Report it with what this server's standard error says.",
    )
}

/// The error of a promotion that ended after it had begun to promote the database.
fn half_way(error: &Error) -> Error {
    Error::new(
        error.kind(),
        error.message(),
        format!(
            "{} The promotion of the database had begun: GoCD is held until this command is run again, which goes on from \
             there.",
            error.guidance()
        ),
    )
}

#[cfg(test)]
mod tests;
