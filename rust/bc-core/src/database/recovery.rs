//! What makes a copy of a primary its standby: the file that says so before it first starts, and the settings beside it.
//!
//! | version | says "standby" | settings are in |
//! |---|---|---|
//! | 11 | `recovery.conf`, by `standby_mode` | that file |
//! | 12 to 15 | `standby.signal`, empty | any file of settings; `promote_trigger_file` is known |
//! | 16 and newer | `standby.signal`, empty | any file of settings; a trigger file stops the start |
//!
//! A copy that starts once without the first of these takes writes on the primary's own timeline, and nothing tells
//! afterwards.

use super::{conninfo::Upstream, followed::shell_quoted, setting_file};

/// The file of version 11.
pub const RECOVERY_CONF: &str = "recovery.conf";
/// The file of newer ones.
pub const STANDBY_SIGNAL: &str = "standby.signal";
/// Where the settings of newer ones are written: it is in the data folder, wherever the others are, and beats them.
pub const AUTO_CONF: &str = "postgresql.auto.conf";

/// Seconds that the copying of one file from the share may take. One that hangs would keep the server from starting and
/// from being promoted.
const RESTORE_WITHIN_S: u32 = 30;

/// Settings of a former life as a standby, or of the primary's, that come along with a copy and must not count in it.
const OF_OTHERS: [&str; 15] = [
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "promote_trigger_file",
    // Where it is set, the first commit after a promotion waits for a standby that is not there.
    "synchronous_standby_names",
];

/// Settings that are of one host: where a copy has them from its primary, they must not count here.
const OF_ONE_HOST: [&str; 13] = [
    "port",
    "listen_addresses",
    "unix_socket_directories",
    "data_directory",
    "hba_file",
    "ident_file",
    "external_pid_file",
    "cluster_name",
    "log_directory",
    "log_filename",
    "ssl_cert_file",
    "ssl_key_file",
    "ssl_ca_file",
];

/// How a standby gets what its primary writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Whom it follows.
    pub upstream: Upstream,
    /// The slot that keeps for it what it has not received yet.
    pub slot: String,
    /// Where the primary ships its log to.
    pub share: Option<Share>,
    /// The file whose appearance promotes it, where the version knows one and somebody wants it.
    pub trigger_file: Option<String>,
    /// What this host's server needs besides: settings that must not be lower than the primary's, its own port.
    pub others: Vec<(String, String)>,
}

/// The folder that the primary ships its log to, and what is needed to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The folder with the files of the log, as the standby's host sees it.
    pub folder: String,
    /// The folder of the standby's own programs of PostgreSQL: its server need not find them by itself.
    pub programs: String,
}

/// One file of the data folder, by what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryFile {
    /// Its name in the data folder.
    pub name: &'static str,
    /// All of its text.
    pub text: String,
}

impl Recovery {
    /// The settings of a standby of this major version, in the order in which they are written.
    pub fn settings(&self, major: u32) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("primary_conninfo", self.upstream.conninfo().text()),
            ("primary_slot_name", self.slot.clone()),
            // What version 12 made the default: with any other a standby does not follow a promotion.
            ("recovery_target_timeline", "latest".to_owned()),
        ];
        if let Some(share) = &self.share {
            settings.push(("restore_command", share.restore_command()));
            settings.push(("archive_cleanup_command", share.cleanup_command()));
        }
        match (&self.trigger_file, major) {
            (Some(file), ..=11) => settings.push(("trigger_file", file.clone())),
            (Some(file), 12..=15) => settings.push(("promote_trigger_file", file.clone())),
            _ => {}
        }
        settings
    }

    /// The files that make a copy of the primary a standby, in the order in which they must be written: the first of
    /// them says that it is one. `auto_conf` is what is in [`AUTO_CONF`]: of a copy, what [`of_a_copy`] leaves of it.
    pub fn files(&self, major: u32, auto_conf: &str) -> Vec<RecoveryFile> {
        let settings = self.settings(major);
        let others = self
            .others
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let auto_conf = setting_file::with(auto_conf, others);
        if major <= 11 {
            let mut text = setting_file::line("standby_mode", "on");
            for (name, value) in &settings {
                text.push_str(&setting_file::line(name, value));
            }
            return vec![
                RecoveryFile {
                    name: RECOVERY_CONF,
                    text,
                },
                RecoveryFile {
                    name: AUTO_CONF,
                    text: auto_conf,
                },
            ];
        }
        let ours = settings.iter().map(|(name, value)| (*name, Some(value.as_str())));
        let auto_conf = setting_file::with(&auto_conf, ours);
        vec![
            RecoveryFile {
                name: STANDBY_SIGNAL,
                text: String::new(),
            },
            RecoveryFile {
                name: AUTO_CONF,
                text: auto_conf,
            },
        ]
    }
}

/// What may stay of the [`AUTO_CONF`] that came along with a copy of the primary.
pub fn of_a_copy(auto_conf: &str) -> String {
    setting_file::with(
        auto_conf,
        OF_OTHERS
            .into_iter()
            .chain(OF_ONE_HOST)
            .map(|name| (name, None))
            .collect::<Vec<_>>(),
    )
}

