//! File names that some file system takes for the same one.
//!
//! Windows, macOS and some folders of Linux do not tell upper from lower case; some compare letters and accents in any
//! order, or give a file a short second name with `~` in it. Only a file system itself knows which names it takes for
//! the same. This module finds the names that are the same on some file systems, and those about which a file system
//! has to be asked.

/// A file name without upper and lower case. Names that differ otherwise may still be the same somewhere: see
/// [`is_doubtful`].
pub(crate) fn folded(name: &str) -> String {
    // More than once, since a letter that is alike one of another case need not have one of its own: `\u{17f}` is an s.
    name.chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether only a file system can tell which other names, besides those of another case, mean the same file: for a name
/// with accents, and for one that could be the short name of a file.
pub(crate) fn is_doubtful(name: &str) -> bool {
    !name.is_ascii() || name.contains('~')
}

/// Whether Windows could have given this name to a file that has a longer one: eight letters at most before the dot,
/// and a number behind a tilde.
pub(crate) fn is_short_form(name: &str) -> bool {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.len() <= 8 && extension.len() <= 3 && stem.rsplit_once('~').is_some_and(|(_, number)| is_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_alone_are_one() {
        for (one, other) in [
            ("GoCD-Business-Continuity.JAR", "gocd-business-continuity.jar"),
            ("GR\u{d6}SSE.jar", "gr\u{f6}\u{df}e.jar"),
            ("gr\u{f6}\u{1e9e}e.jar", "gr\u{f6}\u{df}e.jar"),
            // A long s, a Kelvin sign, an i without a dot.
            ("cipher.ae\u{17f}", "cipher.aes"),
            ("toKen.jar", "to\u{212a}en.jar"),
            ("f\u{131}le.jar", "FILE.jar"),
            ("\u{3a3}\u{3c2}.jar", "\u{3c3}\u{3c3}.jar"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for (one, other) in [
            ("a.jar", "b.jar"),
            ("a-1.jar", "a_1.jar"),
            ("a.jar", "a .jar"),
            ("a.jar", "\u{e4}.jar"),
        ] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn short_names_of_windows_are_known() {
        for name in [
            "GOCD-B~1.JAR",
            "gocd-b~1.jar",
            "GO1A2B~4.jar",
            "DB~1.PRO",
            "BUSINE~1",
            "~1",
            "A~12345.jar",
        ] {
            assert!(is_short_form(name) && is_doubtful(name), "{name}");
        }
        for name in [
            "gocd-business~1.jar",
            "a~b.jar",
            "a~.jar",
            "backup~1.properties",
            "a1.jar",
        ] {
            assert!(!is_short_form(name), "{name}");
        }
        assert!(is_doubtful("gro\u{308}\u{df}e.jar") && !is_doubtful("a-1.2.jar"));
    }
}
