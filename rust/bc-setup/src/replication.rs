//! A primary, asked over its replication protocol by `psql`: what a standby needs to know of it is all there, and what
//! keeps a standby from following it is said in the words that it will hear.
//!
//! No other way in is needed: the role that replicates need not log in to any database.

use bc_core::{
    basics::error::{Error, Kind},
    database::{
        conninfo::Conninfo,
        fit::Settings,
        look::SystemId,
        lsn::Lsn,
        messages::{self, Names},
    },
};

use crate::program::Program;

/// Seconds that connecting to one address may take where the connection string says nothing of it.
const CONNECT_WITHIN_S: &str = "10";
/// What is asked for besides who it is.
const SETTINGS: [&str; 17] = [
    "server_version_num",
    "server_version",
    "transaction_read_only",
    "default_transaction_read_only",
    "data_checksums",
    "wal_level",
    "block_size",
    "wal_block_size",
    "segment_size",
    "integer_datetimes",
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "archive_mode",
    "archive_command",
];

/// A server as it was when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Which cluster it is a copy of.
    pub system: SystemId,
    /// The timeline that it writes or replays.
    pub timeline: u32,
    /// Up to where it has written, or replayed.
    pub position: Lsn,
    /// `server_version_num`: 150018 is 15.18.
    pub version: u32,
    /// Its settings of that list.
    pub settings: Settings,
}

impl Remote {
    /// Asks the server at `conninfo` who it is, with a `psql` that runs as whoever may read the passfile in there.
    ///
    /// # Errors
    /// Nobody answers, or nobody may replicate there: with the cause and what to type, filled in from `names`.
    pub fn ask(psql: Program, conninfo: &Conninfo, names: &Names) -> Result<Self, Error> {
        let shows: Vec<String> = SETTINGS.iter().map(|name| format!("SHOW {name}")).collect();
        let statements = std::iter::once("IDENTIFY_SYSTEM").chain(shows.iter().map(String::as_str));
        let answer = statement(psql, conninfo, statements, names)?;
        let mut lines = answer.lines();
        let unclear = || {
            Error::new(
                Kind::Protocol,
                "what answers there is no PostgreSQL that Business Continuity knows",
                "Check --primary and its port: a pooler such as PgBouncer cannot be replicated from.",
            )
        };
        let identity = lines.next().and_then(identity).ok_or_else(unclear)?;
        let settings: Settings = SETTINGS
            .iter()
            .map(|name| (*name).to_owned())
            .zip(lines.map(str::to_owned))
            .collect();
        let version = settings
            .get("server_version_num")
            .and_then(|version| version.parse().ok());
        Ok(Self {
            system: identity.0,
            timeline: identity.1,
            position: identity.2,
            version: version.ok_or_else(unclear)?,
            settings,
        })
    }

    /// Whether a remote server replays what another one writes.
    pub fn is_in_recovery(&self) -> bool {
        let is_on = |name: &str| self.settings.get(name).is_some_and(|value| value == "on");
        is_on("transaction_read_only") && !is_on("default_transaction_read_only")
    }

    /// Makes the physical slot `slot` at the server, unless it is there.
    ///
    /// # Errors
    /// There is none left, or its name is none.
    pub fn make_slot(psql: Program, conninfo: &Conninfo, slot: &str, names: &Names) -> Result<(), Error> {
        let quoted = slot.replace('"', "\"\"");
        let command = format!("CREATE_REPLICATION_SLOT \"{quoted}\" PHYSICAL RESERVE_WAL");
        match run(psql, conninfo, [command.as_str()])? {
            Err(said) if !said.contains("already exists") => Err(failure("make the slot", &said, names)),
            _ => Ok(()),
        }
    }
}

/// What a program of PostgreSQL said when it failed, with its cause and what to type where both are known. `doing` is a
/// verb phrase.
pub fn failure(doing: &str, said: &str, names: &Names) -> Error {
    let said = said.trim();
    match messages::meaning(said, names) {
        Some(meaning) => Error::new(
            Kind::Refused,
            format!("cannot {doing}: {}. PostgreSQL says: {}", meaning.cause, one_line(said)),
            meaning.mend,
        ),
        None => Error::new(
            Kind::Refused,
            format!("cannot {doing}: PostgreSQL says: {}", one_line(said)),
            "Its words are in the documentation of PostgreSQL; the log of the other server may say more.",
        ),
    }
}

