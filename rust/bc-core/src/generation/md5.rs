//! MD5 digests, for those who still compare them: standbys of the original product, and scripts that read its
//! `dashboard.json`.
//!
//! Nothing of ours is decided by one, nothing is sent to a node of ours or written down with one, and nothing is read
//! for one unless somebody asks. An MD5 belongs to bytes and never to a name: it is known by their SHA-256, and both
//! come out of the same reading, so that what was a file's once is never said of what it is now.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Read},
    sync::{Mutex, MutexGuard},
};

use serde::{Serialize, Serializer};

use crate::{
    basics::{Digest, Hasher, digest, lock},
    generation::document::MAX_FILES,
};

/// MD5s that are kept at most: those of the files of two nodes.
const KEPT: usize = 2 * MAX_FILES;

/// An MD5 digest; written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// The MD5 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use md5::Digest as _;
        Self(md5::Md5::digest(bytes).into())
    }
}

/// 32 hex digits.
impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Md5 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The MD5s that are known, by the SHA-256 of the same bytes; `KEPT` of them at most. Forgotten at the node's end.
#[derive(Debug, Default)]
pub struct Md5s(Mutex<HashMap<Digest, Md5>>);

/// What asking for many MD5s gave.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// Those of bytes that were read, now or before.
    pub known: HashMap<Digest, Md5>,
    /// Why the others are not known.
    pub unread: HashMap<Digest, Unread>,
}

/// Why an MD5 is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// The file has other bytes by now: another look tells which.
    #[error("it is being replaced")]
    Replaced,
    /// The bytes are not on this server.
    #[error("its bytes are not here yet")]
    NotHere,
    /// The file cannot be read; the reason of the operating system.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It was not read before time was up.
    #[error("there was no time to read it; ask again")]
    TooLate,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Replaced,
            io::ErrorKind::NotFound => Self::NotHere,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl Learnt {
    /// Whether a file has changed since its MD5 was to be read, so that looking once more is worth it.
    pub(crate) fn is_outdated(&self) -> bool {
        self.unread.values().any(|unread| *unread == Unread::Replaced)
    }
}

impl Md5s {
    /// The MD5 of the bytes with this SHA-256, where it is known.
    pub fn get(&self, sha256: &Digest) -> Option<Md5> {
        self.lock().get(sha256).copied()
    }

    /// The MD5s of the bytes with these digests. What is not known is read with what `open` gives: an error of the kind
    /// [`NotFound`](io::ErrorKind::NotFound) says that the bytes are not here,
    /// [`InvalidData`](io::ErrorKind::InvalidData) that the file has others. Ends early once `stopped` says so.
    pub(crate) fn learn<R: Read>(
        &self,
        wanted: impl IntoIterator<Item = Digest>,
        open: impl Fn(&Digest) -> io::Result<R>,
        stopped: impl Fn() -> bool,
    ) -> Learnt {
        let mut learnt = Learnt::default();
        for sha256 in wanted {
            if learnt.known.contains_key(&sha256) || learnt.unread.contains_key(&sha256) {
                continue;
            }
            let read = match self.get(&sha256) {
                Some(known) => Ok(known),
                None if stopped() => Err(Unread::TooLate),
                None => open(&sha256)
                    .map_err(Unread::from)
                    .and_then(|reader| self.read(&sha256, reader, &stopped)),
            };
            match read {
                Ok(md5) => drop(learnt.known.insert(sha256, md5)),
                Err(unread) => drop(learnt.unread.insert(sha256, unread)),
            }
        }
        learnt
    }

    /// Reads bytes to their end, and keeps their MD5 under the SHA-256 that they have.
    fn read(&self, wanted: &Digest, reader: impl Read, stopped: impl Fn() -> bool) -> Result<Md5, Unread> {
        let (mut sha256, mut md5) = (Hasher::default(), md5::Md5::default());
        let is_whole = digest::pieces(reader, |piece| {
            sha256.update(piece);
            md5::Digest::update(&mut md5, piece);
            Ok(!stopped())
        })?;
        if !is_whole {
            return Err(Unread::TooLate);
        }
        let (found, md5) = (sha256.finish().sha256, Md5(md5::Digest::finalize(md5).into()));
        let mut known = self.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(found, md5);
        if found == *wanted {
            Ok(md5)
        } else {
            Err(Unread::Replaced)
        }
    }

    /// The MD5s that are known, locked.
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Md5>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NEVER: fn() -> bool = || false;

    #[test]
    fn a_digest_is_written_as_md5sum_does() {
        let md5 = Md5::of(b"abc");
        assert_eq!(md5.to_string(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            serde_json::to_string(&md5).expect("plain"),
            "\"900150983cd24fb0d6963f7d28e17f72\""
        );
    }

    #[test]
    fn bytes_are_read_once_however_many_files_have_them() {
        let md5s = Md5s::default();
        let reads = Cell::new(0);
        let open = |_: &Digest| {
            reads.set(reads.get() + 1);
            Ok(&b"abc"[..])
        };
        let sha256 = Digest::of(b"abc");
        for _ in 0..2 {
            let learnt = md5s.learn([sha256, sha256], open, NEVER);
            assert_eq!(learnt.known, HashMap::from([(sha256, Md5::of(b"abc"))]));
        }
        assert_eq!(reads.get(), 1);
    }

    #[test]
    fn what_a_file_was_is_never_said_of_what_it_is() {
        let md5s = Md5s::default();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let learnt = md5s.learn([old], |_| Ok(&b"new"[..]), NEVER);
        assert!(learnt.known.is_empty() && learnt.is_outdated(), "{learnt:?}");
        assert_eq!(md5s.get(&old), None);
        assert_eq!(md5s.get(&new), Some(Md5::of(b"new")), "but those were read");
    }

    #[test]
    fn each_reason_is_said_and_none_hides_the_others() {
        let md5s = Md5s::default();
        let [whole, gone, denied, cut] = [b"whole", b"gone!", b"deny!", b"cut!!"].map(|bytes| Digest::of(bytes));
        let open = |sha256: &Digest| match *sha256 {
            found if found == whole => Ok(&b"whole"[..]),
            found if found == gone => Err(io::ErrorKind::NotFound.into()),
            found if found == denied => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        };
        let learnt = md5s.learn([cut, denied, gone, whole], open, NEVER);
        assert_eq!(learnt.known, HashMap::from([(whole, Md5::of(b"whole"))]));
        assert_eq!(learnt.unread[&gone], Unread::NotHere);
        assert_eq!(learnt.unread[&cut], Unread::Replaced);
        assert_eq!(
            learnt.unread[&denied].to_string(),
            "it cannot be read: permission denied"
        );
    }

    #[test]
    fn a_node_that_closes_waits_for_no_more_than_a_piece() {
        let md5s = Md5s::default();
        let asked = Cell::new(0);
        let stopped = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        // Without an end.
        let learnt = md5s.learn([Digest::of(b"a"), Digest::of(b"b")], |_| Ok(io::repeat(0)), stopped);
        assert_eq!(learnt.unread.len(), 2);
        assert!(learnt.unread.values().all(|unread| *unread == Unread::TooLate));
    }

    #[test]
    fn no_more_are_kept_than_two_nodes_have_files() {
        let md5s = Md5s::default();
        for number in 0..=KEPT {
            let bytes = number.to_be_bytes();
            let learnt = md5s.learn([Digest::of(&bytes)], |_| Ok(&bytes[..]), NEVER);
            assert_eq!(learnt.known.len(), 1);
        }
        assert!(md5s.lock().len() <= KEPT);
    }
}
