//! The end of GoCD's log: why a server ended.
//!
//! Of each line only what GoCD says of an error is taken, and what looks like a secret in it is masked: messages of
//! drivers and plugins quote addresses with passwords.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use crate::basics::{regular_file, words};

/// As much of the end of the log is read, in bytes.
const READ: u64 = 512 << 10;
/// So many lines are told.
const LINES: usize = 6;
/// As much of each, in characters.
const LONGEST_LINE: usize = 400;
/// What stands in the place of a secret.
const MASKED: &str = "***";

/// How long GoCD's log is, to read from there later; 0 where there is none yet.
pub fn end(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |log| log.len())
}

/// The last errors and causes in GoCD's log after its first `from` bytes, oldest first; none where nothing is wrong
/// there. A log that is shorter was begun anew, and is read whole.
///
/// # Errors
/// Those of reading: that the log cannot be read says nothing of GoCD.
pub fn errors_since(log: &Path, from: u64) -> io::Result<Vec<String>> {
    Ok(found(&end_of(log, from)?, |line| {
        is_error(line) || line.starts_with("Caused by: ")
    }))
}

/// The last lines in GoCD's log after its first `from` bytes that say that a plugin is not loaded.
///
/// # Errors
/// As [`errors_since`].
pub fn plugins_refused_since(log: &Path, from: u64) -> io::Result<Vec<String>> {
    const SAYS: [&str; 5] = [
        "could not be loaded. Message:",
        "cannot be constructed. Reason:",
        "cannot be registered. Reason:",
        "No extensions found in this plugin",
        "Found another plugin with ID",
    ];
    Ok(found(&end_of(log, from)?, |line| {
        SAYS.iter().any(|says| line.contains(says))
    }))
}

/// Whether GoCD's log says, after its first `from` bytes, that it ended since it refused its configuration and had no other.
///
/// # Errors
/// As [`errors_since`].
pub fn refuses_configuration_since(log: &Path, from: u64) -> io::Result<bool> {
    const SAYS: [&str; 2] = [
        "There is no versioned configuration to fallback",
        "The versioned config file could be invalid",
    ];
    let text = end_of(log, from)?;
    Ok(SAYS.iter().any(|says| text.contains(says)))
}

/// The end of GoCD's log after its first `from` bytes.
fn end_of(log: &Path, from: u64) -> io::Result<String> {
    let mut file = regular_file::open(log)?;
    let length = file.metadata()?.len();
    let from = if from > length { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(READ))))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last of these lines in a part of GoCD's log, each once, as they may be shown.
fn found(text: &str, is_it: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| is_it(line)) {
        let said = words::shown(&masked(line.trim_end()), LONGEST_LINE);
        // The same cause comes with each bean that needs it.
        found.retain(|before| *before != said);
        found.push(said);
    }
    found.split_off(found.len().saturating_sub(LINES))
}

/// Whether this is a line of the level ERROR, which stands after date and time, or after the words of the launcher.
fn is_error(line: &str) -> bool {
    line.starts_with("ERROR") || line.split_whitespace().nth(2) == Some("ERROR")
}

/// A line without what looks like a secret: the value after a word for one, what stands before the host of an address,
/// and any long run of letters and digits, such as a key.
fn masked(line: &str) -> String {
    let line = without_logins(line);
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some((before, after)) = around_value(rest) {
        out.push_str(before);
        out.push_str(MASKED);
        rest = after;
    }
    out.push_str(rest);
    without_keys(&out)
}

/// A line before and after the first value in it that follows a word for a secret.
fn around_value(line: &str) -> Option<(&str, &str)> {
    const QUOTES: [char; 2] = ['"', '\''];
    let (sign, _) = line.char_indices().find(|(at, sign)| {
        let before = line.get(..*at).unwrap_or_default().trim_end_matches([' ', '"', '\'']);
        let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        matches!(sign, '=' | ':') && is_word_for_secret(word)
    })?;
    let value = line.get(sign..)?.trim_start_matches(['=', ':', ' ']);
    let begin = line.len() - value.len();
    let length = if let Some(inside) = value.strip_prefix(QUOTES) {
        inside.find(QUOTES).map_or(value.len(), |end| end + 2)
    } else {
        // `Basic` and `Bearer` are the first of two words.
        let second = ["basic ", "bearer "].into_iter().find(|word| {
            let first = value.get(..word.len());
            first.is_some_and(|first| first.eq_ignore_ascii_case(word))
        });
        let skipped = second.map_or(0, str::len);
        let end = value.get(skipped..)?.find(|c: char| c.is_whitespace() || c == '&');
        end.map_or(value.len(), |end| skipped + end)
    };
    (length > 0).then(|| {
        (
            line.get(..begin).unwrap_or_default(),
            value.get(length..).unwrap_or_default(),
        )
    })
}

