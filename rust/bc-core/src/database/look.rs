//! What is asked of a PostgreSQL server each second, and what its answer means.
//!
//! One statement for both roles and for all versions from 11 to 18, which the plain owner of GoCD's database may run. The
//! functions of a primary raise an error on a standby and the other way round, so each stands behind a `case`.

use serde::{Deserialize, Serialize};

use super::lsn::Lsn;

/// The statement: one row of texts, for [`Look::of`].
///
/// The timeline of a primary is read from the name of the file that it writes: after a promotion
/// `pg_control_checkpoint()` has the former one until the next checkpoint ends, minutes later. That of a standby is the one
/// on which it receives, where the user may see that (`pg_monitor`): what `pg_control_recovery()` says lags by as much.
pub const STATEMENT: &str = "\
select current_setting('server_version_num'), pg_is_in_recovery(), current_setting('transaction_read_only'), \
(select system_identifier from pg_control_system()), \
case when pg_is_in_recovery() then coalesce((select nullif(max(received_tli), 0) from pg_stat_wal_receiver), \
(select min_recovery_end_timeline from pg_control_recovery())) \
else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end, \
case when pg_is_in_recovery() then null else pg_current_wal_lsn() end, \
pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), \
case when pg_is_in_recovery() then pg_is_wal_replay_paused() end, \
(select max(pid) from pg_stat_wal_receiver), \
coalesce(current_setting('restore_command', true), '') <> ''";

/// Columns of [`STATEMENT`].
pub const COLUMNS: usize = 11;

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It replays what a primary writes.
    Standby,
    /// It is a primary that was made read-only: fenced, and no standby.
    ReadOnly,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
            Role::ReadOnly => "read-only",
        })
    }
}

/// Which cluster a server is a copy of (`system_identifier`). A text on the wire, since it does not fit a number of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SystemId(u64);

impl std::fmt::Display for SystemId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SystemId> for String {
    fn from(id: SystemId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SystemId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// One server at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// `server_version_num`: 150018 is 15.18.
    pub version: u32,
    /// What it is.
    pub role: Role,
    /// Which cluster it is a copy of.
    pub system: SystemId,
    /// The timeline that it writes or replays; none on a standby that has not got anywhere yet.
    pub timeline: Option<u32>,
    /// On a primary: up to where it has written.
    pub written: Option<Lsn>,
    /// On a standby: up to where it has received; none where nothing came since it started.
    pub received: Option<Lsn>,
    /// On a standby: up to where it has replayed.
    pub replayed: Option<Lsn>,
    /// Whether somebody paused the replay, or a setting that is too low did.
    pub is_paused: bool,
    /// The process that receives; none where none does.
    pub receiver: Option<u32>,
    /// Whether it restores from an archive as well. Not to be seen on version 11.
    pub has_archive: bool,
}

impl Look {
    /// What a row of [`STATEMENT`] says of a database server; a column is none where it is null.
    ///
    /// # Errors
    /// The number of the column, from 0, that no version of PostgreSQL answers so.
    pub fn of(row: &[Option<&str>]) -> Result<Self, usize> {
        let text = |column: usize| row.get(column).copied().flatten();
        let needed = |column: usize| text(column).ok_or(column);
        let is_true = |column: usize| match text(column) {
            Some("t") => Ok(true),
            Some("f") | None => Ok(false),
            Some(_) => Err(column),
        };
        let number = |column: usize| text(column).map(|text| text.parse().map_err(|_| column)).transpose();
        let lsn = |column: usize| text(column).map(|text| text.parse().map_err(|_| column)).transpose();
        needed(1)?;
        let is_standby = is_true(1)?;
        let is_read_only = match needed(2)? {
            "on" => true,
            "off" => false,
            _ => return Err(2),
        };
        Ok(Self {
            version: number(0)?.ok_or(0_usize)?,
            role: match (is_standby, is_read_only) {
                (true, _) => Role::Standby,
                (false, true) => Role::ReadOnly,
                (false, false) => Role::Primary,
            },
            // PostgreSQL shows an unsigned number as a signed one.
            system: SystemId(needed(3)?.parse::<i64>().map_err(|_| 3_usize)?.cast_unsigned()),
            timeline: number(4)?.filter(|timeline| *timeline > 0),
            written: lsn(5)?,
            received: lsn(6)?,
            replayed: lsn(7)?,
            is_paused: is_true(8)?,
            receiver: number(9)?,
            has_archive: is_true(10)?,
        })
    }

    /// The version of a PostgreSQL server as people know it: `15.18`.
    pub fn version_text(&self) -> String {
        format!("{}.{}", self.version / 10_000, self.version % 10_000)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn system(id: u64) -> SystemId {
        SystemId(id)
    }

    const PRIMARY: [Option<&str>; COLUMNS] = [
        Some("150018"),
        Some("f"),
        Some("off"),
        Some("-2"),
        Some("2"),
        Some("0/3000148"),
        None,
        None,
        None,
        None,
        Some("f"),
    ];
    const STANDBY: [Option<&str>; COLUMNS] = [
        Some("110022"),
        Some("t"),
        Some("on"),
        Some("7444"),
        Some("0"),
        None,
        Some("0/3000000"),
        Some("0/3000148"),
        Some("t"),
        Some("4711"),
        Some("t"),
    ];

    #[test]
    fn both_roles_are_understood_and_a_fenced_primary_is_no_standby() {
        let primary = Look::of(&PRIMARY).expect("a row");
        assert_eq!(
            (primary.role, primary.system, primary.timeline),
            (Role::Primary, SystemId(u64::MAX - 1), Some(2))
        );
        assert_eq!((primary.version_text().as_str(), primary.receiver), ("15.18", None));
        let standby = Look::of(&STANDBY).expect("a row");
        assert_eq!(
            (standby.role, standby.timeline, standby.receiver),
            (Role::Standby, None, Some(4711))
        );
        assert!(standby.is_paused && standby.has_archive && standby.written.is_none());
        let mut fenced = PRIMARY;
        fenced[2] = Some("on");
        assert_eq!(Look::of(&fenced).expect("a row").role, Role::ReadOnly);
    }

    #[test]
    fn what_no_server_answers_is_not_taken_for_something() {
        for (column, odd) in [
            (0, None),
            (0, Some("fifteen")),
            (1, None),
            (1, Some("yes")),
            (2, None),
            (3, None),
            (3, Some("x")),
            (4, Some("-1")),
            (5, Some("0-1")),
            (8, Some("true")),
            (9, Some("-4")),
        ] {
            let mut row = PRIMARY;
            row[column] = odd;
            assert_eq!(Look::of(&row), Err(column), "{odd:?}");
        }
        assert!(Look::of(&[]).is_err());
    }
}
