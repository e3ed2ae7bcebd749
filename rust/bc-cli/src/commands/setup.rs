//! `gocd-bc setup`: changes a machine, by what bc-setup does.
//!
//! | module | does |
//! |---|---|
//! | `database_standby` | `gocd-bc setup database-standby`, on the host of the standby's database |
//! | `primary`, `standby` | `gocd-bc setup primary` and `standby`, on the hosts of the two GoCD servers |
//! | `gocd_host` | GoCD on this machine: jar, token, the lines of its wrapper |
//! | `introduction` | asks the primary who it is |
//! | `first_sync` | a standby's node, until it is in sync |
//! | `said` | what the two say at their end |

#[cfg(target_os = "linux")]
use std::path::PathBuf;

use bc_core::basics::{Error, Kind};
#[cfg(target_os = "linux")]
use bc_setup::{
    cluster::Which,
    database_primary::{self, Outcome, Wish},
};

#[cfg(target_os = "linux")]
use crate::args::setup::ClusterPlace;
use crate::{
    args::setup::{DatabasePrimaryArguments, SetupCommand},
    console::Terminal,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
};

mod database_standby;
mod first_sync;
mod gocd_host;
mod introduction;
mod primary;
mod said;
mod standby;

/// Runs a command of `gocd-bc setup`.
///
/// # Errors
/// It was not done, or not wholly.
pub(crate) fn run(search: &Search, command: SetupCommand) -> Result<ExitCode, Failure> {
    let done = match command {
        SetupCommand::DatabasePrimary(arguments) => database_primary(arguments),
        SetupCommand::DatabaseStandby(arguments) => database_standby::run(arguments),
        SetupCommand::Primary(wish) => return primary::run(search, &wish, &mut Terminal::new()),
        SetupCommand::Standby(wish) => return standby::run(search, &wish, &mut Terminal::new()),
    };
    done.map_err(failure)
}

#[cfg(target_os = "linux")]
fn database_primary(arguments: DatabasePrimaryArguments) -> Result<ExitCode, Error> {
    let wish = Wish {
        cluster: which(arguments.cluster),
        standby: arguments.standby,
        address: arguments.address,
        gocd: arguments.gocd_host,
        role: arguments.user,
        slot: arguments.slot,
        database: arguments.database,
        configured: configured(),
        share: arguments.share,
        password_file: arguments.password_file.map(absolute).transpose()?,
        new_password: arguments.new_password,
        write: arguments.write,
        restart: arguments.restart,
    };
    Ok(match database_primary::run(&wish, &mut Terminal::new())? {
        Outcome::Shown | Outcome::Ready | Outcome::Unproved => ExitCode::Ok,
        Outcome::WaitsForRestart => ExitCode::Failed,
    })
}

/// Database and user of a GoCD on this host. What cannot be read is as good as none: the database is found by its tables
/// then.
#[cfg(target_os = "linux")]
fn configured() -> Option<(String, String)> {
    use bc_core::{
        basics::{Properties, regular_file},
        database::configured::{self, Configured},
    };

    ["/etc/go", "/godata/config"].iter().find_map(|folder| {
        let read = |name: &str| {
            regular_file::read(&std::path::Path::new(folder).join(name), regular_file::LARGEST_OF_OURS).ok()
        };
        let file = read(configured::FILE)?;
        match configured::read(Some(&file), &Properties::default(), read("cipher.aes").as_deref()).ok()? {
            Configured::PostgreSql(login) => Some((login.database().to_owned(), login.user.clone())),
            Configured::NotCovered(_) => None,
        }
    })
}

/// A path as programs that run elsewhere need it.
#[cfg(target_os = "linux")]
fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    std::path::absolute(&path).map_err(|error| Error::io("find", &path, &error))
}

#[cfg(target_os = "linux")]
fn which(place: ClusterPlace) -> Which {
    match (place.cluster, place.pgdata) {
        (_, Some(folder)) => Which::Data(folder),
        (Some(name), None) => Which::Named(name),
        (None, None) => Which::Only,
    }
}

#[cfg(not(target_os = "linux"))]
fn database_primary(_: DatabasePrimaryArguments) -> Result<ExitCode, Error> {
    Err(not_here())
}

#[cfg(not(target_os = "linux"))]
fn not_here() -> Error {
    Error::new(
        Kind::Refused,
        "databases are set up on Linux alone",
        "Run this on the host of the database.",
    )
}

/// What does not say which cluster is meant is wrong use.
fn failure(error: Error) -> Failure {
    let is_usage = error.kind() == Kind::Setting;
    let failure = Failure::from(error);
    if is_usage {
        failure.with_exit(ExitCode::Usage)
    } else {
        failure
    }
}
