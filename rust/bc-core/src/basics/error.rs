//! The one error type of the public interface.
//!
//! Rules: it says what failed, on which file or property, and what a person can do about it.
//! A secret never enters one. Inner layers keep local types and turn them into this one at the border;
//! whoever receives it returns it, and logs it once where it ends.
//!
//! Messages quote what others sent, and the libraries that read it: each is made one bounded line when an error is made
//! ([`words::shown`]), so that no text of somebody else begins a line of its own anywhere.

use std::{fmt, io, path::Path};

use crate::basics::{
    attributes,
    mount::{self, Room, mount_of},
    shortage::Shortage,
    words::{self, LONGEST_MESSAGE},
};

/// What failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    guidance: String,
}

/// What sort of trouble it is; decides exit codes, retries and colours, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A property or argument is missing or malformed.
    Setting,
    /// A file or folder cannot be read or written; trying again does not help until somebody mends it.
    File,
    /// A disk is full.
    DiskFull,
    /// The other side cannot be reached or the connection broke; trying again helps.
    Unreachable,
    /// The other side is not who it should be, or does not accept us.
    Trust,
    /// The other side answered something that is not our protocol, or bytes that are not what it announced.
    Protocol,
    /// What was asked for is gone, since the source has moved on; asking anew at once helps.
    Superseded,
    /// We are asked to do what must not be done.
    Refused,
    /// Somebody else holds what we need: a lock, a port.
    Busy,
    /// The operating system has none left of what it lends: a thread, a file descriptor.
    Exhausted,
}

impl Error {
    /// A new error. `message` is a fragment without final period that names the file or property;
    /// `guidance` is a sentence for a person, empty where there is nothing to do.
    pub fn new(kind: Kind, message: impl Into<String>, guidance: impl Into<String>) -> Self {
        Self {
            kind,
            message: words::shown(&message.into(), LONGEST_MESSAGE),
            guidance: words::shown(&guidance.into(), LONGEST_MESSAGE),
        }
    }

    /// An I/O error on `path`, sorted into [`Kind::DiskFull`], [`Kind::Exhausted`] or [`Kind::File`], with fitting
    /// guidance. `doing` is a verb phrase: "read", "create the folder".
    pub fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        if let Some(shortage) = Shortage::of(error) {
            return shortage.error(&format!("{doing} {}", path.display()));
        }
        let mut message = format!("cannot {doing} {}: {error}", path.display());
        let (kind, guidance) = match error.kind() {
            io::ErrorKind::StorageFull => {
                let lack = Room::of(path).and_then(|room| room.lack_of_inodes(1, path));
                let guidance = if let Some(lack) = lack {
                    message = format!("cannot {doing} {}: {lack}", path.display());
                    mount::free_inodes(path)
                } else {
                    format!("Free some space on the disk mounted at {}.", mount_of(path).display())
                };
                (Kind::DiskFull, guidance)
            }
            io::ErrorKind::QuotaExceeded => (
                Kind::DiskFull,
                format!(
                    "The quota on the disk mounted at {} is used up, of bytes or of inodes: free some of it for the user \
                     that runs GoCD, or raise it.",
                    mount_of(path).display()
                ),
            ),
            io::ErrorKind::PermissionDenied => (Kind::File, permission(path)),
            io::ErrorKind::NotFound => (Kind::File, format!("Check that {} exists.", path.display())),
            io::ErrorKind::ReadOnlyFilesystem => (
                Kind::File,
                format!(
                    "What is mounted at {} is read-only: mount it writable.",
                    mount_of(path).display()
                ),
            ),
            io::ErrorKind::ResourceBusy => (
                Kind::File,
                format!("See what uses {}: it may be mounted there by itself.", path.display()),
            ),
            _ if is_of_the_disk(error) => (
                Kind::File,
                format!(
                    "The disk mounted at {} fails: see the kernel's log, and replace it.",
                    mount_of(path).display()
                ),
            ),
            _ => (Kind::File, String::new()),
        };
        Self::new(kind, message, guidance)
    }

    /// What makes an [`Error::io`] of an I/O error on `path`, for `map_err`.
    pub fn cannot<'a>(doing: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Self + Copy + 'a {
        move |error| Self::io(doing, path, &error)
    }

    /// This error with another message, made of its own: what failed beyond it.
    pub fn saying(self, message: impl FnOnce(&str) -> String) -> Self {
        Self::new(self.kind, message(&self.message), self.guidance)
    }

    /// The kind of this error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, as this error says it: one fragment without final period.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a person can do about this error; may be empty.
    pub fn guidance(&self) -> &str {
        &self.guidance
    }
}

/// What stands in the way where a permission is denied: an attribute of the file or of its folder stops root as well.
fn permission(path: &Path) -> String {
    let places = [Some(path), path.parent()];
    let found = places
        .into_iter()
        .flatten()
        .find_map(|place| Some((place, attributes::in_the_way(place)?)));
    match found {
        Some((place, (letter, word))) => format!(
            "{} has the attribute {letter} ({word}): take it away with chattr -{letter} {}",
            place.display(),
            place.display()
        ),
        None => format!(
            "Let the user that runs GoCD access {} (owner and mode).",
            path.display()
        ),
    }
}

/// Whether the device itself could not read or write (`EIO`), which has no [`Kind`] of its own.
fn is_of_the_disk(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(5)
}

/// Message and guidance on one line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.guidance.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}. {}", self.message, self.guidance)
        }
    }
}

impl std::error::Error for Error {}

/// The error that a shortage is.
impl Shortage {
    /// The error of whoever met a shortage while `doing` something, a verb phrase.
    pub fn error(self, doing: &str) -> Error {
        Error::new(Kind::Exhausted, format!("cannot {doing}: {self}"), self.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_bounded_line_whatever_it_quotes() {
        let quoted = "x\r\n2026-01-01 CRITICAL forged\u{1b}[2J\u{202e}\u{85}";
        let path = Path::new("/a\nb");
        for error in [
            Error::new(Kind::Protocol, quoted, quoted),
            Error::new(Kind::Protocol, "y".repeat(100_000), ""),
            Error::io("read", path, &io::Error::other(quoted)),
            Error::io("read", path, &io::Error::from(io::ErrorKind::NotFound)),
        ] {
            let text = error.to_string();
            assert!(
                !text.contains(char::is_control) && !text.contains('\u{202e}'),
                "{text:?}"
            );
            assert!(text.chars().count() <= LONGEST_MESSAGE, "{}", text.len());
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_descriptor_is_said_as_that_and_may_be_had_later() {
        let error = Error::io("read", Path::new("/a"), &io::Error::from_raw_os_error(24));
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(
            error
                .message()
                .starts_with("cannot read /a: this process may have no more files "),
            "{error}"
        );
        assert!(error.guidance().contains("LimitNOFILE="), "{error}");
        let error = Error::io("read", Path::new("/a"), &io::Error::from_raw_os_error(23));
        assert!(error.to_string().contains("fs.file-max="), "{error}");
        for words in ["os error", "Too many open files"] {
            assert!(!error.to_string().contains(words), "{error}");
        }
        assert_eq!(Shortage::of(&io::Error::from_raw_os_error(2)), None);
    }

    #[cfg(unix)]
    #[test]
    fn no_thread_is_said_with_its_limits() {
        let error = Shortage::Threads.error("start the node");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(
            error
                .message()
                .starts_with("cannot start the node: the operating system gives no thread: "),
            "{error}"
        );
        assert!(
            error.guidance().contains("TasksMax=") && error.guidance().contains("ulimit -u"),
            "{error}"
        );
    }
}
