//! A former primary's data folder: what its server last did, the timelines that led there, and the end of its log.

use std::path::Path;

use bc_core::{
    basics::{
        error::{Error, Kind},
        regular_file,
    },
    database::{
        control_data::{ControlData, State},
        lsn::Lsn,
        reseed::{End, Obstacle},
        timeline::{self, Lineage},
    },
};

use crate::cluster::Cluster;

/// What a base backup, and a rewind, leave for the first start.
const BACKUP_LABEL: &str = "backup_label";

/// What is known of the data folder of a cluster.
pub(super) struct Former {
    /// What its control file says.
    pub(super) control: ControlData,
    /// The timelines that led to its own; none where the history of its own is missing.
    pub(super) lineage: Option<Lineage>,
    /// Whether it has only replayed what a primary wrote, since it is a standby, or a copy that was never started.
    pub(super) only_replays: bool,
}

impl Former {
    /// Looks at the data folder of a cluster, whether its server runs or not.
    ///
    /// # Errors
    /// `pg_controldata` is missing, or does not trust what it reads.
    pub(super) fn look(cluster: &Cluster) -> Result<Self, Error> {
        let output = cluster
            .program("pg_controldata")
            .arg("-D")
            .arg(&cluster.data)
            .succeed()?;
        let control = ControlData::parse(&output.stdout).map_err(|error| {
            Error::new(
                Kind::File,
                format!(
                    "{} cannot be told apart from any other: {error}",
                    cluster.data.display()
                ),
                "Take a copy of the primary anew: the same command without --reseed.",
            )
        })?;
        let is_copy = cluster.is_in_recovery && cluster.data.join(BACKUP_LABEL).exists();
        let only_replays = is_copy || control.state.only_replays();
        let timeline = own_timeline(&control, only_replays, &cluster.data.join("pg_wal"));
        Ok(Self {
            lineage: lineage(timeline, &cluster.data.join("pg_wal")),
            control,
            only_replays,
        })
    }

    /// Where the log of this folder ends, as far as it matters at `fork`, where its timeline was left.
    ///
    /// # Errors
    /// `pg_waldump` cannot be started although it is there.
    pub(super) fn end(&self, cluster: &Cluster, fork: Lsn) -> Result<End, Error> {
        let control = &self.control;
        Ok(match (control.state, control.recovery_end) {
            (State::ShutDown, _) => End::LastRecordAt(control.checkpoint),
            (State::InProduction, _) if cluster.is_running => End::StillWriting,
            _ if control.checkpoint >= fork => End::LastRecordAt(control.checkpoint),
            (_, Some((_, end))) if end > fork => End::UpTo(end),
            _ => self.look_after(cluster, fork)?,
        })
    }

    /// Whether its server ended in order, so that nothing has to be replayed first.
    pub(super) fn is_stopped_in_order(&self) -> bool {
        matches!(self.control.state, State::ShutDown | State::ShutDownInRecovery)
    }

    /// Whether what is in the folder could be rewound at all, whatever the other server says.
    pub(super) fn can_be_rewound(&self, cluster: &Cluster) -> Result<(), Obstacle> {
        if !cluster.programs.join("pg_rewind").exists() {
            return Err(Obstacle::NoTool);
        }
        if !self.control.full_page_writes {
            return Err(Obstacle::NoWholePages);
        }
        if !self.control.can_be_rewound() {
            return Err(Obstacle::NoHints);
        }
        // What a link leads to would be rewound in place, while only a copy of the folder is.
        let mut of_spaces = std::fs::read_dir(cluster.data.join("pg_tblspc")).into_iter().flatten();
        let has_links = of_spaces.next().is_some() || cluster.data.join("pg_wal").is_symlink();
        if has_links { Err(Obstacle::Elsewhere) } else { Ok(()) }
    }

    /// Whether the log has a record at `fork` or after it: one that was not stopped in order does not say where it ends.
    fn look_after(&self, cluster: &Cluster, fork: Lsn) -> Result<End, Error> {
        let Some(lineage) = &self.lineage else {
            return Ok(End::Unknown);
        };
        let program = cluster.programs.join("pg_waldump");
        if !program.exists() {
            return Ok(End::Unknown);
        }
        let output = cluster
            .program("pg_waldump")
            .arg("-p")
            .arg(cluster.data.join("pg_wal"))
            .args([
                "-t",
                &lineage.timeline().to_string(),
                "-s",
                &fork.to_string(),
                "-n",
                "1",
            ])
            .run()?;
        let record = output
            .stdout
            .split_once("lsn: ")
            .and_then(|(_, rest)| rest.split(',').next());
        Ok(match record.and_then(|text| text.trim().parse().ok()) {
            Some(record) => End::LastRecordAt(record),
            None if output.stderr.contains("could not find a valid record after") => End::UpTo(fork),
            None => End::Unknown,
        })
    }
}

/// The timeline that a folder's server wrote on, or replays. Its control file has it since the last checkpoint; a server
/// that was promoted after that has written the history of its own, and knows none that is later.
fn own_timeline(control: &ControlData, only_replays: bool, log: &Path) -> u32 {
    let known = control
        .recovery_end
        .map_or(control.timeline, |(timeline, _)| timeline.max(control.timeline));
    if only_replays || control.state == State::ShutDown {
        return known;
    }
    let files = std::fs::read_dir(log).into_iter().flatten().filter_map(Result::ok);
    let histories = files.filter_map(|file| timeline::of_history_file(file.file_name().to_str()?));
    histories.max().unwrap_or(known).max(known)
}

fn lineage(timeline: u32, log: &Path) -> Option<Lineage> {
    if timeline == 1 {
        return Some(Lineage::first());
    }
    let file = log.join(timeline::history_file(timeline));
    let bytes = regular_file::read(&file, regular_file::LARGEST_OF_OURS).ok()?;
    Lineage::parse(timeline, &String::from_utf8_lossy(&bytes)).ok()
}
