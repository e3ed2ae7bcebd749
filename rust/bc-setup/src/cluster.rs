//! The PostgreSQL clusters of this machine: where their files are, whose they are, how they are started and stopped.
//!
//! | layout | found by | started and stopped by |
//! |---|---|---|
//! | Debian, Ubuntu | `pg_lsclusters -j` | `pg_ctlcluster`, which goes through systemd where that runs |
//! | packages of the PostgreSQL project for Red Hat, AppStream | unit files `postgresql*.service` that name `PGDATA` | `systemctl` |
//! | any other | `--pgdata DIR` | `pg_ctl` |
//!
//! What is in a data folder says the rest: `PG_VERSION`, `postmaster.pid`, `standby.signal`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use bc_core::basics::{Error, Kind};

use crate::{os_user::OsUser, program::Program};

mod control;
mod debian;
mod postmaster;
mod units;

/// The port where no configuration says another.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// One cluster: a data folder and the server for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The version, such as 15, by which its files are known.
    pub major: u32,
    /// What `--cluster` calls it: `15/main`, the name of a unit, or the data folder.
    pub name: String,
    /// Where it listens, or would.
    pub port: u16,
    /// `data_directory`.
    pub data: PathBuf,
    /// The folder of `postgresql.conf`: the data folder in most layouts.
    pub configuration: PathBuf,
    /// The folder of its programs.
    pub programs: PathBuf,
    /// As whom it runs.
    pub owner: OsUser,
    /// How it is started and stopped.
    pub control: Control,
    /// The folder of its socket, while it runs.
    pub sockets: Option<PathBuf>,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it is a standby, or would start as one.
    pub is_in_recovery: bool,
}

/// How a cluster is started and stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// `pg_ctlcluster VERSION NAME`.
    Debian {
        /// Its name within the version: `main`.
        name: String,
    },
    /// `systemctl`, with this unit.
    Unit(String),
    /// `pg_ctl`.
    PgCtl,
    /// By nobody in here: the server is the first process of a container.
    Container,
}

/// Which cluster is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The only one there is.
    Only,
    /// The one of this name.
    Named(String),
    /// The one in this data folder, which a package need not know.
    Data(PathBuf),
}

/// Finds the cluster that is meant.
///
/// # Errors
/// [`Kind::Setting`] where there is none, or several of which none was named: what to type is said.
pub fn find(which: &Which) -> Result<Cluster, Error> {
    let mut known = all()?;
    match which {
        Which::Data(folder) => {
            let folder = fs::canonicalize(folder).map_err(|error| Error::io("look at", folder, &error))?;
            match known.into_iter().find(|cluster| cluster.data == folder) {
                Some(cluster) => Ok(cluster),
                None => Cluster::in_folder(folder),
            }
        }
        Which::Named(name) => match known.iter().position(|cluster| cluster.name == *name) {
            Some(position) => Ok(known.swap_remove(position)),
            None => Err(Error::new(
                Kind::Setting,
                format!("there is no cluster {name} on this machine: {}", listed(&known)),
                hint("Name one of them with --cluster, or its data folder with --pgdata."),
            )),
        },
        Which::Only if known.len() == 1 => Ok(known.swap_remove(0)),
        Which::Only if known.is_empty() => Err(Error::new(
            Kind::Setting,
            "no cluster of PostgreSQL is found on this machine",
            hint("Name its data folder with --pgdata, or run this where the database is."),
        )),
        Which::Only => Err(Error::new(
            Kind::Setting,
            format!("there are several clusters of PostgreSQL here: {}", listed(&known)),
            format!("Say which one, such as: --cluster {}", known[0].name),
        )),
    }
}

/// All clusters that the packages of this machine know.
///
/// # Errors
/// They cannot be listed.
pub fn all() -> Result<Vec<Cluster>, Error> {
    let mut found = debian::clusters()?;
    for cluster in units::clusters(Path::new("/")) {
        if !found.iter().any(|other| other.data == cluster.data) {
            found.push(cluster);
        }
    }
    Ok(found)
}

/// What to do where nothing is found, by whoever may not see all that is there.
fn hint(text: &str) -> String {
    match OsUser::ourselves().is_root() {
        true => text.to_owned(),
        false => {
            format!("Run this as root, or as the user that PostgreSQL runs as: others do not see its files. {text}")
        }
    }
}

fn listed(clusters: &[Cluster]) -> String {
    let names: Vec<String> = clusters.iter().map(Cluster::to_string).collect();
    match names.is_empty() {
        true => "there is none that a package knows".to_owned(),
        false => names.join(", "),
    }
}

impl Cluster {
    /// One of its programs, to be run as its user.
    pub fn program(&self, name: &str) -> Program {
        Program::new(self.programs.join(name)).as_user(&self.owner)
    }

    /// The same cluster as it is now, after it was started or stopped.
    #[must_use]
    pub fn refreshed(&self) -> Self {
        let running = postmaster::of(&self.data);
        Self {
            port: running.as_ref().map_or(self.port, |postmaster| postmaster.port),
            sockets: running.as_ref().and_then(|postmaster| postmaster.sockets.clone()),
            is_running: running.is_some(),
            is_in_recovery: is_in_recovery(&self.data),
            ..self.clone()
        }
    }

