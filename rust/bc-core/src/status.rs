//! The one picture of a node that dashboard, command line, metrics and health messages render.
//!
//! None of them computes anything: what they show is a field or a method here.
//!
//! | in | is |
//! |---|---|
//! | this file | the whole picture |
//! | `problem`, `topic` | what is wrong, and with what |
//! | `files` | the generation and its files |
//! | `gocd` | what GoCD does in the node's process |
//! | `sync`, `primary` | on a standby: how syncing goes, and with whom |
//! | `standby` | on a primary: who follows it |
//! | `peers` | what the other nodes say of epochs |
//! | `surroundings` | what the node runs in |
//! | `report` | what a standby tells its primary, and the answer |
//! | `concerns` | which problems of a primary its standbys hear of |
//! | `counters`, `burst` | what was counted; how often the log speaks of those who are turned away |
//! | `board` | where all of it is written, and pictures are taken |
//!
//! Stands on [`crate::basics`], [`crate::gocd`], [`crate::database`], [`crate::generation`], [`crate::settings`],
//! [`crate::keys`] and [`crate::role`].

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Fingerprint, Severity, lenient::if_understood},
    database::{
        picture::{InShort, Picture},
        position::{Position, Told},
    },
    generation::{Epoch, HandoverToken, HandsOver, Highest, Name, Reason, Role, Withheld, concern, withheld},
    gocd::agents::Agents,
    role::{
        artifacts_folder::ArtifactsFolder,
        guard::Said,
        handed_over::{End, HandedOver},
        handover, known_peers,
        landing::Landing,
        ledger::MAX_COUNT,
        preflight::Preflight,
        promotion::Journal,
    },
    settings::{Face, Flag},
};

mod board;
pub mod burst;
pub mod concerns;
pub mod counters;
pub mod files;
mod gocd;
pub mod peers;
mod primary;
mod problem;
pub mod report;
mod standby;
mod surroundings;
mod sync;
mod topic;

pub use crate::role::Phase;

pub use self::{
    board::StatusBoard,
    counters::{Counters, Rejection},
    files::{FileState, FileStatus, FileVersion, Generation, MissingFile, OwnJar},
    gocd::{GocdState, GocdStatus},
    peers::{Deciding, PeerStatus},
    primary::PrimaryStatus,
    problem::Problem,
    report::{OtherRun, Report, ReportReply, ReportedGeneration, ReportedProblem, ReportedRun},
    standby::{OldStandby, StandbyNode, StandbyStatus, Stranger, doubled, standby_nodes, upgrade},
    surroundings::{PLUGIN_INSTALL, Surroundings},
    sync::{Fetching, KEPT_ERRORS, Paused, Refusal, SyncError, SyncStatus},
    topic::Topic,
};

/// The version of the JSON form. Readers ignore fields they do not know.
pub const FORMAT: u32 = 1;

