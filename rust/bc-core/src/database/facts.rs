//! What is asked of a PostgreSQL server once a minute: what changes seldom and decides whether a promotion would do.
//!
//! One statement, whose row has one column of JSON, and which the plain owner of GoCD's database may run on every version from
//! 11 to 18. What a version has not yet is left out. No setting that may hold a secret is asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The settings that may not be lower on a standby's server than on its primary's.
pub const LIMITS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// By what everybody may see in a server's catalogue who runs it for others, as pairs of `json_build_object`.
const SIGNS: &str = "'roles', (select json_agg(rolname) from pg_roles where rolname in ('rds_superuser', 'rdsadmin', \
    'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin', 'streaming_replica')), \
    'is_aurora', to_regproc('aurora_version') is not null, \
    'is_cnpg', current_setting('archive_command') like '/controller/manager wal-archive%', \
    'is_patroni', current_setting('cluster_name') <> '' and (select count(*) > 3 from pg_settings \
    where source = 'command line' and name in ('max_connections', 'max_worker_processes', 'max_wal_senders', \
    'max_prepared_transactions', 'max_locks_per_transaction', 'max_replication_slots', 'wal_level', 'hot_standby'))";

/// A lock that is waited for longer is somebody's who works.
const LOCK_TIMEOUT: &str = "200ms";

/// The statement that asks a server of this `server_version_num` for its facts; its only column is for [`Facts::of`].
pub fn statement(version: u32) -> String {
    let slot_state = if version >= 130_000 { "wal_status" } else { "null::text" };
    // The collation of a whole database has a version only since 15; before that only those that are named have.
    let collations = if version >= 150_000 {
        "(select datcollversion is distinct from pg_database_collation_actual_version(oid) and datcollversion is not null \
         from pg_database where datname = current_database())"
    } else {
        "exists (select 1 from pg_collation c where collversion <> pg_collation_actual_version(c.oid) and exists \
         (select 1 from pg_depend where refclassid = 'pg_collation'::regclass and refobjid = c.oid))"
    };
    let may_promote = if version >= 120_000 {
        "has_function_privilege('pg_promote(boolean,integer)', 'execute')"
    } else {
        "false"
    };
    let damaged = match version {
        ..120_000 => "null::boolean",
        _ => "(select sum(checksum_failures) > 0 from pg_stat_database)",
    };
    let limits: Vec<String> = LIMITS
        .iter()
        .map(|name| format!("'{name}', current_setting('{name}')::bigint"))
        .collect();
    format!(
        "select json_build_object(\
         'started', (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text, \
         'limits', json_build_object({}), \
         'synchronous', current_setting('synchronous_standby_names', true), \
         'slot', current_setting('primary_slot_name', true), \
         'slot_limit', current_setting('max_slot_wal_keep_size', true), \
         'senders', (select count(pid) from pg_stat_replication), \
         'slots', (select json_agg(json_build_object('name', slot_name, 'is_active', active, 'state', {slot_state}, \
         'kept', case when restart_lsn is not null then greatest(0, pg_wal_lsn_diff(case when pg_is_in_recovery() \
         then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)::bigint) end)) \
         from pg_replication_slots where slot_type = 'physical' and not temporary), \
         'archiver_fails', (select last_failed_time > coalesce(last_archived_time, 'epoch') from pg_stat_archiver), \
         'has_damage', {damaged}, \
         'collations_differ', {collations}, \
         'missing_extensions', (select json_agg(e.extname) from pg_extension e left join pg_available_extension_versions a \
         on a.name = e.extname and a.version = e.extversion where a.name is null), \
         'lock_table', (select c.oid::regclass::text from pg_class c where relname = 'databasechangeloglock' \
         and relkind = 'r' and has_table_privilege(c.oid, 'select') limit 1), \
         'may_promote', {may_promote}, \
         'may_monitor', pg_has_role('pg_monitor', 'member'), \
         'port', inet_server_port(), \
         {SIGNS})",
        limits.join(", ")
    )
}

