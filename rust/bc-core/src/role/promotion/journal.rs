//! The journal of a promotion: `promotion.json` in the state folder.
//!
//! Each step is written down before it is taken and after it, so that whoever comes after a crash knows how far it was. The
//! file stays when the promotion has ended, and is what this server tells of its last one. One that cannot be read is
//! damaged, and is never taken for none: a database may have been promoted.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Cause, Step};
use crate::{
    basics::{Error, Kind, regular_file, words},
    durable::{atomic, seal},
    generation::{Epoch, HandoverToken},
};

/// The name of the file in the state folder.
pub const FILE: &str = "promotion.json";
/// The version of the file.
const FORMAT: u32 = 1;

/// What came of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// This node became the primary.
    Complete,
    /// It ended, and this node stayed what it was.
    Ended,
    /// A person ended it.
    Aborted,
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Which.
    pub step: Step,
    /// When it began, milliseconds since 1970 by this node's clock.
    pub began_ms: i64,
    /// How long it took; none while it has not ended, or never did.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// What came of it, for people; empty where nothing is to be said.
    #[serde(default)]
    pub said: String,
}

/// All that is written down of one promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Version of the file: 1.
    pub format: u32,
    /// When it began, milliseconds since 1970 by this node's clock.
    pub began_ms: i64,
    /// Whether a person ordered it.
    pub is_ordered: bool,
    /// Whether the database is promoted as well.
    pub with_database: bool,
    /// The epoch that it began; none before it did.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// What the primary handed over; none where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<HandoverToken>,
    /// The timeline that the database has been on since; none before it was promoted.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// The steps that were begun, in their order.
    pub steps: Vec<Taken>,
    /// What came of it; none while it is on its way, or where the node ended in the middle.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Why it ended, for people.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the command of `bc.promote.hook` came to, for people; none before it has run.
    #[serde(default)]
    pub hook: Option<String>,
    /// Whether that command is still to be run well.
    #[serde(default)]
    pub hook_is_due: bool,
    /// Whether a promotion before this one had begun to promote the database: then it was this server that did.
    #[serde(default)]
    pub resumes: bool,
}

impl Journal {
    /// The journal of a promotion that begins now. `before` is what was written down of the last one.
    pub fn begin(cause: &Cause, before: Option<&Self>, now_ms: i64) -> Self {
        Self {
            format: FORMAT,
            began_ms: now_ms,
            is_ordered: matches!(cause, Cause::Order { .. }),
            with_database: cause.is_with_database(),
            epoch: None,
            handed_over: None,
            timeline: None,
            steps: Vec::new(),
            outcome: None,
            reason: None,
            hook: None,
            hook_is_due: false,
            resumes: before.is_some_and(Self::is_half_way),
        }
    }

    /// Whether this promotion has begun to promote the database, itself or by the one that it resumes, and has not come to
    /// its end.
    pub fn is_half_way(&self) -> bool {
        let began = self.steps.iter().any(|taken| taken.step == Step::PromoteDatabase);
        self.outcome != Some(Outcome::Complete) && (self.resumes || began)
    }

    /// Whether this promotion is no longer undone by this node alone: it is half way, or its role is recorded.
    pub fn is_past_return(&self) -> bool {
        self.resumes || self.steps.iter().any(|taken| taken.step.is_past_return())
    }

    /// Whether this promotion came to no end, since the node ended in the middle.
    pub fn is_interrupted(&self) -> bool {
        self.outcome.is_none()
    }

    /// Notes in the journal that a step of the promotion begins.
    pub fn step_begins(&mut self, step: Step, now_ms: i64) {
        self.steps.push(Taken {
            step,
            began_ms: now_ms,
            took_ms: None,
            said: String::new(),
        });
    }

    /// Notes in the journal that the last step of the promotion has been taken, how long that took, and what came of it
    /// for people.
    pub fn step_ends(&mut self, took_ms: u64, said: &str) {
        if let Some(taken) = self.steps.last_mut() {
            taken.took_ms = Some(took_ms);
            taken.said = words::shown(said, words::LONGEST_MESSAGE);
        }
    }

