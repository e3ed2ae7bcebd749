//! The folder on a share that the primary ships its log to and the standby takes from it: whether PostgreSQL's user of this
//! host can use it.

use std::{fs, path::Path};

use bc_core::basics::{Error, Kind};

use crate::os_user::OsUser;

/// The folder as settings have it, if PostgreSQL's user `owner` may write to it. The standby writes there as well: it
/// removes what it has got.
///
/// # Errors
/// [`Kind::Setting`]: it may not, or there is none.
pub(crate) fn checked(owner: &OsUser, share: &Path) -> Result<String, Error> {
    let wrong = |what: &str| {
        Error::new(
            Kind::Setting,
            format!("{} {what}", share.display()),
            format!(
                "Mount the share on both hosts, and make the folder on one of them: install -d -o {0} -m 0700 {1}. The \
                 user {0} needs the same number on both: id -u {0}",
                owner.name,
                share.display()
            ),
        )
    };
    if !share.is_absolute() {
        return Err(wrong("is no absolute path"));
    }
    let text = share.to_str().ok_or_else(|| wrong("is no text in UTF-8"))?;
    if text.contains(['\n', '\r']) {
        return Err(wrong("has a line break in its name"));
    }
    if !fs::metadata(share).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(wrong("is no folder on this host"));
    }
    match owner.act(|| tempfile::tempfile_in(share))? {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(wrong(&format!("cannot be written to by {}: {error}", owner.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_folder_that_the_user_may_write_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let ourselves = OsUser::ourselves();
        let text = folder.path().to_str().expect("text");
        assert_eq!(checked(&ourselves, folder.path()).as_deref(), Ok(text));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        for (path, words) in [
            (Path::new("share"), "is no absolute path"),
            (&folder.path().join("missing"), "is no folder on this host"),
            (Path::new("/proc/self"), "cannot be written to"),
            (Path::new("/two\nlines"), "has a line break"),
        ] {
            let error = checked(&ourselves, path).expect_err("refused");
            assert!(error.message().contains(words), "{error}");
            assert!(error.guidance().contains("install -d -o"), "{error}");
        }
    }
}
