//! Which role a node takes at start: a pure function, and the file that keeps the decision.
//!
//! The file `role` is read by the Java agent too, for the case that our library cannot be loaded:
//! `role=primary|standby|fenced` and `flag=none|property|file`, a Java properties text.

use std::{io, path::Path};

use crate::{
    error::{Error, Kind},
    manifest::Role,
    properties::{self, Properties},
    regular_file,
    settings::Flag,
    store::atomic,
};

/// The name of the file in the state folder.
pub const FILE: &str = "role";

/// A role and the flag under which it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The role.
    pub role: Role,
    /// What asked for a standby at that time.
    pub flag: Flag,
}

impl Recorded {
    /// Reads the file; none is there before the first start.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is not understood.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let text = match regular_file::read(&path, regular_file::LARGEST_OF_A_FEW_LINES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        let properties = Properties::parse(&text, &path.display().to_string())?;
        let role = match properties.get("role") {
            Some("primary") => Some(Role::Primary),
            Some("standby") => Some(Role::Standby),
            Some("fenced") => Some(Role::Fenced),
            _ => None,
        };
        let flag = match properties.get("flag") {
            Some("none") => Some(Flag::None),
            Some("property") => Some(Flag::Property),
            Some("file") => Some(Flag::File),
            _ => None,
        };
        match (role, flag) {
            (Some(role), Some(flag)) => Ok(Some(Self { role, flag })),
            _ => Err(Error::new(
                Kind::File,
                format!("{} does not hold a role and a flag", path.display()),
                "Remove it: the node then takes the role that go.server.mode and start.in.standby ask for.",
            )),
        }
    }

    /// Writes the file durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let flag = match self.flag {
            Flag::None => "none",
            Flag::Property => "property",
            Flag::File => "file",
        };
        let text = properties::to_text([("role", self.role.to_string().as_str()), ("flag", flag)]);
        atomic::write(&state_dir.join(FILE), text.as_bytes(), 0o600)
    }
}

/// What a node does at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// GoCD may run.
    Release,
    /// Hold and follow the primary.
    HoldStandby,
    /// Hold: another node has a higher epoch.
    HoldFenced,
}

/// Decides from the flag and the record. A record beats the flag only while the flag is the one under which it
/// was made: a flag that appeared or went since is an order.
pub fn start(flag: Flag, recorded: Option<Recorded>) -> Start {
    match recorded {
        Some(Recorded { role: Role::Fenced, .. }) => Start::HoldFenced,
        Some(Recorded { role, flag: then }) if then == flag => match role {
            Role::Primary => Start::Release,
            Role::Standby | Role::Fenced => Start::HoldStandby,
        },
        _ if flag == Flag::None => Start::Release,
        _ => Start::HoldStandby,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_flag_decides_a_first_start() {
        assert_eq!(start(Flag::None, None), Start::Release);
        assert_eq!(start(Flag::Property, None), Start::HoldStandby);
        assert_eq!(start(Flag::File, None), Start::HoldStandby);
    }

    #[test]
    fn a_record_holds_only_under_its_own_flag() {
        let promoted = Some(Recorded {
            role: Role::Primary,
            flag: Flag::Property,
        });
        assert_eq!(start(Flag::Property, promoted), Start::Release);
        assert_eq!(start(Flag::File, promoted), Start::HoldStandby);
        let demoted = Some(Recorded {
            role: Role::Standby,
            flag: Flag::None,
        });
        assert_eq!(start(Flag::None, demoted), Start::HoldStandby);
        let was_primary = Some(Recorded {
            role: Role::Primary,
            flag: Flag::None,
        });
        assert_eq!(start(Flag::Property, was_primary), Start::HoldStandby);
        let was_standby = Some(Recorded {
            role: Role::Standby,
            flag: Flag::Property,
        });
        assert_eq!(start(Flag::None, was_standby), Start::Release);
    }

    #[test]
    fn a_fenced_node_stays_held_whatever_the_flag() {
        for flag in [Flag::None, Flag::Property, Flag::File] {
            assert_eq!(
                start(
                    flag,
                    Some(Recorded {
                        role: Role::Fenced,
                        flag: Flag::None
                    })
                ),
                Start::HoldFenced
            );
        }
    }

    #[test]
    fn the_record_survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(Recorded::load(folder.path()), Ok(None));
        let recorded = Recorded {
            role: Role::Standby,
            flag: Flag::File,
        };
        recorded.save(folder.path()).expect("save");
        assert_eq!(Recorded::load(folder.path()), Ok(Some(recorded)));
        fs::write(folder.path().join(FILE), "role=king\nflag=none\n").expect("write");
        Recorded::load(folder.path()).expect_err("not understood");
    }
}
