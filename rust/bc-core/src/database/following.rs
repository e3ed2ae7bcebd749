//! Whether a standby's database follows its primary, restores from an archive, or stands still.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{look::Look, lsn::Lsn};

/// PostgreSQL tries every 5 s to receive again (`wal_retrieve_retry_interval`), and an archive may bring its next file late.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// So many looks in a row with another process each that receives are no accident.
const FLAPPING_LOOKS: u32 = 3;

/// How a standby follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Following {
    /// It receives what the primary writes.
    Streaming,
    /// It takes files from an archive, and gets on.
    Restoring,
    /// It receives nothing, and has no archive.
    Disconnected,
    /// It has an archive, and has not got on for long although the primary has.
    Stuck,
    /// It receives, and somebody or a setting that is too low has paused the replay.
    Paused,
    /// Its receiver ends and begins again all the time: a wrong slot, another timeline, a file that is gone.
    Flapping,
}

impl Following {
    /// Whether the copy gets on by itself.
    pub fn is_well(self) -> bool {
        matches!(self, Following::Streaming | Following::Restoring)
    }
}

/// For people, behind the words "the database is".
impl std::fmt::Display for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Following::Streaming => "streaming",
            Following::Restoring => "restoring from the archive",
            Following::Disconnected => "not receiving",
            Following::Stuck => "stuck",
            Following::Paused => "paused",
            Following::Flapping => "receiving anew again and again",
        })
    }
}

/// What earlier looks showed. Moments are durations since one start, by a clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct History {
    receiver: Option<u32>,
    changes: u32,
    replayed: Option<Lsn>,
    /// Since when the replay has stood although the primary had more.
    standing_since: Option<Duration>,
    /// Whether it got on between two looks at which nothing was received: it has an archive, whatever it says.
    restores: bool,
    had_receiver: bool,
    lacks_archive: bool,
}

impl History {
    /// Takes in that the standby has no archive, which version 11 tells nobody but its files.
    pub fn lacks_archive(&mut self) {
        self.lacks_archive = true;
    }

