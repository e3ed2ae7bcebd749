//! Reading files in whose place somebody may have put something else.
//!
//! A pipe in the place of a file makes an ordinary `open` wait for somebody who writes into it, for ever. Here opening
//! never waits for that, and nothing but a regular file is read, links to one included. A disk that hangs still makes
//! every call wait: whoever must not wait with it reads on another thread.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
    time::SystemTime,
};

use crate::basics::error::Error;

/// The longest file that this product writes for itself and reads into memory, in bytes.
pub const LARGEST_OF_OURS: u64 = 64 << 20;
/// The longest file of a few lines, such as keys, peers or a role, in bytes.
pub const LARGEST_OF_A_FEW_LINES: u64 = 1 << 20;

/// Opens a regular file for reading.
///
/// # Errors
/// Those of opening; [`io::ErrorKind::InvalidInput`] where something else than a regular file is there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = for_reading().open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file, but a folder, pipe or device in the place of one",
        ));
    }
    Ok(file)
}

/// Opens whatever is there without waiting for it; the caller checks what it is.
///
/// # Errors
/// Those of opening.
pub(crate) fn open_anything(path: &Path) -> io::Result<File> {
    for_reading().open(path)
}

/// All bytes of a regular file of `largest` bytes at most.
///
/// # Errors
/// As `open`, and those of reading; [`io::ErrorKind::FileTooLarge`] saying both sizes.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    whole(&mut file, size, largest)
}

/// Reads a regular file that may be missing, as [`read`]: none then.
///
/// # Errors
/// [`Kind::File`](crate::basics::error::Kind::File) naming the file: that it cannot be read is no proof that it is not
/// there.
pub fn read_if_there(path: &Path, largest: u64) -> Result<Option<Vec<u8>>, Error> {
    if_there(read(path, largest)).map_err(Error::cannot("read", path))
}

/// When a file was written, and its length; none where nothing is to be had of it.
pub type Stamp = Option<(SystemTime, u64)>;

/// Looks when a regular file was written, and how long it is: what tells most changes of it, for whoever looks often.
pub fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What came of a call on a regular file; none where nothing is at its path.
///
/// # Errors
/// Those of the call, but for [`io::ErrorKind::NotFound`].
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Reads a regular file of `largest` bytes at most as text.
///
/// # Errors
/// As [`read`], and [`io::ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_text(path: &Path, largest: u64) -> io::Result<String> {
    String::from_utf8(read(path, largest)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not a UTF-8 text"))
}

/// Reads all bytes of a regular file that is open and had `size` bytes a moment ago.
///
/// # Errors
/// Those of reading; [`io::ErrorKind::FileTooLarge`] where it has more than `largest` bytes, now or by its size.
pub(crate) fn whole(file: &mut File, size: u64, largest: u64) -> io::Result<Vec<u8>> {
    let too_large = |size: u64| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has {size} bytes, and at most {largest} are read of such a file"),
        )
    };
    if size > largest {
        return Err(too_large(size));
    }
    // One byte more, or the end of the file would only be seen by growing the buffer.
    let capacity = usize::try_from(size).map_err(|_| too_large(size))? + 1;
    let mut bytes = Vec::with_capacity(capacity);
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// How a regular file is opened for reading: without waiting, should a pipe be in its place.
fn for_reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_and_a_link_to_one_are_read_and_nothing_longer_than_allowed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        fs::write(&path, "12345").expect("write");
        assert_eq!(read(&path, 5).expect("readable"), b"12345");
        assert_eq!(read_text(&path, 5).expect("readable"), "12345");
        let error = read(&path, 4).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("5 bytes") && error.to_string().contains("at most 4"));
        let missing = read(&folder.path().join("none"), 5).expect_err("nothing there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::write(&path, [0xff]).expect("write");
        assert_eq!(
            read_text(&path, 5).expect_err("no text").kind(),
            io::ErrorKind::InvalidData
        );
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&path, &link).expect("link");
            assert_eq!(read(&link, 5).expect("readable"), [0xff]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).expect("link");
        for path in [pipe.as_path(), &link, folder.path(), Path::new("/dev/zero")] {
            let error = read(path, 10).expect_err("no file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}", path.display());
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
    }
}
