//! The password of the role that replicates: where it comes from, and the files that libpq takes it from.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{
        error::{Error, Kind},
        regular_file,
    },
    database::passfile::{REPLICATION, password, replication_line},
    durable::atomic,
};
use tempfile::TempPath;
use zeroize::Zeroizing;

use crate::os_user::OsUser;

/// The file in the data folder that the standby's server takes the password from. Its path in a connection string is this
/// name alone: a server looks from its data folder, wherever a container or a rename puts that.
pub const FILE: &str = "gocd-bc.pgpass";

/// The password of `user` in a file: a passfile with a line for it, or nothing but the password.
///
/// # Errors
/// The file cannot be read, or has none.
pub fn read(path: &Path, user: &str) -> Result<Zeroizing<String>, Error> {
    let bytes =
        regular_file::read(path, regular_file::LARGEST_OF_OURS).map_err(|error| Error::io("read", path, &error))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Error::new(
            Kind::File,
            format!("{} is no text in UTF-8", path.display()),
            "Name the file with the password.",
        )
    })?;
    let mut lines = text
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.trim().is_empty());
    let found = password(text, REPLICATION, user).or_else(|| match (lines.next(), lines.next()) {
        (Some(only), None) if only.split(':').count() < 5 => Some(Zeroizing::new(only.to_owned())),
        _ => None,
    });
    found.ok_or_else(|| {
        Error::new(
            Kind::Setting,
            format!("{} has no password of {user}", path.display()),
            format!("Its one line is the password, or `*:*:{REPLICATION}:{user}:PASSWORD`."),
        )
    })
}

/// A passfile for the programs of this run, removed when it is dropped. Its owner alone may read it.
///
/// # Errors
/// It cannot be made.
pub fn temporary(owner: &OsUser, user: &str, password: &str) -> Result<TempPath, Error> {
    let make = || -> io::Result<TempPath> {
        let mut file = tempfile::Builder::new()
            .prefix("gocd-bc-")
            .suffix(".pgpass")
            .tempfile()?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(replication_line(user, password).as_bytes())?;
        Ok(file.into_temp_path())
    };
    owner
        .act(make)?
        .map_err(|error| Error::io("make a file in", &std::env::temp_dir(), &error))
}

/// Writes the passfile [`FILE`] into a data folder, durably.
///
/// # Errors
/// It cannot be written.
pub fn write(owner: &OsUser, data: &Path, user: &str, password: &str) -> Result<(), Error> {
    let line = replication_line(user, password);
    owner.act(|| atomic::write(&data.join(FILE), line.as_bytes(), 0o600))?
}

/// Whether the passfile [`FILE`] of a data folder has exactly this password.
pub fn has(owner: &OsUser, data: &Path, user: &str, password: &str) -> bool {
    let found = owner.act(|| read(&in_data(data), user));
    matches!(found, Ok(Ok(found)) if *found == password)
}

/// Where the passfile [`FILE`] is in a data folder.
pub fn in_data(data: &Path) -> PathBuf {
    data.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_from_both_kinds_of_files() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        for (text, expected) in [
            ("secret\n", Some("secret")),
            ("with: a colon\r\n", Some("with: a colon")),
            ("*:*:replication:rep:in\\:side\n", Some("in:side")),
            ("*:*:replication:other:x\n", None),
            ("one\ntwo\n", None),
            ("", None),
        ] {
            fs::write(&path, text).expect("write");
            let found = read(&path, "rep").ok();
            assert_eq!(found.as_ref().map(|found| found.as_str()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_its_owners_alone_and_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let us = OsUser::ourselves();
        write(&us, folder.path(), "rep", "a:b\\c").expect("written");
        assert!(has(&us, folder.path(), "rep", "a:b\\c") && !has(&us, folder.path(), "rep", "a"));
        let temporary = temporary(&us, "rep", "x").expect("made");
        for path in [temporary.to_path_buf(), in_data(folder.path())] {
            assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
        }
    }
}
