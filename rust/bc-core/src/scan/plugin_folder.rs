//! The jars in `plugins/external`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::jar_name::JarName;

/// What is in a plugin folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Jars whose names are safe, in the order of their names.
    pub(crate) jars: Vec<(JarName, PathBuf)>,
    /// Jars that are left out for their names, each a sentence.
    pub(crate) warnings: Vec<String>,
}

/// Lists the folder; none where it does not exist. GoCD reads only `*.jar` directly in it
/// (`DefaultPluginJarLocationMonitor`).
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn list(folder: &Path) -> io::Result<Option<Listing>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut listing = Listing::default();
    for entry in entries {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().ends_with(b".jar") {
            continue;
        }
        match name.to_str().map(str::parse::<JarName>) {
            Some(Ok(jar)) => listing.jars.push((jar, folder.join(&name))),
            Some(Err(error)) => listing.warnings.push(format!("{} and is not synced", error.message())),
            None => listing
                .warnings
                .push(format!("the plugin name {name:?} is not UTF-8 and is not synced")),
        }
    }
    listing.jars.sort();
    listing.warnings.sort();
    Ok(Some(listing))
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
        let found: Vec<&str> = listing.jars.iter().map(|(jar, _)| jar.as_str()).collect();
        assert_eq!(found, ["a.jar", "b.jar"]);
        assert_eq!(listing.warnings.len(), names.len() - 5, "{:?}", listing.warnings);
        assert!(list(&folder.path().join("missing")).expect("no error").is_none());
    }
}
