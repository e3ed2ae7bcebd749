//! What is read of a node's past on the local socket: the generations that a standby keeps, going back to one, and what was
//! ordered.

use std::{path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{Clock, Error, Kind},
    generation::Layout,
    node::{Reply, audit},
    standby::{
        pull::PullOrder,
        store::{
            diff, generations,
            verify::{self, VerifiedState},
        },
    },
    status::StatusBoard,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{PullerOrders, sync_order};

/// Callers who may only look, at a time.
const LOOKERS_AT_ONCE: usize = 4;
/// How long another one waits.
const LOOKER_WAITS: Duration = Duration::from_secs(5);

/// Lists all generations that are kept here, for a caller on the local socket.
pub(crate) async fn list(state_dir: &Path) -> Reply {
    let folder = state_dir.to_owned();
    let listed = looking(move || generations::list(&folder)).await;
    listed.map_or_else(Reply::from, |generations| Reply::Generations { generations })
}

/// Shows one kept generation with its files, for a caller on the local socket.
pub(crate) async fn show(state_dir: &Path, id: String) -> Reply {
    let folder = state_dir.to_owned();
    let shown = looking(move || generations::show(&folder, &id)).await;
    shown.map_or_else(Reply::from, |(generation, files)| Reply::Generation {
        generation: Box::new(generation),
        files,
    })
}

/// Tells what was ordered of this node, for a caller on the local socket.
pub(crate) async fn history(state_dir: &Path, newest: usize) -> Reply {
    let folder = state_dir.to_owned();
    let read = looking(move || Ok(audit::history(&folder, newest))).await;
    read.map_or_else(Reply::from, |history| Reply::History {
        history: Box::new(history),
    })
}

/// Says what differs between two kept generations, or one and the live files, for a caller on the local socket.
pub(crate) async fn diff(
    state_dir: &Path,
    layout: &Layout,
    clock: &Arc<dyn Clock>,
    from: Option<String>,
    to: Option<String>,
) -> Reply {
    let (folder, layout, clock) = (state_dir.to_owned(), layout.clone(), Arc::clone(clock));
    let compared =
        blocking(move || diff::compare(&folder, Some(&layout), &clock, from.as_deref(), to.as_deref())).await;
    compared.map_or_else(Reply::from, |difference| Reply::Diff {
        difference: Box::new(difference),
    })
}

/// Has the puller make a kept generation live again, and pull no more until a sync resumes.
pub(crate) async fn restore(puller: Option<&PullerOrders>, board: &StatusBoard, id: String) -> Reply {
    let Some(puller) = puller else {
        return sync_order::follows_nobody(board);
    };
    let (answer, answered) = oneshot::channel();
    if puller.send(PullOrder::Restore(id, answer)).await.is_err() {
        return sync_order::ended();
    }
    match answered.await {
        Ok(Ok(restored)) => Reply::Done {
            message: format!(
                "the generation {} is live again: {} files written, {} removed. Nothing is pulled until `gocd-bc sync \
                 --resume`.",
                restored.generation,
                restored.applied.written.len(),
                restored.applied.removed.len()
            ),
        },
        Ok(Err(error)) => error.into(),
        Err(_) => sync_order::ended(),
    }
}

/// Reads all live files and kept bytes of this standby, and has the puller mend what is not right.
pub(crate) async fn verify(
    state_dir: &Path,
    layout: &Layout,
    puller: Option<&PullerOrders>,
    progress: &mpsc::Sender<String>,
) -> Reply {
    let (folder, layout, progress) = (state_dir.to_owned(), layout.clone(), progress.clone());
    let verified = blocking(move || {
        let mut told = 0;
        verify::verify(&folder, &layout, |done, total| {
            let percent = done * 100 / total.max(1);
            if percent > told {
                told = percent;
                // Whoever does not listen misses nothing.
                drop(progress.try_send(format!("{percent} % of {} MiB read", total / (1 << 20))));
            }
        })
    })
    .await;
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => return error.into(),
    };
    let wrong = verified.files.iter().filter(|file| file.state != VerifiedState::Ok);
    let suspects: Vec<_> = wrong.map(|file| file.name.clone()).collect();
    if let Some(puller) = puller.filter(|_| !suspects.is_empty()) {
        // A puller that is gone ends with the node.
        drop(puller.send(PullOrder::Repair(suspects)).await);
    }
    Reply::Verified {
        verified: Box::new(verified),
    }
}

/// Reads kept generations for anybody on this machine: few callers at once, so that nobody keeps all threads.
async fn looking<R: Send + 'static>(work: impl FnOnce() -> Result<R, Error> + Send + 'static) -> Result<R, Error> {
    static PLACES: Semaphore = Semaphore::const_new(LOOKERS_AT_ONCE);
    let Ok(Ok(place)) = timeout(LOOKER_WAITS, PLACES.acquire()).await else {
        return Err(Error::new(
            Kind::Busy,
            "others are looking at the kept generations already, or the disk of the state folder does not answer",
            "Try again; see `gocd-bc status`.",
        ));
    };
    blocking(move || {
        // The place is taken for as long as the thread is.
        let _place = place;
        work()
    })
    .await
}

/// Reads kept generations on a thread that may wait for a disk.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, Error> + Send + 'static) -> Result<R, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Kind::Busy, "the node is being closed", "")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn who_may_only_look_takes_a_few_threads_and_no_more() {
        let mut stuck = Vec::new();
        for _ in 0..LOOKERS_AT_ONCE {
            let (release, wait) = mpsc::channel::<()>();
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let looks = tokio::spawn(looking(move || {
                begun.send(()).expect("waited for");
                Ok(wait.recv().is_ok())
            }));
            has_begun.await.expect("it begins");
            // That its caller goes away gives the thread to nobody.
            looks.abort();
            stuck.push(release);
        }
        let refused = looking(|| Ok(())).await.expect_err("all are taken");
        assert_eq!(refused.kind(), Kind::Busy, "{refused}");
        assert!(blocking(|| Ok(7)).await.is_ok(), "an order has its own");
        drop(stuck);
        looking(|| Ok(())).await.expect("there is room again");
    }
}
