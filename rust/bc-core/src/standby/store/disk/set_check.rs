//! Where the rules of a set find the bytes that they check.

use std::path::Path;

use bytes::Bytes;

use super::{DiskStore, prepare::Write};
use crate::{
    basics::{Digest, Error, Kind, regular_file},
    generation::{ExtraName, ManifestDocument, Name},
    standby::store::{
        Permit,
        live::Live,
        rules::set::{Set, Which},
        stage::Source,
    },
    status::MissingFile,
};

impl DiskStore {
    /// Reads the configuration that an apply is going to check, if its bytes are here. Errors are left to that check.
    pub(super) fn read_ahead(&self, generation: &ManifestDocument) {
        self.rules.read_ahead(
            generation,
            &|name, entry| match self.blobs.has(&entry.sha256, entry.size) {
                Ok(true) => read_source(name, &self.blobs.source(&entry.sha256)),
                _ => read_as(name, &self.layout.path_of(name), &entry.sha256),
            },
        );
    }

    /// Checks a set by the configuration files that its generation would bring. Returns what to warn of.
    pub(super) fn check_set(
        &self,
        generation: &ManifestDocument,
        live: &Live,
        writes: &[Write],
        allowed: Permit,
    ) -> Result<Vec<String>, Error> {
        let read = |which: Which<'_>| match which {
            Which::New(name) => match writes.iter().find(|write| write.name == *name) {
                Some(Write {
                    source: Source::File(file),
                    is_live: true,
                    entry,
                    ..
                }) => read_as(name, file, &entry.sha256),
                Some(write) => read_source(name, &write.source),
                // What is not written is live already.
                None => self.read_live(name, live),
            },
            Which::Live(name) => self.read_live(name, live),
        };
        self.rules.check(&Set {
            generation,
            live: &live.files,
            allowed,
            read: &read,
        })
    }

    /// Checks which files the live configuration mentions that are not here.
    pub(super) fn missing_files(&self, live: &Live) -> Result<Vec<MissingFile>, Error> {
        let Some(config) = live.files.get(&Name::CruiseConfig) else {
            return Ok(Vec::new());
        };
        let mentioned = self
            .rules
            .mentioned(config.sha256, || self.read_live(&Name::CruiseConfig, live))?;
        let working_dir = self.layout.working_dir();
        Ok(mentioned
            .into_iter()
            .filter_map(|file| Some((file.place(working_dir)?, file)))
            .filter(|(path, _)| matches!(path.try_exists(), Ok(false)))
            .map(|(path, file)| MissingFile {
                property: file.property,
                can_be_synced: self.could_be_synced(&path),
                path: path.display().to_string(),
            })
            .collect())
    }

    /// Whether `bc.sync.extra` could name a file.
    fn could_be_synced(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(self.layout.cruise_config_dir()) else {
            return false;
        };
        let parts: Option<Vec<&str>> = below.components().map(|part| part.as_os_str().to_str()).collect();
        let name = parts.and_then(|parts| parts.join("/").parse::<ExtraName>().ok());
        name.is_some_and(|name| self.layout.objection_to_extra(&name).is_none())
    }

    /// Reads a live file for the check of a set.
    fn read_live(&self, name: &Name, live: &Live) -> Result<Bytes, Error> {
        let path = self.layout.path_of(name);
        match live.files.get(name) {
            Some(entry) => read_as(name, &path, &entry.sha256),
            None => read(name, &path),
        }
    }
}

/// Reads the bytes of a file that an apply will write, for the check of its set.
fn read_source(name: &Name, source: &Source) -> Result<Bytes, Error> {
    match source {
        Source::File(file) => read(name, file),
        Source::Memory(bytes) => Ok(bytes.clone()),
    }
}

/// Reads a file for the check of a set.
fn read(name: &Name, path: &Path) -> Result<Bytes, Error> {
    let bytes = regular_file::read(path, name.largest()).map_err(Error::cannot("read", path))?;
    Ok(bytes.into())
}

/// Reads a live file that should have this digest, which somebody could be writing.
fn read_as(name: &Name, path: &Path, digest: &Digest) -> Result<Bytes, Error> {
    let bytes = read(name, path)?;
    if Digest::of(&bytes) != *digest {
        return Err(Error::new(
            Kind::Busy,
            format!("{} changed while it was read", path.display()),
            "",
        ));
    }
    Ok(bytes)
}
