//! The PostgreSQL clusters of this host, as their superuser sees them.

use std::{net::ToSocketAddrs, path::PathBuf};

use bc_core::{
    doctor::{cluster::Cluster, facts::Known},
    status::Status,
};
use bc_server::database::is_own_address;

/// Of the clusters of a host those that are a matter of the pair. A host that has GoCD as well may have others, and ones
/// that nobody starts: there only GoCD's own counts. Elsewhere one that was left behind by an upgrade does not.
pub(super) fn of_the_pair(clusters: Vec<Cluster>, has_gocd: bool, status: Option<&Status>) -> Vec<Cluster> {
    let ports = status.map(local_ports);
    let one_runs = clusters.iter().any(|cluster| cluster.is_running);
    let is_meant = |cluster: &Cluster| match (has_gocd, &ports) {
        (true, Some(ports)) => ports.contains(&cluster.port),
        (true, None) => cluster.is_running,
        (false, _) => cluster.is_running || !one_runs,
    };
    clusters.into_iter().filter(is_meant).collect()
}

/// The ports on this host at which GoCD's database is.
fn local_ports(status: &Status) -> Vec<u16> {
    let servers = status.database.iter().flat_map(|database| &database.servers);
    let local = servers.filter_map(|server| {
        let addresses: Vec<_> = server.address.to_socket_addrs().ok()?.collect();
        let is_own = addresses.iter().any(|address| is_own_address(&address.ip()));
        is_own.then(|| addresses.first().map(|address| address.port()))?
    });
    local.collect()
}

