//! The sources of one tag of GoCD, and which of its modules the build has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::files;

/// What is left out: the Rails pages, the bundled plugins, TFS, and what only builds, tests or packs GoCD.
const LEFT_OUT: [&str; 9] = [
    "rack_hack",
    "buildSrc",
    "development-utility",
    "tfs-impl",
    "test",
    "build-platform",
    "plugin-infra/plugins",
    "docker",
    "installers",
];

/// The unpacked sources of a tag.
pub(crate) struct Sources {
    root: PathBuf,
}

impl Sources {
    /// Unpacks a tag of the repository into `root`, unless it is there.
    ///
    /// # Errors
    /// The repository has no such tag, or cannot be read.
    pub(crate) fn of_tag(gocd: &Path, tag: &str, root: PathBuf) -> Result<Self> {
        if !root.exists() {
            let beside = root.with_extension("part");
            fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
            let mut archive = Command::new("git")
                .arg("-C")
                .arg(gocd)
                .args(["archive", tag])
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start git")?;
            let text = archive.stdout.take().context("git has no output")?;
            let unpacked = Command::new("tar").arg("x").arg("-C").arg(&beside).stdin(text).status();
            ensure!(
                archive.wait()?.success() && unpacked.context("cannot start tar")?.success(),
                "{} has no tag {tag} that can be unpacked",
                gocd.display()
            );
            fs::rename(&beside, &root).with_context(|| format!("cannot write {}", root.display()))?;
        }
        let sources = Self { root };
        sources.let_this_java_through()?;
        Ok(sources)
    }

    /// 20.6 ends on any Java but 11 to 13; it is told to go on. Nothing else of GoCD's code is changed.
    fn let_this_java_through(&self) -> Result<()> {
        for file in files::under(&self.root)? {
            if file.file_name().is_some_and(|name| name == "AssertJava.java")
                && file.components().any(|part| part.as_os_str() == "main")
            {
                let text = fs::read_to_string(&file)?;
                if text.contains("VERSION_13") && !text.contains("VERSION_17") {
                    fs::write(
                        &file,
                        text.replace("System.exit(1);", "System.err.println(\"goes on\");"),
                    )?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The first of these files that the tag has.
    pub(crate) fn first_of(&self, names: &[&str]) -> Result<PathBuf> {
        names
            .iter()
            .map(|name| self.path(name))
            .find(|path| path.exists())
            .with_context(|| format!("{} has none of {}", self.root.display(), names.join(", ")))
    }

    /// All build scripts below the root, with their paths relative to it.
    pub(crate) fn build_scripts(&self) -> Result<Vec<(String, String)>> {
        let mut scripts = Vec::new();
        for file in files::under(&self.root)? {
            if file.file_name().is_some_and(|name| name == "build.gradle") {
                let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
                scripts.push((files::relative(&self.root, &file), text));
            }
        }
        Ok(scripts)
    }

    /// The modules that are built, as paths relative to the root.
    pub(crate) fn modules(&self) -> Result<Vec<String>> {
        let mut modules = Vec::new();
        for folder in files::folders_under(&self.root)? {
            let relative = files::relative(&self.root, &folder);
            if let Some(module) = relative.strip_suffix("/src/main")
                && !LEFT_OUT
                    .iter()
                    .any(|out| module == *out || module.starts_with(&format!("{out}/")))
            {
                modules.push(module.to_owned());
            }
        }
        modules.sort();
        Ok(modules)
    }

    /// The source sets of a module, without those of its tests.
    pub(crate) fn sets(&self, module: &str) -> Result<Vec<PathBuf>> {
        let folder = self.path(module).join("src");
        let mut sets = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if entry.file_type()?.is_dir() && !name.starts_with("test") {
                sets.push(entry.path());
            }
        }
        sets.sort();
        Ok(sets)
    }

    /// The Java files of a module.
    pub(crate) fn java(&self, module: &str) -> Result<Vec<PathBuf>> {
        let mut java = Vec::new();
        for set in self.sets(module)? {
            let folder = set.join("java");
            if folder.is_dir() {
                let all = files::under(&folder)?.into_iter();
                // A package that GoCD wrote anew for Rails, in the name of JRuby's own.
                java.extend(all.filter(|file| {
                    file.extension().is_some_and(|ending| ending == "java")
                        && !file.components().any(|part| part.as_os_str() == "org.jruby.ext.ripper")
                }));
            }
        }
        Ok(java)
    }
}
