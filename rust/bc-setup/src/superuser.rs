//! A PostgreSQL server of this machine, as its superuser, over the local socket.
//!
//! The server knows the superuser by the operating system (peer authentication), so the socket is connected as the user
//! whose the cluster is, under its name; a cluster that was made with another superuser is told by `PGUSER`, as for
//! PostgreSQL's own programs. Statements and answers are texts. Everything has a deadline of ours: a server that is frozen
//! keeps none of its own.

use std::{env, future::Future, time::Duration};

use bc_core::basics::{Error, Kind};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, error::SqlState};

use crate::cluster::Cluster;

/// What the superuser is called where it is not as PostgreSQL's user.
const USER: &str = "PGUSER";
/// Connecting and logging in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// One statement.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What every session begins with: messages that we know, and no statement of ours in the server's log, since one may have
/// a verifier of a password in it.
const BEGIN: &str = "set lc_messages = 'C'; set log_statement = 'none'; set log_min_error_statement = 'panic'; \
     set log_min_duration_statement = -1; set lock_timeout = '20s'; set synchronous_commit = local";

/// One row of an answer: a text for each column, none for null.
pub type Row = Vec<Option<String>>;

/// A connection as superuser. Dropping it closes it.
pub struct Superuser {
    runtime: Runtime,
    client: Client,
    task: JoinHandle<()>,
}

impl Superuser {
    /// Connects to a database of a cluster that runs.
    ///
    /// # Errors
    /// The server does not run, or does not let its superuser in without a password.
    pub fn open(cluster: &Cluster, database: &str) -> Result<Self, Error> {
        let Some(sockets) = cluster.sockets.as_ref().filter(|_| cluster.is_running) else {
            let (what, how) = match cluster.is_running {
                false => ("does not run", cluster.control_command("start")),
                true => (
                    "has no local socket",
                    "set unix_socket_directories, and restart it".to_owned(),
                ),
            };
            return Err(Error::new(
                Kind::Unreachable,
                format!("the cluster {} {what}", cluster.name),
                format!("To mend that: {how}"),
            ));
        };
        let user = env::var(USER).unwrap_or_else(|_| cluster.owner.name.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(Kind::Exhausted, format!("cannot connect: {error}"), ""))?;
        let mut config = Config::new();
        config
            .host_path(sockets)
            .port(cluster.port)
            .user(&user)
            .dbname(database)
            .application_name("gocd-bc setup");
        let connecting = || runtime.block_on(async { timeout(CONNECT_WITHIN, config.connect(NoTls)).await });
        let connected = cluster.owner.act(connecting)?;
        let connected = connected.map_err(|_| silent("the server", CONNECT_WITHIN))?;
        let (client, connection) = connected.map_err(|error| {
            if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) {
                return Error::new(
                    Kind::Busy,
                    format!("PostgreSQL takes no connections now: {}", said(&error)),
                    "Wait until it has started; its log says what it waits for.",
                );
            }
            Error::new(
                Kind::Refused,
                format!("PostgreSQL does not let {user} in as superuser: {}", said(&error)),
                format!(
                    "The first line for it in pg_hba.conf has to be: local all {user} peer. If the superuser is called \
                     otherwise, put {USER}=NAME in front of the command."
                ),
            )
        })?;
        let task = runtime.spawn(async move { drop(connection.await) });
        let server = Self { runtime, client, task };
        if !server.is("select current_setting('is_superuser') = 'on'")? {
            return Err(Error::new(
                Kind::Refused,
                format!("{user} is no superuser of {}", cluster.name),
                format!("Put {USER}=NAME in front of the command, with the name of one."),
            ));
        }
        server.run(BEGIN)?;
        Ok(server)
    }

    /// All rows of the answer to a statement.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub fn rows(&self, statement: &str) -> Result<Vec<Row>, Error> {
        let answer = self.within(self.client.simple_query(statement))?;
        let rows = answer.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The first column of the first row; none where there is none, or it is null.
    ///
    /// # Errors
    /// As [`Superuser::rows`].
    pub fn value(&self, statement: &str) -> Result<Option<String>, Error> {
        Ok(self
            .rows(statement)?
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()?))
    }

    /// Whether the first column of the first row is true.
    ///
    /// # Errors
    /// As [`Superuser::rows`].
    pub fn is(&self, statement: &str) -> Result<bool, Error> {
        Ok(self.value(statement)?.as_deref() == Some("t"))
    }

    /// Carries out a statement, or several of them together.
    ///
    /// # Errors
    /// As [`Superuser::rows`].
    pub fn run(&self, statement: &str) -> Result<(), Error> {
        self.within(self.client.batch_execute(statement))
    }

    fn within<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        match self.runtime.block_on(async { timeout(ANSWER_WITHIN, answer).await }) {
            Err(_) => Err(silent("a statement", ANSWER_WITHIN)),
            Ok(answer) => {
                answer.map_err(|error| Error::new(Kind::Refused, format!("PostgreSQL says: {}", said(&error)), ""))
            }
        }
    }
}

impl Drop for Superuser {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn silent(what: &str, deadline: Duration) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("PostgreSQL does not answer {what} within {} s", deadline.as_secs()),
        "See whether it is frozen: its disk may be full or away.",
    )
}

/// What a server says of what it refuses; the words of the library reach nobody.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => match error.detail() {
            Some(detail) => format!("{} ({detail})", error.message()),
            None => error.message().to_owned(),
        },
        None if error.is_closed() => "the connection was closed".to_owned(),
        None => {
            let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
            cause.map_or_else(
                || "it asks for a password, or is no PostgreSQL".to_owned(),
                ToString::to_string,
            )
        }
    }
}
