//! What a primary that hands over tells its standbys: that it does, and the token of what whoever takes over must have.

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, lenient::if_understood},
    database::position::Position,
    generation::{Epoch, Role},
};

/// What a primary says of itself while it hands over. GoCD does not run there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandsOver {
    /// Which hand-over it is: a random id. Empty where that is not known any more.
    pub id: String,
    /// When it was ordered, milliseconds since 1970 by the primary's clock.
    pub ordered_ms: i64,
    /// What whoever takes over must have; none before nothing changes any more, and from another version whose token is
    /// not understood.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub token: Option<HandoverToken>,
    /// What a token waits for, for people; none once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// The last state of a primary whose GoCD has ended. It is no secret, and opens nothing: it only says what must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverToken {
    /// Whose state.
    pub node_id: String,
    /// In which epoch.
    pub epoch: Epoch,
    /// Its last generation.
    pub generation: Digest,
    /// The sequence of that.
    pub sequence: u64,
    /// Up to where its database has everything on disk; none where it does not watch one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Position>,
}

impl HandsOver {
    /// The texts in what a primary says of its hand-over, all of which are shown to people.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        let of_token = self
            .token
            .iter()
            .flat_map(|token| [&token.node_id, &token.epoch.promotion]);
        [&self.id].into_iter().chain(&self.waits_for).chain(of_token)
    }

    /// The token, where this is what the primary `node_id` in `role` and `epoch` says of itself and no other.
    pub fn token_of(&self, node_id: &str, role: Role, epoch: &Epoch) -> Option<&HandoverToken> {
        let is_its_own = |token: &&HandoverToken| token.node_id == node_id && token.epoch == *epoch;
        self.token.as_ref().filter(|_| role == Role::Primary).filter(is_its_own)
    }
}

impl HandoverToken {
    /// Whether two tokens of a primary are of the same files and the same database. What is not GoCD may write on there, and
    /// a restart gives the same files another sequence.
    pub fn is_same_state(&self, other: &Self) -> bool {
        let history = |token: &Self| {
            token
                .database
                .as_ref()
                .map(|position| (position.system, position.timeline))
        };
        self.generation == other.generation && history(self) == history(other)
    }
}

/// For people: generation and position.
impl std::fmt::Display for HandoverToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "generation {:.8} (sequence {})",
            self.generation.to_string(),
            self.sequence
        )?;
        match &self.database {
            Some(position) => write!(f, ", database at {position}"),
            None => f.write_str(", without the database"),
        }
    }
}
