//! What `pg_controldata` says of a data folder: the cluster, how its server ended, and where.
//!
//! The program must be of the folder's own major version and run with `LC_ALL=C`: its output is in the language of whoever
//! runs it. Facts are of PostgreSQL 11 to 18.

use super::{look::SystemId, lsn::Lsn};

/// The line that names it, for an error.
type Line = &'static str;

/// The state of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlData {
    /// Which cluster it is a copy of.
    pub system: SystemId,
    /// What its server was, or is, doing.
    pub state: State,
    /// Where the record of the latest checkpoint begins. Of a primary that was stopped in order it is the last record
    /// that was ever written.
    pub checkpoint: Lsn,
    /// From where on a crash recovery replays.
    pub redo: Lsn,
    /// The timeline of that checkpoint: after a promotion the former one, until the next checkpoint has ended.
    pub timeline: u32,
    /// Up to where a copy must have replayed before its data fit together; none on a primary.
    pub recovery_end: Option<(u32, Lsn)>,
    /// Whether changes of hint bits are logged, as `pg_rewind` needs where there are no checksums.
    pub logs_hints: bool,
    /// Whether its pages have checksums.
    pub has_checksums: bool,
    /// Whether whole pages were logged after a checkpoint, which `pg_rewind` needs too.
    pub full_page_writes: bool,
}

/// What the server of a data folder was doing when it last wrote that down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A primary was stopped in order.
    ShutDown,
    /// A standby was stopped in order.
    ShutDownInRecovery,
    /// A primary runs, or has crashed.
    InProduction,
    /// A standby runs, or has crashed; also right after `pg_rewind`.
    InArchiveRecovery,
    /// It was starting, stopping or recovering from a crash, and does so still or has crashed again.
    Between,
}

/// Why the output of `pg_controldata` says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// There is no such line, or its value is none.
    #[error("pg_controldata says nothing of use in the line `{0}`")]
    Line(Line),
    /// The file is damaged, or of another major version than the program.
    #[error("pg_controldata says that what it reads is not to be trusted: {0}")]
    Warning(String),
}

impl State {
    /// Whether the folder was a standby's, which never wrote anything of its own to the log.
    pub fn only_replays(self) -> bool {
        matches!(self, State::ShutDownInRecovery | State::InArchiveRecovery)
    }
}

