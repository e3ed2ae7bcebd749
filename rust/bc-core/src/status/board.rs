//! Where the parts of a node write its status, and where its faces take pictures of it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::{Problem, Severity, Status};
use crate::{
    counters::Counters,
    words::{self, LONGEST_MESSAGE},
};

/// How the topics of parts of the program that are down begin.
pub const PART_TOPIC: &str = "part ";

/// The living status of a node: parts of the node write to it, faces take pictures of it.
#[derive(Debug)]
pub struct StatusBoard {
    status: Mutex<Status>,
    counters: Mutex<Counters>,
    changes: watch::Sender<u64>,
}

impl StatusBoard {
    /// A board that begins with `status`.
    pub fn new(status: Status) -> Self {
        Self {
            status: Mutex::new(status),
            counters: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Changes the status; whoever waits for changes is woken if anything differs.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.clone();
        change(&mut status);
        status
            .problems
            .sort_by(|a, b| b.severity.cmp(&a.severity).then(a.topic.cmp(&b.topic)));
        if *status != before {
            drop(status);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Counts something. Cheap, and wakes nobody: what is counted happens often.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says that a part of the node's program is down, CRITICAL until [`StatusBoard::part_runs`]. Returns whether this is
    /// news.
    pub fn part_failed(&self, part: &str, message: impl Into<String>, now_ms: i64) -> bool {
        self.update(|status| {
            if !status.failed_parts.iter().any(|failed| failed == part) {
                status.failed_parts.push(part.to_owned());
            }
            status.judge_sync(now_ms);
        });
        self.raise(&part_topic(part), Severity::Critical, message, now_ms)
    }

    /// Says that a part of the node's program runs again and is relied upon.
    pub fn part_runs(&self, part: &str, now_ms: i64) {
        self.update(|status| {
            status.failed_parts.retain(|failed| failed != part);
            status.judge_sync(now_ms);
        });
        self.clear(&part_topic(part));
    }

    /// Says that something is wrong, in one bounded line ([`words::shown`]). A problem of the same topic is replaced and
    /// keeps its age. Returns whether this is news: the message was not there before.
    pub fn raise(&self, topic: &str, severity: Severity, message: impl Into<String>, now_ms: i64) -> bool {
        let message = words::shown(&message.into(), LONGEST_MESSAGE);
        let known = self.with_problem(topic, |problem| (problem.severity, problem.message == message));
        let is_news = known.is_none_or(|(_, is_same)| !is_same);
        if known == Some((severity, true)) {
            return false;
        }
        self.update(
            |status| match status.problems.iter_mut().find(|problem| problem.topic == topic) {
                Some(problem) => {
                    problem.severity = severity;
                    problem.message = message;
                }
                None => {
                    status.problems.push(Problem {
                        topic: topic.to_owned(),
                        severity,
                        message,
                        since_ms: now_ms,
                    });
                }
            },
        );
        is_news
    }

    /// Says that nothing is wrong with `topic` any more.
    pub fn clear(&self, topic: &str) {
        // Most topics are fine most of the time, and a change costs a copy of the status.
        if self.with_problem(topic, |_| ()).is_some() {
            self.update(|status| status.problems.retain(|problem| problem.topic != topic));
        }
    }

    /// Says what is wrong with `topic`, or that nothing is.
    pub fn set(&self, topic: &str, severity: Severity, message: Option<String>, now_ms: i64) {
        match message {
            Some(message) => {
                self.raise(topic, severity, message, now_ms);
            }
            None => self.clear(topic),
        }
    }

    fn with_problem<T>(&self, topic: &str, look: impl FnOnce(&Problem) -> T) -> Option<T> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.problems.iter().find(|problem| problem.topic == topic).map(look)
    }

    /// Looks at a part of the status without copying it. `look` must not touch the board.
    pub fn look<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A picture as of `now_ms`.
    pub fn picture(&self, now_ms: i64) -> Status {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            now_ms,
            counters,
            ..status.clone()
        }
    }

    /// Counts changes; for waiting.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// The topic of a part that is down.
fn part_topic(part: &str) -> String {
    format!("{PART_TOPIC}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manifest::Role, status::Phase};

    #[test]
    fn a_problem_keeps_its_age_and_is_news_once() {
        let board = StatusBoard::new(Status::new("node", Role::Standby, Phase::Holding, 0));
        let changes = board.changes();
        assert!(board.raise("disk", Severity::Warning, "low", 5));
        assert!(!board.raise("disk", Severity::Warning, "low", 6));
        assert!(
            !board.raise("disk", Severity::Critical, "low", 7),
            "only worse, not new"
        );
        assert!(board.raise("disk", Severity::Critical, "full", 8));
        let picture = board.picture(9);
        assert_eq!(
            (picture.problems[0].since_ms, picture.severity()),
            (5, Severity::Critical)
        );
        assert_eq!(picture.health_messages(), ["CRITICAL full"]);
        assert_eq!(*changes.borrow(), 3, "what changes nothing wakes nobody");
        board.clear("other");
        board.set("disk", Severity::Warning, None, 10);
        assert!(board.picture(11).problems.is_empty());
        assert_eq!(*changes.borrow(), 4);
        board.count(|counters| counters.connections += 2);
        assert_eq!(board.picture(12).counters.connections, 2);
        assert_eq!(*changes.borrow(), 4, "counting wakes nobody");
    }

    #[test]
    fn a_problem_is_one_bounded_line_whatever_it_quotes() {
        let board = StatusBoard::new(Status::new("node", Role::Standby, Phase::Holding, 0));
        let quoted = format!("x\nCRITICAL forged\u{1b}[2J\u{202e}{}", "y".repeat(100_000));
        assert!(board.raise("primary", Severity::Warning, quoted.as_str(), 5));
        assert!(
            !board.raise("primary", Severity::Warning, quoted, 6),
            "it is the same one"
        );
        let [message] = board.picture(7).health_messages().try_into().expect("one problem");
        assert!(
            message.starts_with("WARNING x CRITICAL forged [2J yyy"),
            "{message:.60}"
        );
        assert!(message.chars().count() <= LONGEST_MESSAGE + "WARNING ".len());
    }
}
