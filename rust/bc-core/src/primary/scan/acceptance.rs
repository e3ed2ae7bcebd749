//! Whether GoCD has taken a cruise-config.xml as its own.
//!
//! GoCD writes what it accepts as the plain file `cruise-config.xml` into the working copy of its configuration
//! repository (`ConfigRepository`), on some paths before the live file and on some after it. An edit by hand is not
//! there until GoCD has read and accepted it. GoCD's merges check out other branches there for a moment, so a text that
//! was seen there once stays accepted, over a restart as well ([`crate::primary::offer`] writes it down).

use std::{fs, io, path::PathBuf};

use crate::{
    basics::{Digest, regular_file},
    files::Stamp,
    generation::{Acceptance, Name},
};

/// The configuration that GoCD accepted last, as its working copy and a former run of this node have it.
#[derive(Debug)]
pub(super) struct AcceptedConfig {
    working_copy: PathBuf,
    accepted: Option<Digest>,
    /// A configuration, and the working copy that is known to differ from it.
    differing: Option<(Digest, Stamp)>,
}

impl AcceptedConfig {
    /// The configuration that GoCD has accepted, by its working copy; `accepted` is that of before a restart.
    pub(super) fn new(working_copy: PathBuf, accepted: Option<Digest>) -> Self {
        Self {
            working_copy,
            accepted,
            differing: None,
        }
    }

    /// Whether GoCD has accepted the configuration with these bytes; unknown where the working copy cannot be read.
    pub(super) fn acceptance_of(&mut self, digest: &Digest, config: &[u8], now_ms: i64) -> Acceptance {
        if self.accepted.as_ref() == Some(digest) {
            return Acceptance::Accepted;
        }
        match self.is_in_working_copy(digest, config, now_ms) {
            Ok(true) => {
                self.accepted = Some(*digest);
                Acceptance::Accepted
            }
            Ok(false) => Acceptance::Pending,
            Err(_) => Acceptance::Unknown,
        }
    }

    /// Whether the working copy of GoCD's configuration repository has these bytes as the configuration.
    fn is_in_working_copy(&mut self, digest: &Digest, config: &[u8], now_ms: i64) -> io::Result<bool> {
        let stamp = Stamp::of(&fs::metadata(&self.working_copy)?);
        if self.differing == Some((*digest, stamp)) {
            return Ok(false);
        }
        let accepted = regular_file::read(&self.working_copy, Name::CruiseConfig.largest())?;
        let is_equal = is_equal_but_for_line_ends(config, &accepted);
        self.differing = (!is_equal && stamp.is_settled(now_ms)).then_some((*digest, stamp));
        Ok(is_equal)
    }
}

/// Whether two configurations are equal but for the ends of their lines, which git may change.
fn is_equal_but_for_line_ends(one: &[u8], other: &[u8]) -> bool {
    one == other || lines(one).eq(lines(other))
}

/// The bytes of a configuration without the carriage returns before line feeds.
fn lines(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter()
        .enumerate()
        .filter(|(at, byte)| !(**byte == b'\r' && text.get(at + 1) == Some(&b'\n')))
        .map(|(_, byte)| *byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 4_000_000_000_000;

    #[test]
    fn follows_the_working_copy_and_is_sticky() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cruise-config.xml");
        let mut accepted = AcceptedConfig::new(path.clone(), None);
        let mut acceptance = |config: &[u8]| accepted.acceptance_of(&Digest::of(config), config, NOW_MS);
        assert_eq!(acceptance(b"<cruise>\n</cruise>"), Acceptance::Unknown);
        fs::write(&path, b"<old/>").expect("write");
        assert_eq!(acceptance(b"<cruise>\n</cruise>"), Acceptance::Pending);
        assert_eq!(acceptance(b"<cruise>\n</cruise>"), Acceptance::Pending);
        fs::write(&path, b"<cruise>\r\n</cruise>").expect("write");
        assert_eq!(acceptance(b"<cruise>\n</cruise>"), Acceptance::Accepted);
        fs::write(&path, b"<a merge passes through/>").expect("write");
        assert_eq!(acceptance(b"<cruise>\n</cruise>"), Acceptance::Accepted);
        assert_eq!(acceptance(b"<edited by hand/>"), Acceptance::Pending);
        let text = b"<cruise>\n</cruise>";
        let mut restarted = AcceptedConfig::new(path, Some(Digest::of(text)));
        assert_eq!(
            restarted.acceptance_of(&Digest::of(text), text, NOW_MS),
            Acceptance::Accepted
        );
    }

    #[test]
    fn only_line_ends_are_ignored() {
        assert!(is_equal_but_for_line_ends(b"a\r\nb", b"a\nb"));
        assert!(!is_equal_but_for_line_ends(b"a\rb", b"ab"));
        assert!(!is_equal_but_for_line_ends(b"a\nb", b"a\nb\n"));
    }
}
