//! GoCD's database on the primary and its standby, set up by the commands that an administrator types.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    command,
    demo::{
        folders::{self, GocdFolder},
        postgres::Postgres,
    },
    ports,
    project::Project,
    tools,
};

/// GoCD's database.
pub(crate) const DATABASE: &str = "cruise";
/// What makes the table of the demo's rows.
const TABLE: &str = "create table demo_row (id bigserial primary key, at timestamptz default clock_timestamp())";
/// Its owner, as whom GoCD logs in.
const USER: &str = "gocd";

/// Which tables are in GoCD's database from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Those that GoCD's database is known by, and the demo's own.
    OfDemo,
    /// None: a real GoCD makes them.
    None,
}

/// Two servers, one of which follows the other.
#[derive(Debug)]
pub(crate) struct Databases {
    // Dropped first, so that it does not complain about a primary that is gone.
    pub(crate) standby: Postgres,
    pub(crate) primary: Postgres,
    /// GoCD's.
    password: String,
    /// How long `gocd-bc setup database-primary` took.
    pub(crate) setup_primary: Duration,
    /// How long `gocd-bc setup database-standby` took, until the standby streamed.
    pub(crate) setup_standby: Duration,
}

impl Databases {
    /// Makes two clusters, as a package leaves them, and one a standby of the other.
    pub(crate) fn start(project: &Project, tables: Tables) -> Result<Self> {
        let programs = tools::postgresql_programs()?;
        let [primary_port, standby_port] = ports::free()?;
        let log = |name: &str| folders::log(project, &format!("{name}-database"));
        let primary = Postgres::start(&programs, primary_port, log("primary"))?;
        let password = folders::random_password()?;
        make_database(&primary, &password, tables)?;
        let standby = Postgres::start(&programs, standby_port, log("standby"))?;

        let secret = primary.beside("replication.pgpass");
        let mut of_primary = project.command(project.companion());
        of_primary
            .args([
                "setup",
                "database-primary",
                "--standby",
                "127.0.0.1",
                "--write",
                "--restart",
                "--pgdata",
            ])
            .arg(primary.data())
            .arg("--password-file")
            .arg(&secret)
            // Without a table of GoCD in it nobody knows which one it is.
            .args(["--database", DATABASE]);
        let setup_primary = timed(&mut of_primary)?;
        let mut of_standby = project.command(project.companion());
        of_standby
            .args([
                "setup",
                "database-standby",
                "--primary",
                &primary.address(),
                "--write",
                "--pgdata",
            ])
            .arg(standby.data())
            .arg("--password-file")
            .arg(&secret);
        let setup_standby = timed(&mut of_standby)?;
        Ok(Self {
            standby,
            primary,
            password,
            setup_primary,
            setup_standby,
        })
    }

    /// Tells a GoCD where its database is.
    pub(crate) fn name_to(&self, folder: &GocdFolder, server: &Postgres) -> Result<()> {
        let file = folder.config().join("db.properties");
        let text = format!(
            "db.driver=org.postgresql.Driver\ndb.url=jdbc:postgresql://{}/{DATABASE}\ndb.user={USER}\ndb.password={}\n",
            server.address(),
            self.password
        );
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut open| open.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// GoCD's user and its database.
fn make_database(primary: &Postgres, password: &str, tables: Tables) -> Result<()> {
    primary.session("postgres")?.run(&[
        "set password_encryption = 'scram-sha-256'",
        &format!("create role {USER} login password '{password}'"),
        &format!("create database {DATABASE} owner {USER}"),
    ])?;
    if tables == Tables::None {
        return Ok(());
    }
    primary.session(DATABASE)?.run(&[
        &format!("set role {USER}"),
        "create table databasechangelog (id text)",
        "create table databasechangeloglock (id int, locked boolean, lockgranted timestamp, lockedby text)",
        "create table pipelines (id int)",
        TABLE,
    ])
}

fn timed(setup: &mut std::process::Command) -> Result<Duration> {
    let begin = Instant::now();
    command::run(setup)?;
    Ok(begin.elapsed())
}
