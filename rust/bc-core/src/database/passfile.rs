//! The file that libpq takes a password from: `host:port:database:user:password` a line, the first that fits counts.
//!
//! `*` fits everything; a colon and a backslash in a field have a backslash in front. What replicates looks for the
//! database `replication`. libpq ignores the file, with a warning, where anybody but its owner may read it.

use zeroize::Zeroizing;

/// The name of the database by which a line for replication is found.
pub const REPLICATION: &str = "replication";

/// The line with the password of `user` for replication from any host: the roles of a pair swap, and the file stays.
pub fn replication_line(user: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("*:*:{REPLICATION}:{}:{}\n", escaped(user), escaped(password)))
}

/// The password that a passfile has for `user`, where it goes to `database` at any host.
pub fn password(text: &str, database: &str, user: &str) -> Option<Zeroizing<String>> {
    text.lines().find_map(|line| {
        let fields = fields(line)?;
        let fits = |field: &str, wanted: &str| field == "*" || unescaped(field).as_str() == wanted;
        (fits(fields[2], database) && fits(fields[3], user)).then(|| unescaped(fields[4]))
    })
}

/// The four fields in front of the password, and that, of one line; none where it has fewer.
fn fields(line: &str) -> Option<[&str; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = [""; 5];
    let mut rest = line;
    for field in &mut fields[..4] {
        let end = end_of_field(rest)?;
        (*field, rest) = (&rest[..end], &rest[end + 1..]);
    }
    fields[4] = rest;
    Some(fields)
}

/// Where the colon stands that no backslash takes its meaning from.
fn end_of_field(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b':' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn escaped(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

fn unescaped(field: &str) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(field.len()));
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            // A last one stands for itself.
            '\\' => value.push(characters.next().unwrap_or('\\')),
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# mine\nshort:line\n*:*:cruise:gocd:one\nprimarydb:5432:replication:rep:two\n\
                    *:*:*:rep:three\n*:*:replication:with\\:colon:fo\\:ur\\\\:\n";
        for (database, user, expected) in [
            ("cruise", "gocd", Some("one")),
            (REPLICATION, "rep", Some("two")),
            ("other", "rep", Some("three")),
            (REPLICATION, "with:colon", Some("fo:ur\\:")),
            (REPLICATION, "gocd", None),
        ] {
            let found = password(file, database, user);
            assert_eq!(found.as_ref().map(|password| password.as_str()), expected, "{user}");
        }
    }

    proptest! {
        #[test]
        fn every_password_comes_back(user in "[^\r\n\0#*][^\r\n\0]*", secret in "[^\r\n\0]*") {
            let file = replication_line(&user, &secret);
            let found = password(&file, REPLICATION, &user);
            prop_assert_eq!(found.as_ref().map(|password| password.as_str()), Some(secret.as_str()));
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in ".*") {
            let _ = password(&text, REPLICATION, "gocd");
        }
    }
}
