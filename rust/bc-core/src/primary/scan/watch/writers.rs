//! Who writes a jar, as far as the kernel tells.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};

use super::{Writer, folders::Interest};

/// What was heard of each jar since it came, or since it is watched.
#[derive(Debug, Default)]
pub(super) struct Writers {
    folders: HashMap<WatchDescriptor, HashMap<OsString, Writer>>,
    heard: u64,
}

impl Writers {
    /// Takes in what the kernel says of a name in a watched folder.
    pub(super) fn hear(&mut self, event: &InotifyEvent, interest: &Interest) {
        let Some(name) = &event.name else { return };
        let is_jar = Path::new(name).extension() == Some(OsStr::new("jar"));
        // A link to a jar may lead to a file of any name.
        if !is_jar && *interest == Interest::All {
            return;
        }
        self.heard += 1;
        let folder = self.folders.entry(event.wd).or_default();
        let done = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
        if event.mask.contains(AddWatchFlags::IN_MODIFY) {
            folder.insert(name.clone(), Writer::AtWork);
        } else if event.mask.intersects(done) {
            folder.insert(name.clone(), Writer::Done);
        } else {
            // It went, or another file begins under its name.
            folder.remove(name);
        }
    }

    /// What was heard of who writes the file with a name in a watched folder.
    pub(super) fn of(&self, folder: WatchDescriptor, name: &OsStr) -> Writer {
        self.folders
            .get(&folder)
            .and_then(|folder| folder.get(name))
            .copied()
            .unwrap_or_default()
    }

    /// Forgets the writers in folders that are watched no more.
    pub(super) fn forget_unwatched(&mut self, is_watched: impl Fn(&WatchDescriptor) -> bool) {
        self.folders.retain(|folder, _| is_watched(folder));
    }

    /// Forgets all writers, since something may have been missed: nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.heard += 1;
        self.folders.clear();
    }

    /// Counts what is heard of writers: grows with all of it.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }
}
