//! What a primary needs so that a standby can follow it, and so that the two can change places: its settings by version.
//!
//! | setting | at least | why |
//! |---|---|---|
//! | `wal_level` | `replica` | the log has what a standby needs |
//! | `max_wal_senders`, `max_replication_slots` | 5 | a base backup takes two beside the standby's own |
//! | `hot_standby` | `on` | the standby answers when it is asked how far it is |
//! | `listen_addresses` | this host's address | the standby can connect |
//! | `wal_keep_segments` (11, 12), `wal_keep_size` | 64, 1 GB | `pg_rewind` finds where two servers parted |
//! | `max_slot_wal_keep_size` (13 and newer) | a limit | a standby that stays away does not fill the disk |
//! | `wal_log_hints` | `on`, but with data checksums | `pg_rewind` needs one of them, from before the servers part |
//! | `full_page_writes` | `on` | `pg_rewind` needs it |
//! | `ssl` | `on` | password and data are not read on the way |
//!
//! What is already more stays as it is.

use std::{collections::BTreeMap, net::IpAddr};

use super::setting_file;

/// The role that a standby logs in with, where nobody says otherwise.
pub const ROLE: &str = "gocd_replication";
/// The slot that keeps for the standby what it has not received yet, where nobody says otherwise.
pub const SLOT: &str = "gocd_bc";
/// The file with the password of [`ROLE`], in the home folder of PostgreSQL's user on both hosts.
pub const PASSWORD_FILE: &str = ".gocd-bc.pgpass";
/// The file of our settings, in a folder that `postgresql.conf` includes.
pub const SETTINGS_FILE: &str = "50-gocd-bc.conf";

/// Fewer senders and slots than this are too few for a standby, a base backup and one to spare.
const FEWEST_SENDERS: u64 = 5;
const MB: u64 = 1 << 20;
/// `wal_keep_segments` counts segments of this size.
const SEGMENT_MB: u64 = 16;
const KEEP_MB: u64 = 1024;
/// Of the free space, so much may be kept for a standby that stays away.
const SHARE_OF_FREE_SPACE: u64 = 3;

/// What the settings have to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The addresses by which the standby knows this host.
    pub own: Vec<IpAddr>,
    /// Free space on the disk of the log, in bytes.
    pub free_bytes: u64,
    /// The folder that the log is shipped to, if it is.
    pub share: Option<String>,
}

/// A setting that has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: &'static str,
    /// Its value, as a file of settings has it.
    pub value: String,
    /// What it is good for, as a sentence part.
    pub why: &'static str,
}

/// What has to change in `settings` of a server of this major version: their values by name, with units as PostgreSQL
/// shows them or as people write them. A setting that is not among them is of another version.
pub fn changes(major: u32, settings: &BTreeMap<String, String>, goal: &Goal) -> Vec<Change> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let is_off = |name: &str| settings.get(name).is_some_and(|value| !is_true(value));
    let number = |name: &str| settings.get(name).and_then(|value| value.trim().parse::<u64>().ok());
    let is_few = |name: &str| number(name).is_some_and(|number| number < FEWEST_SENDERS);
    let mut changes = Vec::new();
    let mut change = |name: &'static str, value: String, why: &'static str| changes.push(Change { name, value, why });
    if is("wal_level", "minimal") {
        change("wal_level", "replica".to_owned(), "the log lacks what a standby needs");
    }
    for name in ["max_wal_senders", "max_replication_slots"] {
        if is_few(name) {
            change(name, "10".to_owned(), "a standby and a base backup take three");
        }
    }
    if is_off("hot_standby") {
        change("hot_standby", "on".to_owned(), "so that a standby says how far it is");
    }
    let listens = settings.get("listen_addresses").map(String::as_str);
    if listens.is_some_and(|value| !goal.own.iter().all(|own| listens_on(value, own))) {
        change(
            "listen_addresses",
            "*".to_owned(),
            "so that the standby can connect; pg_hba.conf says who may",
        );
    }
    if major <= 12 {
        if number("wal_keep_segments").is_some_and(|segments| segments * SEGMENT_MB < KEEP_MB) {
            let segments = (KEEP_MB / SEGMENT_MB).to_string();
            change("wal_keep_segments", segments, "so that a former primary can be rewound");
        }
    } else if megabytes(settings.get("wal_keep_size")).is_some_and(|kept| kept < KEEP_MB) {
        change(
            "wal_keep_size",
            "1GB".to_owned(),
            "so that a former primary can be rewound",
        );
    }
    if settings
        .get("max_slot_wal_keep_size")
        .is_some_and(|limit| limit.trim().starts_with('-'))
    {
        let limit = (goal.free_bytes / SHARE_OF_FREE_SPACE / MB).div_euclid(1024).max(1);
        change(
            "max_slot_wal_keep_size",
            format!("{limit}GB"),
            "so that a standby that stays away does not fill this disk",
        );
    }
    if is_off("wal_log_hints") && is_off("data_checksums") {
        change(
            "wal_log_hints",
            "on".to_owned(),
            "so that a former primary can be rewound",
        );
    }
    if is_off("full_page_writes") {
        change(
            "full_page_writes",
            "on".to_owned(),
            "so that a former primary can be rewound",
        );
    }
    if is_off("ssl") {
        change(
            "ssl",
            "on".to_owned(),
            "so that nobody reads password and data on the way",
        );
    }
    if let Some(share) = &goal.share {
        let ships = archive_command(share);
        if is("archive_mode", "off") {
            change("archive_mode", "on".to_owned(), "for the share");
        }
        if !is("archive_command", &ships) {
            change(
                "archive_command",
                ships,
                "copies to another name first, so that no half file has the right one",
            );
        }
        if is_zero(settings.get("archive_timeout")) {
            change(
                "archive_timeout",
                "1min".to_owned(),
                "so that at most a minute is not on the share yet",
            );
        }
    }
    changes
}

