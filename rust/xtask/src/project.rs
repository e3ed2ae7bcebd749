//! Where things are in a checkout of the project.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{command, platform::Platform};

/// The plugin jar's name: without a version, so that a -javaagent path stays true over upgrades.
pub(crate) const JAR: &str = "gocd-business-continuity.jar";

/// A product, or the variant of it that misbehaves on request and that only tests load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// What administrators get, built so that it links quickly: for tests and demo.
    Product,
    /// The same, optimised as what is given away: for measurements.
    Optimised,
    /// Built with the cargo feature `provoke`.
    Provoke,
}

/// One checkout. All paths are absolute.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    root: PathBuf,
    environment: Vec<(String, OsString)>,
}

impl Project {
    /// The checkout that this program was built in.
    pub(crate) fn of_this_checkout() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Self::at(&root)
    }

    /// The checkout in `root`.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let root = fs::canonicalize(root).with_context(|| format!("cannot find the checkout {}", root.display()))?;
        Ok(Self {
            root,
            environment: Vec::new(),
        })
    }

    /// The same checkout, with these variables set for every command in it.
    pub(crate) fn with_environment<const N: usize>(self, variables: [(&str, OsString); N]) -> Self {
        let environment = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { environment, ..self }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Cargo's target folder, always the one in the checkout: the jar's build looks there.
    pub(crate) fn target(&self) -> PathBuf {
        self.path("target")
    }

    /// Where the native libraries of a variant lie, one folder for each platform.
    pub(crate) fn natives(&self, variant: Variant) -> PathBuf {
        match variant {
            Variant::Product => self.path("target/natives"),
            Variant::Optimised => self.path("target/natives-optimised"),
            Variant::Provoke => self.path("target/natives-provoke"),
        }
    }

    /// The native library of one platform.
    pub(crate) fn library(&self, variant: Variant, platform: Platform) -> PathBuf {
        self.natives(variant)
            .join(platform.name())
            .join(platform.library_file())
    }

    /// The folder that the plugin jar of a variant is built into.
    pub(crate) fn jar_folder(&self, variant: Variant) -> PathBuf {
        match variant {
            Variant::Product => self.path("build/libs"),
            Variant::Optimised => self.path("target/optimised-jar"),
            Variant::Provoke => self.path("target/provoke-jar"),
        }
    }

    /// The plugin jar.
    pub(crate) fn jar(&self, variant: Variant) -> PathBuf {
        self.jar_folder(variant).join(JAR)
    }

    /// The launcher jar of the stand-in GoCD.
    pub(crate) fn host_jar(&self) -> PathBuf {
        self.path("tests/gocd-host/build/libs/go.jar")
    }

    /// The companion command, as tests and demo run it.
    pub(crate) fn companion(&self) -> PathBuf {
        self.path("target/debug/gocd-bc")
    }

    /// A command in the checkout's root.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.root).envs(self.environment.clone());
        command
    }

    /// Cargo in the checkout's root.
    ///
    /// The outer cargo has set variables that describe xtask; build scripts must not see them change from one
    /// way of starting to the other, or cargo builds their crates again.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command(command::cargo());
        command.env("CARGO_TARGET_DIR", self.target());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") {
                command.env_remove(&name);
            }
        }
        command
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("CARGO_MANIFEST_PATH");
        command
    }

    /// The version of the product: the workspace's.
    pub(crate) fn version(&self) -> Result<String> {
        let metadata = self.metadata(&["--no-deps"])?;
        let packages = metadata["packages"]
            .as_array()
            .context("cargo metadata lists no packages")?;
        packages
            .iter()
            .find(|package| package["name"] == "bc-jni")
            .and_then(|package| package["version"].as_str())
            .map(str::to_owned)
            .context("cargo metadata has no version of bc-jni")
    }

    /// `cargo metadata`.
    pub(crate) fn metadata(&self, options: &[&str]) -> Result<serde_json::Value> {
        let mut cargo = self.cargo();
        cargo
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(options);
        let text = command::read(&mut cargo)?;
        serde_json::from_str(&text).context("cargo metadata did not print JSON")
    }
}
