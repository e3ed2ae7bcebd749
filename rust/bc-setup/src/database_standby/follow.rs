//! From the start of the standby to its streaming: what is waited for, and what is in the way.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bc_core::{
    basics::{
        error::{Error, Kind},
        words,
    },
    database::{
        conninfo::Conninfo,
        fit::{self, Collation},
        lsn::Lsn,
        messages::{self, Names},
    },
};

use super::{Wish, configuration::Change};
use crate::{cluster::Cluster, console::Console, replication::Remote, superuser::Superuser, wait::until};

/// As long is waited for a standby to stream after it has started.
const STREAMS_WITHIN: Duration = Duration::from_secs(60);
/// What keeps it from that says so again each five seconds: once after this time is enough.
const SAYS_WHY_WITHIN: Duration = Duration::from_secs(12);
/// A receiver calls itself streaming before the primary has answered, and is gone when that refuses.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// As long it may take to answer at all: it replays first what the base backup needs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(600);
/// As much of the end of a log is read.
const LOG_END: u64 = 64 << 10;

/// Starts the standby, or lets the one that runs know what has changed; `is_admitted` says that this is who is let in.
pub(super) fn start(
    cluster: &Cluster,
    changes: &[Change],
    is_admitted: bool,
    console: &mut dyn Console,
    names: &Names,
) -> Result<(), Error> {
    let now = cluster.refreshed();
    let log = Log::of(cluster);
    let started = match now.is_running {
        false => {
            console.say(&format!("Starting {}.", cluster.name));
            now.start()
        }
        true if changes.iter().any(|change| change.needs_restart) => {
            console.say(&format!("Restarting {}.", cluster.name));
            now.restart()
        }
        true if changes.is_empty() && !is_admitted => Ok(()),
        true => {
            let server = Superuser::open(&now, "postgres")?;
            server.value("select pg_reload_conf()")?;
            if changes.is_empty() {
                return Ok(());
            }
            // A receiver keeps the connection and the password that it has.
            server
                .value("select pg_terminate_backend(pid) from pg_stat_wal_receiver")
                .map(drop)
        }
    };
    started.map_err(|error| explained(error, &log, names))
}

/// Waits until the standby streams, and says how far behind it is.
pub(super) fn report(
    cluster: &Cluster,
    wish: &Wish,
    conninfo: &Conninfo,
    names: &Names,
    console: &mut dyn Console,
) -> Result<(), Error> {
    let log = Log::of(cluster);
    let server = answering(cluster, names)?;
    let primary = || Remote::ask(cluster.program("psql"), conninfo, names);
    let aim = primary()?.position;
    let begin = Instant::now();
    let mut receives_since = None;
    let follows = until(STREAMS_WITHIN, || {
        let state = match State::of(&server) {
            Ok(state) => state,
            Err(error) => return Some(Err(error)),
        };
        let since = match receives_since {
            Some((receiver, since)) if state.receiver == Some(receiver) => since,
            _ => Instant::now(),
        };
        receives_since = state.receiver.map(|receiver| (receiver, since));
        let has_all = state.replayed.is_some_and(|replayed| replayed >= aim);
        if has_all && receives_since.is_some() && since.elapsed() >= REFUSED_WITHIN {
            return Some(Ok(()));
        }
        let says_why = state.receiver.is_none() && begin.elapsed() > SAYS_WHY_WITHIN && log.meaning(names).is_some();
        says_why.then(|| Err(stands(cluster, &server, &state, &log, names)))
    });
    follows.unwrap_or_else(|| Err(stands(cluster, &server, &State::of(&server)?, &log, names)))?;
    let position = primary()?.position;
    let behind = State::of(&server)?
        .replayed
        .map_or(0, |replayed| position.bytes_since(replayed));
    console.show(&format!(
        "streaming from {}, {} behind\n",
        wish.primary,
        words::size(behind)
    ))?;
    for misfit in fit::collations(&collations(&server, cluster.major)?) {
        console.say(&format!("{}: {}. {}", misfit.severity, misfit.what, misfit.mend));
    }
    Ok(())
}

/// What the standby itself says.
struct State {
    /// The process that streams.
    receiver: Option<u32>,
    replayed: Option<Lsn>,
}

impl State {
    fn of(server: &Superuser) -> Result<Self, Error> {
        let rows = server.rows(
            "select (select pid from pg_stat_wal_receiver where status = 'streaming'), pg_last_wal_replay_lsn()",
        )?;
        let mut columns = rows.into_iter().next().unwrap_or_default().into_iter();
        let receiver = columns.next().flatten().and_then(|process| process.parse().ok());
        let replayed = columns.next().flatten().and_then(|position| position.parse().ok());
        Ok(Self { receiver, replayed })
    }
}

