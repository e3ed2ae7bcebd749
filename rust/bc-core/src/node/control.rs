//! What the command line and a running node say to each other on the local socket.
//!
//! One JSON object a line. The client sends one [`Order`]; the node answers with any number of
//! [`Reply::Progress`] lines and ends with one other line. The socket itself is world-writable: who may give
//! which order is decided by the caller's operating-system user, see [`Order::changes_anything`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::audit::History;
use crate::{
    basics::{Error, Fingerprint},
    generation::{Entry, Name},
    role::preflight::Preflight,
    standby::store::{Permit, diff::Diff, generations::KeptGeneration, verify::Verified},
    status::Status,
};

/// The name of the socket in the state folder, and of the file that tells where else it is.
pub const SOCKET: &str = "control.sock";
/// The file in the state folder with the path of a socket that did not fit into it.
pub const SOCKET_POINTER: &str = "socket";
/// What the name of an abstract socket begins with in that file, and wherever else it is shown.
pub const ABSTRACT: &str = "@";

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// The status of the node.
    Status,
    /// Let GoCD run on this standby.
    Promote {
        /// Leave the database alone, and trust the administrator that no other primary runs.
        without_database: bool,
        /// Also where the live files are not what was verified and cannot be made so.
        #[serde(default)]
        as_it_is: bool,
        /// Also where more of the database would be lost than the settings allow.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept_loss: bool,
        /// Also where another node answers as the primary: it is ordered to stop first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
        /// Start GoCD in its maintenance mode, in which it schedules nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        maintenance: bool,
        /// How long the database may take to replay what it received, in seconds; none for 30.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replay_within_s: Option<u64>,
    },
    /// What a promotion with the database would do now. It asks the primary and reads files, so not everybody may order
    /// it; what was found last is in the status.
    Preflight {
        /// As for [`Order::Promote`].
        #[serde(default)]
        accept_loss: bool,
        /// The same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// End a promotion that came to no end, and go on as a standby.
    AbortPromotion,
    /// Make this node the primary again, which is fenced, or held since another one claims to be the primary.
    TakeOver {
        /// What the other node did meanwhile may be lost.
        #[serde(default)]
        accept_loss: bool,
    },
    /// Make this node a standby from its next start on.
    Demote {
        /// Remove the record of what it was instead: its flag alone decides then.
        #[serde(default)]
        forget: bool,
    },
    /// Have GoCD end on this primary, and hand over to whoever is promoted.
    HandOver,
    /// Take a hand-over of this node back, and let GoCD run here again.
    TakeBack,
    /// A person has seen that this node promoted itself.
    Acknowledge,
    /// Let this node start although a peer does not prove who it is, or does not answer; valid for this start.
    IgnorePeer {
        /// As it is named on the status.
        peer: String,
    },
    /// A person has seen what this node found when it had been promoted.
    LandingDone,
    /// Pull from the primary now, and wait until its newest generation is live here.
    Sync(Permit),
    /// Make a kept generation live again, and pull no more until a sync resumes.
    Restore {
        /// As for [`Order::Generation`].
        id: String,
    },
    /// Let go of generations that a promoted node still keeps.
    DropGenerations {
        /// As for [`Order::Generation`]; without one, all of them.
        #[serde(default)]
        id: Option<String>,
    },
    /// The generations that are kept here.
    Generations,
    /// One of them with its files.
    Generation {
        /// As a person writes it, see [`crate::standby::store::generations::show`].
        id: String,
    },
    /// What was ordered of this node: promotions, demotions, restored generations and changed keys.
    History {
        /// As many of the newest.
        newest: usize,
    },
    /// What differs between two of them. It shows the configuration, though no secret of it, so not everybody may
    /// order it.
    #[serde(rename = "difference")]
    Diff {
        /// As for [`crate::standby::store::diff::compare`].
        from: Option<String>,
        /// The same.
        to: Option<String>,
    },
    /// Read all live files and kept bytes, and have mended what is not right. It costs reading time, so not
    /// everybody may order it.
    Verify,
    /// Give this primary another key, once its standbys know it.
    RotateIdentity {
        /// Do not wait for standbys that have not confirmed it.
        now: bool,
    },
    /// Accept this key of a peer.
    Trust {
        /// The key.
        fingerprint: Fingerprint,
        /// Forget it instead.
        remove: bool,
    },
}

impl Reply {
    /// A refusal on the local socket: why, and what to do.
    pub fn refused(message: impl Into<String>, guidance: impl Into<String>) -> Self {
        Reply::Refused {
            message: message.into(),
            guidance: guidance.into(),
        }
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        Reply::refused(error.message(), error.guidance())
    }
}

impl Order {
    /// Whether only root, a member of `bc.operator.group`, or the owner under `bc.operator=owner` may give this order.
    pub fn changes_anything(&self) -> bool {
        !matches!(
            self,
            Order::Status | Order::Generations | Order::Generation { .. } | Order::History { .. }
        )
    }
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// A step of something that takes time.
    Progress {
        /// What is being done.
        message: String,
    },
    /// The status that was asked for.
    Status {
        /// The picture.
        status: Box<Status>,
    },
    /// The generations that were asked for.
    Generations {
        /// Newest first, generation 0 last.
        generations: Vec<KeptGeneration>,
    },
    /// The generation that was asked for.
    Generation {
        /// In short.
        generation: Box<KeptGeneration>,
        /// Its files.
        files: BTreeMap<Name, Entry>,
    },
    /// What was ordered.
    History {
        /// By the audit.
        history: Box<History>,
    },
    /// What differs.
    #[serde(rename = "difference")]
    Diff {
        /// In all files.
        difference: Box<Diff>,
    },
    /// What speaks against a promotion.
    Preflight {
        /// Line by line.
        preflight: Box<Preflight>,
    },
    /// What was found.
    Verified {
        /// File by file.
        verified: Box<Verified>,
    },
    /// It is done.
    Done {
        /// What was done.
        message: String,
    },
    /// It was not done.
    Refused {
        /// Why.
        message: String,
        /// What to do.
        guidance: String,
    },
}
