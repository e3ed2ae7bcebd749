//! Writing files as the user whose they are.
//!
//! GoCD must be able to read and rewrite what an administrator makes as root. So as root the command writes as the
//! owner of `cruise-config.xml`: not even for a moment does a file belong to root, and a link that GoCD's user put
//! there leads nowhere that this user could not write to itself.

use std::path::Path;

use crate::failure::Failure;

#[cfg(not(unix))]
pub(crate) use elsewhere::{as_owner_of, become_owner_of, give, is_roots_alone, name_of_owner};
#[cfg(unix)]
pub(crate) use unix::{as_owner_of, become_owner_of, give, is_roots_alone, name_of_owner};

#[cfg(unix)]
mod unix {
    use std::{
        fs, io,
        os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    };

    use bc_core::basics::Error;
    use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
    use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgroups, setegid, seteuid, setgid, setgroups, setuid};

    use super::{Failure, Path};
    use crate::exit_code::ExitCode;

    /// Does `work` on Unix as the owner of `file`, or of its folder where it is missing. Without being root, as
    /// oneself.
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

    /// Becomes the owner of `file` on Unix for the rest of the process, or of its folder where it is missing. Does
    /// nothing without being root.
    pub(crate) fn become_owner_of(file: &Path) -> Result<(), Failure> {
        let Some((user, group)) = other_owner(file)? else {
            return Ok(());
        };
        setgroups(&[group])
            .and_then(|()| setgid(group))
            .and_then(|()| setuid(user))
            .map_err(|error| cannot_become(user, error))
    }

    /// Whether root has put a file on Unix where the owner of `config` is to read it: it is root's, and `config` is not.
    pub(crate) fn is_roots_alone(file: &Path, config: &Path) -> bool {
        let is_roots = fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.uid() == 0);
        is_roots && matches!(other_owner(config), Ok(Some(_)))
    }

    /// Gives a file that root has put there to its owner, that of `config`. Only what has no other name and is no link:
    /// in a folder of that user's, it would be a way to any file of root.
    pub(crate) fn give(file: &Path, config: &Path) -> Result<(), Failure> {
        let Some((user, group)) = other_owner(config)? else {
            return Ok(());
        };
        let given = || {
            let opened = fs::OpenOptions::new()
                .read(true)
                .custom_flags(O_NOFOLLOW | O_NONBLOCK)
                .open(file)?;
            let metadata = opened.metadata()?;
            if !metadata.is_file() || metadata.nlink() != 1 || metadata.uid() != 0 {
                return Err(io::Error::other("it is a link, or no longer root's"));
            }
            fchown(&opened, Some(user.as_raw()), Some(group.as_raw()))
        };
        given().map_err(|error| Failure::from(Error::io("give to GoCD's user", file, &error)))
    }

    /// The name of a file's owner on Unix, if it can be seen.
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

    /// Whom root should become to write a file: the first owner that is not root of the file, of the link that leads to
    /// it, and of its folder. An editor may have left the file to root, and a link of GoCD's user may lead to a file of
    /// root.
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

    /// Says that root cannot become the user whose configuration it is.
    fn cannot_become(user: Uid, error: nix::Error) -> Failure {
        let name = name(user);
        Failure::new(
            ExitCode::Failed,
            format!("cannot become the user {name}, whose configuration this is: {error}"),
            format!("Run the command as {name}."),
        )
    }

    /// The name of a user on Unix, or the number where there is none.
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

    /// Does `work` elsewhere than on Unix; files belong to who makes them, and the folder's rights are inherited.
    pub(crate) fn as_owner_of<T>(_: &Path, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        work()
    }

    /// Becomes nobody else elsewhere than on Unix.
    pub(crate) fn become_owner_of(_: &Path) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether root has put a file where the owner of another is to read it: there is no root elsewhere than on Unix.
    pub(crate) fn is_roots_alone(_: &Path, _: &Path) -> bool {
        false
    }

    /// Gives nothing away elsewhere than on Unix.
    pub(crate) fn give(_: &Path, _: &Path) -> Result<(), Failure> {
        Ok(())
    }

    /// The name of a file's owner elsewhere than on Unix: not known.
    pub(crate) fn name_of_owner(_: &Path) -> Option<String> {
        None
    }
}
