//! Syncs by what they are for, so that all of one kind can be left out.

use std::path::Path;

use super::recorder::Change;

/// What was synced, in a few words: a file by the name that it gets, a folder with the last change in it.
pub(super) fn kind_of_sync(changes: &[Change], number: usize) -> Option<String> {
    match &changes[number] {
        Change::Synced { path, .. } => {
            let name = changes[number..].iter().find_map(|change| match change {
                Change::Renamed { from, to, .. } if from == path => Some(to),
                _ => None,
            });
            Some(format!("the bytes of {}", kind_of_name(name.unwrap_or(path))))
        }
        Change::FolderSynced { path } => {
            let last = changes[..number].iter().rev().find_map(|change| match change {
                Change::Named { path: name, .. } if name.parent() == Some(path) => {
                    Some(format!("{} is named", kind_of_name(name)))
                }
                Change::Renamed { to, .. } if to.parent() == Some(path) => {
                    Some(format!("{} is renamed", kind_of_name(to)))
                }
                Change::Removed { path: name } if name.parent() == Some(path) => {
                    Some(format!("{} is removed", kind_of_name(name)))
                }
                Change::FolderMade { path: name } if name.parent() == Some(path) => {
                    Some(format!("{} is made", kind_of_name(name)))
                }
                _ => None,
            });
            Some(format!("{} after {}", kind_of_name(path), last?))
        }
        _ => None,
    }
}

/// The end of a path, without what differs each time.
fn kind_of_name(path: &Path) -> String {
    let name = path.file_name().expect("a name").to_string_lossy();
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .expect("a folder")
        .to_string_lossy();
    let name = if name.ends_with(".tmp") {
        "a temporary file"
    } else if name.len() >= 64 {
        "one"
    } else {
        name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')
    };
    format!("{folder}/{name}")
}
