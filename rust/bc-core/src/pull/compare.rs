//! The primary's files held against ours, for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    jar_name::JarName,
    manifest::{Entry, Name, PluginIdentity},
    scan::snapshot::Snapshot,
    status::{FileState, FileStatus, FileVersion, MissingFile, OwnJar},
    store::LiveFile,
    withheld::Withheld,
    words,
};

/// One line for each file that either node has.
pub fn compare(
    primary: &BTreeMap<Name, Entry>,
    withheld: &Withheld,
    live: &BTreeMap<Name, LiveFile>,
) -> Vec<FileStatus> {
    let names: BTreeSet<&Name> = primary.keys().chain(withheld.files.keys()).chain(live.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let (there, here) = (primary.get(name), live.get(name).map(|file| &file.entry));
            let state = match (there, here) {
                (Some(there), Some(here)) if there.sha256 == here.sha256 => FileState::InSync,
                (Some(_), Some(_)) => FileState::Differs,
                (Some(_), None) => FileState::Missing,
                (None, _) if withheld.reason(name).is_some() => FileState::Withheld,
                (None, _) => FileState::OnlyHere,
            };
            FileStatus {
                name: name.clone(),
                plugin: there.or(here).and_then(|entry| entry.plugin.clone()),
                primary: there.map(version),
                standby: here.map(version),
                state,
            }
        })
        .collect()
}

/// The files that a primary has: those that it offers, and those of which it cannot.
pub fn offered(snapshot: &Snapshot) -> Arc<[FileStatus]> {
    let offered = |(name, entry): (&Name, &Entry)| FileStatus {
        name: name.clone(),
        plugin: entry.plugin.clone(),
        primary: Some(version(entry)),
        standby: None,
        state: FileState::Offered,
    };
    let withheld = |name: &Name| FileStatus {
        name: name.clone(),
        plugin: None,
        primary: None,
        standby: None,
        state: FileState::Withheld,
    };
    let manifest = &snapshot.manifest;
    let withheld = manifest.withheld.files.keys().map(withheld);
    manifest.files.iter().map(offered).chain(withheld).collect()
}

/// Jars of our own plugin.
pub fn own_jars(jars: &BTreeMap<JarName, PluginIdentity>) -> Vec<OwnJar> {
    jars.iter()
        .map(|(name, identity)| OwnJar {
            name: name.to_string(),
            version: identity.version.clone(),
        })
        .collect()
}

/// What to warn of when the live configuration mentions files that are not on this node.
pub fn missing(files: &[MissingFile]) -> Option<String> {
    let lines: Vec<String> = files
        .iter()
        .map(|file| {
            let way = if file.can_be_synced {
                "name it in bc.sync.extra on both servers"
            } else {
                "copy it here"
            };
            format!(
                "cruise-config.xml mentions {} ({}), which is not on this server: {way}",
                file.path, file.property
            )
        })
        .collect();
    words::one_line(&lines)
}

/// The bytes of an entry, for the status.
fn version(entry: &Entry) -> FileVersion {
    FileVersion {
        sha256: entry.sha256,
        size: entry.size,
        modified_ms: entry.modified_ms,
    }
}
