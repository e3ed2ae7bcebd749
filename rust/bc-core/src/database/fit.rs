//! Whether a host can carry a standby of a primary: versions, sizes that are fixed when a cluster is made, settings,
//! collations, room.
//!
//! A copy of a primary is its bytes. So the standby's programs must be of the same major version and built with the same
//! sizes, the settings of which the primary's log says how much it may need must not be lower, and texts must sort alike,
//! which each host's C library decides.

use std::collections::BTreeMap;

use super::followed;
use crate::basics::{Severity, words};

/// Settings that must be at least what they are on the primary: a standby does not start otherwise (11 to 13 end), or
/// pauses its replay (14 and newer).
pub const NOT_LOWER: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// What is fixed when a server is built or a cluster is made, and must be equal.
pub const EQUAL: [&str; 4] = ["block_size", "wal_block_size", "segment_size", "integer_datetimes"];

/// Settings of one server, by name.
pub type Settings = BTreeMap<String, String>;

/// What does not fit, and what to do about it, as sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Whether it keeps a standby from being made (critical), or is to be known (warning).
    pub severity: Severity,
    /// What it is.
    pub what: String,
    /// What to type.
    pub mend: String,
}

impl Misfit {
    fn critical(what: String, mend: String) -> Self {
        Self {
            severity: Severity::Critical,
            what,
            mend,
        }
    }
}

/// The major version of a `server_version_num`: 15 of 150018.
pub fn major(version: u32) -> u32 {
    version / 10_000
}

/// The major version in what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian ...)`.
pub fn major_of_program(printed: &str) -> Option<u32> {
    let (_, version) = printed.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Whether programs of one major version can run a copy of a primary of another.
pub fn versions(own: u32, primary: u32) -> Option<Misfit> {
    (own != primary).then(|| {
        Misfit::critical(
            format!("the primary is PostgreSQL {primary}, and what would run its copy here is PostgreSQL {own}"),
            format!(
                "Install PostgreSQL {primary} on this host (Debian: `apt-get install postgresql-{primary}`; RHEL with \
                 PGDG: `dnf install postgresql{primary}-server postgresql{primary}-contrib`), and name its cluster."
            ),
        )
    })
}

/// Whether the processors fit, as `select version()` of both names them; nothing where one is not known.
pub fn architectures(own: &str, primary: &str) -> Option<Misfit> {
    let (own, primary) = (architecture(own)?, architecture(primary)?);
    (own != primary).then(|| {
        Misfit::critical(
            format!("the primary runs on {primary}, this host is {own}: its files mean something else here"),
            "Use a host of the same architecture as the standby's.".to_owned(),
        )
    })
}

/// Whether the settings of both servers that are sizes fit: those that are not equal; those that one of them does not
/// tell are not compared.
pub fn sizes(own: &Settings, primary: &Settings) -> Vec<Misfit> {
    let differs =
        |name: &&str| matches!((own.get(*name), primary.get(*name)), (Some(own), Some(primary)) if own != primary);
    let misfit = |name: &str| {
        Misfit::critical(
            format!("{name} is {} on the primary and {} here", primary[name], own[name]),
            "Both servers need programs of PostgreSQL that were built alike: install those of the same packager here."
                .to_owned(),
        )
    };
    EQUAL.into_iter().filter(differs).map(misfit).collect()
}

/// The settings of [`NOT_LOWER`] that are lower here than on the primary, with the primary's values: what the standby
/// must be given before it starts.
pub fn to_raise(own: &Settings, primary: &Settings) -> Vec<(&'static str, u64)> {
    let number = |settings: &Settings, name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    let lower = |name: &'static str| {
        let (own, primary) = (number(own, name)?, number(primary, name)?);
        (own < primary).then_some((name, primary))
    };
    NOT_LOWER.into_iter().filter_map(lower).collect()
}

/// Whether the primary ships its log to the folder that the standby takes it from; `here` is the address of this host.
/// Both hosts may have mounted the share in different places, so that another path is no mistake for certain.
pub fn shipping(primary: &Settings, folder: &str, here: &str) -> Option<Misfit> {
    let value = |name: &str| primary.get(name).map(String::as_str);
    let what = match (value("archive_mode"), value("archive_command")) {
        (Some("off"), _) => "the primary does not ship its log: archive_mode is off".to_owned(),
        (Some(_), Some(command)) if command != followed::archive_command(folder) => {
            format!("the primary ships its log by another command than for {folder}")
        }
        _ => return None,
    };
    Some(Misfit {
        severity: Severity::Warning,
        what: format!("{what}; what no longer streams may be missing from the share"),
        mend: format!(
            "On the primary's host: `gocd-bc setup database-primary --standby {here} --share {folder} --write --restart`."
        ),
    })
}

/// Bytes that must be free where a base backup is taken to: what is copied, and what the primary may write meanwhile.
pub fn room_needed(bytes: u64) -> u64 {
    bytes.saturating_add((bytes / 10).max(256 << 20))
}

/// Whether there is room for a base backup of so many bytes at `place`.
pub fn room(needed: u64, free: u64, place: &str) -> Option<Misfit> {
    (free < needed).then(|| {
        Misfit::critical(
            format!(
                "the base backup needs {} at {place}, and {} are free",
                words::size(needed),
                words::size(free)
            ),
            format!(
                "Free {} there, or make the volume larger. What is there now stays beside it until you remove it.",
                words::size(needed - free)
            ),
        )
    })
}

