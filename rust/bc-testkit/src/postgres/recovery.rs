//! Standbys: made by a base backup, told what to follow in the words of their version.

use std::path::Path;

use super::{LONG, Postgres};
use crate::wait::until;

/// Settings that 11 has in `recovery.conf`.
const OF_RECOVERY: [&str; 7] = [
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "archive_cleanup_command",
    "recovery_min_apply_delay",
    "recovery_target_timeline",
    "trigger_file",
];

impl Postgres {
    /// A standby that streams from `primary`.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn standby_of(primary: &Self) -> Self {
        Self::standby_with(primary, &[("primary_conninfo", &conninfo(primary))])
    }

    /// A standby that streams from `primary` through a slot, which is made if it is not there.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn standby_by_slot(primary: &Self, slot: &str) -> Self {
        primary.sql(&format!(
            "select pg_create_physical_replication_slot('{slot}', true) \
             where not exists (select 1 from pg_replication_slots where slot_name = '{slot}')"
        ));
        Self::standby_with(
            primary,
            &[("primary_conninfo", &conninfo(primary)), ("primary_slot_name", slot)],
        )
    }

    /// A standby that has nothing but the files that `primary` puts into `share` ([`Self::archive_to`]).
    ///
    /// # Panics
    /// It cannot be made.
    pub fn archive_standby_of(primary: &Self, share: &Path) -> Self {
        let command = format!("cp {}/%f %p", share.display());
        Self::standby_with(primary, &[("restore_command", &command)])
    }

    /// A standby with these settings of recovery, which are written where its version looks for them; it runs.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn standby_with(primary: &Self, settings: &[(&str, &str)]) -> Self {
        let server = Self::backup_of(primary);
        server.follow(settings);
        server.start();
        server
    }

    /// A base backup of `primary` with a port of its own, which does not run and is told to follow nobody. The tablespaces
    /// of `primary` are in folders of the same name here.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn backup_of(primary: &Self) -> Self {
        let server = Self::place_of(primary.major);
        let spaces = primary.sql("select pg_tablespace_location(oid) from pg_tablespace where spcname !~ '^pg_'");
        let mut backup = server.program("pg_basebackup");
        for space in spaces.lines() {
            let name = Path::new(space).file_name().expect("a folder").to_string_lossy();
            backup.args(["-T", &format!("{space}={}", server.path().join(&*name).display())]);
        }
        let output = backup
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &primary.port.to_string()])
            .args(["-X", "stream", "-c", "fast", "--no-sync", "-D"])
            .arg(server.data())
            .output();
        super::checked("pg_basebackup", &output.expect("it runs"));
        server.settle();
        server
    }

    /// Makes it a standby from its next start on, with these settings of recovery.
    ///
    /// # Panics
    /// Its files cannot be written.
    pub fn follow(&self, settings: &[(&str, &str)]) {
        if self.major < 12 {
            self.write(
                "recovery.conf",
                "standby_mode = on\nrecovery_target_timeline = 'latest'\n",
            );
        } else {
            self.write("standby.signal", "");
        }
        for (name, value) in settings {
            self.append_recovery(name, value);
        }
    }

    /// Writes a setting where its version looks for it, and has nobody read it. On 11 only those of recovery are in a
    /// file of their own.
    ///
    /// # Panics
    /// Its file cannot be written.
    pub fn append_recovery(&self, name: &str, value: &str) {
        let is_of_recovery = OF_RECOVERY.contains(&name) && self.major < 12;
        let file = if is_of_recovery {
            "recovery.conf"
        } else {
            "postgresql.conf"
        };
        self.append(file, &setting(name, value));
    }

    /// Changes a setting of recovery, and has it read: a restart where the version wants one for it.
    ///
    /// # Panics
    /// Its file cannot be written.
    pub fn follow_otherwise(&self, name: &str, value: &str) {
        self.append_recovery(name, value);
        let is_reloaded = self.major >= 14 || (self.major == 13 && name != "restore_command");
        match is_reloaded {
            true => drop(self.sql("select pg_reload_conf()")),
            false => self.restart(),
        }
    }

    /// Pauses the replay, or has it go on.
    ///
    /// # Panics
    /// It is no standby.
    pub fn pause_replay(&self, pauses: bool) {
        let what = if pauses { "pause" } else { "resume" };
        self.sql(&format!("select pg_wal_replay_{what}()"));
    }

    /// Has it put its files of the log into `share` from now on, which it restarts for.
    ///
    /// # Panics
    /// It does not start.
    pub fn archive_to(&self, share: &Path) {
        let command = format!("cp %p {}/%f", share.display());
        self.append("postgresql.conf", "archive_mode = on\n");
        self.append("postgresql.conf", &setting("archive_command", &command));
        self.restart();
    }

    /// Writes something, and ends the file of the log that it is in, so that an archive gets it.
    ///
    /// # Panics
    /// It takes no writes.
    pub fn switch_log(&self) {
        self.sql("create table if not exists written (at timestamptz); insert into written values (now()); select pg_switch_wal()");
    }

    /// Up to where it has written; on a standby, up to where it has replayed.
    ///
    /// # Panics
    /// It does not answer.
    pub fn position(&self) -> String {
        self.sql("select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end")
    }

    /// Waits until this standby has replayed all that `primary` has written so far.
    ///
    /// # Panics
    /// It does not get there, or one of them does not answer.
    pub fn catch_up_with(&self, primary: &Self) {
        let written = primary.position();
        until(&format!("{} to have replayed {written}", self.major), LONG, || {
            let is_there = format!("select pg_last_wal_replay_lsn() >= '{written}'");
            (self.sql(&is_there) == "t").then_some(())
        });
    }
}

/// How the standbys here reach `primary`.
pub(super) fn conninfo(primary: &Postgres) -> String {
    format!(
        "host=127.0.0.1 port={} user=postgres application_name=standby",
        primary.port
    )
}

fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}
