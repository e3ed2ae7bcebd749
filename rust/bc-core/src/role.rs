//! Which role a node takes at start, what it asks before it takes one, and in which order it is promoted.
//!
//! | module | is |
//! |---|---|
//! | this file | the decision at start: a pure function of flag and record |
//! | `record` | the file `role`, which keeps the decision |
//! | `inquiry` | a standby whose flag is gone asks the primary that it followed |
//! | `source` | which primary that is, and how it is proven |
//! | `plan` | what a node is to be and do, by the decision and by who started it |
//! | `promotion` | the course of a promotion: which step comes next |
//! | `signpost` | what holds a standby that lost its flag together with `bc.state.dir` |
//! | `promotion::written` | what a promotion writes: epoch, note, record |
//! | `unacknowledged` | the note of a promotion that no person ordered |
//! | `state_dir` | the state folder: its lock, the node id |
//! | `claim` | what a running primary claims in GoCD's database |
//! | `lock_holder` | which process has that lock |
//! | `ledger` | the file `ledger.json`: epoch, sequences, whom this node followed |
//!
//! What [`start`] decides, by what is recorded and by the flag that is there now:
//!
//! | recorded | flag now | decision |
//! |---|---|---|
//! | nothing | none | release |
//! | nothing | any | hold as standby |
//! | primary | the same, none included | release |
//! | primary under a flag | none | release |
//! | primary | one that appeared, or another one | hold as standby: an order |
//! | standby | the same, none included: it was demoted | hold as standby |
//! | standby | one that appeared, or another one | hold as standby |
//! | standby under a flag | none | hold and ask ([`Start::Ask`]): an order to be promoted, or an accident |
//! | fenced | any or none | hold fenced: another node has a higher epoch |
//! | what cannot be read or understood | any or none | hold, open nothing, say what to type |
//!
//! A node that asks stays a standby in its record until it is promoted: a crash in between asks again. Where our
//! library cannot be loaded Java goes by one line of the record, `hold`, and by a flag that appeared or is another one; of
//! a question that nobody can ask that makes a hold.
//!
//! Stands on [`crate::basics`], [`crate::durable`], [`crate::generation`], [`crate::settings`] and [`crate::keys`].

use serde::{Deserialize, Serialize};

use crate::{basics::Error, generation::Role, settings::Flag};

pub mod claim;
pub mod inquiry;
pub mod ledger;
pub mod lock_holder;
mod plan;
pub mod promotion;
mod record;
pub mod signpost;
mod source;
pub mod state_dir;
pub mod unacknowledged;

pub use self::{
    ledger::{Followed, Ledger},
    state_dir::StateDir,
};

pub use plan::Plan;
pub use record::{FILE, Recorded, forget};
pub use source::Source;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Deciding.
    Starting,
    /// GoCD waits.
    Holding,
    /// On the way to letting GoCD run.
    Releasing,
    /// GoCD runs, or there is none here.
    Running,
}

/// What a node does at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// GoCD may run.
    Release,
    /// Hold and follow the primary.
    HoldStandby,
    /// Hold and follow the primary, ask it whether it is one still, and be promoted where nobody answers.
    Ask,
    /// Hold: another node has a higher epoch.
    HoldFenced,
    /// Hold and follow nobody: what this node was is not known.
    HoldUnknown,
}

/// Decides at a node's start whether it holds, asks or lets GoCD run, from the flag and from what reading the record
/// gave; the table is at the head of this module.
pub fn start(flag: Flag, recorded: &Result<Option<Recorded>, Error>) -> Start {
    let Ok(recorded) = recorded else {
        return Start::HoldUnknown;
    };
    match (recorded.as_ref().map(|recorded| (recorded.role, recorded.flag)), flag) {
        (Some((Role::Fenced, _)), _) => Start::HoldFenced,
        (Some((Role::Primary, then)), now) if then == now => Start::Release,
        (None | Some((Role::Primary, _)), Flag::None) => Start::Release,
        (Some((Role::Standby, then)), Flag::None) if then != Flag::None => Start::Ask,
        (None | Some((Role::Primary | Role::Standby, _)), _) => Start::HoldStandby,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    const FLAGS: [Flag; 3] = [Flag::None, Flag::Property, Flag::File];

    fn decided(role: Role, then: Flag, now: Flag) -> Start {
        start(now, &Ok(Some(Recorded::new(role, then, 0))))
    }

    #[test]
    fn the_flag_decides_a_first_start() {
        assert_eq!(start(Flag::None, &Ok(None)), Start::Release);
        assert_eq!(start(Flag::Property, &Ok(None)), Start::HoldStandby);
        assert_eq!(start(Flag::File, &Ok(None)), Start::HoldStandby);
    }

    #[test]
    fn a_primary_stays_one_under_its_own_flag() {
        for flag in FLAGS {
            assert_eq!(decided(Role::Primary, flag, flag), Start::Release, "{flag:?}");
        }
    }

    #[test]
    fn a_primary_whose_flag_went_stays_one() {
        for then in [Flag::Property, Flag::File] {
            assert_eq!(decided(Role::Primary, then, Flag::None), Start::Release, "{then:?}");
        }
    }

    #[test]
    fn a_flag_that_appeared_on_a_primary_or_is_another_one_is_an_order() {
        for (then, now) in [
            (Flag::None, Flag::Property),
            (Flag::None, Flag::File),
            (Flag::Property, Flag::File),
            (Flag::File, Flag::Property),
        ] {
            assert_eq!(
                decided(Role::Primary, then, now),
                Start::HoldStandby,
                "{then:?}, {now:?}"
            );
        }
    }

    #[test]
    fn a_standby_holds_under_its_own_flag_and_where_it_was_demoted() {
        for flag in FLAGS {
            assert_eq!(decided(Role::Standby, flag, flag), Start::HoldStandby, "{flag:?}");
        }
    }

    #[test]
    fn a_standby_holds_under_another_flag() {
        for (then, now) in [
            (Flag::None, Flag::Property),
            (Flag::None, Flag::File),
            (Flag::Property, Flag::File),
            (Flag::File, Flag::Property),
        ] {
            assert_eq!(
                decided(Role::Standby, then, now),
                Start::HoldStandby,
                "{then:?}, {now:?}"
            );
        }
    }

    #[test]
    fn a_standby_whose_flag_is_gone_asks() {
        for then in [Flag::Property, Flag::File] {
            assert_eq!(decided(Role::Standby, then, Flag::None), Start::Ask, "{then:?}");
        }
    }

    #[test]
    fn a_fenced_node_stays_held_whatever_the_flag() {
        for then in FLAGS {
            for now in FLAGS {
                assert_eq!(decided(Role::Fenced, then, now), Start::HoldFenced, "{then:?}, {now:?}");
            }
        }
    }

    #[test]
    fn a_record_that_is_not_understood_opens_nothing() {
        for flag in FLAGS {
            let unread = Err(Error::new(Kind::File, "cannot read it", ""));
            assert_eq!(start(flag, &unread), Start::HoldUnknown, "{flag:?}");
        }
    }
}