/// Settings of [`AUTO_CONF`] that came along with a copy of the primary and are left out of it, with their names.
pub fn left_out(auto_conf: &str) -> Vec<&'static str> {
    let is_set = |name: &&'static str| setting_file::value_of(auto_conf, name).is_some_and(|value| !value.is_empty());
    OF_OTHERS.into_iter().chain(OF_ONE_HOST).filter(is_set).collect()
}

/// Whether a trigger file can promote a standby of this major version.
pub fn knows_trigger_file(major: u32) -> bool {
    major <= 15
}

impl Share {
    /// The command by which a standby takes one file of the log from the share. It ends in time: 124, as `timeout` does
    /// then, means to PostgreSQL that the file is not there yet.
    pub fn restore_command(&self) -> String {
        format!("timeout {RESTORE_WITHIN_S} cp {}/%f \"%p\"", shell_quoted(&self.folder))
    }

    /// The command that removes from the share what the one standby of the pair no longer needs.
    pub fn cleanup_command(&self) -> String {
        let program = shell_quoted(&format!("{}/pg_archivecleanup", self.programs));
        format!("{program} {} %r", shell_quoted(&self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::{Server, TlsMode};

    fn recovery() -> Recovery {
        Recovery {
            upstream: Upstream {
                primary: Server {
                    host: "10.0.0.5".to_owned(),
                    port: 5432,
                },
                user: "gocd_replication".to_owned(),
                passfile: "gocd-bc.pgpass".to_owned(),
                tls: TlsMode::Prefer,
                root_certificates: None,
                application: "gocd_bc_other".to_owned(),
            },
            slot: "gocd_bc".to_owned(),
            share: None,
            trigger_file: Some("/var/lib/postgresql/promote".to_owned()),
            others: vec![("port".to_owned(), "5555".to_owned())],
        }
    }

    #[test]
    fn each_version_gets_what_it_knows() {
        let names = |major| {
            recovery()
                .settings(major)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        let always = ["primary_conninfo", "primary_slot_name", "recovery_target_timeline"];
        assert_eq!(names(11), [&always[..], &["trigger_file"]].concat());
        for major in 12..=15 {
            assert_eq!(
                names(major),
                [&always[..], &["promote_trigger_file"]].concat(),
                "{major}"
            );
        }
        for major in 16..=19 {
            assert_eq!(names(major), always, "{major}");
            assert!(!knows_trigger_file(major));
        }
    }

    #[test]
    fn what_says_standby_is_written_first() {
        for major in 11..=18 {
            let files = recovery().files(major, "");
            let expected = if major == 11 { RECOVERY_CONF } else { STANDBY_SIGNAL };
            assert_eq!(files[0].name, expected, "{major}");
        }
        let files = recovery().files(11, "");
        assert!(files[0].text.starts_with("standby_mode = 'on'\n"), "{}", files[0].text);
        assert!(
            files[0].text.contains("recovery_target_timeline = 'latest'\n"),
            "{}",
            files[0].text
        );
    }

    #[test]
    fn settings_of_the_primary_that_would_harm_do_not_stay() {
        let came = "# Do not edit\nport = '5433'\nprimary_conninfo = 'host=old password=x'\n\
                    synchronous_standby_names = '*'\nrecovery_target_time = '2020-01-01'\nrestore_command = ''\n";
        assert_eq!(
            left_out(came),
            [
                "primary_conninfo",
                "recovery_target_time",
                "synchronous_standby_names",
                "port"
            ]
        );
        for major in [11, 15] {
            let files = recovery().files(major, &of_a_copy(came));
            let text = &files[1].text;
            assert!(
                text.contains("port = '5555'\n") && text.starts_with("# Do not edit\n"),
                "{text}"
            );
            assert!(
                !text.contains("old")
                    && !text.contains("5433")
                    && !text.contains("synchronous")
                    && !text.contains("2020"),
                "{text}"
            );
            assert_eq!(recovery().files(major, text)[1].text, *text);
            // Of one that is a standby already, what is of this host stays.
            let own = format!("{text}listen_addresses = '*'\n");
            assert!(recovery().files(major, &own)[1].text.contains("listen_addresses = '*'"));
        }
    }

    #[test]
    fn the_share_is_read_with_a_limit_and_cleaned() {
        let share = |folder: &str| Share {
            folder: folder.to_owned(),
            programs: "/usr/lib/postgresql/15/bin".to_owned(),
        };
        let shares = Recovery {
            share: Some(share("/the share/o'brien/100%")),
            ..recovery()
        };
        let settings = shares.settings(18);
        let of = |name: &str| {
            settings
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            of("restore_command"),
            Some(r#"timeout 30 cp '/the share/o'\''brien/100%%'/%f "%p""#)
        );
        assert_eq!(
            of("archive_cleanup_command"),
            Some(r"/usr/lib/postgresql/15/bin/pg_archivecleanup '/the share/o'\''brien/100%%' %r")
        );
        let plain = share("/share/primary_wal").restore_command();
        assert_eq!(plain, "timeout 30 cp /share/primary_wal/%f \"%p\"");
    }
}
