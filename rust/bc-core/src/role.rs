//! Which role a node takes at start, what it asks before it takes one, and in which order it is promoted.
//!
//! | module | is |
//! |---|---|
//! | `start` | the decision at start: a pure function of flag, record, epochs, peers and database |
//! | `record` | the file `role`, which keeps the decision |
//! | `guard` | what the peers of a node that is to be the primary say of epochs |
//! | `known_peers` | the file `known-peers.json`: where they are |
//! | `ticks` | whether this process stood still |
//! | `inquiry` | a standby whose flag is gone asks the primary that it followed |
//! | `source` | which primary that is, and how it is proven |
//! | `plain` | whether anything says that a server was ever more than a plain GoCD |
//! | `plan` | what a node is to be and do, by the decision and by who started it |
//! | `handover` | the planned hand-over: its file, its token, who may take over and who may take it back |
//! | `handed_over` | what came of the last one |
//! | `stopping` | a primary that answers and is ordered to stop: whether it has |
//! | `promotion` | the course of a promotion: which step comes next |
//! | `preflight` | what speaks against a promotion, before anything is changed |
//! | `signpost` | what holds a standby that lost its flag together with `bc.state.dir` |
//! | `promotion::written` | what a promotion writes: epoch, note, record |
//! | `promotion::journal` | what is written down of a promotion itself, step by step |
//! | `unacknowledged` | the note of a promotion that no person ordered |
//! | `gocd_start` | how GoCD's last start went |
//! | `gocd_start::promoted` | with what it was promoted, and whether it runs with that |
//! | `artifacts_folder` | whether artifacts of earlier runs will be there after a promotion |
//! | `landing` | what a promoted server found: what GoCD had in its hands |
//! | `state_dir` | the state folder: its lock, the node id |
//! | `claim` | what a running primary claims in GoCD's database |
//! | `lock_holder` | which process has that lock |
//! | `ledger` | the file `ledger.json`: epoch, sequences, whom this node followed |
//! | `memory` | which epochs a node knows, also where its ledger is damaged |
//!
//! Where our library cannot be loaded Java goes by one line of the record, `hold`, and by a flag that appeared or is
//! another one; of a question to the primary that nobody can ask that makes a hold.
//!
//! Stands on [`crate::basics`], [`crate::durable`], [`crate::gocd`], [`crate::database`], [`crate::generation`],
//! [`crate::settings`] and [`crate::keys`].

use serde::{Deserialize, Serialize};

pub mod artifacts_folder;
pub mod claim;
pub mod gocd_start;
pub mod guard;
pub mod handed_over;
pub mod handover;
pub mod inquiry;
pub mod known_peers;
pub mod landing;
pub mod ledger;
pub mod lock_holder;
pub mod memory;
mod plain;
mod plan;
pub mod preflight;
pub mod promotion;
mod record;
pub mod signpost;
mod source;
mod start;
pub mod state_dir;
pub mod stopping;
pub mod ticks;
pub mod unacknowledged;

pub use self::{
    ledger::{Followed, Ledger},
    state_dir::StateDir,
};

pub use known_peers::KnownPeers;
pub use plain::is_plain;
pub use plan::Plan;
pub use record::{FILE, Recorded, forget};
pub use source::Source;
pub use start::{Database, Epochs, Known, Peers, Start, start};

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
