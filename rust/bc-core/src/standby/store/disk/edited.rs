//! What somebody edited on this standby: kept in `aside/edited/` before it is overwritten or removed.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use tracing::warn;

use super::DiskStore;
use crate::{
    basics::{Error, regular_file},
    durable::{atomic, filesystem},
    generation::Name,
    standby::store::{aside, live::Live, plan::Plan, room},
};

/// How many edited files are kept aside.
const KEPT_ASIDE: usize = 20;
/// Their bytes together; the oldest go first. A larger one is not kept.
const KEPT_ASIDE_BYTES: u64 = 256 << 20;

/// How much of what was changed here is kept aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aside {
    /// Up to [`KEPT_ASIDE`] and [`KEPT_ASIDE_BYTES`]: a standby may be edited without end.
    Bounded,
    /// All of it, and none goes for it.
    Whole,
}

impl DiskStore {
    /// Keeps aside what was edited here: what an apply is about to overwrite or remove although no apply has put it
    /// there. Returns what to tell. A file that cannot be kept is overwritten all the same: this node follows its primary.
    pub(super) fn keep_edited(&self, ours: &BTreeSet<Name>, plan: &Plan, live: &Live, now_ms: i64) -> Vec<String> {
        let edited: Vec<Name> = {
            let generations = self.generations();
            let Some(applied) = generations.applied() else {
                return Vec::new();
            };
            let changed = plan.write.iter().map(|(name, _)| name).chain(&plan.remove);
            let is_edited = |name: &&Name| {
                let Some(here) = live.files.get(*name) else {
                    return false;
                };
                match applied.files.get(*name) {
                    Some(put_there) => here.sha256 != put_there.sha256,
                    // Ours from an earlier generation, or somebody's own.
                    None => !ours.contains(*name),
                }
            };
            changed.filter(is_edited).cloned().collect()
        };
        let tell = |name: &Name| match self.keep_aside(name, now_ms, Aside::Bounded) {
            Ok(path) => format!(
                "{name} was changed on this standby; what was written into it is kept as {}",
                path.display()
            ),
            Err(error) => format!("{name} was changed on this standby, and that could not be kept: {error}"),
        };
        let told: Vec<String> = edited.iter().map(tell).collect();
        for line in &told {
            warn!("{line}");
        }
        told
    }

    /// Copies an edited live file to `aside/edited/`, durably. Returns where.
    ///
    /// # Errors
    /// It is too large or does not fit, or the disk fails; what was kept earlier stays then.
    pub(super) fn keep_aside(&self, name: &Name, now_ms: i64, aside: Aside) -> Result<PathBuf, Error> {
        let folder = self.files.aside.join("edited");
        filesystem::own_folder(&*self.system, &self.files.aside, 0o700)?;
        filesystem::own_folder(&*self.system, &folder, 0o700)?;
        let from = self.layout.path_of(name);
        let size = fs::metadata(&from).map_err(Error::cannot("read", &from))?.len();
        let surplus = match aside {
            Aside::Bounded if size > KEPT_ASIDE_BYTES => {
                return Err(Error::io("keep aside", &from, &io::ErrorKind::FileTooLarge.into()));
            }
            Aside::Bounded => surplus(&folder, size),
            Aside::Whole => Vec::new(),
        };
        // What is to go anyway goes first where that makes the room, and only there.
        let freed = surplus.iter().map(|path| room::freed_by(path, 1)).sum();
        let short = room::shortage(&folder, size, self.options.free_space);
        if short > freed {
            room::check(&folder, size, self.options.free_space)?;
        }
        if short > 0 {
            self.drop_aside(&surplus);
        }
        let file_name = from.file_name().unwrap_or_default().to_string_lossy();
        let to = aside::place(&folder, now_ms, &file_name);
        let copy = || -> io::Result<()> {
            let mut copy = atomic::temporary_on(&*self.system, &folder, 0o600)?;
            io::copy(&mut regular_file::open(&from)?, &mut copy)?;
            self.system.sync(copy.as_file(), copy.path())?;
            atomic::place(&*self.system, copy, &to)?;
            self.system.sync_folder(&folder)
        };
        copy().map_err(Error::cannot("write", &to))?;
        self.drop_aside(&surplus);
        Ok(to)
    }

    /// Removes what was kept aside of live files and is too much now.
    fn drop_aside(&self, surplus: &[PathBuf]) {
        for path in surplus {
            // One that cannot be removed stays: the folder is bounded by its owner then.
            if self.system.remove(path).is_ok() {
                warn!(
                    "{} is removed: what was changed on this standby is kept aside up to {KEPT_ASIDE} files of {} MiB",
                    path.display(),
                    KEPT_ASIDE_BYTES >> 20
                );
            }
        }
    }
}

/// The oldest of what is kept aside, as many as must go so that one more file of `size` is within the limits.
fn surplus(folder: &Path, size: u64) -> Vec<PathBuf> {
    let mut kept: Vec<(PathBuf, u64)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len())))
        .collect();
    // Their names begin with the time, in as many digits for some centuries to come.
    kept.sort();
    let mut bytes: u64 = size + kept.iter().map(|(_, size)| size).sum::<u64>();
    let mut count = (kept.len() + 1).saturating_sub(KEPT_ASIDE);
    let mut surplus = Vec::new();
    for (path, size) in kept {
        if count == 0 && bytes <= KEPT_ASIDE_BYTES {
            break;
        }
        surplus.push(path);
        bytes -= size;
        count = count.saturating_sub(1);
    }
    surplus
}
