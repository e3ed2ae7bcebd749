//! SHA-256 digests of streams.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// 64 hex digits; `{:.12}` gives the first twelve of them.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits for each byte");
        f.pad(str::from_utf8(&digits).expect("hex digits are ASCII"))
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

/// SHA-256 and length of what was fed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub sha256: Digest,
    /// Bytes fed in.
    pub size: u64,
}

impl Digests {
    /// The SHA-256 of `bytes` with their length, as [`Digests`] has them.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }
}

/// Computes [`Digests`] piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    size: u64,
}

impl Hasher {
    /// Feeds the hasher the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Feeds the hasher all that `reader` has, and hands it on to `copy` as well.
    ///
    /// # Errors
    /// Those of both.
    pub(crate) fn copy(&mut self, reader: impl Read, copy: &mut impl Write) -> io::Result<()> {
        pieces(reader, |piece| {
            self.update(piece);
            copy.write_all(piece)?;
            Ok(true)
        })?;
        Ok(())
    }

    /// How many bytes were fed into the hasher.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The digests of everything that was fed into the hasher.
    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: Digest(self.sha256.finalize().into()),
            size: self.size,
        }
    }
}

/// The digests of all that `reader` has, which is read to its end; memory stays flat whatever the size.
///
/// # Errors
/// Those of the reader.
pub fn hash(reader: impl Read) -> io::Result<Digests> {
    let mut hasher = Hasher::default();
    hasher.copy(reader, &mut io::sink())?;
    Ok(hasher.finish())
}

/// Hands the content of `reader`, for a digest of it, to `take` in pieces of 128 KiB at most, until it returns false.
/// Returns whether the end was reached.
///
/// # Errors
/// Those of both.
pub(crate) fn pieces(mut reader: impl Read, mut take: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => {
                if !take(&buffer[..read])? {
                    return Ok(false);
                }
            }
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
        assert_eq!(digests.size, 3);
        assert_eq!(digests.sha256.to_string().parse(), Ok(digests.sha256));
        assert_eq!(Digests::of(b"abc"), digests);
    }
}
