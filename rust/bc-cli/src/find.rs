//! Which node on this machine is meant, and where its configuration is.
//!
//! In this order: `--state-dir`; `BC_STATE_DIR`; every `wrapper.conf` under `/usr/share/go-server` (packages),
//! `/go-server` (Docker image) and `--gocd`; `./db/business-continuity`. A `wrapper.conf` says where the state folder
//! is by `-Dbc.state.dir=…`, else it is `db/business-continuity` in GoCD's working directory. A node exists once its
//! state folder does. Where several exist the command does not choose.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
};

use bc_core::{basics::Properties, generation::Layout};

use crate::{args::Place, exit_code::ExitCode, failure::Failure};

mod wrapper_conf;

use wrapper_conf::Environment;
pub(crate) use wrapper_conf::WrapperConf;

/// Where GoCD's packages and its Docker image keep their `wrapper.conf`.
const USUAL_FOLDERS: [&str; 2] = ["/usr/share/go-server", "/go-server"];
/// Folders below a given one in which a `wrapper.conf` is looked for.
const DEEPEST_FOLDER: usize = 2;
/// The state folder in GoCD's working directory.
const USUAL_STATE_DIR: &str = "db/business-continuity";

/// A node on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its state folder.
    pub(crate) state_dir: PathBuf,
    /// Where GoCD keeps things, if that is known.
    pub(crate) layout: Option<Layout>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    state_dir: Option<PathBuf>,
    gocd: Option<PathBuf>,
    usual: Vec<PathBuf>,
    current: PathBuf,
    environment: Environment,
}

/// A GoCD installation, with or without a node.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// Its `wrapper.conf`, or the folder that it was found by.
    pub(crate) origin: PathBuf,
    /// The system properties of its JVM.
    pub(crate) properties: Properties,
    /// Where it keeps things.
    pub(crate) layout: Layout,
    /// What its wrapper reads; none where it is started without the wrapper.
    pub(crate) conf: Option<WrapperConf>,
}

/// What was found besides installations: reasons why some may have been overlooked.
type Doubts = Vec<String>;

impl Search {
    /// Makes the search for a node from the command line and the environment.
    pub(crate) fn new(place: &Place) -> Self {
        let given = env::var_os("BC_STATE_DIR")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        Self {
            state_dir: place.state_dir.clone().or(given),
            gocd: place.gocd.clone(),
            usual: USUAL_FOLDERS.map(PathBuf::from).to_vec(),
            current: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            environment: |name| env::var(name).ok(),
        }
    }

    /// The state folder that the command line or the environment names.
    pub(crate) fn given_state_dir(&self) -> Option<&Path> {
        self.state_dir.as_deref()
    }

    /// Finds the one node on this machine that is meant. `none` is what the process ends with where there is none.
    ///
    /// # Errors
    /// There is none, or several.
    pub(crate) fn node(&self, none: ExitCode) -> Result<Node, Failure> {
        let (installations, doubts) = self.installations()?;
        if let Some(state_dir) = &self.state_dir {
            if !may_exist(state_dir) {
                return Err(Failure::new(
                    none,
                    format!("there is no node in {}: no such folder", state_dir.display()),
                    "Check --state-dir or BC_STATE_DIR; the folder is made when GoCD first starts with the plugin.",
                ));
            }
            let layout = self.layout_of(state_dir, &installations);
            return Ok(Node {
                state_dir: state_dir.clone(),
                layout,
            });
        }
        let nodes: Vec<_> = installations
            .iter()
            .filter(|one| may_exist(one.layout.state_dir()))
            .collect();
        match nodes.as_slice() {
            [one] => Ok(Node {
                state_dir: one.layout.state_dir().to_owned(),
                layout: Some(one.layout.clone()),
            }),
            [] => {
                let here = self.current.join(USUAL_STATE_DIR);
                if may_exist(&here) {
                    let layout = self.layout_of(&here, &installations);
                    return Ok(Node {
                        state_dir: here,
                        layout,
                    });
                }
                Err(self.nothing_found(none, &installations, doubts))
            }
            several => Err(list(
                "there are several nodes on this machine",
                several.iter().map(|one| (one.layout.state_dir(), one.origin.as_path())),
                "Say which one with --state-dir DIR.",
            )),
        }
    }

    /// Finds where the GoCD that is meant keeps its configuration, whether or not its node exists already. `config` is
    /// the folder as the administrator gave it.
    ///
    /// # Errors
    /// It is not known, or there are several.
    pub(crate) fn layout(&self, config: Option<&Path>) -> Result<Layout, Failure> {
        if let Some(config) = config {
            return Ok(layout_of_config(&self.current, config));
        }
        let (installations, doubts) = self.installations()?;
        if let Some(state_dir) = &self.state_dir {
            return self
                .layout_of(state_dir, &installations)
                .ok_or_else(|| belongs_to_none(state_dir));
        }
        self.only_one(
            installations,
            doubts,
            "Say where cruise-config.xml is with --config DIR.",
            "--config DIR",
        )
        .map(|one| one.layout)
    }

