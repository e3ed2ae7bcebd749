//! Lets GoCD run on what was verified: carries out what `bc_core::role::promotion` says is next.
//!
//! | module | does |
//! |---|---|
//! | this one | takes step after step, and tells the board |
//! | `files` | the steps that touch files: the last pull, the accepted configuration, the reading of all |
//! | `rest` | keeps the store from making anything live meanwhile |
//! | `caller` | who began it, and hears of each step |
//!
//! Without the database. A pull that fails never blocks the promotion: the primary is usually down when somebody
//! promotes. An apply that does not end does: GoCD must not start on files that change under it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use bc_core::{
    basics::{Clock, Error},
    generation::Role,
    node::{Event, Events, Reply},
    role::{
        StateDir,
        promotion::{Came, Cause, Course, Next, Place, Step},
    },
    settings::Flag,
    standby::{pull::PullOrder, store::disk::DiskStore},
    status::{Phase, StatusBoard, Topic},
};
use tracing::{error, info, warn};

pub(crate) use self::caller::{AskAgain, Begun};
use self::{caller::Caller, rest::Rest};
use super::PullerOrders;

mod caller;
mod files;
mod rest;

/// What a node needs to be promoted.
pub(crate) struct Promotion {
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: Arc<StateDir>,
    pub(crate) flag: Flag,
    /// Whether GoCD waits for it or runs already.
    pub(crate) place: Place,
    /// Longest time until GoCD has accepted a configuration.
    pub(crate) accept_wait: Duration,
    pub(crate) events: Arc<Events>,
    /// None where there is nothing to pull from.
    pub(crate) puller: Option<PullerOrders>,
    /// The store of this node, opened where it is not yet.
    pub(crate) store: Arc<dyn Fn() -> Result<Arc<DiskStore>, Error> + Send + Sync>,
    /// Told where GoCD runs already and this node is to begin to serve; none where it must not.
    pub(crate) serve: Option<Sender<()>>,
    /// Whether a promotion runs or has succeeded: nobody promotes a node twice.
    pub(crate) running: AtomicBool,
}

/// Time for the answer to reach the caller before the node closes.
const ANSWER_TRAVELS: Duration = Duration::from_millis(100);

/// What is on its way.
struct Way {
    course: Course,
    caller: Caller,
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
    /// Promotes this node without touching the database.
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

    /// Whether a promotion runs or has succeeded.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Carries out a promotion step by step, as its course says what is next.
    async fn carry_out(self: &Arc<Self>, begun: Begun) -> Result<Reply, Error> {
        let (role, phase) = self.board.look(|status| (status.role, status.phase));
        let (cause, caller) = begun.parts();
        let course = Course::begin(self.place, cause, role, phase, self.serve.is_some())?;
        match course.cause() {
            Cause::Order { .. } => info!("promotion without the database was ordered"),
            Cause::Itself { reason, .. } => error!("CRITICAL this server promotes itself: {reason}"),
        }
        let mut step = course.step();
        let mut way = Way {
            course,
            caller,
            rest: None,
        };
        loop {
            let came = self.take(step, &mut way).await.unwrap_or_else(Came::Failed);
            match way.course.came_to(came) {
                Next::Take(next) => {
                    if step == Step::MakeWhole {
                        way.caller.say(way.course.files()).await;
                    }
                    step = next;
                }
                Next::Ended(error) => {
                    warn!("the promotion ended, and this node is what it was: {error}");
                    self.go_on_following(way.rest.take());
                    return Err(error);
                }
                Next::Complete => break,
            }
        }
        let message = match self.place {
            Place::Held => "GoCD is being released",
            Place::Running => "this node begins to serve as the primary",
        };
        Ok(Reply::Done {
            message: message.to_owned(),
        })
    }

    /// Takes one step of a promotion.
    async fn take(self: &Arc<Self>, step: Step, way: &mut Way) -> Result<Came, Error> {
        match step {
            Step::LastPull => self.last_pull(&way.caller).await,
            Step::BackToAccepted => self.back_to_accepted(&way.caller).await,
            Step::MakeWhole => self.make_whole(way).await,
            Step::AskOnceMore => Ok(way.caller.ask_once_more().await),
            Step::BeginEpoch => self.begin_epoch(&way.course),
            Step::Note => self.note(&way.course),
            Step::RecordRole => self.record_role(way).await,
            Step::Release => {
                self.release();
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
    fn release(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TRAVELS).await;
            match this.place {
                Place::Held => this.events.push(Event::release(this.flag)),
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

#[cfg(test)]
mod tests;
