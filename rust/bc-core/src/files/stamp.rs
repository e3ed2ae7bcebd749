//! What the operating system says about a file without reading it.

use std::{fs::Metadata, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::basics::clock;

/// Timestamps come from a clock that ticks: a second write within one tick leaves the same time. 10 ms is the
/// slowest tick of Linux, this is twice that.
const FINE_TICK_NS: i64 = 20_000_000;
/// FAT, ext3, HFS+ and some network file systems keep whole or even seconds only.
const COARSE_TICK_NS: i64 = 2_000_000_000;

/// A file's identity, size and times. Two equal stamps mean the same bytes if the stamp was *settled* when they
/// were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_ns: i64,
    /// When the inode last changed: unlike the time of modification nobody can set it back. Where there is no
    /// such time, that of modification.
    changed_ns: i64,
}

impl Stamp {
    /// The stamp of a file, given what `stat` says.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified_ns = metadata.modified().map_or(0, nanoseconds);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let changed_ns = metadata
                .ctime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.ctime_nsec());
            Self {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                modified_ns,
                changed_ns,
            }
        }
        #[cfg(not(unix))]
        Self {
            device: 0,
            inode: 0,
            size: metadata.len(),
            modified_ns,
            changed_ns: modified_ns,
        }
    }

    /// Whether two stamps are of one file whose bytes nobody has written in between, as far as times tell; only its
    /// names, mode or owner may differ.
    pub(crate) fn is_same_content(&self, other: &Self) -> bool {
        Self {
            changed_ns: other.changed_ns,
            ..*self
        } == *other
    }

    /// The length in bytes of the file with this stamp.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// When the bytes of the file with this stamp were last written, milliseconds since 1970.
    pub(crate) fn modified_ms(&self) -> i64 {
        self.modified_ns.div_euclid(1_000_000)
    }

    /// When anything about the file with this stamp last changed, milliseconds since 1970.
    pub(crate) fn changed_ms(&self) -> i64 {
        self.changed_ns.div_euclid(1_000_000)
    }

    /// Whether a change of a file after `now_ms` is sure to leave another stamp. A file that was changed so short
    /// before that a further change could bear the same time is not settled (git calls such entries *racily clean*).
    pub(crate) fn is_settled(&self, now_ms: i64) -> bool {
        is_past(self.changed_ns, now_ms)
    }

    /// Whether a stamp is settled, as [`Stamp::is_settled`], for a file that we put in place ourselves by a rename:
    /// until then nobody else could reach it, and whoever writes into it later changes its time of modification.
    pub(crate) fn is_settled_since_placed(&self, now_ms: i64) -> bool {
        is_past(self.modified_ns, now_ms)
    }
}

/// Whether a time of a stamp is so long ago that a change now would bear another one.
fn is_past(time_ns: i64, now_ms: i64) -> bool {
    // A file system with fine times shows a whole millisecond once in a million.
    let tick = if time_ns % 1_000_000 == 0 {
        COARSE_TICK_NS
    } else {
        FINE_TICK_NS
    };
    time_ns.saturating_add(tick) <= now_ms.saturating_mul(1_000_000)
}

/// A time of a stamp in nanoseconds since 1970.
fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(_) => clock::millis(time).saturating_mul(1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_at(changed_ns: i64) -> Stamp {
        Stamp {
            device: 1,
            inode: 2,
            size: 3,
            modified_ns: changed_ns,
            changed_ns,
        }
    }

    #[test]
    fn a_young_file_is_not_settled() {
        let fine = changed_at(1_000_000_123_456);
        assert!(!fine.is_settled(1_000_010));
        assert!(fine.is_settled(1_000_030));
    }

    #[test]
    fn whole_seconds_need_longer() {
        let coarse = changed_at(1_000_000_000_000);
        assert!(!coarse.is_settled(1_000_030));
        assert!(coarse.is_settled(1_002_000));
    }

    #[test]
    fn a_time_in_the_future_is_never_settled() {
        assert!(!changed_at(5_000_000_000_001).is_settled(1_000));
    }
}
