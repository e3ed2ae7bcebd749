//! What a node is to be and do, by the decision at its start and by who started it.
//!
//! | decision | agent | plugin | command |
//! |---|---|---|---|
//! | `Release` | primary, releasing | primary, running | primary, running |
//! | `HoldStandby` | standby, holding, follows | standby, running | standby, holding, follows |
//! | `Ask` | standby, holding, follows, asks | standby, running, asks, may serve | standby, holding, follows, asks |
//! | `AskPeers` | primary, starting, guards | primary, running | primary, starting, guards |
//! | `HandOver` | primary, holding, hands over | primary, running | primary, holding, hands over |
//! | `HoldConflict` | primary, holding, guards | primary, running | primary, holding, guards |
//! | `HoldUnproven` | primary, holding, guards | primary, running | primary, holding, guards |
//! | `HoldUnreachable` | primary, holding, guards | primary, running | primary, holding, guards |
//! | `HoldReadOnly` | primary, holding, guards | primary, running | primary, holding, guards |
//! | `HoldFenced` | fenced, holding | fenced, running | fenced, holding |
//! | `HoldUnknown` | standby, holding | standby, running, may serve | standby, holding |
//!
//! In a plugin GoCD runs already, and nobody can hold it any more: its node follows nobody, since nothing may change under
//! a GoCD that runs. What is to be the primary and waits for its peers is a primary to whoever asks: it answers for its
//! epoch, and gives out nothing yet. One that hands over gives out its files, since those are to be the next primary's.

use super::{Phase, Start};
use crate::{generation::Role, settings::Face};

/// What a node is to be and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Its role.
    pub role: Role,
    /// Whether GoCD waits, goes on now, or runs.
    pub phase: Phase,
    /// Whether it follows the primary.
    pub follows: bool,
    /// Whether it asks the primary before it is decided.
    pub asks: bool,
    /// Whether it asks its peers before GoCD may run, and goes on asking while they hold it.
    pub guards: bool,
    /// Whether it hands over: it offers its files although GoCD is held, and asks its peers who took over.
    pub hands_over: bool,
    /// Whether it may be promoted although GoCD runs: no flag asks for a standby, and only its record keeps it from
    /// serving.
    pub may_serve: bool,
}

impl Plan {
    /// The plan of a node by the decision at the start; the table is at the head of this module.
    pub fn of(decision: Start, face: Face) -> Self {
        let in_gocd = face == Face::Plugin;
        let held = Self {
            role: Role::Standby,
            phase: if in_gocd { Phase::Running } else { Phase::Holding },
            follows: false,
            asks: false,
            guards: false,
            hands_over: false,
            may_serve: false,
        };
        match decision {
            Start::Release => Self {
                role: Role::Primary,
                phase: if face == Face::Agent {
                    Phase::Releasing
                } else {
                    Phase::Running
                },
                ..held
            },
            Start::HoldStandby => Self {
                follows: !in_gocd,
                ..held
            },
            Start::Ask => Self {
                follows: !in_gocd,
                asks: true,
                may_serve: in_gocd,
                ..held
            },
            Start::HandOver => Self {
                role: Role::Primary,
                hands_over: !in_gocd,
                ..held
            },
            Start::AskPeers
            | Start::HoldConflict
            | Start::HoldUnproven
            | Start::HoldUnreachable
            | Start::HoldReadOnly => Self {
                role: Role::Primary,
                phase: match decision {
                    _ if in_gocd => Phase::Running,
                    Start::AskPeers => Phase::Starting,
                    _ => Phase::Holding,
                },
                guards: !in_gocd,
                ..held
            },
            Start::HoldFenced => Self {
                role: Role::Fenced,
                ..held
            },
            Start::HoldUnknown => Self {
                may_serve: in_gocd,
                ..held
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_what_is_planned() {
        let decisions = [
            Start::Release,
            Start::HoldStandby,
            Start::Ask,
            Start::AskPeers,
            Start::HandOver,
            Start::HoldConflict,
            Start::HoldUnproven,
            Start::HoldUnreachable,
            Start::HoldReadOnly,
            Start::HoldFenced,
            Start::HoldUnknown,
        ];
        let in_words = |plan: Plan| {
            let phase = format!("{:?}", plan.phase).to_lowercase();
            let further = [
                (plan.follows, ", follows"),
                (plan.asks, ", asks"),
                (plan.guards, ", guards"),
                (plan.hands_over, ", hands over"),
                (plan.may_serve, ", may serve"),
            ];
            let further: String = further
                .iter()
                .filter(|(is_so, _)| *is_so)
                .map(|(_, word)| *word)
                .collect();
            format!("{}, {phase}{further}", plan.role)
        };
        let planned: Vec<_> = decisions
            .iter()
            .map(|decision| {
                let [agent, plugin, command] =
                    [Face::Agent, Face::Plugin, Face::Cli].map(|face| in_words(Plan::of(*decision, face)));
                format!("`{decision:?}` | {agent} | {plugin} | {command} |")
            })
            .collect();
        let documented: Vec<_> = include_str!("plan.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter(|line| line.starts_with('`'))
            .collect();
        assert_eq!(documented, planned);
    }
}
