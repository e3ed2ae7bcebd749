//! One reading of the synced files, and their bytes on request.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    basics::{Digest, Hasher, regular_file},
    files::Stamp,
    generation::{Acceptance, JarName, Manifest, PluginIdentity},
};

/// What the synced files were at one moment, each read while nobody wrote it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The files.
    pub manifest: Manifest,
    /// The id of the generation that they are.
    pub generation: Digest,
    /// Jars of our own plugin, which are never synced.
    pub own_jars: BTreeMap<JarName, PluginIdentity>,
    /// `serverId` of cruise-config.xml.
    pub server_id: Option<String>,
    /// `schemaVersion` of cruise-config.xml.
    pub schema_version: Option<String>,
    /// Whether GoCD has accepted this cruise-config.xml.
    pub acceptance: Acceptance,
    /// When the reading began.
    pub scanned_ms: i64,
    /// What an administrator should know: skipped files and why, each a sentence that names the file.
    pub warnings: Vec<String>,
    /// What the manifest withholds and why, in more words than it says to others, each a sentence part.
    pub withheld_lines: Vec<String>,
    /// Where the bytes of each digest are.
    pub sources: HashMap<Digest, Source>,
    /// When to read again although nobody tells of a change, since a jar may be finished then.
    pub read_again: Option<Duration>,
}

/// Where the bytes of a file are kept until they are asked for.
#[derive(Debug, Clone)]
pub enum Source {
    /// Configuration files are small and rewritten in place by GoCD (`GoConfigFileWriter`), so the bytes that
    /// were digested are kept.
    Memory(Bytes),
    /// Plugins are large and arrive by rename; they are read from disk again, and the digest is checked.
    File {
        /// The file.
        path: PathBuf,
        /// Its length when it was digested.
        size: u64,
    },
}

impl Snapshot {
    /// Opens the bytes with this digest in the snapshot. None when no file of this snapshot has it.
    ///
    /// # Errors
    /// The file cannot be opened any more, or has another length.
    pub fn open(&self, digest: &Digest) -> Option<io::Result<Blob>> {
        let source = self.sources.get(digest)?;
        Some(match source {
            Source::Memory(bytes) => Ok(Blob {
                digest: *digest,
                size: bytes.len() as u64,
                position: 0,
                content: Content::Memory(bytes.clone()),
            }),
            Source::File { path, size } => Blob::open(*digest, *size, path),
        })
    }
}

/// The bytes of one file, read from the start or from an offset.
///
/// The last read fails if what was read from the start is not what the digest says: a file that changes while it
/// is sent must fail its transfer. Where the receiver checks the digest, it fails if the file was touched meanwhile.
#[derive(Debug)]
pub struct Blob {
    digest: Digest,
    size: u64,
    position: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File {
        file: Arc<File>,
        opened: Stamp,
        hasher: Option<Box<Hasher>>,
    },
}

impl Blob {
    /// Opens a snapshot's blob that is in a file.
    fn open(digest: Digest, size: u64, path: &std::path::Path) -> io::Result<Self> {
        let file = regular_file::open(path)?;
        let opened = Stamp::of(&file.metadata()?);
        if opened.size() != size {
            return Err(changed());
        }
        let content = Content::File {
            file: Arc::new(file),
            opened,
            hasher: Some(Box::default()),
        };
        Ok(Self {
            digest,
            size,
            position: 0,
            content,
        })
    }