    /// Finds the one GoCD installation on this machine that is meant, whether or not its node exists already.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) fn installation(&self) -> Result<Installation, Failure> {
        const HINT: &str = "Install GoCD first, or say where it is with --gocd DIR.";
        let (installations, doubts) = self.installations()?;
        if let Some(state_dir) = &self.state_dir {
            let wanted = resolved(state_dir);
            let is_its = |one: &Installation| resolved(one.layout.state_dir()) == wanted;
            return installations
                .into_iter()
                .find(is_its)
                .ok_or_else(|| belongs_to_none(state_dir));
        }
        let (installations, doubts) = match self.gocd.as_slice() {
            [] => (installations, doubts),
            given => self.installations_in(given)?,
        };
        if let [one] = installations.as_slice() {
            // Perhaps it never ran, and has no configuration yet.
            return Ok(one.clone());
        }
        self.only_one(installations, doubts, HINT, "--gocd DIR")
    }

    /// Takes the one installation that has a configuration, or of several the one that has a node too; without any, what
    /// is in the current folder. `hint` is for where there is none, `option` says which one is meant.
    fn only_one(
        &self,
        installations: Vec<Installation>,
        doubts: Doubts,
        hint: &str,
        option: &str,
    ) -> Result<Installation, Failure> {
        let with_config: Vec<_> = installations
            .iter()
            .filter(|one| may_exist(one.layout.cruise_config_dir()))
            .collect();
        let with_node: Vec<_> = with_config
            .iter()
            .copied()
            .filter(|one| may_exist(one.layout.state_dir()))
            .collect();
        let meant = if with_node.is_empty() { with_config } else { with_node };
        match meant.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let here = Installation::new(self.current.clone(), working_dir_properties(&self.current), None);
                if may_exist(here.layout.state_dir()) || here.layout.cruise_config().is_file() {
                    return Ok(here);
                }
                let failure = Failure::new(ExitCode::Usage, "no GoCD installation was found on this machine", hint);
                Err(doubts.into_iter().fold(failure, Failure::caused_by))
            }
            several => Err(list(
                "there are several GoCD installations on this machine",
                several
                    .iter()
                    .map(|one| (one.layout.cruise_config_dir(), one.origin.as_path())),
                &format!("Say which one with {option}."),
            )),
        }
    }

    /// Finds the installation that a node belongs to; none where it is not known.
    pub(crate) fn installation_of(&self, node: &Node) -> Option<Installation> {
        let (installations, _) = self.installations().ok()?;
        let wanted = resolved(&node.state_dir);
        let is_meant = |one: &Installation| resolved(one.layout.state_dir()) == wanted;
        installations.into_iter().find(is_meant)
    }

    /// Reads the system properties of the JVM of the installation in `--gocd`; only a working directory without it.
    ///
    /// # Errors
    /// There are several installations in it.
    pub(crate) fn jvm_properties(&self) -> Result<Properties, Failure> {
        let Some(gocd) = &self.gocd else {
            return Ok(working_dir_properties(&self.current));
        };
        let (found, _) = self.installations_in(std::slice::from_ref(gocd))?;
        match found.as_slice() {
            [one] => Ok(one.properties.clone()),
            several => Err(list(
                &format!("there are several GoCD installations in {}", gocd.display()),
                several
                    .iter()
                    .map(|one| (one.layout.working_dir(), one.origin.as_path())),
                "Give the folder of one of them.",
            )),
        }
    }

    /// Finds all installations of GoCD on this machine.
    fn installations(&self) -> Result<(Vec<Installation>, Doubts), Failure> {
        let roots: Vec<_> = self.usual.iter().chain(&self.gocd).cloned().collect();
        self.installations_in(&roots)
    }

    /// Finds all installations of GoCD in these folders, each state folder once.
    fn installations_in(&self, roots: &[PathBuf]) -> Result<(Vec<Installation>, Doubts), Failure> {
        let mut found: Vec<Installation> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut doubts = Vec::new();
        for root in roots {
            let is_given = self.gocd.as_ref() == Some(root);
            if is_given && !root.is_dir() {
                return Err(Failure::new(
                    ExitCode::Usage,
                    format!("there is no folder {}", root.display()),
                    "Check --gocd: it is the folder that GoCD is installed in.",
                ));
            }
            let mut here = Vec::new();
            for path in wrapper_confs(root, &mut doubts) {
                match WrapperConf::read(&path, self.environment) {
                    Ok(conf) => {
                        doubts.extend_from_slice(conf.unread());
                        here.push(Installation::new(path, conf.properties(), Some(conf)));
                    }
                    Err(error) => doubts.push(format!("cannot read {}: {error}", path.display())),
                }
            }
            if here.is_empty() && is_given {
                // A GoCD that is started without the wrapper.
                let folder = fs::canonicalize(root).unwrap_or_else(|_| root.clone());
                here.push(Installation::new(root.clone(), working_dir_properties(&folder), None));
            }
            found.extend(
                here.into_iter()
                    .filter(|one| seen.insert(resolved(one.layout.state_dir()))),
            );
        }
        Ok((found, doubts))
    }

    /// Finds the layout that a state folder belongs to: that of the installation which names it, else that of the
    /// working directory in which it has its usual place.
    fn layout_of(&self, state_dir: &Path, installations: &[Installation]) -> Option<Layout> {
        let wanted = resolved(state_dir);
        if let Some(one) = installations
            .iter()
            .find(|one| resolved(one.layout.state_dir()) == wanted)
        {
            return Some(one.layout.clone());
        }
        let absolute = self.current.join(state_dir);
        let working_dir = absolute
            .ends_with(USUAL_STATE_DIR)
            .then(|| absolute.ancestors().nth(2))??;
        let layout = layout_of_working_dir(working_dir);
        layout.cruise_config_dir().is_dir().then_some(layout)
    }

    /// Says that no node was found on this machine, and where it was looked for.
    fn nothing_found(&self, none: ExitCode, installations: &[Installation], doubts: Doubts) -> Failure {
        let mut failure = Failure::new(
            none,
            "no node of GoCD Business Continuity was found on this machine",
            "Start GoCD once with the plugin. If it is elsewhere, name its state folder with --state-dir DIR, or its \
             installation with --gocd DIR.",
        );
        for one in installations {
            failure = failure.caused_by(format!(
                "{} names {}, which does not exist",
                one.origin.display(),
                one.layout.state_dir().display()
            ));
        }
        if installations.is_empty() {
            let looked: Vec<_> = self.usual.iter().map(|root| root.display().to_string()).collect();
            failure = failure.caused_by(format!("there is no wrapper.conf in {}", looked.join(" or ")));
        }
        for doubt in doubts {
            failure = failure.caused_by(doubt);
        }
        failure.caused_by(format!("there is no {}", self.current.join(USUAL_STATE_DIR).display()))
    }
}

