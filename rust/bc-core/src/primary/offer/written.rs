//! What this primary has written of its offers, and in which order: nothing is offered that a restart could not prove.
//!
//! | | holds | is written | needs |
//! |---|---|---|---|
//! | the ledger | sequence, lineage, the sequences that are reserved | behind the offer, durably | room, an inode, quota |
//! | `given-out` in the state folder | the last generations ([`super::given_out`]) | before the offer, in place | nothing, but on a file system that copies on write |
//! | `business-continuity-given-out` beside the configuration | the same | only while neither of the others can be | room there |
//!
//! While the ledger can be written, a change waits for no disk: its number was reserved durably before, and which
//! generation has it survives the process at once and the machine a moment later. Once the ledger cannot be written, be
//! the disk full or read-only, each further generation is durable in one of the other two before it is offered, or it
//! is not offered. A start takes from all three whatever is the newest, so numbers and lineage go on. The ledger is
//! tried again with each change and from time to time, and once it is written everything is as before.
//!
//! What a standby reports is no proof of anything here: a primary that was restored from a snapshot would learn from it
//! what it had given out before, and its standbys could not tell any more that it went back.

use std::{path::PathBuf, sync::Arc};

use super::{
    fixed_file::FixedFile,
    given_out::{GivenOut, Record},
    offered_file,
};
use crate::{
    basics::{Digest, Error},
    role::{Ledger, StateDir},
};

/// The name of the file in the state folder.
pub(super) const FILE: &str = "given-out";

/// Sequences that are reserved at once.
pub(super) const BLOCK: u64 = 64;

/// What this primary has written, and has yet to write.
#[derive(Debug)]
pub(super) struct Written {
    state: Arc<StateDir>,
    ledger: Ledger,
    given_out: GivenOut,
    first: FixedFile,
    second: Option<FixedFile>,
    /// Whether `ledger` goes on above all that was given out before this start.
    has_begun: bool,
    /// Whether `ledger` says what the file does not.
    is_behind: bool,
    /// Whether the file of an earlier version may be there, until the ledger is written for the first time.
    may_have_old_file: bool,
    unwritten: Option<Unwritten>,
}

/// Why the ledger of a primary cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// What failed, and what to do.
    pub error: Error,
    /// Where what was given out is kept meanwhile; none where it cannot be kept anywhere.
    pub kept_in: Option<PathBuf>,
}

impl Unwritten {
    /// What people are told where what was given out cannot be written into the ledger.
    pub fn message(&self) -> String {
        match &self.kept_in {
            Some(path) => format!(
                "{}. Edits still reach the standbys: what is given out is kept in {} until the ledger can be written, \
                 which is tried again every few seconds.",
                end_taken(&self.error),
                path.display()
            ),
            None => format!(
                "{}. Nor can what is given out be kept anywhere else, so newer edits reach no standby until it can be, which \
                 is tried again every few seconds.",
                end_taken(&self.error)
            ),
        }
    }
}

/// Whether a file says what this node gave out last in the epoch of its ledger, so that numbers go on where the ledger says
/// nothing of them.
pub fn has_given_out(state: &StateDir) -> bool {
    let Ok(ledger) = state.ledger() else { return false };
    let mut given_out = GivenOut::of(state.node_id(), &ledger.epoch);
    let text = FixedFile::new(state.path().join(FILE)).read();
    given_out.parse(&text.unwrap_or_default());
    newest(&given_out) > 0
}

/// The highest sequence that was given out; zero where none was.
fn newest(given_out: &GivenOut) -> u64 {
    given_out.since(0).last().map_or(0, |record| record.sequence)
}

/// An error of writing the ledger, as the first sentence of several.
fn end_taken(error: &Error) -> String {
    let text = error.to_string();
    text.strip_suffix('.').map_or(text.clone(), str::to_owned)
}

impl Written {
    /// Opens what a primary has written of all that it gave out, in its state folder.
    ///
    /// # Errors
    /// A file of it is there and cannot be read.
    pub(super) fn open(state: Arc<StateDir>) -> Result<Self, Error> {
        let ledger = state.ledger()?;
        let mut given_out = GivenOut::of(state.node_id(), &ledger.epoch);
        let mut first = FixedFile::new(state.path().join(FILE));
        let text = first.read()?;
        given_out.parse(&text);
        if !text.is_empty() {
            first.holds(&given_out);
        }
        let newest = newest(&given_out);
        if let Some(last) = offered_file::read(state.path(), &ledger)?.filter(|last| last.sequence > newest) {
            given_out.push(last);
        }
        Ok(Self {
            state,
            ledger,
            given_out,
            first,
            second: None,
            has_begun: false,
            is_behind: false,
            may_have_old_file: true,
            unwritten: None,
        })
    }

    /// Lets what is given out be kept in this file too where it can be kept nowhere else.
    pub(super) fn with_second_file(self, file: PathBuf) -> Self {
        Self {
            second: Some(FixedFile::new(file)),
            ..self
        }
    }

    /// The ledger as a primary has written it, or has yet to write it, of what it gives out.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Why what was given out is not written into the ledger; none where it is, or will be in a moment.
    pub(super) fn unwritten(&self) -> Option<&Unwritten> {
        self.unwritten.as_ref()
    }

