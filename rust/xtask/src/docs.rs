//! Files that the documents name exist.
//!
//! Looked at are relative links, and words in backticks that are paths of the project: they begin with one of
//! its folders, or end as a Rust or Java source does. A path may be meant from the root or from the document.
//! The tests that `rust/SECURITY.md` names exist as well.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// The `docs` command.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut missing = Vec::new();
    for document in documents(project)? {
        let text = fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
        let folder = document.parent().unwrap_or(project.root());
        let from = document.strip_prefix(project.root()).unwrap_or(&document);
        for name in named_files(&text) {
            if !project.root().join(&name).exists() && !folder.join(&name).exists() {
                missing.push(format!("{} names {name}", from.display()));
            }
        }
    }
    let security = fs::read_to_string(project.path(SECURITY)).with_context(|| format!("cannot read {SECURITY}"))?;
    let mut sources = String::new();
    for folder in ["rust", "tests"] {
        read_sources(&project.path(folder), &mut sources)?;
    }
    for test in named_tests(&security) {
        if !sources.contains(&format!("fn {test}(")) {
            missing.push(format!("{SECURITY} names the test {test}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("documents name what does not exist:\n  {}", missing.join("\n  "))
}

/// All Markdown at the top, in `rust/` and beside the tests.
fn documents(project: &Project) -> Result<Vec<PathBuf>> {
    let mut documents = Vec::new();
    for folder in [".", "rust", "tests", "tests/gocd-host", "java-shim"] {
        let folder = project.path(folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read the folder {}", folder.display()))?
                .path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    Ok(documents)
}

const SECURITY: &str = "rust/SECURITY.md";

/// The text of all Rust sources below a folder.
fn read_sources(folder: &Path, sources: &mut String) -> Result<()> {
    let cannot_read = || format!("cannot read the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.is_dir() {
            read_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(())
}

/// Words in backticks that can only be the names of functions.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        word.contains('_')
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

fn named_files(text: &str) -> Vec<String> {
    let prose = without_code_blocks(text);
    let mut names: Vec<String> = links(&prose).collect();
    names.extend(
        prose
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| is_path(word))
            .map(str::to_owned),
    );
    names
}

/// Blocks of code show what to type, not where things are.
fn without_code_blocks(text: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

fn links(prose: &str) -> impl Iterator<Item = String> {
    prose.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        let target = target.split('#').next()?;
        let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!elsewhere).then(|| target.to_owned())
    })
}

fn is_path(word: &str) -> bool {
    const FOLDERS: [&str; 6] = ["rust/", "tests/", "java-shim/", ".ci/", ".cargo/", "xtask/"];
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let in_folder =
        FOLDERS.iter().any(|folder| word.starts_with(folder)) || (word.starts_with("bc-") && word.contains('/'));
    let is_source = matches!(
        Path::new(word).extension().and_then(|e| e.to_str()),
        Some("rs" | "java")
    );
    // Built files are not there in a fresh checkout.
    let is_built = word.contains("/build/") || word.contains("target/");
    is_plain && !is_built && (in_folder || (is_source && word.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_words_are_paths() {
        let text = "See `rust/bc-core/src/scan.rs`, [the guide](rust/STYLE.md#names) and [GoCD](https://gocd.org).\n\
                    `/etc/go/cruise-config.xml`, `plugins/external/*.jar` and `bc.listen` are not ours;\n\
                    `bc-server/src/lib.rs` is.\n```\ncat `rust/nothing.rs`\n```\n\
                    `tests/gocd-host/build/libs/go.jar` is built.\n";
        assert_eq!(
            named_files(text),
            ["rust/STYLE.md", "rust/bc-core/src/scan.rs", "bc-server/src/lib.rs"]
        );
    }

    #[test]
    fn which_words_are_tests() {
        let text = "`a_cut_line`, `bc.tls.ca` and `/api/cruise_config` (`names_in_the_query`)";
        assert_eq!(
            named_tests(text).collect::<Vec<_>>(),
            ["a_cut_line", "names_in_the_query"]
        );
    }
}
