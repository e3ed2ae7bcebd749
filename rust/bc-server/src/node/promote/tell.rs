//! Tells a former primary that still runs that it was replaced, and waits a moment for it to be fenced: the line may have healed
//! since it was asked, or a person has promoted beside it.
//!
//! It is told by the question who it is, and asks back at once ([`crate::node::peer_watch`]). One that does not answer
//! within a second is not waited for.

use std::time::Duration;

use bc_core::{generation::Role, role::inquiry::Heard};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Promotion, caller::Caller};

/// How long it may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// How long one that runs may take to be fenced: it asks this node, which may take four seconds.
const FENCED_WITHIN: Duration = Duration::from_secs(6);
/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(100);

impl Promotion {
    /// Tells the former primary of the epoch that has begun.
    pub(super) async fn tell_primary(&self, caller: &Caller) {
        let Some(primary) = &self.primary else { return };
        let end = Instant::now() + FENCED_WITHIN;
        let mut seen = None;
        while Instant::now() < end {
            let Ok(heard) = timeout(ANSWERS_WITHIN, primary.who()).await else {
                break;
            };
            let runs = |heard: &Heard| matches!(heard, Heard::Node { role: Role::Primary, waits: false, node_id, .. } if *node_id != **self.state.node_id());
            let Some((address, _)) = heard.into_iter().find(|(_, heard)| runs(heard)) else {
                if let Some(address) = seen {
                    info!("{address} was replaced, and knows it");
                }
                return;
            };
            seen = Some(address);
            sleep(PAUSE).await;
        }
        if let Some(address) = seen {
            let message =
                format!("{address} still answers as a primary, although it was told of the new epoch: stop GoCD there");
            warn!("{message}");
            caller.tell(&message).await;
        }
    }
}