/// Everything about one node at one moment. Times are milliseconds since 1970 by this node's clock unless
/// their name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the product.
    pub product_version: String,
    /// This node's id.
    pub node_id: String,
    /// This node's public key.
    pub fingerprint: Option<Fingerprint>,
    /// Its role.
    pub role: Role,
    /// Who started it.
    pub face: Face,
    /// What it is doing.
    pub phase: Phase,
    /// What asks for a standby.
    pub flag: Flag,
    /// Its epoch.
    pub epoch: Epoch,
    /// On a primary that hands over: the token of that, or what it waits for.
    #[serde(default)]
    pub hands_over: Option<HandsOver>,
    /// What came of the last hand-over of this server; none where there was none.
    #[serde(default)]
    pub handed_over: Option<HandedOver>,
    /// The highest epoch that it knows, its own or another node's; none where a version before does not say.
    #[serde(default)]
    pub highest_epoch: Option<Highest>,
    /// On a fenced node: from whom the higher epoch is known.
    #[serde(default)]
    pub fenced_by: Option<known_peers::Highest>,
    /// When the node opened.
    pub opened_ms: i64,
    /// When this picture was taken.
    pub now_ms: i64,
    /// Version of the GoCD beside it.
    pub gocd_version: Option<String>,
    /// What GoCD does in its process; none where there is none, or a version before does not say.
    #[serde(default)]
    pub gocd: Option<GocdStatus>,
    /// Where its GoCD keeps artifacts; none where nobody looks, or another version does not say it so.
    #[serde(default, deserialize_with = "if_understood")]
    pub artifacts: Option<ArtifactsFolder>,
    /// What it runs in; none where a version before does not say.
    #[serde(default)]
    pub surroundings: Option<Surroundings>,
    /// What a node that was a standby asks before it decides what it is, for people; none once that is decided.
    #[serde(default)]
    pub asks: Option<String>,
    /// What a node that is to be the primary waits for; none once that is decided.
    #[serde(default)]
    pub deciding: Option<Deciding>,
    /// The other nodes that it asks whether one of them was promoted.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Where our TLS port really listens, `address:port`; none while it is closed.
    pub listening: Option<String>,
    /// Where GoCD's port answers while held.
    pub holding: Option<String>,
    /// Where the local socket is; none while there is none.
    #[serde(default)]
    pub socket: Option<String>,
    /// How people reach the dashboard: scheme, host and port.
    pub external_url: Option<String>,
    /// The user of the token.
    pub user: Option<String>,
    /// What is wrong now, worst first.
    pub problems: Vec<Problem>,
    /// The newest generation: on a primary what it offers, on a standby what it applied.
    pub generation: Option<Generation>,
    /// Every synced file. Shared, since there may be hundreds and each change of the board copies the status.
    pub files: Arc<[FileStatus]>,
    /// What the primary has and does not offer: on a primary of its own files, on a standby as the newest generation
    /// says.
    #[serde(default)]
    pub withheld: Withheld,
    /// Those of them that come by themselves once they are written, and since when each has been waited for.
    #[serde(default)]
    pub awaited: BTreeMap<Name, i64>,
    /// Files that the live configuration mentions and that are not on this standby.
    #[serde(default)]
    pub missing_files: Vec<MissingFile>,
    /// Jars of our own plugin here; never synced.
    pub own_jars: Vec<OwnJar>,
    /// GoCD's database, as it was seen a second ago; none before the first look.
    #[serde(default)]
    pub database: Option<Picture>,
    /// The last promotion of this server, or the one that is on its way.
    #[serde(default)]
    pub promotion: Option<Journal>,
    /// On a standby: what a promotion with the database would do now.
    #[serde(default)]
    pub preflight: Option<Preflight>,
    /// What a promoted server found, until a person has seen it.
    #[serde(default)]
    pub landing: Option<Landing>,
    /// Which agents are back since then; none where nobody gives a token to ask with.
    #[serde(default)]
    pub agents: Option<Agents>,
    /// When the folders were last read through.
    pub scanned_ms: Option<i64>,
    /// On a standby: the primary.
    pub primary: Option<PrimaryStatus>,
    /// On a standby: how syncing goes.
    pub sync: Option<SyncStatus>,
    /// On a primary: the standbys that it trusts.
    #[serde(default)]
    pub standbys: Vec<StandbyStatus>,
    /// On a primary: others that have reported with the token, the newest first.
    #[serde(default)]
    pub strangers: Vec<Stranger>,
    /// On a primary: who follows it in the way of the original product.
    #[serde(default)]
    pub old_standbys: Vec<OldStandby>,
    /// Milliseconds between two reads of the folders.
    pub file_check_interval_ms: u64,
    /// Milliseconds without a completed exchange after which it is CRITICAL.
    pub primary_check_interval_ms: u64,
    /// Parts of this node's program that have failed, and do not run again for long enough yet to be relied upon.
    #[serde(default)]
    pub failed_parts: Vec<String>,
    /// What it has counted since it opened.
    #[serde(default)]
    pub counters: Counters,
}

/// What a hand-over may be at, by name: it waits for something, is ready to be taken, and how it may end.
pub const HAND_OVER_STATES: [&str; 4] = ["waits", "ready", End::TakenOver.name(), End::TakenBack.name()];

