//! Numbers, lists and texts of others as people read them.

use std::{borrow::Cow, fmt};

use time::{OffsetDateTime, macros::format_description};

use crate::basics::characters::is_deceptive;

/// A number of bytes as people read it: `17 B`, `1.5 MiB`.
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

/// A moment as people read it: `2026-11-30 06:02:09 UTC`, from milliseconds since 1970.
pub fn moment(ms: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .ok()
        .and_then(|moment| moment.format(form).ok())
        .unwrap_or_else(|| format!("{ms} ms after 1970"))
}

/// A moment in words, to the minute, from seconds since 1970: `2026-03-01 12:00 UTC`.
pub fn minute(seconds: i64) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(form).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// The longest message of an error or a problem, in characters.
pub const LONGEST_MESSAGE: usize = 4000;

/// A text of somebody else's, as it may be shown: one line without characters that cannot be seen or that change how
/// the rest is read, `longest` characters at most, the last of them `…` where something was cut off.
///
/// What the operating system refused keeps its words and loses the number that it has for them: `(os error 13)` says
/// nothing to people.
///
/// Everything that leaves a node for people goes through it: an [`Error`](crate::basics::error::Error) when it is made,
/// a problem when it is raised, a log line when it is written, and what the command line hears when it is read.
pub fn shown(text: &str, longest: usize) -> String {
    let text = &*without_error_numbers(text);
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

/// A text without the ` (os error 28)` that Rust adds to the system's words.
fn without_error_numbers(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = " (os error ";
    if !text.contains(BEGIN) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(BEGIN);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
                words.push_str(rest);
            }
            _ => {
                words.push_str(BEGIN);
                words.push_str(part);
            }
        }
    }
    Cow::Owned(words)
}

/// A text of several lines without what commands a terminal or reverses its direction; lines stay lines.
pub fn printable(text: &str) -> String {
    let deceives = |c: char| is_deceptive(c) && c != '\n' && c != '\t';
    text.replace("\r\n", "\n").replace(deceives, "\u{FFFD}")
}

/// The words for several names, or whatever else, one after the other: "a.jar, b.jar".
pub fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}

/// Joins the words of several remarks to one line; none when there are none.
pub fn one_line(remarks: &[String]) -> Option<String> {
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

#[cfg(test)]
mod tests {
    use std::io;

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
    fn what_the_operating_system_refuses_is_said_without_its_number() {
        let refused = io::Error::from_raw_os_error(13);
        assert!(refused.to_string().contains("(os error 13)"));
        assert_eq!(shown(&refused.to_string(), 100), "Permission denied");
        assert_eq!(
            shown(&format!("a: {refused}; b: {refused}. Help."), 100),
            "a: Permission denied; b: Permission denied. Help."
        );
        for text in ["a (os error x)", "a (os error 1", "as it is (so far)"] {
            assert_eq!(shown(text, 100), text);
        }
    }

    #[test]
    fn moments() {
        assert_eq!(moment(1_796_018_529_999), "2026-11-30 06:02:09 UTC");
        assert_eq!(moment(-1), "1969-12-31 23:59:59 UTC");
        assert_eq!(moment(i64::MAX), "9223372036854775807 ms after 1970");
        assert_eq!(minute(1_772_366_459), "2026-03-01 12:00 UTC");
        assert_eq!(minute(i64::MIN), "-9223372036854775808 s after 1970");
    }
}
