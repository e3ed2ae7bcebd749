//! The primary's files held against ours, for people.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    basics::words,
    generation::{Entry, Name, Withheld},
    standby::store::LiveFile,
    status::{FileState, FileStatus, MissingFile, files::version},
};

/// Compares the files that the primary offers with the live ones: one line for each file that either has.
pub(crate) fn compare(
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

/// Warns of files that the live configuration mentions and that are not on this node, for whoever compares both.
pub(crate) fn missing(files: &[MissingFile]) -> Option<String> {
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
