//! SHA-256 digests, and hashing a stream in both digests at once.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
    thread,
};

use md5::Md5;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a SHA-256 digest (64 hex digits)")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADigest)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// SHA-256, MD5 and length of what was fed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub sha256: Digest,
    /// MD5, 32 hex digits; only for the old protocol.
    pub md5: String,
    /// Bytes fed in.
    pub size: u64,
}

/// Below this a second thread would cost more than it saves.
const WORTH_A_THREAD: usize = 256 * 1024;

impl Digests {
    /// The digests of `bytes`, both at once: MD5 alone takes three times as long as SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let md5 = || hex::encode(Md5::digest(bytes));
        let (sha256, md5) = thread::scope(|scope| {
            let helper = (bytes.len() >= WORTH_A_THREAD)
                .then(|| {
                    thread::Builder::new()
                        .name("bc-md5".to_owned())
                        .spawn_scoped(scope, md5)
                        .ok()
                })
                .flatten();
            let sha256 = Digest::of(bytes);
            let md5 = helper.map_or_else(md5, |helper| helper.join().expect("hashing does not panic"));
            (sha256, md5)
        });
        Self {
            sha256,
            md5,
            size: bytes.len() as u64,
        }
    }
}

/// Computes [`Digests`] piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha256: Sha256,
    md5: Md5,
    size: u64,
}

impl Hasher {
    /// Feeds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digests of everything fed in.
    pub fn finish(self) -> Digests {
        Digests {
            sha256: Digest(self.sha256.finalize().into()),
            md5: hex::encode(self.md5.finalize()),
            size: self.size,
        }
    }
}

/// Reads `reader` to its end in pieces of 128 KiB; memory stays flat whatever the size.
///
/// # Errors
/// Those of the reader.
pub fn hash(mut reader: impl Read) -> io::Result<Digests> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let digests = hash(&b"abc"[..]).expect("memory does not fail");
        assert_eq!(
            digests.sha256.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(digests.size, 3);
        assert_eq!(digests.sha256.to_string().parse(), Ok(digests.sha256));
        assert_eq!(Digests::of(b"abc"), digests);
    }

    #[test]
    fn two_threads_find_the_same_as_one() {
        let bytes = vec![7; 2 * WORTH_A_THREAD];
        assert_eq!(
            Digests::of(&bytes),
            hash(bytes.as_slice()).expect("memory does not fail")
        );
    }
}
