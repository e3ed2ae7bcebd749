//! Who began a promotion: a person, who hears of each step, or this node, which can ask everybody once more.

use std::{sync::Mutex, time::Duration};

use bc_core::{
    basics::lock,
    generation::Epoch,
    role::{
        inquiry::Verdict,
        promotion::{Came, Cause},
    },
};
use futures_util::future::BoxFuture;
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};

/// Who or what began it.
pub(crate) enum Begun {
    /// A person.
    ByOrder {
        /// Also on files that are not what was verified.
        as_it_is: bool,
        /// Whether and how the database is promoted as well.
        database: Option<WithDatabase>,
        /// Whether GoCD is to start in its maintenance mode.
        maintenance: bool,
        /// Hears of each step.
        progress: mpsc::Sender<String>,
    },
    /// This node, since its flag is gone and nobody answers.
    ByItself {
        /// Why, for people.
        reason: String,
        /// The highest epoch that others told.
        highest: Option<Epoch>,
        /// Whether the database is promoted as well.
        with_database: bool,
        /// Asks them once more.
        ask: AskAgain,
    },
}

/// How a promotion with the database was ordered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithDatabase {
    /// Also where more would be lost than the settings allow.
    pub(crate) accepts_loss: bool,
    /// Also where a primary answers that can be ordered to stop.
    pub(crate) forces: bool,
    /// How long it may take to replay what it received.
    pub(crate) replay_within: Duration,
}

/// Asks everybody once more who was asked before, and says what follows.
pub(crate) type AskAgain = Box<dyn Fn() -> BoxFuture<'static, Verdict> + Send + Sync>;

/// How often is said that something takes its time: a caller that hears nothing for long gives up.
pub(super) const STILL: Duration = Duration::from_secs(15);

/// Who is told of each step, or asks once more.
pub(super) enum Who {
    Person(mpsc::Sender<String>),
    Node(AskAgain),
}

/// Whoever began a promotion, and what was said last.
pub(super) struct Caller {
    pub(super) who: Who,
    said: Mutex<String>,
}

impl Begun {
    /// Whether GoCD is to start in its maintenance mode.
    pub(super) fn wants_maintenance(&self) -> bool {
        matches!(self, Begun::ByOrder { maintenance: true, .. })
    }

    /// Splits what began a promotion into what its course depends on, and who is told of it.
    pub(super) fn parts(self) -> (Cause, Option<WithDatabase>, Caller) {
        let (cause, database, who) = match self {
            Begun::ByOrder {
                as_it_is,
                database,
                progress,
                maintenance: _,
            } => {
                let with_database = database.is_some();
                (
                    Cause::Order {
                        as_it_is,
                        with_database,
                    },
                    database,
                    Who::Person(progress),
                )
            }
            Begun::ByItself {
                reason,
                highest,
                with_database,
                ask,
            } => {
                let cause = Cause::Itself {
                    reason,
                    highest,
                    with_database,
                };
                (cause, None, Who::Node(ask))
            }
        };
        let said = Mutex::default();
        (cause, database, Caller { who, said })
    }
}

impl Caller {
    /// Tells whoever ordered a promotion of a step. A caller that went away is no reason to stop half way.
    pub(super) async fn say(&self, message: &str) {
        message.clone_into(&mut lock(&self.said));
        self.tell(message).await;
    }

    /// Tells whoever ordered a promotion something that is no result of a step.
    pub(super) async fn tell(&self, message: &str) {
        if let Who::Person(progress) = &self.who {
            drop(progress.send(message.to_owned()).await);
        }
    }

    /// Takes what was said last in a promotion: what its step came to.
    pub(super) fn take_said(&self) -> String {
        std::mem::take(&mut lock(&self.said))
    }

    /// Waits for `work` of a promotion, and tells its caller now and then that it takes its time.
    pub(super) async fn still<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = interval_at(Instant::now() + STILL, STILL);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = ticks.tick() => self.tell(&format!("{what}, still")).await,
            }
        }
    }

    /// Asks all addresses of the primary once more before a node promotes itself; a person has asked whom they wanted.
    pub(super) async fn ask_once_more(&self) -> Came {
        match &self.who {
            Who::Person(_) => Came::Done,
            Who::Node(ask) => ask().await.into(),
        }
    }
}
