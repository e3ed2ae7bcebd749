//! `standbys.json`: the list of standbys, sealed.
//!
//! | format | what is different |
//! |---|---|
//! | 1 | no checksum; strangers are in it, and keys that were removed |
//! | 2 | sealed; standbys alone. Removed keys of format 1 stay in it until they are where all removed keys are |

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    regular_file,
    status::StandbyStatus,
    store::{atomic, seal},
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
pub(super) enum Read {
    None,
    Whole(Stored),
    /// It was set aside; why.
    Damaged(Error),
}

impl Stored {
    pub(super) fn new(standbys: Vec<StandbyStatus>, removed: Vec<Fingerprint>, closed: bool) -> Self {
        Self {
            format: FORMAT,
            standbys,
            removed,
            closed,
        }
    }

    /// Writes it durably, mode 0600.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub(super) fn save(&self, file: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a list of standbys has only plain fields");
        atomic::write(file, &text, 0o600)
    }
}

/// Reads it. One that is damaged is set aside: that is so only of bytes that were read.
///
/// # Errors
/// [`Kind::File`] when it cannot be read, or a damaged one not be renamed: it is as it was.
pub(super) fn read(file: &Path) -> Result<Read, Error> {
    let text = match regular_file::read(file, regular_file::LARGEST_OF_OURS) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::None),
        Err(error) => return Err(Error::io("read the list of standbys", file, &error)),
    };
    let reason = match understood(&text) {
        Ok(stored) => return Ok(Read::Whole(stored)),
        Err(reason) => reason,
    };
    let aside = file.with_file_name(DAMAGED);
    fs::rename(file, &aside).map_err(|error| Error::io("set aside the damaged", file, &error))?;
    Ok(Read::Damaged(Error::new(
        Kind::File,
        format!("{} is damaged: {reason}", file.display()),
        format!(
            "The list of standbys begins anew, so one that has fallen silent meanwhile is not missed, and no standby joins \
             by itself until `gocd-bc trust` names one. What was there is in {}.",
            aside.display()
        ),
    )))
}

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
