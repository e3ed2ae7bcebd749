//! What GoCD does in the process of a node.

use serde::{Deserialize, Serialize};

pub use crate::gocd::health::State as GocdState;
use crate::{
    basics::{Severity, words},
    gocd::health::LONG_START,
};

/// What GoCD does in the process of a node, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GocdStatus {
    /// What it does.
    pub state: GocdState,
    /// Since when.
    pub since_ms: i64,
    /// Where it is asked; none where its own settings do not say.
    pub url: Option<String>,
    /// What came of asking last, where that was not well, for people.
    pub said: Option<String>,
    /// Its log.
    pub log: String,
}

impl GocdStatus {
    /// What is wrong with it and what to do, and how bad that is; none where nothing is.
    pub fn problem(&self, now_ms: i64) -> Option<(Severity, String)> {
        let place = self.url.as_deref().unwrap_or_default();
        let said = self.said.as_deref().unwrap_or("breaks off");
        let log = &self.log;
        match self.state {
            GocdState::Starting if i128::from(now_ms) - i128::from(self.since_ms) >= LONG_START.as_millis() as i128 => {
                let message = format!(
                    "GoCD was started at {} and does not run yet: {place} {said}. Its log {log} says what it is at: a \
                     migration of its database takes its time, an ERROR has to be mended and GoCD started again.",
                    words::moment(self.since_ms)
                );
                Some((Severity::Warning, message))
            }
            GocdState::Silent => {
                let message = format!(
                    "GoCD ran, and does not answer since {}: {place} {said}. Look at the end of {log}; where it says \
                     nothing more, restart GoCD.",
                    words::moment(self.since_ms)
                );
                Some((Severity::Critical, message))
            }
            GocdState::Starting | GocdState::Held | GocdState::Healthy => None,
        }
    }

    /// What GoCD does, for people.
    pub fn line(&self) -> String {
        let place = self.url.as_deref().unwrap_or("its port, which its settings do not say");
        let said = self
            .said
            .as_deref()
            .map(|said| format!(", which {said}"))
            .unwrap_or_default();
        match self.state {
            GocdState::Held => "held".to_owned(),
            GocdState::Starting => format!("starting, has not answered at {place}{said}"),
            GocdState::Healthy => format!("healthy, answers at {place}"),
            GocdState::Silent => format!("answers no more at {place}{said}"),
        }
    }
}
