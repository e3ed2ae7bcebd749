//! What a running primary does for its claim on GoCD's database: it takes the lock once in each session, writes its epoch where
//! the row is lower, and looks every ten seconds whether somebody else has either. `bc_core::role::claim` says what that means.
//!
//! Behind a pooler a session is not ours alone, so nothing is claimed there.

use std::time::Duration;

use bc_core::{
    basics::NodeId,
    database::refusal::Refusal,
    generation::Epoch,
    role::claim::{Holder, Seen, Standing},
};
use tokio::time::Instant;

use crate::database::Connection;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Who claims.
#[derive(Debug, Clone)]
pub(super) struct Claimant {
    pub(super) node_id: NodeId,
    pub(super) epoch: Epoch,
}

/// The claim that one session makes.
#[derive(Debug, Default)]
pub(super) struct Claim {
    has_lock: bool,
    looked: Option<Instant>,
    /// The epoch that this session has tried to write and may not.
    refused: Option<Epoch>,
}

impl Claim {
    /// Does what is due for the claim over this session of a server of GoCD's database that takes writes; none where nothing
    /// is.
    ///
    /// # Errors
    /// Why the server does not answer. The connection is of no use then.
    pub(super) async fn keep(&mut self, connection: &Connection, claimant: &Claimant) -> Result<Option<Seen>, Refusal> {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return Ok(None);
        }
        self.looked = Some(Instant::now());
        let holder = self.lock(connection, claimant).await?;
        let mut row = connection.epoch().await?;
        let is_lower = row
            .as_ref()
            .is_none_or(|row| row.standing(&claimant.epoch) == Standing::Lower);
        let is_refused = self.refused.as_ref() == Some(&claimant.epoch);
        // Whoever has the lock of another node writes nothing over what that one has.
        if is_lower && !is_refused && holder == Holder::Own {
            match connection.write_epoch(&claimant.epoch, &claimant.node_id).await? {
                true => row = connection.epoch().await?,
                false => self.refused = Some(claimant.epoch.clone()),
            }
        }
        Ok(Some(Seen { holder, row }))
    }

    /// Takes the lock, unless this session has it, and says who has it then.
    async fn lock(&mut self, connection: &Connection, claimant: &Claimant) -> Result<Holder, Refusal> {
        self.has_lock = self.has_lock || connection.take_lock(&claimant.node_id).await?;
        match self.has_lock {
            true => Ok(Holder::Own),
            false => connection.lock_holder(&claimant.node_id).await,
        }
    }
}
