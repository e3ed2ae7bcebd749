//! What GoCD does in the process of a node.

use serde::{Deserialize, Serialize};

pub use crate::gocd::health::State as GocdState;
use crate::{
    basics::{Severity, words},
    gocd::health::LONG_START,
};

/// What is said of a GoCD that was started in its maintenance mode.
const MAINTENANCE: &str = "was started in maintenance mode: it schedules nothing until somebody ends that at Admin > Server \
                           Maintenance Mode, or GoCD is restarted";

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
    /// Whether this start of it was told to be one in its maintenance mode. That a person has ended that since is not known
    /// here.
    #[serde(default)]
    pub maintenance: bool,
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
            GocdState::Healthy if self.maintenance => format!("healthy, answers at {place}, {MAINTENANCE}"),
            GocdState::Healthy => format!("healthy, answers at {place}"),
            GocdState::Silent => format!("answers no more at {place}{said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_started_in_maintenance_mode_says_so_and_how_that_ends() {
        let mut gocd = GocdStatus {
            state: GocdState::Healthy,
            since_ms: 0,
            url: Some("http://localhost:8153".to_owned()),
            said: None,
            log: String::new(),
            maintenance: false,
        };
        assert_eq!(gocd.line(), "healthy, answers at http://localhost:8153");
        gocd.maintenance = true;
        let line = gocd.line();
        assert!(line.contains("maintenance mode") && line.contains("Admin >"), "{line}");
    }
}
