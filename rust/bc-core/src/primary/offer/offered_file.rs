//! `offered` in the state folder: what the version before wrote of the generation that it gave out last.
//!
//! One line, `<sequence> <generation>`, without a check. It counts where it can be true, until the ledger is written.

use std::path::Path;

use super::given_out::Record;
use crate::{
    basics::{Digest, Error, regular_file},
    durable::atomic,
    role::Ledger,
};

/// The name of the file in the state folder.
pub(super) const FILE: &str = "offered";

const SEQUENCE_DIGITS: usize = 20;
const GENERATION_DIGITS: usize = 64;
const LENGTH: usize = SEQUENCE_DIGITS + 1 + GENERATION_DIGITS + 1;

/// Reads the file `offered` of an earlier version for what was given out and is not in the ledger; none where nothing
/// was. One that is older than the ledger, or was never reserved, says nothing.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming the file where it is there and cannot be read.
pub(super) fn read(state_dir: &Path, ledger: &Ledger) -> Result<Option<Record>, Error> {
    let text = regular_file::read_if_there(&state_dir.join(FILE), regular_file::LARGEST_OF_A_FEW_LINES)?;
    let last = text.as_deref().and_then(parsed);
    Ok(last
        .filter(|(sequence, _)| (ledger.sequence + 1..=ledger.reserved).contains(sequence))
        .map(|(sequence, generation)| Record {
            sequence,
            generated_ms: ledger.generated_ms,
            generation,
        }))
}

/// Removes the file `offered` of an earlier version, once the ledger says the same.
pub(super) fn remove(state_dir: &Path) {
    let path = state_dir.join(FILE);
    if path.exists() {
        // One that stays is older than the ledger.
        let _ = atomic::remove(&path);
    }
}

/// Sequence and generation of a whole line of the file of an earlier version; nothing of anything else.
fn parsed(text: &[u8]) -> Option<(u64, Digest)> {
    let line = std::str::from_utf8(text).ok().filter(|text| text.len() == LENGTH)?;
    let (sequence, generation) = line.strip_suffix('\n')?.split_once(' ')?;
    let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
    let digest: Digest = generation.parse().ok()?;
    // It was written in lower case.
    (is_number && digest.to_string() == generation).then_some((sequence.parse().ok()?, digest))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn text(sequence: u64) -> String {
        format!("{sequence:0SEQUENCE_DIGITS$} {}\n", Digest::of(b"x"))
    }

    #[test]
    fn it_counts_where_it_can_be_true() {
        let folder = tempfile::tempdir().expect("folder");
        let ledger = Ledger {
            sequence: 7,
            reserved: 64,
            ..Ledger::default()
        };
        let read = || read(folder.path(), &ledger).expect("readable");
        assert_eq!(read(), None);
        for (sequence, counts) in [(7, false), (8, true), (64, true), (65, false)] {
            fs::write(folder.path().join(FILE), text(sequence)).expect("write");
            let found = read().map(|record| (record.sequence, record.generation));
            assert_eq!(found, counts.then(|| (sequence, Digest::of(b"x"))));
        }
        remove(folder.path());
        remove(folder.path());
        assert_eq!(read(), None);
    }

    proptest! {
        #[test]
        fn anything_else_says_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..LENGTH, byte: u8) {
            prop_assert_eq!(parsed(&bytes), None);
            let mut line = text(7).into_bytes();
            prop_assert_eq!(parsed(&line[..at]), None);
            line[at] = byte;
            if let Some((sequence, generation)) = parsed(&line) {
                prop_assert_eq!(format!("{sequence:0SEQUENCE_DIGITS$} {generation}\n").into_bytes(), line);
            }
        }
    }
}
