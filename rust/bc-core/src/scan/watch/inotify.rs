//! Hints from Linux.

use std::{
    collections::HashMap,
    fs, io, mem,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
    },
};

use super::{
    Hint, Hints, Waker, Writer,
    folders::{Interest, folders},
    writers::Writers,
};
use crate::layout::Layout;

/// A file that was written but not closed is read after this: its writer may keep it open for ever.
const WRITER_AT_WORK: Duration = Duration::from_millis(500);
/// Pieces of the kernel's queue that are read before a hint is given, however busy the folders are.
const MAX_PIECES: usize = 64;

/// Rest after a call that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Watches the folders of the synced files, never what is below them.
pub(super) struct Watcher {
    layout: Layout,
    inotify: Inotify,
    wake: Arc<EventFd>,
    watched: HashMap<WatchDescriptor, Interest>,
    /// The same folders by their paths.
    places: HashMap<PathBuf, WatchDescriptor>,
    writers: Writers,
    /// Something was heard for which a reading is due, and nobody was told yet.
    is_due: bool,
    /// Since when somebody writes a file that is not closed yet.
    writing_since: Option<Instant>,
    problem: Option<String>,
    /// The kernel does not answer as it should: nothing is asked of it before all is made anew.
    is_broken: bool,
}

impl Watcher {
    pub(super) fn new(layout: &Layout) -> io::Result<Self> {
        let mut watcher = Self {
            layout: layout.clone(),
            inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
            wake: Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?),
            watched: HashMap::new(),
            places: HashMap::new(),
            writers: Writers::default(),
            is_due: false,
            writing_since: None,
            problem: None,
            is_broken: false,
        };
        watcher.watch_folders();
        Ok(watcher)
    }

    /// Watches what is there now: a folder may have been made, replaced or led elsewhere since the last time, which
    /// is news by itself. Adding a watch that exists already changes nothing.
    fn watch_folders(&mut self) -> bool {
        let mut watched = HashMap::new();
        self.places.clear();
        self.problem = None;
        for (folder, interest) in folders(&self.layout) {
            match self.inotify.add_watch(&folder, mask()) {
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
                Err(error) => self.problem = Some(unwatched(&folder, error)),
            }
        }
        let mut is_news = watched.keys().any(|watch| !self.watched.contains_key(watch));
        for gone in self.watched.keys().filter(|watch| !watched.contains_key(*watch)) {
            // It fails where the kernel has dropped the watch together with its folder.
            let _ = self.inotify.rm_watch(*gone);
            is_news = true;
        }
        self.writers.keep(|folder| watched.contains_key(folder));
        self.watched = watched;
        is_news
    }

    /// Takes everything that the kernel has queued. Whether a reading is due at once.
    fn take_events(&mut self) -> bool {
        let mut is_due = false;
        for _ in 0..MAX_PIECES {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        is_due |= self.is_due(&event);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => {
                    self.fail(error);
                    break;
                }
            }
        }
        is_due
    }

    /// Takes what the kernel has to say now, for the next wait as well. Whether it does answer.
    fn listen(&mut self) -> bool {
        if !self.is_broken {
            self.is_due |= self.take_events();
        }
        !self.is_broken
    }

    /// Notes that the kernel does not answer as it should. Asking on would keep a processor busy and learn nothing.
    fn fail(&mut self, error: Errno) {
        self.is_broken = true;
        self.problem = Some(format!(
            "the operating system no longer tells of changed files ({}); they are found by regular reading until it does",
            error.desc()
        ));
    }

    /// Begins anew.
    fn renew(&mut self) -> Result<(), Errno> {
        self.inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        self.watched.clear();
        self.writers.forget();
        self.writing_since = None;
        self.is_broken = false;
        self.watch_folders();
        Ok(())
    }

    /// Waits for the kernel and for whoever wakes us, for the latter alone where the former is broken.
    fn poll(&mut self, left: Duration) {
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let of_wake = PollFd::new(self.wake.as_fd(), PollFlags::POLLIN);
        let broken = if self.is_broken {
            poll(&mut [of_wake], timeout).err()
        } else {
            let mut ready = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN), of_wake];
            let polled = poll(&mut ready, timeout).err();
            let odd = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
            let is_odd = ready[0].revents().is_some_and(|flags| flags.intersects(odd));
            polled.or(is_odd.then_some(Errno::EIO))
        };
        match broken {
            // An interrupted call is seen as nothing to read.
            None | Some(Errno::EINTR) => {}
            Some(error) => {
                self.fail(error);
                std::thread::sleep(left.min(PAUSE));
            }
        }
    }

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

    fn is_woken(&self) -> bool {
        self.wake.read().is_ok()
    }
}

