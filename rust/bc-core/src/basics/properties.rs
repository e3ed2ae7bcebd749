//! Java `.properties` text, as GoCD and the JVM write it.
//!
//! The JVM hands us its system properties in this form, and the token file is one
//! (GoCD read it with `java.util.Properties`). Latin-1 with `\uXXXX` escapes, `=` or `:` or a blank
//! between key and value, `#` and `!` comments, continuation lines.

use std::{collections::BTreeMap, ops::Range};

use crate::basics::error::{Error, Kind};

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

    /// The value of the property `key` among these, as it stands.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets the property `key` among these.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// The keys of all properties, sorted.
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

/// All pairs of a properties text in their order, equal keys included: the grammar of
/// `java.util.Properties.load(InputStream)`.
///
/// # Errors
/// As [`Properties::parse`].
pub fn pairs(text: &[u8], origin: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs = placed_pairs(text, origin)?.into_iter();
    Ok(pairs.map(|(pair, _)| pair).collect())
}

/// A pair of a properties text, and the bytes that say it.
type Placed = ((String, String), Range<usize>);

/// All pairs of a properties text as [`pairs`], each with the bytes that say it: from its first character to the end of
/// its last line, without that line's end.
pub(crate) fn placed_pairs(text: &[u8], origin: &str) -> Result<Vec<Placed>, Error> {
    let mut found = Vec::new();
    let mut lines = Lines { text, at: 0 };
    while let Some((start, line)) = lines.next_logical() {
        let pair = split(&line).ok_or_else(|| {
            Error::new(
                Kind::Setting,
                format!(
                    "{origin}, line {}, is not a Java properties text",
                    number_of_line(text, start)
                ),
                "A backslash and a u begin an escape of four hex digits there; write two backslashes for one.",
            )
        })?;
        let ends = text[start..lines.at]
            .iter()
            .rev()
            .take_while(|byte| is_end(char::from(**byte)));
        found.push((pair, start..lines.at - ends.count()));
    }
    Ok(found)
}

/// Puts logical lines together as `java.util.Properties.LineReader` does, in its corners too: a backslash alone on
/// the last line is an empty pair, an empty line ends a continued one, and a comment may follow a continued line of
/// which nothing came yet.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    /// The next line of a properties text that is no comment, continuations joined, and where it starts.
    fn next_logical(&mut self) -> Option<(usize, Vec<char>)> {
        let mut line = Vec::new();
        let mut start = self.at;
        let (mut skips_blanks, mut is_continued, mut is_escaped) = (true, false, false);
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            // Latin-1: every byte is the character of its number.
            let c = char::from(byte);
            if skips_blanks {
                if is_blank(c) || (is_end(c) && !is_continued) {
                    continue;
                }
                (skips_blanks, is_continued) = (false, false);
            }
            if !is_end(c) {
                if line.is_empty() {
                    start = self.at - 1;
                    if matches!(c, '#' | '!') {
                        self.skip_comment();
                        skips_blanks = true;
                        continue;
                    }
                }
                line.push(c);
                is_escaped = c == '\\' && !is_escaped;
            } else if line.is_empty() {
                skips_blanks = true;
            } else if !is_escaped {
                return Some((start, line));
            } else {
                line.pop();
                if c == '\r' && self.text.get(self.at) == Some(&b'\n') {
                    self.at += 1;
                } else if self.at == self.text.len() {
                    return Some((start, line));
                }
                (skips_blanks, is_continued, is_escaped) = (true, true, false);
            }
        }
        if line.is_empty() {
            return None;
        }
        if is_escaped {
            line.pop();
        }
        Some((start, line))
    }

    /// Skips a comment of a properties text.
    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|byte| is_end(char::from(*byte)));
        self.at += length.map_or(rest.len(), |length| length + 1);
    }
}

