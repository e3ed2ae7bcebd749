//! How much of the database's log a promotion may lose without a word of the person who promotes.

use std::fmt;

use super::reader::bytes;
use crate::basics::words;

/// So much at most (`bc.promote.max.lag`): both must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxLag {
    /// Bytes of the log.
    pub bytes: u64,
    /// Seconds in which they were written.
    pub seconds: u64,
}

impl MaxLag {
    /// Nothing may be lost.
    pub const NOTHING: Self = Self { bytes: 0, seconds: 0 };

    /// How much a promotion may lose as an administrator writes it, `16 MiB, 60 s`; none where it is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (size, time) = text.split_once(',')?;
        let seconds = time.trim().strip_suffix('s')?.trim_end();
        Some(Self {
            bytes: bytes(size.trim())?,
            seconds: seconds.parse().ok()?,
        })
    }
}

impl Default for MaxLag {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            seconds: 60,
        }
    }
}

/// For people.
impl fmt::Display for MaxLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or {} s", words::size(self.bytes), self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numbers_are_read() {
        for (text, bytes, seconds) in [
            ("16 MiB, 60 s", 16 << 20, 60),
            ("0,0s", 0, 0),
            ("1 GiB,3600 s", 1 << 30, 3600),
        ] {
            assert_eq!(MaxLag::parse(text), Some(MaxLag { bytes, seconds }), "{text}");
        }
        assert_eq!(MaxLag::parse("16 MiB, 60 s"), Some(MaxLag::default()));
        for text in ["16 MiB", "60 s", "16 MiB; 60 s", "16 MiB, 60", ", s"] {
            assert_eq!(MaxLag::parse(text), None, "{text}");
        }
    }
}
