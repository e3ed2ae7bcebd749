//! Files of PostgreSQL's settings: `postgresql.conf`, `postgresql.auto.conf`, `recovery.conf`.
//!
//! One setting a line, `name = value`, the sign may be left out. A value that is no plain word or number stands in single
//! quotes, in which a quote is doubled and a backslash is the beginning of what C means by it; no line ends in there
//! (`guc-file.l`). The last one of several lines wins.

/// A value between quotes, as a line of a setting has it: whatever it is, PostgreSQL reads the same.
pub fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('\'');
    for character in value.chars() {
        match character {
            '\'' => text.push_str("''"),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            other => text.push(other),
        }
    }
    text.push('\'');
    text
}

/// One line of a file of settings, with its end.
pub fn line(name: &str, value: &str) -> String {
    format!("{name} = {}\n", quoted(value))
}

/// Name and value of one line of a file of settings; none where it is blank, a comment, or nothing that PostgreSQL
/// reads. The name is in lower case, since letters count as one there.
pub fn read_line(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(rest) => unquoted(rest)?,
        None => rest.split(|c: char| c.is_whitespace() || c == '#').next()?.to_owned(),
    };
    Some((name.to_ascii_lowercase(), value))
}

/// The value that a file of settings gives to `name`, by its own lines alone: what it includes is not read.
pub fn value_of(text: &str, name: &str) -> Option<String> {
    let values = text.lines().filter_map(read_line);
    values
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value)
        .next_back()
}

/// A file of settings in which each of `settings` has this value in one line at the end, or no line where there is no
/// value. All other lines stay as they are. Done twice it is the same as once.
pub fn with<'a>(text: &str, settings: impl IntoIterator<Item = (&'a str, Option<&'a str>)> + Clone) -> String {
    let is_set = |found: &str| settings.clone().into_iter().any(|(name, _)| name == found);
    let mut kept: String = text
        .split_inclusive('\n')
        .filter(|line| !read_line(line).is_some_and(|(name, _)| is_set(&name)))
        .collect();
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    for (name, value) in settings {
        if let Some(value) = value {
            kept.push_str(&line(name, value));
        }
    }
    kept
}

/// What stands up to the closing quote of a value; none where there is none.
fn unquoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut characters = text.chars().peekable();
    loop {
        match characters.next()? {
            '\'' if characters.peek() == Some(&'\'') => {
                characters.next();
                value.push('\'');
            }
            '\'' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'b' => value.push('\u{8}'),
                'f' => value.push('\u{c}'),
                digit @ '0'..='7' => {
                    let mut number = digit.to_digit(8)?;
                    for _ in 0..2 {
                        let Some(next) = characters.peek().and_then(|next| next.to_digit(8)) else {
                            break;
                        };
                        characters.next();
                        number = number * 8 + next;
                    }
                    value.push(char::from_u32(number)?);
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        for (line, expected) in [
            ("port = 5433", Some(("port", "5433"))),
            ("  PORT 5433 # mine", Some(("port", "5433"))),
            ("port=5433#mine", Some(("port", "5433"))),
            ("cluster_name = '15/main'\t\t# added", Some(("cluster_name", "15/main"))),
            ("a.b = 'it''s'", Some(("a.b", "it's"))),
            (r"a = 'it\'s \\ \101\n'", Some(("a", "it's \\ A\n"))),
            ("#port = 5433", None),
            ("", None),
            ("a = 'open", None),
            ("= 5", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(read_line(line), expected, "{line}");
        }
    }

    #[test]
    fn others_stay_and_ours_stand_once_at_the_end() {
        let before = "# by ALTER SYSTEM\nprimary_slot_name = 'old'\nport = '5433'";
        let settings = [("primary_slot_name", Some("gocd_bc")), ("restore_command", None)];
        let after = with(before, settings);
        assert_eq!(
            after,
            "# by ALTER SYSTEM\nport = '5433'\nprimary_slot_name = 'gocd_bc'\n"
        );
        assert_eq!(with(&after, settings), after);
        assert_eq!(value_of(&after, "port").as_deref(), Some("5433"));
        assert_eq!(value_of("port = 1\nport = 2\n", "port").as_deref(), Some("2"));
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_its_line(value in "[^\0]*") {
            let line = line("a_setting", &value);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read_line(&line), Some(("a_setting".to_owned(), value)));
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in ".*") {
            let _ = read_line(&text);
            let after = with(&text, [("port", Some("1"))]);
            prop_assert_eq!(with(&after, [("port", Some("1"))]), after.clone());
        }
    }
}
