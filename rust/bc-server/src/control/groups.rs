//! Who is in which group of the machine.

#[cfg(unix)]
use std::ffi::CString;

#[cfg(unix)]
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Whether somebody is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(windows, expect(dead_code, reason = "a named pipe tells no user"))]
pub(super) enum Membership {
    Member,
    NoMember,
    NoSuchGroup,
}

/// Whether the user `uid` that came over the local socket with the group `gid` is in the operating system's group
/// `group`.
#[cfg(unix)]
pub(super) fn membership(uid: u32, gid: u32, group: &str) -> Membership {
    let Ok(Some(group)) = Group::from_name(group) else {
        return Membership::NoSuchGroup;
    };
    let listed = || {
        let user = User::from_uid(Uid::from_raw(uid)).ok()??;
        let name = CString::new(user.name).ok()?;
        let groups = getgrouplist(&name, user.gid).ok()?;
        Some(groups.contains(&group.gid))
    };
    if group.gid == Gid::from_raw(gid) || listed() == Some(true) {
        Membership::Member
    } else {
        Membership::NoMember
    }
}

/// Whether the user of a pipe on Windows is in a group: never known, since a named pipe tells no user.
#[cfg(windows)]
pub(super) fn membership(_uid: u32, _gid: u32, _group: &str) -> Membership {
    Membership::NoMember
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn groups_of_this_machine() {
        assert_eq!(membership(0, 0, "root"), Membership::Member);
        assert_eq!(membership(65_534, 65_534, "root"), Membership::NoMember);
        assert_eq!(membership(0, 0, "no-such-group-here"), Membership::NoSuchGroup);
        // A user number without a name has at least the group it came with.
        assert_eq!(membership(4_000_000_000, 0, "root"), Membership::Member);
    }
}
