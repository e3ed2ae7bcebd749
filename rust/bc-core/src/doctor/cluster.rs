//! A PostgreSQL cluster on this host: what is asked of it as its superuser, and what came back.
//!
//! Nothing is asked for that may hold a secret.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::database::{facts, look::Look, position::Told, sql};

/// What is asked in the database `postgres`: one column of JSON, for [`Inside`]. For every version from 11 on.
/// Lines for loopback come with every package; one that names a role was put there for a tunnel, or a pair on one host.
pub const STATEMENT: &str = "select json_build_object(\
    'rule_errors', (select json_agg(json_build_object('line', line_number, 'error', error)) \
        from pg_hba_file_rules where error is not null), \
    'admits_replication', exists (select 1 from pg_hba_file_rules where error is null and 'replication' = any (database) \
        and type like 'host%' and auth_method <> 'reject' \
        and (address is null or address not in ('127.0.0.1', '::1', 'localhost') or not 'all' = any (user_name))), \
    'setting_errors', (select json_agg(json_build_object('name', coalesce(name, '?'), 'error', error)) \
        from pg_file_settings where error is not null and error <> 'setting could not be applied'), \
    'pending', (select json_agg(name) from pg_settings where pending_restart), \
    'roles', (select json_agg(json_build_object('name', rolname, 'limit', rolconnlimit)) \
        from pg_roles where rolreplication and rolcanlogin and not rolsuper), \
    'settings', (select json_object_agg(name, setting || case when unit in ('MB', 'kB') then unit else '' end) \
        from pg_settings where name in ('wal_level', 'max_wal_senders', 'max_replication_slots', 'hot_standby', \
        'wal_keep_segments', 'wal_keep_size', 'max_slot_wal_keep_size', 'wal_log_hints', 'data_checksums', \
        'full_page_writes', 'ssl', 'listen_addresses')), \
    'databases', (select json_agg(datname) from pg_database where datallowconn and not datistemplate \
        and datname <> 'postgres'))";

/// What is asked in each database: one column of JSON, for [`InDatabase`]; null where it is not GoCD's.
pub fn statement_in_database(major: u32) -> String {
    let may_promote = match major {
        ..12 => "null".to_owned(),
        _ => format!(
            "has_function_privilege(relowner, {}, 'execute')",
            sql::literal("pg_promote(boolean,integer)")
        ),
    };
    format!(
        "select json_build_object('owner', pg_get_userbyid(relowner), 'may_promote', {may_promote}) from pg_class \
         where relname = 'databasechangeloglock' and relkind = 'r' limit 1"
    )
}

/// A cluster on this host.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `15/main`, or its data folder.
    pub name: String,
    /// Its major version.
    pub major: u32,
    /// Where it listens, or would.
    pub port: u16,
    /// Its data folder.
    pub data: String,
    /// Permissions of the data folder.
    pub mode: u32,
    /// Bytes that are free on its disk; none where that is not known.
    pub free: Option<u64>,
    /// Whether it runs.
    pub is_running: bool,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// What starts it.
    pub start: String,
    /// What restarts it.
    pub restart: String,
    /// What its superuser sees in it, or why that is not known.
    pub inside: Result<Inside, Closed>,
}

/// Why nobody sees what is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It does not run.
    Stopped,
    /// It runs, and says nothing within this time in seconds.
    Silent(u64),
    /// It takes no connections yet, or no more: what it says.
    NotReady(String),
    /// It does not let its own user in as superuser: what it says, and what to type.
    Refused {
        /// What it says.
        why: String,
        /// What to type.
        commands: Vec<String>,
    },
    /// It could not be asked, and why.
    Unknown(String),
}

/// For people, as a sentence part.
impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Closed::Stopped => f.write_str("PostgreSQL on this host does not run"),
            Closed::Silent(_) => f.write_str("PostgreSQL on this host says nothing"),
            Closed::NotReady(_) => f.write_str("PostgreSQL on this host takes no connections"),
            Closed::Refused { .. } => f.write_str("PostgreSQL on this host does not let its own user in as superuser"),
            Closed::Unknown(why) => f.write_str(why),
        }
    }
}

/// What the superuser of a cluster sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Inside {
    /// Lines of `pg_hba.conf` that are wrong.
    pub rule_errors: Option<Vec<RuleError>>,
    /// Whether a line lets a replication connection in from another host.
    pub admits_replication: bool,
    /// Settings in files that are wrong.
    pub setting_errors: Option<Vec<SettingError>>,
    /// Settings that wait for a restart.
    pub pending: Option<Vec<String>>,
    /// Roles for replication.
    pub roles: Option<Vec<ReplicationRole>>,
    /// Settings by their names.
    pub settings: BTreeMap<String, String>,
    /// Its databases, but `postgres`.
    pub databases: Option<Vec<String>>,
    /// The one of GoCD.
    #[serde(skip)]
    pub gocd: Option<InDatabase>,
    /// What the server is, and where it is.
    #[serde(skip)]
    pub look: Option<Look>,
    /// What it is like; where there is a database of GoCD, as it is seen from there.
    #[serde(skip)]
    pub facts: Option<facts::Facts>,
    /// On a standby: the server that it follows.
    #[serde(skip)]
    pub upstream: Option<Upstream>,
}

/// The server that a standby follows, as the standby's own user sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Whether the standby has no archive beside it, as far as its files say.
    pub is_all: bool,
    /// What it says of itself; none where it was not asked, or does not say.
    pub told: Option<Told>,
    /// Why it does not say it, or why the standby receives nothing from it, and what to type; none where nobody knows.
    pub reason: Option<String>,
    /// Whether nothing came back from it at all.
    pub is_silent: bool,
    /// Whether it is on this host, as in a trial.
    pub is_here: bool,
}

/// A line of `pg_hba.conf` that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RuleError {
    /// Its number.
    pub line: u32,
    /// What is wrong.
    pub error: String,
}

/// A setting that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SettingError {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub error: String,
}

/// A role that may replicate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReplicationRole {
    /// Its name.
    pub name: String,
    /// How many connections it may have; -1 without a limit.
    pub limit: i64,
}

/// GoCD's database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InDatabase {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// The role whose its tables are.
    pub owner: String,
    /// Whether that role may run `pg_promote`; none on version 11, which has none.
    pub may_promote: Option<bool>,
}
