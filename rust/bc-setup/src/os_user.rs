//! Users of the operating system: the one whose a cluster is, and acting as that one.
//!
//! PostgreSQL refuses to run as root, knows its superuser over the local socket by the effective user id of who connects,
//! and must be able to read what is written for it. So root does for a moment as that user what concerns it; then no link
//! that the user put anywhere leads to where that user could not write itself.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bc_core::basics::{Error, Kind};
use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A user of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsUser {
    /// Its name, or its number where it has none.
    pub name: String,
    /// Its home folder.
    pub home: PathBuf,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

impl OsUser {
    /// The user whose a file or folder is.
    ///
    /// # Errors
    /// The path cannot be looked at.
    pub fn owning(path: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("look at", path, &error))?;
        Ok(Self::of(Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid())))
    }

    /// The user of this name.
    ///
    /// # Errors
    /// [`Kind::Setting`]: this machine has none.
    pub fn named(name: &str) -> Result<Self, Error> {
        match User::from_name(name) {
            Ok(Some(user)) => Ok(Self::of(user.uid, user.gid)),
            _ => Err(Error::new(
                Kind::Setting,
                format!("this machine has no user {name}"),
                "Install PostgreSQL, or give the data folder to the user that it runs as.",
            )),
        }
    }

    /// Who runs this process.
    pub fn ourselves() -> Self {
        Self::of(geteuid(), getegid())
    }

    /// Whether a user is root.
    pub fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// Whether this process runs as a user.
    pub fn is_us(&self) -> bool {
        geteuid() == self.uid
    }

    /// Does `work` as a user, and is who it was again after it. This thread alone is that user meanwhile.
    ///
    /// # Errors
    /// [`Kind::File`]: this process is neither root nor that user.
    pub fn act<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        if self.is_us() {
            return Ok(work());
        }
        let become_user = || -> io::Result<Back> {
            let back = Back {
                group: getegid(),
                groups: getgroups()?,
            };
            switch(self.uid, self.gid, &self.groups(), Order::GroupsFirst)?;
            Ok(back)
        };
        let _back = become_user().map_err(|error| self.not_us(&error))?;
        Ok(work())
    }

    /// Says that what has to be done as this user cannot be.
    pub(crate) fn not_us(&self, error: &io::Error) -> Error {
        Error::new(
            Kind::File,
            format!("cannot act as the user {}: {error}", self.name),
            format!("Run the command as root, or as {}.", self.name),
        )
    }

    /// All groups that this user is in: one of them may be what lets it read the key of a certificate.
    fn groups(&self) -> Vec<Gid> {
        let name = CString::new(self.name.as_str()).unwrap_or_default();
        getgrouplist(&name, self.gid).unwrap_or_else(|_| vec![self.gid])
    }

    fn of(uid: Uid, gid: Gid) -> Self {
        match User::from_uid(uid) {
            Ok(Some(user)) => Self {
                name: user.name,
                home: user.dir,
                uid,
                gid: user.gid,
            },
            _ => Self {
                name: uid.to_string(),
                home: PathBuf::from("/"),
                uid,
                gid,
            },
        }
    }
}

/// Root again, with root's groups.
struct Back {
    group: Gid,
    groups: Vec<Gid>,
}

impl Drop for Back {
    fn drop(&mut self) {
        // The saved user is still root, so this cannot be refused; if it were, less would be permitted.
        _ = switch(Uid::from_raw(0), self.group, &self.groups, Order::UserFirst);
    }
}

/// Who may change groups is root: on the way there it is that last, on the way back first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    GroupsFirst,
    UserFirst,
}

/// Changes the effective user and groups of this thread.
fn switch(uid: Uid, gid: Gid, groups: &[Gid], order: Order) -> io::Result<()> {
    let user = || set_thread_res_uid(None, rustix::process::Uid::from_raw(uid.as_raw()), None);
    let of = |gid: &Gid| rustix::process::Gid::from_raw(gid.as_raw());
    if order == Order::UserFirst {
        user()?;
    }
    set_thread_groups(&groups.iter().map(of).collect::<Vec<_>>())?;
    set_thread_res_gid(None, of(&gid), None)?;
    if order == Order::GroupsFirst {
        user()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_as_a_user_is_that_users() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).expect("root may");
        let nobody = OsUser::owning(folder.path()).expect("it is there");
        let file = folder.path().join("file");
        nobody
            .act(|| fs::write(&file, "x"))
            .expect("root may")
            .expect("its folder");
        assert_eq!(OsUser::owning(&file).expect("it is there"), nobody);
        assert!(OsUser::ourselves().uid.is_root());
    }
}