/// Whether what follows this word is a secret.
fn is_word_for_secret(word: &str) -> bool {
    const ENDS: [&str; 8] = [
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "apikey",
        "credentials",
        "authorization",
    ];
    let word = word.to_ascii_lowercase();
    word == "aes" || ENDS.iter().any(|end| word.ends_with(end))
}

/// A line without runs of letters and digits that are as long and as mixed as a key. Names of classes have few digits.
fn without_keys(line: &str) -> String {
    const LONG: usize = 20;
    const MIXED: usize = 4;
    let is_of_run = |c: char| c.is_ascii_alphanumeric() || c == '+';
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_of_run(c) != is_of_run(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let count = |is: fn(&u8) -> bool| run.bytes().filter(is).count();
        let is_key = run.len() >= LONG && count(u8::is_ascii_digit) >= MIXED && count(u8::is_ascii_alphabetic) >= MIXED;
        out.push_str(if is_key { MASKED } else { run });
        rest = after;
    }
    out
}

/// A line without the users and passwords that stand before the hosts of addresses in it.
fn without_logins(line: &str) -> String {
    let mut parts = line.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(part.len());
        let (host, rest) = part.split_at(end);
        match host.rsplit_once('@') {
            Some((_, host)) => out.push_str(&format!("{MASKED}@{host}{rest}")),
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-11-29 10:00:00,100 INFO  [main] GoServer:1 - starting
2026-11-29 10:00:01,200 ERROR [main] PluginsZip:60 - Could not zip
2026-11-29 10:00:02,300 ERROR [main] GoServer:77 - Unable to initialize Go Server after initial load
org.springframework.dao.TransientDataAccessResourceException: x
\tat org.springframework.Jdbc.a(Jdbc.java:1)
Caused by: org.postgresql.util.PSQLException: ERROR: cannot execute UPDATE in a read-only transaction
\tat org.postgresql.B.c(B.java:2)
Caused by: org.postgresql.util.PSQLException: ERROR: cannot execute UPDATE in a read-only transaction
2026-11-29 10:00:03,000 WARN  [main] X:1 - ERROR is not its level
";

    #[test]
    fn the_errors_of_this_start_are_found_and_no_others() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("go-server.log");
        assert_eq!(end(&log), 0);
        assert!(errors_since(&log, 0).is_err(), "what cannot be read says nothing");
        fs::write(&log, LOG).expect("write");
        let found = errors_since(&log, 0).expect("readable");
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[1].contains("Unable to initialize"), "{found:#?}");
        assert!(found[2].starts_with("Caused by: ") && found[2].contains("read-only transaction"));
        let before = end(&log);
        assert_eq!(errors_since(&log, before).expect("readable"), [""; 0]);
        fs::write(&log, "ERROR: Failed to start GoCD server\n").expect("begun anew");
        assert_eq!(
            errors_since(&log, before).expect("readable"),
            ["ERROR: Failed to start GoCD server"]
        );
        let many: String = (0..20_000)
            .map(|n| format!("2026-11-29 10:00:00,1 ERROR [main] X - {n}\n"))
            .collect();
        fs::write(&log, many).expect("write");
        let found = errors_since(&log, 0).expect("readable");
        assert_eq!((found.len(), found[5].ends_with("- 19999")), (LINES, true));
        fs::write(&log, [b"ERROR \xff\x1b[2J".as_slice(), &[b'x'; 9000]].concat()).expect("write");
        let found = errors_since(&log, 0).expect("readable");
        assert!(found[0].chars().count() <= LONGEST_LINE && !found[0].contains('\u{1b}'));
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (line, expected) in [
            (
                "jdbc:postgresql://db:5432/go?password=geheim1&user=go",
                "jdbc:postgresql://db:5432/go?password=***&user=go",
            ),
            (
                "to https://go:geheim1@db.example/x failed",
                "to https://***@db.example/x failed",
            ),
            (
                "{\"db.password\": \"geheim:1, 2\", next}",
                "{\"db.password\": ***, next}",
            ),
            ("Authorization: Basic Z286Z2VoZWltMQ==", "Authorization: ***"),
            ("Authorization: bearer geheim1, x", "Authorization: *** x"),
            (
                "cannot decrypt AES:geh/eim1==:geheim2== here",
                "cannot decrypt AES:*** here",
            ),
            ("token=a token = b", "token=*** token = ***"),
            ("key 0123456789abcdef0123456789abcdef.x", "key ***.x"),
            ("password=", "password="),
        ] {
            assert_eq!(masked(line), expected);
        }
        for line in [
            "FATAL: password authentication failed for user \"go\"",
            "Caused by: org.postgresql.util.PSQLException: ERROR: cannot execute UPDATE in a read-only transaction",
            "o.s.b.f.s.AbstractAutowireCapableBeanFactoryWithAVeryLongName: Error creating bean",
            "Port 8153 could not be opened. Please Check if it is available",
        ] {
            assert_eq!(masked(line), line);
        }
    }
}