    /// A cluster of which nobody knows but who names its folder.
    fn in_folder(data: PathBuf) -> Result<Self, Error> {
        let major = major(&data)?;
        let programs = running_programs(&data)
            .or_else(|| usual_programs(major))
            .or_else(|| last_programs(&data))
            .ok_or_else(|| {
                Error::new(
                    Kind::Setting,
                    format!(
                        "the programs of PostgreSQL {major} are not found, which {} needs",
                        data.display()
                    ),
                    format!("Install the package of PostgreSQL {major}."),
                )
            })?;
        Self::new(data.display().to_string(), major, data, programs, Control::PgCtl)
    }

    /// What a data folder says of its cluster.
    fn new(name: String, major: u32, data: PathBuf, programs: PathBuf, control: Control) -> Result<Self, Error> {
        let owner = OsUser::owning(&data)?;
        let running = postmaster::of(&data);
        let mut cluster = Self {
            major,
            name,
            port: running.as_ref().map_or(DEFAULT_PORT, |postmaster| postmaster.port),
            configuration: data.clone(),
            programs,
            owner,
            control: match &running {
                Some(postmaster) if postmaster.pid == 1 => Control::Container,
                _ => control,
            },
            sockets: running.as_ref().and_then(|postmaster| postmaster.sockets.clone()),
            is_running: running.is_some(),
            is_in_recovery: is_in_recovery(&data),
            data,
        };
        if running.is_none() {
            cluster.port = cluster
                .setting("port")
                .and_then(|port| port.parse().ok())
                .unwrap_or(cluster.port);
        }
        Ok(cluster)
    }

    /// What a server that does not run would have as a setting, by its own program.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let asked = self
            .program("postgres")
            .arg("-D")
            .arg(&self.configuration)
            .args(["-C", name]);
        let output = asked.succeed().ok()?;
        Some(output.stdout.trim().to_owned())
    }
}

/// What a person needs to recognise a cluster: `15/main (port 5432, running, /var/lib/postgresql/15/main)`.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_running, self.is_in_recovery) {
            (false, _) => "stopped",
            (true, false) => "running",
            (true, true) => "running as a standby",
        };
        let Self { name, port, data, .. } = self;
        write!(f, "{name} (port {port}, {state}, {})", data.display())
    }
}

/// The version of the files in a data folder.
fn major(data: &Path) -> Result<u32, Error> {
    let file = data.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(|error| Error::io("read", &file, &error))?;
    text.trim().parse().map_err(|_| {
        Error::new(
            Kind::Setting,
            format!(
                "{} is of PostgreSQL {}, which is older than 11",
                data.display(),
                text.trim()
            ),
            "Upgrade it to a version that its project still supports.",
        )
    })
}

fn is_in_recovery(data: &Path) -> bool {
    ["standby.signal", "recovery.signal", "recovery.conf"]
        .iter()
        .any(|name| data.join(name).exists())
}

/// The folder of the program that serves a data folder now.
fn running_programs(data: &Path) -> Option<PathBuf> {
    let postmaster = postmaster::of(data)?;
    let program = fs::read_link(format!("/proc/{}/exe", postmaster.pid)).ok()?;
    let folder = program.parent()?;
    // What was replaced by an upgrade is there no more.
    folder.join("postgres").exists().then(|| folder.to_owned())
}

/// The folder of the program that served a data folder last, which it has noted there: nobody else knows of programs
/// that no package brought. They are run as that folder's owner, as all of a cluster are.
fn last_programs(data: &Path) -> Option<PathBuf> {
    let command = fs::read_to_string(data.join("postmaster.opts")).ok()?;
    let program = Path::new(command.split_whitespace().next()?);
    let is_server = program.is_absolute() && program.ends_with("postgres") && program.exists();
    is_server.then(|| program.parent().map(Path::to_owned)).flatten()
}

/// Where packages put the programs of a version.
pub(crate) fn usual_programs(major: u32) -> Option<PathBuf> {
    let places = [
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
        PathBuf::from(format!("/usr/pgsql-{major}/bin")),
        PathBuf::from(format!("/usr/libexec/postgresql{major}")),
        PathBuf::from("/usr/local/bin"),
        PathBuf::from("/usr/bin"),
    ];
    places.into_iter().find(|folder| {
        let version = Program::new(folder.join("postgres")).arg("--version");
        folder.join("postgres").exists()
            && version
                .succeed()
                .is_ok_and(|output| output.stdout.contains(&format!(" {major}.")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_stopped_is_known_by_the_program_that_it_noted() {
        let folder = tempfile::tempdir().expect("folder");
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).expect("made");
        fs::write(programs.join("postgres"), "").expect("written");
        let noted = |text: &str| {
            fs::write(folder.path().join("postmaster.opts"), text).expect("written");
            last_programs(folder.path())
        };
        let command = format!("{} \"-D\" \"/x\"\n", programs.join("postgres").display());
        assert_eq!(noted(&command), Some(programs));
        for text in ["", "postgres -D /x\n", "/bin/sh\n", "/nowhere/postgres\n"] {
            assert_eq!(noted(text), None, "{text}");
        }
    }
}