impl Status {
    /// The status of a node of which nothing is known but its id, role and phase, opened at `opened_ms`.
    pub fn new(node_id: &str, role: Role, phase: Phase, opened_ms: i64) -> Self {
        Self {
            format: FORMAT,
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            node_id: node_id.to_owned(),
            fingerprint: None,
            role,
            face: Face::Cli,
            phase,
            flag: Flag::None,
            epoch: Epoch::default(),
            hands_over: None,
            handed_over: None,
            highest_epoch: None,
            fenced_by: None,
            opened_ms,
            now_ms: opened_ms,
            gocd_version: None,
            gocd: None,
            artifacts: None,
            surroundings: None,
            asks: None,
            deciding: None,
            peers: Vec::new(),
            listening: None,
            holding: None,
            socket: None,
            external_url: None,
            user: None,
            problems: Vec::new(),
            generation: None,
            files: Arc::default(),
            withheld: Withheld::default(),
            awaited: BTreeMap::new(),
            missing_files: Vec::new(),
            own_jars: Vec::new(),
            database: None,
            promotion: None,
            preflight: None,
            landing: None,
            agents: None,
            scanned_ms: None,
            primary: None,
            sync: None,
            standbys: Vec::new(),
            strangers: Vec::new(),
            old_standbys: Vec::new(),
            file_check_interval_ms: 60_000,
            primary_check_interval_ms: 60_000,
            failed_parts: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Says whether a standby is in sync, after each change of the board. It is when it has the primary's newest
    /// generation, that withholds nothing, the primary does not say that its offer is not what is live there, its live
    /// files were looked at and are those of it, nothing older is held in place, and no part of the program is down
    /// that would say otherwise. What is not known is not in sync.
    fn update_sync(&mut self) {
        let now_ms = self.now_ms;
        let primary = self.primary.as_ref();
        let is_stale = primary.is_some_and(|primary| concern::is_stale(&primary.concerns));
        let is_whole = self.failed_parts.is_empty() && self.withheld.is_empty() && !is_stale;
        let Some(sync) = &mut self.sync else { return };
        let is_in_sync =
            is_whole && sync.has_newest && sync.altered.is_empty() && sync.unseen.is_none() && sync.paused.is_none();
        if sync.in_sync && !is_in_sync {
            sync.behind_since_ms = sync.behind_since_ms.or(Some(now_ms));
        }
        sync.in_sync = is_in_sync;
        sync.in_sync_since_ms = sync.in_sync_since_ms.or(Some(now_ms)).filter(|_| is_in_sync);
        sync.behind_since_ms = sync.behind_since_ms.filter(|_| !is_in_sync);
    }

    /// Notes on the status what the primary has and does not offer.
    pub fn withhold(&mut self, withheld: Withheld) {
        let now_ms = self.now_ms;
        let passing = withheld.files.iter().filter(|(_, reason)| reason.is_passing());
        self.awaited = passing
            .map(|(name, _)| (name.clone(), *self.awaited.get(name).unwrap_or(&now_ms)))
            .collect();
        self.withheld = withheld;
    }

    /// Says of what has been awaited for long that somebody should look: the primary tells of nothing new meanwhile.
    pub fn note_long_awaited(&mut self) {
        let now_ms = self.now_ms;
        let files = &mut self.withheld.files;
        self.awaited.retain(|name, since_ms| {
            // A clock that was set back begins anew.
            *since_ms = (*since_ms).min(now_ms);
            let is_long = now_ms.saturating_sub(*since_ms) >= withheld::LONG_MS;
            if is_long && let Some(reason) = files.get_mut(name) {
                *reason = Reason::Unfinished;
            }
            !is_long
        });
    }

    /// Whether all that a primary withholds comes by itself in a moment.
    fn withholds_passing_alone(&self) -> bool {
        self.withheld.plugins.is_none() && self.withheld.files.len() == self.awaited.len()
    }

    /// One line about the files that come by themselves; none where none do.
    pub fn awaited_line(&self) -> Option<String> {
        let (name, since_ms) = self.awaited.iter().min_by_key(|(_, since_ms)| **since_ms)?;
        let more = match self.awaited.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (is, whole) = match self.awaited.len() {
            1 => ("has", "it is"),
            _ => ("have", "they are"),
        };
        let seconds = self.age_ms(*since_ms) / 1000;
        Some(format!(
            "{name}{more} {is} been in the making on the primary for {seconds} s; a standby keeps the version before until \
             {whole} whole"
        ))
    }

    /// Where the database of this node is, while it takes writes.
    pub fn database_position(&self) -> Option<Position> {
        self.database.as_ref()?.written()
    }

    /// Since when GoCD looks at its configuration: always, as far as a node without a JVM knows; none while it does not
    /// run.
    pub fn gocd_looks_since_ms(&self) -> Option<i64> {
        match &self.gocd {
            None => Some(0),
            Some(gocd) => (gocd.state == GocdState::Healthy).then_some(gocd.since_ms),
        }
    }

    /// What the other node is told of the database of this one, while it takes writes.
    pub fn database_told(&self) -> Option<Told> {
        self.database.as_ref()?.told()
    }

    /// Notes on the status an epoch of the node `node_id`, where it is the highest so far.
    pub fn note_epoch(&mut self, epoch: &Epoch, node_id: &str) {
        let is_highest = |highest: &Highest| highest.epoch.number < epoch.number;
        // Whatever is higher is a lie.
        if epoch.number <= MAX_COUNT && self.highest_epoch.as_ref().is_none_or(is_highest) {
            self.highest_epoch = Some(Highest {
                epoch: epoch.clone(),
                node_id: Some(node_id.to_owned()),
            });
        }
    }

    /// The highest epoch that the node of this status knows, its own included.
    pub fn highest(&self) -> Highest {
        match &self.highest_epoch {
            Some(highest) if highest.epoch.number > self.epoch.number => highest.clone(),
            _ => Highest {
                epoch: self.epoch.clone(),
                node_id: (self.role == Role::Primary || self.epoch != Epoch::default()).then(|| self.node_id.clone()),
            },
        }
    }

    /// How many of the other nodes on the status have not proven themselves when they were last asked.
    pub fn silent_peers(&self) -> usize {
        let is_silent = |peer: &&PeerStatus| {
            !peer
                .said
                .is_some_and(|said| !matches!(said, Said::Unreachable | Said::Unproven))
        };
        self.peers.iter().filter(is_silent).count()
    }

    /// How bad the worst problem on the status is.
    pub fn severity(&self) -> Severity {
        self.problems
            .iter()
            .map(|problem| problem.severity)
            .max()
            .unwrap_or(Severity::Ok)
    }

    /// The problem on the status that is about `topic`; none where nothing is wrong with it.
    pub fn problem(&self, topic: &Topic) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.topic == *topic)
    }