/// The command by which a primary ships one file of its log to the share. A file that is there already counts as
/// shipped if it is the same, as after a crash, and is never overwritten.
pub fn archive_command(folder: &str) -> String {
    let file = format!("{}/%f", shell_quoted(folder));
    format!(
        "if test -f {file}; then cmp -s \"%p\" {file}; else cp \"%p\" {file}.gocd-bc.tmp && sync {file}.gocd-bc.tmp && mv \
         {file}.gocd-bc.tmp {file}; fi"
    )
}

/// Whether somebody else's way of shipping the log is set, which the share would take the place of.
pub fn other_archive(settings: &BTreeMap<String, String>, folder: &str) -> Option<String> {
    let set = |name: &str| {
        settings
            .get(name)
            .filter(|value| !value.is_empty() && *value != "(disabled)")
    };
    let command = set("archive_command").filter(|command| **command != archive_command(folder));
    command.or_else(|| set("archive_library")).cloned()
}

/// Whether a server whose `listen_addresses` is this can be reached by the address `own`.
fn listens_on(listen_addresses: &str, own: &IpAddr) -> bool {
    listen_addresses.split(',').map(str::trim).any(|listens| match listens {
        "*" => true,
        "0.0.0.0" => own.is_ipv4(),
        "::" => own.is_ipv6(),
        "localhost" => matches!(own.to_string().as_str(), "127.0.0.1" | "::1"),
        other => other.parse() == Ok(*own),
    })
}

/// Whether a setting that is on or off is on, in any of the words that PostgreSQL takes.
fn is_true(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "on" | "true" | "yes" | "1" | "t" | "y"
    )
}

/// A size as PostgreSQL shows or reads it, in whole megabytes, which is the unit where none is written; none where it is
/// negative or no size.
fn megabytes(value: Option<&String>) -> Option<u64> {
    let value = value?.trim();
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..end].parse().ok()?;
    match value[end..].trim() {
        "" | "MB" => Some(number),
        "kB" => Some(number / 1024),
        "GB" => Some(number * 1024),
        "TB" => Some(number * 1024 * 1024),
        _ => None,
    }
}

fn is_zero(value: Option<&String>) -> bool {
    value.is_some_and(|value| value.trim().trim_end_matches(char::is_alphabetic).trim() == "0")
}

