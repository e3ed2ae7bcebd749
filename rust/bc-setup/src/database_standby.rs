//! `gocd-bc setup database-standby`: makes the PostgreSQL of this host a standby of the primary's.
//!
//! | step | interrupted there |
//! |---|---|
//! | look at both, show what would change; without `--write` that is all | nothing was changed |
//! | a slot on the primary keeps what it writes from now on | it is found again |
//! | base backup into a folder beside the data folder, while the server here still runs | the next run takes it again |
//! | that copy is told whom to follow, and that it is a standby | the same |
//! | the server here stops, and both folders change places | the next run goes on here |
//! | the server starts, and streams | the next run waits for it, and says what is in the way |
//!
//! What was in the data folder stays beside it. The first step is `Pair::look`, what it comes to is an `Intent`, and
//! `Pair::carry_out` does all the rest.

mod configuration;
mod follow;
mod own;
mod place;
mod primary;
pub mod reseed;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{
        error::{Error, Kind},
        severity::Severity,
        words,
    },
    database::{
        conninfo::{Conninfo, Upstream, application_name},
        fit::{self, Misfit},
        followed::{self, Goal},
        hba::{self, Replication},
        messages::Names,
        recovery::{self, Recovery, Share},
        url::{Server, TlsMode},
    },
};
use tempfile::TempPath;
use zeroize::Zeroizing;

pub(crate) use self::follow::{places, said_since};
use self::{
    configuration::{Change, Configuration},
    own::Own,
};
use crate::{
    base_backup::BaseBackup,
    cluster::{Cluster, Control, Which},
    console::Console,
    data_folder::{DataFolder, Lock},
    foreign_file::ForeignFile,
    passfile,
    plan::Plan,
    replication::Remote,
    route, share,
};

/// What an administrator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Where the primary's database is.
    pub primary: Server,
    /// Which cluster of this host becomes its standby. A data folder may be empty or missing.
    pub cluster: Which,
    /// Hosts of a GoCD that uses the database here, where that is not this host.
    pub gocd: Vec<String>,
    /// The role that replicates.
    pub user: String,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The slot on the primary.
    pub slot: String,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// The certificates that the primary's is checked against.
    pub root_certificates: Option<PathBuf>,
    /// The folder with the files of the log that the primary ships.
    pub share: Option<PathBuf>,
    /// The file whose appearance promotes this server, up to version 15.
    pub trigger_file: Option<PathBuf>,
    /// Folders of tablespaces on the primary, and where each goes here.
    pub tablespaces: Vec<(PathBuf, PathBuf)>,
    /// Whether the server is started; not where a container does that later.
    pub starts: bool,
    /// Whether a copy is taken though there is a standby already.
    pub anew: bool,
    /// Whether anything is done.
    pub writes: bool,
}

/// Makes the standby, or shows what that would change.
///
/// # Errors
/// What does not fit, or what failed: run again it goes on from there.
pub fn run(wish: &Wish, console: &mut dyn Console) -> Result<(), Error> {
    let pair = Pair::look(wish)?;
    let mut intent = Intent::of(&pair)?;
    console.show(&intent.plan.to_string())?;
    if let Some(misfit) = intent.obstacle.take() {
        return Err(Error::new(Kind::Refused, misfit.what, misfit.mend));
    }
    for misfit in &intent.misfits {
        console.say(&format!("{}: {}. {}", misfit.severity, misfit.what, misfit.mend));
    }
    match (wish.writes, intent.plan.changes_nothing()) {
        (true, _) => pair.carry_out(&intent, console),
        (false, true) => pair.report(console),
        (false, false) => {
            console.say("Nothing was changed: --write does it.");
            Ok(())
        }
    }
}

