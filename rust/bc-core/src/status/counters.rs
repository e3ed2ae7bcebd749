//! What a node has counted since it opened.
//!
//! Counted is where it happens, through [`crate::status::StatusBoard::count`]; a counter never goes back but when
//! the node opens anew.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All counters of a node. Readers of the JSON form ignore those they do not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Connections accepted on our ports and, while held, on GoCD's.
    pub connections: u64,
    /// What was not granted to those who connected.
    pub rejections: Rejections,
    /// Files sent to standbys.
    pub sent: Transfers,
    /// Files received from the primary.
    pub received: Transfers,
    /// Generations made live.
    pub applied_generations: u64,
    /// Refusals to make a generation live; one that is judged again and again for the same reason counts once.
    pub refused_generations: u64,
    /// Rounds of a standby that failed, for whatever reason.
    pub failed_rounds: u64,
}

/// Files in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transfers {
    /// Files that came or went whole.
    pub files: u64,
    /// Transfers that broke off.
    pub broken: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// Why somebody who connected was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// User or password is wrong.
    WrongCredentials,
    /// No credentials came, where some are needed. Browsers and old standbys ask like that first.
    NoCredentials,
    /// TLS could not be agreed on, or took too long.
    Handshake,
    /// All connections are taken.
    Full,
    /// A request, or right credentials, did not come in time.
    Slow,
    /// The head or body of a request is too large.
    TooLarge,
    /// What came is no HTTP.
    Malformed,
}

impl Rejection {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Rejection; 7] = [
        Rejection::WrongCredentials,
        Rejection::NoCredentials,
        Rejection::Handshake,
        Rejection::Full,
        Rejection::Slow,
        Rejection::TooLarge,
        Rejection::Malformed,
    ];

    /// The name of a kind of rejection in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::WrongCredentials => "wrong_credentials",
            Rejection::NoCredentials => "no_credentials",
            Rejection::Handshake => "handshake",
            Rejection::Full => "full",
            Rejection::Slow => "slow",
            Rejection::TooLarge => "too_large",
            Rejection::Malformed => "malformed",
        }
    }
}

/// In a few words, for the log.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::WrongCredentials => "wrong credentials",
            Rejection::NoCredentials => "no credentials",
            Rejection::Handshake => "no TLS",
            Rejection::Full => "all connections are taken",
            Rejection::Slow => "too slow",
            Rejection::TooLarge => "the request is too large",
            Rejection::Malformed => "no HTTP",
        })
    }
}

/// How often each [`Rejection`] happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rejections {
    wrong_credentials: u64,
    no_credentials: u64,
    handshake: u64,
    full: u64,
    slow: u64,
    too_large: u64,
    malformed: u64,
}

impl Rejections {
    /// Counts one rejection.
    pub fn add(&mut self, rejection: Rejection) {
        *self.count(rejection) += 1;
    }

    /// The counter of a kind of rejection: how often that happened.
    pub fn of(&self, rejection: Rejection) -> u64 {
        *self.clone().count(rejection)
    }

    /// The counter of this kind of rejection.
    fn count(&mut self, rejection: Rejection) -> &mut u64 {
        match rejection {
            Rejection::WrongCredentials => &mut self.wrong_credentials,
            Rejection::NoCredentials => &mut self.no_credentials,
            Rejection::Handshake => &mut self.handshake,
            Rejection::Full => &mut self.full,
            Rejection::Slow => &mut self.slow,
            Rejection::TooLarge => &mut self.too_large,
            Rejection::Malformed => &mut self.malformed,
        }
    }

    /// The sum of the counters of rejections, but for what browsers and old standbys do all the time.
    pub fn total(&self) -> u64 {
        Rejection::ALL
            .into_iter()
            .filter(|rejection| *rejection != Rejection::NoCredentials)
            .map(|rejection| self.of(rejection))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rejection_has_a_counter_of_its_own() {
        let mut counted = Rejections::default();
        for (times, rejection) in (1..).zip(Rejection::ALL) {
            for _ in 0..times {
                counted.add(rejection);
            }
        }
        let each: Vec<u64> = Rejection::ALL.iter().map(|rejection| counted.of(*rejection)).collect();
        assert_eq!(each, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(counted.total(), 1 + 3 + 4 + 5 + 6 + 7);
    }

    #[test]
    fn counters_of_another_version_are_read() {
        let read: Counters = serde_json::from_str(r#"{"sent":{"files":3},"later":1}"#).expect("JSON");
        assert_eq!(read.sent.files, 3);
        assert_eq!(read.connections, 0);
    }
}
