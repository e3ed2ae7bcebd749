//! Reads built ELF libraries with binutils: what they need and what they export.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{command, platform::OLDEST_GLIBC};

/// Checks that a library loads on the oldest glibc and needs no runtime that a JVM has not got.
///
/// # Errors
/// Names the first symbol that is too new, or the library that is needed.
pub(crate) fn check_portable(library: &Path) -> Result<()> {
    let oldest = version(OLDEST_GLIBC);
    let symbols = read_elf(library, "--dyn-syms")?;
    for symbol in symbols.lines().filter_map(symbol_name) {
        if let Some((_, glibc)) = symbol.split_once("@GLIBC_")
            && version(glibc) > oldest
        {
            bail!(
                "{} needs {symbol}, but must load with glibc {OLDEST_GLIBC}",
                library.display()
            );
        }
    }
    let dynamic = read_elf(library, "--dynamic")?;
    match dynamic
        .lines()
        .find(|line| line.contains("(NEEDED)") && line.contains("libgcc_s"))
    {
        Some(line) => bail!("{} needs libgcc_s: {}", library.display(), line.trim()),
        None => Ok(()),
    }
}

/// The names of all functions that a library exports, sorted.
pub(crate) fn exported_functions(library: &Path) -> Result<Vec<String>> {
    let symbols = read_elf(library, "--dyn-syms")?;
    let mut names: Vec<String> = symbols
        .lines()
        .filter(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns.get(3) == Some(&"FUNC") && columns.get(6).is_some_and(|section| *section != "UND")
        })
        .filter_map(symbol_name)
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// The eighth column: `name`, `name@VERSION` or `name@@VERSION`.
fn symbol_name(line: &str) -> Option<&str> {
    line.split_whitespace().nth(7)
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn read_elf(library: &Path, what: &str) -> Result<String> {
    command::read(
        Command::new("readelf")
            .args(["--wide", what])
            .arg(library)
            .env("LC_ALL", "C"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_versions_are_compared_as_numbers() {
        assert!(version("2.3.4") < version("2.17"));
        assert!(version("2.17") <= version(OLDEST_GLIBC));
        assert!(version("2.18") > version("2.17"));
        assert!(version("2.2.5") < version("2.17"));
    }

    #[test]
    fn the_c_library_of_this_machine_is_too_new_and_says_which_symbol() {
        // This test program was linked without zig, on a system whose glibc is newer than the oldest one.
        let program = std::env::current_exe().expect("running");
        let error = check_portable(&program)
            .expect_err("linked for this machine")
            .to_string();
        assert!(error.contains("@GLIBC_2.") || error.contains("libgcc_s"), "{error}");
    }
}
