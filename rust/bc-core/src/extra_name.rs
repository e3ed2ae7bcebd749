//! The name of a further file of the configuration folder that an administrator has asked to sync.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    error::{Error, Kind},
    jar_name,
    layout::{GIVEN_OUT_FILE, PEERS_FILE, START_IN_STANDBY_FILE, TOKEN_FILE},
    spelling,
};

/// Never synced, each for its own reason: every server has its own database, token and peers are copied by the
/// administrator, the flag says which server this is.
const NEVER: [&str; 5] = [
    "db.properties",
    TOKEN_FILE,
    PEERS_FILE,
    GIVEN_OUT_FILE,
    START_IN_STANDBY_FILE,
];

/// Synced anyway, under rules of their own.
const ALWAYS: [&str; 5] = [
    "cruise-config.xml",
    "cipher.aes",
    "cipher",
    "jetty.xml",
    "go.feature.toggles",
];

/// A plain file name in the folder of `cruise-config.xml`, as `bc.sync.extra` lists it. A name from the wire is only
/// compared with those of this node's own setting; the path is built from the setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtraName(String);

impl ExtraName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a list such as `password.properties, logback-include.xml`; none when one of the names is not allowed, or two
    /// are one file where upper and lower case are the same.
    pub fn list(text: &str) -> Option<Vec<Self>> {
        let mut names = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            names.push(name.parse().ok()?);
        }
        names.sort();
        names.dedup();
        let files: BTreeSet<String> = names
            .iter()
            .map(|name: &Self| spelling::folded(name.as_str()))
            .collect();
        (files.len() == names.len()).then_some(names)
    }
}

impl fmt::Display for ExtraName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExtraName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A file system may not tell upper from lower case, or give a file a second name.
        let folded = spelling::folded(text);
        let is_one_of = |names: &[&str]| names.iter().any(|name| folded == *name);
        let objection = if is_one_of(&NEVER) {
            Some("is never synced")
        } else if is_one_of(&ALWAYS) {
            Some("is synced without being named")
        } else if text.is_empty() {
            Some("is empty")
        } else if spelling::is_short_form(text) {
            Some("could be the short name of another file on Windows")
        } else {
            jar_name::objection_to_plain_name(text)
        };
        match objection {
            None => Ok(Self(text.to_owned())),
            Some(objection) => Err(Error::new(
                Kind::Protocol,
                format!(
                    "the file name {:?} {objection}",
                    text.chars().take(80).collect::<String>()
                ),
                "Name plain files of the configuration folder in bc.sync.extra.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_plain_names() {
        let names = ExtraName::list(" password.properties,logback-include.xml, password.properties ,").expect("valid");
        let names: Vec<_> = names.iter().map(ExtraName::as_str).collect();
        assert_eq!(names, ["logback-include.xml", "password.properties"]);
    }

    #[test]
    fn what_is_the_nodes_own_or_outside_of_the_folder_is_refused() {
        for name in [
            "db.properties",
            "DB.properties",
            "business-continuity-token",
            "business-continuity-peers",
            "business-continuity-given-out",
            "start.in.standby",
            "cipher.aes",
            "cruise-config.xml",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".hidden",
            "",
            "a\nb",
            "NUL",
            "x.\u{202E}txt",
            "cipher.ae\u{17f}",
            "db.properties.",
            "DB~1.PRO",
            "busine~1",
        ] {
            assert!(name.parse::<ExtraName>().is_err(), "{name:?}");
        }
        assert_eq!(ExtraName::list("password.properties,../x"), None);
        assert_eq!(ExtraName::list("password.properties,Password.properties"), None);
    }
}
