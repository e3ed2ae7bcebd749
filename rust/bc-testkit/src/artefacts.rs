//! Where the built things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout.
pub fn repository() -> PathBuf {
    match env::var_os("BC_REPO") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the crate lies two folders below the top")
            .to_owned(),
    }
}

/// The plugin jar.
pub fn jar() -> PathBuf {
    artefact("BC_JAR", "build/libs/gocd-business-continuity.jar", "cargo xtask jar")
}

/// The plugin jar whose library misbehaves as `bc.provoke` says.
pub fn provoke_jar() -> PathBuf {
    artefact(
        "BC_PROVOKE_JAR",
        "target/provoke-jar/gocd-business-continuity.jar",
        "cargo xtask jar --provoke",
    )
}

/// The launcher of the stand-in GoCD.
pub fn host_jar() -> PathBuf {
    artefact("BC_HOST_JAR", "tests/gocd-host/build/libs/go.jar", "cargo xtask host")
}

/// The companion command.
pub fn cli() -> PathBuf {
    artefact("BC_CLI", "target/debug/gocd-bc", "cargo build -p bc-cli")
}

/// The `java` of a major version.
///
/// # Panics
/// There is none: `cargo xtask tools` brings it.
pub fn java(major: u32) -> PathBuf {
    let variable = format!("BC_JAVA_{major}");
    let found = env::var_os(&variable).map(PathBuf::from).or_else(|| {
        let folders = std::fs::read_dir("/usr/lib/jvm").ok()?;
        folders.flatten().map(|entry| entry.path()).find_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let is_that = name.contains(&format!("-{major}-")) || name.ends_with(&format!("-{major}"));
            let java = path.join("bin/java");
            (is_that && java.exists()).then_some(java)
        })
    });
    found.unwrap_or_else(|| panic!("no JDK {major}: run `cargo xtask tools` and set {variable} (`cargo xtask env`)"))
}

/// A file below `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

fn artefact(variable: &str, usual: &str, command: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(|| repository().join(usual), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `{command}`", path.display());
    path
}
