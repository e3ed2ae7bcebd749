//! Tells a former primary that still runs that it was replaced, and waits a moment for it to be fenced: the line may have healed
//! since it was asked, or a person has promoted beside it.
//!
//! It is told by the question who it is, and asks back at once ([`crate::node::peer_watch`]). One that does not answer
//! within a second is not waited for, and asked once more before GoCD goes on: the line may heal in the middle.

use std::time::Duration;

use bc_core::{generation::Role, role::inquiry::Heard};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Promotion, Way};

/// How long it may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// The same of one that was silent before: GoCD waits for it.
const ANSWERS_AGAIN_WITHIN: Duration = Duration::from_millis(500);
/// How long one that runs may take to be fenced: it asks this node, which may take four seconds.
const FENCED_WITHIN: Duration = Duration::from_secs(6);
/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(100);

impl Promotion {
    /// Tells the former primary of the epoch that has begun, as soon as the epoch is begun and, where it was silent, right
    /// before GoCD goes on.
    pub(super) async fn tell_primary(&self, way: &mut Way) {
        let Some(primary) = self.primary.as_ref().filter(|_| way.told != Some(true)) else {
            return;
        };
        let within = match way.told {
            None => ANSWERS_WITHIN,
            Some(_) => ANSWERS_AGAIN_WITHIN,
        };
        way.told = Some(false);
        let end = Instant::now() + FENCED_WITHIN;
        let mut seen = None;
        while Instant::now() < end {
            let Ok(heard) = timeout(within, primary.who()).await else {
                break;
            };
            let answers =
                |heard: &Heard| matches!(heard, Heard::Node { node_id, .. } if *node_id != **self.state.node_id());
            way.told = Some(seen.is_some() || heard.iter().any(|(_, heard)| answers(heard)));
            let runs = |heard: &Heard| {
                answers(heard)
                    && matches!(
                        heard,
                        Heard::Node {
                            role: Role::Primary,
                            waits: false,
                            ..
                        }
                    )
            };
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
            way.caller.tell(&message).await;
        }
    }
}
