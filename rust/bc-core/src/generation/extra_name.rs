//! The name of a further file of the configuration folder that an administrator has asked to sync.

use std::{collections::BTreeSet, fmt, path::PathBuf, str::FromStr};

use crate::{
    basics::{Error, Kind, spelling},
    generation::{
        jar_name,
        own_files::{GIVEN_OUT_FILE, PEERS_FILE, START_IN_STANDBY_FILE, TOKEN_FILE},
    },
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

/// Folders of a name at most.
const MAX_FOLDERS: usize = 8;
/// The longest name with its folders, in bytes.
const MAX_LENGTH: usize = 512;

/// A file in the folder of `cruise-config.xml` or in a folder below it, as `bc.sync.extra` lists it: plain names with
/// `/` between them. A name from the wire is only compared with those of this node's own setting; the path is built
/// from the setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtraName(String);

impl ExtraName {
    /// The name of a further file as text, with `/` between folders whatever the system.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a further file below the folder of `cruise-config.xml`.
    pub fn path(&self) -> PathBuf {
        self.0.split('/').collect()
    }

    /// Whether a further file lies in a folder of its own.
    pub(crate) fn has_folder(&self) -> bool {
        self.0.contains('/')
    }

    /// Reads a list of further files such as `password.properties, ldap/ca.pem`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence part that quotes nothing of it: another separator than commas, a name that
    /// is not allowed, two that are one file where upper and lower case are the same, or a file that is the folder of
    /// another.
    pub fn list(text: &str) -> Result<Vec<Self>, &'static str> {
        let mut names = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            // Such a file may exist, but a list that is separated otherwise than we do is likelier.
            if name.contains([';', ' ', '\t', '\n', '\r']) {
                return Err("commas separate the files, and neither `;` nor blanks do");
            }
            names.push(name.parse::<Self>().map_err(|_| "one of the names is not allowed")?);
        }
        names.sort();
        names.dedup();
        let mut files = BTreeSet::new();
        if !names.iter().all(|name| files.insert(spelling::folded(name.as_str()))) {
            return Err("two of the names are one file on disks that do not tell upper from lower case");
        }
        let is_folder = |file: &String| file.match_indices('/').any(|(end, _)| files.contains(&file[..end]));
        if files.iter().any(is_folder) {
            return Err("one of the files is the folder of another one");
        }
        Ok(names)
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
        let mut parts: Vec<&str> = text.split('/').collect();
        let file = parts.pop().unwrap_or_default();
        // A file system may not tell upper from lower case, or give a file a second name.
        let is_one_of = |names: &[&str]| names.contains(&spelling::folded(file).as_str());
        let objection = if is_one_of(&NEVER) {
            Some("is never synced")
        } else if parts.is_empty() && is_one_of(&ALWAYS) {
            Some("is synced without being named")
        } else if text.len() > MAX_LENGTH || parts.len() > MAX_FOLDERS {
            Some("lies in too many folders")
        } else if spelling::folded(text).starts_with("plugins/") {
            Some("lies in the folder of the plugins")
        } else {
            parts.into_iter().chain([file]).find_map(objection_to_part)
        };
        match objection {
            None => Ok(Self(text.to_owned())),
            Some(objection) => Err(Error::new(
                Kind::Protocol,
                format!(
                    "the file name {:?} {objection}",
                    text.chars().take(80).collect::<String>()
                ),
                "Name files of the configuration folder in bc.sync.extra, separated by commas.",
            )),
        }
    }
}

/// What makes a text unfit to be one part of the name of a further file.
fn objection_to_part(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        Some("is empty, or has an empty folder")
    } else if spelling::is_short_form(part) {
        Some("could be the short name of another file on Windows")
    } else {
        jar_name::objection_to_plain_name(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_plain_names() {
        let text = " password.properties,logback-include.xml, ldap/ca.pem,password.properties ,";
        let names = ExtraName::list(text).expect("valid");
        let texts: Vec<_> = names.iter().map(ExtraName::as_str).collect();
        assert_eq!(texts, ["ldap/ca.pem", "logback-include.xml", "password.properties"]);
        assert_eq!(names[0].path(), PathBuf::from("ldap").join("ca.pem"));
        assert!(names[0].has_folder() && !names[1].has_folder());
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
            "a\\b",
            "a/",
            "/a",
            "a//b",
            "a/./b",
            "ldap/../../passwd",
            "ldap/.hidden",
            ".hidden/ca.pem",
            "ldap/NUL",
            "con/ca.pem",
            "ldap /ca.pem",
            "ld\u{202E}ap/ca.pem",
            "LDAP~1/ca.pem",
            "plugins/external/a.jar",
            "Plugins/x",
            "ldap/db.properties",
            "a/b/c/d/e/f/g/h/i/j",
            &"abcdefgh/".repeat(60),
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
        ExtraName::list("password.properties,../x").expect_err("outside");
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        for (list, expected) in [
            ("password.properties;ldap/ca.pem", "neither `;` nor blanks"),
            ("password.properties ldap/ca.pem", "neither `;` nor blanks"),
            ("password.properties\nldap/ca.pem", "neither `;` nor blanks"),
            ("ldap/ca.pem,LDAP/CA.pem", "one file on disks"),
            ("password.properties,Password.properties", "one file on disks"),
            ("ldap,ldap/ca.pem", "the folder of another"),
            ("a/b/c/d,A/B", "the folder of another"),
            ("ldap/../../passwd", "not allowed"),
        ] {
            let said = ExtraName::list(list).expect_err(list);
            assert!(said.contains(expected), "{list}: {said}");
        }
        assert_eq!(
            ExtraName::list("ldap/a.pem,ldap/b.pem,ldap.pem").map(|names| names.len()),
            Ok(3)
        );
    }
}
