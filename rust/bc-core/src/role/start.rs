//! The decision at a node's start: a pure function of what is known by then.
//!
//! The first row that fits decides. The record of a node that never had one counts as that of a primary under no flag. A
//! flag is *gone* where the record was made under one and there is none now, and *another* where there is one now that the
//! record was not made under.
//!
//! | recorded | flag now | epoch here | peers | database | hand-over | decision |
//! |---|---|---|---|---|---|---|
//! | unreadable | any | any | any | any | any | `HoldUnknown` |
//! | fenced | any | any | any | any | any | `HoldFenced` |
//! | standby | gone | any | any | any | any | `Ask` |
//! | standby | any | any | any | any | any | `HoldStandby` |
//! | any | another | any | any | any | any | `HoldStandby` |
//! | any | any | behind | any | any | any | `HoldFenced` |
//! | any | any | any | higher | any | any | `HoldFenced` |
//! | any | any | any | any | higher epoch | any | `HoldFenced` |
//! | any | any | any | any | any | ordered | `HandOver` |
//! | any | any | any | conflict | any | any | `HoldConflict` |
//! | any | any | any | any | another's lock | any | `HoldConflict` |
//! | any | any | any | not asked | any | any | `AskPeers` |
//! | any | any | any | unproven | any | any | `HoldUnproven` |
//! | any | any | any | strictly unreachable | any | any | `HoldUnreachable` |
//! | any | any | any | any | read-only | any | `HoldReadOnly` |
//! | nothing | any | unknown | none | any | any | `HoldUnknown` |
//! | nothing | any | unknown | unreachable | any | any | `HoldUnknown` |
//! | any | any | any | any | any | any | `Release` |
//!
//! Several peers are worth as much as the one that comes first in this order: higher, conflict, unproven, unreachable,
//! agree. *Strictly unreachable* is unreachable under `bc.guard=strict`. A node whose ledger is damaged and whose record
//! names no epoch has an *unknown* one: one that was a primary then starts where nobody speaks against it, and says so.
//!
//! A hand-over is *ordered* while [`super::handover`] says so: also where its file is damaged.
//!
//! A node that asks its primary stays a standby in its record until it is promoted, and one that asks its peers stays what
//! it was: a crash in between asks again.

use super::{Recorded, guard::Said};
use crate::{
    basics::Error,
    generation::{Epoch, Role},
    settings::Flag,
};

/// What a node does at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// GoCD may run.
    Release,
    /// Hold and follow the primary.
    HoldStandby,
    /// Hold and follow the primary, ask it whether it is one still, and be promoted where nobody answers.
    Ask,
    /// Ask the peers whether one of them has a higher epoch, and decide then.
    AskPeers,
    /// Hold: another node has a higher epoch.
    HoldFenced,
    /// Hold and hand over: offer what is there, until another node is promoted.
    HandOver,
    /// Hold: another node is a primary in the same epoch, and a person has to say which.
    HoldConflict,
    /// Hold: somebody answers in a peer's place who does not prove who that is.
    HoldUnproven,
    /// Hold until all peers answer: `bc.guard=strict`.
    HoldUnreachable,
    /// Hold: the database takes no writes.
    HoldReadOnly,
    /// Hold and follow nobody: what this node was is not known.
    HoldUnknown,
}

/// What the peers of a node that is to be the primary have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers<'a> {
    /// They were not asked yet.
    NotAsked,
    /// Each of them; nothing where there is none.
    Said(&'a [Said]),
}

/// What the database says of who is the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// It was not asked, does not answer, or knows nothing.
    Unknown,
    /// It takes writes.
    Writable,
    /// It takes none.
    ReadOnly,
    /// Another node has the lock of the primary in it.
    LockedByAnother,
    /// A higher epoch than this node's is written in it.
    HigherEpoch,
}

/// The epochs that a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs<'a> {
    /// Its own, and the highest that it ever saw.
    Known {
        /// Its own.
        own: &'a Epoch,
        /// The highest.
        highest: &'a Epoch,
    },
    /// Nobody here says.
    Unknown,
}

