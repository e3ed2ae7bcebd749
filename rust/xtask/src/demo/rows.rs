//! A row each 100 ms in the primary's database, and the moment at which each is on the standby.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::demo::{
    databases::{DATABASE, Databases},
    numbers::milliseconds,
    session::Session,
};

/// From one row to the next.
const BETWEEN: Duration = Duration::from_millis(100);
/// From one look at the standby to the next: what is measured is at most this much too long.
const LOOK: Duration = Duration::from_millis(1);
/// When a row counts as lost.
const LOST: Duration = Duration::from_secs(30);

/// The writer and the reader; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Rows {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<Result<()>>>,
    reader: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: AtomicBool,
    /// When the primary had said that each row is there.
    committed: Mutex<Vec<Instant>>,
    /// When each was seen on the standby.
    arrived: Mutex<Vec<Instant>>,
}

impl Rows {
    /// Begins to write and to look.
    pub(crate) fn start(databases: &Databases) -> Result<Self> {
        let (primary, standby) = (
            databases.primary.session(DATABASE)?,
            databases.standby.session(DATABASE)?,
        );
        let shared = Arc::new(Shared::default());
        let (at_writer, at_reader) = (Arc::clone(&shared), Arc::clone(&shared));
        Ok(Self {
            writer: Some(thread::spawn(move || at_writer.write(primary))),
            reader: Some(thread::spawn(move || at_reader.look(standby))),
            shared,
        })
    }

    /// # Errors
    /// The writer or the reader has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        for thread in [&mut self.writer, &mut self.reader] {
            if thread.as_ref().is_some_and(JoinHandle::is_finished) {
                join(thread)?;
                bail!("rows are not written any more");
            }
        }
        Ok(())
    }

    /// How long each row took that is on the standby, in ms.
    pub(crate) fn latencies_ms(&self) -> Vec<f64> {
        let (committed, arrived) = (locked(&self.shared.committed), locked(&self.shared.arrived));
        // The standby may have had one before the primary's answer was read.
        let took = committed.iter().zip(arrived.iter());
        took.map(|(committed, arrived)| milliseconds(arrived.saturating_duration_since(*committed)))
            .collect()
    }

    /// Writes no more, and waits until all that was written is on the standby. Returns how long each row took, in ms.
    ///
    /// # Errors
    /// A row did not arrive, or a database failed.
    pub(crate) fn finish(mut self) -> Result<Vec<f64>> {
        self.shared.ends.store(true, Ordering::Relaxed);
        join(&mut self.writer)?;
        join(&mut self.reader)?;
        let latencies = self.latencies_ms();
        let written = locked(&self.shared.committed).len();
        ensure!(
            latencies.len() == written,
            "{written} rows were written, {} arrived",
            latencies.len()
        );
        Ok(latencies)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn write(&self, mut primary: Session) -> Result<()> {
        let mut next = Instant::now();
        while !self.ends.load(Ordering::Relaxed) {
            primary.ask("insert into demo_row default values returning id")?;
            locked(&self.committed).push(Instant::now());
            next += BETWEEN;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn look(&self, mut standby: Session) -> Result<()> {
        let mut ended = None;
        loop {
            let count: usize = standby.ask("select count(*) from demo_row")?.parse()?;
            let now = Instant::now();
            let mut arrived = locked(&self.arrived);
            let known = arrived.len();
            arrived.resize(count.max(known), now);
            drop(arrived);
            if self.ends.load(Ordering::Relaxed) {
                let ended = *ended.get_or_insert(now);
                // Once more after the writer's last row: it takes a moment to end.
                let has_all = count >= locked(&self.committed).len();
                if (has_all && now - ended > 2 * BETWEEN) || now - ended > LOST {
                    return Ok(());
                }
            }
            thread::sleep(LOOK);
        }
    }
}

fn join(thread: &mut Option<JoinHandle<Result<()>>>) -> Result<()> {
    match thread.take().map(JoinHandle::join) {
        None => Ok(()),
        Some(Ok(ended)) => ended,
        Some(Err(_)) => bail!("a thread of the rows has panicked"),
    }
}

/// What a lock guards, whatever became of a thread that had it.
pub(crate) fn locked<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}
