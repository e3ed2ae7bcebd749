//! Connection strings of libpq, `host=primarydb port=5432 user=gocd_replication`, and the one that a standby follows its
//! primary by.
//!
//! A value in single quotes has `\'` and `\\` for a quote and a backslash in it. In a file of PostgreSQL's settings the
//! whole string is quoted once more, by the rules of [`super::setting_file`].

use std::fmt::Write;

use super::url::{Server, TlsMode};

/// Keywords and values in the order in which they are written.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Conninfo(Vec<(String, String)>);

impl Conninfo {
    /// Reads a connection string as libpq does.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence part without its values.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            return Err("is a URI, which Business Continuity does not read");
        }
        let mut pairs = Self::default();
        let mut rest = text.trim_start_matches(is_space);
        while !rest.is_empty() {
            let (keyword, behind) = rest.split_once('=').ok_or("has a keyword without `=`")?;
            let keyword = keyword.trim_end_matches(is_space);
            if keyword.is_empty() || keyword.contains(is_space) {
                return Err("has a keyword without `=`");
            }
            let (value, behind) = value(behind.trim_start_matches(is_space))?;
            pairs.set(keyword, &value);
            rest = behind.trim_start_matches(is_space);
        }
        Ok(pairs)
    }

    /// Sets a keyword of a connection string, in the place of what it had.
    pub fn set(&mut self, keyword: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == keyword) {
            Some((_, present)) => value.clone_into(present),
            None => self.0.push((keyword.to_owned(), value.to_owned())),
        }
    }

    /// The connection string with a keyword more.
    pub fn with(mut self, keyword: &str, value: &str) -> Self {
        self.set(keyword, value);
        self
    }

    /// Takes a keyword out of a connection string, and returns the value that it had.
    pub fn take(&mut self, keyword: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == keyword)?;
        Some(self.0.remove(at).1)
    }

    /// The value of a keyword of a connection string.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == keyword);
        found.map(|(_, value)| value.as_str())
    }

    /// The connection string itself. A password in it is in there as it is: write ours without one.
    pub fn text(&self) -> String {
        let pairs = self
            .0
            .iter()
            .map(|(keyword, value)| format!("{keyword}={}", quoted(value)));
        pairs.collect::<Vec<_>>().join(" ")
    }
}

/// Without the password.
impl std::fmt::Display for Conninfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (keyword, value)) in self.0.iter().enumerate() {
            let value = if keyword == "password" || keyword == "sslpassword" {
                "********"
            } else {
                value
            };
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{keyword}={}", quoted(value))?;
        }
        Ok(())
    }
}

/// Without the password.
impl std::fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conninfo({self})")
    }
}

/// As whom a standby follows which primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where the primary is.
    pub primary: Server,
    /// The role with the attribute REPLICATION.
    pub user: String,
    /// The file with its password, as the standby's server sees it.
    pub passfile: String,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// The certificates that the primary's is checked against, as the standby's server sees that file.
    pub root_certificates: Option<String>,
    /// What the primary calls this standby; without it, it would be `15/main` on every host of Debian.
    pub application: String,
}

impl Upstream {
    /// The connection string for `primary_conninfo`, for PostgreSQL 11 and newer: only keywords that each of them knows.
    /// `pg_basebackup -R` of a newer version writes others, and the standby then never streams.
    pub fn conninfo(&self) -> Conninfo {
        let conninfo = Conninfo::default()
            .with("host", &self.primary.host)
            .with("port", &self.primary.port.to_string())
            .with("user", &self.user)
            .with("passfile", &self.passfile)
            .with("sslmode", keyword(self.tls));
        let conninfo = match &self.root_certificates {
            Some(file) => conninfo.with("sslrootcert", file),
            None => conninfo,
        };
        conninfo.with("application_name", &self.application)
    }
}

/// What a standby on `host` is called by its primary: `gocd_bc_` and the name, of letters, digits and `_` alone.
pub fn application_name(host: &str) -> String {
    let mut name = "gocd_bc_".to_owned();
    for character in host.chars().take(50) {
        let plain = character.is_ascii_alphanumeric();
        let _ = name.write_char(if plain { character.to_ascii_lowercase() } else { '_' });
    }
    name
}

/// What libpq calls a mode of TLS.
pub fn keyword(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Allow => "allow",
        TlsMode::Prefer => "prefer",
        TlsMode::Require => "require",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    }
}

/// Blanks of C's `isspace`.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

fn quoted(value: &str) -> String {
    if !value.is_empty() && !value.contains(|c: char| is_space(c) || matches!(c, '\'' | '\\')) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// One value, and what stands behind it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let (text, is_quoted) = match text.strip_prefix('\'') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            blank if !is_quoted && is_space(blank) => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if is_quoted {
        Err("has a quote that is not closed")
    } else {
        Ok((value, ""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::database::setting_file;

    fn upstream() -> Upstream {
        Upstream {
            primary: Server {
                host: "primarydb".to_owned(),
                port: 5432,
            },
            user: "gocd_replication".to_owned(),
            passfile: "/var/lib/postgresql/.gocd-bc.pgpass".to_owned(),
            tls: TlsMode::VerifyFull,
            root_certificates: Some("/etc/ssl/o'brien's root.crt".to_owned()),
            application: application_name("Standby-DB.example"),
        }
    }

    #[test]
    fn ours_has_what_each_version_knows_and_no_password() {
        assert_eq!(
            upstream().conninfo().text(),
            "host=primarydb port=5432 user=gocd_replication passfile=/var/lib/postgresql/.gocd-bc.pgpass \
             sslmode=verify-full sslrootcert='/etc/ssl/o\\'brien\\'s root.crt' application_name=gocd_bc_standby_db_example"
        );
        let line = setting_file::line("primary_conninfo", &upstream().conninfo().text());
        assert!(
            line.contains(r"sslrootcert=''/etc/ssl/o\\''brien\\''s root.crt''"),
            "{line}"
        );
    }

    #[test]
    fn what_libpq_refuses_is_refused() {
        for text in ["host", "host =", "a b=c", "host='x", "=x", "postgresql://h/db"] {
            let answer = Conninfo::parse(text);
            assert_eq!(answer.is_err(), text != "host =", "{text}");
        }
        let spaced = Conninfo::parse(" host = a\tport= 5 password='it\\'s' x=\\'y ").expect("libpq takes it");
        assert_eq!(
            ["host", "port", "password", "x", "none"].map(|keyword| spaced.get(keyword)),
            [Some("a"), Some("5"), Some("it's"), Some("'y"), None]
        );
        assert!(!format!("{spaced} {spaced:?}").contains("it"), "{spaced:?}");
    }

    proptest! {
        #[test]
        fn every_value_comes_back_through_both_quotings(values in proptest::collection::vec("[^\0]*", 0..6)) {
            let mut conninfo = Conninfo::default();
            for (index, value) in values.iter().enumerate() {
                conninfo.set(&format!("keyword{index}"), value);
            }
            let line = setting_file::line("primary_conninfo", &conninfo.text());
            let (_, text) = setting_file::read_line(&line).expect("a line");
            prop_assert_eq!(Conninfo::parse(&text), Ok(conninfo));
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in ".*") {
            if let Ok(conninfo) = Conninfo::parse(&text) {
                prop_assert_eq!(Conninfo::parse(&conninfo.text()), Ok(conninfo));
            }
        }
    }
}
