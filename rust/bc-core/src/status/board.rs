//! Where the parts of a node write its status, and where its faces take pictures of it.

use std::{
    cmp::Reverse,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::watch;
use tracing::{error, warn};

use super::{Problem, Status, Topic};
use crate::{
    basics::{
        Clock, Severity, lock,
        words::{self, LONGEST_MESSAGE},
    },
    status::counters::Counters,
};

/// The living status of a node: parts of the node write to it, faces take pictures of it.
///
/// It has the node's clock: whoever looks at the status or changes it finds the moment in [`Status::now_ms`].
pub struct StatusBoard {
    status: Mutex<Status>,
    counters: Mutex<Counters>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
}

impl StatusBoard {
    /// A status board that begins with `status`.
    pub fn new(status: Status, clock: Arc<dyn Clock>) -> Self {
        Self {
            status: Mutex::new(status),
            counters: Mutex::default(),
            clock,
            changes: watch::Sender::new(0),
        }
    }

    /// The time of the status board, that of this node, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Changes the status on the board and says anew whether a standby is in sync. Whoever waits for changes is woken
    /// if anything differs.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status_now();
        let before = status.clone();
        change(&mut status);
        status.update_sync();
        status
            .problems
            .sort_by_cached_key(|problem| (Reverse(problem.severity), problem.topic.to_string()));
        if *status != before {
            drop(status);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Counts something on the board. Cheap, and wakes nobody: what is counted happens often.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    /// Says that a part of the node's program is down, CRITICAL until [`StatusBoard::part_runs`]. Returns whether this is
    /// news.
    pub fn part_failed(&self, part: &str, message: impl Into<String>) -> bool {
        self.update(|status| {
            if !status.failed_parts.iter().any(|failed| failed == part) {
                status.failed_parts.push(part.to_owned());
            }
        });
        self.raise(&Topic::Part(part.to_owned()), Severity::Critical, message)
    }

    /// Says that a part of the node's program runs again and is relied upon.
    pub fn part_runs(&self, part: &str) {
        self.update(|status| status.failed_parts.retain(|failed| failed != part));
        self.clear(&Topic::Part(part.to_owned()));
    }

    /// Raises a problem on the board, in one bounded line ([`words::shown`]). A problem of the same topic is replaced
    /// and keeps its age. Returns whether this is news: the message was not there before.
    pub fn raise(&self, topic: &Topic, severity: Severity, message: impl Into<String>) -> bool {
        let message = words::shown(&message.into(), LONGEST_MESSAGE);
        let known = self.look(|status| {
            let known = status.problem(topic)?;
            Some((known.severity, known.message == message))
        });
        let is_news = known.is_none_or(|(_, is_same)| !is_same);
        if known == Some((severity, true)) {
            return false;
        }
        self.update(
            |status| match status.problems.iter_mut().find(|problem| problem.topic == *topic) {
                Some(problem) => {
                    problem.severity = severity;
                    problem.message = message;
                }
                None => {
                    status.problems.push(Problem {
                        topic: topic.clone(),
                        severity,
                        message,
                        since_ms: status.now_ms,
                    });
                }
            },
        );
        is_news
    }

    /// Clears a problem on the board: nothing is wrong with `topic` any more.
    pub fn clear(&self, topic: &Topic) {
        // Most topics are fine most of the time, and a change costs a copy of the status.
        if self.look(|status| status.problem(topic).is_some()) {
            self.update(|status| status.problems.retain(|problem| problem.topic != *topic));
        }
    }

    /// Says on the board what is wrong with `topic`, or that nothing is.
    pub fn set(&self, topic: &Topic, severity: Severity, message: Option<String>) {
        match message {
            Some(message) => {
                self.raise(topic, severity, message);
            }
            None => self.clear(topic),
        }
    }

    /// Says on the board what is wrong with `topic`, or that nothing is, and logs as a warning what is news.
    pub fn warn(&self, topic: &Topic, severity: Severity, message: Option<String>) {
        match message {
            Some(message) if self.raise(topic, severity, message.as_str()) => warn!("{message}"),
            Some(_) => {}
            None => self.clear(topic),
        }
    }

    /// Says on the board what is CRITICAL with `topic`, or that nothing is, and logs as an error what is news.
    pub fn alarm(&self, topic: &Topic, message: Option<String>) {
        match message {
            Some(message) if self.raise(topic, Severity::Critical, message.as_str()) => error!("{message}"),
            Some(_) => {}
            None => self.clear(topic),
        }
    }

    /// Looks at a part of the status on the board without copying it. `look` must not touch the board.
    pub fn look<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status_now())
    }

    /// A picture of the status board at this moment.
    pub fn picture(&self) -> Status {
        let counters = lock(&self.counters).clone();
        Status {
            counters,
            ..self.look(Status::clone)
        }
    }

    /// Counts changes of the status board; for waiting.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The status on the board, locked, with the time as it is.
    fn status_now(&self) -> MutexGuard<'_, Status> {
        let now_ms = self.now_ms();
        let mut status = lock(&self.status);
        status.now_ms = now_ms;
        status
    }
}

impl fmt::Debug for StatusBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusBoard")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basics::clock::tests::Turned, generation::Role, status::Phase};

    fn board() -> (StatusBoard, Arc<Turned>) {
        let clock = Arc::new(Turned::default());
        let status = Status::new("node", Role::Standby, Phase::Holding, 0);
        (StatusBoard::new(status, clock.clone()), clock)
    }

    #[test]
    fn a_problem_keeps_its_age_and_is_news_once() {
        let (board, clock) = board();
        let changes = board.changes();
        clock.to(5);
        assert!(board.raise(&Topic::Disk, Severity::Warning, "low"));
        clock.to(9);
        assert!(!board.raise(&Topic::Disk, Severity::Warning, "low"));
        assert!(
            !board.raise(&Topic::Disk, Severity::Critical, "low"),
            "only worse, not new"
        );
        assert!(board.raise(&Topic::Disk, Severity::Critical, "full"));
        let picture = board.picture();
        assert_eq!(
            (picture.problems[0].since_ms, picture.now_ms, picture.severity()),
            (5, 9, Severity::Critical)
        );
        assert_eq!(picture.health_messages(), ["CRITICAL full"]);
        assert_eq!(*changes.borrow(), 3, "what changes nothing wakes nobody");
        board.clear(&Topic::Token);
        board.set(&Topic::Disk, Severity::Warning, None);
        assert!(board.picture().problems.is_empty());
        assert_eq!(*changes.borrow(), 4);
        board.count(|counters| counters.connections += 2);
        assert_eq!(board.picture().counters.connections, 2);
        assert_eq!(*changes.borrow(), 4, "counting wakes nobody");
    }

    #[test]
    fn a_problem_is_one_bounded_line_whatever_it_quotes() {
        let (board, _) = board();
        let quoted = format!("x\nCRITICAL forged\u{1b}[2J\u{202e}{}", "y".repeat(100_000));
        assert!(board.raise(&Topic::Primary, Severity::Warning, quoted.as_str()));
        assert!(
            !board.raise(&Topic::Primary, Severity::Warning, quoted),
            "it is the same one"
        );
        let [message] = board.picture().health_messages().try_into().expect("one problem");
        assert!(
            message.starts_with("WARNING x CRITICAL forged [2J yyy"),
            "{message:.60}"
        );
        assert!(message.chars().count() <= LONGEST_MESSAGE + "WARNING ".len());
    }
}
