//! How a former primary's database becomes a standby of the one that was promoted in its place.
//!
//! The least that leads there is taken. Where the new primary has every record that the former one wrote, it follows as it
//! is (*rejoin*). Where it wrote more, that is undone (*rewind*, by `pg_rewind`). Where that cannot be, all is copied
//! anew (*base backup*). What could throw away the only good copy is left to a person (*refuse*).
//!
//! The first row that fits decides:
//!
//! | the other server | system | major | timelines | last record | a rewind | way |
//! |---|---|---|---|---|---|---|
//! | standby | any | any | any | any | any | refuse |
//! | primary | another | any | any | any | any | refuse |
//! | primary | same | another | any | any | any | refuse |
//! | primary | same | same | later | any | any | refuse |
//! | primary | same | same | followed | any | any | rejoin |
//! | primary | same | same | same number | any | any | base backup |
//! | primary | same | same | unclear | any | any | base backup |
//! | primary | same | same | left | within | any | rejoin |
//! | primary | same | same | any | any | possible | rewind |
//! | primary | same | same | any | any | impossible | base backup |
//!
//! *timelines*, of the former primary as the new one's history has them ([`Timelines`]): *followed* where it replays the new
//! one's own already; *left* where the new one came from it by a promotion; *apart* where it went on to one of its own, which
//! is a record beyond any fork; *later* where the new one's is among those that it came from, so that it is more likely that
//! the two servers were mixed up. *Same number* where both wrote on a timeline of that number: two servers that were promoted
//! from one point have equal histories, one that follows the other replays what does not fit, and `pg_rewind` says that
//! there is nothing to do.
//!
//! *last record*, before or after the position where its timeline was left ([`End`]).

use super::{look::SystemId, lsn::Lsn, timeline::Lineage};
use crate::basics::{Error, Kind};

/// The functions that a role needs on the new primary, in the database `postgres`, for `pg_rewind` to read from it. A
/// superuser has them.
pub const FUNCTIONS_OF_REWIND: [&str; 4] = [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// How the timelines of a former primary and of the new one stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timelines {
    /// They are on one, and the former primary has only replayed there.
    Followed,
    /// The new one left the former one's timeline here.
    Left(Lsn),
    /// The former one went on to a timeline that the new one does not come from.
    Apart,
    /// The former one came from the timeline that the new one is on.
    Later,
    /// They are on timelines of one number, and both have written there.
    SameNumber,
    /// There is no history of one of them, or nothing in common.
    Unclear,
}

/// What is known of the last record that a former primary wrote, or as a standby received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A record begins here, and none that is of interest comes later.
    LastRecordAt(Lsn),
    /// Everything it has ends here.
    UpTo(Lsn),
    /// It runs as a primary: its stop writes one more record.
    StillWriting,
    /// It has crashed, and its log cannot be read.
    Unknown,
}

/// Why a former primary cannot be rewound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// There is no `pg_rewind` of this major version.
    NoTool,
    /// Neither `wal_log_hints` nor checksums when it wrote what is to be undone.
    NoHints,
    /// `full_page_writes` is off, there or here.
    NoWholePages,
    /// The new primary has had no checkpoint since its promotion: `pg_rewind` would take it for its former timeline.
    CheckpointPending,
    /// Parts of its data lie outside of the folder, and would not be in a copy of it.
    Elsewhere,
    /// The log back to where they parted is not there any more.
    LogGone,
    /// The new primary does not let it read: the reason.
    NotAllowed(String),
    /// `pg_rewind` failed with this message.
    Failed(String),
}

/// Two servers, one of which is to follow the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Whether the one that is to be followed is a standby itself.
    pub other_is_standby: bool,
    /// The former primary's system and the new one's.
    pub systems: (SystemId, SystemId),
    /// Their major versions.
    pub majors: (u32, u32),
    /// How their timelines stand to each other.
    pub timelines: Timelines,
    /// The end of the former primary's log.
    pub end: End,
    /// Whether the former primary can be rewound.
    pub rewind: Result<(), Obstacle>,
}

/// What is done with a former primary's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It follows as it is.
    Rejoin,
    /// What it wrote after the two parted is undone.
    Rewind,
    /// All is copied anew.
    BaseBackup(WhyAnew),
    /// Nothing.
    Refuse(Refusal),
}

/// Why all is copied anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyAnew {
    /// Both wrote on a timeline of one number.
    SameNumber,
    /// What they have in common cannot be seen.
    Unclear,
    /// It wrote what the new primary does not have, and cannot be rewound.
    NoRewind(Obstacle),
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The server that is to be followed is a standby.
    Standby,
    /// They are copies of different clusters.
    AnotherSystem(SystemId, SystemId),
    /// They are of different major versions.
    AnotherMajor(u32, u32),
    /// This one was promoted later.
    Later,
}

/// The column *timelines* of the table above: how those of the former primary (`old`) stand to those of the new one.
/// `only_replays` is whether the old one's data are those of a standby.
pub fn timelines(old: &Lineage, new: &Lineage, only_replays: bool) -> Timelines {
    let Some(shared) = old.shared_with(new) else {
        return Timelines::Unclear;
    };
    match (shared.left, shared.other_left) {
        (None, None) if only_replays => Timelines::Followed,
        _ if old.timeline() == new.timeline() => Timelines::SameNumber,
        (None, Some(fork)) => Timelines::Left(fork),
        (Some(_), None) => Timelines::Later,
        // Two lineages that both end in what they share end in one timeline.
        (Some(_), Some(_)) | (None, None) => Timelines::Apart,
    }
}

