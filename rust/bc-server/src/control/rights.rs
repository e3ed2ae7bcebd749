//! Who may give orders that change something.
//!
//! It guards against accidents and against build jobs of an agent on the same machine, which run as GoCD's user:
//! that user is refused although the node runs as it. Whoever is that user can still change the node's files.

use std::fmt;

use bc_core::node::Reply;

use super::groups::{Membership, membership};

/// Who besides root may give orders.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    /// Members of this group may (`bc.operator.group`).
    pub operator_group: Option<String>,
    /// The user that the node runs as may (`bc.operator=owner`).
    pub operator_is_owner: bool,
}

/// The operating-system user at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The super-user, also where the node itself runs as it.
    #[cfg_attr(windows, expect(dead_code, reason = "a named pipe tells no user"))]
    Root,
    /// The user that the node runs as. On Windows everybody whom the pipe lets in: that user, administrators and
    /// the system.
    Owner,
    /// Anybody else, by user and group number.
    #[cfg_attr(windows, expect(dead_code, reason = "a named pipe tells no user"))]
    Other { uid: u32, gid: u32 },
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Root => f.write_str("root"),
            Caller::Owner => f.write_str("the user of this node"),
            Caller::Other { uid, .. } => write!(f, "the user {uid}"),
        }
    }
}

impl Rights {
    /// Whether the right of this caller on the local socket depends on the groups of its user.
    pub(super) fn needs_groups_of(&self, caller: Caller) -> bool {
        matches!(caller, Caller::Other { .. }) && self.operator_group.is_some()
    }

    /// Judges whether a caller on the local socket may give an order that changes something. May block: groups can come
    /// from a directory service.
    ///
    /// # Errors
    /// The refusal to send.
    pub(super) fn judge(&self, caller: Caller) -> Result<(), Reply> {
        self.judge_with(caller, membership)
    }

    /// Judges a caller on the local socket as [`Rights::judge`], with this way of asking for the groups of a user.
    fn judge_with(&self, caller: Caller, membership: impl Fn(u32, u32, &str) -> Membership) -> Result<(), Reply> {
        match (caller, &self.operator_group) {
            (Caller::Root, _) => Ok(()),
            (Caller::Owner, _) if self.operator_is_owner => Ok(()),
            (Caller::Owner, _) => Err(Reply::refused(
                "the user that GoCD runs as may not give orders to this node, since jobs of an agent on this machine \
                 may be that user"
                    .to_owned(),
                "Run the command as root or as a member of the group named by bc.operator.group, or allow it with \
                 -Dbc.operator=owner.",
            )),
            (Caller::Other { uid, gid }, Some(group)) => match membership(uid, gid, group) {
                Membership::Member => Ok(()),
                Membership::NoMember => Err(Reply::refused(
                    format!("the user {uid} is not in the group {group}, whose members may give orders to this node"),
                    "Run the command as root or as a member of that group.",
                )),
                Membership::NoSuchGroup => Err(Reply::refused(
                    format!("this machine has no group {group}, which bc.operator.group names"),
                    "Run the command as root, or make that group.",
                )),
            },
            (Caller::Other { uid, .. }, None) => Err(Reply::refused(
                format!("only root may give orders to this node, not the user {uid}"),
                "Run the command as root, or name a group of operators with bc.operator.group.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: Caller = Caller::Other { uid: 1000, gid: 1000 };

    fn is_allowed(caller: Caller, group: Option<&str>, operator_is_owner: bool, membership: Membership) -> bool {
        let rights = Rights {
            operator_group: group.map(str::to_owned),
            operator_is_owner,
        };
        rights.judge_with(caller, |_, _, _| membership).is_ok()
    }

    #[test]
    fn root_and_members_may() {
        assert!(is_allowed(Caller::Root, None, false, Membership::NoMember));
        assert!(is_allowed(SOMEBODY, Some("ops"), false, Membership::Member));
        assert!(!is_allowed(SOMEBODY, Some("ops"), false, Membership::NoMember));
        assert!(!is_allowed(SOMEBODY, Some("ops"), false, Membership::NoSuchGroup));
        assert!(!is_allowed(SOMEBODY, None, false, Membership::Member));
        assert!(!is_allowed(SOMEBODY, None, true, Membership::Member));
    }

    #[test]
    fn the_user_of_the_node_may_only_where_it_is_said() {
        assert!(!is_allowed(Caller::Owner, None, false, Membership::NoMember));
        assert!(!is_allowed(Caller::Owner, Some("ops"), false, Membership::Member));
        assert!(is_allowed(Caller::Owner, None, true, Membership::NoMember));
    }
}
