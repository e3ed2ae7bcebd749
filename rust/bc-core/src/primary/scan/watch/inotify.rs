//! Hints from Linux.
//!
//! The kernel may refuse to tell, at the start or later: it has limits of its own, and some folders cannot be watched.
//! What is refused is tried again, while whoever waits is only woken by others and by the clock.
//!
//! | module | has |
//! |---|---|
//! | `limits` | why the kernel refuses, for a person |
//! | `wake` | ends a wait |

use std::{
    collections::HashMap,
    fs, mem,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};
use tokio::time::Instant;

use super::{
    Hint, Hints, Waker, Writer,
    folders::{Interest, folders},
    writers::Writers,
};
use crate::generation::Layout;

mod limits;
mod wake;

use wake::Wake;

/// A file that was written but not closed is read after this: its writer may keep it open for ever.
const WRITER_AT_WORK: Duration = Duration::from_millis(500);
/// Pieces of the kernel's queue that are read before a hint is given, however busy the folders are.
const MAX_PIECES: usize = 64;
/// Rest after a call that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Time after which what the kernel has refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Watches the folders of the synced files, never what is below them.
pub(super) struct Watcher {
    layout: Layout,
    /// None where the kernel has refused, or does not answer as it should.
    kernel: Option<Inotify>,
    wake: Wake,
    watched: HashMap<WatchDescriptor, Interest>,
    /// The same folders by their paths.
    places: HashMap<PathBuf, WatchDescriptor>,
    writers: Writers,
    /// Something was heard for which a reading is due, and nobody was told yet.
    is_due: bool,
    /// Since when somebody writes a file that is not closed yet.
    writing_since: Option<Instant>,
    problem: Option<String>,
    /// When the kernel was asked last for what it refuses.
    asked: Option<Instant>,
    /// When it last failed to answer.
    failed: Option<Instant>,
}

impl Watcher {
    /// Begins to watch the files of `layout` by inotify. Where that fails it is a problem of this watcher, which goes
    /// on trying.
    pub(super) fn new(layout: &Layout) -> Self {
        let mut watcher = Self {
            layout: layout.clone(),
            kernel: None,
            wake: Wake::default(),
            watched: HashMap::new(),
            places: HashMap::new(),
            writers: Writers::default(),
            is_due: false,
            writing_since: None,
            problem: None,
            asked: None,
            failed: None,
        };
        watcher.begin();
        watcher
    }