/// A connection to the standby once it answers.
fn answering(cluster: &Cluster, names: &Names) -> Result<Superuser, Error> {
    let log = Log::of(cluster);
    let answered = until(ANSWERS_WITHIN, || {
        let now = cluster.refreshed();
        match Superuser::open(&now, "postgres") {
            // It may come to that still.
            Err(_) if now.is_running => None,
            answer => Some(answer),
        }
    });
    let answered = answered.unwrap_or_else(|| Superuser::open(&cluster.refreshed(), "postgres"));
    answered.map_err(|error| explained(error, &log, names))
}

/// Why a standby that runs does not stream, by its log.
fn stands(cluster: &Cluster, server: &Superuser, state: &State, log: &Log, names: &Names) -> Error {
    let is_paused = server.is("select pg_is_wal_replay_paused()").unwrap_or_default();
    let (what, mend) = match log.meaning(names) {
        Some(meaning) => (meaning.cause, meaning.mend),
        None if is_paused => (
            "its replay is paused".to_owned(),
            "`select pg_wal_replay_resume()` there, as superuser.".to_owned(),
        ),
        None if state.receiver.is_some() => (
            "it receives, and has not replayed yet what the primary had".to_owned(),
            "Wait, and run this again: it says how far it is.".to_owned(),
        ),
        None => (
            format!("its log does not say why ({})", log.shown()),
            "Look into it, and into that of the primary.".to_owned(),
        ),
    };
    Error::new(
        Kind::Unreachable,
        format!("{} runs as a standby, and does not stream: {what}", cluster.name),
        mend,
    )
}

fn collations(server: &Superuser, major: u32) -> Result<Vec<Collation>, Error> {
    if major < 15 {
        return Ok(Vec::new());
    }
    let rows = server.rows(
        "select datname, datcollversion, pg_database_collation_actual_version(oid) from pg_database where datallowconn",
    )?;
    let collation = |row: Vec<Option<String>>| {
        let mut columns = row.into_iter();
        Some(Collation {
            database: columns.next()??,
            recorded: columns.next()?,
            actual: columns.next()?,
        })
    };
    Ok(rows.into_iter().filter_map(collation).collect())
}

/// An error of a server with what its log says of it.
fn explained(error: Error, log: &Log, names: &Names) -> Error {
    match log.meaning(names) {
        Some(meaning) => Error::new(
            error.kind(),
            format!("{}: {}", error.message(), meaning.cause),
            meaning.mend,
        ),
        None => error,
    }
}

/// The log of a server, from where it was when this was made.
struct Log {
    /// Where it may be, and how long each file was then.
    files: Vec<(PathBuf, u64)>,
}

impl Log {
    fn of(cluster: &Cluster) -> Self {
        let files = places(cluster).into_iter().map(|path| {
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.size());
            (path, length)
        });
        Self { files: files.collect() }
    }

    /// What the newest line of those that came since says that we know.
    fn meaning(&self, names: &Names) -> Option<messages::Meaning> {
        self.files.iter().find_map(|(path, from)| {
            let said = said_since(path, *from)?;
            said.lines().rev().find_map(|line| messages::meaning(line, names))
        })
    }

    fn shown(&self) -> String {
        let found = self.files.iter().find(|(path, _)| path.is_file());
        found.map_or_else(|| "it is not found".to_owned(), |(path, _)| path.display().to_string())
    }
}

/// Where the log of a server may be: what it says itself, and what its layout does.
pub(crate) fn places(cluster: &Cluster) -> Vec<PathBuf> {
    let named = fs::read_to_string(cluster.data.join("current_logfiles")).unwrap_or_default();
    let named = named.lines().filter_map(|line| line.split_once(' '));
    let mut places: Vec<PathBuf> = named.map(|(_, path)| cluster.data.join(path)).collect();
    places.extend([
        cluster.log(),
        cluster.configuration.join("log"),
        PathBuf::from(format!(
            "/var/log/postgresql/postgresql-{}.log",
            cluster.name.replace('/', "-")
        )),
    ]);
    places
}

/// What was added to a file, the end of it where it is long. One that is shorter now is another one.
pub(crate) fn said_since(path: &Path, from: u64) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let from = if metadata.size() < from { 0 } else { from };
    let from = from.max(metadata.size().saturating_sub(LOG_END));
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).ok()?;
    file.take(LOG_END).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
