//! How often the log speaks of those who are turned away.
//!
//! The first of a burst is said at once and the rest once a minute, so that neither a scanner nor a server with an
//! old token fills the log. Requests without credentials are what browsers and old standbys begin with: they are
//! said at the end of their minute, and not at all if right credentials came from there meanwhile.
//!
//! Nothing here speaks or reads a clock.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::{basics::Network, status::counters::Rejection};

/// From the first of a burst to the summary of the others, and from summary to summary.
pub(crate) const BURST: Duration = Duration::from_secs(60);

/// Bursts that are told apart. Further ones are said together.
const MOST: usize = 512;

/// The bursts of the moment.
#[derive(Debug, Default)]
pub struct Bursts {
    open: HashMap<(Rejection, Option<Network>), Burst>,
}

#[derive(Debug)]
struct Burst {
    since: Instant,
    unsaid: u64,
    is_first_said: bool,
}

/// What is to be said of a burst. Its Display form is the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Why they were turned away.
    pub rejection: Rejection,
    /// Who; none where there were too many to tell apart.
    pub network: Option<Network>,
    /// How often, besides what was said before.
    pub times: u64,
    /// Whether something was said before.
    pub is_more: bool,
}

impl Bursts {
    /// Notes that somebody was turned away, in a burst of rejections. Whether that is to be said at once.
    pub fn note(&mut self, rejection: Rejection, address: IpAddr, now: Instant) -> bool {
        let network = Some(Network::of(address));
        let is_known = self.open.contains_key(&(rejection, network));
        let key = (rejection, network.filter(|_| is_known || self.open.len() < MOST));
        let is_said = is_said_at_once(rejection) && key.1.is_some();
        match self.open.get_mut(&key) {
            Some(burst) => {
                burst.unsaid += 1;
                false
            }
            None => {
                self.open.insert(
                    key,
                    Burst {
                        since: now,
                        unsaid: u64::from(!is_said),
                        is_first_said: is_said,
                    },
                );
                is_said
            }
        }
    }

    /// Notes that right credentials came from where a burst is: the requests without any from there were only the way
    /// to them.
    pub fn admitted(&mut self, address: IpAddr) {
        if !self.open.is_empty() {
            self.open
                .remove(&(Rejection::NoCredentials, Some(Network::of(address))));
        }
    }

    /// The summaries of bursts that are to be said by now. A burst of which there is nothing to say is over.
    pub fn due(&mut self, now: Instant) -> Vec<Summary> {
        let mut summaries = Vec::new();
        self.open.retain(|(rejection, network), burst| {
            if now.saturating_duration_since(burst.since) < BURST {
                return true;
            }
            if burst.unsaid == 0 {
                return false;
            }
            summaries.push(Summary {
                rejection: *rejection,
                network: *network,
                times: burst.unsaid,
                is_more: burst.is_first_said,
            });
            *burst = Burst {
                since: now,
                unsaid: 0,
                is_first_said: is_said_at_once(*rejection),
            };
            true
        });
        summaries.sort_by_key(|summary| (summary.network, summary.rejection.name()));
        summaries
    }

    /// When [`Bursts::due`] is to be asked next; none while there is no burst.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|burst| burst.since + BURST).min()
    }
}

/// Whether a rejection is said at once, and not with its burst alone.
fn is_said_at_once(rejection: Rejection) -> bool {
    rejection != Rejection::NoCredentials
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.is_more { "more " } else { "" };
        let times = if self.times == 1 { "time" } else { "times" };
        match &self.network {
            Some(network) => write!(f, "turned away {network}, ")?,
            None => f.write_str("turned away many others, ")?,
        }
        write!(f, "{} {more}{times} within a minute: {}", self.times, self.rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

    fn lines(bursts: &mut Bursts, now: Instant) -> Vec<String> {
        bursts.due(now).iter().map(Summary::to_string).collect()
    }

    #[test]
    fn the_first_at_once_and_the_others_once_a_minute() {
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let wrong = Rejection::WrongCredentials;
        assert!(bursts.note(wrong, ONE, start));
        assert!(bursts.note(Rejection::Handshake, ONE, start), "another burst");
        for second in 1..=17 {
            assert!(!bursts.note(wrong, ONE, start + Duration::from_secs(second)));
        }
        assert_eq!(bursts.due(start + Duration::from_secs(59)), []);
        assert_eq!(bursts.next_due(), Some(start + BURST));
        assert_eq!(
            lines(&mut bursts, start + BURST),
            ["turned away 10.0.0.5, 17 more times within a minute: wrong credentials"]
        );
        assert!(!bursts.note(wrong, ONE, start + BURST), "the burst goes on");
        assert_eq!(
            lines(&mut bursts, start + 2 * BURST),
            ["turned away 10.0.0.5, 1 more time within a minute: wrong credentials"]
        );
        assert_eq!(bursts.due(start + 3 * BURST), []);
        assert_eq!(bursts.next_due(), None, "all bursts are over");
        assert!(bursts.note(wrong, ONE, start + 4 * BURST), "a new one");
    }

    #[test]
    fn who_has_the_token_may_ask_without_it_first() {
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let stranger = IpAddr::from([10, 0, 0, 6]);
        for address in [ONE, stranger, stranger] {
            assert!(!bursts.note(Rejection::NoCredentials, address, start));
        }
        bursts.admitted(ONE);
        assert_eq!(
            lines(&mut bursts, start + BURST),
            ["turned away 10.0.0.6, 2 times within a minute: no credentials"]
        );
    }

    #[test]
    fn a_crowd_is_said_together() {
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let said = (0..10_000_u32)
            .filter(|number| bursts.note(Rejection::Slow, IpAddr::from(number.to_be_bytes()), start))
            .count();
        assert_eq!(said, MOST);
        let line = format!(
            "turned away many others, {} times within a minute: too slow",
            10_000 - MOST
        );
        assert_eq!(lines(&mut bursts, start + BURST), [line]);
    }
}