/// Looks at the cluster in this data folder, or at all that the packages of this host know.
#[cfg(target_os = "linux")]
pub(super) fn all(data: Option<PathBuf>) -> Known<Vec<Cluster>> {
    use bc_setup::cluster::{self, Which};

    let is_given = data.is_some();
    let found = match data {
        Some(folder) => cluster::find(&Which::Data(folder)).map(|cluster| vec![cluster]),
        None => cluster::all(),
    };
    let found = found.map_err(|error| match nix::unistd::geteuid().is_root() {
        true => error.to_string(),
        false => format!("{}; run it as root", error.message()),
    })?;
    if found.is_empty() && !is_given && linux::are_hidden() {
        return Err("only PostgreSQL's own user and root see what its clusters are; run it as root".to_owned());
    }
    Ok(linux::look_at(found))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn all(_: Option<PathBuf>) -> Known<Vec<Cluster>> {
    Ok(Vec::new())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use bc_core::{
        basics::{Error, Kind},
        database::{
            facts::{self, Facts},
            look::{self, Look},
        },
        doctor::cluster::{Closed, Cluster, InDatabase, Inside, STATEMENT, Upstream, statement_in_database},
    };
    use bc_setup::{cluster, superuser::Superuser, upstream};

    use super::super::{CLUSTER_WITHIN, within};

    /// So many databases are looked at for GoCD's.
    const MOST_DATABASES: usize = 20;
    /// Where packages have the configurations and the data of clusters.
    const OF_PACKAGES: [&str; 2] = ["/etc/postgresql", "/var/lib/pgsql"];

    /// Whether this host has clusters that only root sees.
    pub(super) fn are_hidden() -> bool {
        let has_some = |folder: &str| {
            fs::read_dir(folder).map_or_else(
                |error| error.kind() != std::io::ErrorKind::NotFound,
                |mut entries| entries.next().is_some(),
            )
        };
        !nix::unistd::geteuid().is_root() && OF_PACKAGES.iter().any(|folder| has_some(folder))
    }

    /// Looks at each, at once: one that is frozen keeps nobody else waiting.
    pub(super) fn look_at(clusters: Vec<cluster::Cluster>) -> Vec<Cluster> {
        let begun: Vec<_> = clusters
            .into_iter()
            .map(|cluster| {
                let asked = cluster.clone();
                let inside = within(CLUSTER_WITHIN, move || inside(&asked));
                let disk = within(CLUSTER_WITHIN, {
                    let data = cluster.data.clone();
                    move || look_at_folder(&data)
                });
                (cluster, inside, disk)
            })
            .collect();
        let looked = begun.into_iter().map(|(cluster, inside, disk)| {
            let (mode, free) = disk.wait().unwrap_or((None, None));
            Cluster {
                name: cluster.name.clone(),
                major: cluster.major,
                port: cluster.port,
                data: cluster.data.display().to_string(),
                mode: mode.unwrap_or(0o700),
                free,
                is_running: cluster.is_running,
                is_standby: cluster.is_in_recovery,
                start: cluster.control_command("start"),
                restart: cluster.control_command("restart"),
                inside: inside.wait().unwrap_or_else(|late| Err(Closed::Silent(late.seconds()))),
            }
        });
        looked.collect()
    }

    /// The permissions of a data folder, and what is free on its disk.
    fn look_at_folder(data: &Path) -> (Option<u32>, Option<u64>) {
        let disk = nix::sys::statvfs::statvfs(data).ok();
        (
            fs::metadata(data).ok().map(|folder| folder.mode()),
            disk.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size())),
        )
    }

    /// Asks its superuser.
    fn inside(cluster: &cluster::Cluster) -> Result<Inside, Closed> {
        let failed = |error: Error| Closed::Unknown(error.to_string());
        let not_understood = || Closed::Unknown("PostgreSQL answered something else than was asked".to_owned());
        if !cluster.is_running {
            return Err(Closed::Stopped);
        }
        let server = Superuser::open(cluster, "postgres").map_err(|error| match error.kind() {
            Kind::Busy => Closed::NotReady(error.message().to_owned()),
            Kind::Refused => Closed::Refused {
                why: error.message().to_owned(),
                commands: lets_in(cluster, error.guidance()),
            },
            _ => failed(error),
        })?;
        let answer = server.value(STATEMENT).map_err(failed)?.ok_or_else(not_understood)?;
        let mut inside: Inside = serde_json::from_str(&answer).map_err(|_| not_understood())?;
        inside.upstream = cluster.is_in_recovery.then(|| upstream(cluster, &server));
        let statement = statement_in_database(cluster.major);
        let mut of_gocd = None;
        for name in inside.databases.iter().flatten().take(MOST_DATABASES) {
            // One that nobody can look into is not known to be GoCD's.
            let Ok(server) = Superuser::open(cluster, name) else {
                continue;
            };
            let Ok(Some(answer)) = server.value(&statement) else {
                continue;
            };
            let found: InDatabase = serde_json::from_str(&answer).map_err(|_| not_understood())?;
            inside.gocd = Some(InDatabase {
                name: name.clone(),
                ..found
            });
            of_gocd = Some(server);
            break;
        }
        let server = of_gocd.unwrap_or(server);
        let rows = server.rows(look::STATEMENT).map_err(failed)?;
        let row: Vec<Option<&str>> = rows
            .first()
            .ok_or_else(not_understood)?
            .iter()
            .map(Option::as_deref)
            .collect();
        let mut look = Look::of(&row).map_err(|_| not_understood())?;
        let receives = server
            .value("select status from pg_stat_wal_receiver")
            .map_err(failed)?;
        if receives.is_some_and(|status| status != "streaming") {
            // One that begins again and again is there at most looks.
            look.receiver = None;
        }
        let facts = server.value(&facts::statement(look.version)).map_err(failed)?;
        if let Some(upstream) = &mut inside.upstream
            && look.receiver.is_some()
            && upstream.told.is_some()
        {
            // What its log says of the past.
            upstream.reason = None;
        }
        inside.facts = facts.and_then(|facts| Facts::of(&facts));
        inside.look = Some(look);
        Ok(inside)
    }

    /// What to type so that a cluster lets its superuser in, by what `guidance` says that it lacks.
    fn lets_in(cluster: &cluster::Cluster, guidance: &str) -> Vec<String> {
        let rules = cluster.configuration.join("pg_hba.conf");
        match guidance.contains("pg_hba.conf") {
            true => vec![
                format!(
                    "sed -i '1i local all {} peer' '{}'",
                    cluster.owner.name,
                    rules.display()
                ),
                cluster.control_command("reload"),
            ],
            false => vec![guidance.to_owned()],
        }
    }

    /// The server that a standby follows. What it has written is asked for before what the standby has replayed.
    fn upstream(cluster: &cluster::Cluster, server: &Superuser) -> Upstream {
        let Ok(Some(followed)) = upstream::Upstream::of(cluster, server) else {
            return Upstream::default();
        };
        let is_all = !followed.has_archive();
        let is_here = followed.is_here();
        match followed.ask(cluster) {
            Ok(told) => Upstream {
                is_all,
                told: Some(told),
                reason: followed.said_by_log(cluster),
                is_silent: false,
                is_here,
            },
            Err(error) if error.kind() == Kind::File => Upstream {
                is_all,
                reason: followed.said_by_log(cluster),
                is_here,
                ..Upstream::default()
            },
            Err(error) => Upstream {
                is_all,
                told: None,
                reason: Some(format!(
                    "{}. {}",
                    error.message().trim_end_matches('.'),
                    error.guidance()
                )),
                is_silent: error.kind() == Kind::Unreachable,
                is_here,
            },
        }
    }
}
