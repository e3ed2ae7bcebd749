//! The course of a promotion: which step comes next, by what the one before came to.
//!
//! The order is what keeps it safe: nothing is published before the live set is whole and the database has replayed what
//! it received; the epoch is durable before anybody could meet this node as a primary and before the database is touched,
//! the note before the role that it tells of, and GoCD goes on last. The last pull comes before the epoch, since a primary
//! that hears of a higher one offers nothing any more, and a promotion that ends before it has changed nothing.
//!
//! The steps in their order, who takes them, what the next start does where the node ends right after one, and what
//! `gocd-bc promote --abort` makes of it then:
//!
//! | step | GoCD is held | GoCD runs already | restart, ordered | restart, by itself | abort |
//! |---|---|---|---|---|---|
//! | `Preflight` | with the database | never | holds | asks | follows on |
//! | `LastPull` | always | never | holds | asks | follows on |
//! | `BackToAccepted` | but in a hand-over | never | holds | asks | follows on |
//! | `MakeWhole` | always | never | holds | asks | follows on |
//! | `AskOnceMore` | by itself | by itself | holds | asks | follows on |
//! | `ReplayDatabase` | with the database | never | holds | asks | follows on |
//! | `BeginEpoch` | always | always | holds | asks | follows on |
//! | `ConfirmHandOver` | in a hand-over | never | holds | asks | follows on |
//! | `StopOther` | by force | never | holds | asks | follows on |
//! | `PromoteDatabase` | with the database | never | holds | asks | refuses |
//! | `Checkpoint` | with the database | never | holds | asks | refuses |
//! | `Note` | always | always | holds | asks | refuses |
//! | `RecordRole` | always | always | releases | releases | refuses |
//! | `Release` | always | always | releases | releases | refuses |
//!
//! So a crash before the role is recorded leaves a standby: one that was ordered waits for the order to be repeated, one
//! that promoted itself asks again. Each step can be taken again: another promotion begins an epoch above the one that
//! nobody led, a database that was promoted already is found to be, and a note says nothing in another epoch than its own.
//! A step is written down before it is taken and after it ([`Journal`]): a promotion that had begun to promote the
//! database goes on by the same order, and nothing else makes of that node a standby again than to make its database one.
//!
//! What follows on what a step came to:
//!
//! | a step came to | ordered | ordered as it is | by itself |
//! |---|---|---|---|
//! | `Done` | goes on | goes on | goes on |
//! | `Read` | goes on | goes on | goes on |
//! | `NeverApplied` | ends | ends | ends |
//! | `Shut` | ends | goes on | ends |
//! | `Silence` | goes on | goes on | goes on |
//! | `Answered` | goes on | goes on | ends |
//! | `Began` | goes on | goes on | goes on |
//! | `Failed` | ends | ends | ends |
//!
//! Where the primary hands over ([`super::handover`]) GoCD starts on exactly what it handed over.
//!
//! A promotion that ends leaves the standby that this node was, and whoever carries it out lets pulls and syncs go on.
//! The steps that write into the state folder are in `written`, what is written down of the promotion itself is in
//! `journal`.

use serde::{Deserialize, Serialize};

use super::{Phase, inquiry::Verdict};
use crate::{
    basics::{Error, Kind},
    generation::{Epoch, Role},
    gocd::version,
    settings::Face,
};

mod journal;
mod written;