/// The statement that asks a server which does not answer [`super::look::STATEMENT`] who runs it; its only column is for
/// [`Facts::of`].
pub fn who_runs_it() -> String {
    format!("select json_build_object({SIGNS})")
}

/// The statements that read the lock of GoCD's migrations in `table`, in a transaction of their own: one who changes the
/// table keeps nobody waiting. Their row is for [`Lock::of`]. A transaction that fails has to be rolled back.
pub fn lock_statements(table: &str) -> String {
    format!(
        "begin read only; set local lock_timeout = '{LOCK_TIMEOUT}'; select locked, lockedby from {table} where id = 1; commit"
    )
}

/// What a server is like for a long time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When it was started, in microseconds since 1970 by its own clock: no two servers have the same.
    pub started: String,
    /// What it has for each of [`LIMITS`].
    pub limits: BTreeMap<String, u64>,
    /// `synchronous_standby_names`; empty on a usual server.
    pub synchronous: Option<String>,
    /// The slot through which a standby's wants to receive. Not to be seen on version 11.
    pub slot: Option<String>,
    /// `max_slot_wal_keep_size`; `-1` where slots have no limit, none before 13.
    pub slot_limit: Option<String>,
    /// How many others receive from it.
    pub senders: u32,
    /// Its physical slots.
    pub slots: Option<Vec<Slot>>,
    /// Whether the newest try to archive failed; none where it never tried.
    pub archiver_fails: Option<bool>,
    /// Whether it has read pages whose checksum is wrong; none before 12, and where it has no checksums.
    pub has_damage: Option<bool>,
    /// Whether text is sorted otherwise here than where its indexes were made; none where that is not known.
    pub collations_differ: Option<bool>,
    /// Extensions that GoCD's database uses and of which this machine has no files.
    pub missing_extensions: Option<Vec<String>>,
    /// The table with the lock of GoCD's migrations, as SQL writes it.
    pub lock_table: Option<String>,
    /// Whether who asks may run `pg_promote`.
    pub may_promote: bool,
    /// Whether who asks is a member of `pg_monitor`.
    pub may_monitor: bool,
    /// The port at which it was reached; none over a socket.
    pub port: Option<u16>,
    roles: Option<Vec<String>>,
    is_aurora: bool,
    is_cnpg: bool,
    is_patroni: bool,
}

