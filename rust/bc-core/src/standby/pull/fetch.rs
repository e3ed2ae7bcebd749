//! Fetching what the store lacks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet, spawn_blocking},
};
use tracing::debug;

use super::{Puller, blocking, joined};
use crate::{
    basics::{Digest, Error, Kind},
    generation::delta,
    standby::{
        store::{Receiving, ToSync, Wanted, disk::DiskStore},
        transport::Transport,
    },
    status::{Fetching, StatusBoard},
};

/// Fetches that run at once: enough to keep a link busy, few enough for a flat memory.
const PARALLEL_FETCHES: u64 = 4;

/// After so many bytes of one file the disk begins with them, while further ones come: else a large jar would be waited
/// for twice, first on the line and then on the disk.
const BEGIN_TO_SYNC: u64 = 4 << 20;

/// A further fetch runs beside the first for each so many bytes, or files, that the store lacks: its connection costs
/// both nodes a handshake, and the primary memory.
const BYTES_OF_A_FETCH: u64 = 4 << 20;
const FILES_OF_A_FETCH: u64 = 8;

impl<T: Transport> Puller<T> {
    /// Fetches these bytes from the primary, a few files at once.
    pub(super) async fn fetch(&self, missing: Vec<Wanted>) -> Result<(), Error> {
        let progress = Arc::new(Progress {
            board: Arc::clone(&self.board),
            files: AtomicU64::new(missing.len() as u64),
            total: missing.iter().map(|wanted| wanted.size).sum(),
            done: AtomicU64::new(0),
            received: Arc::clone(&self.received),
        });
        let free = Arc::new(Semaphore::new(fetches_at_once(progress.total, missing.len() as u64)));
        // While the disk is waited for, the line has time for another file.
        let finishing = Arc::new(Semaphore::new(free.available_permits()));
        let mut running = JoinSet::new();
        for wanted in missing {
            let place = Arc::clone(&free)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (transport, store, progress) = (
                Arc::clone(&self.transport),
                Arc::clone(&self.store),
                Arc::clone(&progress),
            );
            let places = Places {
                fetching: place,
                finishing: Arc::clone(&finishing),
            };
            running.spawn(async move { fetch_one(&*transport, &store, &wanted, &progress, places).await });
            while let Some(finished) = running.try_join_next() {
                joined(finished)?;
            }
        }
        while let Some(finished) = running.join_next().await {
            joined(finished)?;
        }
        Ok(())
    }
}

/// How many files are fetched at once, of so many bytes and files.
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
    /// Adds bytes that were fetched to what is shown.
    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Shows on the board how much is fetched.
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

/// The place of a file among those that are fetched, and those that wait for the disk after it.
struct Places {
    fetching: OwnedSemaphorePermit,
    finishing: Arc<Semaphore>,
}

/// Fetches the bytes of one file: by a delta where there is one, else whole.
async fn fetch_one<T: Transport>(
    transport: &T,
    store: &Arc<DiskStore>,
    wanted: &Wanted,
    progress: &Progress,
    places: Places,
) -> Result<(), Error> {
    progress.show();
    let mut receive = Some(store.receive(wanted)?);
    if let Some(former) = wanted.former
        && let Some(fresh) = receive.take_if(|receive| receive.received() == 0)
    {
        receive = fetch_delta(transport, store, wanted, former, fresh, progress).await?;
    }
    if let Some(receive) = receive {
        fetch_whole(transport, receive, wanted, progress, places).await?;
    }
    progress.files.fetch_sub(1, Ordering::Relaxed);
    progress.show();
    Ok(())
}

