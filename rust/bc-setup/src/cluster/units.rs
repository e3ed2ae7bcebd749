//! Clusters that a unit of systemd starts with `PGDATA` in its environment: the packages of the PostgreSQL project for Red
//! Hat (`postgresql-15.service`) and those of AppStream (`postgresql.service`).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{Cluster, Control, major, usual_programs};

/// Where units are, the ones that count more first.
const FOLDERS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// A unit that serves a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    name: String,
    data: PathBuf,
    /// The folder of what it starts.
    programs: Option<PathBuf>,
}

/// All clusters that units of systemd serve and that were initialised.
pub(super) fn clusters(root: &Path) -> Vec<Cluster> {
    let cluster = |unit: Unit| {
        let major = major(&unit.data).ok()?;
        let programs = unit.programs.or_else(|| usual_programs(major))?;
        let data = fs::canonicalize(&unit.data).ok()?;
        Cluster::new(unit.name.clone(), major, data, programs, Control::Unit(unit.name)).ok()
    };
    units(root).into_iter().filter_map(cluster).collect()
}

fn units(root: &Path) -> Vec<Unit> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for folder in FOLDERS.iter().map(|folder| root.join(folder)) {
        for path in listed(&folder) {
            let Some(name) = unit_name(&path) else { continue };
            if let Ok(text) = fs::read_to_string(&path) {
                // A unit in /etc hides that of the package.
                texts.entry(name).or_insert(text);
            }
        }
    }
    let with_additions = texts.into_iter().map(|(name, mut text)| {
        let folders = FOLDERS.iter().rev();
        for addition in folders.flat_map(|folder| listed(&root.join(folder).join(format!("{name}.service.d")))) {
            text.push('\n');
            text.push_str(&fs::read_to_string(addition).unwrap_or_default());
        }
        (name, text)
    });
    with_additions.filter_map(|(name, text)| unit(name, &text)).collect()
}

/// The paths of what is in a folder, by name.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// `postgresql-15` of `…/postgresql-15.service`; none of a template or of another service.
fn unit_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".service")?;
    (name.starts_with("postgresql") && !name.ends_with('@')).then(|| name.to_owned())
}

fn unit(name: String, text: &str) -> Option<Unit> {
    let values = |key: &'static str| {
        text.lines()
            .filter_map(move |line| Some(line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim()))
    };
    let data = values("Environment")
        .filter_map(|value| Some(value.trim_matches('"').strip_prefix("PGDATA=")?.trim_matches('"')))
        .next_back()?;
    let program = values("ExecStart")
        .filter_map(|value| value.split_whitespace().next())
        .next_back();
    let program = program.map(|path| Path::new(path.trim_start_matches(['-', '@', '+', '!', ':'])));
    Some(Unit {
        name,
        data: PathBuf::from(data),
        programs: program
            .filter(|path| {
                matches!(
                    path.file_name().and_then(|name| name.to_str()),
                    Some("postgres" | "postmaster")
                )
            })
            .and_then(|path| Some(path.parent()?.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("write");
    }

    #[test]
    fn units_of_both_kinds_of_packages_are_found_and_additions_count() {
        let root = tempfile::tempdir().expect("folder");
        write(
            root.path(),
            "usr/lib/systemd/system/postgresql-15.service",
            "[Service]\nType=notify\nUser=postgres\nEnvironment=PGDATA=/var/lib/pgsql/15/data/\n\
             ExecStartPre=/usr/pgsql-15/bin/postgresql-15-check-db-dir ${PGDATA}\n\
             ExecStart=/usr/pgsql-15/bin/postgres -D ${PGDATA}\n",
        );
        write(
            root.path(),
            "usr/lib/systemd/system/postgresql.service",
            "[Service]\nEnvironment=PGDATA=/var/lib/pgsql/data\nExecStart=/usr/bin/postmaster -D ${PGDATA}\n",
        );
        write(
            root.path(),
            "etc/systemd/system/postgresql.service.d/override.conf",
            "[Service]\nEnvironment=\"PGDATA=/srv/pg\"\n",
        );
        // Debian's own starts nothing, and its template is for pg_lsclusters.
        write(
            root.path(),
            "lib/systemd/system/postgresql-common.service",
            "[Service]\nExecStart=/bin/true\n",
        );
        write(
            root.path(),
            "lib/systemd/system/postgresql@.service",
            "[Service]\nEnvironment=PGDATA=/x\n",
        );
        let found: Vec<_> = units(root.path())
            .into_iter()
            .map(|unit| (unit.name, unit.data, unit.programs.expect("named")))
            .collect();
        let expected = [
            ("postgresql", "/srv/pg", "/usr/bin"),
            ("postgresql-15", "/var/lib/pgsql/15/data", "/usr/pgsql-15/bin"),
        ];
        for ((name, data, programs), expected) in found.iter().zip(expected) {
            assert_eq!(
                (name.as_str(), data.as_path(), programs.as_path()),
                (expected.0, Path::new(expected.1), Path::new(expected.2))
            );
        }
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
