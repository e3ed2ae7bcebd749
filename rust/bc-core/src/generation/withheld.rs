//! Names under which a primary has something whose bytes it does not offer now.
//!
//! What a manifest does not name was removed on the primary, and a standby removes it too. So a file that is there and
//! cannot be read, or of which nobody can tell whether it is there, is no name that is left out: it is *withheld*, with
//! a reason. A standby keeps what it has under such a name, whatever that is: it neither removes it nor fetches it, and
//! does not say that it is what the primary has.
//!
//! So it is for every reason why a name has no bytes on offer: a file that cannot be read, one that is too large to be
//! carried, one that is still being written. A further one is one more [`Reason`]; a node that does not know it yet
//! keeps its files all the same ([`Reason::Unknown`]).
//!
//! What is withheld is a part of the generation: the id says it, so that nobody can leave it out on the way, and
//! another reason is another generation, of which standbys hear at once. Only how long something has been written for
//! makes no other one: a standby counts that itself. A node of a version that does not know these names takes such a
//! generation for damaged and keeps all that it has.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    io,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Kind, Severity, words},
    generation::name::Name,
};

/// Files that are named at most in one message.
const NAMED: usize = 5;
/// How long a file may be written, in milliseconds, before a person should look whether the rest still comes.
pub(crate) const LONG_MS: i64 = 60_000;
/// The longest code of a reason.
const MAX_CODE: usize = 40;

/// Everything that is withheld.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// By name; none of them is among the files of the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<Name, Reason>,
    /// Why the plugin folder as a whole cannot be listed, where that is so: which jars are there is not known then, so
    /// that each jar that the manifest does not name is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Reason>,
}

impl Withheld {
    /// Whether nothing is withheld: all that is there is offered.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.plugins.is_none()
    }

    /// How many files are withheld; a plugin folder as a whole counts as one.
    pub fn count(&self) -> usize {
        self.files.len() + usize::from(self.plugins.is_some())
    }

    /// Whether a plugin is withheld, so that a list of those that are offered is not one of all.
    pub fn has_plugin(&self) -> bool {
        self.plugins.is_some() || self.files.keys().any(|name| matches!(name, Name::Plugin(_)))
    }

    /// Why nothing is known of a file that the manifest does not name; none where it is known to be gone.
    pub fn reason(&self, name: &Name) -> Option<&Reason> {
        let folder = self.plugins.as_ref().filter(|_| matches!(name, Name::Plugin(_)));
        self.files.get(name).or(folder)
    }

    /// How bad it is that a primary cannot offer what is withheld. Without its configuration, or the key of its
    /// secrets, what a standby holds is of another day than what it would be promoted for.
    pub fn severity(&self) -> Severity {
        let is_needed = |name: &Name| self.reason(name).is_some_and(|reason| !reason.is_passing());
        let needed = [Name::CruiseConfig, Name::CipherAes, Name::CipherDes];
        match needed.iter().any(is_needed) {
            true => Severity::Critical,
            false => Severity::Warning,
        }
    }

    /// The first file that is withheld only since it is being written; none where there is none.
    pub fn being_written(&self) -> Option<String> {
        let mut files = self.files.iter();
        files
            .find(|(_, reason)| reason.is_passing())
            .map(|(name, _)| name.to_string())
    }

    /// The lines that tell people what is withheld, each a sentence part: names, and what is the matter. What ends by
    /// itself in a moment is left out.
    pub fn lines(&self) -> Vec<String> {
        let folder = self
            .plugins
            .iter()
            .map(|reason| ("plugins/external".to_owned(), reason));
        let files = self.files.iter().map(|(name, reason)| (name.to_string(), reason));
        folder
            .chain(files)
            .filter(|(_, reason)| !reason.is_passing())
            .map(|(what, reason)| format!("{what} {reason}"))
            .collect()
    }

    /// What is withheld, without the names for which `is_known` is false.
    #[must_use]
    pub fn of(&self, is_known: impl Fn(&Name) -> bool) -> Self {
        let mut withheld = self.clone();
        withheld.files.retain(|name, _| is_known(name));
        withheld
    }

    /// Takes over from `before` that a file has been written for long: this is the same state, told once more.
    pub(crate) fn goes_on_after(&mut self, before: &Self) {
        for (name, reason) in self.files.iter_mut().filter(|(_, reason)| reason.is_passing()) {
            if before.files.get(name) == Some(&Reason::Unfinished) {
                *reason = Reason::Unfinished;
            }
        }
    }

    /// Writes what is withheld as lines of a manifest's canonical form, with each reason as `code` writes it (see
    /// [`crate::generation::manifest::Manifest::generation`]). Codes and names hold no line ends, so that lines cannot
    /// be forged.
    pub(crate) fn write_canonical(&self, canonical: &mut String, code: impl Fn(&Reason) -> &str) {
        if let Some(reason) = &self.plugins {
            writeln!(canonical, "withheld {} plugins/external/", code(reason)).expect("memory does not fail");
        }
        for (name, reason) in &self.files {
            writeln!(canonical, "withheld {} {name}", code(reason)).expect("memory does not fail");
        }
    }
}

