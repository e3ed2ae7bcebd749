//! Fetching what the store lacks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
};
use tracing::debug;

use super::{Puller, blocking, joined};
use crate::{
    delta,
    digest::Digest,
    error::{Error, Kind},
    manifest::ManifestDocument,
    status::{Fetching, StatusBoard},
    store::{Receive, Store, Wanted},
    transport::Transport,
};

/// Fetches that run at once: enough to keep a link busy, few enough for a flat memory.
const PARALLEL_FETCHES: u64 = 4;

/// A further fetch runs beside the first for each so many bytes, or files, that the store lacks: its connection costs
/// both nodes a handshake, and the primary memory.
const BYTES_OF_A_FETCH: u64 = 4 << 20;
const FILES_OF_A_FETCH: u64 = 8;

impl<T: Transport, S: Store> Puller<T, S> {
    /// Brings everything that the store lacks, a few files at once.
    pub(super) async fn fetch(&self, document: &Arc<ManifestDocument>) -> Result<(), Error> {
        let missing = {
            let (store, document) = (Arc::clone(&self.store), Arc::clone(document));
            blocking(move || store.missing(&document)).await?
        };
        let progress = Arc::new(Progress {
            board: Arc::clone(&self.board),
            files: AtomicU64::new(missing.len() as u64),
            total: missing.iter().map(|wanted| wanted.size).sum(),
            done: AtomicU64::new(0),
            received: Arc::clone(&self.received),
        });
        let looking = (!missing.is_empty()).then(|| {
            let store = Arc::clone(&self.store);
            spawn_blocking(move || store.look_ahead())
        });
        let free = Arc::new(Semaphore::new(fetches_at_once(progress.total, missing.len() as u64)));
        let mut running = JoinSet::new();
        for wanted in missing {
            let permit = Arc::clone(&free)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (transport, store, progress) = (
                Arc::clone(&self.transport),
                Arc::clone(&self.store),
                Arc::clone(&progress),
            );
            running.spawn(async move {
                let fetched = fetch_one(&*transport, &store, &wanted, &progress).await;
                drop(permit);
                fetched
            });
            while let Some(finished) = running.try_join_next() {
                joined(finished)?;
            }
        }
        while let Some(finished) = running.join_next().await {
            joined(finished)?;
        }
        if let Some(looking) = looking {
            joined(looking.await.map(Ok))?;
        }
        Ok(())
    }
}

fn fetches_at_once(bytes: u64, files: u64) -> usize {
    let worth = (bytes / BYTES_OF_A_FETCH).max(files / FILES_OF_A_FETCH) + 1;
    usize::try_from(worth.min(PARALLEL_FETCHES)).expect("a few")
}

struct Progress {
    board: Arc<StatusBoard>,
    files: AtomicU64,
    total: u64,
    done: AtomicU64,
    received: Arc<AtomicU64>,
}

impl Progress {
    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn show(&self) {
        let fetching = Fetching {
            files_left: self.files.load(Ordering::Relaxed) as usize,
            bytes_total: self.total,
            bytes_done: self.done.load(Ordering::Relaxed),
        };
        self.board.update(|status| {
            status.sync.get_or_insert_default().fetching = Some(fetching);
        });
    }

    /// Counts a transfer that has ended.
    fn count(&self, bytes: u64, is_whole: bool) {
        self.board.count(|counters| {
            counters.received.bytes += bytes;
            counters.received.files += u64::from(is_whole);
            counters.received.broken += u64::from(!is_whole);
        });
    }
}

async fn fetch_one<T: Transport, S: Store>(
    transport: &T,
    store: &Arc<S>,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<(), Error> {
    progress.show();
    let mut receive = Some(store.receive(wanted)?);
    if let Some(former) = wanted.former
        && let Some(fresh) = receive.take_if(|receive| receive.received() == 0)
    {
        receive = fetch_delta(transport, store, wanted, former, fresh, progress).await?;
    }
    if let Some(receive) = receive {
        fetch_whole(transport, receive, wanted, progress).await?;
    }
    progress.files.fetch_sub(1, Ordering::Relaxed);
    progress.show();
    Ok(())
}

/// Brings an edited configuration as what was changed in it. Whatever stands in the way, the whole file is as good: then
/// it returns where to put that.
async fn fetch_delta<T: Transport, S: Store>(
    transport: &T,
    store: &Arc<S>,
    wanted: &Wanted,
    former: Digest,
    mut receive: Box<dyn Receive>,
    progress: &Progress,
) -> Result<Option<Box<dyn Receive>>, Error> {
    let read = {
        let (store, wanted) = (Arc::clone(store), wanted.clone());
        blocking(move || Ok(store.former(&wanted)))
    };
    let (delta, former) = match tokio::join!(transport.delta(wanted.sha256, former), read) {
        (Ok(Some(delta)), Ok(Some(former))) => (delta, former),
        (Err(error), _) if error.kind() == Kind::Unreachable => return Err(error),
        _ => return Ok(Some(receive)),
    };
    let (came, size) = (delta.len() as u64, wanted.size);
    let made = blocking(move || {
        let pieces = delta::decode(&former, &delta)
            // Wrong bytes of the right length are thrown away; too few would be kept for another try.
            .filter(|pieces| pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() == size)
            .ok_or_else(|| Error::new(Kind::Protocol, "what came as a delta is none to this file", ""))?;
        pieces.into_iter().try_for_each(|piece| receive.write(piece))?;
        receive.finish()
    });
    let made = made.await;
    progress.received.fetch_add(came, Ordering::Relaxed);
    progress.count(came, made.is_ok());
    match made {
        Ok(()) => {
            progress.add(wanted.size);
            Ok(None)
        }
        // Somebody has written into the live file, or the primary is of another mind.
        Err(error) if error.kind() == Kind::Protocol => {
            debug!(
                "{} is fetched whole, since a delta did not lead to it: {error}",
                wanted.name
            );
            store.receive(wanted).map(Some)
        }
        Err(error) => Err(error),
    }
}

async fn fetch_whole<T: Transport>(
    transport: &T,
    mut receive: Box<dyn Receive>,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<(), Error> {
    let offset = receive.received();
    progress.add(offset);
    // A crash may have come between the last byte and the check of the digest: then there is nothing to ask for.
    let mut came = 0;
    let mut transferred = Ok(());
    if offset == 0 || offset < wanted.size {
        let mut sink = |bytes: &[u8]| {
            came += bytes.len() as u64;
            progress.add(bytes.len() as u64);
            progress.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            receive.write(bytes)
        };
        transferred = transport.blob(wanted.sha256, offset, &mut sink).await;
    }
    let finished = match transferred {
        Ok(()) => blocking(move || receive.finish()).await,
        Err(error) => Err(error),
    };
    progress.count(came, finished.is_ok());
    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_fetched_over_several_connections() {
        let changed_configuration = fetches_at_once(2_000_000, 1);
        let few_small_files = fetches_at_once(100_000, 7);
        let many_small_files = fetches_at_once(100_000, 11);
        let new_plugins = fetches_at_once(600_000_000, 200);
        let all = [changed_configuration, few_small_files, many_small_files, new_plugins];
        assert_eq!(all, [1, 1, 2, 4]);
    }
}
