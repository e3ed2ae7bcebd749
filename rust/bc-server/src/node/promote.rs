//! Letting GoCD run on what was verified, in the order of `bc_core::role::promotion`.
//!
//! Without the database. A pull that fails never blocks the promotion: the primary is usually down when somebody
//! promotes. An apply that does not end does: GoCD must not start on files that change under it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use bc_core::{
    clock::Clock,
    control::Reply,
    error::{Error, Kind},
    event::{Event, Events},
    manifest::{Epoch, Role},
    pull::{Outcome, PullOrder},
    random,
    role::{
        Recorded,
        inquiry::Verdict,
        promotion::{self, Place, Step},
        unacknowledged::{self, Unacknowledged},
    },
    settings::{Flag, OVERRIDDEN_FLAG},
    state_dir::StateDir,
    status::{Phase, StatusBoard},
    store::{MadeWhole, Store, disk::DiskStore},
};
use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval_at, timeout},
};
use tracing::{error, info, warn};

use super::{PullerOrders, question};

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

/// Who or what began it.
pub(crate) enum Begun {
    /// A person.
    ByOrder {
        /// Also on files that are not what was verified.
        as_it_is: bool,
        /// Hears of each step.
        progress: mpsc::Sender<String>,
    },
    /// This node, since its flag is gone and nobody answers.
    ByItself {
        /// Why, for people.
        reason: String,
        /// The highest epoch that others told.
        highest: Option<Epoch>,
        /// Asks them once more.
        ask: AskAgain,
    },
}

/// Asks everybody once more who was asked before, and says what follows.
pub(crate) type AskAgain = Box<dyn Fn() -> BoxFuture<'static, Verdict> + Send + Sync>;

/// Longest wait for a puller that is in the middle of something.
const PULLER_ANSWERS: Duration = Duration::from_secs(90);
/// Longest time that reading and mending everything may take.
const MADE_WHOLE: Duration = Duration::from_secs(900);
/// How often is said that something takes its time: a caller that hears nothing for long gives up.
const STILL: Duration = Duration::from_secs(15);
/// Time for the answer to reach the caller before the node closes.
const ANSWER_TRAVELS: Duration = Duration::from_millis(100);

/// What is on its way.
struct Way {
    begun: Begun,
    epoch: Option<Epoch>,
    /// What GoCD starts on, for people.
    files: String,
    /// Keeps the store from making anything live, once GoCD may start on what is.
    rest: Option<Rest>,
}

/// A store that makes nothing live. It does again when this goes, whatever became of the promotion.
struct Rest {
    store: Arc<DiskStore>,
    ends: bool,
}

impl Rest {
    /// May have to wait for a store that is busy, and so has its end.
    fn begin(store: Arc<DiskStore>) -> Self {
        store.rest(true);
        Self { store, ends: true }
    }

    fn for_good(mut self) {
        self.ends = false;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.ends {
            self.store.rest(false);
        }
    }
}

