//! Writing files as the user whose they are.
//!
//! GoCD must be able to read and rewrite what an administrator makes as root. So as root the command writes as the
//! owner of `cruise-config.xml`: not even for a moment does a file belong to root, and a link that GoCD's user put
//! there leads nowhere that this user could not write to itself.

use std::path::Path;

use crate::failure::Failure;

#[cfg(not(unix))]
pub(crate) use elsewhere::{as_owner_of, become_owner_of, name_of_owner};
#[cfg(unix)]
pub(crate) use unix::{as_owner_of, become_owner_of, name_of_owner};

#[cfg(unix)]
mod unix {
    use std::{fs, os::unix::fs::MetadataExt};

    use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgroups, setegid, seteuid, setgid, setgroups, setuid};

    use super::{Failure, Path};
    use crate::exit_code::ExitCode;

    /// Does `work` as the owner of `file`, or of its folder where it is missing. Without being root, as oneself.
    pub(crate) fn as_owner_of<T>(file: &Path, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let Some((user, group)) = other_owner(file)? else {
            return work();
        };
        let (own_group, own_groups) = (getegid(), getgroups().map_err(|error| cannot_become(user, error))?);
        let _back = Back { own_group, own_groups };
        setgroups(&[group])
            .and_then(|()| setegid(group))
            .and_then(|()| seteuid(user))
            .map_err(|error| cannot_become(user, error))?;
        work()
    }

    /// Becomes the owner of `file` for the rest of the process, or of its folder where it is missing. Does nothing
    /// without being root.
    pub(crate) fn become_owner_of(file: &Path) -> Result<(), Failure> {
        let Some((user, group)) = other_owner(file)? else {
            return Ok(());
        };
        setgroups(&[group])
            .and_then(|()| setgid(group))
            .and_then(|()| setuid(user))
            .map_err(|error| cannot_become(user, error))
    }

    /// The name of a file's owner, if it can be seen.
    pub(crate) fn name_of_owner(file: &Path) -> Option<String> {
        let owner = Uid::from_raw(fs::metadata(file).ok()?.uid());
        Some(name(owner))
    }

    /// Root again, with root's groups.
    struct Back {
        own_group: Gid,
        own_groups: Vec<Gid>,
    }

    impl Drop for Back {
        fn drop(&mut self) {
            // The saved user is still root, so this cannot be refused; if it were, less would be permitted.
            _ = seteuid(Uid::from_raw(0));
            _ = setegid(self.own_group);
            _ = setgroups(&self.own_groups);
        }
    }

    /// Whom root should become: the first owner that is not root of the file, of the link that leads to it, and of
    /// its folder. An editor may have left the file to root, and a link of GoCD's user may lead to a file of root.
    fn other_owner(file: &Path) -> Result<Option<(Uid, Gid)>, Failure> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let of_folder = fs::metadata(folder).map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                format!("cannot find out whose {} is: {error}", folder.display()),
                "Check that the configuration folder exists.",
            )
        })?;
        let owners = [
            fs::metadata(file).ok(),
            fs::symlink_metadata(file).ok(),
            Some(of_folder),
        ];
        Ok(owners
            .into_iter()
            .flatten()
            .map(|metadata| (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid())))
            .find(|(user, _)| !user.is_root()))
    }

    fn cannot_become(user: Uid, error: nix::Error) -> Failure {
        let name = name(user);
        Failure::new(
            ExitCode::Failed,
            format!("cannot become the user {name}, whose configuration this is: {error}"),
            format!("Run the command as {name}."),
        )
    }

    fn name(user: Uid) -> String {
        match User::from_uid(user) {
            Ok(Some(known)) => known.name,
            _ => user.to_string(),
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{Failure, Path};

    /// Does `work`; files belong to who makes them, and the folder's rights are inherited.
    pub(crate) fn as_owner_of<T>(_: &Path, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        work()
    }

    /// Does nothing.
    pub(crate) fn become_owner_of(_: &Path) -> Result<(), Failure> {
        Ok(())
    }

    /// Not known.
    pub(crate) fn name_of_owner(_: &Path) -> Option<String> {
        None
    }
}
