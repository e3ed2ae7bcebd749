//! Unsafe code stands in bc-jni alone: exported symbols need it.
//!
//! The workspace's lints forbid it too; this notices a crate that does not inherit them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::project::Project;

const MAY: &str = "rust/bc-jni";

/// Every line outside bc-jni with the keyword in its code.
pub(crate) fn violations(project: &Project) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["rust", "tests"] {
        rust_files(&project.path(folder), &mut files)?;
    }
    let mut violations = Vec::new();
    for file in files {
        let name = file.strip_prefix(project.root()).unwrap_or(&file);
        if name.starts_with(MAY) {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines = lines_with_keyword(&text).into_iter();
        violations.extend(lines.map(|line| format!("{}:{line} has unsafe code, which only {MAY} may", name.display())));
    }
    Ok(violations)
}

/// All Rust sources below a folder, without what builds have put there.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("build") && !path.ends_with("target") {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Numbers of the lines where `unsafe` stands as a word of code: not in a comment, not in a string.
fn lines_with_keyword(source: &str) -> Vec<usize> {
    let code = code_of(source);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has_keyword = |line: &str| line.split(|c| !is_word(c)).any(|word| word == "unsafe");
    let numbered = code.lines().zip(1..);
    numbered
        .filter(|(line, _)| has_keyword(line))
        .map(|(_, number)| number)
        .collect()
}

/// The source with the insides of comments and string literals dropped; line breaks stay.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string_length(rest) {
            length
        } else if first == '"' {
            string_length(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find("'").map_or(rest.len(), |end| end + 2)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    code
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |(index, _)| index + 1)
}

/// The length of `r"…"` or `r#"…"#` at the start, if there is one.
fn raw_string_length(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inside.find(&close).map_or(inside.len(), |end| end + close.len());
    Some(1 + hashes + 1 + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_in_code_only() {
        let source = "// unsafe in a comment\n\
                      let s = \"unsafe \\\" unsafe\";\n\
                      let r = r#\"unsafe \" {\"#; /* unsafe\nunsafe */\n\
                      let quote = '\"'; unsafe { a() }\n\
                      #[unsafe(no_mangle)]\n\
                      #![forbid(unsafe_code)]\n\
                      let not_unsafe_at_all = 1;\n";
        assert_eq!(lines_with_keyword(source), [5, 6]);
    }
}
