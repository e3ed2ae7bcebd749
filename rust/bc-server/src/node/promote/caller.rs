//! Who began a promotion: a person, who hears of each step, or this node, which can ask everybody once more.

use std::time::Duration;

use bc_core::{
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

/// How often is said that something takes its time: a caller that hears nothing for long gives up.
const STILL: Duration = Duration::from_secs(15);

/// Who is told of each step, or asks once more.
pub(super) enum Caller {
    Person(mpsc::Sender<String>),
    Node(AskAgain),
}

impl Begun {
    /// Splits what began a promotion into what its course depends on, and who is told of it.
    pub(super) fn parts(self) -> (Cause, Caller) {
        match self {
            Begun::ByOrder { as_it_is, progress } => (Cause::Order { as_it_is }, Caller::Person(progress)),
            Begun::ByItself { reason, highest, ask } => (Cause::Itself { reason, highest }, Caller::Node(ask)),
        }
    }
}

impl Caller {
    /// Tells whoever ordered a promotion of a step. A caller that went away is no reason to stop half way.
    pub(super) async fn say(&self, message: &str) {
        if let Caller::Person(progress) = self {
            drop(progress.send(message.to_owned()).await);
        }
    }

    /// Waits for `work` of a promotion, and tells its caller now and then that it takes its time.
    pub(super) async fn still<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = interval_at(Instant::now() + STILL, STILL);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = ticks.tick() => self.say(&format!("{what}, still")).await,
            }
        }
    }

    /// Asks all addresses of the primary once more before a node promotes itself; a person has asked whom they wanted.
    pub(super) async fn ask_once_more(&self) -> Came {
        match self {
            Caller::Person(_) => Came::Done,
            Caller::Node(ask) => ask().await.into(),
        }
    }
}
