//! What a node knows of its peers: what each says of epochs, and which of them has a higher one.

use serde::{Deserialize, Serialize};

use crate::{
    basics::words,
    generation::{Epoch, Role},
    role::{
        guard::{Guard, Said},
        known_peers::Highest,
    },
};

/// One peer as it was heard last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Where it is asked.
    pub url: String,
    /// What it said last; none before the first answer.
    pub said: Option<Said>,
    /// How that showed, for people.
    pub how: String,
    /// Its node id, once it has proven itself.
    pub node_id: Option<String>,
    /// Its role then.
    pub role: Option<Role>,
    /// Its epoch then.
    pub epoch: Option<Epoch>,
    /// When it last proved itself to this run of the node.
    pub heard_ms: Option<i64>,
}

/// What a node that is to be the primary waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    /// The peers that are asked.
    pub peers: Vec<String>,
    /// When it decides at the latest.
    pub until_ms: i64,
}

impl Deciding {
    /// What the node waits for while it is deciding, for people.
    pub fn description(&self) -> String {
        format!(
            "asking {} whether another node was promoted, until {} at the latest",
            self.peers.join(", "),
            words::moment(self.until_ms)
        )
    }
}

/// The peers of a guard as the status shows them, after those that it showed before.
pub fn peers_of(guard: &Guard, before: &[PeerStatus], answered: &[String], now_ms: i64) -> Vec<PeerStatus> {
    let shown = guard.words().map(|(url, word)| {
        let former = before.iter().find(|peer| peer.url == url);
        let node = word.and_then(|word| word.node.as_ref());
        let has_answered = answered.iter().any(|peer| peer == url);
        PeerStatus {
            url: url.to_owned(),
            said: word.map(|word| word.said),
            how: word.map_or_else(String::new, |word| words::shown(&word.how, words::LONGEST_MESSAGE)),
            node_id: node.map(|node| node.node_id.clone()),
            role: node.map(|node| node.role),
            epoch: node.map(|node| node.epoch.clone()),
            heard_ms: if has_answered {
                Some(now_ms)
            } else {
                former.and_then(|former| former.heard_ms)
            },
        }
    });
    shown.collect()
}

/// What a fenced node says of itself: who took over, when, at which epoch, and what to do.
pub fn fenced_message(by: Option<&Highest>) -> String {
    let who = match by {
        None => "another node has a higher epoch than this one".to_owned(),
        Some(by) => {
            let node = match &by.node_id {
                Some(id) => format!("the node {id:.8}"),
                None => "another node".to_owned(),
            };
            let place = if by.is_there { "at" } else { "as was heard at" };
            format!(
                "{node} took over with epoch {} ({place} {}, seen at {})",
                by.epoch.number,
                by.address,
                words::moment(by.heard_ms)
            )
        }
    };
    format!("this server is fenced: {who}. {WAYS_ON}")
}

/// What to do with a fenced node.
const WAYS_ON: &str = "GoCD must not run here. To make it the new standby, run `gocd-bc demote` and restart this server. \
                       Only if it is deliberately to be the primary again, and the other one is stopped: `gocd-bc promote \
                       --take-over --accept-loss`.";