/// Both servers, as they were found.
struct Pair<'a> {
    wish: &'a Wish,
    /// The primary, with a passfile that the programs of this run read.
    asked: Conninfo,
    /// Removes that file.
    _secret: TempPath,
    names: Names,
    remote: Remote,
    cluster: Cluster,
    own: Own,
    own_address: Option<IpAddr>,
    folder: DataFolder,
    /// What is free on the disk of the data folder.
    free: Option<u64>,
    /// What the standby is to be told.
    recovery: Recovery,
    password: Zeroizing<String>,
    /// The addresses of both.
    addresses: Vec<IpAddr>,
    /// Those of a GoCD on a host of its own.
    gocd: Vec<IpAddr>,
}

/// What is to be done, and what is in the way.
struct Intent {
    plan: Plan,
    /// Whether a standby of that primary is there, which is only told otherwise.
    is_standby: bool,
    /// Whether an earlier run has taken the base backup.
    is_ready: bool,
    changes: Vec<Change>,
    /// What does not fit, and can be lived with.
    misfits: Vec<Misfit>,
    /// What does not fit, so that nothing is done.
    obstacle: Option<Misfit>,
}

impl<'a> Pair<'a> {
    /// Looks at both servers, and refuses what cannot become a pair.
    fn look(wish: &'a Wish) -> Result<Self, Error> {
        let addresses = primary::addresses(&wish.primary)?;
        let place = place::find(&wish.cluster)?;
        if let Some(folder) = &wish.share {
            share::checked(&place.owner, folder)?;
        }
        let password = password(wish, &place)?;
        let secret = passfile::temporary(&place.owner, &wish.user, &password)?;
        let own_address = primary::own_address(&addresses);
        let names = names(wish, &place.data, own_address);
        let asked = upstream(wish, &secret.display().to_string()).conninfo();
        let remote = primary::ask(&place, &wish.primary, &addresses, &asked, &names)?;
        let cluster = place.cluster(fit::major(remote.version))?;
        let own = own::look(&cluster)?;
        refuse(wish, &cluster, &own, &remote, &addresses)?;
        let folder = DataFolder::new(&cluster.data, &cluster.owner)?;
        let mut gocd = route::of_gocd(&wish.gocd)?;
        gocd.extend(let_in_here(&cluster)?);
        Ok(Self {
            free: free(folder.disk()),
            recovery: recovery(wish, upstream(wish, passfile::FILE), &cluster, &own, &remote),
            addresses: route::pair(&addresses, own_address),
            wish,
            asked,
            _secret: secret,
            names,
            remote,
            cluster,
            own,
            own_address,
            folder,
            password,
            gocd,
        })
    }

