//! What comes along at both ends of a value that somebody copied.

/// Drops at both ends what is there by accident: every blank of Unicode, no-break ones included, every control
/// character, what has no width or turns the direction of writing, and quotes, typographic ones included. All this
/// comes along when a line is copied from a web page, the examples of the original set-up page have stray quotes and
/// blanks, and wrappers before Tanuki 3.6 hand quotes through on UNIX.
///
/// The Java agent reads properties by the same rule (`Given.java`; both are tested with
/// `tests/fixtures/hold/blanks.txt`): any difference could hold a node in one of the two and release it in the other.
pub fn without_stray_ends(value: &str) -> &str {
    value.trim_matches(is_stray)
}

/// Whether a character is dropped at the ends: written out, since it must be what Java does, whose blanks are others.
fn is_stray(c: char) -> bool {
    matches!(
        c,
        '\0'..=' '
            | '"'
            | '\''
            | '\u{7f}'..='\u{a0}'
            | '\u{ad}'
            | '\u{1680}'
            | '\u{180e}'
            | '\u{2000}'..='\u{200f}'
            | '\u{2018}'..='\u{201f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_of_unicode_is_stray_and_no_letter_is() {
        for c in char::MIN..=char::MAX {
            assert!(!c.is_whitespace() || is_stray(c), "{c:?}");
            assert!(!c.is_alphanumeric() || !is_stray(c), "{c:?}");
        }
    }

    #[test]
    fn what_a_web_page_adds_is_no_part_of_a_value() {
        for pasted in [
            "standby\u{a0}",
            "\u{2007}standby\u{202f}",
            "\u{200b}standby\u{feff}",
            "\u{201c}standby\u{201d}",
            "'standby\" ",
        ] {
            assert_eq!(without_stray_ends(pasted), "standby", "{pasted:?}");
        }
        assert_eq!(without_stray_ends("/etc/go server/"), "/etc/go server/");
    }
}
