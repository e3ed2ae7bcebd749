//! What is in this host's data folder before anything is done to it.

use std::{fs, path::Path};

use bc_core::{
    basics::error::Error,
    database::{
        control_data::ControlData,
        fit::{EQUAL, NOT_LOWER, Settings},
        followed,
        look::SystemId,
    },
};

use crate::{cluster::Cluster, replication::Remote, superuser::Superuser};

/// Settings of one host, that a copy of another one must not lose.
const OF_THIS_HOST: [&str; 3] = ["port", "listen_addresses", "unix_socket_directories"];

/// What a server needs once it is the primary, as far as it does not come along from the one that is.
const FOR_THE_SWAP: [&str; 10] = [
    "hot_standby",
    "wal_keep_segments",
    "wal_keep_size",
    "max_slot_wal_keep_size",
    "wal_log_hints",
    "full_page_writes",
    "archive_mode",
    "archive_command",
    "archive_library",
    "archive_timeout",
];

/// The cluster that is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    system: Option<SystemId>,
    /// Whether it would start as a standby.
    pub(super) is_standby: bool,
    /// What it is for, besides what every cluster has: names of databases, where it runs.
    pub(super) databases: Vec<String>,
    /// Its settings, as far as they are compared.
    pub(super) settings: Settings,
    /// What the copy has to be told, since the configuration that comes along is the primary's.
    pub(super) of_this_host: Vec<(String, String)>,
}

impl Own {
    /// Which cluster it is a copy of, where that can be known.
    pub(super) fn system(&self) -> Option<SystemId> {
        self.system
    }

    /// The settings that are to be good for a primary as well: where the configuration comes along from the primary, it is
    /// only where this server listens.
    pub(super) fn for_the_swap(&self, cluster: &Cluster, remote: &Remote) -> Settings {
        let of_this_host = ["listen_addresses"].into_iter();
        let comes_along = cluster.configuration == cluster.data;
        let names = of_this_host.chain(FOR_THE_SWAP.into_iter().filter(|_| !comes_along));
        let own = names.filter_map(|name| self.settings.get_key_value(name));
        // Those are of the files, which are the primary's.
        let copied = remote.settings.get_key_value("data_checksums");
        let pairs = own.chain(copied).map(|(name, value)| (name.clone(), value.clone()));
        pairs.collect()
    }

    /// The share that it ships its log to once it is the primary: none where somebody else's way of shipping is set here, or
    /// where its configuration comes along from the primary.
    pub(super) fn ships_to(&self, cluster: &Cluster, share: Option<&Path>) -> Option<String> {
        let share = share.filter(|_| cluster.configuration != cluster.data)?;
        let share = share.display().to_string();
        followed::other_archive(&self.settings, &share)
            .is_none()
            .then_some(share)
    }

    /// Whether it is a standby, and a copy of that one.
    pub(super) fn is_standby_of(&self, system: SystemId) -> bool {
        self.is_standby && self.system == Some(system)
    }
}

/// Looks at the cluster that is there, if one is.
pub(super) fn look(cluster: &Cluster) -> Result<Own, Error> {
    if !cluster.data.join("PG_VERSION").exists() {
        return Ok(Own::default());
    }
    let mut own = Own {
        is_standby: cluster.is_in_recovery,
        ..Own::default()
    };
    // One that still starts cannot be asked, and may do so for ever.
    let server = cluster
        .is_running
        .then(|| Superuser::open(cluster, "postgres"))
        .and_then(Result::ok);
    if let Some(server) = server {
        own.system = server
            .value("select system_identifier from pg_control_system()")?
            .and_then(|system| SystemId::try_from(system).ok());
        let names = EQUAL.iter().chain(&NOT_LOWER).chain(&OF_THIS_HOST).chain(&FOR_THE_SWAP);
        let listed: Vec<String> = names.map(|name| format!("'{name}'")).collect();
        let rows = server.rows(&format!(
            "select name, current_setting(name) from pg_settings where name in ({})",
            listed.join(", ")
        ))?;
        own.settings = pairs(rows).collect();
        let databases =
            server.rows("select datname from pg_database where not datistemplate and datname <> 'postgres'")?;
        own.databases = databases
            .into_iter()
            .filter_map(|row| row.into_iter().next()?)
            .collect();
    } else {
        own.system = control_data(cluster)
            .map(|control| control.system)
            .or_else(|| noted_system(cluster));
        // The program would say sizes in other units than a server does.
        let names = NOT_LOWER.iter().chain(&OF_THIS_HOST).chain(&FOR_THE_SWAP);
        let values = names.filter_map(|name| Some(((*name).to_owned(), cluster.setting(name)?)));
        own.settings = values.collect();
    }
    // Elsewhere the configuration of this host is not in the data folder, and stays.
    if cluster.configuration == cluster.data {
        let values = OF_THIS_HOST.iter().filter_map(|name| own.settings.get_key_value(*name));
        own.of_this_host = values.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    Ok(own)
}

fn control_data(cluster: &Cluster) -> Option<ControlData> {
    let output = cluster
        .program("pg_controldata")
        .arg("-D")
        .arg(&cluster.data)
        .succeed()
        .ok()?;
    ControlData::parse(&output.stdout).ok()
}

/// The system by the file of the control data itself, which begins with it in all versions: not every package has the
/// program that shows it.
fn noted_system(cluster: &Cluster) -> Option<SystemId> {
    let file = cluster.data.join("global/pg_control");
    let bytes = cluster.owner.act(|| fs::read(file).ok()).ok()??;
    let system = u64::from_ne_bytes(*bytes.first_chunk()?);
    SystemId::try_from(system.to_string()).ok()
}

fn pairs(rows: Vec<crate::superuser::Row>) -> impl Iterator<Item = (String, String)> {
    rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter();
        Some((columns.next()??, columns.next()??))
    })
}
