//! A data folder that another one takes the place of: made beside it, moved in when it is whole, and what was there before
//! is kept.
//!
//! | name beside `main` | what it is |
//! |---|---|
//! | `main.gocd-bc-partial` | a base backup on its way; a run that was killed leaves it, and the next one removes it |
//! | `main.gocd-bc-whole` | a standby that is ready to be moved in, while the file `gocd-bc-ready` is in it; else what was moved out a moment before |
//! | `main.before-gocd-bc-TIME` | what was there before; ours never remove it |
//! | `main.gocd-bc-lock` | held by whoever makes one, and by the base backup itself |
//!
//! Where the file system can, both folders change places at once, so that there is never none. A folder that is a mount of
//! its own stays where it is: the same names, with a dot in front, are inside of it then, and what is in the folders moves.
//! Whatever happens, no server can start on something that is not whole and would take writes: a base backup says that it
//! is a standby before it gets its name, and of what moves piece by piece `PG_VERSION` is the last to come and the first to
//! go.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use bc_core::{
    basics::error::{Error, Kind},
    durable::atomic,
};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{foreign_file::time_in_names, os_user::OsUser, wait::until};

/// In a folder that is ready to be moved in, and nowhere else.
const READY: &str = "gocd-bc-ready";
/// Without it no server starts on a folder.
const VERSION: &str = "PG_VERSION";
/// A base backup whose run was killed ends within this time.
const ORPHAN_ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A data folder, there or not.
#[derive(Debug, Clone)]
pub struct DataFolder {
    data: PathBuf,
    owner: OsUser,
    /// Whether it cannot be renamed, since it is a mount.
    is_mount: bool,
}

/// Only one run at a time; the base backup holds it as well.
pub struct Lock {
    file: Flock<File>,
    path: PathBuf,
}

impl DataFolder {
    /// The data folder `data`, which is or will be that of `owner`.
    ///
    /// # Errors
    /// The folder above it is not there.
    pub fn new(data: &Path, owner: &OsUser) -> Result<Self, Error> {
        let parent = parent(data);
        let above = fs::metadata(parent).map_err(|error| Error::io("look at", parent, &error))?;
        let is_mount = fs::metadata(data).is_ok_and(|own| own.dev() != above.dev());
        Ok(Self {
            data: data.to_owned(),
            owner: owner.clone(),
            is_mount,
        })
    }

    /// Whether a base backup that an interrupted run took waits to be moved in, or is half moved in.
    pub fn has_ready(&self) -> bool {
        let whole = self.whole();
        whole.join(READY).exists() || (self.is_mount && whole.exists())
    }

    /// Whether there is something in the folder that a base backup would move aside.
    pub fn has_data(&self) -> bool {
        self.data.join(VERSION).exists()
    }

    /// The disk of the data folder, to which a base backup goes.
    pub fn disk(&self) -> &Path {
        if self.is_mount { &self.data } else { parent(&self.data) }
    }

    /// Where what is in the data folder now will be, at a time that is not known yet.
    pub fn aside(&self) -> PathBuf {
        self.beside("before-gocd-bc-TIME")
    }

    fn aside_now(&self) -> PathBuf {
        self.beside(&format!("before-gocd-bc-{}", time_in_names()))
    }

