//! Clusters in the layout of Debian's postgresql-common, by its own list.

use std::{
    env,
    path::{Path, PathBuf},
};

use bc_core::basics::{Error, Kind};
use serde::Deserialize;
use serde_json::Value;

use super::{Cluster, Control, postmaster};
use crate::program::Program;

const LIST: &str = "/usr/bin/pg_lsclusters";
/// Where postgresql-common looks for configurations, if not in /etc/postgresql.
pub(super) const CONFIGURATIONS: &str = "PG_CLUSTER_CONF_ROOT";

/// One cluster, as `pg_lsclusters -j` shows it. Numbers are texts in some of its versions.
#[derive(Debug, Deserialize)]
struct Listed {
    version: Value,
    cluster: String,
    port: Value,
    pgdata: Option<PathBuf>,
    configdir: PathBuf,
}

/// All clusters that Debian's postgresql-common knows; none where it is not installed.
pub(super) fn clusters() -> Result<Vec<Cluster>, Error> {
    if !Path::new(LIST).exists() {
        return Ok(Vec::new());
    }
    let mut program = Program::new(LIST).arg("-j");
    if let Some(folder) = env::var_os(CONFIGURATIONS) {
        program = program.env(CONFIGURATIONS, folder);
    }
    let listed = parse(&program.succeed()?.stdout)?;
    listed
        .into_iter()
        .filter_map(|listed| cluster(listed).transpose())
        .collect()
}

fn parse(text: &str) -> Result<Vec<Listed>, Error> {
    serde_json::from_str(text).map_err(|_| {
        Error::new(
            Kind::Protocol,
            "pg_lsclusters -j says what this version does not understand",
            "Name the data folder with --pgdata.",
        )
    })
}

/// A cluster that has a data folder of a version that is covered; none otherwise.
fn cluster(listed: Listed) -> Result<Option<Cluster>, Error> {
    let (Some(major), Some(data)) = (number(&listed.version), listed.pgdata) else {
        return Ok(None);
    };
    if !data.join("PG_VERSION").exists() {
        return Ok(None);
    }
    let name = format!("{major}/{}", listed.cluster);
    let programs = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    let control = Control::Debian { name: listed.cluster };
    let is_running = postmaster::of(&data).is_some();
    let mut cluster = Cluster::new(name, major, data, programs, control)?;
    cluster.configuration = listed.configdir;
    if !is_running {
        cluster.port = number(&listed.port)
            .and_then(|port| port.try_into().ok())
            .unwrap_or(cluster.port);
    }
    Ok(Some(cluster))
}

/// A whole number; 9.6 is none.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_in_both_of_its_forms() {
        let listed = parse(
            r#"[{"version":15,"cluster":"main","port":"5432","pgdata":"/d","configdir":"/c","running":0},
                {"version":"9.6","cluster":"old","port":5433,"configdir":"/o"}]"#,
        )
        .expect("it is JSON");
        let numbers: Vec<_> = listed
            .iter()
            .map(|one| (number(&one.version), number(&one.port)))
            .collect();
        assert_eq!(numbers, [(Some(15), Some(5432)), (None, Some(5433))]);
        parse("15 main 5432 online").expect_err("no JSON");
    }
}
