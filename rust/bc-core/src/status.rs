//! The one picture of a node that dashboard, command line, metrics and health messages render.
//!
//! None of them computes anything: what they show is a field or a method here.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    counters::Counters,
    digest::{Digest, Md5},
    fingerprint::Fingerprint,
    manifest::{Acceptance, Epoch, Name, PluginIdentity, Role},
    report::{ReportedGeneration, ReportedProblem},
    settings::{Face, Flag},
    store::MissingFile,
};

/// The version of the JSON form. Readers ignore fields they do not know.
pub const FORMAT: u32 = 1;

/// Errors that are kept, as in the original product.
pub const KEPT_ERRORS: usize = 5;

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
    /// When the node opened.
    pub opened_ms: i64,
    /// When this picture was taken.
    pub now_ms: i64,
    /// Version of the GoCD beside it.
    pub gocd_version: Option<String>,
    /// Where our TLS port really listens, `address:port`; none while it is closed.
    pub listening: Option<String>,
    /// Where GoCD's port answers while held.
    pub holding: Option<String>,
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
    /// Files that the live configuration mentions and that are not on this standby.
    #[serde(default)]
    pub missing_files: Vec<MissingFile>,
    /// Jars of our own plugin here; never synced.
    pub own_jars: Vec<OwnJar>,
    /// When the folders were last read through.
    pub scanned_ms: Option<i64>,
    /// On a standby: the primary.
    pub primary: Option<PrimaryStatus>,
    /// On a standby: how syncing goes.
    pub sync: Option<SyncStatus>,
    /// On a primary: its standbys.
    #[serde(default)]
    pub standbys: Vec<StandbyStatus>,
    /// Milliseconds between two reads of the folders.
    pub file_check_interval_ms: u64,
    /// Milliseconds without a completed exchange after which it is CRITICAL.
    pub primary_check_interval_ms: u64,
    /// What it has counted since it opened.
    #[serde(default)]
    pub counters: Counters,
}

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Deciding.
    Starting,
    /// GoCD waits.
    Holding,
    /// On the way to letting GoCD run.
    Releasing,
    /// GoCD runs, or there is none here.
    Running,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

/// The word for it, as monitoring systems know it.
impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Ok => "OK",
            Severity::Warning => "WARNING",
            Severity::Critical => "CRITICAL",
        })
    }
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: one problem for each topic, a newer one replaces it.
    pub topic: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
    /// Since when.
    pub since_ms: i64,
}

/// A generation, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its id.
    pub id: Digest,
    /// The primary's sequence.
    pub sequence: u64,
    /// When the primary first saw it, by the primary's clock.
    pub generated_ms: i64,
    /// Whether GoCD has accepted its configuration.
    pub acceptance: Acceptance,
    /// Bytes of all its files.
    pub total_size: u64,
}

/// One synced file on both nodes. A primary fills only its own side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Which file.
    pub name: Name,
    /// Who the plugin is.
    pub plugin: Option<PluginIdentity>,
    /// On the primary.
    pub primary: Option<FileVersion>,
    /// On this standby; none on a primary.
    pub standby: Option<FileVersion>,
    /// How both compare.
    pub state: FileState,
}

/// The bytes of a file on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// SHA-256.
    pub sha256: Digest,
    /// MD5, where it is known already.
    #[serde(default)]
    pub md5: Md5,
    /// Length.
    pub size: u64,
    /// Last written, by that node's clock.
    pub modified_ms: i64,
}

/// How a file compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// On a primary: it is offered.
    Offered,
    /// The same bytes on both.
    InSync,
    /// Other bytes here.
    Differs,
    /// Not here yet.
    Missing,
    /// Not on the primary, and not ours to remove.
    OnlyHere,
}