    /// How many problems on the status have this severity.
    pub fn problem_count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// How far this node is behind its primary; none where there is no primary to follow.
    pub fn behind(&self) -> Option<Behind> {
        let sync = self.sync.as_ref()?;
        if sync.in_sync {
            return Some(Behind { bytes: 0, ms: 0 });
        }
        let bytes = match &sync.fetching {
            Some(fetching) => fetching.bytes_total.saturating_sub(fetching.bytes_done),
            None => self
                .files
                .iter()
                .filter(|file| matches!(file.state, FileState::Differs | FileState::Missing))
                .filter_map(|file| Some(file.primary.as_ref()?.size))
                .sum(),
        };
        Some(Behind {
            bytes,
            ms: self.age_ms(sync.behind_since_ms.unwrap_or(self.opened_ms)),
        })
    }

    /// What GoCD does in the node's process, as it says itself; none where there is none.
    pub fn gocd_state(&self) -> Option<GocdState> {
        self.gocd.as_ref().map(|gocd| gocd.state)
    }

    /// Whether this node is a primary that runs, and GoCD in its process, where there is one, says that it does.
    pub fn runs_as_primary(&self) -> bool {
        let gocd_runs = self.gocd_state().is_none_or(|state| state == GocdState::Healthy);
        self.role == Role::Primary && self.phase == Phase::Running && gocd_runs
    }

    /// Milliseconds since a moment by the clock of the status; zero where that is set back.
    pub fn age_ms(&self, moment_ms: i64) -> i64 {
        self.now_ms.saturating_sub(moment_ms).max(0)
    }

    /// On a primary that hands over: what whoever takes over must have, once that is certain.
    pub fn hands_over_token(&self) -> Option<&HandoverToken> {
        self.hands_over.as_ref()?.token.as_ref()
    }

    /// The hand-over that is on, of this node or of the primary that it follows.
    fn hand_over_on(&self) -> Option<&HandsOver> {
        let of_primary = || self.primary.as_ref()?.hands_over.as_ref();
        self.hands_over.as_ref().or_else(of_primary)
    }