impl Epochs<'_> {
    /// Whether another node is known to have a higher epoch than this one.
    fn is_behind(&self) -> bool {
        matches!(self, Epochs::Known { own, highest } if own.number < highest.number)
    }
}

/// All that decides at a start.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The flag that is there now.
    pub flag: Flag,
    /// What reading the record gave.
    pub recorded: &'a Result<Option<Recorded>, Error>,
    /// The epochs here.
    pub epochs: Epochs<'a>,
    /// What the peers said.
    pub peers: Peers<'a>,
    /// Whether a peer that cannot be reached keeps this node held.
    pub strict: bool,
    /// What the database says.
    pub database: Database,
    /// Whether a hand-over of this node in this epoch was ordered.
    pub hands_over: bool,
}

impl<'a> Known<'a> {
    /// What flag and record alone say, of a node that knows no epoch but its own, no peers and no database.
    pub fn here(flag: Flag, recorded: &'a Result<Option<Recorded>, Error>, own: &'a Epoch) -> Self {
        Self {
            flag,
            recorded,
            epochs: Epochs::Known { own, highest: own },
            peers: Peers::Said(&[]),
            strict: false,
            database: Database::Unknown,
            hands_over: false,
        }
    }
}

/// Decides at a node's start whether it holds, asks or lets GoCD run; the table is at the head of this module.
pub fn start(known: &Known<'_>) -> Start {
    let Ok(recorded) = known.recorded else {
        return Start::HoldUnknown;
    };
    match (
        recorded.as_ref().map(|recorded| (recorded.role, recorded.flag)),
        known.flag,
    ) {
        (Some((Role::Fenced, _)), _) => Start::HoldFenced,
        (Some((Role::Primary, then)), now) if then == now => as_primary(known, true),
        (Some((Role::Primary, _)), Flag::None) => as_primary(known, true),
        (None, Flag::None) => as_primary(known, false),
        (Some((Role::Standby, then)), Flag::None) if then != Flag::None => Start::Ask,
        (None | Some((Role::Primary | Role::Standby, _)), _) => Start::HoldStandby,
    }
}