pub use journal::{FILE, Journal, Outcome, Taken};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// All is looked at that may speak against it ([`super::preflight`]).
    Preflight,
    /// The primary is asked for its newest files once more, and then nothing is pulled any more. A primary that does
    /// not answer is no failure; an apply that does not come to its end is one.
    LastPull,
    /// A configuration that GoCD has not accepted gives way to the newest that it has. Where that cannot be, GoCD starts
    /// on what is there.
    BackToAccepted,
    /// Every live file is read, and what is not what was verified is mended from the kept bytes. From here on nothing is
    /// made live.
    MakeWhole,
    /// Where nobody ordered it, everybody is asked once more: reading all files takes its time, and a primary may have
    /// come meanwhile.
    AskOnceMore,
    /// The database has replayed all that it received, and all that its primary has where that still sends.
    ReplayDatabase,
    /// A new epoch, above all that were ever seen, is durable, and everybody who asks is told of it.
    BeginEpoch,
    /// Where the primary handed over: it is asked once more, now that it can hear of the epoch, whether it does still.
    ConfirmHandOver,
    /// Where a primary answers and is ordered to stop: it is seen to, and the database has replayed what it wrote until then.
    StopOther,
    /// The database is promoted, and seen to take writes.
    PromoteDatabase,
    /// A checkpoint of the database is asked for, where the user may: before it has ended, nobody can tell by its control
    /// file that it was promoted, and a rewind of the former primary would find nothing to do.
    Checkpoint,
    /// What nobody ordered is written down until a person has seen it; a promotion that was ordered ends an older note.
    Note,
    /// From here on this node is the primary, also after a crash.
    RecordRole,
    /// GoCD's port is given back and GoCD goes on; where it runs already, this node begins to serve.
    Release,
}

/// What begins a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// GoCD is held, or there is none.
    Held,
    /// GoCD runs already, without the agent that could have held it: nothing may change under its feet.
    Running,
}

/// Who or what began a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A person.
    Order {
        /// Also on files that are not what was verified.
        as_it_is: bool,
        /// Whether the database is promoted as well.
        with_database: bool,
    },
    /// This node, since its flag is gone and nobody answers.
    Itself {
        /// Why, for people.
        reason: String,
        /// The highest epoch that others told.
        highest: Option<Epoch>,
        /// Whether the database is promoted as well.
        with_database: bool,
    },
}

/// Says whether a promotion can start GoCD in its maintenance mode: it reads that in its JVM, from 20.9 on.
///
/// # Errors
/// [`Kind::Refused`], saying why it cannot.
pub fn allow_maintenance(place: Place, face: Face, gocd_version: Option<&str>) -> Result<(), Error> {
    let refused = |why: String| {
        Err(Error::new(
            Kind::Refused,
            why,
            "Run `gocd-bc promote` without --maintenance.",
        ))
    };
    match (place, face, gocd_version) {
        (_, Face::Cli, _) => refused(
            "no GoCD is held in the process of this node, so none can be started in maintenance mode: start it with \
             -Dgocd.server.start.in.maintenance.mode=Y"
                .to_owned(),
        ),
        (Place::Running, ..) => refused(
            "GoCD runs already, so it cannot be started in maintenance mode: switch that on at Admin > Server Maintenance \
             Mode"
                .to_owned(),
        ),
        (_, _, Some(version)) if !version::starts_in_maintenance(version) => {
            refused(format!("GoCD {version} cannot start in maintenance mode: 20.9 and later can"))
        }
        _ => Ok(()),
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// It is done, or could not be done and need not be.
    Done,
    /// All live files are read and whole; what GoCD starts on, a sentence for people.
    Read(String),
    /// Nothing was read, since no generation of a primary was ever applied here.
    NeverApplied,
    /// Nothing was read, since the store cannot be opened.
    Shut(Error),
    /// Nobody is primary; the highest epoch that was told.
    Silence(Option<Epoch>),
    /// There is a primary, or somebody who may be one; how that showed, for people.
    Answered(String),
    /// The epoch of this node from now on.
    Began(Epoch),
    /// It had to be done and could not be, or has not ended.
    Failed(Error),
}

impl Came {
    /// What the last pull tells of the primary. `heard` is what came of asking it; none where nobody was asked.
    pub fn of_last_pull(heard: Option<Result<(), &Error>>) -> Self {
        const ANSWERS: &str = "the primary answers after all";
        match heard {
            Some(Ok(())) => Self::Answered(ANSWERS.to_owned()),
            Some(Err(error)) if matches!(error.kind(), Kind::Trust | Kind::Protocol) => {
                Self::Answered(format!("{ANSWERS}, and cannot be proven: {}", error.message()))
            }
            Some(Err(_)) | None => Self::Done,
        }
    }
}

impl From<Verdict> for Came {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Hold(why) => Self::Answered(why),
            Verdict::Promote { highest, .. } => Self::Silence(highest),
        }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This step.
    Take(Step),
    /// Nothing: this node is the primary.
    Complete,
    /// Nothing: this node stays what it was, for this reason.
    Ended(Error),
}

