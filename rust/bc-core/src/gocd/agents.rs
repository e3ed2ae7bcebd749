//! Which agents GoCD hears, by its answer at `/go/api/agents`.
//!
//! After its start GoCD has all agents of its database as missing until each has called. Elastic agents are not waited
//! for: whoever made them makes others.

use serde::{Deserialize, Serialize};

use crate::basics::words;

/// The media type of that answer in the newest version that a GoCD has, from 20.6 on.
pub const MEDIA_TYPE: &str = "application/vnd.go.cd+json";
/// The longest answer that is read, in bytes: some kilobytes for each agent.
pub const LONGEST_ANSWER: usize = 32 << 20;
/// As many missing ones are named.
const NAMED: usize = 20;
/// As much of a name is kept, in characters.
const LONGEST_NAME: usize = 100;

/// The agents of a GoCD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// When that was asked, milliseconds since 1970 by this node's clock.
    pub asked_ms: i64,
    /// How many enabled ones GoCD hears.
    pub back: u64,
    /// How many enabled ones it does not hear.
    pub missing_count: u64,
    /// The first of those, by the names of their hosts.
    pub missing: Vec<String>,
    /// Why it is not known; none where it is.
    pub unknown: Option<String>,
}

/// The parts of the answer that count.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "_embedded")]
    embedded: Embedded,
}

#[derive(Deserialize)]
struct Embedded {
    agents: Vec<Agent>,
}

#[derive(Deserialize)]
struct Agent {
    #[serde(default)]
    hostname: String,
    agent_config_state: String,
    agent_state: String,
    #[serde(default)]
    elastic_agent_id: Option<String>,
}

impl Agents {
    /// Takes the agents from GoCD's whole response, head and body, which it gave at `asked_ms`.
    ///
    /// # Errors
    /// It is no answer about agents: why, in words that follow the name of who answered.
    pub fn of_response(response: &[u8], asked_ms: i64) -> Result<Self, String> {
        const BETWEEN: &[u8] = b"\r\n\r\n";
        let end = response.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN);
        let (head, body) = response.split_at(end.unwrap_or(response.len()));
        let head = String::from_utf8_lossy(head);
        let mut parts = head.split_whitespace();
        match (parts.next(), parts.next()) {
            (Some(version), Some("200")) if version.starts_with("HTTP/1.") => {
                Ok(Self::of_answer(body.get(BETWEEN.len()..).unwrap_or_default(), asked_ms))
            }
            (Some(version), Some("401" | "403")) if version.starts_with("HTTP/1.") => Err(
                "refuses the token of bc.gocd.token.file: make one at Access Tokens of a user who may see the agents"
                    .to_owned(),
            ),
            (Some(version), Some(code)) if version.starts_with("HTTP/1.") => {
                let code = words::shown(code, 10);
                Err(format!("answers {code} when it is asked for its agents"))
            }
            _ => Err("answers with something that is no HTTP".to_owned()),
        }
    }

    /// Takes the agents from the body of GoCD's answer; one that is not understood says nothing.
    fn of_answer(answer: &[u8], asked_ms: i64) -> Self {
        let Ok(answer) = serde_json::from_slice::<Answer>(answer) else {
            return Self::unknown("GoCD's answer about its agents is not understood", asked_ms);
        };
        let mut found = Self {
            asked_ms,
            ..Self::default()
        };
        for agent in answer.embedded.agents {
            match agent.agent_state.as_str() {
                _ if agent.agent_config_state != "Enabled" => {}
                "Missing" | "LostContact" | "Unknown" if agent.elastic_agent_id.is_some() => {}
                "Missing" | "LostContact" | "Unknown" => {
                    found.missing_count += 1;
                    if found.missing.len() < NAMED {
                        found.missing.push(words::shown(&agent.hostname, LONGEST_NAME));
                    }
                }
                _ => found.back += 1,
            }
        }
        found
    }

    /// Agents of which nothing is known, for this reason.
    pub fn unknown(why: impl Into<String>, asked_ms: i64) -> Self {
        Self {
            asked_ms,
            unknown: Some(why.into()),
            ..Self::default()
        }
    }

    /// Whether all that are waited for are back.
    pub fn are_back(&self) -> bool {
        self.unknown.is_none() && self.missing_count == 0
    }

    /// The agents in one line for people.
    pub fn line(&self) -> String {
        match (&self.unknown, self.missing_count) {
            (Some(why), _) => format!("agents that are back: not known, {why}"),
            (None, 0) => format!("agents that are back: {}, none is missing", self.back),
            (None, missing) => {
                let more = missing.saturating_sub(self.missing.len() as u64);
                let more = if more > 0 {
                    format!(", and {more} more")
                } else {
                    String::new()
                };
                format!(
                    "agents that are back: {}; missing: {missing}: {}{more}",
                    self.back,
                    words::list(&self.missing)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(host: &str, config: &str, state: &str) -> serde_json::Value {
        serde_json::json!({"uuid": "u", "hostname": host, "agent_config_state": config, "agent_state": state})
    }

    fn of(agents: &[serde_json::Value]) -> Agents {
        let answer = serde_json::json!({"_links": {}, "_embedded": {"agents": agents}});
        Agents::of_answer(answer.to_string().as_bytes(), 7)
    }

    #[test]
    fn who_is_heard_is_back_and_only_who_is_waited_for_is_missing() {
        let mut elastic = agent("pod", "Enabled", "LostContact");
        elastic["elastic_agent_id"] = "k8s-1".into();
        let found = of(&[
            agent("one", "Enabled", "Idle"),
            agent("two", "Enabled", "Building"),
            agent("three\u{202e}", "Enabled", "Missing"),
            agent("four", "Enabled", "LostContact"),
            agent("five", "Disabled", "Missing"),
            elastic,
        ]);
        assert_eq!((found.back, found.missing_count, found.are_back()), (2, 2, false));
        assert_eq!(found.line(), "agents that are back: 2; missing: 2: three , four");
        let many: Vec<_> = (0..50)
            .map(|number| agent(&format!("a{number}"), "Enabled", "Missing"))
            .collect();
        assert!(of(&many).line().ends_with(", and 30 more"));
        assert!(of(&[]).are_back());
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = |response: &str| Agents::of_response(response.as_bytes(), 7).expect_err("refused");
        assert!(refused("HTTP/1.1 401 Unauthorized\r\n\r\n{}").contains("Access Tokens"));
        assert!(refused("HTTP/1.1 302 Found\r\n\r\n").contains("302"));
        assert!(refused("nonsense").contains("no HTTP"));
        let found = Agents::of_response(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n{\"_embedded\":{\"agents\":[]}}", 7);
        assert!(found.expect("an answer").are_back());
    }

    #[test]
    fn an_answer_that_is_not_understood_says_nothing() {
        for answer in [&b""[..], b"<html>", b"{}", b"{\"_embedded\":{\"agents\":[{}]}}", b"[]"] {
            let found = Agents::of_answer(answer, 7);
            assert!(found.unknown.is_some() && !found.are_back());
        }
    }
}
