//! The settings of the primary's server: in a file of our own where `postgresql.conf` includes a folder, else by ALTER
//! SYSTEM, which is copied to the standby with the data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Error, Kind},
    database::{
        followed::{self, Change, Goal},
        recovery::AUTO_CONF,
        sql,
    },
};

use super::addresses::Addresses;
use crate::{cluster::Cluster, foreign_file::ForeignFile, plan::Plan, share, superuser::Superuser};

/// What is looked at, in the order in which it is shown.
const NAMES: [&str; 17] = [
    "listen_addresses",
    "wal_level",
    "max_wal_senders",
    "max_replication_slots",
    "hot_standby",
    "wal_keep_segments",
    "wal_keep_size",
    "max_slot_wal_keep_size",
    "wal_log_hints",
    "data_checksums",
    "full_page_writes",
    "ssl",
    "archive_mode",
    "archive_command",
    "archive_timeout",
    "archive_library",
    "synchronous_standby_names",
];
/// Of those, what is shown where the log is shipped.
const OF_ARCHIVE: [&str; 4] = ["archive_mode", "archive_command", "archive_timeout", "archive_library"];
/// Mistakes in the files but for values that wait for a restart.
const MISTAKES: &str = "select sourcefile, sourceline::text, coalesce(name, ''), error from pg_file_settings \
     where error is not null and error <> 'setting could not be applied' order by seqno limit 1";

/// The settings as they were looked at.
#[derive(Debug)]
pub(super) struct Settings {
    /// As the server has them.
    live: BTreeMap<String, String>,
    /// Those that only a start of the server changes.
    of_start: Vec<String>,
    /// What is to be written.
    changes: Vec<Change>,
    /// What differs from what it should be now, written already or not.
    pending: Vec<Change>,
    /// The file of our own, where one is included.
    own_file: Option<ForeignFile>,
    /// `postgresql.auto.conf`.
    auto_conf: ForeignFile,
    /// Names that are set in there, which beats any file.
    in_auto_conf: Vec<String>,
    /// The folder that the log is shipped to, where it is.
    share: Option<String>,
}

