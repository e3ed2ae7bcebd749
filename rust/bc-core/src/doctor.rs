//! What can be wrong with an installation: the table of checks, what decides each, and what a person reads of it.
//!
//! Facts come in as values, findings go out; nothing here looks at the world. What a node says of itself is not judged
//! twice: a problem of its [`crate::status`] becomes the finding of the check that it belongs to.
//!
//! | module | is |
//! |---|---|
//! | `check` | the table: number, name, severity, and a page for each check |
//! | `facts` | what was seen, and what could not be |
//! | `finding`, `level` | what came of a check, and the whole diagnosis |
//! | `node`, `pair` | the decisions about the node here, and about both nodes |
//! | `start` | the decisions about how GoCD is started: jar, agent, flag, settings |
//! | `host` | the decisions about files, disks and processes |
//! | `named_files` | the decision about the files that the configuration names |
//! | `database` | the decisions about GoCD's database, by who watches it |
//! | `postgresql` | the decisions about PostgreSQL on this host |
//! | `cluster` | what is asked of that |
//! | `host_lines` | what kind of host was looked at, for people |
//! | `document` | the list of checks for people |
//!
//! Stands on [`crate::basics`], [`crate::gocd`], [`crate::database`], [`crate::generation`], [`crate::settings`],
//! [`crate::status`] and [`crate::node`].

mod check;
pub mod cluster;
mod database;
mod document;
pub mod facts;
mod finding;
mod host;
mod host_lines;
mod level;
mod named_files;
mod node;
mod pair;
mod postgresql;
mod start;

pub use self::{
    check::Check,
    database::of_one_look,
    document::document,
    finding::{Diagnosis, Finding, Verdict},
    host_lines::describe_host,
    level::Level,
};

use self::facts::Facts;

/// Examines an installation: all checks, in the order of their numbers.
pub fn examine(facts: &Facts) -> Diagnosis {
    Diagnosis::new(Check::ALL.iter().map(|check| (*check, judge(*check, facts))))
}

/// What the facts mean for one check.
fn judge(check: Check, facts: &Facts) -> Verdict {
    match check {
        Check::NodeAnswers => node::answers(facts),
        Check::NodeSays => node::says(facts),
        Check::OtherNode => pair::answers(facts),
        Check::OtherNodeSays => pair::says(facts),
        Check::Trust => pair::trust(facts),
        Check::Token => pair::token(facts),
        Check::GocdVersion => pair::gocd_version(facts),
        Check::PluginVersion => pair::plugin_version(facts),
        Check::JavaVersion => pair::java_version(facts),
        Check::OneJar => start::one_jar(facts),
        Check::Agent => start::agent(facts),
        Check::Flag => start::flag(facts),
        Check::Restart => start::restart(facts),
        Check::SyncedFiles => host::synced_files(facts),
        Check::SecretFiles => host::secret_files(facts),
        Check::NamedFiles => named_files::named_files(facts),
        Check::ConfigGit => host::config_git(facts),
        Check::Artifacts => node::artifacts(facts),
        Check::FreeSpace => host::free_space(facts),
        Check::Clocks => pair::clocks(facts),
        Check::AgentUser => host::agent_user(facts),
        Check::StateVolume => host::state_volume(facts),
        Check::PluginInstalls => pair::plugin_installs(facts),
        Check::HelmScript => host::helm_script(facts),
        Check::OldGocd => host::old_gocd(facts),
        Check::DatabaseSettings
        | Check::DatabaseCovered
        | Check::DatabaseHost
        | Check::DatabaseAnswers
        | Check::DatabaseRole
        | Check::DatabaseMajor
        | Check::DatabaseCopy
        | Check::Replication
        | Check::SlotLost
        | Check::SlotFills
        | Check::Archiver
        | Check::Synchronous
        | Check::Collations
        | Check::Extensions
        | Check::MigrationLock
        | Check::Pooler
        | Check::DamagedPages => database::judge(check, facts),
        Check::ClusterRuns => postgresql::runs(facts),
        Check::ClusterRules => postgresql::rules(facts),
        Check::ClusterSettings => postgresql::settings(facts),
        Check::Followable => postgresql::followable(facts),
        Check::PromoteGrant => postgresql::promote_grant(facts),
        Check::DataFolder => postgresql::data_folder(facts),
        Check::DataSpace => postgresql::data_space(facts),
        Check::ClusterAccess => postgresql::access(facts),
    }
}

#[cfg(test)]
mod tests;
