//! Changing a file that is not ours: PostgreSQL's, or that of GoCD's wrapper.
//!
//! What was there before is kept beside it, under its name with the time. The new content is written whole or not at all
//! (`bc_core::durable::atomic`), with the owner and the mode that the file had; through a link, where it leads. Root writes
//! as whose the folder is, so that no link leads it elsewhere.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Clock, Error, Kind, SystemClock, regular_file},
    durable::atomic,
};

#[cfg(target_os = "linux")]
use crate::os_user::OsUser;

/// What stands between the name of a file and the time, in the name of a copy.
const MARK: &str = ".before-gocd-bc-";

/// A file of another program, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    path: PathBuf,
    bytes: Option<Vec<u8>>,
}

impl ForeignFile {
    /// Reads a file of others that is text and need not be there.
    ///
    /// # Errors
    /// It cannot be read, or is no text.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = Self::read_bytes(path)?;
        match std::str::from_utf8(file.bytes()) {
            Ok(_) => Ok(file),
            Err(_) => Err(Error::new(
                Kind::File,
                format!("{} is no text in UTF-8", path.display()),
                "Mend it by hand first.",
            )),
        }
    }

    /// Reads a file of others that need not be there, be it in whatever character set.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_bytes(path: &Path) -> Result<Self, Error> {
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(Error::io("read", path, &error)),
        };
        let bytes = match regular_file::read(&path, regular_file::LARGEST_OF_OURS) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        Ok(Self { path, bytes })
    }

    /// Where a file of others is; links are followed already.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a file of others; nothing where it is missing, or no text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The bytes of a file of others; nothing where it is missing.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Whether a file of others is there.
    pub fn exists(&self) -> bool {
        self.bytes.is_some()
    }

    /// Replaces what is in it. A file that is new gets the mode `mode` and the owner of its folder. Returns where what was
    /// there is kept: one copy for each content, however often the command is run; none where there was nothing.
    ///
    /// # Errors
    /// It cannot be written, or was changed by somebody since it was read; it is as it was then.
    pub fn replace(&self, text: impl AsRef<[u8]>, mode: u32) -> Result<Option<PathBuf>, Error> {
        if Self::read_bytes(&self.path)?.bytes != self.bytes {
            return Err(Error::new(
                Kind::Busy,
                format!("{} was changed while it was looked at", self.path.display()),
                "Run the command again.",
            ));
        }
        let kept = match &self.bytes {
            Some(before) => Some(keep(&self.path, before)?),
            None => None,
        };
        write(&self.path, text.as_ref(), mode)?;
        Ok(kept)
    }

    /// Makes a file of others again what it was when it was read, after a server refused what it became.
    ///
    /// # Errors
    /// It cannot be written or removed.
    pub fn put_back(&self) -> Result<(), Error> {
        match &self.bytes {
            Some(text) => write(&self.path, text, 0o600),
            None => as_owner(&self.path, || atomic::remove(&self.path).map(drop)),
        }
    }
}

