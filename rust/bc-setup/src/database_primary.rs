//! `gocd-bc setup database-primary`: makes a PostgreSQL server ready to be followed by that of the standby.
//!
//! Each part looks first, adds its lines to the plan, and carries out what it has shown:
//!
//! | module | part |
//! |---|---|
//! | `addresses` | which hosts the pair is |
//! | `settings` | the settings, in a file of our own that is included, or by ALTER SYSTEM |
//! | `certificate` | key and certificate, where the server has none |
//! | `hba_file` | who may replicate |
//! | `role` | the role, its password and the file with it |
//! | `slot` | what keeps the log for the standby |
//! | `grants` | what GoCD's user may see and do in GoCD's database |
//! | `shipping` | how the log comes to the share, and the proof that it does |
//! | `proof` | a replication connection as the standby would make it |
//!
//! Files come first, since they fail most likely. The server itself checks them before it is told to read them, and what
//! it refuses is put back.

use std::{net::IpAddr, path::PathBuf};

use bc_core::{
    basics::{Error, Kind},
    database::{followed, url::DEFAULT_PORT},
};

use self::{
    addresses::Addresses,
    certificate::Certificate,
    grants::Grants,
    hba_file::HbaFile,
    proof::Proof,
    role::Role,
    settings::{Settings, Written},
    shipping::Shipping,
    slot::Slot,
};
use crate::{
    cluster::{self, Cluster, Which},
    console::Console,
    plan::Plan,
    superuser::Superuser,
};

mod addresses;
mod certificate;
mod grants;
mod hba_file;
mod proof;
mod role;
mod settings;
mod shipping;
mod slot;

/// What an administrator wants of the primary's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which cluster is to be followed.
    pub cluster: Which,
    /// The host of the standby's database: an address or a name.
    pub standby: String,
    /// The address of this host, as the standby knows it; found by the way there where it is not said.
    pub address: Option<IpAddr>,
    /// Hosts of a GoCD that uses this database, where that is not this host.
    pub gocd: Vec<String>,
    /// The role that the standby logs in with.
    pub role: String,
    /// The slot of the standby.
    pub slot: String,
    /// GoCD's database; found by `configured` or by its tables where it is not said.
    pub database: Option<String>,
    /// Database and user that a GoCD on this host is configured with, if there is one.
    pub configured: Option<(String, String)>,
    /// The folder that the log is shipped to as well.
    pub share: Option<PathBuf>,
    /// Where the password is kept; in the home folder of PostgreSQL's user where it is not said.
    pub password_file: Option<PathBuf>,
    /// Whether the role gets another password than it has.
    pub new_password: bool,
    /// Whether to do it, rather than to show it.
    pub write: bool,
    /// Whether the server may be restarted for it.
    pub restart: bool,
}

/// How far the primary's database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was looked at; nothing was to be changed.
    Shown,
    /// The standby can follow, as was proved.
    Ready,
    /// A restart of the server is missing.
    WaitsForRestart,
    /// All is as it should be; a connection could not be made from here, since the password is elsewhere.
    Unproved,
}

/// Looks at the primary's database, shows what would change, and does it where that is wanted.
///
/// # Errors
/// The cluster is not found, is a standby, or cannot be asked; its files have mistakes already, or cannot be written; the
/// standby's host is not to be found; the connection that proves it all is refused.
pub fn run(wish: &Wish, console: &mut dyn Console) -> Result<Outcome, Error> {
    let cluster = cluster::find(&wish.cluster)?;
    let mut server = Superuser::open(&cluster, "postgres")?;
    if server.is("select pg_is_in_recovery()")? {
        return Err(Error::new(
            Kind::Refused,
            format!("the cluster {} is a standby: it follows another server", cluster.name),
            "Run this where the primary's database is.",
        ));
    }
    refuse_patroni(&cluster)?;
    let addresses = Addresses::of(&wish.standby, wish.address)?;
    let settings = Settings::look(&cluster, &server, &addresses, wish.share.as_deref())?;
    let certificate = Certificate::look(&cluster, &server, &settings, &addresses)?;
    let hba = HbaFile::look(&server, wish, &addresses)?;
    let role = Role::look(&cluster, &server, wish)?;
    let slot = Slot::look(&cluster, &server, &wish.slot)?;
    let grants = Grants::look(&cluster, &server, wish)?;
    let shipping = settings.share().map(|share| Shipping::look(&server, share));
    let shipping = shipping.transpose()?;

    let mut plan = Plan::default();
    plan.is("cluster", cluster.to_string());
    plan.is("standby", addresses.to_string());
    settings.plan(&mut plan);
    if let Some(shipping) = &shipping {
        shipping.plan(&mut plan);
    }
    certificate.plan(&mut plan);
    hba.plan(&mut plan);
    role.plan(&mut plan);
    slot.plan(&mut plan);
    grants.plan(&mut plan);
    console.show(&plan.to_string())?;

    let has_work = settings.has_work()
        || certificate.has_work()
        || hba.has_work()
        || role.has_work()
        || slot.has_work()
        || grants.has_work();
    if !wish.write && (has_work || settings.waits_for_restart()) {
        let (restart, gocd_waits) = match settings.waits_for_restart() {
            true => (
                " --restart",
                "The server is away for some seconds then, and GoCD waits.\n",
            ),
            false => ("", ""),
        };
        console.show(&format!(
            "\nNothing has been changed. To do it, type the same command with: --write{restart}\n{gocd_waits}"
        ))?;
        return Ok(Outcome::Shown);
    }
    let mut written = None;
    if has_work {
        certificate.make(&cluster)?;
        let settings_written = settings.write(&cluster, &server)?;
        // A line for TLS is a mistake to a server that has none yet.
        if let Err(error) = settings.reload(&server).and_then(|()| hba.write(&server)) {
            settings_written.put_back(&server)?;
            return Err(error);
        }
        settings.reload(&server)?;
        role.make(&cluster, &server)?;
        slot.make(&server)?;
        grants.make(&cluster)?;
        for (file, kept) in settings_written.kept().into_iter().chain(hba.kept()) {
            console.say(&format!(
                "What was in {} is kept in {}.",
                file.display(),
                kept.display()
            ));
        }
        written = Some(settings_written);
    } else if !settings.waits_for_restart() {
        console.show("\nNothing to change.\n")?;
    }
    if settings.waits_for_restart() {
        if !wish.restart {
            console.show(&format!(
                "\nA restart of the server is missing, by which this takes effect: {}. It is away for some seconds then, and \
                 GoCD waits. Type the same command with --write --restart, or first: {}\n",
                settings.waiting().join(", "),
                cluster.control_command("restart")
            ))?;
            return Ok(Outcome::WaitsForRestart);
        }
        console.say(&format!("Restarting {}.", cluster.name));
        restart(&cluster, written.as_ref())?;
        server = Superuser::open(&cluster::find(&wish.cluster)?, "postgres")?;
        // From 15 on archive_timeout does nothing after a restart until the configuration is read again.
        settings.reload(&server)?;
    }
    if let Some(shipping) = &shipping {
        let was_changed = written.is_some() || settings.waits_for_restart();
        if let Some(file) = shipping.prove(&server, wish.write, was_changed)? {
            console.show(&format!(
                "\nProved: the log comes to {} ({file} did).\n",
                shipping.share()
            ))?;
        }
    }
    prove(wish, &cluster, &addresses, &role, console)
}

