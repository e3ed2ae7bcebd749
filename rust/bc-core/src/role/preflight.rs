//! What speaks against a promotion with the database, before anything is changed.
//!
//! A pure function of what was looked at ([`Facts`]) to a list of checks, one for each line of the table that is shown. A
//! check that refuses says how to go on. It can be made on any day.
//!
//! | check | refuses where | in |
//! |---|---|---|
//! | `other-primary` | another node answers as the primary, and is neither the one that is followed and hands over nor ordered to stop; one that cannot be proven answers in its place; GoCD runs at `bc.site.url`; or another has the primary's lock in the database | `others` |
//! | `database` | it is no PostgreSQL, does not answer, is no standby, or nobody here may promote it | `database` |
//! | `lineage` | it is of another system or major version, or on a timeline that the primary's does not lead to | `database` |
//! | `replay` | its replay is paused | `database` |
//! | `lag` | more would be lost than `bc.promote.max.lag` allows, or nobody knows how much, without `--accept-loss`; what hands over is waited for | `database` |
//! | `generation` | no generation was ever applied here | `files` |
//! | `secrets` | none of the encrypted values of the configuration can be decrypted | `files` |
//! | `gocd-version` | GoCD here is of another version than the one the files are of | `files` |
//! | `launcher` | GoCD's `go.jar` was replaced while this JVM waits | `files` |
//! | `room` | less is free than `bc.free.space` | `files` |

use serde::{Deserialize, Serialize};

use super::{
    claim::Holder,
    handover,
    inquiry::{Heard, Site},
    stopping::{Answers, Stopping},
};
use crate::{
    basics::{Severity, words},
    database::{
        picture::Picture,
        promotion::{Trigger, Way},
    },
    generation::{Epoch, HandoverToken, HandsOver, Role},
    settings::MaxLag,
};

mod database;
mod files;
mod others;
#[cfg(test)]
mod tests;

pub use files::{free, read_secrets};

/// What one line of the table is about. Its name in JSON stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Whether another node is the primary.
    OtherPrimary,
    /// What this node's database is, and who promotes it.
    Database,
    /// Whether it is a copy of the one that the primary used.
    Lineage,
    /// Whether it replays.
    Replay,
    /// What would be lost.
    Lag,
    /// Which files GoCD would start on.
    Generation,
    /// Whether GoCD could decrypt what is encrypted in its configuration.
    Secrets,
    /// The versions of GoCD.
    GocdVersion,
    /// GoCD's launcher.
    Launcher,
    /// Room on the disk.
    Room,
}

/// What speaks against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Something that a person should know.
    Warns,
    /// Enough.
    Refuses,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is about.
    pub about: About,
    /// What speaks against a promotion.
    pub verdict: Verdict,
    /// What was seen, for people.
    pub seen: String,
    /// How to go on, for people; empty where nothing speaks against it.
    #[serde(default)]
    pub way: String,
}

/// What a promotion now would lose, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Bytes of the database's log.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// How long before it was last heard of the primary wrote them, in seconds.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Generations of files that the primary has and that are not live here.
    #[serde(default)]
    pub edits: Option<u64>,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// When it was looked at, milliseconds since 1970 by this node's clock.
    pub at_ms: i64,
    /// Line by line.
    pub checks: Vec<Check>,
    /// What would be lost.
    pub loss: Loss,
    /// What the primary hands over; none where it does not, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<HandoverToken>,
    /// The primary that is ordered to stop before anything else is done; none where none answers, or that was not asked
    /// for.
    #[serde(skip)]
    pub stops: Option<Stopping>,
}