/// A physical replication slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody receives through it.
    pub is_active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`; none before 13.
    pub state: Option<String>,
    /// Bytes of the log that it keeps; none while it keeps nothing.
    pub kept: Option<u64>,
}

/// The lock of GoCD's migrations, while it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The host that holds it, as it calls itself.
    pub holder: Option<String>,
}

/// Who runs a database for others, and how it is promoted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Amazon RDS.
    Rds,
    /// Amazon Aurora.
    Aurora,
    /// Google Cloud SQL.
    CloudSql,
    /// Google AlloyDB.
    AlloyDb,
    /// Azure Database for PostgreSQL.
    Azure,
    /// CloudNativePG on Kubernetes.
    CloudNativePg,
    /// Patroni.
    Patroni,
}

impl Platform {
    /// How a database is promoted there: never behind the back of who runs it.
    pub fn promotion(self) -> &'static str {
        match self {
            Platform::Rds => "`aws rds promote-read-replica`",
            Platform::Aurora => "`aws rds failover-db-cluster`",
            Platform::CloudSql => "`gcloud sql instances promote-replica`",
            Platform::AlloyDb => "`gcloud alloydb clusters promote`",
            Platform::Azure => "`az postgres flexible-server replica promote`",
            Platform::CloudNativePg => "`kubectl cnpg promote`",
            Platform::Patroni => "`patronictl switchover`, or `patronictl failover`",
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Platform::Rds => "Amazon RDS",
            Platform::Aurora => "Amazon Aurora",
            Platform::CloudSql => "Google Cloud SQL",
            Platform::AlloyDb => "Google AlloyDB",
            Platform::Azure => "Azure Database for PostgreSQL",
            Platform::CloudNativePg => "CloudNativePG",
            Platform::Patroni => "Patroni",
        })
    }
}

impl Facts {
    /// The facts of a server by the JSON of [`statement`]; none where it says something else.
    pub fn of(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Who runs a server for others, by what everybody may see in its catalogue; none where nobody does.
    pub fn platform(&self) -> Option<Platform> {
        let has = |role: &str| self.roles.iter().flatten().any(|known| known == role);
        if self.is_aurora {
            Some(Platform::Aurora)
        } else if has("rds_superuser") || has("rdsadmin") {
            Some(Platform::Rds)
        } else if has("alloydbsuperuser") {
            // It has the roles of Cloud SQL as well.
            Some(Platform::AlloyDb)
        } else if has("cloudsqlsuperuser") {
            Some(Platform::CloudSql)
        } else if has("azure_pg_admin") {
            Some(Platform::Azure)
        } else if self.is_cnpg && has("streaming_replica") {
            Some(Platform::CloudNativePg)
        } else if self.is_patroni {
            Some(Platform::Patroni)
        } else {
            None
        }
    }

    /// The replication slots among the facts of a server.
    pub fn slots(&self) -> &[Slot] {
        self.slots.as_deref().unwrap_or_default()
    }
}

impl Lock {
    /// What a row of [`lock_statements`] says; none while nobody holds the lock.
    pub fn of(locked: Option<&str>, holder: Option<&str>) -> Option<Self> {
        (locked == Some("t")).then(|| Self {
            holder: holder.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_or_new_is_no_mistake() {
        let facts = Facts::of(
            r#"{"started":"1764000000000000","limits":{"max_connections":100},"synchronous":"","slot":null,"senders":1,
            "slots":[{"name":"gocd_bc","is_active":false,"state":null,"kept":null}],"archiver_fails":null,
            "missing_extensions":null,"port":null,"roles":null,"of_a_later_version":1}"#,
        )
        .expect("understood");
        assert_eq!((facts.limits["max_connections"], facts.slots()[0].kept), (100, None));
        assert_eq!((facts.platform(), facts.senders), (None, 1));
        assert_eq!(Facts::of("\"nonsense\""), None);
    }

    #[test]
    fn platforms_are_known_by_what_everybody_may_see() {
        for (json, platform) in [
            (r#"{"roles":["rds_superuser"]}"#, Platform::Rds),
            (r#"{"roles":["rds_superuser"],"is_aurora":true}"#, Platform::Aurora),
            (r#"{"roles":["cloudsqlsuperuser"]}"#, Platform::CloudSql),
            (
                r#"{"roles":["cloudsqlsuperuser","alloydbsuperuser"]}"#,
                Platform::AlloyDb,
            ),
            (r#"{"roles":["azure_pg_admin"]}"#, Platform::Azure),
            (
                r#"{"roles":["streaming_replica"],"is_cnpg":true}"#,
                Platform::CloudNativePg,
            ),
            (r#"{"is_patroni":true}"#, Platform::Patroni),
        ] {
            assert_eq!(Facts::of(json).expect(json).platform(), Some(platform), "{json}");
        }
    }

    #[test]
    fn a_version_is_asked_for_nothing_that_it_has_not() {
        for (version, words, has) in [
            (110_022, "wal_status", false),
            (130_022, "wal_status", true),
            (110_022, "pg_promote", false),
            (120_020, "pg_promote", true),
            (140_020, "datcollversion", false),
            (150_018, "datcollversion", true),
            (110_022, "checksum_failures", false),
            (120_020, "checksum_failures", true),
        ] {
            assert_eq!(statement(version).contains(words), has, "{version} {words}");
        }
        for secret in ["primary_conninfo", "restore_command", "'archive_command', "] {
            assert!(!statement(180_001).contains(secret), "{secret}");
        }
    }

    #[test]
    fn only_a_lock_that_is_held_is_one() {
        let held = Lock {
            holder: Some("primarygo (10.0.0.5)".to_owned()),
        };
        assert_eq!(Lock::of(Some("t"), Some("primarygo (10.0.0.5)")), Some(held));
        assert_eq!(Lock::of(Some("f"), None), None);
        assert_eq!(Lock::of(None, None), None);
    }
}
