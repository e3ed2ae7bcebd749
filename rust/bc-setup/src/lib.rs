//! What changes a machine: the files and processes of PostgreSQL, services, the configuration of GoCD's wrapper.
//!
//! Only the command imports this crate; a JVM never needs it. What is to be changed is decided in `bc_core`; here it is
//! looked at, shown, and, where that was asked for, carried out.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | what was looked at, line by line, and what would change |
//! | [`console`] | the person or script in front of it |
//! | [`foreign_file`] | changes a file that is not ours |
//! | `os_user` | acts as the user of the operating system whose something is |
//! | `program` | runs a program of others |
//! | `cluster` | which PostgreSQL clusters are on this machine, and how they are started and stopped |
//! | `superuser` | talks to one of them as its superuser |
//! | `database_primary` | `gocd-bc setup database-primary` |
//! | `passfile` | the password of the role that replicates |
//! | `replication` | asks a primary over its replication protocol |
//! | `base_backup` | takes a copy of it |
//! | `data_folder` | puts that copy in the place of what was there |
//! | `route` | by which addresses the servers of a pair know each other |
//! | `share` | whether the folder for shipping the log can be used |
//! | `upstream` | whom a standby on this machine follows, and what keeps it from that |
//! | `wait` | waits for something, with a deadline |
//! | `database_standby` | `gocd-bc setup database-standby` |
//!
//! Those without a link are for Linux alone.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests arrange files and start programs"
    )
)]

pub mod console;
pub mod foreign_file;
pub mod plan;

#[cfg(target_os = "linux")]
pub use self::linux::*;

/// What concerns PostgreSQL; its files are beside this one.
#[cfg(target_os = "linux")]
#[path = "."]
mod linux {
    pub mod base_backup;
    pub mod cluster;
    pub mod data_folder;
    pub mod database_primary;
    pub mod database_standby;
    pub mod os_user;
    pub mod passfile;
    pub mod program;
    pub mod replication;
    pub(crate) mod route;
    pub(crate) mod share;
    pub mod superuser;
    pub mod upstream;
    pub(crate) mod wait;
}
