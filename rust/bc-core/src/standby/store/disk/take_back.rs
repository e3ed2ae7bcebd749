//! Taking a set back of which a step fails: the old set comes back from its blobs.
//!
//! All that this needs is made durable before the first live file changes ([`DiskStore::way_back`]): the old bytes, and
//! the steps. A removal is put off until the whole set is live, so what it takes away only has another name meanwhile.

use std::{collections::HashSet, path::Path};

use tracing::warn;

use super::{DiskStore, Inner, steps::Stop};
use crate::{
    basics::{Error, Kind, words},
    generation::Name,
    standby::store::{
        journal::{Back, Journal, Step},
        live::Live,
        record::Record,
        stage,
    },
};

/// Why a set could not be taken back.
pub(super) enum NotBack {
    /// The bytes of these files are nowhere; all others are back.
    Lost(Vec<Name>),
    Failed(Error),
}

impl DiskStore {
    /// The steps that undo `steps`, which belong to the record with this serial, with all that they need durable.
    ///
    /// # Errors
    /// A file changes meanwhile, or the disk fails. No live file has changed.
    pub(super) fn way_back(&self, inner: &mut Inner, steps: &[Step], live: &Live, serial: u64) -> Result<Back, Error> {
        let serial = serial + 1;
        let mut back = Vec::new();
        let mut old_bytes = HashSet::new();
        for (number, step) in steps.iter().enumerate().rev() {
            let undo = match step {
                Step::Write {
                    name, staged, target, ..
                } => match live.files.get(name) {
                    Some(old) => {
                        old_bytes.insert(old.sha256);
                        Step::Write {
                            name: name.clone(),
                            staged: stage::temporary(staged, serial, number),
                            target: target.clone(),
                            sha256: old.sha256,
                            size: old.size,
                        }
                    }
                    None => Step::Remove {
                        name: name.clone(),
                        path: target.clone(),
                        put_off: None,
                    },
                },
                Step::Remove {
                    name,
                    path,
                    put_off: Some(put_off),
                } => put_back(name, put_off, path),
                Step::SetAside { name, from, to } => put_back(name, to, from),
                // One removal alone is whole or not at all.
                Step::Remove { .. } | Step::PutBack { .. } => continue,
            };
            back.push(undo);
        }
        self.generations().hold(old_bytes.clone());
        for (name, old) in &live.files {
            if !old_bytes.contains(&old.sha256) {
                continue;
            }
            // A wrong blob is removed, and made anew of the live file.
            self.blobs.has(&old.sha256, old.size)?;
            self.adopt(inner, name, &old.sha256, old.size)?;
        }
        self.blobs.make_durable(&old_bytes)?;
        Ok(Back {
            steps: back,
            record: Record {
                serial,
                ..inner.record.clone()
            },
        })
    }

    /// Carries an open journal out backwards, since `stop` ended it. Returns what to tell.
    ///
    /// # Errors
    /// A step fails, and the live files are a part of each set; or they are the old set, and that cannot be written
    /// down. The journal is open then.
    pub(super) fn take_back(&self, inner: &mut Inner, journal: &mut Journal, stop: Stop) -> Result<Error, NotBack> {
        let lost = match &stop {
            Stop::Lost(names) => names.clone(),
            _ => Vec::new(),
        };
        let why = reason(stop);
        let Some(back) = journal.back.clone() else {
            if !lost.is_empty() {
                return Err(NotBack::Lost(lost));
            }
            return Err(NotBack::Failed(half_live(&why, "an older version began it")));
        };
        if let Err(error) = self.turn_back(journal) {
            // A crash on the way goes forward again then, which ends in a whole set as well.
            warn!("{error}");
        }
        match self.do_steps(&back.steps, true) {
            Ok(()) => {}
            Err(Stop::Lost(mut names)) => {
                names.extend(lost);
                return Err(NotBack::Lost(names));
            }
            Err(stop) => return Err(NotBack::Failed(half_live(&why, reason(stop).message()))),
        }
        self.save_record(&back.record).map_err(|error| {
            let why = why.message();
            NotBack::Failed(error.saying(|message| {
                format!("{why}; the old set is whole again, but that cannot be written down: {message}")
            }))
        })?;
        inner.record = back.record;
        self.generations().live_again(&inner.record);
        drop(self.staged(&journal.steps));
        if let Err(error) = self.close_journal(journal) {
            // It is known by its serial.
            warn!("{error}");
        }
        Ok(why.saying(|message| format!("{message}; nothing of the new set is live, the old one is whole again")))
    }
}

/// The error that says that a set could be neither finished nor taken back.
fn half_live(why: &Error, and: &str) -> Error {
    let guidance = format!(
        "{} It is tried again with every sync, and GoCD must not start on these files before.",
        why.guidance()
    );
    Error::new(
        Kind::File,
        format!(
            "a set of files is half live: {}; and it cannot be taken back: {and}",
            why.message()
        ),
        guidance.trim_start(),
    )
}

/// The error for people that says why a set came to no end.
pub(super) fn reason(stop: Stop) -> Error {
    match stop {
        Stop::Failed(error) => error,
        Stop::Lost(names) => Error::new(
            Kind::File,
            format!("the staged and the kept bytes of {} are lost", words::list(&names)),
            "See whether somebody removes files from the state folder.",
        ),
        Stop::NeedsJournal => Error::new(Kind::File, "a file can only be written where it is", ""),
    }
}

/// The step that takes a jar back from aside.
fn put_back(name: &Name, from: &Path, to: &Path) -> Step {
    Step::PutBack {
        name: name.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}