/// The number that an editor shows for the line of a properties text.
fn number_of_line(text: &[u8], at: usize) -> usize {
    let before = &text[..at];
    let is_end = |(index, byte): (usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => text.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    1 + before.iter().enumerate().filter(|line| is_end(*line)).count()
}

/// Whether a line of a properties text ends here.
fn is_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// A line of a properties text without the blanks before it.
fn without_leading_blanks(line: &[char]) -> &[char] {
    let start = line.iter().position(|c| !is_blank(*c)).unwrap_or(line.len());
    &line[start..]
}

/// Whether a character is a blank in a properties text.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Splits a logical line of a properties text into key and value; none for a malformed escape.
fn split(line: &[char]) -> Option<(String, String)> {
    let mut end = 0;
    while end < line.len() && !is_blank(line[end]) && !matches!(line[end], '=' | ':') {
        end += if line[end] == '\\' { 2 } else { 1 };
    }
    let end = end.min(line.len());
    let mut value = without_leading_blanks(&line[end..]);
    if matches!(value.first(), Some('=' | ':')) {
        value = without_leading_blanks(&value[1..]);
    }
    Some((unescaped(&line[..end])?, unescaped(value)?))
}

/// Resolves the escapes of a properties text, two for a character beyond the first plane: Java's strings are UTF-16.
/// Half of one is replaced.
fn unescaped(text: &[char]) -> Option<String> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&c) = rest.next() {
        let c = if c == '\\' {
            *rest.next().unwrap_or(&'\0')
        } else {
            units.push(c as u16);
            continue;
        };
        units.push(match c {
            'u' => {
                let digits: String = rest.by_ref().take(4).collect();
                let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u16::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?
            }
            't' => u16::from(b'\t'),
            'n' => u16::from(b'\n'),
            'r' => u16::from(b'\r'),
            'f' => 0x0c,
            other => other as u16,
        });
    }
    Some(String::from_utf16_lossy(&units))
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

/// A value as people write it, which reads back as the same one: escaped is only what has to be.
pub(crate) fn plain_value(value: &str) -> String {
    let mut text = String::new();
    escape(value, false, &mut text);
    // These separate and begin something only before a value.
    ["#", "!", "=", ":"]
        .iter()
        .fold(text, |text, sign| text.replace(&format!("\\{sign}"), sign))
}

/// Writes a key or value of a properties text with its escapes.
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
    fn a_plain_value_is_read_back_and_stays_readable() {
        let url = "jdbc:postgresql://h:5432/db?ssl=true#x!";
        assert_eq!(plain_value(url), url);
        for value in [url, " a", "\\:", "\\\\", "=x", "ü\n", "a\\"] {
            let text = format!("key={}\nnext=1", plain_value(value));
            let read = Properties::parse(text.as_bytes(), "test").unwrap();
            assert_eq!((read.get("key"), read.get("next")), (Some(value), Some("1")), "{text}");
        }
    }

    #[test]
    fn each_pair_has_its_place() {
        let text = b"# c\n  a = 1\r\nb=x\\\n  y\n\nc";
        let placed = placed_pairs(text, "test").unwrap();
        let said: Vec<&[u8]> = placed.into_iter().map(|(_, place)| &text[place]).collect();
        assert_eq!(said, [&b"a = 1"[..], b"b=x\\\n  y", b"c"]);
    }

    #[test]
    fn lines_as_java_reads_them() {
        let text =
            b"# comment\n! another\n\n  a  =  1  \nb:2\nc 3\nd\ne=x\\\n   y\\\r\n z\nf\\ g\\=h = \\t\\\\\nlast=end\\";
        let expected = [
            ("a", "1  "),
            ("b", "2"),
            ("c", "3"),
            ("d", ""),
            ("e", "xyz"),
            ("f g=h", "\t\\"),
            ("last", "end"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(pairs(text, "test").unwrap(), expected);
        // An empty line ends a continued one.
        let two = pairs(b"a=1\\\n\nb=2", "test").unwrap();
        assert_eq!(two.len(), 2, "{two:?}");
        let error = pairs(b"a=1\r\n# b\r\nc=\\u12", "test").expect_err("malformed");
        assert!(error.message().contains("line 3"), "{error}");
        for malformed in ["a=\\u12", "a=\\u12G4", "\\u+123=1"] {
            assert!(pairs(malformed.as_bytes(), "test").is_err(), "{malformed}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let properties = Properties::from_iter([("db.password", "geheim")]);
        assert!(!format!("{properties:?}").contains("geheim"));
    }
}