/// Keeps a copy of what is in a file beside it, unless one of the same content is there.
fn keep(path: &Path, bytes: &[u8]) -> Result<PathBuf, Error> {
    let name = format!("{}{MARK}", path.file_name().unwrap_or_default().display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let listed = fs::read_dir(folder).map_err(|error| Error::io("list", folder, &error))?;
    let former = listed.filter_map(|entry| Some(entry.ok()?.path())).find(|copy| {
        let is_copy = copy
            .file_name()
            .is_some_and(|of| of.display().to_string().starts_with(&name));
        is_copy && fs::read(copy).is_ok_and(|kept| kept == bytes)
    });
    if let Some(former) = former {
        return Ok(former);
    }
    let copy = folder.join(format!("{name}{}", time_in_names()));
    // With the rights of the file itself.
    write_like(&copy, bytes, path, 0o600)?;
    Ok(copy)
}

/// The time, as the names of copies and of what is moved aside end: `20261130201700Z`.
pub fn time_in_names() -> String {
    let moment = bc_core::basics::words::moment(SystemClock.now_ms());
    moment
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take("20261130201700".len())
        .chain(['Z'])
        .collect()
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write_like(path, bytes, path, mode)
}

/// Writes a file with owner and mode of another one, or with those of the folder's owner and `mode` where that is missing.
#[cfg(target_os = "linux")]
fn write_like(path: &Path, bytes: &[u8], like: &Path, mode: u32) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::metadata(like).ok();
    let mode = metadata.as_ref().map_or(mode, |metadata| metadata.mode() & 0o7777);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let of_folder = fs::metadata(folder).map_err(|error| Error::io("look at", folder, &error))?;
    let owner = metadata.as_ref().unwrap_or(&of_folder);
    let owner = (owner.uid(), owner.gid());
    let who = OsUser::owning(folder)?;
    if owner.0 == of_folder.uid() && OsUser::ourselves().is_root() {
        who.act(|| {
            // The group need not be one that the owner is in.
            atomic::write_as(path, bytes, mode, Some(owner)).or_else(|_| atomic::write_as(path, bytes, mode, None))
        })?
    } else {
        let owner = OsUser::ourselves().is_root().then_some(owner);
        atomic::write_as(path, bytes, mode, owner)
    }
}

#[cfg(not(target_os = "linux"))]
fn write_like(path: &Path, bytes: &[u8], _: &Path, mode: u32) -> Result<(), Error> {
    atomic::write(path, bytes, mode)
}

#[cfg(target_os = "linux")]
fn as_owner<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match OsUser::ourselves().is_root() {
        true => OsUser::owning(folder)?.act(work)?,
        false => work(),
    }
}

#[cfg(not(target_os = "linux"))]
fn as_owner<T>(_: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_is_kept_once_for_each_content() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("pg_hba.conf");
        fs::write(&path, "one").expect("write");
        for _ in 0..2 {
            let file = ForeignFile::read(&path).expect("read");
            let kept = file.replace("two", 0o600).expect("write").expect("a copy");
            assert_eq!(fs::read_to_string(kept).expect("read"), "one");
            file.put_back().expect("write");
            assert_eq!(fs::read_to_string(&path).expect("read"), "one");
        }
        assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
        assert!(names(folder.path())[1].starts_with("pg_hba.conf.before-gocd-bc-2"));
    }

    #[test]
    fn one_that_was_missing_is_missing_again_when_it_is_put_back() {
        let folder = tempfile::tempdir().expect("folder");
        let file = ForeignFile::read(&folder.path().join("new")).expect("read");
        assert!(!file.exists());
        assert_eq!(file.replace("x", 0o600).expect("write"), None);
        file.put_back().expect("removed");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn one_that_somebody_changes_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = ForeignFile::read(&path).expect("read");
        fs::write(&path, "theirs").expect("write");
        assert_eq!(file.replace("ours", 0o600).expect_err("changed").kind(), Kind::Busy);
        assert_eq!(fs::read_to_string(&path).expect("read"), "theirs");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn owner_mode_and_link_stay() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

        let folder = tempfile::tempdir().expect("folder");
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "one").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("mode");
        symlink(&path, &link).expect("link");
        let is_root = OsUser::ourselves().is_root();
        for owner in [(65_534, 65_534), (65_534, 0), (0, 7)] {
            if is_root {
                chown(folder.path(), Some(65_534), Some(65_534)).expect("root may");
                chown(&path, Some(owner.0), Some(owner.1)).expect("root may");
            }
            let file = ForeignFile::read(&link).expect("read");
            let kept = file.replace("two", 0o600).expect("write").expect("a copy");
            for path in [&path, &kept] {
                let metadata = fs::metadata(path).expect("look");
                assert_eq!(metadata.mode() & 0o777, 0o664);
                if is_root {
                    assert_eq!(metadata.uid(), owner.0);
                }
            }
            assert!(fs::symlink_metadata(&link).expect("look").is_symlink());
            fs::remove_file(kept).expect("removed");
            file.put_back().expect("write");
        }
    }
}