/// How texts of one database are sorted, as its catalog and as the host's library have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collation {
    /// The database.
    pub database: String,
    /// The version that its indexes were made with; none for C and POSIX.
    pub recorded: Option<String>,
    /// The version of this host's library.
    pub actual: Option<String>,
}

/// The databases whose indexes of texts would be wrong on this host after a promotion.
pub fn collations(databases: &[Collation]) -> Vec<Misfit> {
    let differs =
        |database: &&Collation| matches!((&database.recorded, &database.actual), (Some(a), Some(b)) if a != b);
    let misfit = |database: &Collation| {
        let version = |version: &Option<String>| version.clone().unwrap_or_default();
        Misfit {
            severity: Severity::Warning,
            what: format!(
                "texts of the database {} were sorted by version {} of the system's library, and here it has version {}: \
                 their indexes would be wrong after a promotion",
                database.database,
                version(&database.recorded),
                version(&database.actual)
            ),
            mend: format!(
                "Bring both hosts to one release of the operating system, or after each promotion run \
                 `reindexdb {}` before GoCD starts.",
                database.database
            ),
        }
    };
    databases.iter().filter(differs).map(misfit).collect()
}

/// The processor in `PostgreSQL 15.18 (...) on x86_64-pc-linux-gnu, compiled by ...`.
fn architecture(version: &str) -> Option<&str> {
    let (_, platform) = version.split_once(" on ")?;
    platform
        .split(['-', ',', ' '])
        .next()
        .filter(|processor| !processor.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn another_major_is_named_with_what_to_install() {
        assert_eq!(versions(15, 15), None);
        let misfit = versions(15, 16).expect("another");
        assert_eq!(misfit.severity, Severity::Critical);
        assert!(misfit.mend.contains("apt-get install postgresql-16"), "{misfit:?}");
        assert_eq!([major(150_018), major(110_022)], [15, 11]);
        for (printed, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("mysqld 8", None),
        ] {
            assert_eq!(major_of_program(printed), expected, "{printed}");
        }
    }

    #[test]
    fn what_is_fixed_must_be_equal_where_it_is_known() {
        let arm = "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on aarch64-unknown-linux-gnu, compiled by gcc";
        let intel = "PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by gcc";
        assert!(architectures(intel, arm).is_some());
        assert_eq!(architectures(intel, intel), None);
        assert_eq!(architectures("", arm), None);
        let own = settings(&[("block_size", "8192"), ("segment_size", "1GB")]);
        assert_eq!(
            sizes(&own, &settings(&[("block_size", "8192"), ("wal_block_size", "8192")])),
            []
        );
        assert_eq!(sizes(&own, &settings(&[("block_size", "32768")])).len(), 1);
    }

    #[test]
    fn what_is_lower_is_raised_to_what_the_primary_has() {
        let own = settings(&[
            ("max_connections", "100"),
            ("max_wal_senders", "10"),
            ("max_worker_processes", "8"),
        ]);
        let primary = settings(&[
            ("max_connections", "150"),
            ("max_wal_senders", "10"),
            ("max_worker_processes", "4"),
        ]);
        assert_eq!(to_raise(&own, &primary), [("max_connections", 150)]);
        assert_eq!(to_raise(&own, &settings(&[])), []);
    }

    #[test]
    fn a_primary_that_does_not_ship_to_the_share_is_a_warning() {
        let of = |mode: &str, command: &str| {
            let primary = settings(&[("archive_mode", mode), ("archive_command", command)]);
            shipping(&primary, "/share", "10.0.0.6").map(|misfit| misfit.what)
        };
        assert_eq!(of("on", &followed::archive_command("/share")), None);
        assert!(
            of("off", "(disabled)")
                .expect("it is off")
                .contains("archive_mode is off")
        );
        let other = of("on", "cp --password=x %p /elsewhere/%f").expect("another");
        assert!(
            other.contains("another command") && !other.contains("password"),
            "{other}"
        );
        assert_eq!(shipping(&settings(&[]), "/share", "10.0.0.6"), None);
    }

    #[test]
    fn room_is_what_is_copied_and_what_is_written_meanwhile() {
        assert_eq!(room_needed(0), 256 << 20);
        assert_eq!(room_needed(100 << 30), 110 << 30);
        assert_eq!(room_needed(u64::MAX), u64::MAX);
        assert_eq!(room(10, 10, "/var"), None);
        let misfit = room(3 << 30, 1 << 30, "/var").expect("too little");
        assert!(
            misfit.what.contains("needs 3.0 GiB at /var, and 1.0 GiB are free"),
            "{misfit:?}"
        );
        assert!(misfit.mend.contains("Free 2.0 GiB"), "{misfit:?}");
    }

    #[test]
    fn a_collation_of_another_version_is_a_warning() {
        let of = |recorded: Option<&str>, actual: Option<&str>| Collation {
            database: "cruise".to_owned(),
            recorded: recorded.map(str::to_owned),
            actual: actual.map(str::to_owned),
        };
        assert_eq!(
            collations(&[of(None, None), of(Some("2.36"), Some("2.36")), of(Some("2.36"), None)]),
            []
        );
        let misfits = collations(&[of(Some("2.31"), Some("2.36"))]);
        assert_eq!(misfits[0].severity, Severity::Warning);
        assert!(
            misfits[0].what.contains("2.31") && misfits[0].mend.contains("reindexdb cruise"),
            "{misfits:?}"
        );
    }
}
