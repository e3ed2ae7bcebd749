//! What GoCD's database says to a server that is to be the primary, before GoCD may run on it.
//!
//! Each server that `db.url` names is asked once, at the same time, over a connection of its own. What does not answer, or may
//! not be asked, says nothing: GoCD reports that by itself.

use std::time::Duration;

use bc_core::{
    basics::NodeId,
    database::{
        configured::{Configured, Login, Source},
        look::Role,
        refusal::Refusal,
        url::Server,
    },
    generation::Epoch,
    role::{
        Database,
        claim::{Holder, Seen, Verdict},
        guard::Winner,
    },
};
use futures_util::future::join_all;
use tokio::{runtime::Handle, time::timeout};

use super::{FILES_WITHIN, configured, winner};
use crate::database::Connection;

/// How long a server may take to say who has the lock: a promotion waits for it.
const LOCKS_WITHIN: Duration = Duration::from_secs(3);

/// What it says, and how, for people.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    /// What counts at a start.
    pub(crate) database: Database,
    /// Who leads by the row of a higher epoch.
    pub(crate) winner: Option<Winner>,
    /// The epoch in the row, whosever it is.
    pub(crate) told: Option<Epoch>,
    /// What is wrong, for people; empty where nothing is.
    pub(crate) message: String,
}

impl Says {
    /// It says nothing.
    pub(crate) const NOTHING: Self = Self {
        database: Database::Unknown,
        winner: None,
        told: None,
        message: String::new(),
    };
}

/// Asks GoCD's database, as its configuration says, on behalf of a node with this id and epoch; none where that is not known.
pub(crate) async fn ask(source: &Source, files: &Handle, node_id: &NodeId, own: Option<&Epoch>) -> Says {
    let Some(login) = login(source, files).await else {
        return Says::NOTHING;
    };
    let answers = join_all(login.url.hosts.iter().map(|server| look(&login, server, node_id))).await;
    let answered: Vec<_> = login
        .url
        .hosts
        .iter()
        .zip(answers)
        .filter_map(|(server, answer)| Some((server, answer.ok()?)))
        .collect();
    let told = answered
        .iter()
        .filter_map(|(_, (_, seen))| seen.row.as_ref().map(|row| row.epoch.clone()));
    Says {
        told: told.max_by_key(|epoch| epoch.number),
        ..of_answers(&login, &answered, node_id, own)
    }
}

/// Who has the primary's lock on each server of GoCD's database, as its configuration says, that answers soon.
pub(crate) async fn locks(source: &Source, files: &Handle, node_id: &NodeId) -> Vec<(String, Holder)> {
    let Some(login) = login(source, files).await else {
        return Vec::new();
    };
    let ask = |server| timeout(LOCKS_WITHIN, lock(&login, server, node_id));
    let answers = join_all(login.url.hosts.iter().map(ask)).await;
    let servers = login.url.hosts.iter().map(ToString::to_string);
    servers
        .zip(answers)
        .filter_map(|(server, answer)| Some((server, answer.ok()?.ok()?)))
        .collect()
}

/// Who has the primary's lock on one server.
async fn lock(login: &Login, server: &Server, node_id: &NodeId) -> Result<Holder, Refusal> {
    Connection::open(login, server).await?.lock_holder(node_id).await
}

/// How GoCD logs in to its database; none where it is no PostgreSQL, or the files do not say.
async fn login(source: &Source, files: &Handle) -> Option<Box<Login>> {
    let of_files = source.clone();
    let reading = files.spawn_blocking(move || configured(&of_files));
    match timeout(FILES_WITHIN, reading).await {
        Ok(Ok(Ok(Configured::PostgreSql(login)))) => Some(login),
        _ => None,
    }
}

/// One server: what it is, and what is claimed there.
async fn look(login: &Login, server: &Server, node_id: &NodeId) -> Result<(Role, Seen), Refusal> {
    let connection = Connection::open(login, server).await?;
    let role = connection.look().await?.role;
    let seen = Seen {
        holder: connection.lock_holder(node_id).await?,
        row: connection.epoch().await?,
    };
    Ok((role, seen))
}

/// What all of them together say.
fn of_answers(login: &Login, answered: &[(&Server, (Role, Seen))], node_id: &NodeId, own: Option<&Epoch>) -> Says {
    for (server, (_, seen)) in answered {
        let verdict = Verdict::of_known(seen.clone(), node_id, own);
        let message = verdict.message(&server.to_string()).unwrap_or_default();
        match verdict {
            Verdict::Replaced(row) => {
                return Says {
                    database: Database::HigherEpoch,
                    winner: Some(winner(&server.to_string(), &row)),
                    message,
                    ..Says::NOTHING
                };
            }
            Verdict::Contested(_) | Verdict::Foreign(_) | Verdict::Locked(Holder::Other(_)) => {
                return Says {
                    database: Database::LockedByAnother,
                    message,
                    ..Says::NOTHING
                };
            }
            Verdict::Leads | Verdict::LeadsUnwritten | Verdict::Locked(_) => {}
        }
    }
    if answered.iter().any(|(_, (role, _))| *role == Role::Primary) {
        return Says {
            database: Database::Writable,
            ..Says::NOTHING
        };
    }
    // One that does not answer may be the one that takes writes.
    if answered.len() < login.url.hosts.len() {
        return Says::NOTHING;
    }
    let named: Vec<String> = answered
        .iter()
        .map(|(server, (role, _))| format!("{server} ({role})"))
        .collect();
    Says {
        database: Database::ReadOnly,
        message: format!("no server of db.url takes writes: {}", named.join(", ")),
        ..Says::NOTHING
    }
}
