//! The role that the standby logs in with, its password, and the file with that.
//!
//! The password is made here and leaves this process in two ways: as a verifier for the server, and in a file of
//! PostgreSQL's user with mode 0600, in libpq's own form. Nobody types it and nothing shows it.

use std::path::{Path, PathBuf};

use bc_core::{
    basics::{Error, random, regular_file},
    database::{followed, passfile, reseed::FUNCTIONS_OF_REWIND, sql},
    durable::atomic,
};
use zeroize::Zeroizing;

use super::Wish;
use crate::{cluster::Cluster, plan::Plan, superuser::Superuser};

/// A base backup takes two connections of the role on 11 and 12, beside the one of the standby.
const CONNECTIONS: i32 = 4;

/// The role as it was looked at.
#[derive(Debug)]
pub(super) struct Role {
    name: String,
    exists: bool,
    /// What it lacks, as words of ALTER ROLE.
    lacks: Vec<&'static str>,
    /// Functions in the database `postgres` that it may not execute yet.
    functions: Vec<&'static str>,
    /// Why it needs another password, if it does.
    new_password: Option<&'static str>,
    file: PathBuf,
    /// Whether the file has a password for it.
    is_in_file: bool,
}

impl Role {
    /// Looks at the role with which the standby replicates.
    pub(super) fn look(cluster: &Cluster, server: &Superuser, wish: &Wish) -> Result<Self, Error> {
        let file = wish.password_file.clone();
        let file = file.unwrap_or_else(|| cluster.owner.home.join(followed::PASSWORD_FILE));
        let is_in_file = cluster.owner.act(|| password_in(&file, &wish.role))?.is_some();
        let row = server.rows(&format!(
            "select rolreplication, rolcanlogin, rolconnlimit between 0 and {}, coalesce(rolvaliduntil < now(), false), \
             case when rolpassword is null then 'none' when rolpassword like 'SCRAM-SHA-256$%' then '' else 'md5' end \
             from pg_authid where rolname = {}",
            CONNECTIONS - 1,
            sql::literal(&wish.role)
        ))?;
        let row: Option<Vec<String>> = row
            .into_iter()
            .next()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect());
        let mut lacks = Vec::new();
        let mut new_password = None;
        if let Some([replication, login, is_few, is_expired, password]) = row.as_deref() {
            if replication != "t" {
                lacks.push("replication");
            }
            if login != "t" {
                lacks.push("login");
            }
            if is_few == "t" {
                lacks.push("connection limit 4");
            }
            if is_expired == "t" {
                lacks.push("valid until 'infinity'");
            }
            new_password = match password.as_str() {
                "" if wish.new_password => Some("another one was asked for; the standby needs it too"),
                "" => None,
                "none" => Some("it has none"),
                _ => Some("it is kept as MD5, which scram-sha-256 does not take; each standby needs the new one"),
            };
        }
        let mut functions = Vec::new();
        for function in FUNCTIONS_OF_REWIND {
            let may = format!(
                "select has_function_privilege({}, '{function}', 'execute')",
                sql::literal(&wish.role)
            );
            if row.is_none() || !server.is(&may)? {
                functions.push(function);
            }
        }
        Ok(Self {
            name: wish.role.clone(),
            exists: row.is_some(),
            lacks,
            functions,
            new_password,
            file,
            is_in_file,
        })
    }

    /// Adds to the plan what is done about the role that replicates.
    pub(super) fn plan(&self, plan: &mut Plan) {
        let what = format!("role {}", self.name);
        let password = format!("password in {}", self.file.display());
        if !self.exists {
            plan.change(
                &what,
                "missing",
                format!("replication login connection limit {CONNECTIONS}"),
                "the standby logs in with it",
            );
            plan.change(
                "its password",
                "missing",
                password,
                "for the standby's host; nothing else has it",
            );
            return self.plan_functions(plan);
        }
        match self.lacks.is_empty() {
            true => plan.is(what, "may replicate"),
            false => plan.change(what, "there", self.lacks.join(" "), ""),
        }
        match (self.new_password, self.is_in_file) {
            (Some(why), _) => plan.change("its password", "there", password, why),
            (None, true) => plan.is("its password", format!("in {}", self.file.display())),
            (None, false) => plan.is("its password", "set; the file with it is not here"),
        }
        self.plan_functions(plan);
    }

    fn plan_functions(&self, plan: &mut Plan) {
        let what = "its rights in postgres";
        match self.functions.is_empty() {
            true => plan.is(what, "read files, for pg_rewind"),
            false => plan.change(
                what,
                "missing",
                "read files, for pg_rewind",
                "so that a former primary can come back without a new copy",
            ),
        }
    }

    /// Whether the role that replicates is to be made or changed.
    pub(super) fn has_work(&self) -> bool {
        !self.exists || !self.lacks.is_empty() || !self.functions.is_empty() || self.new_password.is_some()
    }

    /// The file with the password of the role that replicates, where it is here.
    pub(super) fn password_file(&self) -> Option<&Path> {
        let is_here = self.is_in_file || !self.exists || self.new_password.is_some();
        is_here.then_some(&self.file)
    }

    /// Makes the role that replicates, or what it lacks. The file comes first: a password that the server knows and
    /// nobody else is lost.
    pub(super) fn make(&self, cluster: &Cluster, server: &Superuser) -> Result<(), Error> {
        let name = sql::identifier(&self.name);
        if !self.exists || self.new_password.is_some() {
            // One that a run before wrote and then did not come to use is as good.
            let former = match self.exists {
                false => cluster.owner.act(|| password_in(&self.file, &self.name))?,
                true => None,
            };
            let password = match former {
                Some(former) => former,
                None => Zeroizing::new(random::hex_id()?),
            };
            cluster.owner.act(|| self.write_file(&password))??;
            let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
            let verb = if self.exists { "alter" } else { "create" };
            let attributes = match self.exists {
                true => String::new(),
                false => format!("replication login connection limit {CONNECTIONS}"),
            };
            server.run(&format!(
                "{verb} role {name} {attributes} password {}",
                sql::literal(&verifier)
            ))?;
        }
        if !self.lacks.is_empty() {
            server.run(&format!("alter role {name} {}", self.lacks.join(" ")))?;
        }
        for function in &self.functions {
            server.run(&format!("grant execute on function {function} to {name}"))?;
        }
        Ok(())
    }

    /// Writes the password for libpq, beside those of other roles.
    fn write_file(&self, password: &str) -> Result<(), Error> {
        let before = Zeroizing::new(read(&self.file));
        let mut text = Zeroizing::new(String::new());
        for line in before.lines() {
            if passfile::password(line, passfile::REPLICATION, &self.name).is_none() {
                text.push_str(line);
                text.push('\n');
            }
        }
        text.push_str(&passfile::replication_line(&self.name, password));
        atomic::write_as(&self.file, text.as_bytes(), 0o600, None)
    }
}

fn password_in(file: &Path, role: &str) -> Option<Zeroizing<String>> {
    passfile::password(&Zeroizing::new(read(file)), passfile::REPLICATION, role)
}

fn read(file: &Path) -> String {
    let bytes = regular_file::read(file, regular_file::LARGEST_OF_OURS).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
