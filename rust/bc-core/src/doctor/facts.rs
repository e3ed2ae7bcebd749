//! What was seen of an installation. Whatever could not be seen is the reason why, never a guess.

use super::cluster::Cluster;
use crate::{
    database::{look, picture::Picture},
    generation::Role,
    node::named_files::{NamedFile, Told},
    status::Status,
};

/// Something, or why it is not known.
pub type Known<T> = Result<T, String>;

/// All that was seen from one host.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The GoCD on this host; none where there is none.
    pub here: Option<Here>,
    /// The other nodes of the pair, as far as this one knows of them.
    pub others: Vec<Other>,
    /// GoCD's database as this host sees it; none where the node here says it.
    pub database: Option<Picture>,
    /// The PostgreSQL clusters on this host; none where nobody looked.
    pub clusters: Option<Known<Vec<Cluster>>>,
}

/// The GoCD on this host.
#[derive(Debug, Clone)]
pub struct Here {
    /// The state folder of its node.
    pub state_dir: String,
    /// The folder of `cruise-config.xml`, where it is known.
    pub config_dir: Option<String>,
    /// The folder of user plugins, where it is known.
    pub plugins_dir: Option<String>,
    /// What the node says of itself; none where none answers.
    pub node: Known<Option<Status>>,
    /// The token here: its user, or why it cannot be used; none where there is none.
    pub token: Known<Option<String>>,
    /// Whether the settings on the disk ask for a standby; none where nobody can see how the JVM is started.
    pub flag: Known<Option<bool>>,
    /// What GoCD's wrapper gives the JVM; none where it is not started by one.
    pub wrapper: Option<Wrapper>,
    /// The process that has the node open; none where there is none, or none in sight.
    pub process: Known<Option<Process>>,
    /// The files and folders that are synced, or decide about it.
    pub files: Known<Vec<File>>,
    /// The files that the configuration names.
    pub named_files: Known<Vec<NamedFile>>,
    /// What is left of each disk that GoCD and the node write to.
    pub disks: Known<Vec<Disk>>,
    /// Processes of GoCD's agent on this host: each with its user.
    pub agents: Known<Vec<(u32, u32)>>,
    /// What the state folder lies on, in a container; none outside of one.
    pub volume: Known<Option<Volume>>,
    /// The history of the configuration, `db/config.git`; none where there is none.
    pub config_git: Known<Option<ConfigGit>>,
    /// Whether the script that Helm's chart runs after a start waits for a held GoCD; none where there is no such script.
    pub helm_waits: Option<bool>,
    /// GoCD's own ports that were tried, since a GoCD of the pair is one that gives its secrets away: address, and whether
    /// it did.
    pub old_ports: Vec<(String, bool)>,
}

/// What GoCD's wrapper gives the JVM.
#[derive(Debug, Clone, Default)]
pub struct Wrapper {
    /// The file for lines of one's own.
    pub file: String,
    /// The arguments of the JVM.
    pub arguments: Vec<String>,
    /// The jar that `-javaagent` names, and whether it is there; none without such an argument.
    pub agent_jar: Option<(String, bool)>,
}

/// The process that has a node open.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its user.
    pub user: u32,
    /// Its groups, the first one first.
    pub groups: Vec<u32>,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A file or a folder.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is.
    pub path: String,
    /// What it is to GoCD.
    pub kind: FileKind,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its permissions.
    pub mode: u32,
    /// Whether others than owner and group can go to where it is.
    pub is_in_open_folder: bool,
}

/// What a file is to GoCD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file that GoCD reads and writes.
    Written,
    /// A file that GoCD reads.
    Read,
    /// A file that GoCD reads and nobody else may.
    Secret,
    /// A folder that GoCD writes in.
    Folder,
}

/// What is left of a disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// A folder on it.
    pub folder: String,
    /// Bytes that are free.
    pub free: u64,
}

/// What a folder lies on.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The kind of its file system: `overlay`.
    pub file_system: String,
    /// Where that is mounted.
    pub mounted_at: String,
}

/// The repository with the history of the configuration.
#[derive(Debug, Clone)]
pub struct ConfigGit {
    /// Where it is.
    pub path: String,
    /// Why GoCD could not read it; none where nothing speaks against it.
    pub broken: Option<String>,
}

/// Another node.
#[derive(Debug, Clone)]
pub struct Other {
    /// Where it was asked.
    pub url: String,
    /// What it says of itself.
    pub node: Result<Status, Silence>,
    /// What it tells of the files that its configuration names; none where it was not asked, or is of the version before.
    pub named_files: Option<Known<Told>>,
    /// How far its clock is ahead of the one here, in milliseconds; none where nobody can say.
    pub clock_ahead_ms: Option<i64>,
}

/// Why another node said nothing, in words that name its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// It does not answer.
    Unreachable(String),
    /// It shows a key that is not trusted here.
    Untrusted(String),
    /// It refuses our token.
    TokenRefused(String),
    /// It could not be asked, or something else answered.
    Unknown(String),
}

impl Facts {
    /// What the node here says; none where it does not.
    pub(super) fn status(&self) -> Option<&Status> {
        self.here.as_ref()?.node.as_ref().ok()?.as_ref()
    }

    /// GoCD's database: what the node here says of it, or where that is silent what this host sees.
    pub(super) fn database(&self) -> Option<&Picture> {
        match self.status() {
            Some(status) => status.database.as_ref(),
            None => self.database.as_ref(),
        }
    }

    /// The role of the GoCD here: its node's, or where that is silent that of its database; none where that is silent too.
    pub(super) fn role(&self) -> Option<Role> {
        if let Some(status) = self.status() {
            return Some(status.role);
        }
        let has = |role| {
            let servers = self.database.iter().flat_map(|database| &database.servers);
            servers.filter_map(|server| server.role).any(|other| other == role)
        };
        match (has(look::Role::Primary), has(look::Role::Standby)) {
            (true, _) => Some(Role::Primary),
            (false, true) => Some(Role::Standby),
            (false, false) => None,
        }
    }
}