/// That one runs. A promotion that ends in any way but well can be ordered anew.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Promotion {
    /// Promotes without touching the database.
    pub(crate) async fn begin(self: Arc<Self>, begun: Begun) -> Reply {
        if self.running.swap(true, Ordering::AcqRel) {
            return Reply::refused("a promotion is already running", "Follow it with `gocd-bc status`.");
        }
        let running = Running(&self.running);
        let reply = self.go_on(begun).await;
        if !matches!(reply, Reply::Refused { .. }) {
            std::mem::forget(running);
        }
        reply
    }

    /// Whether one runs or has succeeded.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    async fn go_on(self: &Arc<Self>, begun: Begun) -> Reply {
        let (role, phase) = self.board.look(|status| (status.role, status.phase));
        let expected = match self.place {
            Place::Held => Phase::Holding,
            Place::Running => Phase::Running,
        };
        let cannot_serve = self.place == Place::Running && self.serve.is_none();
        if role != Role::Standby || phase != expected || cannot_serve {
            let guidance = match role {
                Role::Primary => "Run the command on the standby.",
                Role::Standby => "GoCD runs here although a standby was asked for: `gocd-bc status` says what to do.",
                Role::Fenced => "Another node has a higher epoch: see `gocd-bc status` on that one.",
            };
            return Reply::refused(format!("this node is a {role} and does not hold GoCD"), guidance);
        }
        match &begun {
            Begun::ByOrder { .. } => info!("promotion without the database was ordered"),
            Begun::ByItself { reason, .. } => error!("CRITICAL this server promotes itself: {reason}"),
        }
        let mut way = Way {
            begun,
            epoch: None,
            files: "GoCD ran already, so the files that it runs on were not verified.".to_owned(),
            rest: None,
        };
        for step in promotion::steps(self.place) {
            if let Err(error) = self.take(*step, &mut way).await {
                warn!("the promotion ended, and this node is what it was: {error}");
                self.go_on_following(way.rest.take());
                return error.into();
            }
        }
        Reply::Done {
            message: match self.place {
                Place::Held => "GoCD is being released",
                Place::Running => "this node begins to serve as the primary",
            }
            .to_owned(),
        }
    }

    async fn take(self: &Arc<Self>, step: Step, way: &mut Way) -> Result<(), Error> {
        match step {
            Step::LastPull => self.last_pull(way).await,
            Step::BackToAccepted => self.back_to_accepted(way).await,
            Step::MakeWhole => self.make_whole(way).await,
            Step::AskOnceMore => ask_once_more(way).await,
            Step::BeginEpoch => self.begin_epoch(way),
            Step::Note => self.note(way),
            Step::RecordRole => self.record_role(way).await,
            Step::Release => {
                self.release();
                Ok(())
            }
        }
    }

    async fn last_pull(&self, way: &Way) -> Result<(), Error> {
        way.say("pulling once more from the primary").await;
        let pulled = self.order(way, PullOrder::Last).await?;
        if matches!(way.begun, Begun::ByItself { .. }) {
            let answers = |how: String| Error::new(Kind::Refused, format!("the primary answers after all{how}"), "");
            match &pulled {
                Some(Ok(Outcome::Unchanged | Outcome::Applied(_))) => return Err(answers(String::new())),
                Some(Err(error)) if matches!(error.kind(), Kind::Trust | Kind::Protocol) => {
                    return Err(answers(format!(", and cannot be proven: {}", error.message())));
                }
                _ => {}
            }
        }
        match pulled {
            Some(Ok(Outcome::Unchanged)) => way.say("the standby already had the primary's newest files").await,
            Some(Ok(Outcome::Applied(generation))) => {
                way.say(&format!(
                    "the primary's newest files are here (sequence {})",
                    generation.sequence
                ))
                .await;
            }
            Some(Ok(Outcome::Paused)) => {
                way.say("a restored generation is held in place, so nothing is pulled")
                    .await
            }
            Some(Err(error)) => {
                warn!("the last pull failed, going on with what is here: {error}");
                way.say(&format!(
                    "the last pull failed, going on with the files that are here: {error}"
                ))
                .await;
            }
            None => {
                way.say("the last pull failed, going on with the files that are here: no primary is being followed")
                    .await;
            }
        }
        Ok(())
    }

    /// GoCD falls back to what it accepted last when it does not like its configuration, and nobody would know that
    /// it runs on another one than the files say.
    async fn back_to_accepted(&self, way: &Way) -> Result<(), Error> {
        let wait = self.accept_wait;
        let message = match self
            .order(way, |answer| PullOrder::BackToAccepted(wait, answer))
            .await?
        {
            None | Some(Ok(None)) => return Ok(()),
            Some(Ok(Some(restored))) => format!(
                "GoCD has not accepted the newest configuration, so the generation {} is live again",
                restored.generation
            ),
            Some(Err(error)) => format!("going on with a configuration that GoCD has not accepted: {error}"),
        };
        warn!("{message}");
        way.say(&message).await;
        Ok(())
    }

    /// Gives the puller an order and waits for its answer. None where there is no puller, or it has ended: it has said
    /// why, and what it was doing has ended as well.
    ///
    /// # Errors
    /// It does not answer: its file work has not ended, and may go on under a GoCD that starts.
    async fn order<R>(
        &self,
        way: &Way,
        order: impl FnOnce(oneshot::Sender<Result<R, Error>>) -> PullOrder,
    ) -> Result<Option<Result<R, Error>>, Error> {
        let Some(puller) = &self.puller else { return Ok(None) };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            puller.send(order(answer)).await.ok()?;
            answered.await.ok()
        };
        match timeout(PULLER_ANSWERS, way.still("files are being made live", asked)).await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(Error::new(
                Kind::Busy,
                format!(
                    "files are being made live here, and that has not ended for {} s, so GoCD must not start on them",
                    PULLER_ANSWERS.as_secs()
                ),
                "See whether a disk of this server hangs (the kernel's log, `df`), and run the command again. Nothing has \
                 been released.",
            )),
        }
    }

    /// Reads all live files, and mends what is not what was verified. The store does one thing at a time, and rests from
    /// here on, so nothing is being made live once this has ended.
    async fn make_whole(&self, way: &mut Way) -> Result<(), Error> {
        way.say("reading every live file").await;
        let as_it_is = matches!(way.begun, Begun::ByOrder { as_it_is: true, .. });
        let opener = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || {
            match opener() {
                Ok(store) if store.position().is_none() && !as_it_is => Err(never_applied()),
                Ok(store) => {
                    // A puller that has failed is started again, whatever is going on.
                    let rest = Rest::begin(Arc::clone(&store));
                    store.make_whole(as_it_is).map(|made| (Some(rest), made))
                }
                Err(error) if as_it_is => {
                    let made = MadeWhole {
                        left: vec![format!("nothing could be looked at: {}", error.message())],
                        ..MadeWhole::default()
                    };
                    Ok((None, made))
                }
                Err(error) => Err(error),
            }
        });
        let read = timeout(MADE_WHOLE, way.still("the live files are being read", reading)).await;
        let (rest, made) = match read {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(Error::new(Kind::Busy, "the live files could not be read", AGAIN)),
            Err(_) => {
                let message = format!(
                    "the live files are being read, and that has not ended for {} s, so GoCD must not start on them",
                    MADE_WHOLE.as_secs()
                );
                return Err(Error::new(Kind::Busy, message, AGAIN));
            }
        };
        way.rest = rest;
        for line in &made.mended {
            way.say(&format!("mended: {line}")).await;
        }
        for line in &made.left {
            warn!("left as it is: {line}");
            way.say(&format!("left as it is: {line}")).await;
        }
        way.files = files(&made);
        way.say(&way.files).await;
        Ok(())
    }

    /// Makes a new epoch durable, above all that were ever seen: whoever still follows the old primary sees that it
    /// is in the past.
    fn begin_epoch(&self, way: &mut Way) -> Result<(), Error> {
        let promotion = random::hex_id()?;
        let applied = self
            .board
            .look(|status| status.generation.as_ref().map_or(0, |generation| generation.sequence));
        let told = match &way.begun {
            Begun::ByItself { highest, .. } => highest.clone(),
            Begun::ByOrder { .. } => None,
        };
        let ledger = self.state.change_ledger(|ledger| {
            if let Some(told) = told
                && told.number > ledger.highest_epoch.number
                && told.number < bc_core::ledger::MAX_COUNT
            {
                ledger.highest_epoch = told;
            }
            ledger.begin_epoch(&promotion, applied);
        })?;
        info!(epoch = ledger.epoch.number, "a new epoch begins");
        way.epoch = Some(ledger.epoch.clone());
        self.board.update(|status| status.epoch = ledger.epoch);
        Ok(())
    }

    fn note(&self, way: &Way) -> Result<(), Error> {
        let (Begun::ByItself { reason, .. }, Some(epoch)) = (&way.begun, &way.epoch) else {
            return unacknowledged::remove(self.state.path()).map(drop);
        };
        let note = Unacknowledged::new(self.clock.now_ms(), epoch.clone(), reason.clone(), way.files.clone());
        note.save(self.state.path())?;
        error!("CRITICAL {}", note.message());
        Ok(())
    }

    async fn record_role(&self, way: &mut Way) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        record(self.state.path(), self.flag, now_ms)?;
        if let Some(rest) = way.rest.take() {
            rest.for_good();
        }
        self.board.clear(question::TOPIC);
        self.board.update(|status| {
            status.role = Role::Primary;
            status.phase = Phase::Releasing;
            status.asks = None;
        });
        way.say(match self.place {
            Place::Held => "the role is recorded; giving GoCD's port back",
            Place::Running => "the role is recorded",
        })
        .await;
        Ok(())
    }

    fn release(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TRAVELS).await;
            match this.place {
                Place::Held => this.events.push(Event::Release(release_properties(this.flag))),
                // Nobody waits any more where the node closes; the next start is that of a primary.
                Place::Running => drop(this.serve.as_ref().map(|serve| serve.send(()))),
            }
        });
    }

    /// Puller and store rest after the last pull; this node stays a standby, so they go on. A puller that is gone has
    /// said why.
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

