//! Taking a base backup with PostgreSQL's own program.
//!
//! The program ends when we do, and holds the lock of the data folder as long as it runs. It is never told to write the
//! configuration of the standby (`-R`): one of a newer version writes what the server does not understand.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bc_core::{
    basics::error::Error,
    database::{base_backup::Progress, conninfo::Conninfo, messages::Names},
};

use crate::{cluster::Cluster, console::Console, data_folder::Lock, replication, wait::until};

/// As often it is looked how far it has come.
const TICK: Duration = Duration::from_millis(100);
/// A base backup takes as long as it takes.
const WITHIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// The primary may need a moment to see that a standby or a base backup is gone.
const SLOT_IS_FREE_WITHIN: Duration = Duration::from_secs(20);
/// After so long without a byte a person is told: neither `pg_basebackup` nor the network ends for a primary that is frozen.
const STANDS_AFTER: Duration = Duration::from_secs(60);
/// How much of one is fetched, in KiB a second, when only its size is wanted.
const SLOW: &str = "1024";

/// Where a base backup comes from, and how.
#[derive(Debug)]
pub struct BaseBackup<'a> {
    /// Whose programs take it, as whom.
    pub cluster: &'a Cluster,
    /// The primary, with a passfile that the cluster's user may read.
    pub conninfo: &'a Conninfo,
    /// The slot that keeps what the primary writes from now on until the standby has it.
    pub slot: &'a str,
    /// Folders of tablespaces there, and where each goes here.
    pub tablespaces: &'a [(PathBuf, PathBuf)],
    /// What fills in messages.
    pub names: &'a Names,
}

impl BaseBackup<'_> {
    /// The size of a base backup: bytes of the primary's files. Makes the primary begin one (a checkpoint), and breaks
    /// that off.
    ///
    /// # Errors
    /// The primary gives none, with the cause.
    pub fn size(&self) -> Result<Option<u64>, Error> {
        let folder = self
            .cluster
            .owner
            .act(|| tempfile::Builder::new().prefix("gocd-bc-").tempdir())?;
        let folder = folder.map_err(|error| Error::io("make a folder in", &std::env::temp_dir(), &error))?;
        let program = self
            .cluster
            .program("pg_basebackup")
            .arg("-d")
            .arg(self.conninfo.text())
            .args([
                "-w",
                "-c",
                "fast",
                "-P",
                "-X",
                "none",
                "-F",
                "tar",
                "--no-sync",
                "-r",
                SLOW,
                "-D",
            ])
            .arg(folder.path())
            .dying_with_us()
            .within(Duration::from_secs(600));
        let output = program.run_watched(TICK, &mut |said| Progress::first(said).is_none())?;
        drop(self.cluster.owner.act(|| folder.close()));
        match Progress::first(&output.stderr) {
            Some(progress) => Ok(Some(progress.total)),
            None if output.code == Some(0) => Ok(None),
            None => Err(replication::failure(
                "begin a base backup",
                &output.last_words(),
                self.names,
            )),
        }
    }

    /// Takes a base backup into the empty folder `to`, and shows how far it has come. Free bytes are asked of `room`
    /// when the primary has said how much it is.
    ///
    /// # Errors
    /// It failed, with the cause, or `room` says no; what has come is in the folder still.
    pub fn take(
        &self,
        to: &Path,
        lock: &Lock,
        room: &dyn Fn(u64) -> Result<(), Error>,
        console: &mut dyn Console,
    ) -> Result<(), Error> {
        let said = until(SLOT_IS_FREE_WITHIN, || match self.try_take(to, lock, room, console) {
            Ok(Some(said)) if said.contains("is active for PID") => None,
            other => Some(other),
        });
        match said.unwrap_or_else(|| self.try_take(to, lock, room, console))? {
            None => Ok(()),
            Some(said) => Err(replication::failure("take the base backup", &said, self.names)),
        }
    }

    /// What the program said where it failed.
    fn try_take(
        &self,
        to: &Path,
        lock: &Lock,
        room: &dyn Fn(u64) -> Result<(), Error>,
        console: &mut dyn Console,
    ) -> Result<Option<String>, Error> {
        let mut program = self
            .cluster
            .program("pg_basebackup")
            .arg("-d")
            .arg(self.conninfo.text())
            .args(["-w", "-X", "stream", "-c", "fast", "-P", "-S", self.slot, "-D"])
            .arg(to)
            .holding(lock.share()?)
            .dying_with_us()
            .within(WITHIN);
        for (from, to) in self.tablespaces {
            program = program.arg(format!("--tablespace-mapping={}={}", mapped(from), mapped(to)));
        }
        let mut enough = None;
        let mut stand = Stand::new();
        let output = program.run_watched(TICK, &mut |said| {
            let progress = Progress::last(said);
            if stand.is_news(progress.as_ref().map_or(0, |progress| progress.done)) {
                console.say(&format!(
                    "No byte has come for {} s. Either this host still writes what came to its disk, or the primary makes its \
                     checkpoint or is frozen: look at it. This can be ended with Ctrl-C, and run again.",
                    STANDS_AFTER.as_secs()
                ));
            }
            if let Some(progress) = progress {
                console.progress("base backup", progress.done, Some(progress.total));
                return enough.get_or_insert_with(|| room(progress.total)).is_ok();
            }
            true
        })?;
        // A small one may have ended before anybody looked.
        let first = Progress::first(&output.stderr);
        enough
            .or_else(|| first.map(|first| room(first.total)))
            .unwrap_or(Ok(()))?;
        match output.code {
            Some(0) => {
                if let Some(Progress { total, .. }) = Progress::last(&output.stderr) {
                    console.progress("base backup", total, Some(total));
                }
                Ok(None)
            }
            _ => {
                let said = output.stderr.lines().filter(|line| !line.contains(" kB ("));
                Ok(Some(said.collect::<Vec<_>>().join("\n")))
            }
        }
    }
}

/// Since when no byte has come.
struct Stand {
    done: u64,
    since: Instant,
    is_told: bool,
}

impl Stand {
    fn new() -> Self {
        Self {
            done: 0,
            since: Instant::now(),
            is_told: false,
        }
    }

    /// Whether it is to be told now that it stands at so many bytes: once each time that it does.
    fn is_news(&mut self, done: u64) -> bool {
        if done != self.done {
            *self = Self { done, ..Self::new() };
        }
        let stands = self.since.elapsed() >= STANDS_AFTER && !self.is_told;
        self.is_told |= stands;
        stands
    }
}

/// A path in a mapping, in which an equals sign would end it.
fn mapped(path: &Path) -> String {
    path.display().to_string().replace('=', "\\=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_backup_that_stands_is_told_once() {
        let mut stand = Stand::new();
        assert!(!stand.is_news(0) && !stand.is_news(5));
        let Some(before) = Instant::now().checked_sub(STANDS_AFTER) else {
            return; // A machine that has run for less than a minute.
        };
        stand.since = before;
        assert!(stand.is_news(5) && !stand.is_news(5));
        // It went on, and stands again.
        assert!(!stand.is_news(6));
        stand.since = before;
        assert!(stand.is_news(6));
    }
}