    /// Notes in the journal what came of the promotion.
    pub fn ends(&mut self, outcome: Outcome, reason: Option<&Error>) {
        self.outcome = Some(outcome);
        self.reason = reason.map(|error| words::shown(&error.to_string(), words::LONGEST_MESSAGE));
    }

    /// The last promotion in one line for people: when it was, what came of it, and how long that took.
    pub fn line(&self) -> String {
        let came = match self.outcome {
            Some(Outcome::Complete) => "complete",
            Some(Outcome::Ended) => "not carried out",
            Some(Outcome::Aborted) => "undone",
            None => "on its way, or broken off",
        };
        let took: u64 = self.steps.iter().filter_map(|taken| taken.took_ms).sum();
        let reason = self
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        format!("{came}, {}, {took} ms{reason}", words::moment(self.began_ms))
    }

    /// What a standby says of a promotion of its own that has promoted the database and nothing more; none where there
    /// is nothing to say.
    pub fn half_way_message(&self) -> Option<String> {
        let last = self.steps.last().filter(|_| self.is_half_way())?;
        Some(format!(
            "a promotion of this server began at {} and ended in the step \"{}\", after it had begun to promote the \
             database: GoCD is held beside a database that may take writes. Run `gocd-bc promote` again, which goes on from \
             there.",
            words::moment(self.began_ms),
            last.step.words()
        ))
    }

    /// Loads the journal of the last promotion of this server; none where there was none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_OURS)? else {
            return Ok(None);
        };
        let journal = seal::read(&text);
        journal.filter(|journal: &Self| journal.format <= FORMAT).map(Some).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!(
                    "{} is damaged, or of a later version; it tells how far a promotion of this server came, and whether its \
                     database was promoted",
                    path.display()
                ),
                "Look whether that database takes writes (`select pg_is_in_recovery()` says f then). If it does and this \
                 server is to be the primary, remove the file and run `gocd-bc promote --without-database`; if it does not, \
                 remove the file.",
            )
        })
    }

    /// Saves the journal of a promotion durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a journal has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with_database() -> Cause {
        Cause::Order {
            as_it_is: false,
            with_database: true,
        }
    }

    /// As it is when `step` has begun and nothing more.
    fn cut_in(step: Step) -> Journal {
        let mut journal = Journal::begin(&with_database(), None, 1);
        journal.step_begins(step, 2);
        journal
    }

    #[test]
    fn only_one_that_began_to_promote_the_database_is_half_way() {
        for step in [Step::Preflight, Step::ReplayDatabase, Step::BeginEpoch] {
            assert!(!cut_in(step).is_half_way(), "{step:?}");
            assert_eq!(cut_in(step).half_way_message(), None);
        }
        let mut journal = cut_in(Step::PromoteDatabase);
        assert!(journal.is_half_way() && journal.is_interrupted());
        let said = journal.half_way_message().expect("it is news");
        assert!(
            said.contains("promote the database") && said.contains("`gocd-bc promote`"),
            "{said}"
        );
        // Also where it ended, and where another one followed that came less far.
        journal.ends(Outcome::Ended, Some(&Error::new(Kind::Busy, "no", "")));
        let mut again = Journal::begin(&with_database(), Some(&journal), 3);
        assert!(again.is_half_way() && again.resumes);
        again.ends(Outcome::Complete, None);
        assert!(!again.is_half_way());
        assert!(!Journal::begin(&with_database(), Some(&again), 4).resumes);
    }

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_not_taken_for_none() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(Journal::load(folder.path()), Ok(None));
        let mut journal = cut_in(Step::PromoteDatabase);
        journal.step_ends(120, "it takes writes\non timeline 2");
        journal.save(folder.path()).expect("save");
        let read = Journal::load(folder.path()).expect("readable").expect("there");
        assert_eq!(read, journal);
        assert!(!read.steps[0].said.contains('\n'), "{read:?}");
        let path = folder.path().join(FILE);
        let text = fs::read(&path).expect("read");
        for damaged in [&text[..text.len() / 2], b"{}", b""] {
            fs::write(&path, damaged).expect("write");
            let error = Journal::load(folder.path()).expect_err("damaged");
            assert!(error.guidance().contains("pg_is_in_recovery"), "{error}");
        }
    }
}
