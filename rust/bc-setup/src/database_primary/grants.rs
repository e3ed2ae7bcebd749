//! What GoCD's user may see and do: read who follows and how far, and promote the standby. Both are granted on the
//! primary and come to the standby with the log; `pg_promote` counts in the database alone where it was granted.

use bc_core::{
    basics::{Error, Kind},
    database::sql,
};

use super::Wish;
use crate::{cluster::Cluster, plan::Plan, superuser::Superuser};

/// GoCD's user, as whose tables GoCD's are.
const OWNER_OF_TABLES: &str = "select pg_get_userbyid(min(log.relowner::int)::oid) from pg_class log \
     join pg_class pipelines on pipelines.relnamespace = log.relnamespace and pipelines.relname = 'pipelines' \
     where log.relname = 'databasechangelog' and log.relkind = 'r' having count(*) > 0";

/// What is granted.
#[derive(Debug)]
pub(super) struct Grants {
    found: Found,
    /// Statements, and what each grants.
    missing: Vec<(String, &'static str)>,
}

#[derive(Debug)]
enum Found {
    /// In this database, as this user.
    Database {
        name: String,
        user: String,
        is_superuser: bool,
    },
    /// Not to be told which; why.
    Unknown(String),
}

impl Grants {
    /// Finds GoCD's database, and what its user lacks there.
    pub(super) fn look(cluster: &Cluster, server: &Superuser, wish: &Wish) -> Result<Self, Error> {
        let configured = wish
            .configured
            .as_ref()
            .map(|(name, user)| configured(server, name, user));
        let found = match (&wish.database, configured.transpose()?.flatten()) {
            (Some(name), _) => named(cluster, server, name)?,
            (None, Some(found)) => found,
            (None, None) => only(cluster, server)?,
        };
        let mut missing = Vec::new();
        if let Found::Database {
            name,
            user,
            is_superuser: false,
        } = &found
        {
            let database = Superuser::open(cluster, name)?;
            let (role, literal) = (sql::identifier(user), sql::literal(user));
            if !database.is(&format!("select pg_has_role({literal}, 'pg_monitor', 'member')"))? {
                missing.push((format!("grant pg_monitor to {role}"), "pg_monitor"));
            }
            const PROMOTE: &str = "pg_promote(boolean, integer)";
            let lacks = format!("select not has_function_privilege({literal}, '{PROMOTE}', 'execute')");
            if cluster.major >= 12 && database.is(&lacks)? {
                missing.push((format!("grant execute on function {PROMOTE} to {role}"), "pg_promote"));
            }
        }
        Ok(Self { found, missing })
    }

    pub(super) fn plan(&self, plan: &mut Plan) {
        let (name, user, is_superuser) = match &self.found {
            Found::Unknown(why) => return plan.is("GoCD's database", why),
            Found::Database {
                name,
                user,
                is_superuser,
            } => (name, user, *is_superuser),
        };
        plan.is("GoCD's database", format!("{name}, user {user}"));
        if is_superuser {
            return plan.is("grants", format!("{user} is superuser: none is needed"));
        }
        for (_, what) in &self.missing {
            let why = match *what {
                "pg_monitor" => "sees who follows, and how far",
                _ => "promotes the standby's database; counts in this database alone",
            };
            plan.change(format!("grant {what}"), "missing", format!("to {user}"), why);
        }
        if self.missing.is_empty() {
            plan.is("grants", format!("{user} may watch and promote"));
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.missing.is_empty()
    }

    pub(super) fn make(&self, cluster: &Cluster) -> Result<(), Error> {
        let Found::Database { name, .. } = &self.found else {
            return Ok(());
        };
        if self.missing.is_empty() {
            return Ok(());
        }
        let database = Superuser::open(cluster, name)?;
        self.missing
            .iter()
            .try_for_each(|(statement, _)| database.run(statement))
    }
}

fn named(cluster: &Cluster, server: &Superuser, name: &str) -> Result<Found, Error> {
    let owner = server.value(&format!(
        "select pg_get_userbyid(datdba) from pg_database where datname = {}",
        sql::literal(name)
    ))?;
    let owner = owner.ok_or_else(|| {
        Error::new(
            Kind::Setting,
            format!("{} has no database {name}", cluster.name),
            "Name GoCD's with --database, as it is at the end of db.url in db.properties.",
        )
    })?;
    // Before GoCD's first start there are no tables, and its user owns the database.
    let user = Superuser::open(cluster, name)?.value(OWNER_OF_TABLES)?.unwrap_or(owner);
    database(server, name, user)
}

/// What a GoCD on this host says, if that is a database of this server.
fn configured(server: &Superuser, name: &str, user: &str) -> Result<Option<Found>, Error> {
    let is_here = format!(
        "select exists (select from pg_database where datname = {}) and exists (select from pg_roles where rolname = {})",
        sql::literal(name),
        sql::literal(user)
    );
    match server.is(&is_here)? {
        true => database(server, name, user.to_owned()).map(Some),
        false => Ok(None),
    }
}

fn only(cluster: &Cluster, server: &Superuser) -> Result<Found, Error> {
    let mut found = Vec::new();
    for row in server.rows("select datname from pg_database where datallowconn and not datistemplate order by 1")? {
        let name = row.into_iter().next().flatten().unwrap_or_default();
        if let Some(user) = Superuser::open(cluster, &name)?.value(OWNER_OF_TABLES)? {
            found.push((name, user));
        }
    }
    match found.len() {
        1 => {
            let (name, user) = found.swap_remove(0);
            database(server, &name, user)
        }
        0 => Ok(Found::Unknown(
            "none has GoCD's tables; name it with --database, and its user may watch and promote".to_owned(),
        )),
        _ => {
            let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
            Ok(Found::Unknown(format!(
                "{} have GoCD's tables; name one with --database",
                names.join(", ")
            )))
        }
    }
}

fn database(server: &Superuser, name: &str, user: String) -> Result<Found, Error> {
    let is_superuser = server.is(&format!(
        "select rolsuper from pg_roles where rolname = {}",
        sql::literal(&user)
    ))?;
    Ok(Found::Database {
        name: name.to_owned(),
        user,
        is_superuser,
    })
}