/// What has been written.
pub(super) struct Written<'a> {
    settings: &'a Settings,
    kept: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Looks at the settings of a server.
    pub(super) fn look(
        cluster: &Cluster,
        server: &Superuser,
        addresses: &Addresses,
        share: Option<&Path>,
    ) -> Result<Self, Error> {
        refuse_mistakes(server, "has a mistake already")?;
        let share = share.map(|share| share::checked(&cluster.owner, share)).transpose()?;
        let names: Vec<String> = NAMES.iter().map(|name| sql::literal(name)).collect();
        let names = names.join(", ");
        let mut live = BTreeMap::new();
        let mut after = BTreeMap::new();
        let (mut of_start, mut of_command_line) = (Vec::new(), Vec::new());
        for row in server.rows(&format!(
            "select name, current_setting(name), context, source from pg_settings where name in ({names})"
        ))? {
            let [name, value, context, source] = texts(row);
            if context == "postmaster" {
                of_start.push(name.clone());
            }
            if source == "command line" {
                of_command_line.push(name.clone());
            }
            after.insert(name.clone(), value.clone());
            live.insert(name, value);
        }
        let mut in_auto_conf = Vec::new();
        for row in server.rows(&format!(
            "select name, setting, sourcefile from pg_file_settings where name in ({names}) and setting is not null \
             order by seqno"
        ))? {
            let [name, value, file] = texts(row);
            if file.ends_with(AUTO_CONF) {
                in_auto_conf.push(name.clone());
            }
            if !of_command_line.contains(&name) {
                after.insert(name, value);
            }
        }
        let goal = Goal {
            own: addresses.own.clone(),
            free_bytes: free_bytes(&cluster.data.join("pg_wal")),
            share,
        };
        if let Some(other) = goal
            .share
            .as_ref()
            .and_then(|share| followed::other_archive(&after, share))
        {
            return Err(Error::new(
                Kind::Refused,
                format!("{} ships its log already, by `{other}`", cluster.name),
                "Leave out --share, or take that away first: archive_command = ''",
            ));
        }
        let changes = followed::changes(cluster.major, &after, &goal);
        if let Some(change) = changes
            .iter()
            .find(|change| of_command_line.iter().any(|name| name == change.name))
        {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "{} is set on the command line of the server, which beats every file",
                    change.name
                ),
                format!(
                    "Set {}={} where that is started, such as its unit or Patroni's configuration.",
                    change.name, change.value
                ),
            ));
        }
        let configuration = server.value("show config_file")?.unwrap_or_default();
        Ok(Self {
            pending: followed::changes(cluster.major, &live, &goal),
            own_file: own_file(Path::new(&configuration))?,
            auto_conf: ForeignFile::read(&cluster.data.join(AUTO_CONF))?,
            live,
            of_start,
            changes,
            in_auto_conf,
            share: goal.share,
        })
    }

    /// Adds to the plan what is done about the settings of the primary's server.
    pub(super) fn plan(&self, plan: &mut Plan) {
        for name in NAMES {
            let Some(now) = self.live.get(name) else { continue };
            let is_empty = now.is_empty() || now == "(disabled)";
            if is_empty && matches!(name, "synchronous_standby_names" | "archive_library")
                || self.share.is_none() && OF_ARCHIVE.contains(&name)
            {
                continue;
            }
            let now = if is_empty { "''" } else { now };
            let pending = self.pending.iter().find(|change| change.name == name);
            let written = self.changes.iter().find(|change| change.name == name);
            match (written.or(pending), self.is_of_start(name)) {
                (None, _) if name == "synchronous_standby_names" => plan.is(
                    name,
                    format!("{now} (after a promotion nothing is committed until such a standby is there)"),
                ),
                (None, _) => plan.is(name, now),
                (Some(change), true) if written.is_none() => {
                    plan.change_by_restart(name, now, &change.value, "written already, waits for a restart");
                }
                (Some(change), true) => plan.change_by_restart(name, now, &change.value, change.why),
                (Some(change), false) => plan.change(name, now, &change.value, change.why),
            }
        }
        if !self.changes.is_empty() {
            let by_file = self.by_file();
            let in_file = match (&self.own_file, by_file.is_empty()) {
                (Some(file), false) => format!("into {}", file.path().display()),
                _ => format!("by ALTER SYSTEM into {}", self.auto_conf.path().display()),
            };
            plan.is("settings go", in_file);
        }
    }

    /// The folder that the log is shipped to, where it is.
    pub(super) fn share(&self) -> Option<&str> {
        self.share.as_deref()
    }

    /// Whether settings of the primary's server are to be written.
    pub(super) fn has_work(&self) -> bool {
        !self.changes.is_empty() || self.pending.iter().any(|change| !self.is_of_start(change.name))
    }

    /// Whether a setting of the primary's server takes effect at a start of it alone.
    pub(super) fn waits_for_restart(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// The names of the settings of the primary's server that take effect at a start of it alone.
    pub(super) fn waiting(&self) -> Vec<&'static str> {
        let changes = self.pending.iter().chain(&self.changes);
        let mut names: Vec<&str> = changes
            .map(|change| change.name)
            .filter(|name| self.is_of_start(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a setting of the primary's server has to turn TLS on.
    pub(super) fn turns_tls_on(&self) -> bool {
        self.changes.iter().any(|change| change.name == "ssl")
    }

    /// Writes the settings of the primary's server, has it check them, and puts back what it refuses.
    pub(super) fn write(&self, cluster: &Cluster, server: &Superuser) -> Result<Written<'_>, Error> {
        let mut written = Written {
            settings: self,
            kept: None,
        };
        let by_file = self.by_file();
        if let Some(file) = self.own_file.as_ref().filter(|_| !by_file.is_empty()) {
            let lines: Vec<(&str, &str)> = by_file
                .iter()
                .map(|change| (change.name, change.value.as_str()))
                .collect();
            let kept = file.replace(followed::settings_file(file.text(), &lines), 0o644)?;
            written.kept = kept.map(|kept| (file.path().to_owned(), kept));
        }
        let checked = self.alter_system(server).and_then(|()| self.check(cluster, server));
        match checked {
            Ok(()) => Ok(written),
            Err(error) => {
                written.put_back(server)?;
                Err(error)
            }
        }
    }

    /// Has the primary's server read its files of settings, and waits until it has.
    pub(super) fn reload(&self, server: &Superuser) -> Result<(), Error> {
        let before = server.value("select extract(epoch from pg_conf_load_time())")?;
        server.run("select pg_reload_conf()")?;
        for _ in 0..100 {
            if server.value("select extract(epoch from pg_conf_load_time())")? != before {
                return Ok(());
            }
            server.run("select pg_sleep(0.1)")?;
        }
        Err(Error::new(
            Kind::Unreachable,
            "the server did not read its configuration within 10 s",
            "Look at its log.",
        ))
    }

    fn is_of_start(&self, name: &str) -> bool {
        self.of_start.iter().any(|of_start| of_start == name)
    }

    /// What goes into the file of our own.
    fn by_file(&self) -> Vec<&Change> {
        let is_by_file = |change: &&Change| !self.in_auto_conf.iter().any(|name| name == change.name);
        self.changes
            .iter()
            .filter(|_| self.own_file.is_some())
            .filter(is_by_file)
            .collect()
    }

    fn alter_system(&self, server: &Superuser) -> Result<(), Error> {
        let by_file = self.by_file();
        for change in self.changes.iter().filter(|change| !by_file.contains(change)) {
            server.run(&format!(
                "alter system set {} = {}",
                change.name,
                sql::literal(&change.value)
            ))?;
        }
        Ok(())
    }

    /// Whether the server would take what was written, as its view of the files says before it reads them.
    fn check(&self, cluster: &Cluster, server: &Superuser) -> Result<(), Error> {
        refuse_mistakes(server, "is refused by the server")?;
        for change in &self.changes {
            let last = server.rows(&format!(
                "select setting, sourcefile, sourceline::text from pg_file_settings where name = {} order by seqno desc limit 1",
                sql::literal(change.name)
            ))?;
            let [value, file, line] = last.into_iter().next().map(texts).unwrap_or_default();
            if file.is_empty() {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the server does not see that {} was set", change.name),
                    "It reads other files than this command, as in a container: run it where the server runs.",
                ));
            }
            if value != change.value {
                return Err(Error::new(
                    Kind::Refused,
                    format!(
                        "{} is also set in {file}, line {line}, which comes after ours",
                        change.name
                    ),
                    format!("Remove it there, or set it to {} there.", change.value),
                ));
            }
        }
        // What a running server cannot check, such as whether it would start.
        let program = cluster
            .program("postgres")
            .args(["-C", "wal_level", "-D"])
            .arg(&cluster.configuration);
        let configuration = program.run()?;
        match configuration.code {
            Some(0) => Ok(()),
            _ => Err(Error::new(
                Kind::Refused,
                format!("the server would not start with it: {}", configuration.last_words()),
                "",
            )),
        }
    }
}