/// A jar of our own plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnJar {
    /// Its file name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// What a standby knows of its primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryStatus {
    /// Where it is, as configured.
    pub url: String,
    /// How its key is trusted, in words.
    pub trust: String,
    /// Whether its key has been proven in the newest connection.
    pub trusted: bool,
    /// The key it showed last.
    pub seen_fingerprint: Option<Fingerprint>,
    /// Whether the newest exchange succeeded.
    pub connected: bool,
    /// Since when `connected` is what it is.
    pub since_ms: i64,
    /// When an exchange was last completed.
    pub last_exchange_ms: Option<i64>,
    /// Its node id.
    pub node_id: Option<String>,
    /// Version of its GoCD.
    pub gocd_version: Option<String>,
    /// Version of its plugin.
    pub product_version: Option<String>,
    /// When it last read its folders, by its clock.
    pub scanned_ms: Option<i64>,
    /// How often it reads them.
    pub file_check_interval_ms: Option<u64>,
    /// Its newest generation.
    pub generation: Option<Generation>,
    /// Its write-ahead log position.
    pub wal_location: Option<String>,
    /// The key that it is to show next, while it waits for that to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fingerprint: Option<Fingerprint>,
}

impl PrimaryStatus {
    /// A primary that has not answered yet.
    pub fn new(url: &str, trust: &str, since_ms: i64) -> Self {
        Self {
            url: url.to_owned(),
            trust: trust.to_owned(),
            trusted: false,
            seen_fingerprint: None,
            connected: false,
            since_ms,
            last_exchange_ms: None,
            node_id: None,
            gocd_version: None,
            product_version: None,
            scanned_ms: None,
            file_check_interval_ms: None,
            generation: None,
            wal_location: None,
            next_fingerprint: None,
        }
    }
}

/// What a primary knows of one standby, from its reports. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyStatus {
    /// Its node id.
    pub node_id: String,
    /// The key that it has proven to hold.
    pub fingerprint: Option<Fingerprint>,
    /// Whether that key is trusted.
    pub standing: Standing,
    /// How it is reached: scheme, host and port.
    pub url: Option<String>,
    /// Version of its plugin.
    pub product_version: String,
    /// Version of its GoCD.
    pub gocd_version: Option<String>,
    /// The generation that is live there.
    pub generation: Option<ReportedGeneration>,
    /// When a generation was last made live there.
    pub applied_ms: Option<i64>,
    /// When the first generation that it lacks came to be; none while it has the newest.
    pub behind_since_ms: Option<i64>,
    /// When it last reported.
    pub reported_ms: i64,
    /// Whether that is longer ago than `bc.standby.silence`.
    pub silent: bool,
    /// Its newest error; none once a sync succeeded.
    pub error: Option<String>,
    /// Why the newest generation is not live there.
    pub problem: Option<ReportedProblem>,
    /// Which of this primary's keys it accepts.
    pub confirms: Vec<Fingerprint>,
}

impl StandbyStatus {
    /// What people call it: its address, else the beginning of its node id.
    pub fn name(&self) -> String {
        match &self.url {
            Some(url) => url.trim_start_matches("https://").to_owned(),
            None => format!("node {:.8}", self.node_id),
        }
    }
}

/// How a primary stands to a standby's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is in the peers file.
    Trusted,
    /// It was seen, and waits for `gocd-bc trust`.
    Seen,
    /// The connection showed none.
    Unproven,
}

/// How syncing goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Whether the applied generation is the primary's newest one as far as we know.
    pub in_sync: bool,
    /// Since when the standby has been in sync without a break; none while it is not.
    #[serde(default)]
    pub in_sync_since_ms: Option<i64>,
    /// Since when it has not been, as far as this process knows; none while it is. A primary that does not answer
    /// may have changed just after its last answer, so that is the moment then.
    #[serde(default)]
    pub behind_since_ms: Option<i64>,
    /// Why the primary's newest generation is not made live.
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// Jars that the primary no longer has and that are kept here, since many plugins would go at once.
    #[serde(default)]
    pub kept: Vec<Name>,
    /// Set while an administrator's restore holds an older generation in place.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// When a generation was last applied.
    pub applied_ms: Option<i64>,
    /// The newest errors, newest last, [`KEPT_ERRORS`] at most; they go with the next success.
    pub errors: Vec<SyncError>,
    /// A fetch that is under way.
    pub fetching: Option<Fetching>,
}