impl Installation {
    /// An installation of GoCD that was found by `origin`.
    fn new(origin: PathBuf, properties: Properties, conf: Option<WrapperConf>) -> Self {
        let layout = Layout::from_properties(&properties);
        Self {
            origin,
            properties,
            layout,
            conf,
        }
    }
}

/// Finds all files `wrapper.conf` in `root` and two levels of folders below, sorted. Links to folders are not followed.
fn wrapper_confs(root: &Path, doubts: &mut Doubts) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                // What cannot be looked into may hold one.
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    doubts.push(format!("cannot look into {}: {error}", folder.display()));
                }
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEEPEST_FOLDER {
                folders.push((entry.path(), depth + 1));
            } else if !kind.is_dir() && entry.file_name() == "wrapper.conf" {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Whether a state folder is there, or cannot be seen from here: what is really so shows when it is used.
fn may_exist(folder: &Path) -> bool {
    match fs::metadata(folder) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// One path for each folder, whatever links lead to it.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The system properties of a JVM of which only the working directory is known.
fn working_dir_properties(working_dir: &Path) -> Properties {
    Properties::from_iter([("user.dir", working_dir.display().to_string())])
}

/// The layout of a GoCD that has this working directory.
fn layout_of_working_dir(working_dir: &Path) -> Layout {
    Layout::from_properties(&working_dir_properties(working_dir))
}

/// The layout of a GoCD that has this configuration folder.
fn layout_of_config(current: &Path, config: &Path) -> Layout {
    let mut properties = working_dir_properties(current);
    let config = current.join(config);
    properties.set("cruise.config.dir", config.display().to_string());
    properties.set(
        "cruise.config.file",
        config.join("cruise-config.xml").display().to_string(),
    );
    Layout::from_properties(&properties)
}

/// Says that nobody knows whose node is in a state folder.
fn belongs_to_none(state_dir: &Path) -> Failure {
    Failure::new(
        ExitCode::Usage,
        format!(
            "which GoCD the node in {} belongs to is not known, and so neither is its configuration folder",
            state_dir.display()
        ),
        "Say where cruise-config.xml is with --config DIR.",
    )
}

/// The failure that lists what was found, where one is to be chosen.
fn list<'a>(message: &str, places: impl Iterator<Item = (&'a Path, &'a Path)>, hint: &str) -> Failure {
    let places: Vec<_> = places
        .map(|(place, origin)| format!("\n  {} ({})", place.display(), origin.display()))
        .collect();
    Failure::new(ExitCode::Usage, format!("{message}:{}", places.concat()), hint)
}

#[cfg(test)]
mod tests;
