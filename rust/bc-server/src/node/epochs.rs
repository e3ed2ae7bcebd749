//! Goes by what else says it where `ledger.json`, which has this node's epoch, is damaged, cannot be read, or is older than
//! what is known otherwise (`bc_core::role::memory`).
//!
//! A node that is no primary has it written anew when it opens. One that is to be the primary has it once GoCD may run:
//! until the others were asked, nothing is above all that is known. In the epoch that it had it goes on where another file
//! still says what it gave out; else it begins one.

use bc_core::{
    basics::{Error, Severity, random},
    generation::{Epoch, Role},
    primary::offer,
    role::{Recorded, Start, StateDir, known_peers::KnownPeers, memory::Memory},
    standby::store::disk,
    status::{StatusBoard, Topic},
};
use tracing::{error, warn};

use super::{Assembly, RoleFile};

/// What a node with this state folder knows of epochs.
pub(super) fn remember(state: &StateDir, recorded: &RoleFile) -> Memory {
    // One that is damaged is named where the peers are asked.
    let told = KnownPeers::load(state.path()).ok().and_then(|known| known.highest);
    state.remember(
        recorded.as_ref().ok().and_then(Option::as_ref),
        told.as_ref().map(|told| &told.epoch),
        || disk::highest_epoch(state.path()),
    )
}

/// Does what follows at a start where the ledger cannot be used, and says so. On one that was written anew that is said
/// until somebody has taken the damaged one away.
///
/// # Errors
/// It cannot be written anew.
pub(super) fn begin(assembly: &Assembly, decision: Start) -> Result<(), Error> {
    let (state, board) = (&assembly.state, &assembly.board);
    let Some(trouble) = &assembly.memory.trouble else {
        // What another file says of a higher epoch goes where all look for it.
        let highest = &assembly.memory.highest;
        let written = state.change_ledger(|ledger| {
            if ledger.highest_epoch.number < highest.number {
                ledger.highest_epoch = highest.clone();
            }
        });
        if let Err(problem) = written {
            warn!("{problem}");
        }
        if let Some(aside) = state.aside() {
            let message = format!(
                "the epoch file of this server was damaged once, and is kept as {}: what else said which epoch this server \
                 had was gone by. See to the disk of that folder, and that no other server of the pair runs as a primary; \
                 then remove that file, and this message goes at the next start.",
                aside.display()
            );
            board.raise(&Topic::Epochs, Severity::Critical, message);
        }
        return Ok(());
    };
    match decision {
        Start::Release => return lead(state, board, None),
        Start::HoldStandby | Start::Ask | Start::HoldFenced => {
            state.change_ledger(|_| {})?;
            say(
                state,
                board,
                trouble,
                "what else says it is gone by, and GoCD stays held",
            );
        }
        Start::HoldUnknown if assembly.memory.own.is_none() => say(
            state,
            board,
            trouble,
            "nothing else says which epoch this server had or what it was, so it stays held. If it is to be the primary, make \
             sure that no other server of the pair runs as one and run `gocd-bc promote --without-database --as-it-is`; if it \
             is to be the standby, run `gocd-bc demote` and restart it",
        ),
        _ => say(
            state,
            board,
            trouble,
            "GoCD waits until it is known that nobody has a higher epoch",
        ),
    }
    Ok(())
}

/// Has a server that is to be the primary go on, or begin an epoch above all that is known and was `told`, where its
/// ledger cannot be used. Does nothing where it can.
///
/// # Errors
/// Ledger or record cannot be written. GoCD must not run then.
pub(super) fn lead(state: &StateDir, board: &StatusBoard, told: Option<&Epoch>) -> Result<(), Error> {
    let Some(memory) = state.stand_in() else { return Ok(()) };
    let begins = memory.own.is_none() || !offer::has_given_out(state);
    let promotion = random::hex_id()?;
    let ledger = state.change_ledger(|ledger| {
        if let Some(told) = told.filter(|told| told.number > ledger.highest_epoch.number) {
            ledger.highest_epoch = told.clone();
        }
        if begins {
            ledger.begin_epoch(&promotion, 0);
        }
    })?;
    if let Some(recorded) = Recorded::load(state.path())?.filter(|recorded| recorded.role == Role::Primary) {
        state.with_epochs(recorded).save(state.path())?;
    }
    board.update(|status| status.epoch = ledger.epoch.clone());
    let trouble = memory.trouble.as_ref().map(Error::to_string).unwrap_or_default();
    let what = if begins { "begins" } else { "goes on in" };
    let message = format!(
        "{}. Nobody is known to have a higher epoch, so GoCD starts, and this server {what} epoch {}. Make sure that no other \
         server of the pair runs as a primary.",
        trouble.trim_end_matches('.'),
        ledger.epoch.number
    );
    error!("CRITICAL {message}");
    board.raise(&Topic::Epochs, Severity::Critical, message);
    Ok(())
}

/// Says that the ledger could not be used, and what comes of it.
fn say(state: &StateDir, board: &StatusBoard, trouble: &Error, what: &str) {
    // Until another one is written in its place, it is where it was.
    let aside = state.aside().filter(|_| state.stand_in().is_none());
    let kept = aside.map(|path| format!(" It is kept as {}.", path.display()));
    let trouble = trouble.to_string();
    let message = format!("{}: {what}.{}", trouble.trim_end_matches('.'), kept.unwrap_or_default());
    error!("CRITICAL {message}");
    board.raise(&Topic::Epochs, Severity::Critical, message);
}

#[cfg(test)]
mod tests;
