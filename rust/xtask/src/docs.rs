//! What the documents name exists.
//!
//! | looked at | must be there |
//! |---|---|
//! | relative links, and words in backticks that are paths of the project: they begin with one of its folders, or end as a Rust or Java source does | the file, from the root or from the document |
//! | what follows `#` in a link | that heading, in the document that the link leads to |
//! | names of functions in [`NAME_TESTS`] | that function, in some Rust source |
//! | each file of tests, and each variable of ours that a source names | its name, in `tests/README.md` |

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// The `docs` command.
pub(crate) fn check(project: &Project) -> Result<()> {
    let mut missing = Vec::new();
    for document in documents(project)? {
        let text = read(&document)?;
        let folder = document.parent().unwrap_or(project.root());
        let from = document.strip_prefix(project.root()).unwrap_or(&document);
        for name in named_files(&text) {
            if !project.root().join(&name).exists() && !folder.join(&name).exists() {
                missing.push(format!("{} names {name}", from.display()));
            }
        }
        for (file, heading) in named_headings(&text) {
            let target = if file.is_empty() {
                document.clone()
            } else {
                folder.join(file)
            };
            if !headings(&read(&target)?).any(|anchor| anchor == heading) {
                missing.push(format!(
                    "{} names the heading #{heading} of {}",
                    from.display(),
                    target.display()
                ));
            }
        }
    }
    let mut sources = Vec::new();
    for folder in ["rust", "tests"] {
        list_sources(&project.path(folder), &mut sources)?;
    }
    let texts = sources.iter().map(|source| read(source)).collect::<Result<Vec<_>>>()?;
    for document in NAME_TESTS {
        for test in named_tests(&without_code_blocks(&read(&project.path(document))?)) {
            if !texts.iter().any(|text| text.contains(&format!("fn {test}("))) {
                missing.push(format!("{document} names the test {test}"));
            }
        }
    }
    let guide = read(&project.path(GUIDE_TO_TESTS))?;
    for source in &sources {
        let source = source.strip_prefix(project.root()).unwrap_or(source);
        if let Some(name) = name_in_guide(source)
            && !guide.contains(&format!("`{name}`"))
        {
            missing.push(format!(
                "{GUIDE_TO_TESTS} does not name {name}, which is {}",
                source.display()
            ));
        }
    }
    let variables: BTreeSet<&str> = texts.iter().flat_map(|text| named_variables(text)).collect();
    for variable in variables.into_iter().filter(|variable| !guide.contains(variable)) {
        missing.push(format!("{GUIDE_TO_TESTS} does not name the variable {variable}"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("the documents are not right:\n  {}", missing.join("\n  "))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// All Markdown at the top, in `rust/`, `rust/docs/` and beside the tests.
fn documents(project: &Project) -> Result<Vec<PathBuf>> {
    let mut documents = Vec::new();
    for folder in [".", "rust", "rust/docs", "tests", "tests/gocd-host", "java-shim"] {
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

/// Documents whose words with an underscore in backticks are names of tests.
const NAME_TESTS: [&str; 4] = [
    "rust/SECURITY.md",
    "rust/CONTRIBUTING.md",
    "rust/docs/faults.md",
    GUIDE_TO_TESTS,
];
/// The document that says of each file of tests what it drives.
const GUIDE_TO_TESTS: &str = "tests/README.md";

/// All Rust sources below a folder.
fn list_sources(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    let cannot_read = || format!("cannot read the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.is_dir() {
            list_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}

/// How the guide names a source; none of one that is no file of tests. What several of them share has no name there.
fn name_in_guide(source: &Path) -> Option<&str> {
    let parts: Vec<_> = source.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    match parts[..] {
        ["tests", file] | ["rust", _, "tests", file] => Some(file),
        ["rust", _, "tests", "wire", file] if !["main.rs", "common.rs", "whole.rs"].contains(&file) => Some(file),
        _ => None,
    }
}

/// The variables of the environment that a source names in quotes; of those that are put together, the beginning.
fn named_variables(source: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    source.split('"').skip(1).filter_map(move |text| {
        let name = &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())];
        (name.len() > "BC_".len() && name.starts_with("BC_")).then_some(name)
    })
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
    targets(prose)
        .map(|target| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|file| !file.is_empty())
}

/// Where the links of a text lead, but for those out of the project.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// The headings that a text links to, each behind its document; that is empty for the text itself.
fn named_headings(text: &str) -> Vec<(String, String)> {
    let prose = without_code_blocks(text);
    targets(&prose)
        .filter_map(|target| target.split_once('#'))
        .map(|(file, heading)| (file.to_owned(), heading.to_owned()))
        .collect()
}

/// The headings of a document, as links name them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let prose = without_code_blocks(text);
    let anchors: Vec<_> = prose.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    anchors.into_iter()
}

fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
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
        let text = "See `rust/bc-core/src/primary/scan.rs`, [the guide](rust/STYLE.md#names) and [GoCD](https://gocd.org).\n\
                    `/etc/go/cruise-config.xml`, `plugins/external/*.jar` and `bc.listen` are not ours;\n\
                    `bc-server/src/lib.rs` is.\n```\ncat `rust/nothing.rs`\n```\n\
                    `tests/gocd-host/build/libs/go.jar` is built.\n";
        assert_eq!(
            named_files(text),
            [
                "rust/STYLE.md",
                "rust/bc-core/src/primary/scan.rs",
                "bc-server/src/lib.rs"
            ]
        );
    }

    #[test]
    fn which_headings_are_named() {
        let text = "[here](#one), [there](docs/a.md#the-second-one), [whole](docs/b.md), [else](https://a.test/#x)";
        let named = named_headings(text);
        let named: Vec<_> = named
            .iter()
            .map(|(file, heading)| (file.as_str(), heading.as_str()))
            .collect();
        assert_eq!(named, [("", "one"), ("docs/a.md", "the-second-one")]);
        let document = "# `gocd-bc status --json`\n\ntext # none\n\n## Keys, and more\n";
        assert_eq!(
            headings(document).collect::<Vec<_>>(),
            ["gocd-bc-status---json", "keys-and-more"]
        );
    }

    #[test]
    fn which_files_the_guide_to_tests_names() {
        for (source, name) in [
            ("tests/hold.rs", Some("hold.rs")),
            ("rust/bc-cli/tests/socket.rs", Some("socket.rs")),
            ("rust/bc-server/tests/wire/liar.rs", Some("liar.rs")),
            ("rust/bc-server/tests/wire/common.rs", None),
            ("rust/bc-cli/tests/support/pair.rs", None),
            ("tests/src/nodes.rs", None),
            ("rust/bc-core/src/lib.rs", None),
        ] {
            assert_eq!(name_in_guide(Path::new(source)), name, "{source}");
        }
    }

    #[test]
    fn which_variables_are_named() {
        let source = "env::var(\"BC_SEED\"); format!(\"BC_JAVA_{major}\"); \"BC_\"; \"GOCD_BC_H\"; BC_NONE";
        assert_eq!(named_variables(source).collect::<Vec<_>>(), ["BC_SEED", "BC_JAVA_"]);
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