    /// Begins to write what is given out, above all that was given out before this start, as soon as there is something
    /// to offer: the folder that is read has its disk then.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if self.has_begun {
            return Ok(());
        }
        if let Some(second) = &mut self.second {
            let mut there = GivenOut::of(self.state.node_id(), &self.ledger.epoch);
            there.parse(&second.read()?);
            for record in there.since(newest(&self.given_out)) {
                self.given_out.push(*record);
            }
        }
        let ledger = &mut self.ledger;
        if ledger.lineage.is_empty()
            && let Some(generation) = &ledger.generation
        {
            ledger.lineage.push(ledger.sequence, generation);
        }
        let since = self.given_out.since(ledger.sequence);
        if self.given_out.may_lack(&since) {
            // Of what was between nobody knows, and it is said so.
            ledger.lineage = Default::default();
        }
        for record in since {
            ledger.lineage.push(record.sequence, &record.generation);
            ledger.sequence = record.sequence;
            ledger.generation = Some(record.generation);
            ledger.generated_ms = record.generated_ms;
            self.is_behind = true;
        }
        ledger.sequence = ledger.sequence.max(ledger.reserved);
        self.has_begun = true;
        Ok(())
    }

    /// Gives the next sequence to a generation that was first seen at `scanned_ms`, and writes that down. When this
    /// returns it may be offered.
    ///
    /// # Errors
    /// It could be kept nowhere, and nothing has changed.
    pub(super) fn next(&mut self, generation: Digest, scanned_ms: i64) -> Result<(), Error> {
        let mut next = Ledger {
            sequence: self.ledger.sequence + 1,
            ..self.ledger.clone()
        };
        next.lineage.push(next.sequence, &generation);
        if next.generation != Some(generation) {
            (next.generation, next.generated_ms) = (Some(generation), scanned_ms);
        }
        let pushed = self.given_out.push(Record {
            sequence: next.sequence,
            generated_ms: next.generated_ms,
            generation,
        });
        if let Err(error) = self.write_before_offer(&mut next) {
            self.given_out.put_back(pushed);
            return Err(error);
        }
        self.ledger = next;
        Ok(())
    }

    /// Makes sure that a restart can prove what `next` says, before it is offered.
    fn write_before_offer(&mut self, next: &mut Ledger) -> Result<(), Error> {
        let noted = self.state.is_still_there();
        let noted = noted.and_then(|()| self.first.write(&self.given_out));
        let is_reserved = next.sequence <= next.reserved;
        if noted.is_ok() && is_reserved && self.unwritten.is_none() {
            self.is_behind = true;
            return Ok(());
        }
        let before = next.reserved;
        if !is_reserved {
            next.reserved = next.sequence + BLOCK;
        }
        match self.save(next) {
            Ok(()) => Ok(()),
            Err(error) => {
                next.reserved = before;
                self.write_elsewhere(error)
            }
        }
    }

    /// Notes which configuration GoCD is known to have accepted, to be written with what is given out.
    pub(super) fn accepted(&mut self, config: Digest) {
        if self.ledger.accepted_config != Some(config) {
            self.ledger.accepted_config = Some(config);
            self.is_behind = true;
        }
    }

    /// Writes into the ledger what was given out and is not in it yet. Where it cannot be, what was given out is
    /// durable elsewhere after this, if anywhere.
    pub(super) fn catch_up(&mut self) {
        if !self.is_behind {
            return;
        }
        let mut ledger = self.ledger.clone();
        ledger.reserved = if ledger.sequence > ledger.reserved {
            ledger.sequence + BLOCK
        } else {
            ledger.reserved
        };
        match self.save(&ledger) {
            Ok(()) => self.ledger = ledger,
            // It is said by `unwritten`, wherever it is kept.
            Err(error) => drop(self.write_elsewhere(error)),
        }
    }

    /// Makes durable in another place what was given out, since the ledger cannot be written for this reason.
    fn write_elsewhere(&mut self, error: Error) -> Result<(), Error> {
        self.is_behind = true;
        let mut kept = self.state.is_still_there();
        kept = kept.and_then(|()| self.first.write_durably(&self.given_out));
        let mut kept_in = kept.is_ok().then(|| self.first.path().to_owned());
        if kept.is_err()
            && let Some(second) = &mut self.second
        {
            kept = second.write_durably(&self.given_out);
            kept_in = kept.is_ok().then(|| second.path().to_owned());
        }
        self.unwritten = Some(Unwritten {
            error: error.clone(),
            kept_in,
        });
        kept.map_err(|_| {
            error.saying(|message| {
                format!("what was read last is not offered, since nothing could prove it later: {message}")
            })
        })
    }

    /// Saves the offer's part of the ledger; the rest of it belongs to others.
    fn save(&mut self, ours: &Ledger) -> Result<(), Error> {
        self.state.change_ledger(|ledger| {
            ledger.sequence = ours.sequence;
            ledger.reserved = ours.reserved;
            ledger.generation = ours.generation;
            ledger.generated_ms = ours.generated_ms;
            ledger.lineage.clone_from(&ours.lineage);
            ledger.accepted_config = ours.accepted_config;
        })?;
        self.is_behind = false;
        self.unwritten = None;
        if let Some(second) = &mut self.second {
            second.remove();
        }
        if std::mem::take(&mut self.may_have_old_file) {
            offered_file::remove(self.state.path());
        }
        Ok(())
    }
}