impl Written<'_> {
    /// Makes the files of settings again what they were, and has the server read them.
    pub(super) fn put_back(&self, server: &Superuser) -> Result<(), Error> {
        self.put_back_files()?;
        server.run("select pg_reload_conf()")
    }

    /// Makes the files of settings again what they were, while no server runs.
    pub(super) fn put_back_files(&self) -> Result<(), Error> {
        if let Some(file) = &self.settings.own_file {
            file.put_back()?;
        }
        self.settings.auto_conf.put_back()
    }

    /// The file of settings that was changed, and where what was in it is kept.
    pub(super) fn kept(&self) -> Option<(PathBuf, PathBuf)> {
        self.kept.clone()
    }
}

/// The columns of a row; empty where there is none.
fn texts<const N: usize>(row: Vec<Option<String>>) -> [String; N] {
    let mut columns = row.into_iter().map(Option::unwrap_or_default);
    std::array::from_fn(|_| columns.next().unwrap_or_default())
}

fn refuse_mistakes(server: &Superuser, what: &str) -> Result<(), Error> {
    let Some(row) = server.rows(MISTAKES)?.into_iter().next() else {
        return Ok(());
    };
    let [file, line, name, mistake] = texts(row);
    Err(Error::new(
        Kind::Refused,
        format!("{file}, line {line}, {what}: {name} {mistake}"),
        "Mend that first: a server that reads its configuration with a mistake in it ignores it.",
    ))
}

/// The file of our own, where `postgresql.conf` includes the folder for it.
fn own_file(configuration: &Path) -> Result<Option<ForeignFile>, Error> {
    let text = ForeignFile::read(configuration)?;
    let Some(folder) = followed::included_folder(text.text()) else {
        return Ok(None);
    };
    let folder = text.path().parent().unwrap_or(Path::new("/")).join(folder);
    match folder.is_dir() {
        true => ForeignFile::read(&folder.join(followed::SETTINGS_FILE)).map(Some),
        false => Ok(None),
    }
}

/// Bytes that are free where the log is written.
fn free_bytes(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(0, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()))
}