/// A primary that came while all files were read ends a promotion that nobody ordered.
async fn ask_once_more(way: &mut Way) -> Result<(), Error> {
    let Begun::ByItself { highest, ask, .. } = &mut way.begun else {
        return Ok(());
    };
    match ask().await {
        Verdict::Hold(why) => Err(Error::new(Kind::Refused, why, "")),
        Verdict::Promote { highest: told, .. } => {
            *highest = told;
            Ok(())
        }
    }
}

const AGAIN: &str = "See whether a disk of this server hangs (the kernel's log, `df`), and run the command again. Nothing \
                     has been released.";

impl Way {
    /// Tells a step. A caller that went away is no reason to stop half way.
    async fn say(&self, message: &str) {
        if let Begun::ByOrder { progress, .. } = &self.begun {
            drop(progress.send(message.to_owned()).await);
        }
    }

    /// Waits for `work`, and says now and then that it takes its time.
    async fn still<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = interval_at(Instant::now() + STILL, STILL);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = ticks.tick() => self.say(&format!("{what}, still")).await,
            }
        }
    }
}

/// Records that this node is promoted now. A record that cannot be read gives way: a person has said what it is.
fn record(state_dir: &Path, flag: Flag, now_ms: i64) -> Result<(), Error> {
    let before = Recorded::load(state_dir).unwrap_or_default();
    let recorded = Recorded {
        promoted_ms: Some(now_ms),
        ..Recorded::next(before.as_ref(), Role::Primary, flag, None, now_ms)
    };
    recorded.save(state_dir)
}

