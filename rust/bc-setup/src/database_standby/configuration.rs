//! What makes the copy a standby of that primary: the files in its data folder, and the way in for the other server, since
//! the roles swap.

use std::{fs, path::Path};

use bc_core::{
    basics::error::Error,
    database::{
        conninfo::Conninfo,
        fit::{NOT_LOWER, Settings},
        hba::Replication,
        recovery::{self, AUTO_CONF, RECOVERY_CONF, Recovery},
        setting_file,
    },
    durable::atomic,
};

use crate::{cluster::Cluster, console::Console, foreign_file::ForeignFile, passfile};

/// Files of a cluster whose configuration is in its data folder.
const OWN_FILES: [&str; 3] = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"];

/// How a setting without a value is shown.
const NOT_SET: &str = "not set";

/// All that is to be written.
pub(super) struct Configuration<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) recovery: &'a Recovery,
    /// What this host's server has now.
    pub(super) settings: &'a Settings,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// One setting that is not what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) now: String,
    pub(super) then: String,
    pub(super) why: &'static str,
    /// Whether a reload is not enough.
    pub(super) needs_restart: bool,
}

impl Configuration<'_> {
    /// What a copy that is taken anew is told.
    pub(super) fn all(&self) -> Vec<Change> {
        let settings = self.settings().into_iter();
        let now = |name: &str| self.settings.get(name).cloned().unwrap_or_else(|| NOT_SET.to_owned());
        settings
            .map(|(name, then)| self.change(&name, now(&name), then))
            .collect()
    }

    /// What a standby that is there already is told otherwise.
    pub(super) fn differences(&self) -> Result<Vec<Change>, Error> {
        let (data, major) = (&self.cluster.data, self.cluster.major);
        let text = |name: &str| {
            self.cluster
                .owner
                .act(|| fs::read_to_string(data.join(name)).unwrap_or_default())
        };
        let mut text_of = text(AUTO_CONF)?;
        if major <= 11 {
            text_of.push_str(&text(RECOVERY_CONF)?);
        }
        let mut changes = Vec::new();
        for (name, then) in self.settings() {
            let now = setting_file::value_of(&text_of, &name);
            if now.as_deref() != Some(then.as_str()) {
                changes.push(self.change(&name, now.unwrap_or_else(|| NOT_SET.to_owned()), then));
            }
        }
        if !passfile::has(&self.cluster.owner, data, self.user, self.password) {
            changes.push(Change {
                name: passfile::FILE.to_owned(),
                now: "missing, or another password".to_owned(),
                then: "the password given".to_owned(),
                why: "",
                needs_restart: false,
            });
        }
        Ok(changes)
    }

    /// Writes everything into a copy of the primary, in which no server runs: without the settings that came along and do
    /// not count here. What says that it is a standby is written first.
    pub(super) fn write_into(&self, data: &Path) -> Result<(), Error> {
        self.write(data, &recovery::of_a_copy(&self.auto_conf(data)?))
    }

    /// The same for the data folder of a standby that is there already, whose own settings stay; its server is told
    /// afterwards.
    pub(super) fn amend(&self, data: &Path) -> Result<(), Error> {
        self.write(data, &self.auto_conf(data)?)
    }

    /// Settings that came along from the primary and do not count here.
    pub(super) fn left_out(&self, data: &Path) -> Result<Vec<&'static str>, Error> {
        Ok(recovery::left_out(&self.auto_conf(data)?))
    }

    fn write(&self, data: &Path, auto_conf: &str) -> Result<(), Error> {
        let owner = &self.cluster.owner;
        for file in self.recovery.files(self.cluster.major, auto_conf) {
            owner.act(|| atomic::write(&data.join(file.name), file.text.as_bytes(), 0o600))??;
        }
        passfile::write(owner, data, self.user, self.password)?;
        if self.comes_along() {
            for name in OWN_FILES {
                self.bring(name, data)?;
            }
        }
        owner
            .act(|| atomic::sync_folder(data))?
            .map_err(|error| Error::io("sync", data, &error))
    }

    fn auto_conf(&self, data: &Path) -> Result<String, Error> {
        let path = data.join(AUTO_CONF);
        self.cluster.owner.act(|| fs::read_to_string(path).unwrap_or_default())
    }

    /// Whether others are to be let in who are not yet. A copy that is still to come brings the primary's file with it, where
    /// that is in the data folder: it lets both servers in, and not the GoCD that uses the one here.
    pub(super) fn lets_in_others(&self, admitted: &Replication<'_>, is_standby: bool) -> Result<bool, Error> {
        if self.comes_along() && !is_standby {
            return Ok(!admitted.gocd.is_empty());
        }
        Ok(self.hba(admitted)?.is_some())
    }

    /// Whether the configuration is in the data folder, so that the primary's comes along.
    fn comes_along(&self) -> bool {
        self.cluster.configuration == self.cluster.data
    }

    /// The file that says who is let in here, and what it is to be so that all are who have to; none where it is that. Where
    /// it came along from the primary, it lets both servers in already.
    fn hba(&self, admitted: &Replication<'_>) -> Result<Option<(ForeignFile, String)>, Error> {
        let lets_in_both = self.comes_along() || admitted.addresses.is_empty();
        if lets_in_both && admitted.gocd.is_empty() {
            return Ok(None);
        }
        let file = ForeignFile::read(&self.cluster.configuration.join("pg_hba.conf"))?;
        let text = admitted.admitted_by(file.text());
        Ok((file.exists() && text != file.text()).then_some((file, text)))
    }

    /// Lets the other server in here, and GoCD. Whether anything was to be done for it.
    pub(super) fn write_hba(&self, admitted: &Replication<'_>, console: &mut dyn Console) -> Result<bool, Error> {
        let Some((file, text)) = self.hba(admitted)? else {
            return Ok(false);
        };
        if let Some(kept) = file.replace(&text, 0o640)? {
            console.say(&format!(
                "Changed {}; as it was: {}.",
                file.path().display(),
                kept.display()
            ));
        }
        Ok(true)
    }

    /// A file of the configuration that the primary has elsewhere is taken from what is here, or is PostgreSQL's own.
    fn bring(&self, name: &str, data: &Path) -> Result<(), Error> {
        let to = data.join(name);
        self.cluster.owner.act(|| {
            if to.exists() {
                return Ok(());
            }
            let former = fs::read(self.cluster.data.join(name));
            let text = former.unwrap_or_else(|_| default_of(name).as_bytes().to_vec());
            atomic::write(&to, &text, 0o600)
        })?
    }

    /// Names and values, those of this host with them.
    fn settings(&self) -> Vec<(String, String)> {
        let settings = self.recovery.settings(self.cluster.major).into_iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        // A copy keeps what this host has without a word.
        let differs = |(name, value): &&(String, String)| self.settings.get(name) != Some(value);
        let raised = self.recovery.others.iter().filter(differs);
        settings.chain(raised.cloned()).collect()
    }

    fn change(&self, name: &str, now: String, then: String) -> Change {
        let why = match name {
            "primary_conninfo" => "the password is in a file of its own",
            "primary_slot_name" => "the primary keeps for it what it has not got yet",
            "recovery_target_timeline" => "it follows a promotion",
            "restore_command" => "what no longer streams comes from the share",
            "archive_cleanup_command" => "what it has got is removed from the share",
            "trigger_file" | "promote_trigger_file" => "that file promotes it",
            _ if NOT_LOWER.contains(&name) => "must not be lower than on the primary",
            _ => "for after a promotion, when the other server follows this one",
        };
        let needs_restart = match name {
            "primary_conninfo" | "primary_slot_name" => self.cluster.major <= 12,
            "restore_command" => self.cluster.major <= 13,
            "archive_cleanup_command" | "promote_trigger_file" => self.cluster.major <= 11,
            "wal_keep_segments"
            | "wal_keep_size"
            | "max_slot_wal_keep_size"
            | "full_page_writes"
            | "archive_command"
            | "archive_timeout" => false,
            _ => true,
        };
        Change {
            name: name.to_owned(),
            now: shown(name, &now),
            then: shown(name, &then),
            why,
            needs_restart,
        }
    }
}

/// A value as it may be shown: what somebody else wrote may have a password in it.
fn shown(name: &str, value: &str) -> String {
    match name {
        "primary_conninfo" if value != NOT_SET => match Conninfo::parse(value) {
            Ok(conninfo) => conninfo.to_string(),
            Err(_) => "something that Business Continuity does not read".to_owned(),
        },
        _ => value.to_owned(),
    }
}

/// What a server needs at least to start and to let its own user in.
fn default_of(name: &str) -> &'static str {
    match name {
        "postgresql.conf" => "listen_addresses = '*'\n",
        "pg_hba.conf" => "local all all peer\nhost all all all scram-sha-256\n",
        _ => "",
    }
}