impl End {
    /// Whether all that a former primary has was there before `fork`; none where nobody knows.
    ///
    /// A fork is the end of a record, so that one that begins before it is wholly before it.
    pub fn is_within(self, fork: Lsn) -> Option<bool> {
        match self {
            End::LastRecordAt(record) => Some(record < fork),
            End::UpTo(end) => Some(end <= fork),
            End::StillWriting => Some(false),
            End::Unknown => None,
        }
    }
}

impl Case {
    /// Decides, by the table at the head of this module.
    pub fn way(&self) -> Way {
        let rewind = match &self.rewind {
            Ok(()) => Way::Rewind,
            Err(obstacle) => Way::BaseBackup(WhyAnew::NoRewind(obstacle.clone())),
        };
        if self.other_is_standby {
            return Way::Refuse(Refusal::Standby);
        }
        if self.systems.0 != self.systems.1 {
            return Way::Refuse(Refusal::AnotherSystem(self.systems.0, self.systems.1));
        }
        if self.majors.0 != self.majors.1 {
            return Way::Refuse(Refusal::AnotherMajor(self.majors.0, self.majors.1));
        }
        match self.timelines {
            Timelines::Later => Way::Refuse(Refusal::Later),
            Timelines::Followed => Way::Rejoin,
            Timelines::SameNumber => Way::BaseBackup(WhyAnew::SameNumber),
            Timelines::Unclear => Way::BaseBackup(WhyAnew::Unclear),
            Timelines::Left(fork) if self.end.is_within(fork) == Some(true) => Way::Rejoin,
            Timelines::Left(_) | Timelines::Apart => rewind,
        }
    }
}

/// The way of a former primary and why, for people.
impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Way::Rejoin => f.write_str("plain rejoin: the new primary has all that this database has"),
            Way::Rewind => f.write_str(
                "rewind: this database has records that the new primary does not have, and pg_rewind can undo them",
            ),
            Way::BaseBackup(why) => write!(f, "base backup: {why}"),
            Way::Refuse(_) => f.write_str("none"),
        }
    }
}

impl std::fmt::Display for WhyAnew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WhyAnew::SameNumber => f.write_str(
                "both databases wrote on a timeline of the same number, and nothing in their logs tells whose record is \
                 whose",
            ),
            WhyAnew::Unclear => f.write_str("the histories of the two databases' timelines do not show where they parted"),
            WhyAnew::NoRewind(obstacle) => write!(
                f,
                "this database has records that the new primary does not have, and pg_rewind cannot undo them: {obstacle}"
            ),
        }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::NoTool => f.write_str("there is no pg_rewind of this major version"),
            Obstacle::NoHints => f.write_str("it has neither checksums nor wal_log_hints = on"),
            Obstacle::NoWholePages => f.write_str("full_page_writes is off"),
            Obstacle::CheckpointPending => {
                f.write_str("the new primary has had no checkpoint since its promotion (type CHECKPOINT there)")
            }
            Obstacle::Elsewhere => f.write_str("parts of its data lie behind links (tablespaces, or pg_wal)"),
            Obstacle::LogGone => f.write_str(
                "its log does not reach back to where the two parted (wal_keep_size, wal_keep_segments before 13, keeps more)",
            ),
            Obstacle::NotAllowed(reason) => write!(f, "the new primary does not let it read its files: {reason}"),
            Obstacle::Failed(reason) => write!(f, "{reason}"),
        }
    }
}

impl Refusal {
    /// The refusal to make a former primary's database follow another one, as an error for people. `data` is its folder,
    /// `primary` where the other one is.
    pub fn error(&self, data: &str, primary: &str) -> Error {
        let anew = format!(
            "If {data} may be given up, `gocd-bc setup database-standby --primary {primary} --anew` sets it aside and takes \
             a copy of that one."
        );
        let (message, guidance) = match self {
            Refusal::Standby => (
                format!("the PostgreSQL at {primary} is a standby itself"),
                "Promote it first (`gocd-bc promote` on its GoCD server), or name the primary.".to_owned(),
            ),
            Refusal::AnotherSystem(old, new) => (
                format!(
                    "{data} is of the cluster {old}, and {primary} is of the cluster {new}: they have nothing in common"
                ),
                format!("Check both names. {anew}"),
            ),
            Refusal::AnotherMajor(old, new) => (
                format!("{data} is of PostgreSQL {old}, and {primary} runs PostgreSQL {new}"),
                format!(
                    "Install PostgreSQL {new} here, make a cluster of it, and run `gocd-bc setup database-standby --primary \
                     {primary}` for that one."
                ),
            ),
            Refusal::Later => (
                format!("{data} is on a later timeline than {primary}: it was promoted after that one, or from it"),
                format!("Check which of the two is the primary now. {anew}"),
            ),
        };
        Error::new(Kind::Refused, message, guidance)
    }
}

#[cfg(test)]
mod tests;
