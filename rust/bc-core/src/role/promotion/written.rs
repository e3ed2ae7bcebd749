//! The steps of a promotion that are durable in the state folder once they are taken: epoch, note and role.

use std::path::Path;

use super::{Cause, Course};
use crate::{
    basics::{Error, random},
    generation::{Epoch, Role},
    role::{
        self, Recorded,
        ledger::MAX_COUNT,
        state_dir::StateDir,
        unacknowledged::{self, Unacknowledged},
    },
    settings::Flag,
};

impl Course {
    /// Writes the new epoch of a promotion, durably and above all that this node ever saw or was told: whoever still
    /// follows the old primary sees that it is in the past. `applied` is the sequence of what is live, none being 0.
    ///
    /// # Errors
    /// As [`StateDir::change_ledger`]; the epoch is then the former one.
    pub fn begin_epoch(&self, state: &StateDir, applied: u64) -> Result<Epoch, Error> {
        let promotion = random::hex_id()?;
        let ledger = state.change_ledger(|ledger| {
            if let Cause::Itself {
                highest: Some(told), ..
            } = &self.cause
                && told.number > ledger.highest_epoch.number
                && told.number < MAX_COUNT
            {
                ledger.highest_epoch = told.clone();
            }
            ledger.begin_epoch(&promotion, applied);
        })?;
        Ok(ledger.epoch)
    }

    /// Writes the note of a promotion that nobody ordered, and returns it; ends an older one where a person has ordered
    /// it.
    ///
    /// # Errors
    /// The note cannot be written or removed.
    pub fn note(&self, state: &StateDir, now_ms: i64) -> Result<Option<Unacknowledged>, Error> {
        let (Cause::Itself { reason, .. }, Some(epoch)) = (&self.cause, &self.epoch) else {
            unacknowledged::remove(state.path())?;
            return Ok(None);
        };
        let note = Unacknowledged::new(now_ms, epoch.clone(), reason.clone(), self.files.clone());
        note.save(state.path())?;
        Ok(Some(note))
    }

    /// Writes the record of a promotion: that this node, which was a standby under `flag`, is the primary from `now_ms`
    /// on. A record that cannot be read gives way: a person has said what this node is.
    ///
    /// # Errors
    /// The record cannot be written. It is then the former one again, or the error says that it may not be.
    pub fn record_role(&self, state: &StateDir, flag: Flag, now_ms: i64) -> Result<(), Error> {
        let before = Recorded::load(state.path());
        let former = before.as_ref().ok().and_then(Option::as_ref);
        let recorded = Recorded {
            promoted_ms: Some(now_ms),
            ..state.with_epochs(Recorded::next(former, Role::Primary, flag, None, now_ms))
        };
        recorded
            .save(state.path())
            .map_err(|error| taken_back(state.path(), &recorded, before.as_ref().ok(), error))
    }
}

/// Takes back the record of a promotion that failed. It may have its name and not be durable: then this node goes on as
/// a standby, and the next start would let GoCD run on what was pulled since.
fn taken_back(state_dir: &Path, recorded: &Recorded, before: Option<&Option<Recorded>>, error: Error) -> Error {
    let is_there = matches!(Recorded::load(state_dir), Ok(Some(now)) if now == *recorded);
    let Some(before) = before.filter(|_| is_there) else {
        return error;
    };
    let back = match before {
        Some(before) => before.save(state_dir),
        None => role::forget(state_dir).map(drop),
    };
    match back {
        Ok(()) => error,
        Err(_) => Error::new(
            error.kind(),
            error.message(),
            format!(
                "The record {} may say all the same that this server is the primary: see to the disk, and before this \
                 server is restarted run `gocd-bc promote --without-database` again, or `gocd-bc demote`.",
                state_dir.join(role::FILE).display()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    #[test]
    fn a_record_that_has_its_name_and_is_not_durable_is_taken_back() {
        let folder = tempfile::tempdir().expect("folder");
        let written = Recorded::new(Role::Primary, Flag::Property, 2);
        let failed = || Error::new(Kind::File, "cannot write it", "");
        for before in [None, Some(Recorded::new(Role::Standby, Flag::Property, 1))] {
            written.save(folder.path()).expect("save");
            taken_back(folder.path(), &written, Some(&before), failed());
            assert_eq!(Recorded::load(folder.path()), Ok(before));
        }
        written.save(folder.path()).expect("save");
        taken_back(folder.path(), &written, None, failed());
        assert_eq!(
            Recorded::load(folder.path()),
            Ok(Some(written)),
            "what was not understood cannot be put back"
        );
    }
}
