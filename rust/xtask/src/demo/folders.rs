//! The two GoCD folders under `target/demo`.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    demo::sample_plugin,
    natives::place,
    project::{JAR, Project, Variant},
};

/// The files of the configuration folder that are synced.
pub(crate) const CONFIG_FILES: [&str; 4] = ["cruise-config.xml", "cipher.aes", "jetty.xml", "go.feature.toggles"];
/// The user of the demo's token.
const USER: &str = "demo";

/// The working directory of a GoCD server.
#[derive(Debug, Clone)]
pub(crate) struct GocdFolder {
    root: PathBuf,
}

impl GocdFolder {
    /// The folder at this path, which need not exist yet.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    pub(crate) fn cruise_config(&self) -> PathBuf {
        self.config().join("cruise-config.xml")
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("plugins/external")
    }

    /// The peers file, which our plugin makes when it loads.
    pub(crate) fn peers(&self) -> PathBuf {
        self.config().join("business-continuity-peers")
    }

    /// The state folder of our node.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("db/business-continuity")
    }
}

/// User and password of the demo.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The user.
    pub(crate) user: &'static str,
    /// The password, made anew for each demo.
    pub(crate) password: String,
}

/// An empty `target/demo`; what an earlier demo left is removed.
pub(crate) fn make_anew(project: &Project) -> Result<()> {
    let folder = demo_folder(project);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    make(&folder)
}

/// The folder of the primary: sample configuration, our jar, two sample plugins, a token.
pub(crate) fn make_primary(project: &Project) -> Result<(GocdFolder, Login)> {
    let folder = with_own_jar(project, "primary")?;
    for name in CONFIG_FILES {
        place(
            &project.path("tests/fixtures/data/config").join(name),
            &folder.config().join(name),
        )?;
    }
    // A checkout lets everybody read it; GoCD makes it so.
    let cipher = folder.config().join("cipher.aes");
    fs::set_permissions(&cipher, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot change the mode of {}", cipher.display()))?;
    // The sample configuration mentions it; the standby gets it with the rest of the folder.
    let passwords = folder.config().join("password.properties");
    fs::write(&passwords, "").with_context(|| format!("cannot write {}", passwords.display()))?;
    for (name, id) in [
        ("sample-notifier.jar", "demo.sample.notifier"),
        ("sample-task.jar", "demo.sample.task"),
    ] {
        let path = folder.plugins().join(name);
        fs::write(&path, sample_plugin::jar(id, "1.0.0")?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let login = make_token(&folder)?;
    Ok((folder, login))
}

/// Makes the token of a pair, and writes it into the configuration folder of a server.
pub(crate) fn make_token(folder: &GocdFolder) -> Result<Login> {
    let login = Login {
        user: USER,
        password: random_password()?,
    };
    let token = folder.config().join("business-continuity-token");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&token)
        .and_then(|mut file| writeln!(file, "{} = {}", login.user, login.password))
        .with_context(|| format!("cannot write {}", token.display()))?;
    Ok(login)
}

/// The folder of the standby: our jar, and the primary's configuration folder as the administrator copies it.
pub(crate) fn make_standby(project: &Project, primary: &GocdFolder) -> Result<GocdFolder> {
    let folder = with_own_jar(project, "standby")?;
    let config = primary.config();
    for entry in fs::read_dir(&config).with_context(|| format!("cannot read the folder {}", config.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            place(&entry.path(), &folder.config().join(entry.file_name()))?;
        }
    }
    Ok(folder)
}

/// Where the output of a JVM or a database goes.
pub(crate) fn log(project: &Project, name: &str) -> PathBuf {
    demo_folder(project).join(format!("{name}.log"))
}

/// Prints the ends of all logs, for a demo that failed.
pub(crate) fn print_logs(project: &Project) {
    for name in ["primary", "standby", "primary-database", "standby-database"] {
        let path = log(project, name);
        if let Ok(text) = fs::read(&path) {
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- {}", path.display());
            for line in &lines[lines.len().saturating_sub(80)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// A password that nobody has to type.
pub(crate) fn random_password() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read random bytes from /dev/urandom")?;
    Ok(hex::encode(bytes))
}

fn with_own_jar(project: &Project, name: &str) -> Result<GocdFolder> {
    let folder = GocdFolder::at(demo_folder(project).join(name));
    make(&folder.config())?;
    place(&project.jar(Variant::Product), &folder.plugins().join(JAR))?;
    Ok(folder)
}

fn demo_folder(project: &Project) -> PathBuf {
    project.target().join("demo")
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
