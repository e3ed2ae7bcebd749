//! A file of lines that only grows, kept by size.
//!
//! A line is durable once [`append`] returns. Where the next one would make the file too large, what is there is put
//! aside under one more name, in the place of what had it. A crash leaves whole lines and at most a torn one at the end,
//! which the next line does not join; a line that could not be written leaves nothing of itself.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    basics::{Error, if_there},
    durable::filesystem::FileSystem,
};

/// The permission bits of the file on UNIX.
const MODE: u32 = 0o600;

/// Appends `line`, which has no line end in it, durably to the file at `path`, which is to have no more than `largest`
/// bytes.
///
/// # Errors
/// [`crate::basics::Kind::File`] or [`crate::basics::Kind::DiskFull`], naming the file; no part of the line is in it
/// then, where the disk lets that be taken back.
pub(crate) fn append(system: &dyn FileSystem, path: &Path, line: &[u8], largest: u64) -> Result<(), Error> {
    append_to(system, path, line, largest).map_err(Error::cannot("write", path))
}

/// Where the lines before are once the file at `path` was too large.
pub(crate) fn former(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// All lines of the file at `path`, the oldest first; none where it is missing. A torn one is among them.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming the file.
pub(crate) fn lines(system: &dyn FileSystem, path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let text = if_there(system.read(path)).map_err(Error::cannot("read", path))?;
    let text = text.unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

/// Appends a line to the log, after what is too large was put aside.
fn append_to(system: &dyn FileSystem, path: &Path, line: &[u8], largest: u64) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let (mut file, mut length) = open(system, path)?;
    if length > 0 && length.saturating_add(line.len() as u64 + 1) > largest {
        drop(file);
        system.rename(path, &former(path))?;
        (file, length) = open(system, path)?;
    }
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if length > 0 && last_byte(&mut file)? != b'\n' {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    file.seek(SeekFrom::Start(length))?;
    let written = file.write_all(&bytes).and_then(|()| system.sync(&file, path));
    if written.is_err() {
        // Nothing can be done where that fails as well: whoever reads knows a torn line.
        drop(file.set_len(length));
    }
    written?;
    if length == 0 {
        system.sync_folder(folder)?;
    }
    Ok(())
}

/// Opens the log for reading and writing, made where it is missing, with its length.
fn open(system: &dyn FileSystem, path: &Path) -> io::Result<(std::fs::File, u64)> {
    let file = system.open(path, MODE)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file, but a pipe or device in the place of one",
        ));
    }
    Ok((file, metadata.len()))
}

/// The last byte of the log, which is not empty.
fn last_byte(file: &mut std::fs::File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, Metadata},
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{basics::Kind, durable::OperatingSystem};

    fn texts(path: &Path) -> Vec<String> {
        let lines = lines(&OperatingSystem, path).expect("readable");
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    /// Writes as the operating system does, and is full once every byte is written.
    #[derive(Debug, Default)]
    struct Full(AtomicBool);

    impl FileSystem for Full {
        fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
            OperatingSystem.create(path, mode)
        }
        fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
            OperatingSystem.open(path, mode)
        }
        fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
            match self.0.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => OperatingSystem.sync(file, path),
            }
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            OperatingSystem.rename(from, to)
        }
        fn hard_link(&self, file: &Path, name: &Path) -> io::Result<()> {
            OperatingSystem.hard_link(file, name)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            OperatingSystem.remove(path)
        }
        fn remove_folder(&self, path: &Path) -> io::Result<()> {
            OperatingSystem.remove_folder(path)
        }
        fn create_folder(&self, path: &Path) -> io::Result<()> {
            OperatingSystem.create_folder(path)
        }
        fn sync_folder(&self, path: &Path) -> io::Result<()> {
            OperatingSystem.sync_folder(path)
        }
        fn look(&self, path: &Path) -> io::Result<Metadata> {
            OperatingSystem.look(path)
        }
    }

    #[test]
    fn what_would_be_too_large_is_put_aside_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log");
        assert_eq!(texts(&path), [""; 0], "a log that is not there has no lines");
        for line in [
            "first",
            "second",
            "third",
            "fourth",
            "a line longer than all that is allowed",
            "last",
        ] {
            append(&OperatingSystem, &path, line.as_bytes(), 14).expect("written");
        }
        assert_eq!(texts(&path), ["last"]);
        assert_eq!(texts(&former(&path)), ["a line longer than all that is allowed"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_torn_line_is_joined_by_none_and_a_full_disk_leaves_none() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("log");
        fs::write(&path, "first\nto").expect("write");
        append(&OperatingSystem, &path, b"second", 100).expect("written");
        assert_eq!(texts(&path), ["first", "to", "second"]);
        let disk = Full(AtomicBool::new(true));
        let error = append(&disk, &path, b"third", 100).expect_err("full");
        assert_eq!(error.kind(), Kind::DiskFull, "{error}");
        assert_eq!(texts(&path), ["first", "to", "second"]);
        disk.0.store(false, Ordering::Relaxed);
        append(&disk, &path, b"fourth", 100).expect("there is room again");
        assert_eq!(texts(&path), ["first", "to", "second", "fourth"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_written_to() {
        let folder = tempfile::tempdir().expect("folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [pipe.as_path(), folder.path()] {
            let error = append(&OperatingSystem, path, b"line", 100).expect_err("no file");
            assert!(error.message().contains(&path.display().to_string()), "{error}");
            lines(&OperatingSystem, path).expect_err("no file");
        }
    }
}
