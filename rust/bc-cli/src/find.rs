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

use bc_core::{layout::Layout, properties::Properties};

use crate::{args::Place, exit_code::ExitCode, failure::Failure};

mod wrapper_conf;

use wrapper_conf::{Environment, WrapperConf};

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
struct Installation {
    origin: PathBuf,
    properties: Properties,
    layout: Layout,
}

/// What was found besides installations: reasons why some may have been overlooked.
type Doubts = Vec<String>;

impl Search {
    /// As the command line and the environment say.
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

    /// The one node that is meant. `none` is what the process ends with where there is none.
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

    /// Where the GoCD that is meant keeps its configuration, whether or not its node exists already. `config` is
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
            return self.layout_of(state_dir, &installations).ok_or_else(|| {
                Failure::new(
                    ExitCode::Usage,
                    format!(
                        "which GoCD the node in {} belongs to is not known, and so neither is its configuration folder",
                        state_dir.display()
                    ),
                    "Say where cruise-config.xml is with --config DIR.",
                )
            });
        }
        let with_config: Vec<_> = installations
            .iter()
            .filter(|one| may_exist(one.layout.pair_dir()))
            .collect();
        let with_node: Vec<_> = with_config
            .iter()
            .copied()
            .filter(|one| may_exist(one.layout.state_dir()))
            .collect();
        let meant = if with_node.is_empty() { with_config } else { with_node };
        match meant.as_slice() {
            [one] => Ok(one.layout.clone()),
            [] => {
                let here = layout_of_working_dir(&self.current);
                if may_exist(here.state_dir()) || here.cruise_config().is_file() {
                    return Ok(here);
                }
                let mut failure = Failure::new(
                    ExitCode::Usage,
                    "no GoCD installation was found on this machine",
                    "Say where cruise-config.xml is with --config DIR.",
                );
                for doubt in doubts {
                    failure = failure.caused_by(doubt);
                }
                Err(failure)
            }
            several => Err(list(
                "there are several GoCD installations on this machine",
                several.iter().map(|one| (one.layout.pair_dir(), one.origin.as_path())),
                "Say which one with --config DIR.",
            )),
        }
    }

    /// The system properties of the JVM of the installation in `--gocd`; only a working directory without it.
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

    fn installations(&self) -> Result<(Vec<Installation>, Doubts), Failure> {
        let roots: Vec<_> = self.usual.iter().chain(&self.gocd).cloned().collect();
        self.installations_in(&roots)
    }

    /// All installations in these folders, each state folder once.
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
                        here.push(Installation::new(path, conf.properties()));
                    }
                    Err(error) => doubts.push(format!("cannot read {}: {error}", path.display())),
                }
            }
            if here.is_empty() && is_given {
                // A GoCD that is started without the wrapper.
                let folder = fs::canonicalize(root).unwrap_or_else(|_| root.clone());
                here.push(Installation::new(root.clone(), working_dir_properties(&folder)));
            }
            found.extend(
                here.into_iter()
                    .filter(|one| seen.insert(resolved(one.layout.state_dir()))),
            );
        }
        Ok((found, doubts))
    }

    /// The layout that a state folder belongs to: that of the installation which names it, else that of the
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
        layout.pair_dir().is_dir().then_some(layout)
    }

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
    fn new(origin: PathBuf, properties: Properties) -> Self {
        let layout = Layout::from_properties(&properties);
        Self {
            origin,
            properties,
            layout,
        }
    }
}

/// All files `wrapper.conf` in `root` and two levels of folders below, sorted. Links to folders are not followed.
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

/// Whether a folder is there, or cannot be seen from here: what is really so shows when it is used.
fn may_exist(folder: &Path) -> bool {
    match fs::metadata(folder) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// One name for each folder, whatever links lead to it.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn working_dir_properties(working_dir: &Path) -> Properties {
    Properties::from_iter([("user.dir", working_dir.display().to_string())])
}

fn layout_of_working_dir(working_dir: &Path) -> Layout {
    Layout::from_properties(&working_dir_properties(working_dir))
}

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

fn list<'a>(message: &str, places: impl Iterator<Item = (&'a Path, &'a Path)>, hint: &str) -> Failure {
    let places: Vec<_> = places
        .map(|(place, origin)| format!("\n  {} ({})", place.display(), origin.display()))
        .collect();
    Failure::new(ExitCode::Usage, format!("{message}:{}", places.concat()), hint)
}

#[cfg(test)]
mod tests;
