//! Reading files that somebody else may be writing.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

/// Whether a second reading of an open file gives the bytes that the cache of files has read first.
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
    use std::fs;

    use super::*;

    #[test]
    fn a_second_reading_notices_any_difference() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        let content = vec![7; 200_000];
        fs::write(&path, &content).expect("write");
        let mut file = File::open(&path).expect("open");
        assert!(reads_as(&mut file, &content).expect("read"));
        assert!(!reads_as(&mut file, &content[1..]).expect("read"));
        assert!(!reads_as(&mut file, &[content.as_slice(), b"x"].concat()).expect("read"));
    }
}