/// A promotion on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    place: Place,
    cause: Cause,
    step: Step,
    /// Whether the primary hands over.
    is_handed_over: bool,
    /// Whether a primary that answers is ordered to stop.
    is_forced: bool,
    /// The one that it has begun.
    epoch: Option<Epoch>,
    /// The files that GoCD starts on after the promotion, for people.
    files: String,
}

impl Course {
    /// Begins the course of a promotion at `place`, on a node in this role and phase. `may_serve` is whether it may
    /// begin to serve where GoCD runs already.
    ///
    /// # Errors
    /// [`Kind::Refused`] where there is nothing to promote.
    pub fn begin(place: Place, cause: Cause, role: Role, phase: Phase, may_serve: bool) -> Result<Self, Error> {
        let is_there = match place {
            Place::Held => phase == Phase::Holding,
            Place::Running => phase == Phase::Running && may_serve,
        };
        if role != Role::Standby || !is_there {
            let guidance = match role {
                Role::Primary => "Run the command on the standby.",
                Role::Standby => "GoCD runs here although a standby was asked for: `gocd-bc status` says what to do.",
                Role::Fenced => "Another node has a higher epoch: see `gocd-bc status` on that one.",
            };
            let message = format!("this node is a {role} and does not hold GoCD");
            return Err(Error::new(Kind::Refused, message, guidance));
        }
        if place == Place::Running && cause.is_with_database() {
            return Err(Error::new(
                Kind::Refused,
                "GoCD runs on this server already, so its database is the one that it uses",
                "Make sure that this database takes writes and that no other primary runs, then run `gocd-bc promote \
                 --without-database`.",
            ));
        }
        let step = match (place, &cause) {
            (Place::Held, cause) if cause.is_with_database() => Step::Preflight,
            (Place::Held, _) => Step::LastPull,
            (Place::Running, Cause::Itself { .. }) => Step::AskOnceMore,
            (Place::Running, Cause::Order { .. }) => Step::BeginEpoch,
        };
        Ok(Self {
            place,
            cause,
            step,
            is_handed_over: false,
            is_forced: false,
            epoch: None,
            files: "GoCD ran already, so the files that it runs on were not verified.".to_owned(),
        })
    }

    /// The step of the promotion that is to be taken now.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Who or what began the promotion.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// What GoCD starts on after the promotion, a sentence for people.
    pub fn files(&self) -> &str {
        &self.files
    }

    /// Whether the person who promotes takes the files as they are, verified or not.
    pub fn takes_files_as_they_are(&self) -> bool {
        matches!(self.cause, Cause::Order { as_it_is: true, .. })
    }

    /// Notes that the primary hands over to whoever this promotion makes the primary.
    pub fn hand_over(&mut self) {
        self.is_handed_over = true;
    }

    /// Notes that a primary answers, and is ordered to stop by the epoch of this promotion.
    pub fn order_to_stop(&mut self) {
        self.is_forced = true;
    }

    /// Says what a step of the promotion came to, and hears what follows; the tables are at the head of this module.
    pub fn came_to(&mut self, came: Came) -> Next {
        match came {
            Came::Done => {}
            Came::Read(files) => self.files = files,
            Came::Shut(error) if self.takes_files_as_they_are() => {
                self.files = format!(
                    "GoCD starts on 0 verified files; NOT verified: nothing could be looked at: {}.",
                    error.message()
                );
            }
            Came::Silence(told) => {
                if let Cause::Itself { highest, .. } = &mut self.cause {
                    *highest = told;
                }
            }
            Came::Answered(how) => {
                if matches!(self.cause, Cause::Itself { .. }) {
                    return Next::Ended(Error::new(Kind::Refused, how, ""));
                }
            }
            Came::Began(epoch) => self.epoch = Some(epoch),
            Came::NeverApplied => return Next::Ended(never_applied()),
            Came::Shut(error) | Came::Failed(error) => return Next::Ended(error),
        }
        match self.after() {
            Some(step) => {
                self.step = step;
                Next::Take(step)
            }
            None => Next::Complete,
        }
    }