    /// How far the hand-over is that is on, of this node or of its primary, or how the last one of this node ended, by its
    /// name; none where there was none.
    pub fn hand_over_state(&self) -> Option<&'static str> {
        match self.hand_over_on() {
            Some(HandsOver { token: Some(_), .. }) => Some(HAND_OVER_STATES[1]),
            Some(_) => Some(HAND_OVER_STATES[0]),
            None => self.handed_over.as_ref().map(|ended| ended.end.name()),
        }
    }

    /// What a node says of a hand-over in one line, its own or that of the primary that it follows, or of its last one; none
    /// where there was none.
    pub fn hands_over_line(&self) -> Option<String> {
        let Some(hands_over) = self.hand_over_on() else {
            return self.handed_over.as_ref().map(HandedOver::to_string);
        };
        let way = match self.hands_over {
            Some(_) => handover::WAY_OUT,
            None => "run `gocd-bc promote` here",
        };
        Some(match (&hands_over.token, &hands_over.waits_for) {
            (Some(token), _) => format!("{token}; {way}"),
            (None, Some(waits_for)) => format!("waits: {waits_for}"),
            (None, None) => "waits".to_owned(),
        })
    }

    /// The status in one line for people: what this node is and does.
    pub fn headline(&self) -> String {
        if let Some(asks) = &self.asks {
            return match self.phase {
                Phase::Running => format!("GoCD runs, although this server was a standby: {asks}"),
                _ => format!("Standby: {asks}; GoCD is held"),
            };
        }
        match (self.role, self.phase) {
            (Role::Primary, Phase::Holding) if self.hands_over.is_some() => match self.hands_over_token() {
                Some(_) => "Primary: handed over to whoever is promoted, GoCD is held".to_owned(),
                None => "Primary: handing over, GoCD is held".to_owned(),
            },
            (Role::Primary, Phase::Running) => match self.gocd_state() {
                Some(GocdState::Starting) => "Primary: GoCD is starting; offers its files to the standby".to_owned(),
                Some(GocdState::Silent) => "Primary: GoCD does not answer; offers its files to the standby".to_owned(),
                _ => "Primary: offers its files to the standby".to_owned(),
            },
            (Role::Primary, Phase::Starting) => match &self.deciding {
                Some(deciding) => format!("Primary: {}; GoCD waits", deciding.description()),
                None => "Primary: deciding whether GoCD may run".to_owned(),
            },
            (Role::Primary, Phase::Holding) => {
                "Primary: GoCD is held, since another node may be the primary".to_owned()
            }
            (Role::Primary, Phase::Releasing) => "Primary: GoCD is about to run".to_owned(),
            (Role::Fenced, Phase::Running) => "Fenced: another node has been promoted, and GoCD runs here".to_owned(),
            (Role::Fenced, _) => "Fenced: another node has been promoted; GoCD is held".to_owned(),
            (Role::Standby, Phase::Releasing) => "Standby: being promoted".to_owned(),
            (Role::Standby, Phase::Running) => "Standby asked for, but GoCD runs: not protected".to_owned(),
            (Role::Standby, _) => match &self.sync {
                Some(sync) if sync.in_sync => match self.database.as_ref().and_then(Picture::in_short) {
                    None => "Standby: in sync with the primary, GoCD is held".to_owned(),
                    Some(InShort::Well(following)) => {
                        format!("Standby: in sync with the primary, database {following}, GoCD is held")
                    }
                    Some(InShort::Ill(what)) => {
                        format!("Standby: files in sync with the primary, but {what}; GoCD is held")
                    }
                },
                Some(sync) if sync.paused.is_some() => {
                    "Standby: held on a restored generation, pulls nothing; GoCD is held".to_owned()
                }
                Some(sync) if sync.is_all_but_withheld(&self.withheld) && self.withholds_passing_alone() => {
                    "Standby: in sync but for what is being written on the primary, GoCD is held".to_owned()
                }
                Some(sync) if sync.is_all_but_withheld(&self.withheld) => {
                    "Standby: in sync but for what the primary cannot offer, GoCD is held".to_owned()
                }
                Some(sync) if sync.fetching.is_some() => "Standby: fetching from the primary, GoCD is held".to_owned(),
                _ => "Standby: not in sync, GoCD is held".to_owned(),
            },
        }
    }

    /// One line about all who report with the token and are not trusted.
    pub fn strangers_line(&self) -> Option<String> {
        standby::strangers_line(&self.strangers)
    }

    /// One line about all who follow this primary in the way of the original product.
    pub fn old_standbys_line(&self) -> Option<String> {
        standby::old_standbys_line(&self.old_standbys)
    }

    /// GoCD's health messages: each begins with its severity, since GoCD knows warnings alone.
    pub fn health_messages(&self) -> Vec<String> {
        self.problems
            .iter()
            .filter(|problem| problem.severity != Severity::Ok)
            .map(|problem| format!("{} {}", problem.severity, problem.message))
            .collect()
    }
}