    /// Begins the inotify watch anew. Returns whether it watches now.
    fn begin(&mut self) -> bool {
        self.asked = Some(Instant::now());
        let begun = self
            .wake
            .prepare()
            .and_then(|()| Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC));
        match begun {
            Ok(kernel) => {
                self.kernel = Some(kernel);
                self.watched.clear();
                self.writers.forget();
                self.writing_since = None;
                self.watch_folders();
                true
            }
            Err(error) => {
                self.problem = Some(limits::no_instance(error));
                false
            }
        }
    }

    /// Has inotify watch the folders that are there now: a folder may have been made, replaced or led elsewhere since
    /// the last time, which is news by itself. Adding a watch that exists already changes nothing.
    fn watch_folders(&mut self) -> bool {
        let Some(kernel) = &self.kernel else { return false };
        let mut watched = HashMap::new();
        self.asked = Some(Instant::now());
        self.places.clear();
        self.problem = None;
        for (folder, interest) in folders(&self.layout) {
            match kernel.add_watch(&folder, mask()) {
                Ok(watch) => {
                    // Two paths may lead to one folder; then everything in it counts.
                    let both = watched.insert(watch, interest.clone());
                    if both == Some(Interest::All) {
                        watched.insert(watch, Interest::All);
                    }
                    self.places.insert(folder, watch);
                }
                // The regular reading says so where it matters.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(error) => self.problem = Some(limits::no_watch(&folder, error)),
            }
        }
        let mut is_news = watched.keys().any(|watch| !self.watched.contains_key(watch));
        for gone in self.watched.keys().filter(|watch| !watched.contains_key(*watch)) {
            // It fails where the kernel has dropped the watch together with its folder.
            let _ = kernel.rm_watch(*gone);
            is_news = true;
        }
        self.writers.forget_unwatched(|folder| watched.contains_key(folder));
        self.watched = watched;
        is_news
    }

    /// Tries again what the kernel has refused to inotify, where it is time for that. Returns whether a reading is due.
    fn try_again(&mut self) -> bool {
        let is_time = self.asked.is_none_or(|asked| asked.elapsed() >= AGAIN);
        match (&self.problem, &self.kernel) {
            // Nobody knows what was missed.
            (Some(_), None) => is_time && self.begin(),
            (Some(_), Some(_)) => is_time && self.watch_folders(),
            (None, _) => false,
        }
    }

    /// Takes all inotify events that the kernel has queued. Returns whether a reading is due at once.
    fn take_events(&mut self) -> bool {
        let mut is_due = false;
        for _ in 0..MAX_PIECES {
            let Some(kernel) = &self.kernel else { break };
            match kernel.read_events() {
                Ok(events) => {
                    for event in events {
                        is_due |= self.is_due(&event);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => self.fail(error),
            }
        }
        is_due
    }

    /// Takes what inotify has to say now, for the next wait as well. Returns whether it answers.
    fn listen(&mut self) -> bool {
        self.is_due |= self.take_events();
        self.kernel.is_some()
    }

    /// Notes that the kernel does not answer inotify as it should. Asking on would keep a processor busy and learn
    /// nothing, so the watch begins anew at most once in [`AGAIN`]: each beginning is a reason to read all files.
    fn fail(&mut self, error: Errno) {
        self.kernel = None;
        let now = Instant::now();
        let fails_again = self.failed.is_some_and(|failed| now.duration_since(failed) < 2 * AGAIN);
        self.failed = Some(now);
        self.asked = fails_again.then_some(now);
        self.problem = Some(format!(
            "the operating system no longer tells of changed files ({}); they are found by regular reading until it does",
            error.desc()
        ));
    }

    /// Has the inotify watcher wait for the kernel and for whoever wakes it; without a kernel that tells, for the
    /// latter alone.
    fn poll(&mut self, left: Duration) {
        let (Some(kernel), Some(of_wake)) = (&self.kernel, self.wake.poll_fd()) else {
            return self.wake.wait(left);
        };
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(kernel.as_fd(), PollFlags::POLLIN), of_wake];
        let polled = poll(&mut ready, timeout).err();
        let odd = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        let is_odd = ready[0].revents().is_some_and(|flags| flags.intersects(odd));
        match polled.or(is_odd.then_some(Errno::EIO)) {
            // An interrupted call is seen as nothing to read.
            None | Some(Errno::EINTR) => {}
            Some(error) => {
                self.fail(error);
                std::thread::sleep(left.min(PAUSE));
            }
        }
    }

    /// Whether an event of inotify tells of a change that is to be looked at now.
    fn is_due(&mut self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            self.writers.forget();
            return true;
        }
        let Some(interest) = self.watched.get(&event.wd) else {
            return false;
        };
        // Without a name it is about the folder itself.
        if let Some(name) = &event.name
            && !interest.covers(Path::new(name))
        {
            return false;
        }
        self.writers.hear(event, interest);
        if event.mask.contains(AddWatchFlags::IN_MODIFY) {
            self.writing_since.get_or_insert_with(Instant::now);
            return false;
        }
        // Dropping a watch ourselves is no news.
        !event.mask.contains(AddWatchFlags::IN_IGNORED)
    }
}

impl Hints for Watcher {
    fn wait(&mut self, timeout: Duration) -> Hint {
        if self.try_again() || self.watch_folders() {
            return Hint::Changed;
        }
        if mem::take(&mut self.is_due) {
            self.writing_since = None;
            return Hint::Changed;
        }
        let end = Instant::now() + timeout;
        loop {
            if self.wake.is_woken() {
                return Hint::Woken;
            }
            if self.take_events() || self.try_again() {
                self.writing_since = None;
                return Hint::Changed;
            }
            let now = Instant::now();
            let fallback = self.writing_since.map(|since| since + WRITER_AT_WORK);
            if fallback.is_some_and(|fallback| fallback <= now) {
                self.writing_since = None;
                return Hint::Changed;
            }
            if end <= now {
                return Hint::Quiet;
            }
            let again = self
                .problem
                .is_some()
                .then(|| self.asked.map_or(now, |asked| asked + AGAIN));
            let until = [fallback, again].into_iter().flatten().fold(end, Instant::min);
            // Rounded up: waking a little early would only mean to wait again.
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            self.poll(left);
        }
    }

    fn waker(&self) -> Waker {
        self.wake.waker()
    }

    fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    fn writer(&mut self, jar: &Path) -> Writer {
        if !self.listen() {
            return Writer::Unknown;
        }
        let is_link = fs::symlink_metadata(jar).is_ok_and(|metadata| metadata.is_symlink());
        let target = is_link.then(|| fs::canonicalize(jar).ok()).flatten();
        let file = target.as_deref().unwrap_or(jar);
        match (
            file.parent().and_then(|folder| self.places.get(folder)),
            file.file_name(),
        ) {
            (Some(folder), Some(name)) => self.writers.of(*folder, name),
            _ => Writer::Unknown,
        }
    }

    fn heard_of_jars(&mut self) -> Option<u64> {
        let is_watched = self.listen() && self.places.contains_key(self.layout.plugins_external());
        is_watched.then(|| self.writers.heard())
    }
}

/// Opening and reading is not among these, so our own reading makes no hints.
fn mask() -> AddWatchFlags {
    AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

#[cfg(test)]
mod tests;