/// All that is looked at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When, milliseconds since 1970 by this node's clock.
    pub at_ms: i64,
    /// What each address of the primary said.
    pub heard: Vec<(String, Heard)>,
    /// Whom this standby follows: node id and epoch.
    pub followed: Option<(String, Epoch)>,
    /// What GoCD's site says, and where that is; none where no site is set.
    pub site: Option<(String, Site)>,
    /// Who has the primary's lock, on each server of GoCD's database that answers.
    pub locks: Vec<(String, Holder)>,
    /// The database as it is watched; none where it is not, or was not looked at yet.
    pub database: Option<Picture>,
    /// Who logs in there, to watch and to promote it.
    pub user: String,
    /// The trigger file of that database.
    pub trigger: Option<Trigger>,
    /// Who promotes it; none where that is not understood.
    pub way: Option<Way>,
    /// Whether this node has begun to promote it before, so that it may take writes.
    pub resumes: bool,
    /// How much may be lost without a word of the person who promotes.
    pub max_lag: MaxLag,
    /// Whether that person has said so.
    pub accepts_loss: bool,
    /// Whether that person has said that a primary which answers is to be ordered to stop.
    pub forces: bool,
    /// The sequence of the generation that is applied.
    pub applied: Option<u64>,
    /// The sequence of the newest generation that the primary is known to have.
    pub newest: Option<u64>,
    /// Whether that is the primary's newest one, as far as is known.
    pub has_newest: bool,
    /// Whether what is encrypted in the configuration can be decrypted.
    pub secrets: Secrets,
    /// Version of the GoCD beside this node; none where that is not known.
    pub gocd: Option<String>,
    /// Version of the GoCD that the files are of.
    pub files_gocd: Option<String>,
    /// Whether GoCD's launcher is another file than when this JVM started.
    pub launcher: Launcher,
    /// Bytes that are free where the state folder is; none where nobody knows.
    pub free: Option<u64>,
    /// How many are to be (`bc.free.space`).
    pub wanted_free: u64,
}

/// Whether what is encrypted in the live configuration can be decrypted with the live key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secrets {
    /// It cannot be looked at: why.
    Unread(String),
    /// So many values can be decrypted, and these elements cannot.
    Read {
        /// How many can be.
        open: usize,
        /// Where those are that cannot be.
        shut: Vec<String>,
    },
}

/// GoCD's launcher, since this JVM started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// There is no JVM here, or nobody knows the file.
    Unknown,
    /// It is the same file.
    Same,
    /// It is another one.
    Replaced,
}

impl Preflight {
    /// Makes the table of the preflight of a promotion.
    pub fn of(facts: &Facts) -> Self {
        let mut checks = vec![others::primary(facts)];
        checks.extend(database::checks(facts));
        checks.extend(files::checks(facts));
        Self {
            at_ms: facts.at_ms,
            checks,
            loss: loss(facts),
            handed_over: token(facts).cloned(),
            stops: stops(facts),
        }
    }

    /// The lines of the preflight that refuse.
    pub fn refusals(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict == Verdict::Refuses)
    }

    /// How bad the preflight is: CRITICAL where a promotion would be refused.
    pub fn severity(&self) -> Severity {
        match self.checks.iter().map(|check| check.verdict).max() {
            Some(Verdict::Refuses) => Severity::Critical,
            Some(Verdict::Warns) => Severity::Warning,
            _ => Severity::Ok,
        }
    }

    /// What a promotion would do now, by the preflight, in one line for people.
    pub fn line(&self) -> String {
        match self.refusals().next() {
            None if self.handed_over.is_some() => format!(
                "would be carried out: the primary hands over; it loses {}",
                self.loss.words()
            ),
            None => format!("would be carried out; it loses {}", self.loss.words()),
            Some(first) => match self.refusals().count() - 1 {
                0 => format!("would be refused: {}", first.seen),
                more => format!("would be refused: {} (and {more} more)", first.seen),
            },
        }
    }
}

impl Check {
    /// A check against which nothing speaks.
    fn fine(about: About, seen: impl Into<String>) -> Self {
        Self::new(about, Verdict::Fine, seen, "")
    }

    fn warns(about: About, seen: impl Into<String>, way: impl Into<String>) -> Self {
        Self::new(about, Verdict::Warns, seen, way)
    }

