//! Extended attributes and access control lists, which a file that replaces another one has to keep.
//!
//! A POSIX access control list is the attribute `system.posix_acl_access` on Linux; a label of SELinux is
//! `security.selinux`. Other systems keep what their rename keeps.

use std::{io, path::Path};

/// Gives `to` all attributes of `from`, as far as this user may and the file system of `to` can. Returns the names of
/// those that it has not got. A change of the mode comes after this: a list sets the mode as well.
///
/// # Errors
/// The names of the attributes of `from` cannot be read.
#[cfg(target_os = "linux")]
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<Vec<String>> {
    use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};

    let names = match filled(|buffer| listxattr(from, buffer)) {
        Err(error) if is_unsupported(&error) => return Ok(Vec::new()),
        names => names?,
    };
    let mut lost = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let is_kept = filled(|buffer| getxattr(from, name, buffer)).is_ok_and(|value| {
            filled(|buffer| getxattr(to, name, buffer)).is_ok_and(|there| there == value)
                || setxattr(to, name, &value, XattrFlags::empty()).is_ok()
        });
        if !is_kept {
            lost.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(lost)
}

/// Copies none of the attributes, where the system has none of these.
#[cfg(not(target_os = "linux"))]
pub(super) fn copy(_: &Path, _: &Path) -> io::Result<Vec<String>> {
    Ok(Vec::new())
}

/// What a call gives that fills a buffer with names or values of attributes.
#[cfg(target_os = "linux")]
fn filled(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    /// The longest list and the longest value that Linux knows: `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`.
    const LONGEST: usize = 64 << 10;
    let mut buffer = vec![0; LONGEST];
    let size = call(&mut buffer)?;
    buffer.truncate(size);
    Ok(buffer)
}

/// Whether a file system has none of these attributes.
#[cfg(target_os = "linux")]
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    const LIST: &str = "system.posix_acl_access";

    /// Owner may read and write, the user 1234 and the group read, others nothing: version 2 of
    /// linux/posix_acl_xattr.h.
    fn list() -> Vec<u8> {
        let nobody = u32::MAX;
        let entries = [
            (1_u16, 6_u16, nobody),
            (2, 4, 1234),
            (4, 4, nobody),
            (0x10, 4, nobody),
            (0x20, 0, nobody),
        ];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn value(path: &Path, name: &str) -> Option<Vec<u8>> {
        filled(|buffer| rustix::fs::getxattr(path, name, buffer)).ok()
    }

    #[test]
    fn lists_and_attributes_are_carried_over() {
        let folder = tempfile::tempdir().expect("folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "old").expect("write");
        fs::write(&new, "new").expect("write");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode");
        setxattr(&old, "user.origin", b"backup 7", XattrFlags::empty()).expect("an attribute");
        setxattr(&old, "user.empty", b"", XattrFlags::empty()).expect("an attribute");
        setxattr(&old, LIST, &list(), XattrFlags::empty()).expect("a list");
        assert_eq!(copy(&old, &new).expect("copied"), Vec::<String>::new());
        assert_eq!(value(&new, "user.origin").as_deref(), Some(&b"backup 7"[..]));
        assert_eq!(value(&new, "user.empty").as_deref(), Some(&b""[..]));
        assert_eq!(value(&new, LIST), Some(list()));
        assert_eq!(fs::metadata(&new).expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(copy(&old, &new).expect("again"), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_set_is_named_and_the_rest_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let old = folder.path().join("old");
        fs::write(&old, "old").expect("write");
        setxattr(&old, "user.origin", b"backup 7", XattrFlags::empty()).expect("an attribute");
        // Files of /proc have no attributes of a user.
        assert_eq!(copy(&old, Path::new("/proc/self/comm")).expect("read"), ["user.origin"]);
    }
}