    /// The length of a snapshot's blob as a whole.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole bytes of a snapshot's blob, where they are in memory anyway.
    pub fn bytes(&self) -> Option<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes.clone()),
            Content::File { .. } => None,
        }
    }

    /// Leaves it to the receiver of a snapshot's blob to check its digest: hashing is half of what sending a file
    /// costs.
    pub fn leave_check_to_receiver(&mut self) {
        if let Content::File { hasher, .. } = &mut self.content {
            *hasher = None;
        }
    }

    /// Skips to `offset` in a snapshot's blob. The digest can then not be checked here; the receiver does it.
    ///
    /// # Errors
    /// Those of seeking.
    pub fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        self.position = offset.min(self.size);
        if offset > 0 {
            self.leave_check_to_receiver();
            if let Content::File { file, .. } = &self.content {
                (&**file).seek(SeekFrom::Start(self.position))?;
            }
        }
        Ok(())
    }

    /// The next bytes of a snapshot's blob, `largest` at most; none at the end.
    ///
    /// # Errors
    /// Those of reading; the file has changed.
    pub fn next_piece(&mut self, largest: u64) -> io::Result<Vec<u8>> {
        let want = (self.size - self.position).min(largest);
        let size = usize::try_from(want).map_err(io::Error::other)?;
        let piece = match &self.content {
            Content::Memory(bytes) => {
                let start = usize::try_from(self.position).expect("a position in memory fits");
                bytes[start..start + size].to_vec()
            }
            Content::File { file, .. } => {
                // Written once: a buffer that is to be read into anyhow need not be zeroed.
                let mut piece = Vec::with_capacity(size);
                (&**file).take(want).read_to_end(&mut piece)?;
                if piece.len() < size {
                    return Err(changed());
                }
                piece
            }
        };
        self.pass(&piece)?;
        Ok(piece)
    }

    /// Takes note of what was read of the blob; fails at the end where it is not what it should be.
    fn pass(&mut self, read: &[u8]) -> io::Result<()> {
        self.position += read.len() as u64;
        let Content::File { file, opened, hasher } = &mut self.content else {
            return Ok(());
        };
        if let Some(hasher) = hasher {
            hasher.update(read);
        }
        if self.position < self.size || read.is_empty() {
            return Ok(());
        }
        let is_right = match hasher.take() {
            Some(hasher) => hasher.finish().sha256 == self.digest,
            None => Stamp::of(&file.metadata()?).is_same_content(opened),
        };
        if is_right { Ok(()) } else { Err(changed()) }
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size - self.position;
        if left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match &self.content {
            Content::Memory(bytes) => {
                let start = usize::try_from(self.position).expect("a position in memory fits");
                buffer[..want].copy_from_slice(&bytes[start..start + want]);
                want
            }
            Content::File { file, .. } => (&**file).read(&mut buffer[..want])?,
        };
        if read == 0 {
            return Err(changed());
        }
        self.pass(&buffer[..read])?;
        Ok(read)
    }
}

/// The error of reading a snapshot's blob that was changed since the scan.
fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file has changed since it was listed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_fails_its_transfer() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jar");
        std::fs::write(&path, b"first").expect("write");
        let digest = Digest::of(b"first");
        let mut read = Vec::new();
        Blob::open(digest, 5, &path)
            .expect("open")
            .read_to_end(&mut read)
            .expect("unchanged");
        assert_eq!(read, b"first");
        std::fs::write(&path, b"other").expect("write");
        let mut blob = Blob::open(digest, 5, &path).expect("same length");
        blob.read_to_end(&mut Vec::new()).expect_err("other bytes");
        std::fs::write(&path, b"longer").expect("write");
        Blob::open(digest, 5, &path).expect_err("other length");
    }

    #[test]
    fn what_the_receiver_checks_is_read_in_pieces_and_fails_only_where_it_was_touched() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jar");
        std::fs::write(&path, b"0123456789").expect("write");
        let digest = Digest::of(b"0123456789");
        let open = || {
            let mut blob = Blob::open(digest, 10, &path).expect("open");
            blob.leave_check_to_receiver();
            blob
        };
        let mut blob = open();
        let mut pieces = Vec::new();
        loop {
            match blob.next_piece(4).expect("untouched") {
                piece if piece.is_empty() => break,
                piece => pieces.push(piece),
            }
        }
        assert_eq!(pieces, [b"0123".as_slice(), b"4567", b"89"]);
        let mut checked = Blob::open(Digest::of(b"another"), 10, &path).expect("open");
        checked.next_piece(9).expect("not the end");
        checked.next_piece(9).expect_err("another digest");

        let mut blob = open();
        blob.next_piece(4).expect("untouched");
        let file = std::fs::File::options().write(true).open(&path).expect("open");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("time");
        blob.next_piece(4).expect("not the end");
        blob.next_piece(4).expect_err("somebody was there");
        let mut blob = open();
        file.set_len(7).expect("cut off");
        blob.next_piece(8).expect_err("too short");
    }

    #[test]
    fn continues_from_an_offset() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.jar");
        std::fs::write(&path, b"0123456789").expect("write");
        let mut blob = Blob::open(Digest::of(b"0123456789"), 10, &path).expect("open");
        blob.skip_to(7).expect("seek");
        let mut read = String::new();
        blob.read_to_string(&mut read).expect("read");
        assert_eq!(read, "789");
    }
}
