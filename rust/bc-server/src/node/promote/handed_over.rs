//! The parts of a promotion in which the primary hands over: whether it does, whether all of that is here, and whether it does
//! still once the epoch is begun. What that means is `bc_core::role::handover`.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, Kind},
    generation::{HandoverToken, Role},
    role::{handover, promotion::Came},
    status::PrimaryStatus,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{Promotion, Way};

/// How long the primary may take to say that it hands over still.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);
/// How long a disk may take to say what is live.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How long is waited before it is asked again.
const AGAIN: Duration = Duration::from_millis(250);

impl Way {
    /// Notes in a promotion what the primary hands over.
    pub(super) fn is_handed(&mut self, token: HandoverToken) {
        self.course.hand_over();
        self.journal.handed_over = Some(token);
    }
}

impl Promotion {
    /// Checks, after the last pull of a promotion, that what the primary hands over is here. `is_heard` is whether that pull
    /// was answered: then what it said counts, and else what it had said before.
    pub(super) async fn take_what_is_handed_over(&self, way: &mut Way, is_heard: bool) -> Result<(), Error> {
        let (hands_over, node_id) = self.board.look(|status| {
            let primary = status.primary.as_ref();
            let of = |primary: &PrimaryStatus| Some((primary.hands_over.clone()?, primary.node_id.clone()?));
            primary.filter(|_| is_heard).and_then(of).unzip()
        });
        if hands_over.is_none() && way.journal.handed_over.is_none() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let reading = spawn_blocking(move || store().ok()?.position());
        let live = timeout(READ_WITHIN, reading).await.ok().and_then(Result::ok).flatten();
        if is_heard {
            let epoch = live.as_ref().map(|live| &live.epoch);
            let token = match (&hands_over, node_id, epoch) {
                (Some(hands_over), Some(node_id), Some(epoch)) => {
                    hands_over.token_of(&node_id, Role::Primary, epoch).cloned()
                }
                _ => None,
            };
            match (hands_over, token) {
                (_, Some(token)) => way.is_handed(token),
                (Some(hands_over), None) => {
                    return Err(Error::new(
                        Kind::Busy,
                        format!(
                            "the primary hands over and is not ready yet: {}",
                            hands_over.waits_for.as_deref().unwrap_or("it does not say why")
                        ),
                        "Run the command again in a moment. `gocd-bc status` there says what it waits for.",
                    ));
                }
                (None, _) => {
                    return Err(Error::new(
                        Kind::Refused,
                        "the primary does not hand over any more: somebody has taken that back",
                        "Nothing was changed. Order it there again with `gocd-bc demote --handover`.",
                    ));
                }
            }
        }
        let Some(token) = way.journal.handed_over.clone() else {
            return Ok(());
        };
        handover::files_reached(&token, live.map(|live| (live.generation, live.sequence)))?;
        way.caller
            .say(&format!("all files that the primary hands over are here: {token}"))
            .await;
        Ok(())
    }

    /// Asks the primary of a promotion, now that the epoch is begun, whether it hands over still.
    pub(super) async fn confirm_hand_over(&self, way: &Way) -> Result<Came, Error> {
        let Some(token) = &way.journal.handed_over else {
            return Ok(Came::Done);
        };
        let end = Instant::now() + CONFIRMED_WITHIN;
        loop {
            match handover::confirmed(token, &self.heard().await) {
                Ok(()) => {
                    way.caller.say("the primary hands over still").await;
                    return Ok(Came::Done);
                }
                Err(refused) if Instant::now() >= end => return Err(refused),
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
}
