//! Reading files that somebody else may be writing.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::Path,
};

use bytes::Bytes;

/// Larger configuration files are refused: their bytes are kept in memory.
const MAX_IN_MEMORY: u64 = 64 * 1024 * 1024;

/// Opens for reading; never waits, even if somebody put a pipe there since we looked.
///
/// # Errors
/// Those of opening.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    options.open(path)
}

/// All bytes of a configuration file of `size` bytes.
///
/// # Errors
/// It is too large, or cannot be read.
pub(super) fn whole(file: &mut File, size: u64) -> io::Result<Bytes> {
    if size > MAX_IN_MEMORY {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has {size} bytes, more than a configuration file ever has"),
        ));
    }
    // One byte more, or the end of the file would only be seen by growing the buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(size).expect("bounded above") + 1);
    file.take(MAX_IN_MEMORY).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Whether a second reading gives the same bytes.
///
/// # Errors
/// Those of reading.
pub(super) fn reads_as(file: &mut File, bytes: &[u8]) -> io::Result<bool> {
    file.rewind()?;
    let mut piece = vec![0; 64 * 1024];
    let mut rest = bytes;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok(rest.is_empty()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match rest.split_at_checked(read) {
            Some((expected, tail)) if expected == &piece[..read] => rest = tail,
            _ => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reading_notices_any_difference() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        let content = vec![7; 200_000];
        fs::write(&path, &content).expect("write");
        let mut file = open(&path).expect("open");
        assert!(reads_as(&mut file, &content).expect("read"));
        assert!(!reads_as(&mut file, &content[1..]).expect("read"));
        assert!(!reads_as(&mut file, &[content.as_slice(), b"x"].concat()).expect("read"));
    }
}
