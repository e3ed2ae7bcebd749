//! Java `.properties` text, as GoCD and the JVM write it.
//!
//! The JVM hands us its system properties in this form, and the token file is one
//! (GoCD read it with `java.util.Properties`). Latin-1 with `\uXXXX` escapes, `=` or `:` or a blank
//! between key and value, `#` and `!` comments, continuation lines.

use std::collections::BTreeMap;

use java_properties::{LineContent, PropertiesIter};

use crate::error::{Error, Kind};

/// Keys and values of a properties text; the last of equal keys wins, as in Java.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Parses a properties text.
    ///
    /// # Errors
    /// [`Kind::Setting`] for a malformed `\u` escape; `origin` names the text in the message.
    pub fn parse(text: &[u8], origin: &str) -> Result<Self, Error> {
        Ok(Self(pairs(text, origin)?.into_iter().collect()))
    }

    /// The value of `key`, as it stands.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets `key`.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// Keys alone: system properties hold passwords.
impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// All pairs of a properties text in their order, equal keys included.
///
/// # Errors
/// As [`Properties::parse`].
pub fn pairs(text: &[u8], origin: &str) -> Result<Vec<(String, String)>, Error> {
    let malformed = |line: Option<usize>| {
        let place = line.map(|number| format!(", line {number}")).unwrap_or_default();
        Error::new(
            Kind::Setting,
            format!("{origin}{place} is not a Java properties text"),
            "A backslash begins an escape there; write two of them for one.",
        )
    };
    let mut found = Vec::new();
    for line in PropertiesIter::new(text) {
        let line = line.map_err(|error| malformed(error.line_number()))?;
        if let LineContent::KVPair(key, value) = line.consume_content() {
            found.push((key, value));
        }
    }
    Ok(found)
}

/// Text that [`Properties::parse`] and `java.util.Properties.load` read back as the same pairs.
pub fn to_text<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        escape(key, true, &mut text);
        text.push('=');
        escape(value, false, &mut text);
        text.push('\n');
    }
    text
}

fn escape(part: &str, is_key: bool, text: &mut String) {
    for (index, character) in part.chars().enumerate() {
        match character {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' | '#' | '!' | '=' | ':' => text.extend(['\\', character]),
            ' ' if is_key || index == 0 => text.push_str("\\ "),
            ' '..='~' => text.push(character),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_jvm_stores() {
        let text = b"#Mon Nov 23 00:00:00 UTC 2026\nuser.dir=/var/lib/go-server\nbc.primary.url=https\\://primarygo\\:8155\npath.separator=\\:\nempty=\n";
        let properties = Properties::parse(text, "settings").unwrap();
        assert_eq!(properties.get("bc.primary.url"), Some("https://primarygo:8155"));
        assert_eq!(properties.get("path.separator"), Some(":"));
        assert_eq!(properties.get("empty"), Some(""));
    }

    #[test]
    fn text_is_read_back() {
        let pairs = [("a b", " x=y:z\\ "), ("#k", "ü\n😀"), ("plain", "")];
        let read = Properties::parse(to_text(pairs).as_bytes(), "test").unwrap();
        for (key, value) in pairs {
            assert_eq!(read.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let properties = Properties::from_iter([("db.password", "geheim")]);
        assert!(!format!("{properties:?}").contains("geheim"));
    }
}