    /// The step of a promotion that follows the one that was taken.
    fn after(&self) -> Option<Step> {
        let with_database = self.cause.is_with_database();
        Some(match self.step {
            Step::Preflight => Step::LastPull,
            Step::LastPull if self.is_handed_over => Step::MakeWhole,
            Step::LastPull => Step::BackToAccepted,
            Step::BackToAccepted => Step::MakeWhole,
            Step::MakeWhole if matches!(self.cause, Cause::Itself { .. }) => Step::AskOnceMore,
            Step::MakeWhole | Step::AskOnceMore if with_database => Step::ReplayDatabase,
            Step::MakeWhole | Step::AskOnceMore | Step::ReplayDatabase => Step::BeginEpoch,
            Step::BeginEpoch if self.is_handed_over => Step::ConfirmHandOver,
            Step::BeginEpoch if self.is_forced => Step::StopOther,
            Step::BeginEpoch | Step::ConfirmHandOver | Step::StopOther if with_database => Step::PromoteDatabase,
            Step::PromoteDatabase => Step::Checkpoint,
            Step::BeginEpoch | Step::ConfirmHandOver | Step::StopOther | Step::Checkpoint => Step::Note,
            Step::Note => Step::RecordRole,
            Step::RecordRole => Step::Release,
            Step::Release => return None,
        })
    }
}

impl Cause {
    /// Whether the promotion promotes the database as well.
    pub fn is_with_database(&self) -> bool {
        matches!(
            self,
            Cause::Order {
                with_database: true,
                ..
            } | Cause::Itself {
                with_database: true,
                ..
            }
        )
    }
}

impl Step {
    /// The step of a promotion for people: what is done.
    pub fn words(self) -> &'static str {
        match self {
            Step::Preflight => "look at all that may speak against it",
            Step::LastPull => "pull once more from the primary, then no more",
            Step::BackToAccepted => "go back to the configuration that GoCD has accepted",
            Step::MakeWhole => "read every live file",
            Step::AskOnceMore => "ask the primary once more",
            Step::ReplayDatabase => "wait until the database has replayed what it received",
            Step::BeginEpoch => "begin a new epoch",
            Step::ConfirmHandOver => "ask the primary whether it hands over still",
            Step::StopOther => "see that the other primary stops",
            Step::PromoteDatabase => "promote the database",
            Step::Checkpoint => "ask the database for a checkpoint",
            Step::Note => "note that nobody ordered it",
            Step::RecordRole => "record the role",
            Step::Release => "release GoCD",
        }
    }

    /// The name of a step of the promotion, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Preflight => "preflight",
            Step::LastPull => "last-pull",
            Step::BackToAccepted => "back-to-accepted",
            Step::MakeWhole => "make-whole",
            Step::AskOnceMore => "ask-once-more",
            Step::ReplayDatabase => "replay-database",
            Step::BeginEpoch => "begin-epoch",
            Step::ConfirmHandOver => "confirm-hand-over",
            Step::StopOther => "stop-other",
            Step::PromoteDatabase => "promote-database",
            Step::Checkpoint => "checkpoint",
            Step::Note => "note",
            Step::RecordRole => "record-role",
            Step::Release => "release",
        }
    }

    /// Whether a promotion that has begun this step can no longer be undone by this node alone.
    pub fn is_past_return(self) -> bool {
        self >= Step::PromoteDatabase
    }
}

/// The refusal to promote a standby that never had the primary's files.
fn never_applied() -> Error {
    Error::new(
        Kind::Refused,
        "no generation of a primary is applied on this server, so what GoCD would start on is whatever lies in its \
         folders: no byte of it was ever verified",
        "Let it follow its primary first (`gocd-bc status`), or let GoCD start on the files as they are with `gocd-bc \
         promote --without-database --as-it-is`.",
    )
}

#[cfg(test)]
mod tests;