    /// Makes sure that nobody else makes one. The base backup of a run that was killed is ended: what receives the log for
    /// it outlives that for half a minute.
    ///
    /// # Errors
    /// [`Kind::Busy`]: somebody does.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.beside("gocd-bc-lock");
        let taken = until(ORPHAN_ENDS_WITHIN, || {
            let taken = self.try_lock(&path);
            if matches!(taken, Ok(None)) {
                end_orphans(&path);
            }
            taken.transpose()
        });
        let taken = taken.transpose()?;
        taken.ok_or_else(|| {
            Error::new(
                Kind::Busy,
                format!(
                    "somebody else makes a standby of {} at this moment",
                    self.data.display()
                ),
                format!("See who: `fuser -v {}`. Wait for it, or end it.", path.display()),
            )
        })
    }

    /// An empty folder beside the data folder for a base backup. What an interrupted run left there is removed.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self) -> Result<PathBuf, Error> {
        let (partial, whole) = (self.partial(), self.whole());
        let stale = whole.join(READY).exists().then_some(&whole);
        for ours in [&partial].into_iter().chain(stale).filter(|folder| folder.exists()) {
            self.owner.act(|| empty(ours))??;
            let removed = self.act(|| fs::remove_dir(ours))?;
            removed.map_err(|error| Error::io("remove", ours, &error))?;
        }
        self.tidy()?;
        let made = self.act(|| fs::DirBuilder::new().mode(0o700).create(&partial))?;
        made.and_then(|()| self.give(&partial))
            .map_err(|error| Error::io("make", &partial, &error))?;
        Ok(partial)
    }

    /// Removes the data folder of a base backup that failed.
    pub fn abandon(&self) {
        let partial = self.partial();
        // What is left of it, the next run removes.
        drop(self.owner.act(|| empty(&partial)));
        drop(self.act(|| fs::remove_dir(&partial)));
    }

    /// Says that the base backup is whole, and a standby: it may be moved in from now on, also by a later run.
    ///
    /// # Errors
    /// It cannot be made durable.
    pub fn complete(&self) -> Result<(), Error> {
        let (partial, whole) = (self.partial(), self.whole());
        self.owner.act(|| atomic::write(&partial.join(READY), b"", 0o600))??;
        self.rename(&partial, &whole)
    }

    /// The data folder that is ready to be moved in.
    pub fn ready(&self) -> PathBuf {
        self.whole()
    }

    /// Moves in what is ready; returns where what was there before is now. Done again after it was interrupted, it goes
    /// on. The server must not run.
    ///
    /// # Errors
    /// Something cannot be moved: both folders are there still, and running it again goes on.
    pub fn move_in(&self) -> Result<Option<PathBuf>, Error> {
        if self.is_mount {
            return self.move_into_mount();
        }
        let (whole, aside) = (self.whole(), self.aside_now());
        let has_former = self.data.exists();
        if !has_former {
            self.rename(&whole, &self.data)?;
        } else if fs::remove_dir(&self.data).is_ok() {
            // It was empty.
            self.rename(&whole, &self.data)?;
            return Ok(None);
        } else if self.act(|| exchange(&self.data, &whole))?.is_err() {
            self.rename(&self.data, &aside)?;
            self.rename(&whole, &self.data)?;
            return Ok(Some(aside));
        }
        self.tidy()
    }

    /// Says that the data folder that was moved in is in use: from now on it is like any other.
    ///
    /// # Errors
    /// The mark cannot be removed.
    pub fn settle(&self) -> Result<(), Error> {
        let removed = self.owner.act(|| atomic::remove(&self.data.join(READY)))?;
        removed.map(drop)
    }

    /// Gives what was there before its name, where a run was interrupted right after both folders changed places. Returns
    /// that.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn tidy(&self) -> Result<Option<PathBuf>, Error> {
        let whole = self.whole();
        if self.is_mount || !whole.exists() || whole.join(READY).exists() {
            return Ok(None);
        }
        let aside = self.aside_now();
        self.rename(&whole, &aside)?;
        Ok(Some(aside))
    }

    fn move_into_mount(&self) -> Result<Option<PathBuf>, Error> {
        let (whole, mut aside) = (self.whole(), None);
        // Once the first of the new files is here, what is here is new.
        let has_begun = !whole.join(READY).exists() || self.data.join(READY).exists();
        if !has_begun {
            let former = self.names(&self.data, &|name| {
                !name.starts_with(".gocd-bc") && name != "lost+found"
            })?;
            let former: Vec<_> = former
                .into_iter()
                .filter(|name| !name.contains("before-gocd-bc-"))
                .collect();
            if !former.is_empty() {
                let place = self.aside_now();
                let made = self.act(|| fs::DirBuilder::new().mode(0o700).create(&place))?;
                made.and_then(|()| self.give(&place))
                    .map_err(|error| Error::io("make", &place, &error))?;
                for name in in_order(former, true) {
                    self.rename(&self.data.join(&name), &place.join(&name))?;
                }
                aside = Some(place);
            }
        }
        for name in in_order(self.names(&whole, &|_| true)?, false) {
            self.rename(&whole.join(&name), &self.data.join(&name))?;
        }
        let removed = self.act(|| fs::remove_dir(&whole))?;
        removed.map_err(|error| Error::io("remove", &whole, &error))?;
        Ok(aside)
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Lock>, Error> {
        let opened = self.act(|| File::options().create(true).append(true).open(path))?;
        let file = opened.map_err(|error| Error::io("open", path, &error))?;
        // Whoever had it before may have removed it meanwhile.
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let locked = locked.ok().filter(|file| is_at(file, path));
        Ok(locked.map(|file| Lock {
            file,
            path: path.to_owned(),
        }))
    }

    fn names(&self, folder: &Path, is_meant: &dyn Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        let listed = self.owner.act(|| fs::read_dir(folder))?;
        let listed = listed.map_err(|error| Error::io("list", folder, &error))?;
        let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| is_meant(name)).collect())
    }

    fn partial(&self) -> PathBuf {
        self.beside("gocd-bc-partial")
    }

    fn whole(&self) -> PathBuf {
        self.beside("gocd-bc-whole")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        if self.is_mount {
            return self.data.join(format!(".{suffix}"));
        }
        let mut name = self.data.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(suffix);
        parent(&self.data).join(name)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the head of this module says why it is safe at any instant"
    )]
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let renamed = self.act(|| {
            fs::rename(from, to)?;
            atomic::sync_folder(parent(to))
        })?;
        renamed.map_err(|error| Error::io(&format!("move to {}", to.display()), from, &error))
    }

    /// Does as the owner of the folder above what changes that one.
    fn act<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        match OsUser::ourselves().is_root() {
            true => OsUser::owning(self.disk())?.act(work),
            false => Ok(work()),
        }
    }

    /// Gives what we made to whose it will be, and to nobody else's eyes.
    fn give(&self, path: &Path) -> io::Result<()> {
        if OsUser::ourselves().is_root() {
            chown(path, Some(self.owner.uid.as_raw()), Some(self.owner.gid.as_raw()))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }
}

