//! `mounts.json`: on which mounts the files were seen, over a restart. A server that starts without one of its disks
//! must not take what is on it for removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    basics::{Error, regular_file},
    durable::atomic,
    generation::{JarName, Name},
    primary::scan::folder_mount::FolderMount,
};

/// Version of the saved form.
const FORMAT: u32 = 1;

/// The configuration files, and where each was when it was read last.
pub(super) type ConfigMounts = BTreeMap<Name, FolderMount>;
/// Where the plugin folder was when it was read last, and the jars that it had there.
pub(super) type PluginMount = Option<(FolderMount, BTreeSet<JarName>)>;

/// `mounts.json`: on which mount each file was when it was read last.
#[derive(Default)]
pub(super) struct MountsFile {
    file: Option<PathBuf>,
    saved: Saved,
    /// Whether people were told that it cannot be written.
    is_said: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Saved {
    format: u32,
    configs: ConfigMounts,
    plugins: PluginMount,
}

impl MountsFile {
    /// Loads from `mounts.json` on which mounts a node before this one saw its files. A file that is missing, damaged
    /// or of another version says nothing: then what is not there at the first reading counts as removed.
    pub(super) fn load(file: Option<PathBuf>) -> Self {
        let saved = file.as_deref().and_then(read).unwrap_or_default();
        Self {
            file,
            saved,
            is_said: false,
        }
    }

    /// On which mounts `mounts.json` has the configuration files.
    pub(super) fn configs(&self) -> &ConfigMounts {
        &self.saved.configs
    }

    /// On which mount `mounts.json` has the plugin folder, and which jars were there.
    pub(super) fn plugins(&self) -> &PluginMount {
        &self.saved.plugins
    }

    /// Saves in `mounts.json` what has changed, durably. Where that fails, the file stays as it was, and the next call
    /// tries again.
    pub(super) fn save(&mut self, configs: &ConfigMounts, plugins: &PluginMount) {
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

/// Reads `mounts.json`; none where it is missing, damaged or of another version.
fn read(file: &Path) -> Option<Saved> {
    let text = regular_file::read(file, regular_file::LARGEST_OF_OURS).ok()?;
    let saved: Saved = serde_json::from_slice(&text).ok()?;
    (saved.format == FORMAT).then_some(saved)
}

/// Writes `mounts.json` durably.
fn write(file: &Path, saved: &Saved) -> Result<(), Error> {
    // A folder whose name is no text cannot be written down.
    let text = serde_json::to_vec(saved).map_err(|error| Error::io("write", file, &error.into()))?;
    atomic::write(file, &text, 0o600)
}
