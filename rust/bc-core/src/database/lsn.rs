//! Positions in PostgreSQL's write-ahead log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A position in the write-ahead log (LSN): bytes since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn(u64);

impl Lsn {
    /// Bytes from `earlier` to here; zero where `earlier` is later.
    pub fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether a page of the log begins here.
    pub fn is_page_begin(self) -> bool {
        self.0.is_multiple_of(8192)
    }
}

/// A text that is no position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position in the write-ahead log is two hexadecimal numbers with a slash between them")]
pub struct NotAnLsn;

/// As PostgreSQL writes it, `16/B374D848`. A later version may fill the second half with zeros, so positions are compared
/// as numbers and never as texts.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let half = |digits: &str| {
            let is_hex = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| is_hex).map(u64::from)
        };
        let (high, low) = text.split_once('/').ok_or(NotAnLsn)?;
        Ok(Self((half(high).ok_or(NotAnLsn)? << 32) | half(low).ok_or(NotAnLsn)?))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = NotAnLsn;

    fn try_from(text: String) -> Result<Self, NotAnLsn> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lsn(text: &str) -> Lsn {
        text.parse().expect(text)
    }

    #[test]
    fn it_is_a_number_however_it_is_written() {
        assert_eq!(lsn("0/0"), Lsn(0));
        assert_eq!(lsn("16/B374D848"), Lsn(0x16_B374_D848));
        assert_eq!(lsn("16/b374d848"), lsn("00000016/B374D848"));
        assert_eq!(lsn("1/00000001").to_string(), "1/1");
        assert!(lsn("2/0") > lsn("1/FFFFFFFF") && lsn("0/10") > lsn("0/9"));
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            "0/-1",
            "+1/0",
            "0/ 1",
            "0/123456789",
            "g/0",
        ] {
            assert_eq!(text.parse::<Lsn>(), Err(NotAnLsn), "{text}");
        }
    }

    #[test]
    fn a_later_position_is_never_behind() {
        assert_eq!(lsn("1/0").bytes_since(lsn("0/FFFFFFFF")), 1);
        assert_eq!(lsn("0/5").bytes_since(lsn("0/6")), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(position in any::<u64>()) {
            prop_assert_eq!(lsn(&Lsn(position).to_string()), Lsn(position));
        }

        #[test]
        fn no_text_ends_the_program(text in ".{0,30}") {
            let _ = text.parse::<Lsn>();
        }
    }
}
