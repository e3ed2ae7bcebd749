//! `removed-keys.json` of the state folder: the keys that this node trusts no more, whatever its peers file says.
//!
//! Sealed, written before the peers file where a key is removed and after it where one is trusted again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Peer;
use crate::{
    basics::{Error, Kind, if_there, regular_file},
    durable::{atomic, seal},
};

/// The name of the file.
pub(super) const FILE: &str = "removed-keys.json";

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    /// [`FORMAT`].
    format: u32,
    removed: Vec<Peer>,
}

/// Loads the removed keys from `removed-keys.json`; none where there is no file.
///
/// # Errors
/// [`Kind::File`] when it cannot be read or is damaged: which keys were removed is not known then.
pub(super) fn load(state_dir: &Path) -> Result<Vec<Peer>, Error> {
    let path = state_dir.join(FILE);
    let text = if_there(regular_file::read(&path, regular_file::LARGEST_OF_A_FEW_LINES));
    let Some(text) = text.map_err(Error::cannot("read the keys that were removed from", &path))? else {
        return Ok(Vec::new());
    };
    let stored = seal::read(&text).filter(|stored: &Stored| stored.format == FORMAT);
    stored.map(|stored| stored.removed).ok_or_else(|| {
        Error::new(
            Kind::File,
            format!(
                "{} is damaged, so which keys were removed is not known, and nobody is trusted",
                path.display()
            ),
            "Remove it, and run `gocd-bc trust --remove` for each key that must stay out; lines that begin with \
             `#removed` in the peers file name them.",
        )
    })
}

/// Saves the removed keys in `removed-keys.json` durably, mode 0600.
///
/// # Errors
/// As [`atomic::write`].
pub(super) fn save(state_dir: &Path, removed: &[Peer]) -> Result<(), Error> {
    let stored = Stored {
        format: FORMAT,
        removed: removed.to_vec(),
    };
    let text = seal::sealed(&stored).expect("keys and ids have only plain fields");
    atomic::write(&state_dir.join(FILE), &text, 0o600)
}
