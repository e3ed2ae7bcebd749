//! SHA-256 digests of streams, and MD5 for those who still ask for it.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
    sync::{Arc, OnceLock},
};

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

/// An MD5 that may become known later. Only the old protocol and people compare it, and MD5 takes three times as long
/// as SHA-256, so no change of a file waits for it ([`crate::scan::snapshot::Snapshot::complete_md5`]). Clones share
/// what becomes known. Serialised as 32 hex digits or null.
#[derive(Clone, Default)]
pub struct Md5(Arc<OnceLock<[u8; 16]>>);

impl Md5 {
    /// The MD5 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::known(md5::Md5::digest(bytes).into())
    }

    fn known(digest: [u8; 16]) -> Self {
        Self(Arc::new(OnceLock::from(digest)))
    }

    /// 32 hex digits, once it is known.
    pub fn get(&self) -> Option<String> {
        self.0.get().map(hex::encode)
    }

    /// Whether it is known.
    pub fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Reads `reader` to its end, and makes the MD5 known if that is the content with this SHA-256. Ends early, without
    /// a result, once `stopped` says so. Says whether it is known now.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn complete(&self, mut reader: impl Read, sha256: Digest, stopped: impl Fn() -> bool) -> io::Result<bool> {
        let mut check = Hasher::default();
        let mut md5 = md5::Md5::new();
        let end = pieces(&mut reader, |piece| {
            check.update(piece);
            md5.update(piece);
            Ok(!stopped())
        })?;
        if end && check.finish().sha256 == sha256 {
            // Whoever was first has found the same.
            let _ = self.0.set(md5.finalize().into());
        }
        Ok(self.is_known())
    }
}

impl PartialEq for Md5 {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Md5 {}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get().as_deref().unwrap_or("unknown"))
    }
}

impl Serialize for Md5 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Md5 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let mut digest = [0; 16];
        hex::decode_to_slice(&text, &mut digest)
            .map_err(|_| serde::de::Error::custom("is not an MD5 (32 hex digits)"))?;
        Ok(Self::known(digest))
    }
}

/// SHA-256 and length of what was fed in, and its MD5 once somebody needed that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub sha256: Digest,
    /// MD5; unknown at first.
    pub md5: Md5,
    /// Bytes fed in.
    pub size: u64,
}

impl Digests {
    /// The digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(bytes),
            md5: Md5::default(),
            size: bytes.len() as u64,
        }
    }
}

/// Computes [`Digests`] piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha256: Sha256,
    size: u64,
}

impl Hasher {
    /// Feeds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Feeds all that `reader` has, and hands it on to `copy` as well.
    ///
    /// # Errors
    /// Those of both.
    pub fn copy(&mut self, mut reader: impl Read, copy: &mut impl Write) -> io::Result<()> {
        pieces(&mut reader, |piece| {
            self.update(piece);
            copy.write_all(piece)?;
            Ok(true)
        })?;
        Ok(())
    }

    /// How many bytes were fed in.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digests of everything fed in.
    pub fn finish(self) -> Digests {
        Digests {
            sha256: Digest(self.sha256.finalize().into()),
            md5: Md5::default(),
            size: self.size,
        }
    }
}

/// Reads `reader` to its end; memory stays flat whatever the size.
///
/// # Errors
/// Those of the reader.
pub fn hash(reader: impl Read) -> io::Result<Digests> {
    let mut hasher = Hasher::default();
    hasher.copy(reader, &mut io::sink())?;
    Ok(hasher.finish())
}

/// Hands the content of `reader` to `take` in pieces of 128 KiB at most, until it returns false. Whether it came to
/// the end.
fn pieces(reader: &mut impl Read, mut take: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
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

    #[test]
    fn an_md5_becomes_known_to_every_clone_and_only_for_the_right_bytes() {
        let (sha256, unknown) = (Digest::of(b"abc"), Md5::default());
        let clone = unknown.clone();
        assert!(
            !unknown
                .complete(&b"abd"[..], sha256, || false)
                .expect("memory does not fail")
        );
        assert!(
            !unknown
                .complete(&b"abc"[..], sha256, || true)
                .expect("memory does not fail")
        );
        assert!(
            unknown
                .complete(&b"abc"[..], sha256, || false)
                .expect("memory does not fail")
        );
        assert_eq!(clone.get().as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        for md5 in [Md5::default(), clone] {
            let text = serde_json::to_string(&md5).expect("plain");
            assert_eq!(serde_json::from_str::<Md5>(&text).expect("round"), md5);
        }
    }
}
