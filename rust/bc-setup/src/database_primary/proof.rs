//! A replication connection as the standby will make it: by the network, over TLS, with the password. Only PostgreSQL's own
//! programs speak that protocol.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bc_core::{
    basics::{Error, Kind},
    database::{
        conninfo::Conninfo,
        messages::{self, Names},
        passfile,
    },
};

use crate::{cluster::Cluster, program::Program};

/// The server reads `pg_hba.conf` a moment after it has said that it would.
const WITHIN: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(200);

/// What is tried.
pub(super) struct Proof<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) own: IpAddr,
    pub(super) role: &'a str,
    pub(super) password_file: Option<&'a Path>,
}

/// What the server says of itself.
pub(super) struct Seen {
    pub(super) system: String,
    pub(super) timeline: String,
    pub(super) position: String,
}

impl Proof<'_> {
    /// Proves what was set up by connecting as the standby would. None where that cannot be tried here.
    pub(super) fn run(&self) -> Result<Option<Seen>, Error> {
        let (Some(password_file), Some(psql)) = (self.password_file, self.psql()) else {
            return Ok(None);
        };
        let begin = Instant::now();
        loop {
            let conninfo = Conninfo::default()
                .with("host", &self.own.to_string())
                .with("port", &self.cluster.port.to_string())
                .with("user", self.role)
                .with("dbname", passfile::REPLICATION)
                .with("replication", "1")
                .with("sslmode", "require")
                .with("connect_timeout", "10");
            let output = Program::new(&psql)
                .as_user(&self.cluster.owner)
                .env("PGPASSFILE", password_file)
                .args(["-X", "-w", "-A", "-t", "-F", " ", "-c", "IDENTIFY_SYSTEM"])
                .arg(conninfo.text())
                .within(Duration::from_secs(30))
                .run()?;
            if output.code == Some(0) {
                let mut words = output.stdout.split_whitespace().map(str::to_owned);
                let mut word = || words.next().unwrap_or_default();
                return Ok(Some(Seen {
                    system: word(),
                    timeline: word(),
                    position: word(),
                }));
            }
            let is_early = output.stderr.contains("pg_hba.conf") || output.stderr.contains("does not support SSL");
            if !is_early || begin.elapsed() > WITHIN {
                return Err(self.refused(&output.stderr, &output.last_words()));
            }
            std::thread::park_timeout(EVERY);
        }
    }

    /// The newest `psql` that the cluster or the machine has.
    fn psql(&self) -> Option<PathBuf> {
        let places = [self.cluster.programs.join("psql"), PathBuf::from("/usr/bin/psql")];
        places.into_iter().find(|path| path.exists())
    }

    fn refused(&self, said: &str, last_words: &str) -> Error {
        let names = Names::default()
            .with("primary", "this host")
            .with("port", self.cluster.port.to_string())
            .with("user", self.role)
            .with("address", self.own.to_string());
        let meaning = messages::meaning(said, &names);
        let (why, mend) = meaning.map_or_else(
            || (String::new(), "Look at the log of the server.".to_owned()),
            |meaning| (format!(" ({})", meaning.cause), meaning.mend),
        );
        Error::new(
            Kind::Refused,
            format!(
                "all is written, but {} cannot replicate from {}: {last_words}{why}",
                self.role, self.own
            ),
            mend,
        )
    }
}
