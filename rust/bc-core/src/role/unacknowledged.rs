//! The note of a promotion that no person ordered: `unacknowledged-promotion.json` in the state folder.
//!
//! It is written before the role, and stays until `gocd-bc acknowledge`, or the next `gocd-bc promote` or `demote`. As
//! long as it is there, and its epoch is this node's own, the primary says CRITICAL what it did and why.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Kind, regular_file, words},
    durable::{atomic, seal},
    generation::Epoch,
};

/// The name of the file in the state folder.
pub const FILE: &str = "unacknowledged-promotion.json";
/// The version of the file.
const FORMAT: u32 = 1;

/// What happened, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unacknowledged {
    format: u32,
    /// When, milliseconds since 1970 by this node's clock.
    pub at_ms: i64,
    /// The epoch that it began.
    pub epoch: Epoch,
    /// Why, for people: which flag went, and who did not answer.
    pub reason: String,
    /// What GoCD was started on, for people.
    pub files: String,
}

impl Unacknowledged {
    /// A note of a promotion that nobody ordered and that happens now.
    pub fn new(at_ms: i64, epoch: Epoch, reason: String, files: String) -> Self {
        Self {
            format: FORMAT,
            at_ms,
            epoch,
            reason,
            files,
        }
    }

    /// Loads the note of a promotion that nobody ordered; none where there is none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged: then something was noted all the same.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        seal::read(&text).map(Some).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!(
                    "{} is damaged; it tells of a promotion of this server that nobody ordered",
                    path.display()
                ),
                "Make sure that no other server of the pair runs as a primary, then run `gocd-bc acknowledge`.",
            )
        })
    }

    /// Saves the note of a promotion that nobody ordered, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a note has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }

    /// What to say of a promotion that nobody ordered, for as long as nobody has seen the note.
    pub fn message(&self) -> String {
        format!(
            "this server promoted itself at {}, with epoch {}: {}. {} Make sure that no other server of the pair runs \
             as a primary, then run `gocd-bc acknowledge`.",
            words::moment(self.at_ms),
            self.epoch.number,
            self.reason,
            self.files
        )
    }
}

/// What a primary in `epoch` says of the note of a promotion that nobody ordered. Nothing where there is none in its
/// state folder, or it is of another epoch: then a person has decided since.
pub fn message(state_dir: &Path, epoch: &Epoch) -> Option<String> {
    match Unacknowledged::load(state_dir) {
        Ok(note) => note.filter(|note| note.epoch == *epoch).map(|note| note.message()),
        Err(error) => Some(error.to_string()),
    }
}

/// Removes the note of a promotion that nobody ordered, durably, since a person has seen it or decided anew. Returns
/// whether there was one.
///
/// # Errors
/// [`Kind::File`] when it cannot be removed.
pub fn remove(state_dir: &Path) -> Result<bool, Error> {
    atomic::remove(&state_dir.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch {
            number,
            promotion: format!("p{number}"),
        }
    }

    #[test]
    fn a_note_is_said_in_its_epoch_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(message(folder.path(), &epoch(2)), None);
        let note = Unacknowledged::new(
            0,
            epoch(2),
            "its flag is gone".to_owned(),
            "GoCD starts on verified files.".to_owned(),
        );
        note.save(folder.path()).expect("save");
        let said = message(folder.path(), &epoch(2)).expect("it is news");
        for part in ["1970-01-01", "epoch 2", "its flag is gone", "gocd-bc acknowledge"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(message(folder.path(), &epoch(3)), None, "somebody promoted it since");
        assert_eq!(remove(folder.path()), Ok(true));
        assert_eq!(message(folder.path(), &epoch(2)), None);
        assert_eq!(remove(folder.path()), Ok(false));
    }

    #[test]
    fn a_damaged_note_is_said_as_well() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(FILE), "{\"format\":1}").expect("write");
        let said = message(folder.path(), &epoch(2)).expect("something was noted");
        assert!(
            said.contains("is damaged") && said.contains("gocd-bc acknowledge"),
            "{said}"
        );
    }
}