impl Hints for Watcher {
    fn wait(&mut self, timeout: Duration) -> Hint {
        if self.is_broken && self.renew().is_ok() {
            // Nobody knows what was missed.
            return Hint::Changed;
        }
        if !self.is_broken && self.watch_folders() {
            return Hint::Changed;
        }
        if mem::take(&mut self.is_due) {
            self.writing_since = None;
            return Hint::Changed;
        }
        let end = Instant::now() + timeout;
        loop {
            if self.is_woken() {
                return Hint::Woken;
            }
            if !self.is_broken && self.take_events() {
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
            let until = fallback.map_or(end, |fallback| fallback.min(end));
            // Rounded up: waking a little early would only mean to wait again.
            let left = until - now + Duration::from_millis(1);
            self.poll(left);
        }
    }

    fn waker(&self) -> Waker {
        let wake = Arc::clone(&self.wake);
        // It fails only when it was woken almost 2^64 times since the last wait.
        Waker::new(move || {
            let _ = wake.write(1);
        })
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

fn unwatched(folder: &Path, error: Errno) -> String {
    let advice = match error {
        Errno::ENOSPC => ". Raise the limit fs.inotify.max_user_watches with sysctl",
        _ => "",
    };
    format!(
        "changes in {} are found by regular reading only, since it cannot be watched: {}{advice}",
        folder.display(),
        error.desc()
    )
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        io::Write,
        thread,
    };

    use super::*;
    use crate::properties::Properties;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(60);

    struct Place {
        folder: tempfile::TempDir,
        layout: Layout,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().expect("folder");
        let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
        let layout = Layout::from_properties(&properties);
        fs::create_dir_all(layout.pair_dir()).expect("folder");
        fs::write(layout.cruise_config(), "<cruise/>").expect("write");
        Place { folder, layout }
    }

    fn watcher(place: &Place) -> Watcher {
        Watcher::new(&place.layout).expect("inotify")
    }

    #[test]
    fn a_kernel_that_fails_is_said_and_asked_anew() {
        let place = place();
        let mut watcher = watcher(&place);
        watcher.fail(Errno::EIO);
        assert!(watcher.problem().expect("it is said").contains("no longer tells"));
        let begun = Instant::now();
        watcher.poll(SHORT);
        assert!(begun.elapsed() >= SHORT, "it waits, and does not ask again and again");
        assert_eq!(watcher.wait(LONG), Hint::Changed, "something may have been missed");
        assert_eq!(watcher.problem(), None);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        fs::write(place.layout.cruise_config(), "<cruise></cruise>").expect("write");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
    }

    #[test]
    fn a_closed_writer_is_a_hint_and_an_open_one_only_later() {
        let place = place();
        let mut watcher = watcher(&place);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        fs::write(place.layout.cruise_config(), "<cruise></cruise>").expect("write");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        let mut open = OpenOptions::new()
            .append(true)
            .open(place.layout.cruise_config())
            .expect("open");
        open.write_all(b"<!-- -->").expect("write");
        let begun = Instant::now();
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        assert_eq!(watcher.wait(LONG), Hint::Changed);
        assert!(begun.elapsed() >= WRITER_AT_WORK, "a writer is at work");
        drop(open);
        assert_eq!(watcher.wait(LONG), Hint::Changed);
    }

    #[test]
    fn reading_and_temporary_files_are_no_hints() {
        let place = place();
        let mut watcher = watcher(&place);
        fs::read(place.layout.cruise_config()).expect("read");
        fs::write(place.layout.pair_dir().join(".gocd-bc-1.tmp"), "x").expect("write");
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
    }

    #[test]
    fn folders_that_appear_or_are_replaced_are_watched_anew() {
        let place = place();
        let mut watcher = watcher(&place);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        let plugins = place.layout.plugins_external();
        fs::create_dir_all(plugins).expect("folder");
        assert_eq!(watcher.wait(SHORT), Hint::Changed);
        fs::write(plugins.join("a.jar"), "x").expect("write");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
        fs::rename(plugins, place.folder.path().join("old")).expect("rename");
        fs::create_dir(plugins).expect("folder");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        fs::write(plugins.join("b.jar"), "x").expect("write");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
    }

    #[test]
    fn the_target_of_a_link_is_watched_but_not_its_neighbours() {
        let place = place();
        let elsewhere = place.folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("folder");
        let target = elsewhere.join("config.xml");
        fs::rename(place.layout.cruise_config(), &target).expect("rename");
        std::os::unix::fs::symlink(&target, place.layout.cruise_config()).expect("link");
        let mut watcher = watcher(&place);
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        fs::write(elsewhere.join("neighbour"), "x").expect("write");
        assert_eq!(watcher.wait(SHORT), Hint::Quiet);
        fs::write(&target, "<cruise></cruise>").expect("write");
        assert_eq!(watcher.wait(LONG), Hint::Changed);
    }

    #[test]
    fn who_writes_a_jar_is_told() {
        let place = place();
        let plugins = place.layout.plugins_external();
        fs::create_dir_all(plugins).expect("folder");
        let (jar, target) = (plugins.join("a.jar"), place.folder.path().join("elsewhere.bin"));
        fs::write(&jar, "there before").expect("write");
        fs::write(&target, "a jar").expect("write");
        std::os::unix::fs::symlink(&target, plugins.join("link.jar")).expect("link");
        let mut watcher = watcher(&place);
        assert_eq!(watcher.writer(&jar), Writer::Unknown);
        for path in [&jar, &target] {
            let jar = if path == &target {
                plugins.join("link.jar")
            } else {
                jar.clone()
            };
            let heard = watcher.heard_of_jars().expect("it is watched");
            assert_eq!(watcher.heard_of_jars(), Some(heard));
            let mut open = OpenOptions::new().append(true).open(path).expect("open");
            assert_eq!(watcher.writer(&jar), Writer::Unknown);
            open.write_all(b"more").expect("write");
            assert_eq!(watcher.writer(&jar), Writer::AtWork);
            assert_ne!(watcher.heard_of_jars(), Some(heard));
            drop(open);
            assert_eq!(watcher.writer(&jar), Writer::Done);
        }
        assert_eq!(
            watcher.wait(LONG),
            Hint::Changed,
            "what was told is a hint all the same"
        );
        fs::remove_file(&jar).expect("remove");
        assert_eq!(watcher.writer(&jar), Writer::Unknown);
        fs::write(plugins.join(".a.jar.Xy12"), "moved in").expect("write");
        fs::rename(plugins.join(".a.jar.Xy12"), &jar).expect("rename");
        assert_eq!(watcher.writer(&jar), Writer::Done);
        watcher.fail(Errno::EIO);
        assert_eq!((watcher.writer(&jar), watcher.heard_of_jars()), (Writer::Unknown, None));
    }

    #[test]
    fn a_waker_ends_a_wait() {
        let place = place();
        let mut watcher = watcher(&place);
        let waker = watcher.waker();
        thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert_eq!(watcher.wait(LONG), Hint::Woken);
        });
        assert_eq!(watcher.wait(Duration::ZERO), Hint::Quiet);
    }
}