    fn backup(&self) -> BaseBackup<'_> {
        BaseBackup {
            cluster: &self.cluster,
            conninfo: &self.asked,
            slot: &self.wish.slot,
            tablespaces: &self.wish.tablespaces,
            names: &self.names,
        }
    }

    fn configuration(&self) -> Configuration<'_> {
        Configuration {
            cluster: &self.cluster,
            recovery: &self.recovery,
            settings: &self.own.settings,
            user: &self.wish.user,
            password: &self.password,
        }
    }

    fn admitted(&self) -> Replication<'_> {
        Replication {
            role: &self.wish.user,
            addresses: &self.addresses,
            gocd: &self.gocd,
        }
    }

    /// What keeps a base backup of this size from fitting.
    fn room(&self, size: u64) -> Option<Misfit> {
        room(size, self.free, self.folder.disk())
    }

    /// Does what was shown.
    fn carry_out(&self, intent: &Intent, console: &mut dyn Console) -> Result<(), Error> {
        if !intent.is_standby {
            self.take_a_copy(intent.is_ready, console)?;
        } else if !intent.changes.is_empty() {
            self.folder.tidy()?;
            self.configuration().amend(&self.cluster.data)?;
        }
        let is_admitted = self.configuration().write_hba(&self.admitted(), console)?;
        if !self.wish.starts {
            console.say("The data folder is ready. Start the container on it: it follows the primary.");
            return Ok(());
        }
        follow::start(&self.cluster, &intent.changes, is_admitted, console, &self.names)?;
        self.report(console)
    }

    /// Takes a copy of the primary, unless one `is_ready`, and puts it in the place of the data folder; no server runs here
    /// then.
    fn take_a_copy(&self, is_ready: bool, console: &mut dyn Console) -> Result<(), Error> {
        let Self {
            wish, cluster, folder, ..
        } = self;
        let lock = folder.lock()?;
        Remote::make_slot(cluster.program("psql"), &self.asked, &wish.slot, &self.names)?;
        match is_ready {
            true => self.configuration().write_into(&folder.ready())?,
            false => self.fetch(&lock, console)?,
        }
        if cluster.refreshed().is_running {
            console.say(&format!("Stopping {}.", cluster.name));
            cluster.stop()?;
        }
        if let Some(aside) = folder.move_in()? {
            console.say(&format!(
                "What was in {} is in {} now. When nobody needs it any more: rm -r {1}",
                cluster.data.display(),
                aside.display()
            ));
        }
        folder.settle()
    }

    /// Fetches a base backup into a folder beside the data folder, and tells it whom to follow.
    fn fetch(&self, lock: &Lock, console: &mut dyn Console) -> Result<(), Error> {
        let Self {
            wish, cluster, folder, ..
        } = self;
        if self.own.is_standby && cluster.is_running {
            // It uses the slot. Whom it follows writes for others now, or for nobody.
            console.say(&format!("Stopping {}.", cluster.name));
            cluster.stop()?;
        }
        console.say(&format!("Taking a base backup from {}.", wish.primary));
        let to = folder.begin()?;
        let enough = |size: u64| match self.room(size) {
            Some(misfit) => Err(Error::new(Kind::DiskFull, misfit.what, misfit.mend)),
            None => Ok(()),
        };
        if let Err(error) = self.backup().take(&to, lock, &enough, console) {
            folder.abandon();
            return Err(error);
        }
        let configuration = self.configuration();
        let left_out = configuration.left_out(&to)?;
        if !left_out.is_empty() {
            console.say(&format!(
                "Of the primary's settings these do not come along: {}.",
                left_out.join(", ")
            ));
        }
        configuration.write_into(&to)?;
        folder.complete()
    }

    /// Waits until the standby streams, and says how far behind it is.
    fn report(&self, console: &mut dyn Console) -> Result<(), Error> {
        follow::report(&self.cluster, self.wish, &self.asked, &self.names, console)
    }
}

impl Intent {
    /// Decides what is to be done to make a pair of these.
    fn of(pair: &Pair<'_>) -> Result<Self, Error> {
        let (wish, configuration) = (pair.wish, pair.configuration());
        let is_standby = pair.own.is_standby_of(pair.remote.system) && !wish.anew;
        let mut intent = Self {
            plan: Plan::default(),
            is_standby,
            is_ready: pair.folder.has_ready() && !wish.anew,
            changes: match is_standby {
                true => configuration.differences()?,
                false => configuration.all(),
            },
            misfits: misfits(wish, &pair.own, &pair.cluster, &pair.remote, pair.own_address),
            obstacle: None,
        };
        let critical = |misfit: &Misfit| misfit.severity == Severity::Critical;
        intent.obstacle = intent.misfits.iter().find(|misfit| critical(misfit)).cloned();
        let plan = &mut intent.plan;
        plan.is("primary", described(&wish.primary, &pair.remote));
        plan.is("cluster here", pair.cluster.to_string());
        if is_standby {
            plan.is("data", "a copy of the primary");
        } else if intent.is_ready {
            plan.change(
                "data",
                "a base backup waits beside it",
                "moved in",
                "an earlier run took it",
            );
        } else {
            let size = match wish.writes {
                // The base backup says it itself, before anything comes.
                true => None,
                false => pair.backup().size()?,
            };
            plan_copy(plan, &pair.folder, &pair.own, size, pair.free);
            if let Some(misfit) = size.and_then(|size| pair.room(size)) {
                plan.is("room", misfit.what.clone());
                intent.obstacle = Some(misfit);
                return Ok(intent);
            }
        }
        for change in &intent.changes {
            plan.change(change.name.clone(), change.now.clone(), change.then.clone(), change.why);
        }
        if configuration.lets_in_others(&pair.admitted(), is_standby)? {
            plan.change(
                "pg_hba.conf",
                "lacks lines for GoCD, or for the other server",
                "it has them",
                "for now, and for after a promotion, when the roles swap",
            );
        }
        if !wish.starts {
            plan.is("start", "left to whoever starts the container");
        }
        Ok(intent)
    }
}

