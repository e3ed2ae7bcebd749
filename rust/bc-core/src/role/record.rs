//! The file `role` in the state folder: what a node is, under which flag, since when, and whom it followed.
//!
//! A Java properties text, since the Java agent reads `flag` and `hold` too, for the case that our library cannot be
//! loaded:
//!
//! | key | value |
//! |---|---|
//! | `role` | `primary`, `standby` or `fenced` |
//! | `flag` | what asked for a standby then: `none`, `property` or `file` |
//! | `hold` | for the agent alone: `no` where GoCD may run without our library, else `yes`, also on a primary that hands over; earlier files lack it |
//! | `decided` | when that was decided, milliseconds since 1970; files of the first version lack it |
//! | `promoted` | on a primary that was a standby: when it was promoted |
//! | `epochs` | this node's own epoch and the highest that it ever saw, for the case that the ledger is damaged ([`super::memory`]) |
//! | `primary.url` | on a standby: the primary that it follows |
//! | `primary.fingerprint`, `primary.ca` | how that one was to be proven, where the peers file did not say so |
//!
//! The last ones are settings, and settings go when somebody replaces the JVM's options; what a standby must know to
//! ask its primary once more is therefore here. Unknown keys are ignored; a known one that is not understood makes the
//! whole record one that is not. Only epochs that are not whole are none: the ledger has them as well.

use std::path::Path;

use super::{memory::KeptEpochs, source::Source};
use crate::{
    basics::{Error, Kind, Properties, properties, regular_file},
    durable::atomic,
    generation::Role,
    settings::{CertificateAuthority, Flag, Mistake, Settings},
};

/// The name of the file in the state folder.
pub const FILE: &str = "role";
/// The key that makes a record one of [`super::signpost`]; its value is the path of the state folder.
pub(super) const ELSEWHERE: &str = "elsewhere";

/// A role and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The role.
    pub role: Role,
    /// What asked for a standby at that time.
    pub flag: Flag,
    /// When it was decided, milliseconds since 1970 by this node's clock; unknown in files of the first version.
    pub decided_ms: Option<i64>,
    /// On a primary that was a standby: when it was promoted.
    pub promoted_ms: Option<i64>,
    /// On a standby: the primary that it follows.
    pub source: Option<Source>,
    /// What the ledger said of epochs then; none in files of the version before.
    pub epochs: Option<KeptEpochs>,
    /// On a primary: whether it hands over, so that GoCD must not run without our library either.
    pub hands_over: bool,
}

impl Recorded {
    /// The record of a role that is decided now, at `now_ms`.
    pub fn new(role: Role, flag: Flag, now_ms: i64) -> Self {
        Self {
            role,
            flag,
            decided_ms: Some(now_ms),
            promoted_ms: None,
            source: None,
            epochs: None,
            hands_over: false,
        }
    }

    /// The record of the role to be written after this one, once `role` is decided under `flag`. Where neither is news
    /// the time stays. A primary keeps the time of its promotion, a standby whom it followed where it is not told of
    /// another.
    pub fn next(before: Option<&Self>, role: Role, flag: Flag, source: Option<Source>, now_ms: i64) -> Self {
        let same_role = before.filter(|before| before.role == role);
        let decided_ms = match same_role {
            Some(before) if before.flag == flag => before.decided_ms,
            _ => Some(now_ms),
        };
        let was_held = before.filter(|before| before.role != Role::Primary);
        Self {
            role,
            flag,
            decided_ms,
            promoted_ms: same_role
                .filter(|_| role == Role::Primary)
                .and_then(|before| before.promoted_ms),
            source: match role {
                Role::Primary => None,
                Role::Standby | Role::Fenced => source.or_else(|| was_held.and_then(|before| before.source.clone())),
            },
            epochs: before.and_then(|before| before.epochs.clone()),
            hands_over: false,
        }
    }

    /// Whether both records of a role say the same of it, whatever they keep of epochs.
    pub fn is_of_same_role(&self, other: &Self) -> bool {
        let epochs = other.epochs.clone();
        *other == Self { epochs, ..self.clone() }
    }

    /// Completes by the record the settings of a standby, with the primary that it followed: see [`Source::complete`].
    pub fn complete(&self, settings: &mut Settings, mistakes: &[Mistake]) {
        if let (Role::Standby, Some(source)) = (self.role, &self.source) {
            source.complete(settings, mistakes);
        }
    }

