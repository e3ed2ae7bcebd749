//! A pull that an administrator orders, and waits for.

use std::time::Duration;

use bc_core::{
    generation::Role,
    node::Reply,
    standby::{
        pull::{Outcome, PullOrder},
        store::Permit,
    },
    status::{Fetching, StatusBoard},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::interval,
};
use tracing::info;

use super::PullerOrders;

/// How often the caller is told of the progress.
const TELL: Duration = Duration::from_millis(500);

/// Orders a pull for an administrator, and tells how far it is until it has come to its end, well or not.
pub(crate) async fn order(
    puller: Option<&PullerOrders>,
    board: &StatusBoard,
    permit: Permit,
    progress: &mpsc::Sender<String>,
) -> Reply {
    let Some(puller) = puller else {
        return follows_nobody(board);
    };
    if permit != Permit::default() {
        info!(
            allow_deletions = permit.deletions,
            adopt_server_id = permit.server_id,
            accept_rollback = permit.rollback,
            resume = permit.resume,
            "an administrator orders a sync"
        );
    }
    let (answer, mut answered) = oneshot::channel();
    if puller.send(PullOrder::Sync(permit, answer)).await.is_err() {
        return ended();
    }
    let mut told = String::new();
    let mut tick = interval(TELL);
    let result = loop {
        tokio::select! {
            result = &mut answered => break result,
            _ = tick.tick() => {
                let fetching = board.look(|status| Some(line(status.sync.as_ref()?.fetching.as_ref()?)));
                if let Some(line) = fetching
                    && line != told
                {
                    // A caller that went away is no reason to stop.
                    drop(progress.send(line.clone()).await);
                    told = line;
                }
            }
        }
    };
    match result {
        Ok(Ok(Outcome::Applied(generation))) => Reply::Done {
            message: format!(
                "in sync with the primary: sequence {} (generation {:.12})",
                generation.sequence, generation.id
            ),
        },
        Ok(Ok(Outcome::Unchanged | Outcome::Paused)) => Reply::Done {
            message: "in sync with the primary".to_owned(),
        },
        Ok(Err(error)) => error.into(),
        Err(_) => ended(),
    }
}

/// Says in one line how far an ordered pull is.
fn line(fetching: &Fetching) -> String {
    let mebibytes = |bytes: u64| bytes / (1 << 20);
    format!(
        "fetching: {} of {} MiB, {} files left",
        mebibytes(fetching.bytes_done),
        mebibytes(fetching.bytes_total),
        fetching.files_left
    )
}

/// Refuses an order for the puller, since that has ended.
pub(crate) fn ended() -> Reply {
    Reply::refused(
        "the node does not follow the primary any more",
        "It is being promoted or ended: look at `gocd-bc status`.",
    )
}

/// Refuses an order for the puller, since this node follows no primary.
pub(crate) fn follows_nobody(board: &StatusBoard) -> Reply {
    let role = board.look(|status| status.role);
    let guidance = match role {
        Role::Standby => "`gocd-bc status` says why, and what to do.",
        _ => "Run the command on the standby, and look at `gocd-bc status` there.",
    };
    Reply::refused(format!("this node is a {role} and follows no primary"), guidance)
}
