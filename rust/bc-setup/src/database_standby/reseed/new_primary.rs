//! The new primary, as a former one sees it.
//!
//! The role that replicates may ask over the replication protocol who it is and which timelines led there. A rewind needs
//! more: it reads files, through functions that the role must have been given in the database `postgres`, and the line of
//! pg_hba.conf that lets it in there.

use std::{io::Write, time::Duration};

use bc_core::{
    basics::{Error, Kind},
    database::{
        conninfo::Conninfo,
        fit,
        messages::Names,
        passfile,
        reseed::{FUNCTIONS_OF_REWIND, Obstacle},
        timeline::Lineage,
    },
};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::{
    cluster::Cluster,
    program::{Output, Program},
    replication::{self, Remote},
};

/// As long may a checkpoint take.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(600);
/// Seconds after which libpq gives up connecting.
const CONNECT_WITHIN_S: &str = "10";
/// The database that `pg_rewind` reads from.
const DATABASE: &str = "postgres";

/// A primary that a former one is to follow, and how it is reached.
pub(super) struct NewPrimary<'a> {
    cluster: &'a Cluster,
    conninfo: Conninfo,
    /// What it says of itself.
    pub(super) remote: Remote,
    /// The timelines that led to its own.
    pub(super) lineage: Lineage,
    /// Has the password for a login that is not for replication.
    passfile: Option<NamedTempFile>,
}

impl<'a> NewPrimary<'a> {
    /// Asks the server that `conninfo` leads to; the programs, and the user to run them as, are those of `cluster`.
    ///
    /// # Errors
    /// It cannot be reached, does not let the role replicate, or says what no PostgreSQL says.
    pub(super) fn look(cluster: &'a Cluster, conninfo: &Conninfo, names: &Names) -> Result<Self, Error> {
        let remote = Remote::ask(cluster.program("psql"), conninfo, names)?;
        let conninfo = conninfo.clone().with("connect_timeout", CONNECT_WITHIN_S);
        let mut new = Self {
            cluster,
            lineage: Lineage::first(),
            passfile: passfile_for_all(cluster, &conninfo)?,
            conninfo,
            remote,
        };
        // The first one has no history.
        if new.remote.timeline > 1 {
            let asked = format!("TIMELINE_HISTORY {}", new.remote.timeline);
            // By that name libpq finds the password.
            let replication = new
                .conninfo
                .clone()
                .with("dbname", passfile::REPLICATION)
                .with("replication", "true");
            let answer = new.psql(&replication, &[&asked]).run()?;
            if answer.code != Some(0) {
                return Err(replication::failure("ask for its history", &answer.last_words(), names));
            }
            let history = answer.stdout.split_once('|').map_or("", |(_, history)| history);
            new.lineage = Lineage::parse(new.remote.timeline, history).map_err(|error| {
                Error::new(
                    Kind::Protocol,
                    format!("the new primary says what no PostgreSQL says: {error}"),
                    "",
                )
            })?;
        }
        Ok(new)
    }

    /// Its major version.
    pub(super) fn major(&self) -> u32 {
        fit::major(self.remote.version)
    }

    /// How a rewind connects.
    pub(super) fn source(&self) -> Conninfo {
        let conninfo = self.conninfo.clone().with("dbname", DATABASE);
        match &self.passfile {
            Some(file) => conninfo.with("passfile", &file.path().display().to_string()),
            None => conninfo,
        }
    }

    /// Whether a rewind may read from here, and would know where the two parted: the timeline of the latest checkpoint is
    /// that of the promotion. Where it is not yet, a checkpoint is made.
    ///
    /// # Errors
    /// No program can be run; what is in the way of a rewind is inside.
    pub(super) fn be_ready_for_rewind(&self, say: &mut dyn FnMut(&str)) -> Result<Result<(), Obstacle>, Error> {
        let has_functions = FUNCTIONS_OF_REWIND
            .map(|function| format!("has_function_privilege('{function}', 'execute')"))
            .join(" and ");
        let asked = format!(
            "select (select timeline_id from pg_control_checkpoint()), current_setting('full_page_writes'), {has_functions}"
        );
        let look = || self.psql(&self.source(), &[&asked]).run();
        let answer = look()?;
        if answer.code != Some(0) {
            return Ok(Err(Obstacle::NotAllowed(answer.last_words())));
        }
        let columns: Vec<&str> = answer.stdout.trim().split('|').collect();
        if columns.last() != Some(&"t") {
            let user = self.conninfo.get("user").unwrap_or("its role");
            return Ok(Err(Obstacle::NotAllowed(format!(
                "{user} may not execute {} in the database {DATABASE}",
                FUNCTIONS_OF_REWIND.join(", ")
            ))));
        }
        if columns.get(1) != Some(&"on") {
            return Ok(Err(Obstacle::NoWholePages));
        }
        if self.has_checkpoint(&answer) {
            return Ok(Ok(()));
        }
        say("The new primary has had no checkpoint since its promotion: it is asked for one.");
        self.checkpoint()?;
        Ok(match self.has_checkpoint(&look()?) {
            true => Ok(()),
            false => Err(Obstacle::CheckpointPending),
        })
    }

    /// Has it make a checkpoint. Who may not order one may begin a base backup, which begins with one.
    fn checkpoint(&self) -> Result<(), Error> {
        let ordered = self
            .psql(&self.source(), &["CHECKPOINT"])
            .within(CHECKPOINT_WITHIN)
            .run()?;
        if ordered.code == Some(0) {
            return Ok(());
        }
        // `head` ends at the first byte, and the backup with it. Whether it helped is seen afterwards.
        let begun = Program::new("/bin/sh")
            .args(["-c", "\"$@\" | head -c 1 >/dev/null", "sh"])
            .arg(self.cluster.programs.join("pg_basebackup"))
            .args([
                "-d",
                &self.conninfo.text(),
                "-D",
                "-",
                "-F",
                "t",
                "-X",
                "none",
                "-c",
                "fast",
                "-w",
            ])
            .as_user(&self.cluster.owner)
            .within(CHECKPOINT_WITHIN)
            .run()?;
        drop(begun);
        Ok(())
    }

    fn has_checkpoint(&self, answer: &Output) -> bool {
        let timeline = answer
            .stdout
            .split('|')
            .next()
            .and_then(|text| text.trim().parse().ok());
        timeline == Some(self.lineage.timeline())
    }

    /// Asks some things one after the other; each answers with lines of columns between `|`.
    fn psql(&self, conninfo: &Conninfo, asked: &[&str]) -> Program {
        let program = self.cluster.program("psql").args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &conninfo.text(),
        ]);
        asked.iter().fold(program, |program, asked| program.args(["-c", asked]))
    }
}

/// A passfile with the password for every database, where that of `conninfo` has one for replication.
fn passfile_for_all(cluster: &Cluster, conninfo: &Conninfo) -> Result<Option<NamedTempFile>, Error> {
    let Some(path) = conninfo.get("passfile") else {
        return Ok(None);
    };
    let user = conninfo.get("user").unwrap_or_default();
    let made = cluster.owner.act(|| {
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        let Some(password) = passfile::password(&text, passfile::REPLICATION, user) else {
            return Ok(None);
        };
        let line = passfile::replication_line(user, &password);
        let line = Zeroizing::new(line.replacen(passfile::REPLICATION, "*", 1));
        let mut file = NamedTempFile::new()?;
        file.write_all(line.as_bytes())?;
        Ok(Some(file))
    })?;
    made.map_err(|error: std::io::Error| Error::io("read", path.as_ref(), &error))
}