/// How far a standby is behind its primary, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Bytes of files that the primary has and this node has not.
    pub bytes: u64,
    /// Milliseconds since it last had all that the primary had; since it opened if it never had.
    pub ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        basics::Digest,
        database::{
            finding::{Fault, Finding},
            following::Following,
        },
        generation::Name,
    };

    #[test]
    fn whatever_is_wrong_or_not_known_ends_in_sync() {
        let mut status = Status::new("node", Role::Standby, Phase::Holding, 0);
        let update = |status: &mut Status, now_ms| {
            status.now_ms = now_ms;
            status.update_sync();
        };
        update(&mut status, 1);
        assert_eq!(status.sync, None, "a primary is in sync with nobody");
        status.sync = Some(SyncStatus {
            has_newest: true,
            ..SyncStatus::default()
        });
        let sync = |status: &Status| status.sync.clone().expect("a standby has one");
        type Spoil = fn(&mut Status, &mut SyncStatus);
        let mut primary = PrimaryStatus::new("https://a:1", "", 0);
        primary.concerns = concerns::of(&[Problem {
            topic: Topic::Watch,
            severity: Severity::Critical,
            message: "of no concern for that".to_owned(),
            since_ms: 0,
        }]);
        status.primary = Some(primary);
        let spoilt: [Spoil; 7] = [
            |_, sync| sync.has_newest = false,
            |_, sync| sync.altered.push(Name::CruiseConfig),
            |_, sync| sync.unseen = Some("no permission".to_owned()),
            |_, sync| {
                sync.paused = Some(Paused {
                    generation: Digest::of(b""),
                    since_ms: 0,
                });
            },
            |status, _| status.withheld.plugins = Some(Reason::Stale),
            |status, _| status.failed_parts.push("reporter".to_owned()),
            |status, _| {
                let primary = status.primary.as_mut().expect("just given");
                primary.concerns[0].is_stale = true;
            },
        ];
        for (number, spoil) in (0..).zip(spoilt) {
            update(&mut status, 10 * number + 10);
            let right = status.clone();
            assert_eq!(
                (
                    sync(&right).in_sync,
                    sync(&right).in_sync_since_ms,
                    sync(&right).behind_since_ms
                ),
                (true, Some(10 * number + 10), None)
            );
            let mut changed = sync(&status);
            spoil(&mut status, &mut changed);
            status.sync = Some(changed);
            update(&mut status, 10 * number + 15);
            let now = sync(&status);
            assert_eq!(
                (now.in_sync, now.in_sync_since_ms, now.behind_since_ms),
                (false, None, Some(10 * number + 15)),
                "{number}"
            );
            let restored = SyncStatus {
                in_sync: false,
                in_sync_since_ms: None,
                behind_since_ms: now.behind_since_ms,
                ..sync(&right)
            };
            status = Status {
                sync: Some(restored),
                ..right
            };
        }
    }

    #[test]
    fn what_is_awaited_for_long_is_unfinished() {
        let mut status = Status::new("node", Role::Standby, Phase::Holding, 0);
        let [slow, quick] = ["slow.jar", "quick.jar"].map(|jar| Name::Plugin(jar.parse().expect("valid")));
        let writing = |names: &[&Name]| Withheld {
            files: names
                .iter()
                .map(|name| ((*name).clone(), Reason::BeingWritten))
                .collect(),
            plugins: None,
        };
        let withhold = |status: &mut Status, withheld, now_ms| {
            status.now_ms = now_ms;
            status.withhold(withheld);
        };
        let update = |status: &mut Status, now_ms| {
            status.now_ms = now_ms;
            status.note_long_awaited();
        };
        withhold(&mut status, writing(&[&slow]), 1_000);
        withhold(&mut status, writing(&[&slow, &quick]), 50_000);
        update(&mut status, 60_999);
        assert_eq!((status.awaited.len(), status.withheld.lines().len()), (2, 0));
        update(&mut status, 61_000);
        assert_eq!(status.awaited.keys().collect::<Vec<_>>(), [&quick]);
        assert_eq!(status.withheld.reason(&slow), Some(&Reason::Unfinished));
        assert_eq!(status.withheld.lines().len(), 1, "somebody should look at one of them");
        update(&mut status, 10_000);
        update(&mut status, 69_999);
        assert_eq!(
            status.awaited.len(),
            1,
            "the clock was set back, and it is awaited since then"
        );
        withhold(&mut status, writing(&[&slow]), 70_000);
        assert_eq!(
            status.awaited.len(),
            1,
            "the primary says that it is being written anew"
        );
    }

    #[test]
    fn in_sync_is_said_together_with_how_the_database_is() {
        let mut status = Status::new("node", Role::Standby, Phase::Holding, 0);
        status.sync = Some(SyncStatus {
            in_sync: true,
            ..SyncStatus::default()
        });
        let mut headline = |following: Option<Following>, finding: Option<Finding>| {
            status.database = Some(Picture {
                following,
                findings: finding.into_iter().collect(),
                ..Picture::default()
            });
            status.headline()
        };
        let critical = |fault| Some(Finding::critical(fault, "what is wrong"));
        let warning = |fault| Some(Finding::warning(fault, "what is odd"));
        for (following, finding, expected) in [
            (None, None, "in sync with the primary, GoCD is held"),
            (
                None,
                warning(Fault::NotCovered),
                "in sync with the primary, GoCD is held",
            ),
            (
                Some(Following::Streaming),
                warning(Fault::Collations),
                "in sync with the primary, database streaming, GoCD is held",
            ),
            (
                Some(Following::Stuck),
                critical(Fault::Stuck),
                "files in sync with the primary, but the database is stuck; GoCD is held",
            ),
            (
                Some(Following::Streaming),
                critical(Fault::Ahead),
                "files in sync with the primary, but not the database; GoCD is held",
            ),
            (
                None,
                critical(Fault::TakesWrites),
                "files in sync with the primary, but not the database; GoCD is held",
            ),
        ] {
            assert_eq!(headline(following, finding), format!("Standby: {expected}"));
        }
    }

    #[test]
    fn how_far_behind() {
        let mut status = Status {
            now_ms: 10_000,
            ..Status::new("node", Role::Standby, Phase::Holding, 1_000)
        };
        assert_eq!(status.behind(), None, "no primary");
        status.sync = Some(SyncStatus::default());
        assert_eq!(status.behind(), Some(Behind { bytes: 0, ms: 9_000 }), "never in sync");
        let version = |size| FileVersion {
            sha256: Digest::of(b""),
            size,
            modified_ms: 0,
        };
        let file = |state, size| FileStatus {
            name: Name::CruiseConfig,
            plugin: None,
            primary: Some(version(size)),
            standby: None,
            state,
        };
        status.files = Arc::new([
            file(FileState::Missing, 5),
            file(FileState::Differs, 7),
            file(FileState::InSync, 11),
        ]);
        let fetching = Some(Fetching {
            files_left: 1,
            bytes_total: 12,
            bytes_done: 9,
        });
        let in_between = SyncStatus {
            behind_since_ms: Some(8_000),
            ..SyncStatus::default()
        };
        status.sync = Some(in_between.clone());
        assert_eq!(status.behind(), Some(Behind { bytes: 12, ms: 2_000 }));
        status.sync = Some(SyncStatus { fetching, ..in_between });
        assert_eq!(status.behind(), Some(Behind { bytes: 3, ms: 2_000 }));
        status.sync = Some(SyncStatus {
            in_sync: true,
            ..SyncStatus::default()
        });
        assert_eq!(status.behind(), Some(Behind { bytes: 0, ms: 0 }));
    }
}
