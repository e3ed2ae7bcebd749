//! Letting GoCD run on a held standby.
//!
//! Without the database: a last pull, the role recorded, the ports given back, GoCD released. A pull that fails
//! never blocks the promotion: the primary is usually down when somebody promotes. Each step can be repeated;
//! a crash after the record lets the next start release GoCD.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bc_core::{
    control::Reply,
    error::{Error, Kind},
    event::{Event, Events},
    manifest::Role,
    pull::{Outcome, PullOrder},
    random,
    role::Recorded,
    settings::{Flag, OVERRIDDEN_FLAG},
    state_dir::StateDir,
    status::{Phase, StatusBoard},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// What a held standby needs to let go.
pub(crate) struct Promotion {
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) state: Arc<StateDir>,
    pub(crate) flag: Flag,
    /// Longest time until GoCD has accepted a configuration.
    pub(crate) accept_wait: Duration,
    pub(crate) events: Arc<Events>,
    /// None where there is nothing to pull from.
    pub(crate) puller: Option<mpsc::Sender<PullOrder>>,
    /// Whether a promotion runs or has succeeded: nobody promotes a node twice.
    pub(crate) running: AtomicBool,
}

/// Longest wait for a puller that is in the middle of something.
const PULLER_ANSWERS: Duration = Duration::from_secs(90);
/// Time for the answer to reach the caller before the node closes.
const ANSWER_TRAVELS: Duration = Duration::from_millis(100);

impl Promotion {
    /// Promotes without touching the database; says each step through `progress`.
    pub(crate) async fn without_database(self: Arc<Self>, progress: mpsc::Sender<String>) -> Reply {
        if self.running.swap(true, Ordering::AcqRel) {
            return Reply::refused("a promotion is already running", "Follow it with `gocd-bc status`.");
        }
        let reply = self.go_on(&progress).await;
        if matches!(reply, Reply::Refused { .. }) {
            self.running.store(false, Ordering::Release);
        }
        reply
    }

    async fn go_on(self: &Arc<Self>, progress: &mpsc::Sender<String>) -> Reply {
        let (role, phase) = self.board.look(|status| (status.role, status.phase));
        if role != Role::Standby || phase != Phase::Holding {
            return Reply::refused(
                format!("this node is a {role} and does not hold GoCD"),
                "Run the command on the standby.",
            );
        }
        info!("promotion without the database was ordered");
        say(progress, "pulling once more from the primary").await;
        match self.last_pull().await {
            Ok(Outcome::Unchanged) => say(progress, "the standby already had the primary's newest files").await,
            Ok(Outcome::Applied(generation)) => {
                say(
                    progress,
                    &format!("the primary's newest files are here (sequence {})", generation.sequence),
                )
                .await;
            }
            Ok(Outcome::Paused) => say(progress, "a restored generation is held in place, so nothing is pulled").await,
            Err(error) => {
                warn!("the last pull failed, going on with what is here: {error}");
                say(
                    progress,
                    &format!("the last pull failed, going on with the files that are here: {error}"),
                )
                .await;
            }
        }
        self.back_to_accepted(progress).await;
        if let Err(error) = self.begin_epoch() {
            self.go_on_following();
            return error.into();
        }
        let recorded = Recorded {
            role: Role::Primary,
            flag: self.flag,
        };
        if let Err(error) = recorded.save(self.state.path()) {
            self.go_on_following();
            return error.into();
        }
        self.board.update(|status| {
            status.role = Role::Primary;
            status.phase = Phase::Releasing;
        });
        say(progress, "the role is recorded; giving GoCD's port back").await;
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TRAVELS).await;
            this.events.push(Event::Release(release_properties(this.flag)));
        });
        Reply::Done {
            message: "GoCD is being released".to_owned(),
        }
    }

    /// Makes a new epoch durable, above all that were ever seen: whoever still follows the old primary sees that it
    /// is in the past.
    fn begin_epoch(&self) -> Result<(), Error> {
        let promotion = random::hex_id()?;
        let applied = self
            .board
            .look(|status| status.generation.as_ref().map_or(0, |generation| generation.sequence));
        let ledger = self
            .state
            .change_ledger(|ledger| ledger.begin_epoch(&promotion, applied))?;
        info!(epoch = ledger.epoch.number, "a new epoch begins");
        self.board.update(|status| status.epoch = ledger.epoch);
        Ok(())
    }

    /// GoCD falls back to what it accepted last when it does not like its configuration, and nobody would know that
    /// it runs on another one than the files say.
    async fn back_to_accepted(&self, progress: &mpsc::Sender<String>) {
        let Some(puller) = &self.puller else { return };
        let (answer, answered) = oneshot::channel();
        if puller
            .send(PullOrder::BackToAccepted(self.accept_wait, answer))
            .await
            .is_err()
        {
            return;
        }
        // A puller that ends has said why.
        let Ok(Ok(result)) = tokio::time::timeout(PULLER_ANSWERS, answered).await else {
            return;
        };
        let message = match result {
            Ok(None) => return,
            Ok(Some(restored)) => format!(
                "GoCD has not accepted the newest configuration, so the generation {} is live again",
                restored.generation
            ),
            Err(error) => format!("going on with a configuration that GoCD has not accepted: {error}"),
        };
        warn!("{message}");
        say(progress, &message).await;
    }

    /// The puller rests after its last pull; this node stays a standby, so it goes on. A puller that is gone has said
    /// why.
    fn go_on_following(&self) {
        if let Some(puller) = &self.puller {
            drop(puller.try_send(PullOrder::Now));
        }
    }

    async fn last_pull(&self) -> Result<Outcome, Error> {
        let silent = || Error::new(Kind::Unreachable, "no primary is being followed", "");
        let puller = self.puller.as_ref().ok_or_else(silent)?;
        let (answer, answered) = oneshot::channel();
        puller.send(PullOrder::Last(answer)).await.map_err(|_| silent())?;
        match tokio::time::timeout(PULLER_ANSWERS, answered).await {
            Ok(Ok(result)) => result,
            _ => Err(Error::new(
                Kind::Unreachable,
                "the primary does not send its files in time",
                "",
            )),
        }
    }
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

/// A caller that went away is no reason to stop half way.
async fn say(progress: &mpsc::Sender<String>, message: &str) {
    drop(progress.send(message.to_owned()).await);
}
