//! Orders a running primary to hand over: writes that down, and ends GoCD, whose next start holds.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, Severity},
    generation::{Role, Role::Primary},
    node::{Event, Events, Reply},
    role::{
        Recorded, StateDir,
        handed_over::HandedOver,
        handover::{self, Before, Follower, Handover},
    },
    settings::{FENCED_CODE, Face, Flag},
    status::{Phase, StandbyStatus, Status, StatusBoard, Topic},
};
use tokio::time::sleep;
use tracing::warn;

use super::{demote::Demotion, supervisor::blocking};

/// Time for the answer, the log and health messages to be said before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Demotion<'_> {
    /// Orders this primary to hand over.
    pub(crate) async fn hand_over(&self, events: &Arc<Events>) -> Reply {
        if let Some(refused) = self.is_being_promoted() {
            return refused;
        }
        let can_hold = self.settings.face != Face::Plugin || self.settings.agent_present;
        let (role, phase, unaccepted, followers) = self.board.look(|status| {
            (
                status.role,
                status.phase,
                status
                    .problem(&Topic::Acceptance)
                    .map(|problem| problem.message.clone()),
                followers(status),
            )
        });
        let before = Before {
            role,
            phase,
            can_hold,
            unaccepted: unaccepted.as_deref(),
            followers: &followers,
        };
        let to = match handover::may_begin(&before) {
            Ok(to) => to,
            Err(refused) => return refused.into(),
        };
        let (state, flag, now_ms) = (
            Arc::clone(&self.promotion.state),
            self.settings.flag,
            self.board.now_ms(),
        );
        let epoch = self.board.look(|status| status.epoch.clone());
        let writing = blocking(move || {
            Handover::new(epoch, now_ms)?.save(state.path())?;
            let before = Recorded::load(state.path()).ok().flatten();
            let recorded = Recorded {
                hands_over: true,
                ..Recorded::next(before.as_ref(), Role::Primary, flag, None, now_ms)
            };
            state.with_epochs(recorded).save(state.path()).inspect_err(|_| {
                // Nothing was ordered then; where that fails too, the next start is held and says so.
                drop(handover::remove(state.path()));
            })
        });
        if let Err(error) = writing.await {
            return error.into();
        }
        let beside = match self.settings.face {
            Face::Cli => " There is no JVM in it: stop GoCD now, and start it here no more.",
            _ => "",
        };
        let message = format!(
            "this server hands over, to {to} or whoever is promoted: GoCD ends here now, and its next start is held.{beside}"
        );
        warn!("{message}");
        self.board.raise(&Topic::HandOver, Severity::Warning, message.as_str());
        let events = Arc::clone(events);
        tokio::spawn(async move {
            sleep(LAST_WORDS).await;
            events.push(Event::Exit(FENCED_CODE));
        });
        Reply::Done { message }
    }

    /// Takes back the order to hand over where GoCD runs all the same: nobody was given anything.
    pub(crate) async fn forget_hand_over(&self) -> Reply {
        let is_on = self.board.look(|status| {
            status.role == Primary && status.phase == Phase::Running && status.problem(&Topic::HandOver).is_some()
        });
        if !is_on {
            return Reply::refused(
                "this server does not hand over, so there is nothing to take back",
                "See `gocd-bc status`.",
            );
        }
        let (state, flag, now_ms) = (
            Arc::clone(&self.promotion.state),
            self.settings.flag,
            self.board.now_ms(),
        );
        let board = Arc::clone(&self.promotion.board);
        let taken = blocking(move || {
            take_back(&state, flag, now_ms)?;
            note_end(&state, &board, HandedOver::taken_back(None, now_ms));
            Ok(())
        });
        match taken.await {
            Ok(()) => {
                self.board.clear(&Topic::HandOver);
                Reply::Done {
                    message: "this server does not hand over any more, and GoCD runs on".to_owned(),
                }
            }
            Err(error) => error.into(),
        }
    }
}

/// Writes down and shows what came of a hand-over. Nothing waits for that or depends on it.
pub(super) fn note_end(state: &StateDir, board: &StatusBoard, ended: HandedOver) {
    if let Err(error) = ended.save(state.path()) {
        warn!("{error}");
    }
    board.update(|status| status.handed_over = Some(ended.clone()));
}

/// Shows what came of the last hand-over of this server.
pub(super) fn show_last(state: &StateDir, board: &StatusBoard) {
    match HandedOver::load(state.path()) {
        Ok(ended) => board.update(|status| status.handed_over.clone_from(&ended)),
        Err(error) => warn!("{error}"),
    }
}

/// Takes the order to hand over back, durably: the file first, then what the record says for the Java agent alone.
pub(super) fn take_back(state: &StateDir, flag: Flag, now_ms: i64) -> Result<(), Error> {
    handover::remove(state.path())?;
    let before = Recorded::load(state.path()).ok().flatten();
    let recorded = Recorded::next(before.as_ref(), Role::Primary, flag, None, now_ms);
    state.with_epochs(recorded).save(state.path())
}

/// Who follows a primary, as far as that matters for its hand-over.
fn followers(status: &Status) -> Vec<Follower> {
    let follower = |standby: &StandbyStatus| Follower {
        name: standby.name(),
        is_heard: !standby.silent,
        behind_ms: standby.behind_since_ms.map(|since_ms| status.age_ms(since_ms)),
        has_any: standby.generation.is_some(),
        problem: standby.problem.as_ref().map(|problem| problem.message.clone()),
    };
    status.standbys.iter().map(follower).collect()
}