/// What keeps this host's data from becoming a copy of that server's, whoever wants it.
fn refuse(wish: &Wish, cluster: &Cluster, own: &Own, remote: &Remote, addresses: &[IpAddr]) -> Result<(), Error> {
    let primary = &wish.primary;
    let is_here = cluster.is_running && cluster.port == primary.port && addresses.iter().all(route::is_own);
    if is_here && own.system() == Some(remote.system) {
        return Err(Error::new(
            Kind::Refused,
            format!("{primary} is this very server: {}", cluster.name),
            "Run this on the standby's database host, and name the primary's by --primary; `getent hosts` says what a name \
             leads to.",
        ));
    }
    if remote.is_in_recovery() {
        return Err(Error::new(
            Kind::Refused,
            format!("PostgreSQL at {primary} is a standby itself"),
            "Name the primary's database by --primary. If that one is lost, promote this standby first.",
        ));
    }
    if !own.is_standby && own.system() == Some(remote.system) && !wish.anew {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "{} is a primary of the same cluster as {primary}: both went on from one point",
                cluster.name
            ),
            format!(
                "If {primary} is the one that GoCD uses: `gocd-bc setup database-standby --reseed --primary {primary}` says \
                 what would be lost here, and brings this one back."
            ),
        ));
    }
    if cluster.is_running && cluster.control == Control::Container {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "{} is served by the first process of a container, which ends with it",
                cluster.name
            ),
            "Stop it, and fill its volume by a container of its own: `gocd-bc setup database-standby --pgdata DIR --no-start`.",
        ));
    }
    if wish.trigger_file.is_some() && !recovery::knows_trigger_file(fit::major(remote.version)) {
        return Err(Error::new(
            Kind::Setting,
            "PostgreSQL 16 and newer know no trigger file, and do not start with one set",
            "Leave --trigger-file out: `gocd-bc promote`, `pg_ctlcluster promote` or `select pg_promote()` promote it.",
        ));
    }
    Ok(())
}

fn misfits(wish: &Wish, own: &Own, cluster: &Cluster, remote: &Remote, here: Option<IpAddr>) -> Vec<Misfit> {
    let mut misfits: Vec<Misfit> = fit::versions(cluster.major, fit::major(remote.version))
        .into_iter()
        .collect();
    misfits.extend(fit::sizes(&own.settings, &remote.settings));
    if let Some(share) = &wish.share {
        let here = here.map_or("ADDRESS".to_owned(), |here| here.to_string());
        misfits.extend(fit::shipping(&remote.settings, &share.display().to_string(), &here));
    }
    misfits
}

fn plan_copy(plan: &mut Plan, folder: &DataFolder, own: &Own, size: Option<u64>, free: Option<u64>) {
    let now = match (folder.has_data(), own.databases.as_slice()) {
        (false, _) => "empty".to_owned(),
        (true, []) => "another cluster".to_owned(),
        (true, databases) => format!("another cluster, with {}", databases.join(", ")),
    };
    let why = match folder.has_data() {
        true => format!("what is there now is kept as {}", folder.aside().display()),
        false => String::new(),
    };
    plan.change("data", now, "a copy of the primary", why);
    let free = free.map_or("an unknown number of bytes".to_owned(), words::size);
    match size {
        Some(size) => plan.is(
            "room",
            format!("{} needed, {free} free", words::size(fit::room_needed(size))),
        ),
        None => plan.is("room", format!("{free} free")),
    }
}