fn statement<'a>(
    psql: Program,
    conninfo: &Conninfo,
    statements: impl IntoIterator<Item = &'a str>,
    names: &Names,
) -> Result<String, Error> {
    run(psql, conninfo, statements)?.map_err(|said| failure("ask the primary", &said, names))
}

/// What `psql` printed, or what it said when it failed.
fn run<'a>(
    psql: Program,
    conninfo: &Conninfo,
    statements: impl IntoIterator<Item = &'a str>,
) -> Result<Result<String, String>, Error> {
    let statements: Vec<&str> = statements.into_iter().collect();
    let is_preferred = conninfo.get("sslmode") == Some("prefer");
    let said = match run_once(psql.again(), conninfo, &statements)? {
        Err(said) if is_preferred && is_refused_plain(&said) => said,
        outcome => return Ok(outcome),
    };
    // libpq came again without TLS, for which there is no line. Why it was refused with TLS is what counts.
    let encrypted = run_once(psql, &conninfo.clone().with("sslmode", "require"), &statements)?;
    Ok(match encrypted {
        Err(other) if has_no_tls(&other) => Err(said),
        encrypted => encrypted,
    })
}

/// Whether what `psql` said ends with a refusal by pg_hba.conf, in any language.
fn is_refused_plain(said: &str) -> bool {
    said.contains("pg_hba.conf")
}

/// Whether one side knows no TLS. Both are words of libpq, which is asked to speak English.
fn has_no_tls(said: &str) -> bool {
    said.contains("server does not support SSL") || said.contains("SSL support is not compiled in")
}

fn run_once(psql: Program, conninfo: &Conninfo, statements: &[&str]) -> Result<Result<String, String>, Error> {
    let limit = conninfo.get("connect_timeout").unwrap_or(CONNECT_WITHIN_S).to_owned();
    let conninfo = conninfo
        .clone()
        .with("dbname", "replication")
        .with("replication", "true")
        .with("connect_timeout", &limit);
    let mut psql = psql
        .args(["-X", "-w", "-A", "-t", "-F", "|", "-v", "ON_ERROR_STOP=1", "-d"])
        .arg(conninfo.text());
    for statement in statements {
        psql = psql.arg("-c").arg(statement);
    }
    let output = psql.run()?;
    Ok(match output.code {
        Some(0) => Ok(output.stdout),
        _ => Err(output.last_words()),
    })
}

/// `7301234567890123456|1|0/3000148|`.
fn identity(line: &str) -> Option<(SystemId, u32, Lsn)> {
    let mut columns = line.split('|');
    Some((
        SystemId::try_from(columns.next()?.to_owned()).ok()?,
        columns.next()?.parse().ok()?,
        columns.next()?.parse().ok()?,
    ))
}

fn one_line(said: &str) -> String {
    said.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_identify_system_is_read() {
        let (system, timeline, position) = identity("7301234567890123456|2|1/3000148|").expect("whole");
        assert_eq!((system.to_string(), timeline), ("7301234567890123456".to_owned(), 2));
        assert_eq!(position.to_string(), "1/3000148");
        assert_eq!(identity("7301234567890123456|"), None);
    }

    #[test]
    fn a_failure_has_cause_and_command_and_the_words_themselves() {
        let names = Names::default().with("primary", "primarydb");
        let error = failure(
            "ask the primary",
            "psql: error: \n FATAL:  too many connections for role \"rep\"",
            &names,
        );
        assert!(error.message().contains("CONNECTION LIMIT on primarydb"), "{error}");
        assert!(error.message().contains("FATAL:  too many connections"), "{error}");
        assert!(
            error.guidance().contains("alter role rep connection limit 4"),
            "{error}"
        );
    }
}
