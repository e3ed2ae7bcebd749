//! That a server went back to an earlier configuration by itself.

use serde::{Deserialize, Serialize};

use crate::basics::words;

/// That this server went back to an earlier configuration, since GoCD ended on the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WentBack {
    /// When.
    pub at_ms: i64,
    /// The generation that GoCD refused, for people.
    pub from: String,
    /// The one that it has accepted before.
    pub to: String,
    /// What the refused one had changed, for people.
    pub changed: String,
}

impl WentBack {
    /// What to say of it, and what to do.
    pub fn message(&self) -> String {
        format!(
            "GoCD refused the configuration that this server was promoted with and ended, so at {} this server went back \
             by itself to the newest that GoCD had accepted: the generation {} in the place of {}. What is not in it any \
             more: {}. Make that change anew on GoCD's pages, where GoCD says what is wrong with it; `gocd-bc landing \
             done` takes this away.",
            words::moment(self.at_ms),
            self.to,
            self.from,
            self.changed
        )
    }
}