/// What a primary says of what it withholds, where each of `lines` names a file and what is the matter with it.
pub fn primary_warning(lines: &[String]) -> Option<String> {
    Some(format!(
        "{}. The standbys keep what they have under such a name, and nobody can say whether it is the same. Mend it on \
         this server.",
        few(lines)?
    ))
}

/// What a standby says of what its primary withholds, in a warning.
pub(crate) fn standby_warning(lines: &[String]) -> Option<String> {
    Some(format!(
        "on the primary {}. This server keeps what it has under such a name, and nobody can say whether it is the same. \
         Mend it on the primary.",
        few(lines)?
    ))
}

/// Joins a few of the lines on what is withheld, and says how many more there are; none where there are none.
fn few(lines: &[String]) -> Option<String> {
    let mut text = words::one_line(&lines[..lines.len().min(NAMED)])?;
    if let more @ 1.. = lines.len().saturating_sub(NAMED) {
        text.push_str(&format!("; and {more} more"));
    }
    Some(text)
}

/// Why the bytes under a name are not offered. Its `Display` is to be read after the name of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reason {
    /// GoCD's user has no right to it.
    Denied,
    /// It is a link to something that is not there: the disk that it leads to may not be mounted.
    Dangling,
    /// It was there, and the disk that it was on is not mounted any more.
    Unmounted,
    /// Its network file system does not know it any more (`ESTALE`).
    Stale,
    /// Reading or looking at it fails in another way, most likely since its disk fails.
    Failing,
    /// Something else is in its place: a folder, a device, a pipe.
    Irregular,
    /// It has more bytes than are carried of such a file (`Name::largest`).
    TooLarge,
    /// Somebody is writing it, and it is not whole yet.
    BeingWritten,
    /// The same, for so long that somebody should look whether it still comes.
    Unfinished,
    /// A folder that was there is not there any more.
    Missing,
    /// It is a further file in a folder that leads out of the configuration folder: only what lies in there is carried.
    Outside,
    /// The code of a reason that a newer version knows.
    Unknown(String),
}

impl Reason {
    /// All that this version knows.
    const ALL: [Self; 11] = [
        Self::Denied,
        Self::Dangling,
        Self::Unmounted,
        Self::Stale,
        Self::Failing,
        Self::Irregular,
        Self::TooLarge,
        Self::BeingWritten,
        Self::Unfinished,
        Self::Missing,
        Self::Outside,
    ];

    /// The reason for withholding that an error of reading or looking is.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::StaleNetworkFileHandle => Self::Stale,
            io::ErrorKind::FileTooLarge => Self::TooLarge,
            _ => Self::Failing,
        }
    }

    /// The reason for withholding as it is written on the wire.
    pub fn code(&self) -> &str {
        match self {
            Self::Denied => "denied",
            Self::Dangling => "dangling",
            Self::Unmounted => "unmounted",
            Self::Stale => "stale",
            Self::Failing => "failing",
            Self::Irregular => "irregular",
            Self::TooLarge => "too-large",
            Self::BeingWritten => "being-written",
            Self::Unfinished => "unfinished",
            Self::Missing => "missing",
            Self::Outside => "outside",
            Self::Unknown(code) => code,
        }
    }

    /// The reason for withholding as it is written into the id of a generation: that something takes long to be written
    /// changes no file.
    pub(crate) fn code_in_id(&self) -> &str {
        match self {
            Self::Unfinished => Self::BeingWritten.code(),
            other => other.code(),
        }
    }

    /// Whether the reason for withholding ends by itself in a moment, so that nobody has to do anything about it.
    pub(crate) fn is_passing(&self) -> bool {
        *self == Self::BeingWritten
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "cannot be read by the user that runs GoCD",
            Self::Dangling => "is a symbolic link to something that is not there",
            Self::Unmounted => "was on a disk that is not mounted any more",
            Self::Stale => "cannot be read, since its network file system has lost it",
            Self::Failing => "cannot be read, since the operating system reports an error",
            Self::Irregular => "is no regular file",
            Self::TooLarge => "is larger than what is carried of such a file",
            Self::BeingWritten => "is still being written",
            Self::Unfinished => "has been written for more than a minute and is not whole yet",
            Self::Missing => "does not exist any more",
            Self::Outside => "lies in a folder that leads out of the configuration folder",
            Self::Unknown(code) => {
                return write!(
                    f,
                    "is not offered, for a reason that this version does not know ({code})"
                );
            }
        })
    }
}