fn never_applied() -> Error {
    Error::new(
        Kind::Refused,
        "no generation of a primary is applied on this server, so what GoCD would start on is whatever lies in its \
         folders: no byte of it was ever verified",
        "Let it follow its primary first (`gocd-bc status`), or let GoCD start on the files as they are with `gocd-bc \
         promote --without-database --as-it-is`.",
    )
}

/// What GoCD starts on, for people.
fn files(made: &MadeWhole) -> String {
    let mut text = format!("GoCD starts on {} verified files", made.right);
    if made.settled {
        text.push_str(", after a set that was half live was finished or taken back");
    }
    if !made.mended.is_empty() {
        text.push_str(&format!("; mended: {}", made.mended.join("; ")));
    }
    if !made.left.is_empty() {
        text.push_str(&format!("; NOT verified: {}", made.left.join("; ")));
    }
    text.push('.');
    text
}

/// What GoCD must see instead of the flag: 20.6 to 22.3 would start passive otherwise. The plugin's node must
/// still know which flag was overridden, or it would record another one.
pub(crate) fn release_properties(flag: Flag) -> Vec<(String, String)> {
    let overridden = match flag {
        Flag::None => return Vec::new(),
        Flag::Property => "property",
        Flag::File => "file",
    };
    [
        ("go.server.mode", "production"),
        ("go.server.state", "active"),
        (OVERRIDDEN_FLAG, overridden),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

#[cfg(test)]
mod tests;
