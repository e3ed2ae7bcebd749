//! On which mounts the files were seen, over a restart: a server that starts without one of its disks must not take what
//! is on it for removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{error::Error, jar_name::JarName, manifest::Name, regular_file, scan::seat::Seat, store::atomic};

/// Version of the saved form.
const FORMAT: u32 = 1;

/// The configuration files, and where each was when it was read last.
pub(super) type ConfigSeats = BTreeMap<Name, Seat>;
/// Where the plugin folder was when it was read last, and the jars that it had there.
pub(super) type PluginSeat = Option<(Seat, BTreeSet<JarName>)>;

/// What is written down.
#[derive(Default)]
pub(super) struct Seats {
    file: Option<PathBuf>,
    saved: Saved,
    /// Whether people were told that it cannot be written.
    is_said: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Saved {
    format: u32,
    configs: ConfigSeats,
    plugins: PluginSeat,
}

impl Seats {
    /// Reads what a node before this one wrote down. A file that is missing, damaged or of another version says nothing:
    /// then what is not there at the first reading counts as removed.
    pub(super) fn load(file: Option<PathBuf>) -> Self {
        let saved = file.as_deref().and_then(read).unwrap_or_default();
        Self {
            file,
            saved,
            is_said: false,
        }
    }

    pub(super) fn configs(&self) -> &ConfigSeats {
        &self.saved.configs
    }

    pub(super) fn plugins(&self) -> &PluginSeat {
        &self.saved.plugins
    }

    /// Writes down what is news, durably. Where that fails, what was written before stays, and it is tried again.
    pub(super) fn keep(&mut self, configs: &ConfigSeats, plugins: &PluginSeat) {
        let Some(file) = &self.file else { return };
        if self.saved.format == FORMAT && self.saved.configs == *configs && self.saved.plugins == *plugins {
            return;
        }
        let now = Saved {
            format: FORMAT,
            configs: configs.clone(),
            plugins: plugins.clone(),
        };
        match write(file, &now) {
            Ok(()) => {
                self.saved = now;
                self.is_said = false;
            }
            Err(error) if !self.is_said => {
                warn!("{error}; the mounts that files were seen on are not known after a restart");
                self.is_said = true;
            }
            Err(_) => {}
        }
    }
}

fn read(file: &Path) -> Option<Saved> {
    let text = regular_file::read(file, regular_file::LARGEST_OF_OURS).ok()?;
    let saved: Saved = serde_json::from_slice(&text).ok()?;
    (saved.format == FORMAT).then_some(saved)
}

fn write(file: &Path, saved: &Saved) -> Result<(), Error> {
    // A folder whose name is no text cannot be written down.
    let text = serde_json::to_vec(saved).map_err(|error| Error::io("write", file, &error.into()))?;
    atomic::write(file, &text, 0o600)
}