impl FromStr for Reason {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self, Error> {
        if let Some(known) = Self::ALL.into_iter().find(|known| known.code() == code) {
            return Ok(known);
        }
        let is_of_a_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(is_of_a_code) {
            return Err(Error::new(
                Kind::Protocol,
                "the manifest withholds a file for a reason that is none",
                "Run the same version of the plugin on both servers.",
            ));
        }
        Ok(Self::Unknown(code.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, &'static str> {
        code.parse().map_err(|_: Error| "no reason to withhold a file")
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.code().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_newer_version_is_kept_and_what_is_none_is_refused() {
        for reason in Reason::ALL {
            let text = serde_json::to_string(&reason).expect("a text");
            assert_eq!(serde_json::from_str::<Reason>(&text).expect("as written"), reason);
        }
        let newer: Reason = serde_json::from_str("\"bewitched\"").expect("a code");
        assert_eq!(newer.code(), "bewitched");
        assert!(newer.to_string().ends_with("(bewitched)"), "{newer}");
        for odd in ["", "a b", "a\nb", "Denied", "\u{202e}", &"x".repeat(MAX_CODE + 1)] {
            assert!(odd.parse::<Reason>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_listed_withholds_every_jar_and_nothing_else() {
        let jar = Name::Plugin("a.jar".parse().expect("valid"));
        let mut withheld = Withheld::default();
        assert!(withheld.is_empty());
        assert_eq!(withheld.reason(&jar), None);
        withheld.plugins = Some(Reason::Stale);
        assert!(withheld.has_plugin());
        withheld.files.insert(Name::JettyXml, Reason::Denied);
        let alone = Withheld {
            plugins: None,
            ..withheld.clone()
        };
        assert!(!alone.has_plugin(), "the list of plugins is whole");
        assert_eq!(withheld.reason(&jar), Some(&Reason::Stale));
        assert_eq!(withheld.reason(&Name::JettyXml), Some(&Reason::Denied));
        assert_eq!(withheld.reason(&Name::CruiseConfig), None);
        assert_eq!(withheld.lines().len(), 2);
        withheld.files.insert(jar.clone(), Reason::BeingWritten);
        assert_eq!(withheld.lines().len(), 2, "nobody has to do anything about it");
        assert_eq!(withheld.of(|name| *name != Name::JettyXml).lines().len(), 1);
    }

    #[test]
    fn a_message_names_a_few_and_counts_the_rest() {
        assert_eq!(primary_warning(&[]), None);
        let lines: Vec<String> = (0..200)
            .map(|number| format!("{number}.jar {}", Reason::Denied))
            .collect();
        for warning in [primary_warning(&lines), standby_warning(&lines)] {
            let warning = warning.expect("there are some");
            assert!(warning.contains("; 4.jar cannot be read by the user"), "{warning}");
            assert!(warning.contains("; and 195 more. "), "{warning}");
        }
    }

    #[test]
    fn errors_of_the_operating_system_are_told_apart() {
        #[cfg(unix)]
        for (number, reason) in [
            (nix::errno::Errno::EACCES, Reason::Denied),
            (nix::errno::Errno::EPERM, Reason::Denied),
            (nix::errno::Errno::ESTALE, Reason::Stale),
            (nix::errno::Errno::EIO, Reason::Failing),
        ] {
            assert_eq!(Reason::of(&io::Error::from(number)), reason, "{number}");
        }
        assert_eq!(Reason::of(&io::ErrorKind::FileTooLarge.into()), Reason::TooLarge);
    }

    #[test]
    fn configuration_and_key_weigh_more_than_the_rest() {
        let severity = |name, reason| {
            let mut withheld = Withheld::default();
            withheld.files.insert(name, reason);
            withheld.severity()
        };
        assert_eq!(severity(Name::CruiseConfig, Reason::Denied), Severity::Critical);
        assert_eq!(severity(Name::CipherAes, Reason::Failing), Severity::Critical);
        assert_eq!(severity(Name::JettyXml, Reason::Denied), Severity::Warning);
        assert_eq!(severity(Name::CruiseConfig, Reason::BeingWritten), Severity::Warning);
        let folder = Withheld {
            plugins: Some(Reason::Stale),
            ..Withheld::default()
        };
        assert_eq!(folder.severity(), Severity::Warning);
    }
}