    /// Loads the record of the role; none is there before the first start.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is not understood.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        let properties = Properties::parse(&text, &path.display().to_string())
            .map_err(|error| Error::new(Kind::File, error.message(), GUIDANCE))?;
        if let Some(elsewhere) = properties.get(ELSEWHERE) {
            return Err(Error::new(
                Kind::File,
                format!(
                    "this server was a standby, and what it knows of itself is in {}, which bc.state.dir no longer names",
                    crate::basics::words::shown(elsewhere, 400)
                ),
                "Put -Dbc.state.dir back, with the other options that went with it, and restart this server. If it is \
                 to be something else, run `gocd-bc demote --forget` and restart it.",
            ));
        }
        parse(&properties).map(Some).map_err(|what| {
            let message = format!("{} does not hold a role and a flag: {what}", path.display());
            Error::new(Kind::File, message, GUIDANCE)
        })
    }

    /// Saves the record of the role durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let runs = self.role == Role::Primary && !self.hands_over;
        let hold = if runs { "no" } else { "yes" };
        let mut pairs = vec![
            ("role", self.role.to_string()),
            ("flag", self.flag.word().to_owned()),
            ("hold", hold.to_owned()),
        ];
        pairs.extend(self.decided_ms.map(|decided| ("decided", decided.to_string())));
        pairs.extend(self.promoted_ms.map(|promoted| ("promoted", promoted.to_string())));
        pairs.extend(self.epochs.as_ref().map(|epochs| ("epochs", epochs.to_text())));
        if let Some(source) = &self.source {
            pairs.push(("primary.url", source.url.written()));
            pairs.extend(source.fingerprint.map(|key| ("primary.fingerprint", key.to_string())));
            pairs.extend(source.authority.as_ref().map(|authority| match authority {
                CertificateAuthority::System => ("primary.ca", SYSTEM.to_owned()),
                CertificateAuthority::File(path) => ("primary.ca", path.display().to_string()),
            }));
        }
        let text = properties::to_text(pairs.iter().map(|(key, value)| (*key, value.as_str())));
        atomic::write(&state_dir.join(FILE), text.as_bytes(), 0o600)
    }
}

/// Removes the record of the role durably: at the next start the flag alone decides. Returns whether there was one.
///
/// # Errors
/// [`Kind::File`] when it cannot be removed.
pub fn forget(state_dir: &Path) -> Result<bool, Error> {
    atomic::remove(&state_dir.join(FILE))
}

/// How a list of the operating system's own is written.
const SYSTEM: &str = "system";

/// What to do about a record that is not understood. Removing it is what `demote --forget` does.
const GUIDANCE: &str = "Until somebody says what this server is, it stays held: run `gocd-bc promote \
                        --without-database` if it is to be the primary, or `gocd-bc demote --forget` and restart it, \
                        and go.server.mode and start.in.standby alone decide.";