/// Restarts the server. One that does not start with what was written is started as it was.
fn restart(cluster: &Cluster, written: Option<&Written<'_>>) -> Result<(), Error> {
    let (error, written) = match (cluster.restart(), written) {
        (Ok(()), _) => return Ok(()),
        (Err(error), None) => return Err(error),
        (Err(error), Some(written)) => (error, written),
    };
    written.put_back_files()?;
    cluster.restart()?;
    Err(Error::new(
        error.kind(),
        format!("{}; the settings were put back, and it runs as before", error.message()),
        error.guidance(),
    ))
}

/// Refuses a server whose settings, lines and slots Patroni writes by itself.
fn refuse_patroni(cluster: &Cluster) -> Result<(), Error> {
    match cluster.data.join("patroni.dynamic.json").exists() {
        true => Err(Error::new(
            Kind::Refused,
            format!(
                "Patroni runs {}: it writes settings, pg_hba.conf and slots itself",
                cluster.name
            ),
            "Let Patroni make the replica. Name both hosts in db.url, with targetServerType=primary.",
        )),
        false => Ok(()),
    }
}

/// Proves the result, and says what to type on the standby's host.
fn prove(
    wish: &Wish,
    cluster: &Cluster,
    addresses: &Addresses,
    role: &Role,
    console: &mut dyn Console,
) -> Result<Outcome, Error> {
    let proof = Proof {
        cluster,
        own: addresses.own[0],
        role: &wish.role,
        password_file: role.password_file(),
    };
    let proved = proof.run()?;
    if let Some(seen) = &proved {
        console.show(&format!(
            "\nProved: {} can replicate from {} over TLS (system {}, timeline {}, position {}).\n",
            wish.role, addresses.own[0], seen.system, seen.timeline, seen.position
        ))?;
    }
    console.show(&on_the_standby(wish, cluster, addresses, role))?;
    Ok(match proved {
        Some(_) => Outcome::Ready,
        None => Outcome::Unproved,
    })
}

/// What to type next, and where.
fn on_the_standby(wish: &Wish, cluster: &Cluster, addresses: &Addresses, role: &Role) -> String {
    let own = addresses.own[0];
    let mut command = match (own, cluster.port) {
        (own, DEFAULT_PORT) => format!("gocd-bc setup database-standby --primary {own}"),
        (IpAddr::V6(own), port) => format!("gocd-bc setup database-standby --primary [{own}]:{port}"),
        (own, port) => format!("gocd-bc setup database-standby --primary {own}:{port}"),
    };
    if wish.role != followed::ROLE {
        command.push_str(&format!(" --user {}", wish.role));
    }
    if wish.slot != followed::SLOT {
        command.push_str(&format!(" --slot {}", wish.slot));
    }
    if let Some(share) = &wish.share {
        command.push_str(&format!(" --share {}", share.display()));
    }
    let bring = match role.password_file() {
        Some(file) => format!(
            "\nOn the standby's database host type, as root (any other way to bring the file there is as good: it has the \
             password in it):\n    scp root@{own}:{} /root/{}\n",
            file.display(),
            followed::PASSWORD_FILE
        ),
        None => format!(
            "\nThe password of {} is set, and the file with it is not on this host any more. If it is lost, type the same \
             command with --write --new-password.\nOn the standby's database host type, as root, where that file is:\n",
            wish.role
        ),
    };
    format!(
        "{bring}    {command} --password-file /root/{} --write\n",
        followed::PASSWORD_FILE
    )
}