    fn refuses(about: About, seen: impl Into<String>, way: impl Into<String>) -> Self {
        Self::new(about, Verdict::Refuses, seen, way)
    }

    /// Texts of servers and files may be in it.
    fn new(about: About, verdict: Verdict, seen: impl Into<String>, way: impl Into<String>) -> Self {
        let shown = |text: String| words::shown(&text, words::LONGEST_MESSAGE);
        Self {
            about,
            verdict,
            seen: shown(seen.into()),
            way: shown(way.into()),
        }
    }
}

impl Loss {
    /// What a promotion would lose, for people, behind "it loses".
    pub fn words(&self) -> String {
        let database = match (self.bytes, self.seconds) {
            (Some(0), _) => "nothing of the database that the primary is known to have written".to_owned(),
            (Some(bytes), Some(seconds)) => format!("{} of the database's log ({seconds} s)", words::size(bytes)),
            (Some(bytes), None) => format!("{} of the database's log", words::size(bytes)),
            (None, _) => "nobody knows how much of the database".to_owned(),
        };
        let edits = match self.edits {
            Some(0) => "no edit".to_owned(),
            Some(1) => "1 edit".to_owned(),
            Some(edits) => format!("{edits} edits"),
            None => "perhaps edits".to_owned(),
        };
        format!("{database}, and {edits}")
    }
}

impl About {
    /// The name of a line of the preflight, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            About::OtherPrimary => "other-primary",
            About::Database => "database",
            About::Lineage => "lineage",
            About::Replay => "replay",
            About::Lag => "lag",
            About::Generation => "generation",
            About::Secrets => "secrets",
            About::GocdVersion => "gocd-version",
            About::Launcher => "launcher",
            About::Room => "room",
        }
    }

    /// The name of a line of the preflight, for people.
    pub fn words(self) -> &'static str {
        match self {
            About::OtherPrimary => "other primary",
            About::Database => "database",
            About::Lineage => "its history",
            About::Replay => "its replay",
            About::Lag => "loss",
            About::Generation => "files",
            About::Secrets => "secrets",
            About::GocdVersion => "GoCD",
            About::Launcher => "go.jar",
            About::Room => "room",
        }
    }
}

/// What the primary says of its hand-over, by the facts of a promotion's preflight.
fn hands_over(facts: &Facts) -> Option<&HandsOver> {
    let followed = facts
        .followed
        .as_ref()
        .map(|(node_id, epoch)| (node_id.as_str(), epoch));
    handover::heard(followed, &facts.heard)
}

/// What the primary hands over, by the facts of a promotion's preflight.
fn token(facts: &Facts) -> Option<&HandoverToken> {
    let (node_id, epoch) = facts.followed.as_ref()?;
    hands_over(facts)?.token_of(node_id, Role::Primary, epoch)
}

/// The primary that is ordered to stop, by the facts of a promotion's preflight: one that hands over has stopped.
fn stops(facts: &Facts) -> Option<Stopping> {
    let is_asked_for = facts.forces && hands_over(facts).is_none();
    let answers = Answers {
        heard: &facts.heard,
        site: facts.site.as_ref(),
        locks: &facts.locks,
    };
    is_asked_for.then(|| Stopping::of(answers)).flatten()
}

/// What a promotion would lose, by the facts of its preflight. Of what is handed over nothing, or it is not carried out.
fn loss(facts: &Facts) -> Loss {
    let picture = facts.database.as_ref();
    if let Some(token) = token(facts) {
        return Loss {
            bytes: token.database.as_ref().map(|_| 0),
            seconds: None,
            edits: Some(0),
        };
    }
    Loss {
        bytes: picture.and_then(|picture| picture.loss_bytes),
        seconds: picture.and_then(database::seconds),
        edits: match (facts.newest, facts.applied) {
            (Some(newest), Some(applied)) => Some(newest.saturating_sub(applied)),
            _ => facts.has_newest.then_some(0),
        },
    }
}
