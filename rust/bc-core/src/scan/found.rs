//! What one reading gathers on its way, and why it may end early.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use crate::{
    digest::Digest,
    error::Error,
    jar_name::JarName,
    manifest::{Entry, Name, PluginIdentity},
    scan::{descriptor::Jar, file_cache::Known, snapshot::Source},
};

/// What one reading has gathered so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) files: BTreeMap<Name, Entry>,
    pub(super) config: HashMap<Name, Arc<Known>>,
    pub(super) own_jars: BTreeMap<JarName, PluginIdentity>,
    pub(super) sources: HashMap<Digest, Source>,
    pub(super) warnings: Vec<String>,
}

impl Found {
    /// Adds a file that was read.
    pub(super) fn add(&mut self, name: Name, known: &Known, path: &Path) {
        let source = match &known.bytes {
            Some(bytes) => Source::Memory(bytes.clone()),
            None => Source::File {
                path: path.to_owned(),
                size: known.digests.size,
            },
        };
        self.sources.insert(known.digests.sha256, source);
        self.files.insert(name, entry(known));
    }
}

/// How a manifest names a file that was read.
pub(crate) fn entry(known: &Known) -> Entry {
    let plugin = known.jar.as_ref().and_then(Jar::identity).cloned();
    Entry::new(known.digests.clone(), known.stamp.modified_ms(), plugin)
}

/// Why a reading ended before its end.
pub(super) enum Stop {
    /// A file is not as it should be, most likely because somebody is writing it.
    Unstable { name: Name, reason: String },
    /// A file cannot be read.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Somebody is writing this file.
pub(super) fn being_written(name: Name) -> Stop {
    Stop::Unstable {
        name,
        reason: "is being written".to_owned(),
    }
}