fn room(size: u64, free: Option<u64>, disk: &Path) -> Option<Misfit> {
    fit::room(fit::room_needed(size), free?, &disk.display().to_string())
}

/// Bytes that are free for PostgreSQL's user on a disk.
fn free(disk: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(disk).ok()?;
    Some(disk.blocks_available() as u64 * disk.fragment_size() as u64)
}

/// The addresses of a GoCD on another host that the cluster here lets in: where its `pg_hba.conf` is in the data folder, the
/// primary's takes the place of that.
fn let_in_here(cluster: &Cluster) -> Result<Vec<IpAddr>, Error> {
    let file = ForeignFile::read_bytes(&cluster.configuration.join("pg_hba.conf"))?;
    Ok(hba::gocd_of(&String::from_utf8_lossy(file.bytes())))
}

fn password(wish: &Wish, place: &place::Place) -> Result<Zeroizing<String>, Error> {
    if let Some(file) = &wish.password_file {
        return passfile::read(file, &wish.user);
    }
    let places = [
        place.owner.home.join(followed::PASSWORD_FILE),
        passfile::in_data(&place.data),
    ];
    let found = |path: &PathBuf| place.owner.act(|| passfile::read(path, &wish.user).ok()).transpose();
    match places.iter().find_map(found) {
        Some(password) => password,
        None => Err(Error::new(
            Kind::Setting,
            format!("the password of {} is not known here", wish.user),
            format!(
                "Bring the file with it, {}, that `gocd-bc setup database-primary` made on the primary's host to the same \
                 place here, or name it by --password-file.",
                places[0].display()
            ),
        )),
    }
}

fn upstream(wish: &Wish, passfile: &str) -> Upstream {
    Upstream {
        primary: wish.primary.clone(),
        user: wish.user.clone(),
        passfile: passfile.to_owned(),
        tls: wish.tls,
        root_certificates: wish.root_certificates.as_ref().map(|file| file.display().to_string()),
        application: application_name(&host_name()),
    }
}

/// What the standby is told.
fn recovery(wish: &Wish, upstream: Upstream, cluster: &Cluster, own: &Own, remote: &Remote) -> Recovery {
    let mut others: Vec<(String, String)> = fit::to_raise(&own.settings, &remote.settings)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect();
    others.extend(own.of_this_host.iter().cloned());
    let addresses = primary::addresses(&wish.primary).unwrap_or_default();
    let goal = Goal {
        own: primary::own_address(&addresses).into_iter().collect(),
        free_bytes: free(cluster.data.parent().unwrap_or(&cluster.data)).unwrap_or_default(),
        share: own.ships_to(cluster, wish.share.as_deref()),
    };
    for change in followed::changes(cluster.major, &own.for_the_swap(cluster, remote), &goal) {
        others.retain(|(name, _)| name != change.name);
        others.push((change.name.to_owned(), change.value));
    }
    Recovery {
        upstream,
        slot: wish.slot.clone(),
        share: wish.share.as_ref().map(|folder| Share {
            folder: folder.display().to_string(),
            programs: cluster.programs.display().to_string(),
        }),
        trigger_file: wish.trigger_file.as_ref().map(|file| file.display().to_string()),
        others,
    }
}

fn names(wish: &Wish, data: &Path, address: Option<IpAddr>) -> Names {
    let names = Names::default()
        .with("primary", wish.primary.host.clone())
        .with("port", wish.primary.port.to_string())
        .with("user", wish.user.clone())
        .with("slot", wish.slot.clone())
        .with("data", data.display().to_string());
    match address {
        Some(address) => names.with("address", address.to_string()),
        None => names,
    }
}

/// The name of this host, as it calls itself.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn described(primary: &Server, remote: &Remote) -> String {
    let version = remote.settings.get("server_version").cloned().unwrap_or_default();
    format!(
        "{primary}: PostgreSQL {version}, system {}, timeline {}, at {}",
        remote.system, remote.timeline, remote.position
    )
}
