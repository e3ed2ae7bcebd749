//! Telling a disk that fails from a jar that is broken.

use std::io::{self, Read, Seek, SeekFrom};

/// A file that remembers the first error that the operating system gave.
pub(super) struct Watched<F> {
    file: F,
    fault: Option<io::Error>,
}

impl<F> Watched<F> {
    /// Watches the reading of a jar for errors of the disk.
    pub(super) fn new(file: F) -> Self {
        Self { file, fault: None }
    }

    /// Passes on what was `said` of a jar, unless its disk failed meanwhile.
    ///
    /// # Errors
    /// Its error: then nothing is known of the file.
    pub(super) fn unless_failed<T>(self, said: T) -> io::Result<T> {
        self.fault.map_or(Ok(said), Err)
    }

    /// Notes an error of the disk while a jar is read.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let is_over = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        result.inspect_err(|error| {
            // Seeking beyond any file is the fault of a broken jar, which shows when it is read.
            if error.kind() != io::ErrorKind::InvalidInput && !is_over(error) {
                let copy = error
                    .raw_os_error()
                    .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                self.fault.get_or_insert(copy);
            }
        })
    }
}

impl<F: Read> Read for Watched<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer);
        self.note(read)
    }
}

impl<F: Seek> Seek for Watched<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let sought = self.file.seek(to);
        self.note(sought)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{
        super::{
            Jar,
            tests::{jar, plugin},
        },
        *,
    };
    use crate::generation::own_files::OWN_PLUGIN_ID;

    /// Fails at the reading with the number.
    struct Failing {
        jar: Cursor<Vec<u8>>,
        left: usize,
    }

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::Error::from_raw_os_error(5));
            }
            self.left -= 1;
            self.jar.read(buffer)
        }
    }

    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.jar.seek(to)
        }
    }

    #[test]
    fn a_jar_that_cannot_be_read_is_no_broken_one() {
        let whole = plugin(OWN_PLUGIN_ID, "1");
        for bytes in [whole.clone(), jar(&[("a", "b")]), whole[..whole.len() / 2].to_vec()] {
            let expected = Jar::inspect(Cursor::new(&bytes));
            for left in 0.. {
                let failing = Failing {
                    jar: Cursor::new(bytes.clone()),
                    left,
                };
                match Jar::read(failing) {
                    Ok(read) => {
                        assert_eq!(read, expected);
                        assert!(left > 0);
                        break;
                    }
                    Err(error) => assert_eq!(error.raw_os_error(), Some(5)),
                }
            }
        }
    }
}