impl Lock {
    /// The lock on the making of a data folder once more, for a program that holds it as long as it runs.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(|error| Error::io("open", &self.path, &error))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever waits for it opens the new one.
        _ = fs::remove_file(&self.path);
    }
}

/// Ends base backups that hold this lock, where nobody else does: whoever began them is gone.
fn end_orphans(lock: &Path) {
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let holds = |number: &i32| {
        let open = fs::read_dir(format!("/proc/{number}/fd")).into_iter().flatten();
        open.filter_map(Result::ok)
            .any(|entry| fs::read_link(entry.path()).is_ok_and(|file| file == lock))
    };
    let holders: Vec<i32> = numbers.filter(holds).collect();
    let is_backup = |number: &i32| {
        let name = fs::read_to_string(format!("/proc/{number}/comm"));
        name.is_ok_and(|name| name.trim() == "pg_basebackup")
    };
    if holders.iter().all(is_backup) {
        for number in holders {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(number), Signal::SIGKILL);
        }
    }
}

/// Whether an open file is still the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Removes what is in a folder; what links in there lead to stays.
#[expect(
    clippy::disallowed_methods,
    reason = "it is a base backup of ours that did not come to its end"
)]
fn empty(folder: &Path) -> Result<(), Error> {
    let removed = fs::read_dir(folder).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    });
    removed.map_err(|error| Error::io("empty", folder, &error))
}

/// What makes a folder one that a server starts on goes first of all, and comes last.
fn in_order(mut names: Vec<String>, goes: bool) -> Vec<String> {
    let rank = |name: &str| match name {
        VERSION => 3,
        "global" => 2,
        "standby.signal" | "recovery.conf" => 0,
        READY if goes => 1,
        READY => -1,
        _ => 1,
    };
    names.sort_by_key(|name| if goes { -rank(name) } else { rank(name) });
    names
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("/"))
}

/// Gives each of two folders the other's name, at once.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    atomic::sync_folder(parent(one))
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
