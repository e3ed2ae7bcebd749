//! Changes of the primary's files, made as GoCD and administrators make them, and comparison of both folders.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    demo::folders::{CONFIG_FILES, GocdFolder},
    digest,
    project::JAR,
};

/// Where the number of the change goes: an environment variable of the sample pipeline.
const BEFORE_CHANGE: &str = "<environmentvariables>";

/// The text of cruise-config.xml with the number of a change in it.
pub(crate) fn changed_config(original: &str, change: u32) -> Result<String> {
    let (before, after) = original
        .split_once(BEFORE_CHANGE)
        .with_context(|| format!("the sample cruise-config.xml has no {BEFORE_CHANGE}"))?;
    let variable =
        format!("\n        <variable name=\"DEMO_CHANGE\">\n          <value>{change}</value>\n        </variable>");
    Ok(format!("{before}{BEFORE_CHANGE}{variable}{after}"))
}

/// Rewrites a file in place, as GoCD does (`GoConfigFileWriter`): truncate, write, close. Returns the moment
/// after the close.
pub(crate) fn rewrite(file: &Path, bytes: &[u8]) -> Result<Instant> {
    let write = || {
        let mut open = File::options().write(true).open(file)?;
        open.set_len(0)?;
        open.write_all(bytes)
    };
    write().with_context(|| format!("cannot rewrite {}", file.display()))?;
    Ok(Instant::now())
}

/// Puts a plugin into a folder, or another version in its place, by a rename. Returns the moment after it.
pub(crate) fn put_plugin(folder: &Path, name: &str, bytes: &[u8]) -> Result<Instant> {
    // Not *.jar, so that nobody takes it for a plugin before it is whole.
    let part = folder.join(format!("{name}.part"));
    let file = folder.join(name);
    fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, &file).with_context(|| format!("cannot rename to {}", file.display()))?;
    Ok(Instant::now())
}

/// Takes a plugin out of a folder. Returns the moment after it.
pub(crate) fn take_plugin_away(folder: &Path, name: &str) -> Result<Instant> {
    let file = folder.join(name);
    fs::rename(&file, folder.join(format!("{name}.removed")))
        .with_context(|| format!("cannot rename {}", file.display()))?;
    Ok(Instant::now())
}

/// The digests of all files that are synced, by path below the GoCD folder.
pub(crate) fn digests(folder: &GocdFolder) -> Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::new();
    for name in CONFIG_FILES {
        let file = folder.config().join(name);
        if file.exists() {
            digests.insert(format!("config/{name}"), digest::of_file(&file)?);
        }
    }
    for name in plugin_names(&folder.plugins())? {
        digests.insert(
            format!("plugins/{name}"),
            digest::of_file(&folder.plugins().join(&name))?,
        );
    }
    Ok(digests)
}

/// Whether the standby has all files of the primary and no others.
pub(crate) fn are_equal(primary: &GocdFolder, standby: &GocdFolder) -> Result<bool> {
    Ok(digests(primary)? == digests(standby)?)
}

/// The names of all jars in a plugin folder but ours.
pub(crate) fn plugin_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jar") && name != JAR {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_another_text_of_the_same_form() {
        let original = "<cruise><environmentvariables>\n</environmentvariables></cruise>";
        let first = changed_config(original, 1).expect("changed");
        assert!(first.contains("<value>1</value>"));
        assert_ne!(first, changed_config(original, 2).expect("changed"));
        assert!(changed_config("<cruise/>", 1).is_err());
    }

    #[test]
    fn plugins_come_and_go_by_rename() {
        let folder = tempfile::tempdir().expect("a folder");
        put_plugin(folder.path(), "a.jar", b"one").expect("put");
        put_plugin(folder.path(), "a.jar", b"two").expect("put");
        assert_eq!(fs::read(folder.path().join("a.jar")).expect("there"), b"two");
        assert_eq!(plugin_names(folder.path()).expect("read"), ["a.jar"]);
        take_plugin_away(folder.path(), "a.jar").expect("taken");
        assert!(plugin_names(folder.path()).expect("read").is_empty());
    }
}
