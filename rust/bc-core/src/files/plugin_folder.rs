//! The jars in `plugins/external`.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use crate::{basics::if_there, generation::JarName};

/// What is in a plugin folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Jars whose names are safe, in the order of their names.
    pub(crate) jars: Vec<Listed>,
    /// Jars that are left out for their names, each a sentence.
    pub(crate) warnings: Vec<String>,
}

/// Something with the name of a jar.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: JarName,
    pub(crate) path: PathBuf,
    /// What the operating system says of it; none for a link, and where it is gone again.
    pub(crate) metadata: Option<Metadata>,
}

/// Lists the plugin folder; none where it does not exist. GoCD reads only `*.jar` directly in it
/// (`DefaultPluginJarLocationMonitor`).
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn list(folder: &Path) -> io::Result<Option<Listing>> {
    let Some(entries) = if_there(fs::read_dir(folder))? else {
        return Ok(None);
    };
    let mut listing = Listing::default();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().ends_with(b".jar") {
            continue;
        }
        match name.to_str().map(str::parse::<JarName>) {
            Some(Ok(jar)) => listing.jars.push(Listed {
                name: jar,
                path: folder.join(&name),
                metadata: metadata(&entry),
            }),
            Some(Err(error)) => listing.warnings.push(format!("{} and is not synced", error.message())),
            None => listing
                .warnings
                .push(format!("the plugin name {name:?} is not UTF-8 and is not synced")),
        }
    }
    listing.jars.sort_by(|one, other| one.name.cmp(&other.name));
    listing.warnings.sort();
    Ok(Some(listing))
}

/// Reads a jar's metadata through the open plugin folder, so that its path is not resolved anew for each of hundreds.
/// Elsewhere than on UNIX what a listing says may be out of date, so there is none.
fn metadata(entry: &fs::DirEntry) -> Option<Metadata> {
    let metadata = cfg!(unix).then(|| entry.metadata().ok()).flatten();
    metadata.filter(|metadata| !metadata.is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jars_with_safe_names_are_listed() {
        let folder = tempfile::tempdir().expect("folder");
        let mut names = vec![
            "b.jar",
            "a.jar",
            "readme.txt",
            ".gocd-bc-1.tmp",
            ".hidden.jar",
            "x.jar.bak",
        ];
        if cfg!(unix) {
            names.push("line\nbreak.jar");
        }
        for name in &names {
            fs::write(folder.path().join(name), "").expect("write");
        }
        let listing = list(folder.path()).expect("readable").expect("there");
        let found: Vec<&str> = listing.jars.iter().map(|jar| jar.name.as_str()).collect();
        assert_eq!(found, ["a.jar", "b.jar"]);
        assert_eq!(listing.warnings.len(), names.len() - 5, "{:?}", listing.warnings);
        assert!(list(&folder.path().join("missing")).expect("no error").is_none());
    }
}
