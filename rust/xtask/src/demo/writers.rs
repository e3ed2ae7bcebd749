//! What people and GoCD write on a server while it is the primary: an edit of the configuration and a row, each second.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::demo::{
    databases::DATABASE, folders::GocdFolder, postgres::Postgres, primary_files, rows::locked, session::Session,
};

/// From one edit and row to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How finely it is looked whether to end.
const GRAIN: Duration = Duration::from_millis(20);

/// The writer of one server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Writers {
    ends: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// What was written and acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    /// Ids of rows that were committed.
    pub(crate) rows: Vec<u64>,
    /// Each saved configuration, in the order of saving.
    pub(crate) edits: Vec<String>,
}

impl Writers {
    /// Begins to write on this server. `first` is the number of the first edit.
    pub(crate) fn start(folder: &GocdFolder, database: &Postgres, original: &str, first: u32) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let written = Arc::new(Mutex::new(Written::default()));
        let session = database.session(DATABASE)?;
        let writing = Writing {
            ends: Arc::clone(&ends),
            written: Arc::clone(&written),
            folder: folder.clone(),
            original: original.to_owned(),
        };
        Ok(Self {
            ends,
            written,
            thread: Some(thread::spawn(move || writing.write(session, first))),
        })
    }

    /// How often it has written so far.
    pub(crate) fn count(&self) -> usize {
        locked(&self.written).edits.len()
    }

    /// Writes no more, and returns what was written.
    ///
    /// # Errors
    /// A file could not be saved, or the database failed.
    pub(crate) fn finish(mut self) -> Result<Written> {
        self.ends.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended?,
            Some(Err(_)) => bail!("the writer has panicked"),
            None => {}
        }
        Ok(locked(&self.written).clone())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Which of these edits and rows another server lacks.
pub(crate) struct Lost {
    pub(crate) rows: usize,
    pub(crate) edits: usize,
}

impl Lost {
    /// Compares what was written with what is on the server of `folder` and `database`.
    pub(crate) fn of(written: &Written, folder: &GocdFolder, database: &Postgres) -> Result<Self> {
        let file = folder.cruise_config();
        let live = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let edits = match written.edits.iter().rposition(|edit| *edit == live) {
            Some(newest) => written.edits.len() - 1 - newest,
            None => written.edits.len(),
        };
        let mut session = database.session(DATABASE)?;
        let mut rows = 0;
        for row in &written.rows {
            let count = session.ask(&format!("select count(*) from demo_row where id = {row}"))?;
            rows += usize::from(count == "0");
        }
        Ok(Self { rows, edits })
    }
}

struct Writing {
    ends: Arc<AtomicBool>,
    written: Arc<Mutex<Written>>,
    folder: GocdFolder,
    original: String,
}

impl Writing {
    fn write(&self, mut session: Session, first: u32) -> Result<()> {
        for number in first.. {
            if self.ends.load(Ordering::Relaxed) {
                break;
            }
            let text = primary_files::changed_config(&self.original, number)?;
            primary_files::save_config(&self.folder, &text)?;
            let row = session.ask("insert into demo_row default values returning id")?;
            let mut written = locked(&self.written);
            written.edits.push(text);
            written.rows.push(row.parse().context("no id of a row")?);
            drop(written);
            self.pause();
        }
        Ok(())
    }

    fn pause(&self) {
        let mut left = EVERY;
        while !left.is_zero() && !self.ends.load(Ordering::Relaxed) {
            thread::sleep(GRAIN);
            left = left.saturating_sub(GRAIN);
        }
    }
}
