//! Numbers, lists and texts of others as people read them.

use time::{OffsetDateTime, macros::format_description};

use crate::characters::is_deceptive;

/// A number of bytes: `17 B`, `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A moment: `2026-11-30 06:02:09 UTC`, from milliseconds since 1970.
pub fn moment(ms: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .ok()
        .and_then(|moment| moment.format(form).ok())
        .unwrap_or_else(|| format!("{ms} ms after 1970"))
}

/// The longest message of an error or a problem, in characters.
pub const LONGEST_MESSAGE: usize = 4000;

/// A text of somebody else's, as it may be shown: one line without characters that cannot be seen or that change how
/// the rest is read, `longest` characters at most, the last of them `…` where something was cut off.
///
/// Everything that leaves a node for people goes through it: an [`Error`](crate::error::Error) when it is made, a
/// problem when it is raised, a log line when it is written, and what the command line hears when it is read.
pub fn shown(text: &str, longest: usize) -> String {
    let mut line: String = text
        .chars()
        .map(|character| if is_deceptive(character) { ' ' } else { character })
        .take(longest)
        .collect();
    if text.chars().nth(longest).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// A text of several lines without what commands a terminal or reverses its direction; lines stay lines.
pub fn printable(text: &str) -> String {
    let deceives = |c: char| is_deceptive(c) && c != '\n' && c != '\t';
    text.replace("\r\n", "\n").replace(deceives, "\u{FFFD}")
}

/// Several remarks as one; none when there are none.
pub fn one_line(remarks: &[String]) -> Option<String> {
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_is_one_bounded_line() {
        assert_eq!(shown("as it is: größer", 100), "as it is: größer");
        assert_eq!(
            shown("a\r\nCRITICAL b\u{1b}[31m\u{202e}c\u{2028}", 100),
            "a  CRITICAL b [31m c "
        );
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdefg", 6), "abcde…");
        assert_eq!(shown("ab", usize::MAX), "ab");
    }

    #[test]
    fn lines_stay_lines_and_command_no_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\nc\u{202E}d\te"), "a\u{FFFD}[2Jb\nc\u{FFFD}d\te");
    }

    #[test]
    fn sizes() {
        let sizes = [5, 17, 2048, 1_572_864, 5 << 20].map(size);
        assert_eq!(sizes, ["5 B", "17 B", "2.0 KiB", "1.5 MiB", "5.0 MiB"]);
    }

    #[test]
    fn moments() {
        assert_eq!(moment(1_796_018_529_999), "2026-11-30 06:02:09 UTC");
        assert_eq!(moment(-1), "1969-12-31 23:59:59 UTC");
        assert_eq!(moment(i64::MAX), "9223372036854775807 ms after 1970");
    }
}
