//! Changes of the primary's files, made as GoCD and administrators make them, and comparison of both folders.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    command,
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

/// Saves cruise-config.xml as GoCD does: rewrites it in place (`GoConfigFileWriter`: truncate, write, close) and
/// puts the text into its repository of accepted configurations. Returns the moment after the first close.
pub(crate) fn save_config(folder: &GocdFolder, text: &str) -> Result<Instant> {
    let file = folder.cruise_config();
    let rewrite = || {
        let mut open = File::options().write(true).open(&file)?;
        open.set_len(0)?;
        open.write_all(text.as_bytes())
    };
    rewrite().with_context(|| format!("cannot rewrite {}", file.display()))?;
    let closed = Instant::now();
    accept(folder, text)?;
    Ok(closed)
}

/// Accepts what somebody else has written into cruise-config.xml, as GoCD does when it finds a hand edit, but
/// without writing the file once more: that could fall on the next edit.
pub(crate) fn accept_edits(folder: &GocdFolder) -> Result<()> {
    // Half a file is a writer's; the next look finds it whole.
    match fs::read_to_string(folder.cruise_config()) {
        Ok(text) if text.trim_end().ends_with("</cruise>") => accept(folder, &text),
        _ => Ok(()),
    }
}

/// Makes a repository of what the stand-in keeps as a plain folder, since the doctor looks for one.
pub(crate) fn keep_history(folder: &GocdFolder) -> Result<()> {
    let repository = folder.root().join("db/config.git");
    let commit = [
        "-c",
        "user.name=demo",
        "-c",
        "user.email=demo@localhost",
        "commit",
        "--quiet",
        "-m",
        "demo",
    ];
    for words in [&["init", "--quiet"][..], &["add", "cruise-config.xml"], &commit] {
        command::read(Command::new("git").arg("-C").arg(&repository).args(words))?;
    }
    Ok(())
}

fn accept(folder: &GocdFolder, text: &str) -> Result<()> {
    let accepted = folder.root().join("db/config.git/cruise-config.xml");
    if fs::read_to_string(&accepted).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(&accepted, text).with_context(|| format!("cannot write {}", accepted.display()))
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
    fn a_save_and_a_whole_edit_are_accepted() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = GocdFolder::at(temporary.path().to_owned());
        fs::create_dir_all(folder.config()).expect("made");
        fs::create_dir_all(temporary.path().join("db/config.git")).expect("made");
        fs::write(folder.cruise_config(), "<cruise>a longer text</cruise>").expect("written");
        let accepted = || fs::read_to_string(temporary.path().join("db/config.git/cruise-config.xml")).expect("read");

        save_config(&folder, "<cruise>1</cruise>").expect("saved");
        assert_eq!(
            fs::read_to_string(folder.cruise_config()).expect("read"),
            "<cruise>1</cruise>"
        );
        assert_eq!(accepted(), "<cruise>1</cruise>");

        fs::write(folder.cruise_config(), "<cruise>2</cruise>\n").expect("written");
        accept_edits(&folder).expect("accepted");
        assert_eq!(accepted(), "<cruise>2</cruise>\n");
        fs::write(folder.cruise_config(), "<cruise>3").expect("written");
        accept_edits(&folder).expect("left alone");
        assert_eq!(accepted(), "<cruise>2</cruise>\n");
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