    /// Notes a look at a standby's database at `now`; its primary's was last known to have written up to `written`.
    pub fn note(&mut self, look: &Look, written: Option<Lsn>, now: Duration) -> Following {
        match (self.receiver, look.receiver) {
            (Some(before), Some(receiver)) if before != receiver => self.changes += 1,
            // The first one, or one after a break.
            (None, Some(_)) => {}
            (_, receiver) => self.changes = if receiver.is_some() { 0 } else { self.changes },
        }
        let is_alone = look.receiver.is_none() && !self.had_receiver;
        self.had_receiver = look.receiver.is_some();
        // Version 11 does not say whether it has one. Until it is known not to get on it is believed to, unless something
        // was received before.
        let is_unknown = look.version < 120_000 && self.receiver.is_none() && !self.lacks_archive;
        // What was received and is still being replayed says nothing of an archive.
        let is_beyond = look.received.is_none_or(|received| look.replayed > Some(received));
        self.restores |= is_alone && is_beyond && self.replayed.is_some() && look.replayed > self.replayed;
        let has_archive = look.has_archive || is_unknown || self.restores;
        self.receiver = look.receiver.or(self.receiver);
        let has_all = look
            .replayed
            .zip(written)
            .is_some_and(|(replayed, written)| replayed >= written);
        if look.replayed != self.replayed || has_all || written.is_none() {
            self.standing_since = None;
        } else {
            self.standing_since.get_or_insert(now);
        }
        self.replayed = look.replayed;
        let is_stuck = self
            .standing_since
            .is_some_and(|since| now.saturating_sub(since) >= STUCK_AFTER);
        match look {
            Look { is_paused: true, .. } => Following::Paused,
            Look { receiver: Some(_), .. } if self.changes >= FLAPPING_LOOKS => Following::Flapping,
            Look { receiver: Some(_), .. } if is_stuck => Following::Stuck,
            Look { receiver: Some(_), .. } => Following::Streaming,
            _ if has_archive && is_stuck => Following::Stuck,
            _ if has_archive => Following::Restoring,
            _ => Following::Disconnected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::look::{Role, tests::system};

    fn look(receiver: Option<u32>, replayed: u32, has_archive: bool) -> Look {
        Look {
            version: 150_018,
            role: Role::Standby,
            system: system(1),
            timeline: Some(1),
            written: None,
            received: None,
            replayed: Some(at(replayed)),
            is_paused: false,
            receiver,
            has_archive,
        }
    }

    fn at(position: u32) -> Lsn {
        format!("0/{position:X}").parse().expect("a position")
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_receiver_that_ended_is_seen_at_once() {
        let mut history = History::default();
        assert_eq!(
            history.note(&look(Some(7), 5, false), Some(at(5)), s(0)),
            Following::Streaming
        );
        assert_eq!(
            history.note(&look(None, 5, false), Some(at(5)), s(1)),
            Following::Disconnected
        );
    }

    #[test]
    fn an_archive_that_brings_nothing_is_seen_after_a_while() {
        let mut history = History::default();
        for second in 0..100 {
            // An idle primary: there is nothing to bring.
            let following = history.note(&look(None, 5, true), Some(at(5)), s(second));
            assert_eq!(following, Following::Restoring, "{second}");
        }
        for second in 100..130 {
            let following = history.note(&look(None, 5, true), Some(at(9)), s(second));
            assert_eq!(following, Following::Restoring, "{second}");
        }
        assert_eq!(
            history.note(&look(None, 5, true), Some(at(9)), s(130)),
            Following::Stuck
        );
        assert_eq!(
            history.note(&look(None, 6, true), Some(at(9)), s(131)),
            Following::Restoring
        );
    }

    #[test]
    fn an_archive_that_version_11_does_not_tell_of_is_seen_by_what_it_brings() {
        let of_11 = |receiver, replayed| Look {
            version: 110_022,
            ..look(receiver, replayed, false)
        };
        // By the share alone: nothing was ever received, and the position of what was is behind that of the replay.
        let mut history = History::default();
        for second in 0..30 {
            let following = history.note(&of_11(None, 5), Some(at(9)), s(second));
            assert_eq!(following, Following::Restoring, "{second}");
        }
        assert_eq!(history.note(&of_11(None, 5), Some(at(9)), s(31)), Following::Stuck);
        assert_eq!(history.note(&of_11(None, 6), Some(at(9)), s(32)), Following::Restoring);
        // One whose files name none.
        let mut history = History::default();
        history.lacks_archive();
        assert_eq!(
            history.note(&of_11(None, 5), Some(at(9)), s(0)),
            Following::Disconnected
        );
        // One that streamed, and gets on by its archive when the receiver has ended.
        let mut history = History::default();
        history.note(&of_11(Some(7), 5), Some(at(5)), s(0));
        assert_eq!(
            history.note(&of_11(None, 5), Some(at(5)), s(1)),
            Following::Disconnected
        );
        assert_eq!(history.note(&of_11(None, 6), Some(at(6)), s(2)), Following::Restoring);
    }

    #[test]
    fn one_that_receives_and_does_not_replay_is_stuck_as_well() {
        let mut history = History::default();
        history.note(&look(Some(7), 5, false), Some(at(9)), s(0));
        history.note(&look(Some(7), 5, false), Some(at(9)), s(1));
        assert_eq!(
            history.note(&look(Some(7), 5, false), Some(at(9)), s(32)),
            Following::Stuck
        );
    }

    #[test]
    fn another_receiver_at_each_look_is_none() {
        let mut history = History::default();
        let following = |history: &mut History, pid| history.note(&look(Some(pid), 5, false), None, s(0));
        for pid in 1..=3 {
            assert_eq!(following(&mut history, pid), Following::Streaming, "{pid}");
        }
        assert_eq!(following(&mut history, 4), Following::Flapping);
        // Also where it is not there at every other look.
        history.note(&look(None, 5, false), None, s(0));
        assert_eq!(following(&mut history, 5), Following::Flapping);
        assert_eq!(following(&mut history, 5), Following::Streaming);
    }

    #[test]
    fn a_pause_is_no_stream() {
        let paused = Look {
            is_paused: true,
            ..look(Some(7), 5, false)
        };
        assert_eq!(History::default().note(&paused, None, s(0)), Following::Paused);
    }
}
