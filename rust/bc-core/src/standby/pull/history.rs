//! Whether the primary's files continue the history that this node knows.
//!
//! Newer is decided by epoch, then by sequence, never by a clock. Both are the primary's own account, so a snapshot
//! of it that was restored, a server that was set up anew, or one that was primary before the last promotion, would
//! put older files in the place of newer ones without any other rule noticing. Each is refused until an
//! administrator says that these files are the right ones.
//!
//! A primary that went back does not get past by editing on until its sequence is the higher one again: its lineage
//! must name what is live here ([`crate::generation::lineage`]), also where this node did not look meanwhile. Where it
//! no longer reaches back so far nobody can tell; the files are followed then, with a warning. What was seen survives a
//! restart, in the ledger of the state folder.

use std::sync::Arc;

use crate::{
    basics::{Digest, Error, Kind},
    generation::{Descent, Envelope, Epoch, Lineage},
    role::{Followed, Ledger, StateDir},
    standby::store::Position,
};

/// What to type once it is clear which server is right.
const GUIDANCE: &str = "If its files are the right ones, run `gocd-bc sync --accept-rollback` here.";

/// What this node knows of its primaries.
#[derive(Debug, Clone)]
pub struct History(Arc<StateDir>);

/// What a primary offers, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Who offers it, and at which epoch and sequence.
    pub envelope: &'a Envelope,
    /// What it is.
    pub generation: &'a Digest,
    /// What the primary says was before; none where it only says that nothing has changed.
    pub lineage: Option<&'a Lineage>,
}

impl History {
    /// The history of who was followed, kept in a state folder.
    pub fn of(state: Arc<StateDir>) -> Self {
        Self(state)
    }

    /// Lets what is offered pass the history if it is newer than what is live at `position`, or the same. Remembers a
    /// higher epoch, and a primary that went back. Returns what to warn of when nobody can tell.
    ///
    /// # Errors
    /// [`Kind::Refused`] saying how the primary went back and what to type; others when the ledger cannot be read or
    /// written.
    pub fn judge(&self, offered: &Candidate<'_>, position: Option<&Position>) -> Result<Option<String>, Error> {
        let mut verdict = Ok(None);
        self.change(|ledger| verdict = weigh(ledger, offered, position))?;
        verdict
    }

    /// Notes in the history whose files are live.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn followed(&self, envelope: &Envelope) -> Result<(), Error> {
        self.change(|ledger| ledger.followed = Some(Followed::of(envelope)))
    }

    /// Accepts a primary's files as the right ones by the word of an administrator, whatever was before.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn accept(&self, envelope: &Envelope) -> Result<(), Error> {
        self.change(|ledger| {
            ledger.accepted_epoch = Some(envelope.epoch.clone());
            ledger.followed = Some(Followed::of(envelope));
            ledger.went_back = None;
        })
    }

    /// Changes in the ledger what is known of who was followed.
    fn change(&self, change: impl FnOnce(&mut Ledger)) -> Result<(), Error> {
        self.0.change_ledger(change).map(drop)
    }
}

/// Weighs what is offered against the ledger, and notes there what has to be remembered of it.
fn weigh(ledger: &mut Ledger, offered: &Candidate<'_>, position: Option<&Position>) -> Result<Option<String>, Error> {
    let envelope = offered.envelope;
    let source = Followed::of(envelope);
    if ledger.went_back.as_ref() == Some(&source) {
        return Err(refused("the primary went back in time and was not accepted since"));
    }
    if ledger.accepted_epoch.as_ref() != Some(&envelope.epoch) {
        epoch(&envelope.epoch, ledger)?;
    }
    let position = position.filter(|position| position.epoch == envelope.epoch);
    if let Some(how) = position.and_then(|position| gone_back(offered, position, ledger.followed.as_ref())) {
        ledger.went_back = Some(source);
        return Err(refused(how));
    }
    if envelope.epoch.number > ledger.highest_epoch.number {
        ledger.highest_epoch = envelope.epoch.clone();
        ledger.accepted_epoch = None;
    }
    // An older one is in the past once another is followed.
    ledger.went_back = None;
    let is_forgotten = |position: &&Position| descent(offered, position) == Some(Descent::Forgotten);
    Ok(position.filter(is_forgotten).map(|position| {
        format!(
            "the primary's history no longer reaches back to sequence {}, which is live here, so nobody can say whether \
             its files are newer. They are followed; what was here before is in `gocd-bc generations list`.",
            position.sequence
        )
    }))
}

/// What the primary says of what is live here, where that is something else than it offers.
fn descent(offered: &Candidate<'_>, position: &Position) -> Option<Descent> {
    offered
        .lineage
        .filter(|lineage| !lineage.is_empty() && *offered.generation != position.generation)
        .map(|lineage| lineage.descent(position.sequence, &position.generation))
}

/// Refuses an epoch that is older than the history of who was followed.
fn epoch(epoch: &Epoch, ledger: &Ledger) -> Result<(), Error> {
    let highest = &ledger.highest_epoch;
    if epoch.number < highest.number && highest == &ledger.epoch {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "a promotion of this node (epoch {}) began and did not come to its end, and the primary has epoch {}",
                highest.number, epoch.number
            ),
            "Run `gocd-bc promote --without-database` here again, or go on following with `gocd-bc sync --accept-rollback`.",
        ));
    }
    if epoch.number < highest.number {
        return Err(refused(format!(
            "the primary has epoch {}, but a node was promoted since (epoch {}): this may be an old primary that came \
             back",
            epoch.number, highest.number
        )));
    }
    if epoch.number == highest.number && epoch.promotion != highest.promotion {
        return Err(refused(format!(
            "two nodes were promoted independently of each other to epoch {}, and this one follows the other",
            epoch.number
        )));
    }
    Ok(())
}

/// How the primary's files are older than ours, in the same epoch.
fn gone_back(offered: &Candidate<'_>, position: &Position, followed: Option<&Followed>) -> Option<String> {
    let envelope = offered.envelope;
    if followed.is_some_and(|followed| followed.node_id != envelope.node_id) {
        return Some(
            "the primary is another node than the one that this standby followed, and none was promoted: it was set \
             up anew, or bc.primary.url leads elsewhere now"
                .to_owned(),
        );
    }
    if envelope.sequence < position.sequence {
        return Some(format!(
            "the primary went back in time: it offers sequence {}, and {} is live here. Was it restored from a snapshot?",
            envelope.sequence, position.sequence
        ));
    }
    let is_other = envelope.sequence == position.sequence && *offered.generation != position.generation;
    (is_other || descent(offered, position) == Some(Descent::Foreign)).then(|| {
        format!(
            "the primary went back in time: its sequence {} had other files than those that are live here. Was it \
             restored from a snapshot?",
            position.sequence
        )
    })
}

/// The refusal of what is older than the history of who was followed.
fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::Refused, message, GUIDANCE)
}

#[cfg(test)]
mod tests;