/// Decides for a node that is to be the primary by flag and record.
fn as_primary(known: &Known<'_>, was_primary: bool) -> Start {
    let said = match known.peers {
        Peers::NotAsked => None,
        Peers::Said(said) => Some(said.iter().copied().max().unwrap_or(Said::Agrees)),
    };
    let nobody_said = || match known.peers {
        Peers::NotAsked => true,
        Peers::Said(said) => said.iter().all(|said| *said == Said::Unreachable),
    };
    if known.epochs.is_behind() || said == Some(Said::Higher) || known.database == Database::HigherEpoch {
        Start::HoldFenced
    } else if known.hands_over {
        Start::HandOver
    } else if said == Some(Said::Conflict) || known.database == Database::LockedByAnother {
        Start::HoldConflict
    } else if said.is_none() {
        Start::AskPeers
    } else if said == Some(Said::Unproven) {
        Start::HoldUnproven
    } else if said == Some(Said::Unreachable) && known.strict {
        Start::HoldUnreachable
    } else if known.database == Database::ReadOnly {
        Start::HoldReadOnly
    } else if known.epochs == Epochs::Unknown && !was_primary && nobody_said() {
        Start::HoldUnknown
    } else {
        Start::Release
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    const FLAGS: [Flag; 3] = [Flag::None, Flag::Property, Flag::File];

    /// The rows of the table, without the head.
    fn rows() -> Vec<Vec<&'static str>> {
        let lines = include_str!("start.rs").lines();
        let rows: Vec<Vec<_>> = lines
            .filter_map(|line| line.strip_prefix("//! | "))
            .map(|line| line.trim_end_matches(" |").split(" | ").collect())
            .collect();
        assert_eq!(rows[0].len(), 7, "{rows:?}");
        rows[1..].to_vec()
    }

    fn records() -> Vec<(&'static str, Result<Option<Recorded>, Error>)> {
        let mut records = vec![
            ("unreadable", Err(Error::new(Kind::File, "cannot read it", ""))),
            ("nothing", Ok(None)),
        ];
        for (name, role) in [
            ("primary", Role::Primary),
            ("standby", Role::Standby),
            ("fenced", Role::Fenced),
        ] {
            records.extend(FLAGS.map(|then| (name, Ok(Some(Recorded::new(role, then, 0))))));
        }
        records
    }

    fn flag_in_words(recorded: &Result<Option<Recorded>, Error>, now: Flag) -> &'static str {
        let then = match recorded {
            Ok(Some(recorded)) => recorded.flag,
            _ => Flag::None,
        };
        match (then, now) {
            (then, now) if then == now => "the same",
            (_, Flag::None) => "gone",
            _ => "another",
        }
    }

    #[test]
    fn every_case_is_decided_by_the_first_row_of_the_table_that_fits_and_no_row_is_idle() {
        let rows = rows();
        let mut used = vec![0; rows.len()];
        let (one, two) = (
            Epoch::default(),
            Epoch {
                number: 2,
                promotion: "b".to_owned(),
            },
        );
        let epochs = [
            (
                "own",
                Epochs::Known {
                    own: &two,
                    highest: &two,
                },
            ),
            (
                "behind",
                Epochs::Known {
                    own: &one,
                    highest: &two,
                },
            ),
            ("unknown", Epochs::Unknown),
        ];
        let peers: [(&str, Peers<'_>, bool); 10] = [
            ("not asked", Peers::NotAsked, false),
            ("none", Peers::Said(&[]), false),
            ("agree", Peers::Said(&[Said::Agrees]), true),
            ("unreachable", Peers::Said(&[Said::Unreachable]), false),
            (
                "some unreachable",
                Peers::Said(&[Said::Agrees, Said::Unreachable]),
                false,
            ),
            (
                "strictly unreachable",
                Peers::Said(&[Said::Unreachable, Said::Agrees]),
                true,
            ),
            ("unproven", Peers::Said(&[Said::Unproven, Said::Unreachable]), true),
            ("conflict", Peers::Said(&[Said::Conflict, Said::Unproven]), false),
            (
                "higher",
                Peers::Said(&[Said::Conflict, Said::Higher, Said::Agrees]),
                true,
            ),
            ("none", Peers::Said(&[]), true),
        ];
        let databases = [
            ("unknown", Database::Unknown),
            ("writable", Database::Writable),
            ("read-only", Database::ReadOnly),
            ("another's lock", Database::LockedByAnother),
            ("higher epoch", Database::HigherEpoch),
        ];
        for (record, recorded) in records() {
            for flag in FLAGS {
                for (epoch, epochs) in epochs {
                    for (peer, peers, strict) in peers {
                        for ((base, database), hands_over) in databases
                            .into_iter()
                            .flat_map(|database| [(database, false), (database, true)])
                        {
                            let known = Known {
                                flag,
                                recorded: &recorded,
                                epochs,
                                peers,
                                strict,
                                database,
                                hands_over,
                            };
                            let order = if hands_over { "ordered" } else { "none" };
                            let case = [record, flag_in_words(&recorded, flag), epoch, peer, base, order];
                            let fits = |row: &Vec<&str>| {
                                case.iter()
                                    .zip(row)
                                    .all(|(is, wanted)| *wanted == "any" || is == wanted)
                            };
                            let at = rows.iter().position(fits).expect("the last row fits all");
                            used[at] += 1;
                            assert_eq!(format!("`{:?}`", start(&known)), rows[at][6], "{case:?}: row {at}");
                        }
                    }
                }
            }
        }
        for (row, used) in rows.iter().zip(used) {
            assert!(used > 0, "no case comes to {row:?}");
        }
    }
}
