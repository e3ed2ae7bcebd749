//! The steps of a promotion that touch files: the last pull, the accepted configuration, the reading of all live files.
//!
//! The puller does the first two, since it is the only one that makes anything live. Both steps wait for its answer, and
//! the third for the store, for a bounded time each.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Digest, Error, Kind},
    gocd::version,
    role::promotion::Came,
    standby::{
        pull::{Outcome, PullOrder},
        store::{MadeWhole, diff},
    },
};
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};
use tracing::warn;

use super::{
    Promotion, Way,
    caller::{Caller, Who},
    rest::Rest,
};

/// Longest wait for a puller that is in the middle of something.
const PULLER_ANSWERS: Duration = Duration::from_secs(90);
/// Longest time that reading and mending everything may take.
pub(super) const MADE_WHOLE: Duration = Duration::from_secs(900);

/// Longest wait until it is known what a generation that is set aside had changed.
const COMPARED_WITHIN: Duration = Duration::from_secs(2);

const AGAIN: &str = "See whether a disk of this server hangs (the kernel's log, `df`), and run the command again. Nothing \
                     has been released.";

impl Promotion {
    /// Has the puller pull once more before a promotion.
    pub(super) async fn last_pull(&self, way: &mut Way) -> Result<Came, Error> {
        let caller = &way.caller;
        caller.say("pulling once more from the primary").await;
        let pulled = self.order(caller, PullOrder::Last).await?;
        let heard = match &pulled {
            Some(Ok(Outcome::Unchanged | Outcome::Applied(_))) => Some(Ok(())),
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(Outcome::Paused)) | None => None,
        };
        let came = Came::of_last_pull(heard);
        if matches!((&came, &caller.who), (Came::Answered(_), Who::Node(_))) {
            // That ends it, and is said then.
            return Ok(came);
        }
        let said = match &pulled {
            Some(Ok(Outcome::Unchanged)) => "the standby already had the primary's newest files".to_owned(),
            Some(Ok(Outcome::Applied(generation))) => {
                format!("the primary's newest files are here (sequence {})", generation.sequence)
            }
            Some(Ok(Outcome::Paused)) => "a restored generation is held in place, so nothing is pulled".to_owned(),
            Some(Err(error)) => {
                warn!("the last pull failed, going on with what is here: {error}");
                format!("the last pull failed, going on with the files that are here: {error}")
            }
            None => {
                "the last pull failed, going on with the files that are here: no primary is being followed".to_owned()
            }
        };
        caller.say(&said).await;
        let (own, primary) = self.board.look(|status| {
            let primary = status.primary.as_ref().and_then(|primary| primary.gocd_version.clone());
            (status.gocd_version.clone(), primary)
        });
        if let Some(migrates) = own
            .zip(primary)
            .and_then(|(own, primary)| version::migrates(&own, &primary))
        {
            warn!("{migrates}");
            caller.say(&migrates).await;
        }
        if matches!(caller.who, Who::Person(_)) {
            let is_heard = matches!(&pulled, Some(Ok(Outcome::Unchanged | Outcome::Applied(_))));
            self.take_what_is_handed_over(way, is_heard).await?;
        }
        Ok(came)
    }

    /// Has the puller go back to the configuration that GoCD accepted last, before a promotion. GoCD falls back to that
    /// when it does not like its configuration, and nobody would know that it runs on another one than the files say.
    pub(super) async fn back_to_accepted(&self, caller: &Caller) -> Result<Came, Error> {
        let wait = self.accept_wait;
        let order = |answer| PullOrder::BackToAccepted(wait, answer);
        let newest = self.board.look(|status| status.generation.as_ref().map(|live| live.id));
        let message = match self.order(caller, order).await? {
            None | Some(Ok(None)) => return Ok(Came::Done),
            Some(Ok(Some(restored))) => {
                let changed = match newest {
                    Some(newest) => self.changed(restored.generation.id, newest).await,
                    None => "not known".to_owned(),
                };
                format!(
                    "GoCD has not accepted the newest configuration, so the generation {} is live again, and {} is set aside. \
                     What that had changed: {changed}. `gocd-bc generations list` has both",
                    restored.generation,
                    newest.map_or_else(|| "the newest".to_owned(), |newest| format!("{newest:.12}")),
                )
            }
            Some(Err(error)) => format!("going on with a configuration that GoCD has not accepted: {error}"),
        };
        warn!("{message}");
        caller.say(&message).await;
        Ok(Came::Done)
    }

    /// What the newest generation has changed in what is live again, for people.
    async fn changed(&self, restored: Digest, newest: Digest) -> String {
        let (state, clock) = (Arc::clone(&self.state), Arc::clone(&self.clock));
        let comparing = spawn_blocking(move || diff::changed(state.path(), &clock, &restored, &newest));
        match timeout(COMPARED_WITHIN, comparing).await {
            Ok(Ok(changed)) => changed,
            Ok(Err(_)) | Err(_) => "not known".to_owned(),
        }
    }

    /// Gives the puller an order of a promotion and waits for its answer. None where there is no puller, or it has
    /// ended: it has said why, and what it was doing has ended as well.
    ///
    /// # Errors
    /// It does not answer: its file work has not ended, and may go on under a GoCD that starts.
    async fn order<R>(
        &self,
        caller: &Caller,
        order: impl FnOnce(oneshot::Sender<Result<R, Error>>) -> PullOrder,
    ) -> Result<Option<Result<R, Error>>, Error> {
        let Some(puller) = &self.puller else { return Ok(None) };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            puller.send(order(answer)).await.ok()?;
            answered.await.ok()
        };
        let answer = timeout(PULLER_ANSWERS, caller.still("files are being made live", asked)).await;
        answer.map_err(|_| has_not_ended("files are being made live here", PULLER_ANSWERS))
    }

    /// Reads all live files before a promotion, and mends what is not what was verified. The store does one thing at a
    /// time, and rests from here on, so nothing is being made live once this has ended.
    pub(super) async fn make_whole(&self, way: &mut Way) -> Result<Came, Error> {
        way.caller.say("reading every live file").await;
        let as_it_is = way.course.takes_files_as_they_are();
        let opener = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || match opener() {
            Ok(store) if store.position().is_none() && !as_it_is => Ok(Reading::NeverApplied),
            Ok(store) => {
                // A puller that has failed is started again, whatever is going on.
                let rest = Rest::begin(Arc::clone(&store));
                store.make_whole(as_it_is).map(|made| Reading::Made(rest, made))
            }
            Err(error) => Ok(Reading::Shut(error)),
        });
        let read = timeout(MADE_WHOLE, way.caller.still("the live files are being read", reading)).await;
        let read = read.map_err(|_| has_not_ended("the live files are being read", MADE_WHOLE))?;
        let made = match read.map_err(|_| Error::new(Kind::Busy, "the live files could not be read", AGAIN))?? {
            Reading::NeverApplied => return Ok(Came::NeverApplied),
            Reading::Shut(error) => {
                if as_it_is {
                    let line = format!("nothing could be looked at: {}", error.message());
                    left_as_it_is(&way.caller, &line).await;
                }
                return Ok(Came::Shut(error));
            }
            Reading::Made(rest, made) => {
                way.rest = Some(rest);
                made
            }
        };
        for line in &made.mended {
            way.caller.say(&format!("mended: {line}")).await;
        }
        for line in &made.left {
            left_as_it_is(&way.caller, line).await;
        }
        Ok(Came::Read(in_words(&made)))
    }
}

/// What came of reading all live files.
enum Reading {
    NeverApplied,
    Shut(Error),
    Made(Rest, MadeWhole),
}

/// Tells and logs that a promotion leaves a file as it is.
async fn left_as_it_is(caller: &Caller, line: &str) {
    warn!("left as it is: {line}");
    caller.say(&format!("left as it is: {line}")).await;
}

/// Says that file work has not ended in time, so that GoCD must not start.
fn has_not_ended(what: &str, waited: Duration) -> Error {
    let message = format!(
        "{what}, and that has not ended for {} s, so GoCD must not start on them",
        waited.as_secs()
    );
    Error::new(Kind::Busy, message, AGAIN)
}

/// Says which files GoCD starts on after a promotion, for people.
fn in_words(made: &MadeWhole) -> String {
    let mut text = format!("GoCD starts on {} verified files", made.right);
    if made.finished_interrupted {
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
