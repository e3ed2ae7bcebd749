//! `standbys.json`: the list of standbys, sealed.
//!
//! | format | what is different |
//! |---|---|
//! | 1 | no checksum; strangers are in it, and keys that were removed |
//! | 2 | sealed; standbys alone. Removed keys of format 1 stay in it until they are where all removed keys are |

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Fingerprint, Kind, if_there, regular_file},
    durable::{FileSystem, OperatingSystem, atomic, seal},
    status::StandbyStatus,
};

/// The name of the file in the state folder.
pub const FILE: &str = "standbys.json";
/// What a damaged one is called from then on.
const DAMAGED: &str = "standbys.json.damaged";

const FORMAT: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    /// [`FORMAT`], or 1.
    format: u32,
    pub(super) standbys: Vec<StandbyStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) removed: Vec<Fingerprint>,
    /// Whether nobody joins by himself.
    #[serde(default)]
    pub(super) closed: bool,
}

/// What is in the place of the file.
#[derive(Debug)]
pub(super) enum ListFile {
    None,
    Whole(Stored),
    /// It was set aside; why.
    Damaged(Error),
}

impl Stored {
    /// The list of standbys as it is stored in its file.
    pub(super) fn new(standbys: Vec<StandbyStatus>, removed: Vec<Fingerprint>, closed: bool) -> Self {
        Self {
            format: FORMAT,
            standbys,
            removed,
            closed,
        }
    }

    /// Saves the list of standbys durably, mode 0600.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub(super) fn save(&self, file: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a list of standbys has only plain fields");
        atomic::write(file, &text, 0o600)
    }
}

/// Reads the list of standbys from its file. One that is damaged is set aside: that is so only of bytes that were read.
///
/// # Errors
/// [`Kind::File`] when it cannot be read, or a damaged one not be renamed: it is as it was.
pub(super) fn read(file: &Path) -> Result<ListFile, Error> {
    let text = if_there(regular_file::read(file, regular_file::LARGEST_OF_OURS));
    let Some(text) = text.map_err(Error::cannot("read the list of standbys", file))? else {
        return Ok(ListFile::None);
    };
    let reason = match understood(&text) {
        Ok(stored) => return Ok(ListFile::Whole(stored)),
        Err(reason) => reason,
    };
    let aside = file.with_file_name(DAMAGED);
    OperatingSystem
        .rename(file, &aside)
        .map_err(Error::cannot("set aside the damaged", file))?;
    Ok(ListFile::Damaged(Error::new(
        Kind::File,
        format!("{} is damaged: {reason}", file.display()),
        format!(
            "The list of standbys begins anew, so one that has fallen silent meanwhile is not missed, and no standby joins \
             by itself until `gocd-bc trust` names one. What was there is in {}.",
            aside.display()
        ),
    )))
}

/// The list of standbys that the text of its file holds, or what is wrong with it.
fn understood(text: &[u8]) -> Result<Stored, String> {
    let stored: Stored = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match stored.format {
        // A checksum that is there counts, whatever became of the number of the format.
        1 if !text.ends_with(b"\"}") => Ok(stored),
        1 | FORMAT if seal::is_whole(text) => Ok(stored),
        1 | FORMAT => Err("its checksum is wrong".to_owned()),
        format => Err(format!("it has format {format}")),
    }
}