/// Why the primary is not followed although it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, and what to do.
    pub message: String,
    /// Since when the primary's newest generation is refused; another refused generation does not begin anew.
    pub since_ms: i64,
}

/// A standby that does not follow its primary, since an administrator has restored an older generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The generation that is live.
    pub generation: Digest,
    /// Since when.
    pub since_ms: i64,
}

/// How far a standby is behind its primary, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Bytes of files that the primary has and this node has not.
    pub bytes: u64,
    /// Milliseconds since it last had all that the primary had; since it opened if it never had.
    pub ms: i64,
}

/// An error while syncing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncError {
    /// When.
    pub at_ms: i64,
    /// What failed and what to do.
    pub message: String,
}

/// Progress of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// Files still to come, this one included.
    pub files_left: usize,
    /// Bytes of this generation to fetch in all.
    pub bytes_total: u64,
    /// Bytes of it that are here.
    pub bytes_done: u64,
}

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
            opened_ms,
            now_ms: opened_ms,
            gocd_version: None,
            listening: None,
            holding: None,
            external_url: None,
            user: None,
            problems: Vec::new(),
            generation: None,
            files: Arc::default(),
            missing_files: Vec::new(),
            own_jars: Vec::new(),
            scanned_ms: None,
            primary: None,
            sync: None,
            standbys: Vec::new(),
            file_check_interval_ms: 60_000,
            primary_check_interval_ms: 60_000,
            counters: Counters::default(),
        }
    }

    /// The worst of all problems.
    pub fn severity(&self) -> Severity {
        self.problems
            .iter()
            .map(|problem| problem.severity)
            .max()
            .unwrap_or(Severity::Ok)
    }

    /// How many problems have this severity.
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

    /// Milliseconds since a moment by this node's clock; zero where that is set back.
    pub fn age_ms(&self, moment_ms: i64) -> i64 {
        self.now_ms.saturating_sub(moment_ms).max(0)
    }

    /// One line for people: what this node is and does.
    pub fn headline(&self) -> String {
        match (self.role, self.phase) {
            (Role::Primary, Phase::Running) => "Primary: offers its files to the standby".to_owned(),
            (Role::Primary, _) => "Primary: GoCD is about to run".to_owned(),
            (Role::Fenced, _) => "Fenced: another node has been promoted; GoCD is held".to_owned(),
            (Role::Standby, Phase::Releasing) => "Standby: being promoted".to_owned(),
            (Role::Standby, Phase::Running) => "Standby asked for, but GoCD runs: not protected".to_owned(),
            (Role::Standby, _) => match &self.sync {
                Some(sync) if sync.in_sync => "Standby: in sync with the primary, GoCD is held".to_owned(),
                Some(sync) if sync.paused.is_some() => {
                    "Standby: held on a restored generation, pulls nothing; GoCD is held".to_owned()
                }
                Some(sync) if sync.fetching.is_some() => "Standby: fetching from the primary, GoCD is held".to_owned(),
                _ => "Standby: not in sync, GoCD is held".to_owned(),
            },
        }
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

/// The living status of a node: parts of the node write to it, faces take pictures of it.
#[derive(Debug)]
pub struct StatusBoard {
    status: Mutex<Status>,
    counters: Mutex<Counters>,
    wants_md5s: AtomicBool,
    changes: watch::Sender<u64>,
}

impl StatusBoard {
    /// A board that begins with `status`.
    pub fn new(status: Status) -> Self {
        Self {
            status: Mutex::new(status),
            counters: Mutex::default(),
            wants_md5s: AtomicBool::new(false),
            changes: watch::Sender::new(0),
        }
    }

    /// Changes the status; whoever waits for changes is woken if anything differs.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.clone();
        change(&mut status);
        status
            .problems
            .sort_by(|a, b| b.severity.cmp(&a.severity).then(a.topic.cmp(&b.topic)));
        if *status != before {
            drop(status);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Counts something. Cheap, and wakes nobody: what is counted happens often.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says that something is wrong; a problem of the same topic is replaced and keeps its age. Returns whether
    /// this is news: the message was not there before.
    pub fn raise(&self, topic: &str, severity: Severity, message: impl Into<String>, now_ms: i64) -> bool {
        let message = message.into();
        let known = self.with_problem(topic, |problem| (problem.severity, problem.message == message));
        let is_news = known.is_none_or(|(_, is_same)| !is_same);
        if known == Some((severity, true)) {
            return false;
        }
        self.update(
            |status| match status.problems.iter_mut().find(|problem| problem.topic == topic) {
                Some(problem) => {
                    problem.severity = severity;
                    problem.message = message;
                }
                None => {
                    status.problems.push(Problem {
                        topic: topic.to_owned(),
                        severity,
                        message,
                        since_ms: now_ms,
                    });
                }
            },
        );
        is_news
    }

    /// Says that nothing is wrong with `topic` any more.
    pub fn clear(&self, topic: &str) {
        // Most topics are fine most of the time, and a change costs a copy of the status.
        if self.with_problem(topic, |_| ()).is_some() {
            self.update(|status| status.problems.retain(|problem| problem.topic != topic));
        }
    }

    /// Says what is wrong with `topic`, or that nothing is.
    pub fn set(&self, topic: &str, severity: Severity, message: Option<String>, now_ms: i64) {
        match message {
            Some(message) => {
                self.raise(topic, severity, message, now_ms);
            }
            None => self.clear(topic),
        }
    }

    fn with_problem<T>(&self, topic: &str, look: impl FnOnce(&Problem) -> T) -> Option<T> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.problems.iter().find(|problem| problem.topic == topic).map(look)
    }

    /// Looks at a part of the status without copying it. `look` must not touch the board.
    pub fn look<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A picture as of `now_ms`.
    pub fn picture(&self, now_ms: i64) -> Status {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            now_ms,
            counters,
            ..status.clone()
        }
    }

    /// Notes that somebody looks at MD5s, which nobody but people and the old protocol does: they are worth their time
    /// from now on. Returns whether that is new; then whoever waits for changes is woken.
    pub fn ask_for_md5s(&self) -> bool {
        let is_new = !self.wants_md5s.swap(true, Ordering::Relaxed);
        if is_new {
            self.changes.send_modify(|count| *count += 1);
        }
        is_new
    }

    /// Whether somebody looks at MD5s.
    pub fn wants_md5s(&self) -> bool {
        self.wants_md5s.load(Ordering::Relaxed)
    }

    /// Counts changes; for waiting.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_age_and_is_news_once() {
        let board = StatusBoard::new(Status::new("node", Role::Standby, Phase::Holding, 0));
        let changes = board.changes();
        assert!(board.raise("disk", Severity::Warning, "low", 5));
        assert!(!board.raise("disk", Severity::Warning, "low", 6));
        assert!(
            !board.raise("disk", Severity::Critical, "low", 7),
            "only worse, not new"
        );
        assert!(board.raise("disk", Severity::Critical, "full", 8));
        let picture = board.picture(9);
        assert_eq!(
            (picture.problems[0].since_ms, picture.severity()),
            (5, Severity::Critical)
        );
        assert_eq!(picture.health_messages(), ["CRITICAL full"]);
        assert_eq!(*changes.borrow(), 3, "what changes nothing wakes nobody");
        board.clear("other");
        board.set("disk", Severity::Warning, None, 10);
        assert!(board.picture(11).problems.is_empty());
        assert_eq!(*changes.borrow(), 4);
        board.count(|counters| counters.connections += 2);
        assert_eq!(board.picture(12).counters.connections, 2);
        assert_eq!(*changes.borrow(), 4, "counting wakes nobody");
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
            md5: Md5::default(),
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
