//! The file name of a plugin jar that is safe to create in `plugins/external`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::basics::{Error, Kind, characters::is_deceptive};

/// A plain file name ending in `.jar`: no separator, no control, bidirectional or invisible character, no leading dot,
/// 255 bytes at most, no name that Windows reserves. The only text from the wire that becomes part of a path,
/// and only through this check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JarName(String);

impl JarName {
    /// The name of the jar as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JarName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match objection(text) {
            None => Ok(Self(text.to_owned())),
            Some(objection) => Err(Error::new(
                Kind::Protocol,
                format!(
                    "the plugin name {:?} {objection}",
                    text.chars().take(80).collect::<String>()
                ),
                "Rename the jar in plugins/external on the primary.",
            )),
        }
    }
}

/// What makes a text unfit to be the name of a jar.
fn objection(text: &str) -> Option<&'static str> {
    // GoCD itself reads only *.jar (DefaultPluginJarLocationMonitor).
    let is_jar = text.ends_with(".jar");
    (!is_jar)
        .then_some("does not end in .jar")
        .or_else(|| objection_to_plain_name(text))
}

/// What makes a text unfit to be the name of a file in a folder that we write into.
pub(crate) fn objection_to_plain_name(text: &str) -> Option<&'static str> {
    if text.len() > 255 {
        Some("is longer than 255 bytes")
    } else if text.starts_with('.') {
        Some("begins with a dot")
    } else if text.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']) {
        Some("holds a character that no plain file name has")
    } else if text.contains(is_deceptive) {
        Some("holds a control character")
    } else if text.ends_with(['.', ' ']) {
        Some("ends with a dot or a blank, which Windows leaves out")
    } else if is_reserved_on_windows(text) {
        Some("is reserved on Windows")
    } else {
        None
    }
}

/// Whether Windows takes a file name for a device, whatever follows the first dot. The superscript digits count as
/// digits there.
fn is_reserved_on_windows(text: &str) -> bool {
    let stem = text
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut digits = number.unwrap_or_default().chars();
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³');
    digits.next().is_some_and(is_digit) && digits.next().is_none()
}

impl Serialize for JarName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for JarName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_plugins_pass() {
        for name in [
            "gocd-file-based-authentication-plugin-2.1.2.jar",
            "my plugin 100%.jar",
            "größe.jar",
        ] {
            assert_eq!(name.parse::<JarName>().expect("valid").as_str(), name);
        }
    }

    #[test]
    fn names_that_leave_the_folder_or_deceive_are_refused() {
        let long = format!("{}.jar", "a".repeat(300));
        for name in [
            "../x.jar",
            "/x.jar",
            "a\\b.jar",
            ".x.jar",
            "x.zip",
            "",
            ".jar",
            "a\0.jar",
            "a\n.jar",
            "CON.jar",
            "lpt1.x.jar",
            "C:x.jar",
            "a\u{202E}raj.jar",
            &long,
        ] {
            assert!(name.parse::<JarName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_windows_leaves_out_is_no_end_of_a_name() {
        for name in ["db.properties.", "db.properties ", "x.", " "] {
            assert!(objection_to_plain_name(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn devices_of_windows_are_refused_and_what_only_resembles_them_is_not() {
        for name in [
            "CON.jar",
            "con.jar",
            "NUL.jar",
            "nul .jar",
            "aux.tar.jar",
            "prn.jar",
            "COM1.jar",
            "com9.x.jar",
            "COM0.jar",
            "LPT\u{b9}.jar",
            "com\u{b3}.jar",
            "CONIN$.jar",
            "conout$.jar",
            "NUL",
            "x.jar:stream.jar",
            "x.jar ",
            "x.jar.",
        ] {
            assert!(name.parse::<JarName>().is_err(), "{name:?}");
        }
        for name in [
            "console.jar",
            "nullable.jar",
            "com.jar",
            "com10.jar",
            "lpt-1.jar",
            "x.con.jar",
        ] {
            name.parse::<JarName>().expect(name);
        }
    }
}
