//! What a standby had kept before it was promoted: it stays for a while, and is let go in its time.
//!
//! `bc.generations.keep.after.promotion` says when; until then, and where that is never, `gocd-bc generations drop`
//! does it. A server that never was a standby keeps nothing.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Severity, words},
    generation::Role,
    node::Reply,
    role::StateDir,
    settings::Settings,
    standby::store::disk,
    status::{StatusBoard, Topic},
};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tracing::info;

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// How often is looked at the clock and at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks after the generations from before the promotion for as long as this primary runs. `promoted_ms` is when it was
/// promoted.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor, promoted_ms: i64) {
    let keep = assembly.settings.generations_keep_after_promotion;
    let retention = Retention {
        due_ms: keep.map(|keep| promoted_ms.saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))),
        look_every: keep.map_or(LOOK_EVERY, |keep| LOOK_EVERY.min(keep)),
        state: Arc::clone(&assembly.state),
        settings: Arc::clone(&assembly.settings),
        board: Arc::clone(&assembly.board),
    };
    let part = Part {
        name: "retention",
        does: "lets go of generations from before its promotion",
    };
    supervisor.supervise(part, move || retention.clone().run());
}

#[derive(Clone)]
struct Retention {
    /// None is never.
    due_ms: Option<i64>,
    look_every: Duration,
    state: Arc<StateDir>,
    settings: Arc<Settings>,
    board: Arc<StatusBoard>,
}

impl Retention {
    /// Lets go of the generations from before the promotion when it is time, and warns where the disk is full before.
    async fn run(self) {
        let mut ticks = interval(self.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ms = self.board.now_ms();
            let is_due = self.due_ms.is_some_and(|due| due <= now_ms);
            let (state, layout) = (Arc::clone(&self.state), self.settings.layout.clone());
            let looked = spawn_blocking(move || {
                if !disk::keeps_anything(state.path()) {
                    return Ok((false, None));
                }
                if is_due {
                    return disk::release(state.path()).map(|()| (true, None));
                }
                Ok((false, disk::low(state.path(), &layout)))
            });
            // A panic is in the log already, and the next look may do better.
            let Ok(looked) = looked.await else { continue };
            match looked {
                Ok((let_go, low)) => {
                    if let_go {
                        info!("the generations from before the promotion are let go, in their time");
                    }
                    self.board.clear(&Topic::Generations);
                    let low = low.map(|low| {
                        format!(
                            "{low} Generations from before the promotion are kept until {}; `gocd-bc generations drop \
                             --all` lets them go now.",
                            self.due_ms
                                .map_or_else(|| "somebody drops them".to_owned(), words::moment)
                        )
                    });
                    self.board.set(&Topic::Disk, Severity::Warning, low);
                }
                Err(error) => self
                    .board
                    .warn(&Topic::Generations, Severity::Warning, Some(error.to_string())),
            }
        }
    }
}

/// Lets go of one generation from before the promotion, or of all, since a person orders it.
pub(crate) async fn let_go(state: &Arc<StateDir>, board: &StatusBoard, id: Option<String>) -> Reply {
    if board.look(|status| status.role) != Role::Primary {
        return Reply::refused(
            "this server is a standby, and goes back to what it keeps where it must",
            "It keeps bc.generations.keep generations and removes older ones by itself. After a promotion, run the \
             command again.",
        );
    }
    let folder = state.path().to_owned();
    let dropped = spawn_blocking(move || match id {
        Some(id) => disk::drop_kept(&folder, &id).map(|kept| format!("the generation {kept} is let go")),
        None => disk::release(&folder).map(|()| "all generations are let go".to_owned()),
    });
    match dropped.await {
        Ok(Ok(message)) => {
            info!("{message}");
            Reply::Done { message }
        }
        Ok(Err(error)) => error.into(),
        Err(_) => Reply::refused("the node is being closed", "Look at `gocd-bc status`."),
    }
}