/// A path in a command of PostgreSQL's, which gives `%` a meaning, and of a shell.
pub(super) fn shell_quoted(path: &str) -> String {
    let path = path.replace('%', "%%");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '%' | '+' | ',');
    match path.chars().all(is_plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// The text of [`SETTINGS_FILE`] with these settings added to what is in it.
pub fn settings_file(text: &str, changes: &[(&str, &str)]) -> String {
    const HEAD: &str =
        "# Settings for the pair of databases. `gocd-bc setup database-primary` adds here what is missing.\n";
    let text = if text.is_empty() { HEAD } else { text };
    setting_file::with(text, changes.iter().map(|(name, value)| (*name, Some(*value))))
}

/// The folder that a `postgresql.conf` includes all settings of, where it has one: as it is written there.
pub fn included_folder(configuration: &str) -> Option<String> {
    setting_file::value_of(configuration, "include_dir").filter(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server as `initdb` leaves it.
    fn usual(major: u32) -> BTreeMap<String, String> {
        let mut settings = vec![
            ("wal_level", "replica"),
            ("max_wal_senders", "10"),
            ("max_replication_slots", "10"),
            ("hot_standby", "on"),
            ("listen_addresses", "localhost"),
            ("wal_log_hints", "off"),
            ("data_checksums", if major >= 18 { "on" } else { "off" }),
            ("full_page_writes", "on"),
            ("ssl", "off"),
            ("archive_mode", "off"),
            ("archive_command", ""),
            ("archive_timeout", "0"),
        ];
        match major {
            ..=12 => settings.push(("wal_keep_segments", "0")),
            _ => settings.extend([("wal_keep_size", "0"), ("max_slot_wal_keep_size", "-1")]),
        }
        if major >= 15 {
            settings.push(("archive_library", ""));
        }
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn goal() -> Goal {
        Goal {
            own: vec!["10.0.0.5".parse().expect("an address")],
            free_bytes: 30 << 30,
            share: None,
        }
    }

    fn names(major: u32, settings: &BTreeMap<String, String>, goal: &Goal) -> Vec<String> {
        let changes = changes(major, settings, goal);
        changes
            .iter()
            .map(|change| format!("{}={}", change.name, change.value))
            .collect()
    }

    #[test]
    fn each_version_gets_what_it_lacks_and_nothing_that_it_does_not_know() {
        for major in 11..=18 {
            let mut expected = vec!["listen_addresses=*"];
            expected.extend(match major {
                ..=12 => &["wal_keep_segments=64"][..],
                _ => &["wal_keep_size=1GB", "max_slot_wal_keep_size=10GB"],
            });
            if major < 18 {
                expected.push("wal_log_hints=on");
            }
            expected.push("ssl=on");
            assert_eq!(names(major, &usual(major), &goal()), expected, "{major}");
        }
    }

    #[test]
    fn what_was_changed_once_is_not_changed_again() {
        for major in 11..=18 {
            for share in [None, Some("/share/o'brien's 100%".to_owned())] {
                let goal = Goal { share, ..goal() };
                let mut settings = usual(major);
                for change in changes(major, &settings, &goal) {
                    settings.insert(change.name.to_owned(), change.value);
                }
                assert_eq!(names(major, &settings, &goal), Vec::<String>::new(), "{major}");
                assert_eq!(
                    settings.keys().collect::<Vec<_>>(),
                    usual(major).keys().collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn the_settings_of_the_original_set_up_are_raised() {
        let mut settings = usual(11);
        for (name, value) in [
            ("max_wal_senders", "1"),
            ("wal_keep_segments", "30"),
            ("wal_level", "minimal"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let names = names(11, &settings, &goal());
        for change in ["max_wal_senders=10", "wal_keep_segments=64", "wal_level=replica"] {
            assert!(names.contains(&change.to_owned()), "{names:?}");
        }
    }

    #[test]
    fn what_is_more_already_stays() {
        let mut settings = usual(15);
        for (name, value) in [
            ("listen_addresses", "localhost, 10.0.0.5"),
            ("wal_keep_size", "2TB"),
            ("max_slot_wal_keep_size", "5GB"),
            ("wal_level", "logical"),
            ("data_checksums", "on"),
            ("ssl", "yes"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(names(15, &settings, &goal()), Vec::<String>::new());
    }

    #[test]
    fn addresses_that_are_listened_on_are_known() {
        for (listens, own, reaches) in [
            ("*", "::1", true),
            ("0.0.0.0", "10.0.0.5", true),
            ("0.0.0.0", "2001:db8::5", false),
            ("localhost", "127.0.0.1", true),
            ("localhost", "127.0.0.2", false),
            ("localhost", "10.0.0.5", false),
            ("10.0.0.5,localhost", "10.0.0.5", true),
            ("", "127.0.0.1", false),
        ] {
            assert_eq!(
                listens_on(listens, &own.parse().expect("an address")),
                reaches,
                "{listens} {own}"
            );
        }
    }

    #[test]
    fn another_way_of_shipping_the_log_is_seen() {
        let mut settings = usual(15);
        assert_eq!(other_archive(&settings, "/share"), None);
        settings.insert("archive_command".to_owned(), archive_command("/share"));
        assert_eq!(other_archive(&settings, "/share"), None);
        settings.insert("archive_command".to_owned(), "pgbackrest archive-push %p".to_owned());
        assert!(other_archive(&settings, "/share").is_some());
    }

    #[test]
    fn a_share_with_an_odd_name_is_quoted_for_the_shell_and_for_postgresql() {
        let command = archive_command("/the share/100%");
        assert!(
            command.starts_with("if test -f '/the share/100%%'/%f; then cmp -s \"%p\" "),
            "{command}"
        );
    }

    #[test]
    fn our_file_has_each_setting_once() {
        let once = settings_file("", &[("ssl", "on"), ("wal_keep_size", "1GB")]);
        let twice = settings_file(&once, &[("ssl", "on")]);
        assert_eq!(twice.matches("ssl = 'on'").count(), 1);
        assert!(twice.starts_with("# Settings for the pair") && twice.contains("wal_keep_size = '1GB'"));
        assert_eq!(
            included_folder("#include_dir = 'x'\ninclude_dir = 'conf.d'\t# more\n").as_deref(),
            Some("conf.d")
        );
        assert_eq!(included_folder("#include_dir = 'x'\n"), None);
    }
}