/// Fetches an edited configuration as what was changed in it. Whatever stands in the way, the whole file is as good:
/// then it returns where to put that.
async fn fetch_delta<T: Transport>(
    transport: &T,
    store: &Arc<DiskStore>,
    wanted: &Wanted,
    former: Digest,
    mut receive: Receiving,
    progress: &Progress,
) -> Result<Option<Receiving>, Error> {
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

/// Fetches the bytes of one file whole, or those that an earlier try left to fetch.
async fn fetch_whole<T: Transport>(
    transport: &T,
    mut receive: Receiving,
    wanted: &Wanted,
    progress: &Progress,
    places: Places,
) -> Result<(), Error> {
    let offset = receive.received();
    progress.add(offset);
    // A crash may have come between the last byte and the check of the digest: then there is nothing to ask for.
    let mut came = 0;
    let mut transferred = Ok(());
    let mut syncing = Syncing::default();
    if offset == 0 || offset < wanted.size {
        let mut sink = |bytes: &[u8]| {
            came += bytes.len() as u64;
            progress.add(bytes.len() as u64);
            progress.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            receive.write(bytes)?;
            syncing.came(bytes.len(), || receive.begin_to_sync());
            Ok(())
        };
        transferred = transport.blob(wanted.sha256, offset, &mut sink).await;
    }
    let finished = match transferred {
        Ok(()) => {
            let Places { fetching, finishing } = places;
            let _place = finishing.acquire().await.expect("the semaphore is never closed");
            drop(fetching);
            match syncing.end().await {
                Ok(()) => blocking(move || receive.finish()).await,
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    progress.count(came, finished.is_ok());
    finished
}

/// Has the disk take what has come of a file, one piece after the other.
#[derive(Default)]
struct Syncing {
    waiting: u64,
    running: Option<JoinHandle<Result<(), Error>>>,
}

impl Syncing {
    /// Notes that so many more bytes of a file were received. Where there are enough, `begin` says what has the disk
    /// take them.
    fn came(&mut self, bytes: usize, begin: impl FnOnce() -> Option<ToSync>) {
        self.waiting += bytes as u64;
        if self.waiting < BEGIN_TO_SYNC || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let Some(work) = begin() else { return };
        self.waiting = 0;
        let before = self.running.take();
        self.running = Some(spawn_blocking(move || {
            if let Some(before) = before {
                // It has ended, and the operating system says only once that it could not write.
                joined(Handle::current().block_on(before))?;
            }
            work()
        }));
    }

    /// Waits for the sync of received bytes that was begun.
    async fn end(self) -> Result<(), Error> {
        match self.running {
            Some(running) => joined(running.await),
            None => Ok(()),
        }
    }
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

    /// A file on a disk that says, one after the other, what came of taking it.
    #[derive(Default)]
    struct Coming(std::sync::Mutex<Vec<Result<(), Error>>>, Arc<AtomicU64>);

    impl Coming {
        fn begin_to_sync(&self) -> Option<ToSync> {
            let (end, begun) = (self.0.lock().expect("no panic").pop()?, Arc::clone(&self.1));
            Some(Box::new(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                end
            }))
        }
    }

    #[tokio::test]
    async fn the_disk_begins_with_what_has_come_of_a_large_file_and_its_failure_is_not_lost() {
        let piece = usize::try_from(BEGIN_TO_SYNC).expect("a few megabytes");
        let failed = || Error::new(Kind::DiskFull, "no room", "");
        let small = Coming(vec![Err(failed())].into(), Arc::default());
        let mut syncing = Syncing::default();
        syncing.came(piece - 1, || small.begin_to_sync());
        syncing.end().await.expect("nothing was begun");
        assert_eq!(small.1.load(Ordering::SeqCst), 0);

        for (ends, result) in [
            (vec![Ok(()), Ok(())], Ok(())),
            (vec![Ok(()), Err(failed())], Err(Kind::DiskFull)),
            (vec![Err(failed()), Ok(())], Err(Kind::DiskFull)),
        ] {
            let coming = Coming(ends.into(), Arc::default());
            let mut syncing = Syncing::default();
            syncing.came(piece, || coming.begin_to_sync());
            while syncing.running.as_ref().is_some_and(|running| !running.is_finished()) {
                tokio::task::yield_now().await;
            }
            assert_eq!(coming.1.load(Ordering::SeqCst), 1);
            syncing.came(piece / 2, || coming.begin_to_sync());
            syncing.came(piece / 2, || coming.begin_to_sync());
            assert_eq!(syncing.end().await.map_err(|error| error.kind()), result);
        }
    }
}