impl ControlData {
    /// Reads the output of `pg_controldata`.
    ///
    /// # Errors
    /// The line that is missing, or the warning in it.
    pub fn parse(output: &str) -> Result<Self, Unclear> {
        if let Some(warning) = output.lines().find(|line| line.starts_with("WARNING")) {
            return Err(Unclear::Warning(warning.to_owned()));
        }
        let text = |line: Line| {
            let value = output
                .lines()
                .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
            value.map(str::trim).ok_or(Unclear::Line(line))
        };
        let lsn = |line: Line| text(line)?.parse::<Lsn>().map_err(|_| Unclear::Line(line));
        let number = |line: Line| text(line)?.parse::<u32>().map_err(|_| Unclear::Line(line));
        let is_on = |line: Line| match text(line)? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(Unclear::Line(line)),
        };
        let (recovery_end, recovery_timeline) =
            ("Minimum recovery ending location", "Min recovery ending loc's timeline");
        Ok(Self {
            system: SystemId::try_from(text("Database system identifier")?.to_owned())
                .map_err(|_| Unclear::Line("Database system identifier"))?,
            state: match text("Database cluster state")? {
                "shut down" => State::ShutDown,
                "shut down in recovery" => State::ShutDownInRecovery,
                "in production" => State::InProduction,
                "in archive recovery" => State::InArchiveRecovery,
                "starting up" | "shutting down" | "in crash recovery" => State::Between,
                _ => return Err(Unclear::Line("Database cluster state")),
            },
            checkpoint: lsn("Latest checkpoint location")?,
            redo: lsn("Latest checkpoint's REDO location")?,
            timeline: number("Latest checkpoint's TimeLineID")?,
            recovery_end: match number(recovery_timeline)? {
                0 => None,
                timeline => Some((timeline, lsn(recovery_end)?)),
            },
            logs_hints: is_on("wal_log_hints setting")?,
            has_checksums: number("Data page checksum version")? != 0,
            full_page_writes: is_on("Latest checkpoint's full_page_writes")?,
        })
    }

    /// Whether the folder can be rewound to where it parted from another one: every change of a page since then is in the
    /// log.
    pub fn can_be_rewound(&self) -> bool {
        self.full_page_writes && (self.logs_hints || self.has_checksums)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::{
        super::{look::tests::system, timeline::tests::at},
        *,
    };

    /// Of 15.18, without the lines after those that are read.
    pub(crate) const STOPPED: &str = "\
pg_control version number:            1300
Catalog version number:               202209061
Database system identifier:           7714061369519724911
Database cluster state:               shut down
pg_control last modified:             Mon Nov 30 20:17:58 2026
Latest checkpoint location:           0/3018080
Latest checkpoint's REDO location:    0/3018028
Latest checkpoint's REDO WAL file:    000000010000000000000003
Latest checkpoint's TimeLineID:       1
Latest checkpoint's PrevTimeLineID:   1
Latest checkpoint's full_page_writes: on
Latest checkpoint's NextXID:          0:726
Latest checkpoint's oldestCommitTsXid:0
Fake LSN counter for unlogged rels:   0/3E8
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
Backup start location:                0/0
Backup end location:                  0/0
End-of-backup record required:        no
wal_level setting:                    replica
wal_log_hints setting:                on
max_connections setting:              100
Bytes per WAL segment:                16777216
Data page checksum version:           0
Mock authentication nonce:            567d25a5fe8433af46cf0e29fcb5973acd5df8439449b9cfab8ec80578ab3d17
";

    fn with(line: &str, value: &str) -> Result<ControlData, Unclear> {
        let lines = STOPPED.lines().map(|found| match found.strip_prefix(line) {
            Some(rest) if rest.starts_with(':') => format!("{line}: {value}"),
            _ => found.to_owned(),
        });
        ControlData::parse(&lines.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_stopped_primary() {
        let control = ControlData::parse(STOPPED).expect("15");
        assert_eq!(
            control,
            ControlData {
                system: system(7_714_061_369_519_724_911),
                state: State::ShutDown,
                checkpoint: at(0x0301_8080),
                redo: at(0x0301_8028),
                timeline: 1,
                recovery_end: None,
                logs_hints: true,
                has_checksums: false,
                full_page_writes: true,
            }
        );
        assert!(control.can_be_rewound() && !control.state.only_replays());
    }

    #[test]
    fn states_are_told_apart() {
        for (words, state) in [
            ("starting up", State::Between),
            ("shut down in recovery", State::ShutDownInRecovery),
            ("shutting down", State::Between),
            ("in crash recovery", State::Between),
            ("in archive recovery", State::InArchiveRecovery),
            ("in production", State::InProduction),
        ] {
            let control = with("Database cluster state", words).expect(words);
            assert_eq!(control.state, state, "{words}");
        }
        let line = "Database cluster state";
        // In the language of whoever ran it.
        assert_eq!(with(line, "heruntergefahren"), Err(Unclear::Line(line)));
    }

    #[test]
    fn a_rewind_needs_hints_or_checksums_and_whole_pages() {
        let can = |line, value| with(line, value).expect("read").can_be_rewound();
        assert!(!can("wal_log_hints setting", "off") && !can("Latest checkpoint's full_page_writes", "off"));
        assert!(can("Data page checksum version", "1"));
        let without = STOPPED.replace("wal_log_hints setting:                on", "wal_log_hints setting: off");
        let checked = without.replace("checksum version:           0", "checksum version: 1");
        assert!(ControlData::parse(&checked).expect("read").can_be_rewound());
    }

    #[test]
    fn a_copy_says_how_far_it_must_get() {
        let copy = STOPPED.replace("location:     0/0", "location: 0/5000060");
        let copy = copy.replace("timeline:   0", "timeline: 2");
        let control = ControlData::parse(&copy).expect("read");
        assert_eq!(control.recovery_end, Some((2, at(0x0500_0060))));
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        for line in [
            "Database system identifier",
            "Latest checkpoint location",
            "Latest checkpoint's TimeLineID",
            "wal_log_hints setting",
            "Data page checksum version",
            "Minimum recovery ending location",
        ] {
            let without: String = STOPPED
                .lines()
                .filter(|found| !found.starts_with(line))
                .collect::<Vec<_>>()
                .join("\n");
            let is_needed = line != "Minimum recovery ending location";
            assert_eq!(ControlData::parse(&without).is_err(), is_needed, "{line}");
            assert_eq!(with(line, "x").is_err(), is_needed, "{line}");
        }
        let damaged = format!("WARNING: Calculated CRC checksum does not match value stored in file.\n{STOPPED}");
        assert!(matches!(ControlData::parse(&damaged), Err(Unclear::Warning(_))));
        assert_eq!(ControlData::parse(""), Err(Unclear::Line("Database system identifier")));
    }

    proptest! {
        #[test]
        fn no_output_ends_the_program(cut in 0..STOPPED.len(), text in ".{0,40}") {
            let _ = ControlData::parse(&format!("{}{text}", &STOPPED[..cut]));
        }
    }
}