/// Reads the record of a role from its lines.
fn parse(properties: &Properties) -> Result<Recorded, String> {
    let known = |key: &str, wanted: &str| match properties.get(key) {
        Some(value) => format!("{key} is `{}`, not {wanted}", crate::basics::words::shown(value, 80)),
        None => format!("{key} is missing"),
    };
    let role = match properties.get("role") {
        Some("primary") => Role::Primary,
        Some("standby") => Role::Standby,
        Some("fenced") => Role::Fenced,
        _ => return Err(known("role", "primary, standby or fenced")),
    };
    let flag = match properties.get("flag") {
        Some("none") => Flag::None,
        Some("property") => Flag::Property,
        Some("file") => Flag::File,
        _ => return Err(known("flag", "none, property or file")),
    };
    let time = |key: &str| match properties.get(key).map(str::parse) {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time)),
        Some(Err(_)) => Err(known(key, "a time in milliseconds")),
    };
    let fingerprint = match properties.get("primary.fingerprint").map(str::parse) {
        None => None,
        Some(Ok(fingerprint)) => Some(fingerprint),
        // A pin that is not understood must not become none.
        Some(Err(_)) => return Err(known("primary.fingerprint", "a fingerprint")),
    };
    let authority = match properties.get("primary.ca") {
        None => None,
        Some("") => return Err(known("primary.ca", "a file or `system`")),
        Some(SYSTEM) => Some(CertificateAuthority::System),
        Some(path) => Some(CertificateAuthority::File(path.into())),
    };
    let source = match properties.get("primary.url").map(str::parse) {
        None if fingerprint.is_some() || authority.is_some() => return Err(known("primary.url", "an address")),
        None => None,
        Some(Ok(url)) => Some(Source {
            url,
            fingerprint,
            authority,
        }),
        Some(Err(_)) => return Err(known("primary.url", "an address")),
    };
    Ok(Recorded {
        role,
        flag,
        decided_ms: time("decided")?,
        promoted_ms: time("promoted")?,
        source,
        epochs: properties.get("epochs").and_then(KeptEpochs::parse),
        hands_over: role == Role::Primary && properties.get("hold") == Some("yes"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::basics::Fingerprint;

    fn source(url: &str) -> Source {
        Source {
            url: url.parse().expect("an address"),
            fingerprint: None,
            authority: None,
        }
    }

    #[test]
    fn the_record_survives_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(Recorded::load(folder.path()), Ok(None));
        for recorded in [
            Recorded::new(Role::Standby, Flag::File, 17),
            Recorded {
                promoted_ms: Some(5),
                ..Recorded::new(Role::Primary, Flag::None, 4)
            },
            Recorded {
                hands_over: true,
                ..Recorded::new(Role::Primary, Flag::None, 4)
            },
            Recorded {
                source: Some(Source {
                    fingerprint: Some(Fingerprint::of_public_key(b"key")),
                    authority: Some(CertificateAuthority::File("/etc/go/ca é.pem".into())),
                    ..source("https://primarygo")
                }),
                ..Recorded::new(Role::Standby, Flag::Property, 1)
            },
            Recorded {
                source: Some(Source {
                    authority: Some(CertificateAuthority::System),
                    ..source("https://[fd00::1]:9000")
                }),
                ..Recorded::new(Role::Fenced, Flag::Property, 1)
            },
        ] {
            recorded.save(folder.path()).expect("save");
            let text = fs::read_to_string(folder.path().join(FILE)).expect("read");
            let holds = recorded.role != Role::Primary || recorded.hands_over;
            assert!(text.contains(if holds { "hold=yes\n" } else { "hold=no\n" }), "{text}");
            assert_eq!(Recorded::load(folder.path()), Ok(Some(recorded)));
        }
        assert_eq!(forget(folder.path()), Ok(true));
        assert_eq!(Recorded::load(folder.path()), Ok(None));
        assert_eq!(forget(folder.path()), Ok(false));
    }

    #[test]
    fn what_the_first_version_wrote_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(FILE), "role=standby\nflag=property\n").expect("write");
        let recorded = Recorded::load(folder.path()).expect("understood").expect("there");
        assert_eq!((recorded.role, recorded.flag), (Role::Standby, Flag::Property));
        assert_eq!(
            (recorded.decided_ms, recorded.promoted_ms, recorded.source),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_not_understood_is_named_and_nothing_is_dropped() {
        let folder = tempfile::tempdir().expect("folder");
        for (text, named) in [
            ("", "role is missing"),
            ("role=king\nflag=none\n", "role is `king`"),
            ("role=primary\n", "flag is missing"),
            ("role=primary\nflag=\\u00", "not a Java properties text"),
            ("role=standby\nflag=file\ndecided=today\n", "decided is `today`"),
            ("role=standby\nflag=file\nprimary.url=primarygo\n", "primary.url is"),
            (
                "role=standby\nflag=file\nprimary.url=https://p\nprimary.fingerprint=ab\n",
                "primary.fingerprint is `ab`",
            ),
            (
                "role=standby\nflag=file\nprimary.url=https://p\nprimary.ca=\n",
                "primary.ca is",
            ),
            ("role=standby\nflag=file\nprimary.ca=system\n", "primary.url is missing"),
        ] {
            fs::write(folder.path().join(FILE), text).expect("write");
            let error = Recorded::load(folder.path()).expect_err("not understood");
            assert!(error.message().contains(named), "{text:?}: {error}");
            assert!(
                error.guidance().contains("gocd-bc promote --without-database`")
                    && error.guidance().contains("gocd-bc demote --forget"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_decided_again_keeps_its_time_and_a_standby_whom_it_followed() {
        let first = Recorded::next(None, Role::Standby, Flag::Property, Some(source("https://one")), 1);
        assert_eq!(first.decided_ms, Some(1));
        let again = Recorded::next(Some(&first), Role::Standby, Flag::Property, None, 2);
        assert_eq!(again, first, "the address is missing in the settings now");
        let other = Recorded::next(Some(&again), Role::Standby, Flag::File, Some(source("https://two")), 3);
        assert_eq!(
            (other.decided_ms, &other.source),
            (Some(3), &Some(source("https://two")))
        );

        let promoted = Recorded {
            promoted_ms: Some(4),
            ..Recorded::next(Some(&other), Role::Primary, Flag::File, None, 4)
        };
        assert_eq!(promoted.source, None, "a primary follows nobody");
        let later = Recorded::next(Some(&promoted), Role::Primary, Flag::None, None, 5);
        assert_eq!((later.decided_ms, later.promoted_ms), (Some(5), Some(4)));
        let demoted = Recorded::next(Some(&later), Role::Standby, Flag::None, None, 6);
        assert_eq!((demoted.promoted_ms, demoted.source), (None, None));
    }
}
