//! The newest generation that was given out, written before anybody can see it: `offered` in the state folder.
//!
//! The ledger says the same a moment later, and durably. This file is for what ends the process in that moment: it is
//! written in place and the disk is not waited for, so it costs a change nothing, and survives the process but not
//! always the machine. It has one line, `<sequence> <generation>`, of always the same length.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::Error,
    store::filesystem::{FileSystem, OperatingSystem},
};

/// The name of the file in the state folder.
pub(super) const FILE: &str = "offered";

const SEQUENCE_DIGITS: usize = 20;
const GENERATION_DIGITS: usize = 64;
const LENGTH: usize = SEQUENCE_DIGITS + 1 + GENERATION_DIGITS + 1;

/// The open file.
#[derive(Debug)]
pub(super) struct GivenOut {
    path: PathBuf,
    file: File,
}

impl GivenOut {
    /// Opens or makes the file in `state_dir`, and says what it holds: sequence and generation. One that is new or
    /// damaged says nothing.
    ///
    /// # Errors
    /// It cannot be opened or read.
    pub(super) fn open(state_dir: &Path) -> Result<(Self, Option<(u64, String)>), Error> {
        let path = state_dir.join(FILE);
        let mut text = Vec::new();
        let file = OperatingSystem
            .open(&path, 0o600)
            .and_then(|mut file| {
                (&mut file).take(LENGTH as u64 + 1).read_to_end(&mut text)?;
                Ok(file)
            })
            .map_err(|error| Error::io("read", &path, &error))?;
        Ok((Self { path, file }, parsed(&text)))
    }

    /// Writes the line.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note(&mut self, sequence: u64, generation: &str) -> Result<(), Error> {
        let line = format!("{sequence:0SEQUENCE_DIGITS$} {generation}\n");
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(line.as_bytes()))
            .map_err(|error| Error::io("write", &self.path, &error))
    }
}

/// Sequence and generation of a whole line; nothing of anything else.
fn parsed(text: &[u8]) -> Option<(u64, String)> {
    let line = std::str::from_utf8(text).ok().filter(|text| text.len() == LENGTH)?;
    let (sequence, generation) = line.strip_suffix('\n')?.split_once(' ')?;
    let is_generation = |text: &str| {
        text.len() == GENERATION_DIGITS
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && is_generation(generation)).then_some((sequence.parse().ok()?, generation.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;

    #[test]
    fn what_was_noted_last_is_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut file, before) = GivenOut::open(folder.path()).expect("open");
        assert_eq!(before, None);
        let id = Digest::of(b"x").to_string();
        for sequence in [u64::MAX, 7] {
            file.note(sequence, &id).expect("write");
            let (_, read) = GivenOut::open(folder.path()).expect("open");
            assert_eq!(read, Some((sequence, id.clone())));
        }
    }

    proptest! {
        #[test]
        fn anything_else_says_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..LENGTH, byte: u8) {
            prop_assert_eq!(parsed(&bytes), None);
            let id = Digest::of(b"x").to_string();
            let mut line = format!("{:0SEQUENCE_DIGITS$} {id}\n", 7).into_bytes();
            prop_assert_eq!(parsed(&line[..at]), None);
            line[at] = byte;
            if let Some((sequence, generation)) = parsed(&line) {
                prop_assert_eq!(format!("{sequence:0SEQUENCE_DIGITS$} {generation}\n").into_bytes(), line);
            }
        }
    }
}
