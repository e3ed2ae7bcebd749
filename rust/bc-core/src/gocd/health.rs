//! Whether GoCD runs, by its own word: what it answers at `/go/api/v1/health` on its own port.
//!
//! While it starts it answers 503, and loads plugins seconds before it is done: a plugin that runs is no proof that GoCD
//! will. Its answer is the same from 20.6 to 26.1: 200 with `{"health":"OK"}`, without a login and without a header. So it
//! answers once its web application is up, and says nothing of what fails later; a server that fails late ends within a
//! moment of it. Only one that goes on answering counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::basics::words;

/// GoCD answered for so long without a break: it runs.
pub const STAYS: Duration = Duration::from_secs(2);
/// From one question to the next while GoCD starts.
const SOON: Duration = Duration::from_millis(500);
/// And once it runs, as often as a probe of Kubernetes asks.
const LATER: Duration = Duration::from_secs(15);
/// So many answers in a row have to be missing until a GoCD that ran counts as silent.
const MISSING: u32 = 3;
/// A start that takes longer is worth a look.
pub const LONG_START: Duration = Duration::from_secs(300);
/// The end of what is read of an answer, in bytes.
pub const LONGEST_ANSWER: usize = 4096;
/// As much of an answer is told, in characters.
const LONGEST_SAID: usize = 120;

/// What GoCD does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits for us.
    Held,
    /// It was let run, and has not answered for long enough yet.
    Starting,
    /// It answers.
    Healthy,
    /// It answered, and does not any more.
    Silent,
}

/// What was heard at GoCD's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// That all is well.
    Healthy,
    /// Something else, or nothing: in words, completes "it".
    Else(String),
}

impl Heard {
    /// Says what an answer at GoCD's port means, by its first bytes ([`LONGEST_ANSWER`] of them at most).
    pub fn of_answer(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut first = head.lines().next().unwrap_or_default().split(' ');
        let (is_http, code) = (
            first.next().is_some_and(|version| version.starts_with("HTTP/1.")),
            first.next().unwrap_or_default(),
        );
        // What is around the object are lengths of chunks.
        let object = body.find('{').zip(body.rfind('}'));
        let object = object.and_then(|(begin, end)| serde_json::from_str(body.get(begin..=end)?).ok());
        let health = object.as_ref().map(|object: &serde_json::Value| &object["health"]);
        match (is_http, code, health) {
            (true, "200", Some(health)) if health == "OK" => Self::Healthy,
            (true, "200", _) => Self::Else("answers 200 without saying that it is healthy".to_owned()),
            (true, code, _) => Self::Else(format!("answers {}", words::shown(code, LONGEST_SAID))),
            (false, ..) => Self::Else("answers with something that is no HTTP".to_owned()),
        }
    }
}

/// Follows what GoCD answers. Times are since its node began to ask.
#[derive(Debug)]
pub struct Watch {
    state: State,
    /// Since when all answers were well.
    well_since: Option<Duration>,
    missing: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            state: State::Starting,
            well_since: None,
            missing: 0,
        }
    }
}

impl Watch {
    /// Takes in what was heard, and says what GoCD does.
    pub fn hear(&mut self, heard: &Heard, at: Duration) -> State {
        match heard {
            Heard::Healthy => {
                let since = *self.well_since.get_or_insert(at);
                self.missing = 0;
                if at.saturating_sub(since) >= STAYS {
                    self.state = State::Healthy;
                }
            }
            Heard::Else(_) => {
                self.well_since = None;
                self.missing += 1;
                if self.state == State::Healthy && self.missing >= MISSING {
                    self.state = State::Silent;
                }
            }
        }
        self.state
    }

    /// How long to wait before GoCD is asked again.
    pub fn pause(&self) -> Duration {
        match (self.state, self.well_since) {
            (State::Healthy, Some(_)) => LATER,
            (_, None) => SOON,
            (_, Some(_)) => STAYS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\n  \"health\": \"OK\"\n}";

    #[test]
    fn only_gocds_own_word_for_well_counts() {
        assert_eq!(Heard::of_answer(WELL), Heard::Healthy);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{\"health\":\"OK\"}\r\n0\r\n\r\n";
        assert_eq!(Heard::of_answer(chunked), Heard::Healthy);
        for (answer, part) in [
            (
                &b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"message\":\"starting\"}"[..],
                "503",
            ),
            // A held node for a chart that wants 200, a page of a proxy, one that is cut.
            (b"HTTP/1.1 200 OK\r\n\r\n{\"health\":\"STANDBY\"}", "without saying"),
            (b"HTTP/1.1 200 OK\r\n\r\n<html>OK</html>", "without saying"),
            (b"HTTP/1.1 200 OK\r\n\r\n{\"health\":\"O", "without saying"),
            (b"HTTP/1.1 200 OK\r\n\r\n}{", "without saying"),
            (b"HTTP/1.1 302 Found\r\n\r\n{\"health\":\"OK\"}", "302"),
            (b"SSH-2.0-x", "no HTTP"),
            (b"", "no HTTP"),
            (b"\xff\xfe", "no HTTP"),
        ] {
            match Heard::of_answer(answer) {
                Heard::Else(said) => assert!(said.contains(part), "{said}"),
                Heard::Healthy => panic!("{}", String::from_utf8_lossy(answer)),
            }
        }
    }

    #[test]
    fn gocd_runs_once_it_stays_and_is_silent_once_it_is_missed_three_times() {
        let (well, ill) = (Heard::Healthy, Heard::Else("answers 503".to_owned()));
        let mut watch = Watch::default();
        let mut at = Duration::ZERO;
        let mut hear = |heard: &Heard| {
            let state = watch.hear(heard, at);
            at += watch.pause();
            state
        };
        assert_eq!(hear(&ill), State::Starting);
        assert_eq!(hear(&well), State::Starting, "it may end the next moment");
        assert_eq!(hear(&ill), State::Starting);
        assert_eq!(hear(&well), State::Starting, "and begin anew");
        assert_eq!(hear(&well), State::Healthy);
        assert_eq!(hear(&ill), State::Healthy, "it may be busy");
        assert_eq!(hear(&ill), State::Healthy);
        assert_eq!(hear(&ill), State::Silent);
        assert_eq!(hear(&well), State::Silent);
        assert_eq!(hear(&well), State::Healthy);
        assert_eq!(hear(&ill), State::Healthy, "they are counted in a row");
        assert_eq!(hear(&well), State::Healthy);
        assert_eq!(watch.pause(), LATER);
    }
}
